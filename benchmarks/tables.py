"""What the long tasks share: code of the chapters, tables that are filled row by row, and intervals.

A task is a list of jobs, each named by the first columns of its table. What the table has is not run again, so a
task that broke off goes on where it was. A row is added as soon as it is done.
"""

import contextlib
import csv
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
TABLES, CHAPTERS = ROOT / "pairloss/figures/tables", ROOT / "book/chapters"

Row = dict[str, str]


def cells(chapter: str) -> list[dict[str, Any]]:
    """The cells of code of a chapter, with their outputs, without the one that installs the package on Colab."""
    found = json.loads((CHAPTERS / f"{chapter}.ipynb").read_text())["cells"]
    for cell in found:
        cell["source"], cell["tags"] = "".join(cell["source"]), cell["metadata"].get("tags", [])
    return [cell for cell in found if cell["cell_type"] == "code" and "remove-cell" not in cell["tags"]]


def definitions(chapter: str, until: str) -> dict[str, Any]:
    """What the cells of a chapter define, up to a line that starts with ``until``."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    names: dict[str, Any] = {}
    for cell in cells(chapter):
        source, experiment, _ = f"\n{cell['source']}".partition(f"\n{until}")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(source, names)
        plt.close("all")
        if experiment:
            return names
    raise ValueError(f"{chapter} has no cell with a line that starts with {until!r}")


def read(name: str) -> list[Row]:
    """The rows of a table, none where there is no such table yet."""
    path = TABLES / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def write(name: str, rows: Sequence[Row]) -> None:
    """Write a table, whole or not at all."""
    path = TABLES / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)


def numbers(cell: str) -> list[float]:
    return [float(word) for word in cell.split()]


def fill(name: str, jobs: Iterable[Row], work: Callable[[Row], Row], only: Iterable[Row] = ()) -> list[Row]:
    """Run the jobs that the table lacks, or ``only`` some of them, each on one thread, and give all rows in order."""
    from tqdm import tqdm

    jobs = {tuple(job.values()): job for job in jobs}
    keys = list(next(iter(jobs.values())))
    wanted = [tuple(job.values()) for job in only] or list(jobs)
    done = {tuple(row[key] for key in keys): row for row in read(name)}
    missing = [jobs[job] for job in dict.fromkeys(wanted) if job not in done]
    if missing:
        context = multiprocessing.get_context("spawn")
        with context.Pool(os.cpu_count(), torch.set_num_threads, (1,)) as pool:
            for row in tqdm(pool.imap_unordered(work, missing), name, total=len(missing)):
                done[tuple(row[key] for key in keys)] = row
                write(name, [done[job] for job in jobs if job in done])
    return [done[job] for job in jobs if job in done]


def interval(differences: Tensor) -> tuple[float, float, float]:
    """Mean of paired differences, and the ends of its 95 % t-interval."""
    from scipy.stats import t

    count = len(differences)
    half = t.ppf(0.975, count - 1) * differences.std().item() / count**0.5
    middle = differences.mean().item()
    return middle, middle - half, middle + half
