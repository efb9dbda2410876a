"""Argument checks: each raises before any arithmetic and says what was given, what was expected and why.

A wrong type or dtype is a TypeError, everything else a ValueError. Shapes, dtypes and devices are
always checked. Values are read only where that costs nothing but time: on the CPU, outside
``torch.compile`` and ``vmap``. On a GPU nothing waits for a check.
"""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _tensor(name: str, value: Any, kind: str, dtypes: Sequence[torch.dtype]) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.dtype not in dtypes:
        raise TypeError(f"{name} must be {kind}, got {value.dtype}")


def _beside(name: str, value: Tensor, scores: Tensor, scores_name: str, shape: list[int]) -> None:
    """``value`` has ``shape`` and lies on the device of ``scores``."""
    if list(value.shape) != shape:
        raise ValueError(
            f"{name} has shape {list(value.shape)} beside {scores_name} {list(scores.shape)}; "
            f"expected {shape}{_hint(name, list(value.shape), shape)}"
        )
    if value.device != scores.device:
        raise ValueError(
            f"{name} is on {value.device} but {scores_name} on {scores.device}; move one to the other's device"
        )


def _hint(name: str, got: list[int], expected: list[int]) -> str:
    if got == [*expected, 1]:
        return f". Beside a [B], a [B, 1] would broadcast to [B, B]: use {name}.squeeze(1)"
    if len(got) == 2 and got[::-1] == expected:
        return f". It looks like [B, K]: use {name}.T"
    if len(got) == 2 and name in ("negative_scores", "negative_items"):
        return ". Many negatives per positive belong to an adaptive loss or to WARP"
    if len(got) == 2 and name == "mask":
        return ". To leave out single negatives use negative_mask"
    return ""


