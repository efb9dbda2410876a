"""Experiments of two chapters: how well a loss orders the made lists or pairs of a world, by the chapters' own code."""

import functools
from typing import Any

from tables import Row, definitions

from . import DEVICE

KINDS: dict[str, float | str] = {"clean pairs": 0.0, "pairs turned around": 0.2, "close calls": "close calls"}
TUNED_FOR = {"lists for NDCG": "ndcg", "lists for AUC": "auc"} | dict.fromkeys(KINDS, "auc")
LISTS = ("pointwise", "hinge, all pairs", "LambdaRank", "softmax")
FORMS = ("paper, LightFM", "RecBole", "Spotlight", "torchmf", "Collie")

SEED = 3000  # of the first world


@functools.cache
def chapter(name: str) -> dict[str, Any]:
    """What the cells of a chapter define before its experiment, for the device of the study."""
    names = definitions(name, "results = ")
    names["device"] = DEVICE
    return names


def run(row: Row, setting: tuple[float, ...], world: int) -> dict[str, float]:
    """The setting is the learning rate, the weight decay and the number of steps. AUC of pairs is of all pairs."""
    lr, decay, steps = setting
    words = {"lr": lr, "decay": decay, "steps": round(steps)}
    if row["data"] in KINDS:
        names = chapter("one_name")
        form = names["reduced"](names["names"][row["loss"]])
        return {"auc": names["true_order"](form, KINDS[row["data"]], [SEED + world], **words).item()}
    names = chapter("lists")
    loss = names["candidates"][row["loss"]]
    return dict(zip(("ndcg", "auc"), names["learn"](loss, SEED + world, **words), strict=True))
