"""An epoch of WARP: the quick loop of the chapter "Speed and scale", the loop of peers.py, and LightFM, in turn.

Generated films, 16 numbers on one thread and 64 on two; seconds by the clock, so that threads count. Then what the
quick loop recommends beside the other, whose figures are in peers.csv: nine settings on a split of its own, the best
of them on the five splits that are judged, paired.

python benchmarks/epochs.py

fills benchmarks/tables/epochs.csv and epochs_quality.csv and prints both. It runs where ``make peers`` runs.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import peers
import torch
from pairs import markdown, ratio
from tables import Row, definitions, interval, read, write
from torch import Tensor

NAME, ROUNDS = "generated films", 9
GRID = tuple(itertools.product((3e-3, 6e-3, 1.2e-2), (1e-3, 3e-3, 1e-2)))  # step size, decay


def quick(
    train: Tensor, dim: int, setting: peers.Setting, batch: int, seed: int
) -> tuple[Callable[[], Any], peers.Parts]:
    """The chapter's function as a call for one epoch, and the parts of its model."""
    epoch = definitions("speed", "data = ")["epoch"]
    generator = torch.Generator().manual_seed(seed)
    users, items = train.nonzero(as_tuple=True)
    start = (
        torch.randn(rows, width, generator=generator) / (2.5 * dim)
        for rows, width in zip(train.shape, (dim, dim + 1), strict=True)
    )
    person, thing = (torch.nn.Parameter(table) for table in start)
    thing.data[:, -1] = 0
    adam = torch.optim.Adam([person, thing], lr=setting[0], weight_decay=setting[1], fused=True)

    def one() -> None:
        epoch(users, items, train, person, thing, adam, generator, batch, peers.K)

    return one, (person.data, thing.data[:, :-1], thing.data[:, -1])


def seconds(dim: int, threads: int, train: Tensor) -> Iterator[Row]:
    """Of an epoch, and how many times those of LightFM, which has the first row."""
    from lightfm import LightFM

    torch.set_num_threads(threads)
    options = {"learning_rate": 0.05, "item_alpha": 1e-3, "user_alpha": 1e-3, "max_sampled": peers.K}
    model, matrix = LightFM(dim, loss="warp", random_state=0, **options), peers.matrix(train).tocoo()
    setting = (6e-3, 3e-3)
    loop = peers.ours("WARP", dim, [setting], train, 0, 1024)
    runs = {  # and how many epochs a call takes
        "LightFM": (lambda: model.fit_partial(matrix, epochs=peers.EVERY, num_threads=threads), peers.EVERY),
        "exact draws, 1,024": (lambda: next(loop), peers.EVERY),
        **{f"quick, {batch:,}": (quick(train, dim, setting, batch, 0)[0], 1) for batch in (4096, 8192)},
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, (run, epochs) in runs.items():
            begin = time.perf_counter()
            run()
            if round_:
                times[name].append((time.perf_counter() - begin) / epochs)
    for name, own in times.items():
        of = {"loop": name, "dimension": f"{dim}", "threads": f"{threads}"}
        yield of | {"seconds": f"{statistics.median(own):.3g}"} | ratio(own, times["LightFM"])


def best(tables: list[Tensor], setting: peers.Setting, seed: int) -> tuple[float, peers.Parts]:
    one, parts = quick(tables[0], peers.DIM, setting, 4096, seed)
    found: tuple[float, peers.Parts] = (-1.0, ())
    for _ in range(0, 60, peers.EVERY):
        for _ in range(peers.EVERY):
            one()
        quality = peers.chapter()["top"](peers.scores(parts), tables[0], tables[1])[0]
        if quality > found[0]:
            found = quality, tuple(part.clone() for part in parts)
    return found


def main() -> None:
    data = peers.load(NAME, ())
    train = peers.split(NAME, data, 0)[0]
    rows = [row for job in ((16, 1), (64, 2)) for row in seconds(*job, train)]
    write("epochs", rows)
    print(*markdown(rows), sep="\n")
    torch.set_num_threads(1)
    tuning = peers.split(NAME, data, peers.TUNED_ON)
    own = max(GRID, key=lambda setting: best(tuning, setting, peers.TUNED_ON)[0])
    judged = []
    for seed in peers.JUDGED_ON:
        tables = peers.split(NAME, data, seed)
        judged.append(peers.measures(best(tables, own, seed)[1], tables)[0])
    [other] = [row for row in read("peers") if (row["data"], row["model"]) == (NAME, "WARP")]
    quality = [
        {"loop": "exact", "setting": other["setting"], "ndcg": other["ndcg"]},
        {"loop": "quick", "setting": f"{own[0]:g} {own[1]:g}", "ndcg": " ".join(f"{value:.4f}" for value in judged)},
    ]
    write("epochs_quality", quality)
    print(*markdown(quality), sep="\n")
    exact, quicker = (peers.values(row, "ndcg") for row in quality)
    mean, low, high = interval(quicker - exact)
    print(f"NDCG@10, quick - exact: {mean:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