def _readable(values: Tensor) -> bool:
    """Whether a look at ``values`` costs nothing but time: on the CPU, not while compiling."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _true(condition: Tensor) -> bool:
    try:
        return bool(condition)
    except RuntimeError:  # inside vmap a value cannot be read
        return False


def _outside(values: Tensor, low: float, high: float) -> bool:
    """Whether any value is below ``low`` or above ``high``, as far as it can be read."""
    if not _readable(values) or values.numel() == 0:
        return False
    lowest, highest = values.detach().aminmax()
    try:  # as Python numbers: a bound may not fit the dtype of the values
        return bool(lowest.item() < low or highest.item() > high)
    except RuntimeError:  # inside vmap a value cannot be read
        return False


def readable_max(values: Tensor) -> int | None:
    """The largest of the integers in ``values``, or None where it cannot be read."""
    if not _readable(values) or values.numel() == 0:
        return None
    try:
        return int(values.max())
    except RuntimeError:  # inside vmap
        return None


def positive_scores(positive: Any) -> None:
    """``positive`` is one floating score per pair, [B]."""
    _tensor("positive_scores", positive, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    if positive.ndim != 1:
        shape = list(positive.shape)
        raise ValueError(
            f"positive_scores has shape {shape}; expected one dimension, [B]"
            f"{_hint('positive_scores', shape, shape[:1])}"
        )


def negative_scores(positive: Tensor, negative: Any) -> None:
    """``negative`` is one floating score per pair, [B], like ``positive``."""
    _tensor("negative_scores", negative, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    _beside("negative_scores", negative, positive, "positive_scores", list(positive.shape))


def rows(many: Tensor | Sequence[Tensor], name: str = "many_negative_scores") -> Tensor:
    """``many`` as one floating tensor [K, B], K ≥ 1; a sequence of K tensors [B] is stacked."""
    if isinstance(many, list | tuple):
        for k, row in enumerate(many):
            _tensor(f"{name}[{k}]", row, "floating", FLOATS)
            if row.shape != many[0].shape or row.ndim != 1 or row.device != many[0].device:
                shapes = [f"{list(row.shape)} on {row.device}" for row in many if isinstance(row, Tensor)]
                raise ValueError(
                    f"{name} holds tensors of shapes {', '.join(shapes)}; expected K tensors [B] on one device"
                )
        many = torch.stack(tuple(many)) if many else torch.empty(0, 0)
    _tensor(name, many, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    assert isinstance(many, Tensor)  # what _tensor has just checked
    if many.ndim != 2 or many.shape[0] == 0:
        raise ValueError(f"{name} has shape {list(many.shape)}; expected [K, B] with K of at least 1")
    return many


def many_negative_scores(positive: Tensor, many: Tensor | Sequence[Tensor]) -> Tensor:
    """``many`` as one floating tensor [K, B] with a column for each entry of ``positive`` [B]."""
    many = rows(many)
    _beside("many_negative_scores", many, positive, "positive_scores", _columns(many, positive))
    return many


def _columns(many: Tensor, positive: Tensor) -> list[int]:
    """The shape [K, B] that ``many`` should have, also where it is [B, K]."""
    k, b = many.shape
    size = positive.shape[0]
    return [b, k] if k == size and b != size else [k, size]


def items_to_score(items: Tensor | None, positive: Tensor) -> Tensor:
    """``items`` are integer ids [K, B], which a scoring function needs."""
    if items is None:
        raise ValueError("negative_items was None; to score negatives by a function, give their ids, [K, B]")
    _tensor("negative_items", items, "integer ids", INTEGERS)
    if items.ndim != 2:
        raise ValueError(f"negative_items has shape {list(items.shape)}; expected [K, B], ids to be scored")
    _beside("negative_items", items, positive, "positive_scores", _columns(items, positive))
    return items


def scored(scores: Tensor, items: Tensor) -> Tensor:
    """``scores`` is what a scoring function made of ``items``: floating, one for each."""
    _tensor("many_negative_scores(ids)", scores, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    _beside("many_negative_scores(ids)", scores, items, "ids", list(items.shape))
    return scores


def negative_mask(mask: Any, many: Tensor, name: str = "many_negative_scores") -> None:
    """``mask`` is None or bool [K, B], like ``many``."""
    if mask is not None:
        _tensor("negative_mask", mask, "bool", [torch.bool])
        _beside("negative_mask", mask, many, name, list(many.shape))


def mask_and_weights(mask: Any, weights: Any, positive: Tensor) -> None:
    """``mask`` is None or bool [B]; ``weights`` is None or numbers ≥ 0, [B]."""
    if mask is not None:
        _tensor("mask", mask, "bool", [torch.bool])
        _beside("mask", mask, positive, "positive_scores", list(positive.shape))
    if weights is not None:
        _tensor("weights", weights, "numbers (to leave pairs out, use mask)", FLOATS + INTEGERS)
        _beside("weights", weights, positive, "positive_scores", list(positive.shape))
        if _outside(weights, 0, float("inf")):
            raise ValueError(f"weights go down to {weights.min().item():g}; expected none below 0")


def flag(name: str, value: Any) -> None:
    """``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """``value`` is one of the words in ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} was {value!r}; expected one of {', '.join(map(repr, allowed))}")


def num_items(value: Any, num_negatives: int) -> None:
    """``value`` counts the items: an int no smaller than the number of negatives."""
    if not isinstance(value, Integral | torch.SymInt) or isinstance(value, bool):
        raise TypeError(f"num_items must be an int, got {type(value).__name__}")
    if value < num_negatives:
        raise ValueError(
            f"num_items was {value} with {num_negatives} negatives per positive; "
            "expected the number of all items, no fewer than the negatives drawn from them"
        )


def metadata(tables: Any, weights: Any) -> None:
    """``tables`` and ``weights`` have the same keys; tables share N, weights are ≥ 0 and sum to at most 1."""
    for name, value in (("metadata", tables), ("metadata_weights", weights)):
        if value is not None and not isinstance(value, dict):
            raise TypeError(f"{name} must be a dict, got {type(value).__name__}")
        for key in value or {}:
            if not isinstance(key, str):
                raise TypeError(f"{name} has the key {key!r}; expected a str, a name")
    tables, weights = tables or {}, weights or {}
    if tables.keys() != weights.keys():
        raise ValueError(
            f"metadata has the keys {sorted(tables)} but metadata_weights {sorted(weights)}; expected the same"
        )
    total = sum(_metadata_weight(name, weight) for name, weight in weights.items())
    if total > 1 + 1e-9:
        raise ValueError(f"sum of metadata weights was {total}, must be <=1")
    length = None
    for name, table in tables.items():
        _tensor(f"metadata[{name!r}]", table, "numbers or bool", (*FLOATS, *INTEGERS, torch.bool))
        if table.ndim not in (1, 2):
            raise ValueError(f"metadata[{name!r}] has shape {list(table.shape)}; expected [N], [N, 1] or [N, C]")
        if length not in (None, table.shape[0]):
            raise ValueError(
                f"metadata[{name!r}] has {table.shape[0]} rows and another table {length}; expected one an item in all"
            )
        length = table.shape[0]


def _metadata_weight(name: str, weight: Any) -> float:
    if not isinstance(weight, Real) or isinstance(weight, bool):
        raise TypeError(f"metadata_weights[{name!r}] must be a float, got {type(weight).__name__}")
    number = float(weight)
    if not number >= 0:
        raise ValueError(f"metadata_weights[{name!r}] was {number}; expected at least 0")
    return number


def items(positive: Any, negative: Any, tables: dict[str, Tensor] | None, like: tuple[Tensor, Tensor] | None) -> None:
    """Item ids have the shapes of the scores in ``like``, if given, and name rows of the metadata."""
    for name, ids in (("positive_items", positive), ("negative_items", negative)):
        if ids is not None:
            _tensor(name, ids, "integer ids", INTEGERS)
        elif tables or like is None:
            raise ValueError(f"{name} was None; metadata needs the ids of both items of each pair")
    if positive is None or negative is None:
        return
    if like is not None:
        _beside("positive_items", positive, like[0], "positive_scores", list(like[0].shape))
        scores_name = "negative_scores" if like[1].ndim == 1 else "many_negative_scores"
        _beside("negative_items", negative, like[1], scores_name, list(like[1].shape))
    else:
        if positive.ndim != 1:
            shape = list(positive.shape)
            hint = _hint("positive_items", shape, shape[:1])
            raise ValueError(f"positive_items has shape {shape}; expected one dimension, [B]{hint}")
        expected = _columns(negative, positive) if negative.ndim == 2 else list(positive.shape)
        _beside("negative_items", negative, positive, "positive_items", expected)
    for name, table in (tables or {}).items():
        if table.device != positive.device:
            raise ValueError(
                f"metadata[{name!r}] is on {table.device} but positive_items on {positive.device}; "
                "move the table to the device of the items and scores"
            )
    if tables:
        num_rows = next(iter(tables.values())).shape[0]
        for name, ids in (("positive_items", positive), ("negative_items", negative)):
            if _outside(ids, 0, num_rows - 1):
                raise ValueError(
                    f"{name} holds ids from {ids.min().item()} to {ids.max().item()}; "
                    f"expected 0 to {num_rows - 1}, the rows of the metadata"
                )


def ratings(observed: Any, predicted: Any) -> None:
    """``observed`` and ``predicted`` ratings have one shape and lie on one device."""
    _tensor("predicted_ratings", predicted, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    _tensor("observed_ratings", observed, "real numbers or bool", (*FLOATS, *INTEGERS, torch.bool))
    _beside("observed_ratings", observed, predicted, "predicted_ratings", list(predicted.shape))


def only_values(name: str, values: Tensor, allowed: tuple[int, ...]) -> None:
    """``values`` holds nothing but the numbers in ``allowed``, as far as it can be read."""
    if _readable(values):
        others = torch.stack([values != value for value in allowed]).all(0)
        if _true(others.any()):
            other = values[others][0].item()
            raise ValueError(f"{name} holds {other:g}; expected only {', '.join(map(str, allowed))}")


def above_zero(name: str, values: Tensor, hint: str) -> None:
    """``values`` are above 0, as far as they can be read."""
    if _readable(values) and _true((values <= 0).any()):
        raise ValueError(f"{name} go down to {values.min().item():g}; expected all above 0: {hint}")


def listed(scores: Any, labels: Any, groups: Any) -> None:
    """``scores``, ``labels`` and, if given, ``groups`` are of one shape [L]."""
    _tensor("scores", scores, "floating (float16, bfloat16, float32 or float64)", FLOATS)
    if scores.ndim != 1:
        raise ValueError(f"scores has shape {list(scores.shape)}; expected one dimension, [L]")
    _tensor("labels", labels, "real numbers or bool", (*FLOATS, *INTEGERS, torch.bool))
    _beside("labels", labels, scores, "scores", list(scores.shape))
    if _outside(labels, 0, float("inf")):
        raise ValueError(f"labels go down to {labels.min().item():g}; expected none below 0")
    if groups is not None:
        _tensor("groups", groups, "integer ids", INTEGERS)
        _beside("groups", groups, scores, "scores", list(scores.shape))


def number(name: str, value: Any, above_0: bool, at_most: float = float("inf")) -> None:
    """``value`` is a finite number, at least 0 or above 0, and at most ``at_most``."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a float, got {type(value).__name__}")
    number = float(value)
    if not 0 <= number <= at_most or number == float("inf") or (above_0 and number == 0):
        bound = f"{'above' if above_0 else 'of at least'} 0" + _and_at_most(at_most)
        raise ValueError(f"{name} was {value}; expected a finite number {bound}")


