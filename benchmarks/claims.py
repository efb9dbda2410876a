"""What the chapters say of one loss compared with another, under the rule of the house.

Before a sentence says that A beats B, each gets its own step size, decay and number of steps on worlds that are not
judged. Then both are judged on fresh ones, paired, with an interval. The code comes from the chapters. Three tables:
what was tried (means over the tuning worlds), what was judged (a row for each world), and two experiments in which
nothing is drawn. `order` is AUC, or in free scores the share of all pairs in their true order.

python benchmarks/claims.py [processes]
"""

import functools
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import torch
from tables import Row, definitions, fill, interval, numbers, read, words

import pairloss

TUNING, JUDGED, EXACT = "claims-tuning", "claims-judged", "claims-exact"


# What is tried: for each experiment and kind of data the losses, a grid, and the worlds that tune and that judge.

LISTS = ("pointwise", "hinge, all pairs", "LambdaRank", "softmax", "hinge, all pairs, power 2")
FORMS = ("paper, LightFM", "RecBole", "Spotlight", "torchmf", "Collie")
KINDS = {"clean": 0.0, "20 % turned around": 0.2, "close calls": "close calls"}

Grid = tuple[Sequence[str], Sequence[float], Sequence[float], Sequence[int], Sequence[int], Sequence[int]]
GRIDS: dict[tuple[str, str], Grid] = {
    # (experiment, data): losses, step sizes, decays, epochs or steps, worlds that tune, worlds that judge
    ("lists", ""): (LISTS, (0.01, 0.05, 0.2), (0.0, 1e-3, 1e-2), (30, 100, 300), (100, 101, 102), range(200, 210)),
    **{
        ("one_name", kind): (FORMS, (0.05, 0.2), (0.0, 1e-3, 3e-3), (50, 200, 800), range(100, 104), range(200, 210))
        for kind in KINDS
    },
}
CHAPTERS_OWN = {  # step size, decay, epochs or steps that the chapter gives to all
    "lists": (0.1, 0.0, 50),
    "one_name": (0.05, 0.0, 200),
}


# The chapters' code, and what is measured with it.


@functools.lru_cache(maxsize=4)
def chapter(name: str, until: str, data: str | None = None) -> dict[str, Any]:
    return definitions(name, until, data)


def curve_of_lists(data: str, loss: str, lr: float, decay: float, lengths: Sequence[int], world: int) -> list[Row]:
    names = chapter("lists", "results = ")
    squares = names["flat"](functools.partial(pairloss.pairwise_hinge_loss, power=2))
    function = (names["candidates"] | {"hinge, all pairs, power 2": squares})[loss]
    found = [names["learn"](function, world, steps=steps, lr=lr, decay=decay) for steps in lengths]
    return [{"ndcg": ndcg, "order": auc} for ndcg, auc in found]


def curve_of_forms(data: str, form: str, lr: float, decay: float, lengths: Sequence[int], world: int) -> list[Row]:
    names = chapter("one_name", "results = ")
    loss = names["reduced"](names["names"][form])
    found = [names["true_order"](loss, KINDS[data], [world], lr=lr, decay=decay, steps=steps) for steps in lengths]
    return [{"order": order.item()} for order in found]


CURVES = {"lists": curve_of_lists, "one_name": curve_of_forms}


def tuning_jobs(grids: Sequence[tuple[str, str]]) -> list[Row]:
    jobs = []
    for experiment, data in grids:
        losses, sizes, decays, lengths, _, _ = GRIDS[experiment, data]
        for loss in losses:
            for lr, decay in itertools.product(sizes, decays):
                row = {"experiment": experiment, "data": data, "loss": loss, "lr": f"{lr:g}", "decay": f"{decay:g}"}
                jobs.append(row | {"lengths": words(lengths)})
    return jobs


def tune(row: Row) -> Row:
    """What a setting gives after each of the lengths, in the mean over the worlds that tune."""
    worlds, lengths = GRIDS[row["experiment"], row["data"]][4], [int(word) for word in row["lengths"].split()]
    setting = row["data"], row["loss"], float(row["lr"]), float(row["decay"]), lengths
    curves = [CURVES[row["experiment"]](*setting, world) for world in worlds]
    measures = {}
    for name in ("ndcg", "order"):
        means = [
            sum(point[name] for point in points) / len(worlds)
            for points in zip(*curves, strict=True)
            if name in points[0]
        ]
        measures[name] = words(means, 4)
    return row | measures


def own(experiment: str, data: str, loss: str, measure: str) -> tuple[float, float, int]:
    """The best of the grid: step size, decay, and epochs or steps."""
    tried = []
    for row in read(TUNING):
        if (row["experiment"], row["data"], row["loss"]) == (experiment, data, loss):
            for quality, length in zip(numbers(row[measure]), numbers(row["lengths"]), strict=True):
                tried.append((quality, float(row["lr"]), float(row["decay"]), int(length)))
    return max(tried, key=lambda setting: setting[0])[1:]


def job(experiment: str, data: str, loss: str, setting: str, lr: float, decay: float, length: int, world: int) -> Row:
    row = {"experiment": experiment, "data": data, "loss": loss, "setting": setting, "lr": f"{lr:g}"}
    return row | {"decay": f"{decay:g}", "length": str(length), "world": str(world)}


