"""Where the time of a step goes: each loss, its published form and the floor, and whole training steps.

The published forms are written here from their formulas, operation by operation. Collie's losses are sums of the plain
and the squared term. Log BPR is −log(σ(x) + 1e-10), as in RecBole. WARP has the margins of all negatives, transposed,
copied twice with a column of ones, binarised in place and searched with argmax. The softmax is torch's cross entropy of
all scores side by side, [B, K + 1]. The floor of a loss reads each score once and writes a gradient for each.

What is compared runs in turn, A B C A B C …, in one process. A ratio is the median of the ratios of
neighbouring runs, with the quartiles. Absolute times differ between machines and hours,
ratios much less. On a GPU its own events time the runs.

python benchmarks/pairs.py [--seconds 1]

fills the tables speed.csv (losses) and steps.csv (training steps, memory), prints both as Markdown and draws
the first, with the picture of the chapter "Speed and scale".
"""

import argparse
import ctypes
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from tables import ROOT, Row, definitions, read, write
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding

import pairloss

Loss = Callable[..., Tensor]
Inputs = tuple[Tensor, ...]
ITEMS = 100_000
SIZES = [(10, 1024), (50, 65_536), (500, 16_384)]  # K, B
FLAT_SIZES = [1024, 65_536, 2**20]  # B, where a loss takes one negative
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def with_squares(loss: Tensor) -> Tensor:
    return (loss.sum() + loss.pow(2).sum()) / len(loss)


def published_credit(positive_items: Tensor, negative_items: Tensor, genre: Tensor, weight: float = 0.25) -> Tensor:
    match = torch.zeros(negative_items.shape, device=genre.device)
    match += (genre[positive_items.expand_as(negative_items).long()] == genre[negative_items.long()]).int() * weight
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


def published_warp(positive: Tensor, many: Tensor, d: Tensor | float = 1, num_items: int = ITEMS) -> Tensor:
    d = d.transpose(0, 1) if isinstance(d, Tensor) else d
    margins = d - positive.view(-1, 1) + many.transpose(0, 1)
    size, tries = margins.shape
    ones = torch.ones(size, 1, device=many.device)
    padded = torch.cat([margins, ones], dim=1)
    binary = torch.cat([margins, ones], dim=1)
    binary[binary < 0] = 0
    binary[binary > 0] = 1
    first = (binary * torch.arange(tries + 1, 0, -1, device=many.device)).argmax(1)
    t = (first + 1).float()
    chosen = padded.flatten()[first + torch.arange(size, device=many.device) * (tries + 1)]
    return with_squares(torch.log(num_items / t) * chosen * (t <= tries).float())


def published_softmax(positive: Tensor, many: Tensor) -> Tensor:
    scores = torch.cat([positive.unsqueeze(1), many.T], dim=1)
    return cross_entropy(scores, torch.zeros(len(positive), dtype=torch.int64, device=many.device))


PUBLISHED: dict[str, Loss] = {
    "bpr": published_bpr,
    "hinge": published_hinge,
    "log_bpr": published_log_bpr,
    "adaptive_bpr": published_adaptive(published_bpr),
    "adaptive_hinge": published_adaptive(published_hinge),
    "warp": published_warp,
    "softmax": published_softmax,
}
FLAT = "bpr", "hinge", "log_bpr"
WITH_CREDIT = "bpr", "hinge", "warp"  # whose published forms take a d for every pair


def case(name: str, credit: bool, k: int, b: int, dtype: torch.dtype, device: str) -> tuple[Loss, Loss | None, Inputs]:
    """Ours, the published form if there is one, and the scores that both take."""
    generator = torch.Generator().manual_seed(0)
    shape = (b,) if name in FLAT else (k, b)
    positive, many = (
        torch.randn(size, generator=generator).to(device, dtype).requires_grad_() for size in ((b,), shape)
    )
    genre = torch.randint(20, (ITEMS,), generator=generator).to(device)
    ids = [torch.randint(ITEMS, size, generator=generator).to(device) for size in ((b,), shape)]
    options: dict[str, Any] = {}
    if credit:
        options |= {"metadata": {"genre": genre}, "metadata_weights": {"genre": 0.25}}
        options |= dict(zip(("positive_items", "negative_items"), ids, strict=True))
    options |= {"num_items": ITEMS} if name == "warp" else {}
    ours, published = partial(getattr(pairloss, f"{name}_loss"), **options), PUBLISHED[name]
    if not credit:
        return ours, published, (positive, many)

    def with_credit(positive: Tensor, many: Tensor) -> Tensor:
        return published(positive, many, published_credit(*ids, genre))

    return ours, with_credit if name in WITH_CREDIT else None, (positive, many)


# --- time and memory ----------------------------------------------------------------------------------------


def forward_and_backward(loss: Loss, scores: Inputs) -> None:
    torch.autograd.grad(loss(*scores), scores)


def floor(scores: Inputs) -> None:
    for values in scores:
        torch.neg(values.detach())