def count(name: str, value: Any, at_least: int, at_most: float = float("inf")) -> None:
    """``value`` is an int from ``at_least`` to ``at_most``."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if not at_least <= int(value) <= at_most:
        raise ValueError(f"{name} was {value}; expected at least {at_least}{_and_at_most(at_most)}")


def _and_at_most(bound: float) -> str:
    return "" if bound == float("inf") else f" and at most {bound:g}"


def sampling(users: Any, interactions: Any, num_negatives: Any) -> None:
    """``users`` [B] are rows of ``interactions`` [U, N]; ``num_negatives`` is at least 1."""
    _tensor("positive_users", users, "integer ids", INTEGERS)
    if not isinstance(interactions, Tensor):
        raise TypeError(f"interactions must be a torch.Tensor, got {type(interactions).__name__}")
    if users.ndim != 1 or interactions.ndim != 2:
        raise ValueError(
            f"positive_users has shape {list(users.shape)} and interactions {list(interactions.shape)}; "
            "expected [B] and [U, N]"
        )
    if users.device != interactions.device:
        raise ValueError(f"interactions is on {interactions.device} but positive_users on {users.device}")
    count("num_negatives", num_negatives, 1)
    rows = interactions.shape[0]
    if _outside(users, 0, rows - 1):
        raise ValueError(
            f"positive_users holds ids from {users.min().item()} to {users.max().item()}; "
            f"expected 0 to {rows - 1}, the rows of interactions"
        )


def not_everything(users: Tensor, left: Tensor) -> None:
    """Each of ``users`` has at least one item ``left`` to sample, as far as that can be read."""
    if _outside(left, 1, float("inf")):
        user = users[left < 1][0].item()
        raise ValueError(f"positive_users holds {user}, who has interacted with every item; expected one item left")
