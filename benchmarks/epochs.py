"""An epoch of the quick loop of the chapter "Speed and scale", as it is and compiled, and epochs of other libraries.

On generated films and on choices of the size of Gowalla, with 16 and 64 numbers, on one thread and on two. What is
compared runs in turn, A B C A B C …, in one process. A ratio is the median of the ratios of neighbouring runs, with the
quartiles, to LightFM's WARP. Seconds go by the clock, so that threads count.

python benchmarks/epochs.py [--rounds 7]

fills the table epochs.csv and prints it. It runs where ``make study`` runs.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from pairs import markdown, ratio
from tables import Row, definitions, write

import pairloss

os.environ.setdefault("DEVICE", "cpu")
from gpu import made

DATA: dict[str, Callable[[], pairloss.Interactions]] = {
    "films": pairloss.datasets.generate,
    "Gowalla": lambda: made(29_858, 40_988, 810_128),
}
WAYS = ("LightFM WARP", "LightFM BPR", "implicit BPR", "implicit ALS", "pairloss", "pairloss, compiled")
K = 10


def loop(way: str, data: pairloss.Interactions, dim: int, threads: int) -> Callable[[], Any]:
    """One epoch of a model that is ready to learn."""
    if way.startswith("pairloss"):
        names = definitions("speed", "data = ")
        loss_of = torch.compile(names["loss_of"]) if "compiled" in way else names["loss_of"]
        generator = torch.Generator().manual_seed(0)
        person, thing = (
            torch.nn.Parameter(torch.randn(rows, width, generator=generator) / (2.5 * dim))
            for rows, width in ((data.num_users, dim), (data.num_items, dim + 1))
        )
        adam = torch.optim.Adam([person, thing], lr=6e-3, weight_decay=3e-3, fused=True)
        known = torch.zeros(data.num_users, data.num_items, dtype=torch.bool)
        known[data.users, data.items] = True
        return lambda: names["epoch"](data.users, data.items, known, person, thing, adam, generator, loss_of, K)
    from scipy.sparse import coo_matrix

    chosen = data.users.numpy(), data.items.numpy()
    matrix = coo_matrix((torch.ones(len(data.users)).numpy(), chosen), (data.num_users, data.num_items))
    if way.startswith("LightFM"):
        from lightfm import LightFM

        model = LightFM(dim, loss=way.split()[1].lower(), learning_rate=0.05, random_state=0, max_sampled=K)
        return lambda: model.fit_partial(matrix, epochs=1, num_threads=threads)
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    options = {"factors": dim, "iterations": 1, "num_threads": threads, "random_state": 0}
    other = AlternatingLeastSquares(**options) if way.endswith("ALS") else BayesianPersonalizedRanking(**options)
    rows = matrix.tocsr()
    return lambda: other.fit(rows, show_progress=False)


def rows(of: str, dim: int, threads: int, rounds: int) -> list[Row]:
    torch.set_num_threads(threads)
    data = DATA[of]()
    runs = {way: loop(way, data, dim, threads) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for round_ in range(rounds + 1):
        for way, run in runs.items():
            begin = time.perf_counter()
            run()
            if round_:  # the first compiles
                times[way].append(time.perf_counter() - begin)
    found = []
    for way, own in times.items():
        row = {"data": of, "loop": way, "dimension": f"{dim}", "threads": f"{threads}"}
        found.append(row | {"seconds": f"{statistics.median(own):.3g}"} | ratio(own, times["LightFM WARP"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    table: list[Row] = []
    for of in DATA:
        for dim, threads in ((16, 1), (64, 1), (16, 2), (64, 2)):
            table += rows(of, dim, threads, rounds if of == "films" else max(rounds // 2, 1))
            write("epochs", table)
    print(*markdown(table), sep="\n")


if __name__ == "__main__":
    main()
