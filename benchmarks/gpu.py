"""Everything that this project asks of a GPU, in one command of under nine minutes.

It needs torch, numpy, matplotlib, hypothesis and pytest, no network and no installation:

    PYTHONPATH=. python benchmarks/gpu.py --out folder                 # or: make gpu OUT=folder
    PYTHONPATH=. python benchmarks/gpu.py --out folder --device cpu    # rehearses all of it, at small sizes

Each part runs in a process of its own, with a time limit, so that no part stops another. What is measured goes to
folder/speed_gpu.csv, what each part printed to folder/NAME.log, and a summary of all parts to the screen.
"""

import argparse
import ast
import contextlib
import csv
import importlib.machinery
import importlib.util
import io
import itertools
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pairs
import torch
from tables import CHAPTERS, Row, cells, definitions
from torch import Tensor
from torch.nn.functional import cross_entropy

import pairloss

ROOT = Path(__file__).parent.parent
DEVICE = os.environ.setdefault("DEVICE", "cuda")  # what tests/test_gpu.py reads, too
SMALL = DEVICE == "cpu"
HEAD = "device", "commit", "torch", "part", "what", "size", "way", "unit", "value", "low", "high"
SECONDS = 0.02 if SMALL else 0.3  # for each comparison


def row(what: str, size: str, way: str, unit: str, value: float, low: float | str = "", high: float | str = "") -> Row:
    numbers = [f"{number:.4g}" if isinstance(number, (int, float)) else number for number in (value, low, high)]
    return dict(zip(HEAD[4:], (what, size, way, unit, *numbers), strict=True))


