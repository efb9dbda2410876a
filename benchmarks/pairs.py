"""Each loss beside its published form: time (forward + backward) and peak memory, on the CPU.

The published forms are re-implemented here from their formulas, operation by operation: sums of the
plain and the squared term for Collie's losses; −log(σ(x) + 1e-10) for log BPR, as in RecBole; for
WARP the margins of all negatives, transposed, copied twice with a column of ones, binarised in place
and searched with argmax; for the softmax torch's cross entropy of all scores side by side, [B, K + 1].

Below them, a training step of matrix factorisation whose loss is given the scores of all negatives, beside
one whose loss is given the function that scores them (score, choose, score again).

Both sides of a row run in turn, A B A B …, in one process; a ratio is the median of the ratios of
neighbouring runs, with the quartiles beside it. Absolute times differ between machines and hours,
ratios much less.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import pairloss

Loss = Callable[..., Tensor]


def with_squares(loss: Tensor) -> Tensor:
    return (loss.sum() + loss.pow(2).sum()) / len(loss)


def published_credit(items: dict[str, Tensor], genre: Tensor, weight: float) -> Tensor:
    positive, negative = items["positive_items"], items["negative_items"]
    match = torch.zeros(positive.shape)
    match += (genre[positive.long()] == genre[negative.long()]).int() * weight
    return 1.0 - match


def published_bpr(positive: Tensor, negative: Tensor, d: Tensor | float = 1) -> Tensor:
    return with_squares(d - torch.sigmoid(positive - negative))


def published_hinge(positive: Tensor, negative: Tensor, d: Tensor | float = 1) -> Tensor:
    return with_squares(torch.clamp(d - (positive - negative), min=0))


def published_log_bpr(positive: Tensor, negative: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid(positive - negative) + 1e-10).mean()


def published_adaptive(judge: Loss) -> Loss:
    def loss(positive: Tensor, many: Tensor) -> Tensor:
        return judge(positive, many.max(0).values.squeeze())

    return loss


def published_warp(positive: Tensor, many: Tensor, d: Tensor | float = 1, num_items: int = 100_000) -> Tensor:
    d = d.transpose(0, 1) if isinstance(d, Tensor) else d
    margins = d - positive.view(-1, 1) + many.transpose(0, 1)
    size, tries = margins.shape
    ones = torch.ones(size, 1)
    padded = torch.cat([margins, ones], dim=1)
    binary = torch.cat([margins, ones], dim=1)
    binary[binary < 0] = 0
    binary[binary > 0] = 1
    first = (binary * torch.arange(tries + 1, 0, -1)).argmax(1)
    t = (first + 1).float()
    chosen = padded.flatten()[first + torch.arange(size) * (tries + 1)]
    return with_squares(torch.log(num_items / t) * chosen * (t <= tries).float())


def published_softmax(positive: Tensor, many: Tensor) -> Tensor:
    scores = torch.cat([positive.unsqueeze(1), many.T], dim=1)
    return torch.nn.functional.cross_entropy(scores, torch.zeros(len(positive), dtype=torch.int64))


def published_warp_with_credit(
    positive: Tensor, many: Tensor, genre: Tensor, positive_items: Tensor, negative_items: Tensor
) -> Tensor:
    items = {"positive_items": positive_items.repeat(len(many), 1), "negative_items": negative_items}
    return published_warp(positive, many, published_credit(items, genre, 0.25))


def cases(k: int, b: int) -> dict[str, tuple[Loss, Loss, tuple[Tensor, ...]]]:
    """For each loss: ours, the published one, and the scores both take."""
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(b, generator=generator).requires_grad_()
    negative = torch.randn(b, generator=generator).requires_grad_()
    many = torch.randn(k, b, generator=generator).requires_grad_()
    genre = torch.randint(20, (100_000,), generator=generator)
    positive_items = torch.randint(100_000, (b,), generator=generator)
    negative_items = torch.randint(100_000, (k, b), generator=generator)

    def warp(positive: Tensor, many: Tensor) -> Tensor:
        return pairloss.warp_loss(positive, many, 100_000)

    def warp_with_credit(positive: Tensor, many: Tensor) -> Tensor:
        return pairloss.warp_loss(
            positive, many, 100_000, positive_items, negative_items, {"genre": genre}, {"genre": 0.25}
        )

    def published_with_credit(positive: Tensor, many: Tensor) -> Tensor:
        return published_warp_with_credit(positive, many, genre, positive_items, negative_items)

    return {
        "bpr": (pairloss.bpr_loss, published_bpr, (positive, negative)),
        "hinge": (pairloss.hinge_loss, published_hinge, (positive, negative)),
        "log_bpr": (pairloss.log_bpr_loss, published_log_bpr, (positive, negative)),
        "adaptive_bpr": (pairloss.adaptive_bpr_loss, published_adaptive(published_bpr), (positive, many)),
        "adaptive_hinge": (pairloss.adaptive_hinge_loss, published_adaptive(published_hinge), (positive, many)),
        "warp": (warp, published_warp, (positive, many)),
        "softmax": (pairloss.softmax_loss, published_softmax, (positive, many)),
        "warp, credit": (warp_with_credit, published_with_credit, (positive, many)),
    }


def training_steps(k: int, b: int, dim: int = 64) -> dict[str, tuple[Loss, Loss, tuple[Tensor, ...]]]:
    """For each loss a step that scores negatives twice, one that scores them once, and the embeddings of both."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(b, dim, generator=generator).div_(dim).requires_grad_()
    items = torch.randn(100_000, dim, generator=generator).div_(dim).requires_grad_()
    positives = torch.randint(100_000, (b,), generator=generator)
    negatives = torch.randint(100_000, (k, b), generator=generator)

    def steps(loss: Loss) -> tuple[Loss, Loss, tuple[Tensor, ...]]:
        def run(users: Tensor, items: Tensor, twice: bool) -> Tensor:
            def score(ids: Tensor) -> Tensor:
                return (users * torch.nn.functional.embedding(ids, items)).sum(-1)

            many = score if twice else score(negatives)
            return loss(score(positives), many, 100_000, positives, negatives)

        return partial(run, twice=True), partial(run, twice=False), (users, items)

    names = "adaptive_bpr", "adaptive_hinge", "warp"
    return {name: steps(getattr(pairloss, f"{name}_loss")) for name in names}


