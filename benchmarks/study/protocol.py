"""How a model is tuned, and how it is judged. Every model of a question has as many trials at most."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from tables import Row, read
from torch import Tensor

from pairloss import Interactions, metrics

from . import chapters
from .data import DEVICE, MADE, SIZES, Split, joined, split
from .losses import CREDIT
from .models import IN_A_POOL, STARTS, Scores, Setting, learn

EPOCHS = 100  # at most
TRIALS = dict.fromkeys(SIZES, 12) | dict.fromkeys((*MADE, *chapters.TUNED_FOR), 24)  # where a trial takes seconds
RISEN = 0.005  # NDCG. Below it a small learning rate has not begun to tell, and the epochs do not count


class Fit(NamedTuple):
    quality: float  # NDCG@k on the choices that validate, of the best epoch
    epoch: int
    scores: Scores | None


Lists = list[tuple[Tensor, Tensor, Tensor]]  # users [u], and what of theirs is held out and left out, [u, N] bool


def lists(held_out: Interactions, left_out: Interactions, step: int = 1) -> Lists:
    """What judges every ``step``-th user who has held-out choices, a thousand at a time."""
    users = torch.arange(0, held_out.num_users, step, device=held_out.users.device)
    judged = users[held_out.users.bincount(minlength=held_out.num_users)[users] > 0]
    tables = held_out.matrix, left_out.matrix
    return [(some, *(table.index_select(0, some).to_dense() > 0 for table in tables)) for some in judged.split(1000)]


def head(scores: Scores, judged: Lists, k: int) -> tuple[float, float]:
    """NDCG@k and recall@k as in ``pairloss.metrics``, without sorting the rest of the lists."""
    device = judged[0][0].device
    total, count = torch.zeros(2, dtype=torch.float64, device=device), 0
    discount = 1 / torch.log2(torch.arange(k, dtype=torch.float64, device=device) + 2)
    for users, held_out, left_out in judged:
        hits = held_out.gather(1, scores(users).masked_fill_(left_out, -torch.inf).topk(k).indices).double()
        liked = held_out.sum(1)
        ndcg = (hits * discount).sum(1) / discount.cumsum(0)[liked.clamp(max=k) - 1]
        total += torch.stack([ndcg, hits.sum(1) / liked]).sum(1)
        count += len(users)
    ndcg, recall = (total / count).tolist()
    return ndcg, recall


def fit(row: Row, setting: Setting, data: Split, seed: int) -> Fit:
    """The epoch that validates best."""
    batch, _, _, step, patience = SIZES[row["data"]]
    if row["data"] == "Electronic" and row["scores"].startswith(("dot", "cosine, no bias")):
        patience = 30  # without a bias or unit vectors quality goes up and down there on its way
    judged = lists(data.valid, data.train, step)
    best = Fit(-1.0, 0, None)
    for epoch, scores in enumerate(learn(row, setting, data.train, seed, batch), 1):
        quality, _ = head(scores, judged, data.k)
        if quality > best.quality:
            best = Fit(quality, epoch, scores)
        waited = best.quality > RISEN and epoch - best.epoch >= patience
        if waited or epoch >= EPOCHS or not math.isfinite(quality):
            break
    return best


def judge(scores: Scores, data: Split) -> dict[str, float]:
    """NDCG@k, recall@k and AUC on the choices that test."""
    seen = joined(data.train, data.valid)
    ndcg, recall = head(scores, lists(data.test, seen), data.k)
    return {"ndcg": ndcg, "recall": recall, "auc": metrics.auc(scores, data.test, exclude=seen).item()}


def search(quality: Callable[[Setting], float], start: Setting, trials: int) -> list[tuple[Setting, float, int]]:
    """Settings that were tried, with what each gave and the width of the step to it.

    A step from the best so far goes up or down in one direction, first in the one that led to it, by a factor of 3.
    When both neighbours in each direction are worse it is √3, and then its root.
    """
    tried: dict[tuple[int, ...], tuple[float, int]] = {}
    axes = range(len(start))
    directions = [tuple(sign * (axis == one) for axis in axes) for one in axes for sign in (1, -1)]

    def setting(place: tuple[int, ...]) -> Setting:
        return tuple(float(f"{middle * 3 ** (steps / 4):.3g}") for middle, steps in zip(start, place, strict=True))

    best = place = (0,) * len(start)
    last: tuple[int, ...] = ()
    step = 4
    while step and len(tried) < trials:
        tried[place] = quality(setting(place)), step
        if tried[place] > tried[best]:
            best = place
            directions.remove(last)
            directions.insert(0, last)
        for step in (width for width in (4, 2, 1, 0) if width <= step):
            around = {one: tuple(b + step * part for b, part in zip(best, one, strict=True)) for one in directions}
            last, place = next(((one, there) for one, there in around.items() if there not in tried), ((), ()))
            if place:
                break
    return [(setting(place), value, step) for place, (value, step) in tried.items()]


def start_of(row: Row) -> Setting:
    """Where the search for a setting begins. With partial credit it is the best without, and half the weight."""
    if row["data"] in chapters.TUNED_FOR:
        return 0.3, 1e-5, 100
    loss, *pool = row["loss"].partition(IN_A_POOL)
    if loss in CREDIT:
        wanted = {name: row[name] for name in ("data", "scores", "dimension", "tuned on")}
        wanted["loss"] = "".join((loss.partition(", ")[0], *pool))
        for plain in read("study"):
            if wanted.items() <= plain.items():
                return (*map(float, plain["setting"].split()), 0.5)
        raise ValueError(f"the table has no row for {wanted}; expected one, at whose setting the search begins")
    model = loss if loss in STARTS else row["scores"].partition(",")[0]
    return STARTS.get(f"{model} on {row['data']}", STARTS.get(model, ()))


def validated(row: Row, setting: Setting, seed: int) -> float:
    """What a setting gives on a split or in a world that tunes."""
    if measure := chapters.TUNED_FOR.get(row["data"]):
        return chapters.run(row, setting, seed)[measure]
    return fit(row, setting, split(row["data"], seed), seed).quality


def outcome(row: Row, setting: Setting, seed: int) -> dict[str, float]:
    """What it gives on a split or in a world that judges, and after how many epochs."""
    if row["data"] in chapters.TUNED_FOR:
        return chapters.run(row, setting, seed)
    data = split(row["data"], seed)
    best = fit(row, setting, data, seed)
    found: dict[str, float] = {"epochs": best.epoch} | judge(best.scores, data)
    if data.k == 20:  # where test choices are published, also after learning from the choices that validate
        again = learn(row, setting, joined(data.train, data.valid), seed, SIZES[row["data"]][0])
        of_all = judge(next(itertools.islice(again, best.epoch - 1, None)), data)
        found |= {f"{name}-of-all": value for name, value in of_all.items()}
    return found


def work(row: Row) -> Row:
    """One row of the table: tuned on splits of its own, then judged on the others."""
    _, tuning, judging, _, _ = SIZES[row["data"]]
    first = int(row["tuned on"])

    def quality(setting: Setting) -> float:
        return sum(validated(row, setting, seed) for seed in range(first, first + tuning)) / tuning

    tried = search(quality, start_of(row), TRIALS[row["data"]])
    own, best, _ = max(tried, key=lambda one: one[1])
    results = [outcome(row, own, seed) for seed in range(judging)]
    names = ("epochs", "ndcg", "recall", "auc", "ndcg-of-all", "recall-of-all", "auc-of-all")
    return row | {
        "setting": " ".join(f"{part:g}" for part in own),
        "validates": f"{best:.4f}",
        "inside": f"{min(step for *_, step in tried) < 4}",
        "tried": "; ".join(" ".join(f"{part:g}" for part in (*one, round(value, 4))) for one, value, _ in tried),
        "device": DEVICE,
        **{name: " ".join(f"{each[name]:.4g}" for each in results if name in each) for name in names},
    }