def seconds(run: Callable[[], object], device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def in_turn(runs: dict[str, Callable[[], object]], device: str, limit: float) -> dict[str, list[float]]:
    """Seconds of each run, one after the other, again and again for about ``limit`` seconds."""
    for run in runs.values():
        run()
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + limit
    while len(times[next(iter(runs))]) < 7 or (time.perf_counter() < end and len(times[next(iter(runs))]) < 1000):
        for name, run in runs.items():
            times[name].append(seconds(run, device))
    return times


def ratio(above: list[float], below: list[float]) -> dict[str, str]:
    """Median and quartiles of the ratios of neighbouring runs."""
    low, median, high = statistics.quantiles([a / b for a, b in zip(above, below, strict=True)], n=4)
    return {"ratio": f"{median:.3g}", "low": f"{low:.3g}", "high": f"{high:.3g}"}


def losses(device: str, limit: float) -> Iterator[Row]:
    """For each loss, size and dtype how long it and the published form take, divided by the floor."""
    for name, credit, dtype, (k, b) in (
        (name, credit, dtype, size)
        for name in PUBLISHED
        for credit in (False, True)
        for dtype in DTYPES
        for size in SIZES
    ):
        k, b = (1, FLAT_SIZES[SIZES.index((k, b))]) if name in FLAT else (k, b)
        ours, published, scores = case(name, credit, k, b, DTYPES[dtype], device)
        torch._dynamo.reset()
        ways: dict[str, Loss | None] = {
            "published": published,
            "eager": ours,
            "compiled": torch.compile(ours, dynamic=False),
        }
        runs: dict[str, Callable[[], object]] = {"floor": partial(floor, scores)}
        runs |= {way: partial(forward_and_backward, loss, scores) for way, loss in ways.items() if loss}
        times = in_turn(runs, device, limit)
        for way in (way for way in ways if way in runs):
            of = {"device": where(device), "loss": name, "credit": "genre" if credit else "", "dtype": dtype}
            of |= {"K": f"{k}", "B": f"{b}", "way": way}
            yield of | {"beside": "floor"} | ratio(times[way], times["floor"])
            if published and way != "published":
                yield of | {"beside": "published"} | ratio(times["published"], times[way])


def where(device: str) -> str:
    threads = torch.get_num_threads()
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} thread{'s' * (threads > 1)}"


# --- training steps -----------------------------------------------------------------------------------------


def embeddings(b: int, dim: int, device: str) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(rows, dim, generator=generator) / dim for rows in (b, ITEMS))
    return users.to(device).requires_grad_(), items.to(device).requires_grad_()


def scored(name: str, twice: bool, k: int, b: int, device: str) -> Loss:
    """The loss of users [B, D] and items [N, D] whose negatives are scored once, with gradients, or twice."""
    generator = torch.Generator().manual_seed(1)
    positives, negatives = (torch.randint(ITEMS, size, generator=generator).to(device) for size in ((b,), (k, b)))

    def loss(users: Tensor, items: Tensor) -> Tensor:
        def score(ids: Tensor) -> Tensor:
            return (users * embedding(ids, items)).sum(-1)

        many = score if twice else score(negatives)
        return getattr(pairloss, f"{name}_loss")(score(positives), many, ITEMS, positives, negatives)

    return loss


def steps(device: str, limit: float) -> Iterator[Row]:
    """Scoring once and twice, the parts of a step, what compiling it and bfloat16 bring, and peaks."""
    of = {"device": where(device)}
    for (k, b), name in (
        (size, name) for size in ((10, 1024), (50, 16_384), (512, 4096)) for name in ("adaptive_bpr", "warp")
    ):
        tensors = embeddings(b, 64, device)
        once, twice = (partial(forward_and_backward, scored(name, way, k, b, device), tensors) for way in (False, True))
        times = in_turn({"once": once, "twice": twice}, device, limit)
        what = {"what": f"{name}: scored once / twice", "K": f"{k}", "B": f"{b}"}
        yield of | what | ratio(times["once"], times["twice"])
    for k, b in ((10, 1024), (50, 16_384)):
        yield from (of | row for row in parts(k, b, device, limit))
    if device == "cpu":  # in a process of its own, whose memory is new
        with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (torch.get_num_threads(),)) as pool:
            yield from (of | row for row in pool.apply(peaks))


