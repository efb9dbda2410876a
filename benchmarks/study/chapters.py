"""Experiments of two chapters: how well a loss orders the made lists or pairs of a world, by the chapters' own code."""

import functools

from tables import definitions

KINDS: dict[str, float | str] = {"clean pairs": 0.0, "pairs turned around": 0.2, "close calls": "close calls"}
TUNED_FOR = {"lists for NDCG": "ndcg", "lists for AUC": "auc"} | dict.fromkeys(KINDS, "auc")
LISTS = ("pointwise", "hinge, all pairs", "LambdaRank", "softmax")
FORMS = ("paper, LightFM", "RecBole", "Spotlight", "torchmf", "Collie")

chapter = functools.cache(definitions)


def run(data: str, loss: str, setting: tuple[float, ...], world: int) -> dict[str, float]:
    """The setting is the learning rate, the weight decay and the number of steps. AUC of pairs is of all pairs."""
    lr, decay, steps = setting
    words = {"lr": lr, "decay": decay, "steps": round(steps)}
    if data in KINDS:
        names = chapter("one_name", "results = ")
        form = names["reduced"](names["names"][loss])
        return {"auc": names["true_order"](form, KINDS[data], [world], **words).item()}
    names = chapter("lists", "results = ")
    return dict(zip(("ndcg", "auc"), names["learn"](names["candidates"][loss], world, **words), strict=True))
