"""The hinge over all pairs of a list, by sorting, beside the dense table: time, peak memory and accuracy.

Each row runs in a process of its own, so that the peak is its own. The relative error in float32 is
that of the value and of the largest entry of the gradient, against the same sums in float64 over the
dense table where it fits, and against the float64 result by sorting where it does not.
"""

import resource
import subprocess
import sys
import time

import torch
from torch import Tensor

import pairloss


def dense(scores: Tensor, labels: Tensor) -> Tensor:
    return torch.relu(1 - scores[labels].unsqueeze(1) + scores[~labels]).mean()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(loss: str, length: int, offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(length, generator=generator) + offset).requires_grad_()
    labels = torch.arange(length) % 2 == 0
    functions = {"table": dense, "sorting": pairloss.pairwise_hinge_loss}
    torch.autograd.grad(functions[loss](scores[:10], labels[:10]), scores)
    before, times = megabytes(), []
    for _ in range(5 if length < 20_000 else 2):
        begin = time.perf_counter()
        value = functions[loss](scores, labels)
        (gradient,) = torch.autograd.grad(value, scores)
        times.append(time.perf_counter() - begin)
    seconds, peak = min(times), megabytes() - before
    exact = scores.detach().double().requires_grad_()
    expected = (dense if length <= 20_000 else pairloss.pairwise_hinge_loss)(exact, labels)
    (wanted,) = torch.autograd.grad(expected, exact)
    error = abs(value.item() / expected.item() - 1)
    slope = ((gradient - wanted).abs().max() / wanted.abs().max()).item()
    print(f"| {loss} | {length:,} | {offset:g} | {seconds:.5f} | {peak:.0f} | {error:.1e} | {slope:.1e} |", flush=True)


def main() -> None:
    print("\n| all pairs | L | offset | seconds | peak MB | error of the value | of the gradient |")
    print("|---|---|---|---|---|---|---|", flush=True)
    lengths = (100, 300, 1000, 3000, 10_000, 20_000)
    cases = [(loss, length, 0) for length in lengths for loss in ("table", "sorting")]
    cases += [("sorting", length, offset) for length in (100_000, 1_000_000, 2_000_000) for offset in (0, 1000)]
    for case in cases:
        subprocess.run([sys.executable, __file__, *map(str, case)], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