def parts(k: int, b: int, device: str, limit: float, people: int = 10_000, dim: int = 64) -> Iterator[Row]:
    """A step of matrix factorisation with WARP and Adam on 10,000 users and items, and its parts as shares of it."""
    generator = torch.Generator().manual_seed(0)
    u, i, j = (torch.randint(people, size, generator=generator).to(device) for size in ((b,), (b,), (k, b)))

    def tables(dtype: torch.dtype) -> tuple[torch.nn.Parameter, torch.nn.Parameter, torch.optim.Optimizer]:
        users, items = (torch.randn(people, dim, generator=generator).div(dim).to(device, dtype) for _ in range(2))
        pair = torch.nn.Parameter(users), torch.nn.Parameter(items)
        return *pair, torch.optim.Adam(pair, lr=1e-3, fused=True)

    users, items, optimizer = tables(torch.float32)
    half = tables(torch.bfloat16)

    def loss(users: Tensor, items: Tensor, twice: bool) -> Tensor:
        person = embedding(u, users)

        def score(ids: Tensor) -> Tensor:
            return (person * embedding(ids, items)).sum(-1)

        return pairloss.warp_loss(score(i), score if twice else score(j), people, i, j)

    def step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer = optimizer) -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    from torch._inductor import config  # seconds of work, which nothing else here needs

    once, twice = (partial(loss, users, items, way) for way in (False, True))
    begin = time.perf_counter()
    compiled = torch.compile(once, dynamic=False)
    with config.patch(force_disable_caches=True):  # as on a machine that never did this
        step(compiled)
    first = time.perf_counter() - begin
    person, vectors = embedding(u, users), embedding(j, items)
    scores = (person * embedding(i, items)).sum(-1), (person * vectors).sum(-1)
    leaves = tuple(values.detach().requires_grad_() for values in scores)
    whole = pairloss.warp_loss(*scores, people)
    runs: dict[str, Callable[[], object]] = {
        "step, scored once": partial(step, once),
        "step, scored twice": partial(step, twice),
        "step, compiled": partial(step, compiled),
        "step, bfloat16": partial(step, partial(loss, *half[:2], False), half[2]),
        "embedding": lambda: embedding(j, items.detach()),
        "scores": lambda: (person.detach() * vectors.detach()).sum(-1),
        "loss, forward": lambda: pairloss.warp_loss(*leaves, people),
        "loss, both ways": partial(forward_and_backward, partial(pairloss.warp_loss, num_items=people), leaves),
        "backward of all": lambda: torch.autograd.grad(whole, (users, items), retain_graph=True),
        "optimizer": optimizer.step,
    }
    times = in_turn(runs, device, limit * 2)
    of = {"K": f"{k}", "B": f"{b}"}
    for what in list(runs)[1:]:
        yield {"what": what} | of | ratio(times[what], times["step, scored once"])
    yield {"what": "seconds to compile"} | of | {"ratio": f"{first:.3g}", "low": "", "high": ""}


def peak(run: Callable[[], object]) -> int:
    """Peak memory of a run, in bytes (Linux)."""

    def resident(field: str) -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field))

    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # makes the high-water mark start again
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) * 1024


def peaks() -> list[Row]:
    """Peaks in multiples of the scores at K, B = 50, 65536, and of a step in multiples of the items' vectors."""
    # From here on every large block is mapped and unmapped on its own, or freed memory would hide a peak.
    m_mmap_threshold = -3
    ctypes.CDLL(None).mallopt(m_mmap_threshold, 2**16)
    rows = []

    def add(what: str, k: int, b: int, run: Callable[[], object], unit: Tensor) -> None:
        run()
        ratio = f"{peak(run) / unit.nbytes:.2f}"
        rows.append({"what": f"peak of {what}", "K": f"{k}", "B": f"{b}", "ratio": ratio, "low": "", "high": ""})

    for name, credit in [*((name, False) for name in PUBLISHED if name not in FLAT), ("warp", True)]:
        k, b = 50, 65_536
        ours, published, scores = case(name, credit, k, b, torch.float32, "cpu")
        for way, loss in (("published", published), ("ours", ours)):
            assert loss
            what = f"{name}{', credit' if credit else ''}: {way} / scores"
            add(what, k, b, partial(forward_and_backward, loss, scores), scores[1])
    for k, b in ((50, 16_384), (512, 4096)):
        tensors = embeddings(b, 64, "cpu")
        for twice in (False, True):
            what = f"a step: scored {'twice' if twice else 'once'} / vectors of the items"
            add(what, k, b, partial(forward_and_backward, scored("warp", twice, k, b, "cpu"), tensors), tensors[1])
    return rows


# --- tables -------------------------------------------------------------------------------------------------


def keep(table: str, rows: list[Row]) -> list[Row]:
    """Put new rows in the place of those of the same device in a table."""
    write(table, [*(row for row in read(table) if row["device"] != rows[0]["device"]), *rows])
    return rows


def markdown(rows: list[Row]) -> Iterator[str]:
    yield f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}"
    for row in rows:
        yield f"| {' | '.join(row.values())} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1, help="for each comparison (default 1)")
    limit = parser.parse_args().seconds
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__}, {where(device)}, forward + backward\n")
    print(*markdown(keep("speed", list(losses(device, limit)))), sep="\n")
    print(*markdown(keep("steps", list(steps(device, limit)))), sep="\n")
    chapter = definitions("speed", "_ = picture(")
    chapter["picture"](chapter["speed_of"]).savefig(ROOT / "benchmarks/speed.png", facecolor="white")


if __name__ == "__main__":
    main()
