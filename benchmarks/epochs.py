"""An epoch of WARP: the quick loop of the chapter "Speed and scale" and LightFM, in turn.

Generated films, 16 numbers on one thread and 64 on two; seconds by the clock, so that threads count. Then what the
quick loop recommends compared with the loop of the chapter "A fair comparison": nine settings each on a split of
its own, the best of them on five others.

python benchmarks/epochs.py

fills benchmarks/tables/epochs.csv and epochs_quality.csv and prints both. It runs where ``make study`` runs.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pairs import markdown, ratio
from tables import Row, definitions, words, write
from torch import Tensor

import pairloss

K, EPOCHS, EVERY, ROUNDS, TUNED_ON = 10, 60, 3, 9, 100
GRID = tuple(itertools.product((3e-3, 6e-3, 1.2e-2), (1e-3, 3e-3, 1e-2)))  # learning rate, weight decay
Setting = tuple[float, float]
Quality = tuple[float, Tensor]  # NDCG@10 on the choices that validate, and the scores of that epoch


def quick(train: Tensor, dim: int, setting: Setting, batch: int, seed: int) -> tuple[Callable[[], Any], Tensor, Tensor]:
    """The chapter's function as a call for one epoch, and the vectors of its model, the last column a bias."""
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
        epoch(users, items, train, person, thing, adam, generator, batch, K)

    return one, person.data, thing.data


def seconds(dim: int, threads: int, train: Tensor) -> Iterator[Row]:
    """Of an epoch, and how many times those of LightFM, which has the first row."""
    from lightfm import LightFM
    from scipy.sparse import coo_matrix

    torch.set_num_threads(threads)
    options = {"learning_rate": 0.05, "item_alpha": 1e-3, "user_alpha": 1e-3, "max_sampled": K}
    model, matrix = LightFM(dim, loss="warp", random_state=0, **options), coo_matrix(train.float().numpy())
    runs = {  # and how many epochs a call takes
        "LightFM": (lambda: model.fit_partial(matrix, epochs=EVERY, num_threads=threads), EVERY),
        **{f"quick, {batch:,}": (quick(train, dim, (6e-3, 3e-3), batch, 0)[0], 1) for batch in (4096, 8192)},
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


def best_of_quick(names: dict[str, Any], parts: list[Tensor], setting: Setting, seed: int) -> Quality:
    one, person, thing = quick(parts[0], 16, setting, 4096, seed)
    found: Quality = (-1.0, person)
    for _ in range(0, EPOCHS, EVERY):
        for _ in range(EVERY):
            one()
        scores = person @ thing[:, :-1].T + thing[:, -1]
        found = max(found, (names["top"](scores, parts[0], parts[1])[0], scores), key=lambda one: one[0])
    return found


def best_of_exact(names: dict[str, Any], parts: list[Tensor], setting: Setting, seed: int) -> Quality:
    warp = pairloss.WARPLoss(names["data"].num_items)
    scores, curve = names["learn"](warp, K, EPOCHS, *parts[:2], seed, lr=setting[0], weight_decay=setting[1])
    return max(curve), scores


def quality(names: dict[str, Any], best: Callable[..., Quality]) -> Row:
    tuning = names["split"](TUNED_ON)
    own = max(GRID, key=lambda setting: best(names, tuning, setting, TUNED_ON)[0])
    judged = []
    for seed, parts in enumerate(names["splits"]):
        _, scores = best(names, parts, own, seed)
        judged.append(names["top"](scores, parts[0] | parts[1], parts[2])[0])
    return {"setting": words(f"{part:g}" for part in own), "ndcg": words(judged, 4)}


def main() -> None:
    names = definitions("training", "plain = ")
    rows = [row for job in ((16, 1), (64, 2)) for row in seconds(*job, names["splits"][0][0])]
    write("epochs", rows)
    print(*markdown(rows), sep="\n")
    torch.set_num_threads(1)
    judged = [{"loop": loop} | quality(names, best) for loop, best in LOOPS.items()]
    write("epochs_quality", judged)
    print(*markdown(judged), sep="\n")


LOOPS = {"exact": best_of_exact, "quick": best_of_quick}

if __name__ == "__main__":
    main()