def step(loss: Loss, scores: tuple[Tensor, ...]) -> float:
    """Seconds of one forward and backward."""
    start = time.perf_counter()
    torch.autograd.grad(loss(*scores), scores)
    return time.perf_counter() - start


def peak(loss: Loss, scores: tuple[Tensor, ...]) -> float:
    """Peak memory of one forward and backward, in multiples of the negatives' scores (Linux)."""

    def resident(field: str) -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field))

    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # makes the high-water mark start again
    before = resident("VmRSS")
    step(loss, scores)
    return (resident("VmHWM") - before) * 1024 / scores[1].nbytes


def compare(ours: Loss, published: Loss, scores: tuple[Tensor, ...], seconds: float) -> list[float]:
    """Ratios published / ours of neighbouring runs, for about ``seconds``."""
    for loss in (ours, published):
        step(loss, scores)
    ratios = []
    end = time.perf_counter() + seconds
    while len(ratios) < 7 or (time.perf_counter() < end and len(ratios) < 2000):
        ratios.append(step(published, scores) / step(ours, scores))
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="time for each row (default 3)")
    seconds = parser.parse_args().seconds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, forward + backward\n")
    print("| loss | K, B | published / ours: median | quartiles |")
    print("|---|---|---|---|")
    for k, b in [(5, 128), (10, 1024), (50, 65_536), (500, 16_000), (500, 16_384)]:
        for name, (ours, published, scores) in cases(k, b).items():
            torch.testing.assert_close(ours(*scores), published(*scores))
            first, median, third = statistics.quantiles(compare(ours, published, scores, seconds), n=4)
            size = f"{k}, {b}" if scores[1].ndim == 2 else f"{b}"
            print(f"| {name} | {size} | {median:.2f} | {first:.2f} – {third:.2f} |", flush=True)

    print("\n| training step | K, B | scored once / scored twice: median | quartiles |")
    print("|---|---|---|---|")
    for k, b in [(10, 1024), (50, 16_384), (512, 4096)]:
        for name, (twice, once, embeddings) in training_steps(k, b).items():
            torch.testing.assert_close(twice(*embeddings), once(*embeddings))
            first, median, third = statistics.quantiles(compare(twice, once, embeddings, seconds), n=4)
            print(f"| {name} | {k}, {b} | {median:.2f} | {first:.2f} – {third:.2f} |", flush=True)

    # From here on every large block is mapped and unmapped on its own, or freed memory would hide a peak.
    m_mmap_threshold = -3
    libc = ctypes.CDLL(None)
    libc.mallopt(m_mmap_threshold, 2**16)
    print("\nPeak memory at K, B = 50, 65536, in multiples of the negatives' scores\n")
    print("| loss | published | ours |")
    print("|---|---|---|")
    for name, (ours, published, scores) in cases(50, 65_536).items():
        if scores[1].ndim == 2:
            libc.malloc_trim(0)
            print(f"| {name} | {peak(published, scores):.1f} | {peak(ours, scores):.1f} |", flush=True)

    print("\nPeak memory of a training step at K, B = 512, 4096, in multiples of the items' vectors\n")
    print("| training step | scored once | scored twice |")
    print("|---|---|---|")
    for name, (twice, once, embeddings) in training_steps(512, 4096).items():
        libc.malloc_trim(0)
        print(f"| {name} | {peak(once, embeddings):.1f} | {peak(twice, embeddings):.1f} |", flush=True)


if __name__ == "__main__":
    main()