def judging_jobs(grids: Sequence[tuple[str, str]]) -> list[Row]:
    jobs = []
    for experiment, data in grids:
        losses, *_, worlds = GRIDS[experiment, data]
        for loss in losses:
            settings = {"own": own(experiment, data, loss, "order" if experiment == "one_name" else "ndcg")}
            if experiment == "lists":
                settings = {"own for NDCG": settings["own"], "own for AUC": own(experiment, data, loss, "order")}
            if experiment in CHAPTERS_OWN:
                settings["shared"] = CHAPTERS_OWN[experiment]
            for (setting, values), world in itertools.product(settings.items(), worlds):
                jobs.append(job(experiment, data, loss, setting, *values, world))
    return jobs


def judge(row: Row) -> Row:
    setting = row["data"], row["loss"], float(row["lr"]), float(row["decay"]), [int(row["length"])]
    (found,) = CURVES[row["experiment"]](*setting, int(row["world"]))
    return row | {name: f"{found[name]:.4f}" if name in found else "" for name in ("ndcg", "order")}


def exact_jobs() -> list[Row]:
    lengths = {0.1: 30_000, 0.5: 10_000, 2.0: 3_000}
    gaps = [
        {
            "experiment": "partial_credit",
            "loss": loss,
            "size": f"{size:g}",
            "credit": f"{credit:g}",
            "steps": f"{steps}",
        }
        for loss, credit, (size, steps) in itertools.product(("BPR", "hinge", "log BPR"), (0.25, 0.5), lengths.items())
    ]
    right = [
        {"experiment": "standard_losses", "loss": loss, "size": f"{size:g}", "credit": "", "steps": ""}
        for loss, size in itertools.product(("BPR", "hinge", "log BPR"), (0.03, 0.1, 0.3))
    ]
    return gaps + right


def compute(row: Row) -> Row:
    """Leads over related and other films after 1, 10 and 100 % of the steps, or steps until the order is right."""
    if row["experiment"] == "standard_losses":
        names = chapter("standard_losses", "starts = ")
        loss = getattr(pairloss, f"{row['loss'].lower().replace(' ', '_')}_loss")
        counts = [names["steps_until_right"](loss, -float(x), size=float(row["size"])) for x in range(1, 7)]
        return row | {"related": "", "other": "", "largest": "", "until right": words(counts)}
    names, steps = chapter("partial_credit", "paths = "), int(row["steps"])
    path = names["gaps"](names["terms"][row["loss"]], float(row["credit"]), steps=steps, size=float(row["size"]))
    at = path[[steps // 100 - 1, steps // 10 - 1, steps - 1]]
    largest = words(path.amax(0).tolist(), 3)
    leads = {"related": words(at[:, 0].tolist(), 3), "other": words(at[:, 1].tolist(), 3), "largest": largest}
    return row | leads | {"until right": ""}


# What the tables say.

COMPARED = {
    "lists": [(loss, "hinge, all pairs") for loss in LISTS if loss != "hinge, all pairs"]
    + [("LambdaRank", "softmax"), ("LambdaRank", "hinge, all pairs, power 2"), ("LambdaRank", "pointwise")]
    + [("softmax", "pointwise"), ("softmax", "hinge, all pairs, power 2")],
    "one_name": [(form, "paper, LightFM") for form in FORMS[1:]]
    + [("torchmf", "Spotlight"), ("torchmf", "Collie"), ("Spotlight", "Collie")],
}
MEASURES = {"ndcg": "NDCG@10", "order": "AUC"}


def difference(one: list[Row], other: list[Row], measure: str) -> str:
    pairs = zip(one, other, strict=True)
    mean, low, high = interval(torch.tensor([float(a[measure]) - float(b[measure]) for a, b in pairs]))
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def report(judged: list[Row]) -> None:
    cells: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in judged:
        cells.setdefault((row["experiment"], row["data"], row["setting"], row["loss"]), []).append(row)
    for (experiment, data, setting, loss), rows in cells.items():
        known = [name for name in MEASURES if rows[0][name]]
        means = {name: torch.tensor([float(row[name]) for row in rows]) for name in known}
        text = [f"{MEASURES[name]} {values.mean():.3f} ± {values.std():.3f}" for name, values in means.items()]
        chosen = words((rows[0]["lr"], rows[0]["decay"], rows[0]["length"]))
        print(f"{experiment}, {data}, {setting}: {loss} ({chosen}): {'; '.join(text)}")
    print()
    for (experiment, data, setting, loss), rows in cells.items():
        others = [other for one, other in COMPARED[experiment] if one == loss]
        pairs = [(f"{loss} − {o}", cells[key]) for o in others if (key := (experiment, data, setting, o)) in cells]
        for what, other in pairs:
            known = [name for name in MEASURES if rows[0][name] and other[0][name]]
            text = "; ".join(f"{MEASURES[name]} {difference(rows, other, name)}" for name in known)
            print(f"{experiment}, {data}, {setting}: {what}: {text}")


def main() -> None:
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else None
    exact = fill(EXACT, exact_jobs(), compute, processes)
    grids = list(GRIDS)
    fill(TUNING, tuning_jobs(grids), tune, processes)
    judged = fill(JUDGED, judging_jobs(grids), judge, processes)
    report(judged)
    for row in exact:
        print(words(value for value in row.values() if value))


if __name__ == "__main__":
    main()
