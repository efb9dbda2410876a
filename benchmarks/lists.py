"""Losses over whole lists: time, peak memory and accuracy as the list grows.

The hinge over all pairs by sorting and over the dense table, and LambdaRank, of the whole list and of its first ten.
Each row runs in a process of its own, so that the peak is its own. The errors of the hinge in float32 are relative,
against the dense table in float64 where it fits, and else against the sorting in float64.

python benchmarks/lists.py

fills the table lists.csv and prints it as Markdown. Seconds differ between machines. How they grow hardly does.
"""

import resource
import subprocess
import sys
import time
from functools import partial

import torch
from pairs import markdown
from tables import write
from torch import Tensor

import pairloss


def dense(scores: Tensor, labels: Tensor) -> Tensor:
    return torch.relu(1 - scores[labels].unsqueeze(1) + scores[~labels]).mean()


LOSSES = {  # and the longest list that each is asked for
    "table": (dense, 20_000),
    "sorting": (pairloss.pairwise_hinge_loss, 2_000_000),
    "LambdaRank": (pairloss.lambdarank_loss, 20_000),
    "LambdaRank at 10": (partial(pairloss.lambdarank_loss, at=10), 2_000_000),
}
LENGTHS = (100, 300, 1000, 3000, 10_000, 20_000, 100_000, 1_000_000, 2_000_000)
HEAD = "loss", "L", "offset", "seconds", "peak MB", "error of the value", "of the gradient"


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, length: int, offset: float) -> str:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(length, generator=generator) + offset).requires_grad_()
    labels = torch.arange(length) % 2 == 0
    loss = LOSSES[name][0]
    torch.autograd.grad(loss(scores[:10], labels[:10]), scores)
    before, times = megabytes(), []
    for _ in range(5 if length < 200_000 else 2):
        begin = time.perf_counter()
        value = loss(scores, labels)
        (gradient,) = torch.autograd.grad(value, scores)
        times.append(time.perf_counter() - begin)
    cells = [f"{min(times):.2g}", f"{megabytes() - before:.0f}", "", ""]
    if name in ("table", "sorting"):
        exact = scores.detach().double().requires_grad_()
        expected = (dense if length <= LOSSES["table"][1] else pairloss.pairwise_hinge_loss)(exact, labels)
        (wanted,) = torch.autograd.grad(expected, exact)
        error = abs(value.item() / expected.item() - 1)
        slope = ((gradient - wanted).abs().max() / wanted.abs().max()).item()
        cells[2:] = f"{error:.0e}", f"{slope:.0e}"
    return ",".join([name, f"{length}", f"{offset:g}", *cells])


def main() -> None:
    cases = [(name, length, 0) for name, (_, longest) in LOSSES.items() for length in LENGTHS if length <= longest]
    cases += [("sorting", length, 1000) for length in LENGTHS[-3:]]
    rows = []
    for case in cases:
        line = subprocess.run([sys.executable, __file__, *map(str, case)], check=True, capture_output=True, text=True)
        rows.append(dict(zip(HEAD, line.stdout.strip().split(","), strict=True)))
    write("lists", rows)
    print(*markdown(rows), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