class Operations(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts what torch calls: in the rehearsal the stand-in for launches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def launches(run: Callable[[], object]) -> int:
    """How many kernels a run launches."""
    run()
    if SMALL:
        with Operations() as operations:
            run()
        return operations.count
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def peak(run: Callable[[], object]) -> float:
    """Megabytes that a run holds at most, beyond what stood in memory before."""
    if SMALL:
        return pairs.peak(run) / 1e6
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def timed(what: str, size: str, runs: dict[str, Callable[[], object]], **extra: Callable[..., float]) -> Iterator[Row]:
    """Microseconds of each run, median and quartiles, and what ``extra`` says of it."""
    for way, times in pairs.in_turn(runs, DEVICE, SECONDS).items():
        low, median, high = (1e6 * number for number in pairs.statistics.quantiles(times, n=4))
        yield row(what, size, way, "microseconds", median, low, high)
        for unit, of in extra.items():
            yield row(what, size, way, unit, of(runs[way]))


# --- what is measured -------------------------------------------------------------------------------------------


def losses() -> Iterator[Row]:
    """Each loss, eager, compiled and in a CUDA graph, its published form and the floor."""
    from tests.test_gpu import graphed

    plain = [(name, False) for name in pairs.PUBLISHED]
    with_credit = [(name, True) for name in pairs.WITH_CREDIT]
    for (name, credit), (k, b) in itertools.product(
        plain + with_credit, ((3, 64),) if SMALL else ((10, 1024), (50, 65_536))
    ):
        ours, published, scores = pairs.case(name, credit, k, b, torch.float32, DEVICE)
        runs: dict[str, Callable[[], object]] = {"floor": partial(pairs.floor, scores)}
        ways = {"published": published, "eager": ours}
        if not SMALL or (name, credit) == ("hinge", True):  # in the rehearsal once, without C++
            torch._dynamo.reset()
            ways["compiled"] = torch.compile(ours, dynamic=False, backend="eager" if SMALL else "inductor")
        runs |= {way: partial(pairs.forward_and_backward, loss, scores) for way, loss in ways.items() if loss}
        runs["graphed"] = graphed(runs["eager"])
        yield from timed(f"{name}{', genres' if credit else ''}", f"{k} x {b}", runs, launches=launches)


def pieces() -> Iterator[Row]:
    """WARP with a scoring function that is asked for 2¹⁵ ids at a time, for the 2¹⁸ that a GPU gets, and for all."""
    k, b = (20, 4096) if SMALL else (200, 65_536)
    users, items = pairs.embeddings(b, 64, DEVICE)
    loss = pairs.scored("warp", True, k, b, DEVICE)
    whole = pairloss.batch.rows_in_a_piece
    for way, most in (("x 1", 2**15), ("x 8", 2**18), ("all", k * b)):
        pairloss.batch.rows_in_a_piece = lambda rows, entries, most=most: max(most // rows[0].numel(), 1)
        run = partial(pairs.forward_and_backward, loss, (users, items))
        yield from timed("warp, scored in pieces", f"{k} x {b}", {way: run}, launches=launches, megabytes=peak)
    pairloss.batch.rows_in_a_piece = whole


def made(num_users: int, num_items: int, choices: int) -> pairloss.Interactions:
    """Choices that fall on few items and few users, as people's do."""
    generator = torch.Generator(DEVICE).manual_seed(0)

    def drawn(size: int, power: float) -> Tensor:
        weights = torch.arange(1, size + 1, device=DEVICE, dtype=torch.float64).pow(-power)
        return torch.searchsorted(
            weights.cumsum(0) / weights.sum(),
            torch.rand(2 * choices, device=DEVICE, dtype=torch.float64, generator=generator),
        ).clamp(max=size - 1)

    once = torch.unique(drawn(num_users, 0.5) * num_items + drawn(num_items, 0.7))
    chosen = once[torch.randperm(len(once), device=DEVICE, generator=generator)[:choices]]
    return pairloss.Interactions(chosen // num_items, chosen % num_items, num_users, num_items)


def sampling() -> Iterator[Row]:
    """Negatives of a batch out of 50,000 items, from Interactions and from a matrix."""
    n = 500 if SMALL else 50_000
    data = made(n // 2, n, 10 * n)
    for k, b in ((10, 64),) if SMALL else ((10, 4096), (50, 16_384)):
        users = data.users[:b]
        runs: dict[str, Callable[[], object]] = {
            "Interactions": lambda users=users, k=k: pairloss.sample_negatives(users, data, k),
            "sparse matrix": lambda users=users, k=k: pairloss.sample_negatives(users, data.matrix, k),
        }
        yield from timed("sample_negatives", f"{k} x {b} of {n}", runs, launches=launches)


def graded() -> Iterator[Row]:
    """The hinge over all pairs of a list with five grades, by the dtype of the labels, and LambdaRank."""
    length = 300 if SMALL else 3000
    scores = torch.randn(length, device=DEVICE, requires_grad=True)
    grades = torch.arange(length, device=DEVICE) % 5
    of = {f"{dtype}".removeprefix("torch."): grades.to(dtype) for dtype in (torch.bool, torch.uint8, torch.int64)}
    runs: dict[str, Callable[[], object]] = {
        name: lambda labels=labels: torch.autograd.grad(pairloss.pairwise_hinge_loss(scores, labels), scores)
        for name, labels in of.items()
    }
    yield from timed("pairwise_hinge_loss", f"{length}", runs, launches=launches)
    for at in (None, 10):
        run = {"eager": lambda at=at: torch.autograd.grad(pairloss.lambdarank_loss(scores, grades, at=at), scores)}
        what = "lambdarank_loss" if at is None else f"lambdarank_loss, at={at}"
        yield from timed(what, f"{length}", run, launches=launches, megabytes=peak)


def catalogue() -> Iterator[Row]:
    """The softmax over all items, known ones left out, and torch's cross entropy of the same table."""
    n, b = (10_000, 16) if SMALL else (1_000_000, 256)
    generator = torch.Generator(DEVICE).manual_seed(0)
    users, items = (
        torch.randn(size, 64, device=DEVICE, generator=generator).div(8).requires_grad_() for size in (b, n)
    )
    positives = torch.arange(b, device=DEVICE)
    real = torch.arange(n, device=DEVICE)[:, None] != positives

    def ours() -> object:
        many = items @ users.T
        return torch.autograd.grad(pairloss.softmax_loss(many.diagonal(), many, negative_mask=real), (users, items))

    def torchs() -> object:
        return torch.autograd.grad(cross_entropy(users @ items.T, positives), (users, items))

    runs: dict[str, Callable[[], object]] = {"softmax_loss": ours, "cross_entropy": torchs}
    for own, other in zip(ours(), torchs(), strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-6)
    yield from timed("softmax over the catalogue", f"{n} x {b}", runs, launches=launches, megabytes=peak)


def training() -> Iterator[Row]:
    """An epoch of the loop of "Speed and scale" on data of the size of Gowalla, here and on the CPU cores."""
    sizes = (300, 400, 8000) if SMALL else (29_858, 40_988, 810_128)
    epoch, data = definitions("speed", "data = ")["epoch"], made(*sizes)
    known = data.matrix.to_dense().bool()
    for device, epochs in ((DEVICE, 4), ("cpu", 1)):
        with torch.device(device):
            generator = torch.Generator(device).manual_seed(0)
            person, thing = (
                torch.nn.Parameter(torch.randn(rows, dim, generator=generator) / 40)
                for rows, dim in ((sizes[0], 64), (sizes[1], 65))
            )
            adam = torch.optim.Adam([person, thing], lr=6e-3, fused=True)
            inputs = data.users.to(device), data.items.to(device), known.to(device)
            times, values = [], []
            for _ in range(epochs):
                begin = time.perf_counter()
                values.append(epoch(*inputs, person, thing, adam, generator))  # .item() waits for the end
                times.append(time.perf_counter() - begin)
        if epochs > 1 and not values[-1] < values[0]:
            raise AssertionError(f"the loss went from {values[0]:.3f} to {values[-1]:.3f}")
        way = f"{torch.get_num_threads()} threads of {platform.machine()}" if device == "cpu" else "GPU"
        yield row("epoch of WARP, 64 numbers", " x ".join(map(str, sizes)), way, "seconds", min(times))


# --- chapters ---------------------------------------------------------------------------------------------------


def stand_ins() -> None:
    """What a chapter imports for looks alone, where it is missing: a progress bar."""
    if not importlib.util.find_spec("tqdm"):
        sys.modules["tqdm"] = types.ModuleType("tqdm")
        sys.modules["tqdm"].__spec__ = importlib.machinery.ModuleSpec("tqdm", None)  # torch looks for it
        sys.modules["tqdm"].tqdm = lambda iterable, **options: iterable


def chapter(name: str) -> str | None:
    """The first difference of the outputs of a chapter from those that are stored, compared as nbval does."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("agg")
    stand_ins()
    os.chdir(CHAPTERS)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(name), 1):
        said, page, error = io.StringIO(), None, None
        *lines, last = ast.parse(cell["source"]).body
        try:
            with contextlib.redirect_stdout(said):
                if isinstance(last, ast.Expr):
                    exec(compile(ast.Module(lines, []), name, "exec"), names)
                    value = eval(compile(ast.Expression(last.value), name, "eval"), names)
                    page = value._repr_html_() if hasattr(value, "_repr_html_") else value
                else:
                    exec(cell["source"], names)
        except ImportError as missing:
            return f"skipped: {missing}"
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            if "raises-exception" not in cell["tags"]:
                return f"cell {number}: {traceback.format_exc(limit=-1)}"
        pictures, stored = len(plt.get_fignums()), cell["outputs"]
        plt.close("all")
        drawn: dict[str, Any] = {"stdout": said.getvalue(), "HTML": page, "error": error, "pictures": pictures}
        wanted = {
            "stdout": "".join("".join(output["text"]) for output in stored if output["output_type"] == "stream"),
            "HTML": next(
                ("".join(o["data"]["text/html"]) for o in stored if o["output_type"] == "execute_result"), None
            ),
            "error": next((f"{o['ename']}: {o['evalue']}" for o in stored if o["output_type"] == "error"), None),
            "pictures": sum("image/png" in output.get("data", {}) for output in stored),
        }
        for kind, expected in wanted.items():
            if drawn[kind] != expected:
                ours, theirs = (f"{side}".splitlines() for side in (drawn[kind], expected))
                first = next((pair for pair in itertools.zip_longest(ours, theirs) if pair[0] != pair[1]), ("", ""))
                return f"cell {number}, {kind}: {first[0]!r} instead of {first[1]!r}"
    return None


def chapters() -> None:
    """Every chapter in a process of its own, several at once."""
    wanted = ["one_name"] if SMALL else sorted(path.stem for path in CHAPTERS.glob("*.ipynb"))
    threads = 1 if SMALL else max((os.cpu_count() or 1) // len(wanted), 1)

    def run(name: str) -> tuple[str, str]:
        call = [sys.executable, __file__, "--chapter", name]
        environment = os.environ | {"OMP_NUM_THREADS": f"{threads}", "TQDM_DISABLE": "1"}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=LIMITS["chapters"])
        return name, done.stdout.strip() or done.stderr.strip()[-300:]

    with ThreadPoolExecutor(min(len(wanted), os.cpu_count() or 1)) as pool:
        for name, said in pool.map(run, wanted):
            print(f"{name}: {said}")
            if said != "as stored" and not said.startswith("skipped"):
                print(f"DIFFERS {name}: {said}")


# --- all parts --------------------------------------------------------------------------------------------------

MEASURED = {part.__name__: part for part in (losses, pieces, sampling, graded, catalogue, training)}
# Seconds. Planned on one data-centre GPU: 60, 170, 15, 10, 10, 15, 60 and 30, about six minutes. The limits are nine.
LIMITS = {"tests": 100, "losses": 190, "pieces": 25, "sampling": 20, "graded": 20, "catalogue": 25, "training": 60}
LIMITS["chapters"] = 100


def commit() -> str:
    with contextlib.suppress(OSError):
        told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        return told.stdout.strip() or os.environ.get("COMMIT", "unknown")
    return os.environ.get("COMMIT", "unknown")


def measure(part: str, out: Path) -> None:
    """Append what a part measures to the table, a row as soon as it is known."""
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    of = {"device": name, "commit": commit(), "torch": torch.__version__, "part": part}
    for measured in MEASURED[part]():
        print(*measured.values(), flush=True)
        with (out / "speed_gpu.csv").open("a", newline="") as lines:
            csv.DictWriter(lines, HEAD, lineterminator="\n").writerow(of | measured)


def run(part: str, out: Path) -> str:
    """Run a part in a process of its own, and say how it went."""
    call = [sys.executable, __file__, "--part", part, "--out", str(out)]
    if part == "tests":
        options = "-q -m gpu -p no:cacheprovider --tb=short --maxfail=20".split()
        call = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests/test_gpu.py")]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=out) as cache, (out / f"{part}.log").open("w") as log:
        caches = dict.fromkeys(("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR"), cache)
        path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        environment = os.environ | caches | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path}
        process = subprocess.Popen(call, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(LIMITS[part] * (3 if SMALL else 1))  # two cores stand for a GPU
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started
            code = process.wait()
    lines = (out / f"{part}.log").read_text().splitlines()
    took = f"{time.perf_counter() - begin:.0f} s"
    different = [line for line in lines if line.startswith(("DIFFERS", "E  ", "FAILED"))]
    if code == 0 and not different:
        skipped = [line for line in lines if "skipped" in line]
        return f"passed in {took}{'; ' if skipped else ''}{'; '.join(skipped[:3])}"
    reason = f"stopped at its limit, {took}" if code == -signal.SIGKILL else f"failed in {took}"
    return "\n".join([reason, *(f"    {line[:160]}" for line in (different or lines[-5:])[:12])])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the folder to write to; nothing else is written")
    parser.add_argument("--device", choices=("cuda", "cpu"), default=DEVICE)
    parser.add_argument("--part", choices=tuple(LIMITS), help="one part alone, in this process")
    parser.add_argument("--chapter", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.device != DEVICE:  # read when this file and the tests are imported
        os.environ["DEVICE"] = asked.device
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if asked.chapter:
        print(chapter(asked.chapter) or "as stored")
        return 0
    if asked.out is None:
        parser.error("--out is missing: the folder to write to")
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if asked.part in MEASURED:
        measure(asked.part, out)
        return 0
    if asked.part == "chapters":
        chapters()
        return 0
    if DEVICE == "cuda" and not torch.cuda.is_available():
        print("No CUDA device is here. To rehearse without one: --device cpu")
        return 1
    (out / "speed_gpu.csv").write_text(",".join(HEAD) + "\n")
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU (rehearsal)"
    print(f"{name}, torch {torch.__version__}, Python {platform.python_version()}, commit {commit()}", flush=True)
    ends = {}
    for part in LIMITS:
        if SMALL and part in list(MEASURED)[1:]:  # the first one tries what a process of its own needs
            with contextlib.redirect_stdout(io.StringIO()):
                measure(part, out)
            ends[part] = "passed"
        else:
            ends[part] = run(part, out)
        print(f"{part}: {ends[part]}", flush=True)
    return int(any(not end.startswith("passed") for end in ends.values()))


if __name__ == "__main__":
    sys.exit(main())
