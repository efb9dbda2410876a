"""Argument checks: each raises before any arithmetic and says what was given, what was expected and why.

A wrong type or dtype is a TypeError, everything else a ValueError. Shapes, dtypes and devices are
always checked. Values are read only where that costs nothing but time: on the CPU, outside
``torch.compile`` and ``vmap``. On a GPU nothing waits for a check.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from pairloss.tensors import FLOATS, INTEGERS, REAL, extremes, readable, usable

MOST = 2**63 - 1  # what an int64 can hold


def tensor(name: str, value: Any, kind: str, dtypes: Sequence[torch.dtype], other: str = "") -> None:
    """``value`` is a dense tensor of one of ``dtypes``. The message says what ``other`` type it could have."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor{other}, got {type(value).__name__}")
    if value.is_nested or value.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got {'a nested one' if value.is_nested else value.layout}")
    if value.dtype not in dtypes:
        raise TypeError(f"{name} must be {kind}, got {value.dtype}")


def _scores(name: str, value: Any, other: str = "") -> None:
    tensor(name, value, "floating (float16, bfloat16, float32 or float64)", FLOATS, other)


def _ids(name: str, value: Any) -> None:
    tensor(name, value, "integer ids", INTEGERS)


def beside(name: str, value: Tensor, other: Tensor, other_name: str, shape: Sequence[int]) -> None:
    """``value`` has ``shape`` and lies on the device of ``other``."""
    if tuple(value.shape) != tuple(shape):
        raise ValueError(
            f"{name} has shape {list(value.shape)} beside {other_name} {list(other.shape)}; "
            f"expected {list(shape)}{_hint(name, list(value.shape), list(shape))}"
        )
    _same_device(name, value, other_name, other)


def _same_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.device != other.device:
        raise ValueError(
            f"{name} is on {value.device} but {other_name} on {other.device}; move one to the other's device"
        )


def _hint(name: str, got: list[int], expected: list[int]) -> str:
    if got == [*expected, 1]:
        return f". Beside a [B], a [B, 1] would broadcast to [B, B]: use {name}.squeeze(-1)"
    if expected == [*got, 1]:
        return f". Beside a [B, 1], a [B] would broadcast to [B, B]: use squeeze(-1) there, or {name}.unsqueeze(-1)"
    if len(got) == 2 and got[::-1] == expected and name not in ("held_out", "exclude"):
        return f". It looks like [B, K]: use {name}.T"
    if got[1:] == expected and name in ("negative_scores", "negative_items"):
        return ". Many negatives per positive belong to an adaptive loss or to WARP"
    if got[1:] == expected and name == "mask":
        return ". To leave out single negatives use negative_mask"
    return ""


def _outside(values: Tensor, low: float, high: float) -> tuple[float, float] | None:
    """The lowest and highest of ``values`` where one of them is not within the bounds, as far as it can be read."""
    ends = extremes(values)
    return ends if ends is not None and not (low <= ends[0] and ends[1] <= high) else None


def true(condition: Tensor) -> bool:
    """Whether ``condition`` can be read and is true."""
    try:
        return bool(condition)
    except RuntimeError:  # inside vmap a value cannot be read
        return False


def positive_scores(positive: Any) -> None:
    """``positive`` is one floating score per pair, of any shape."""
    _scores("positive_scores", positive)


def one_row(negative: Any, positive: Tensor) -> Any:
    """``negative`` as it is, but one row [1, B] beside ``positive`` [B] as [B]."""
    if isinstance(negative, Tensor) and negative.ndim == positive.ndim + 1 and negative.shape[0] == 1:
        return negative.squeeze(0)
    return negative


def negative_scores(positive: Tensor, negative: Any) -> None:
    """``negative`` is one floating score per pair, shaped like ``positive``."""
    _scores("negative_scores", negative)
    beside("negative_scores", negative, positive, "positive_scores", positive.shape)


def rows(many: Tensor | Sequence[Tensor], name: str = "many_negative_scores") -> Tensor:
    """``many`` as one floating tensor [K, B], K ≥ 1; a sequence of K tensors [B] is stacked."""
    if isinstance(many, (list, tuple)):
        for k, row in enumerate(many):
            _scores(f"{name}[{k}]", row)
            if row.shape != many[0].shape or row.device != many[0].device:
                shapes = [f"{list(row.shape)} on {row.device}" for row in many if isinstance(row, Tensor)]
                raise ValueError(
                    f"{name} holds tensors of shapes {', '.join(shapes)}; expected K tensors of one shape on one device"
                )
        many = torch.stack(tuple(many)) if many else torch.empty(0, 0)
    _scores(name, many)
    assert isinstance(many, Tensor)  # what _scores has just checked
    _at_least_one_row(name, many)
    return many


def no_function(many: Any) -> None:
    """``many`` is no scoring function, for a loss in which all K negatives have a gradient."""
    if callable(many):
        raise TypeError(
            "many_negative_scores was a function; expected scores, [K, B]: every negative has a gradient here, so "
            "scoring all of them without gradients first would save nothing"
        )


def _at_least_one_row(name: str, many: Tensor) -> None:
    if many.ndim == 0 or many.shape[0] == 0:
        raise ValueError(f"{name} has shape {list(many.shape)}; expected [K, B] with K of at least 1")


def many_negative_scores(positive: Tensor, many: Tensor | Sequence[Tensor]) -> Tensor:
    """``many`` as one floating tensor [K, B] with a column for each entry of ``positive`` [B]."""
    many = rows(many)
    _columns("many_negative_scores", many, positive, "positive_scores")
    return many


def _columns(name: str, many: Tensor, positive: Tensor, positive_name: str) -> None:
    """``many`` is [K, B] beside ``positive`` [B]."""
    if many.ndim == positive.ndim:  # asked first: torch.export would remember whether K equalled B
        column = positive.shape == (*many.shape[1:], 1)
        hint = f". Beside a [K, B], a [B, 1] would broadcast: use {positive_name}.squeeze(-1)" if column else ""
        wanted = ", ".join(map(str, ("K", *positive.shape)))
        raise ValueError(
            f"{name} has shape {list(many.shape)} beside {positive_name} {list(positive.shape)}; "
            f"expected [{wanted}], K negatives for each positive{hint}"
        )
    if many.shape[1:] != positive.shape:
        transposed = many.ndim == 2 and many.shape[:1] == positive.shape
        expected = many.shape[::-1] if transposed else (many.shape[0], *positive.shape)
        beside(name, many, positive, positive_name, expected)
    _same_device(name, many, positive_name, positive)


def items_to_score(items: Tensor | None, positive: Tensor) -> Tensor:
    """``items`` are integer ids [K, B], which a scoring function needs."""
    if items is None:
        raise ValueError("negative_items was None; to score negatives by a function, give their ids, [K, B]")
    _ids("negative_items", items)
    _at_least_one_row("negative_items", items)
    _columns("negative_items", items, positive, "positive_scores")
    return items


def scored(scores: Any, items: Tensor) -> Tensor:
    """``scores`` is what a scoring function made of ``items``: floating, one for each."""
    _scores("many_negative_scores(ids)", scores)
    beside("many_negative_scores(ids)", scores, items, "ids", items.shape)
    assert isinstance(scores, Tensor)  # what _scores has just checked
    return scores


def negative_mask(mask: Any, many: Tensor, name: str = "many_negative_scores") -> None:
    """``mask`` is None or bool [K, B], like ``many``."""
    if mask is not None:
        tensor("negative_mask", mask, "bool", [torch.bool])
        beside("negative_mask", mask, many, name, many.shape)


def chosen(rows: Any, index: Any) -> None:
    """``index`` [B] names a row of ``rows`` [K, B] in each column."""
    tensor("rows", rows, "real numbers or bool", REAL)
    _at_least_one_row("rows", rows)
    _ids("index", index)
    beside("index", index, rows, "rows", rows.shape[1:])
    if ends := _outside(usable(index), 0, rows.shape[0] - 1):
        raise ValueError(f"index holds rows from {ends[0]} to {ends[1]}; expected 0 to {rows.shape[0] - 1}")


def negative_mask_beside(mask: Any, positive: Tensor) -> None:
    """``mask`` is None or bool [K, B] beside ``positive`` [B]."""
    if mask is not None:
        tensor("negative_mask", mask, "bool", [torch.bool])
        _at_least_one_row("negative_mask", mask)
        _columns("negative_mask", mask, positive, "positive_scores")


def mask_and_weights(mask: Any, weights: Any, positive: Tensor) -> None:
    """``mask`` is None or bool [B]; ``weights`` is None or numbers ≥ 0, [B]."""
    if mask is not None:
        tensor("mask", mask, "bool", [torch.bool])
        beside("mask", mask, positive, "positive_scores", positive.shape)
    if weights is not None:
        tensor("weights", weights, "numbers (to leave pairs out, use mask)", FLOATS + INTEGERS)
        beside("weights", weights, positive, "positive_scores", positive.shape)
        none_below_0("weights", weights)


def flag(name: str, value: Any) -> None:
    """``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def choice(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """``value`` is one of those in ``allowed``, which are all of one type."""
    if not isinstance(value, type(allowed[0])) or isinstance(value, bool):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} was {value!r}; expected one of {', '.join(map(repr, allowed))}")


def num_items(value: Any, num_negatives: int | None = None) -> None:
    """``value`` counts the items: an int no smaller than the number of negatives, or None where it is not read."""
    if value is None and num_negatives is None:
        return
    if not isinstance(value, (Integral, torch.SymInt)) or isinstance(value, bool):
        hint = "; a mask goes by its name, mask=…" if isinstance(value, Tensor) else ""
        raise TypeError(f"num_items must be an int, got {type(value).__name__}{hint}")
    size = value if isinstance(value, torch.SymInt) else int(value)
    if not 1 <= size <= MOST:
        raise ValueError(f"num_items was {_short(value)}; expected at least 1 and at most 2**63 - 1")
    if num_negatives is not None and size < num_negatives:
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
    total = sum(number(f"metadata_weights[{name!r}]", weight) for name, weight in weights.items())
    if total > 1 + 1e-6:  # three times float32(1/3) is a little above 1
        raise ValueError(f"sum of metadata weights was {total}, must be <=1")
    length = None
    for name, table in tables.items():
        tensor(f"metadata[{name!r}]", table, "numbers or bool", REAL)
        if table.ndim not in (1, 2):
            raise ValueError(f"metadata[{name!r}] has shape {list(table.shape)}; expected [N], [N, 1] or [N, C]")
        if length not in (None, table.shape[0]):
            raise ValueError(
                f"metadata[{name!r}] has {table.shape[0]} rows and another table {length}; "
                "expected one row per item in every table"
            )
        length = table.shape[0]


def items(positive: Any, negative: Any, tables: Any, positive_scores: Tensor, negative_scores: Tensor) -> None:
    """Item ids are integers in the shapes of the scores, and there where there is metadata."""
    for name, ids in (("positive_items", positive), ("negative_items", negative)):
        if ids is not None:
            _ids(name, ids)
        elif tables:
            raise ValueError(f"{name} was None; metadata needs the ids of both items of each pair")
    if positive is None or negative is None:
        return
    beside("positive_items", positive, positive_scores, "positive_scores", positive_scores.shape)
    scores_name = "negative_scores" if negative_scores.ndim == positive_scores.ndim else "many_negative_scores"
    beside("negative_items", negative, negative_scores, scores_name, negative_scores.shape)


def two_sides(positive: Any, negative: Any) -> None:
    """Ids of positives and negatives, of one shape or with K negatives for each positive."""
    for name, ids in (("positive_items", positive), ("negative_items", negative)):
        if ids is None:
            raise ValueError(f"{name} was None; metadata needs the ids of both items of each pair")
        _ids(name, ids)
    if negative.ndim == positive.ndim + 1:
        _columns("negative_items", negative, positive, "positive_items")
    else:
        beside("negative_items", negative, positive, "positive_items", positive.shape)


def rows_of_tables(positive: Tensor, negative: Tensor, tables: dict[str, Tensor]) -> None:
    """Item ids lie on the device of the metadata and name its rows."""
    for name, table in tables.items():
        if table.device != positive.device:
            raise ValueError(
                f"metadata[{name!r}] is on {table.device} but positive_items on {positive.device}; "
                "move the table to the device of the items and scores"
            )
        for ids_name, ids in (("positive_items", positive), ("negative_items", negative)):
            if ends := _outside(ids, 0, table.shape[0] - 1):
                raise ValueError(
                    f"{ids_name} holds ids from {ends[0]} to {ends[1]}; "
                    f"expected 0 to {table.shape[0] - 1}, the rows of the metadata"
                )
        return  # all tables have as many rows


def ids_of(name: str, ids: Any, number: int) -> None:
    """``ids`` [n] are integers from 0 to ``number`` - 1."""
    _ids(name, ids)
    if ids.ndim != 1:
        raise ValueError(f"{name} has shape {list(ids.shape)}; expected one dimension, [n]")
    if ends := _outside(usable(ids), 0, number - 1):
        raise ValueError(f"{name} holds ids from {ends[0]} to {ends[1]}; expected 0 to {number - 1}")


def ratings(observed: Any, predicted: Any) -> None:
    """``observed`` and ``predicted`` ratings have one shape and lie on one device."""
    _scores("predicted_ratings", predicted)
    tensor("observed_ratings", observed, "real numbers or bool", REAL)
    beside("observed_ratings", observed, predicted, "predicted_ratings", predicted.shape)


def only_values(name: str, values: Tensor, allowed: tuple[int, ...]) -> None:
    """``values`` holds nothing but the numbers in ``allowed``, as far as it can be read."""
    if readable(values):
        # In int64: a uint8 of 255 would pass as -1.
        values = values if values.is_floating_point() else values.long()
        others = torch.stack([values != value for value in allowed]).all(0)
        if true(others.any()):
            other = values[others].reshape(-1)[0].item()
            raise ValueError(f"{name} holds {other:g}; expected only {', '.join(map(str, allowed))}")


def none_below_0(name: str, values: Tensor) -> None:
    """``values`` are at least 0, as far as they can be read; a NaN passes and stays visible in the loss."""
    if readable(values) and true((usable(values) < 0).any()):
        raise ValueError(f"{name} go down to {usable(values).min().item():g}; expected none below 0")


def above_zero(name: str, values: Tensor, hint: str) -> None:
    """``values`` are above 0, as far as they can be read."""
    if readable(values) and true((values <= 0).any()):
        raise ValueError(f"{name} go down to {values.min().item():g}; expected all above 0: {hint}")


def listed(scores: Any, labels: Any, groups: Any) -> None:
    """``scores``, ``labels`` and, if given, ``groups`` are of one shape [L]; labels are finite and ≥ 0."""
    _scores("scores", scores)
    if scores.ndim != 1:
        raise ValueError(f"scores has shape {list(scores.shape)}; expected one dimension, [L]")
    tensor("labels", labels, "real numbers or bool", REAL)
    beside("labels", labels, scores, "scores", scores.shape)
    if ends := _outside(usable(labels), 0, float("inf")):
        if math.isnan(ends[0]):
            raise ValueError("labels hold NaN; expected numbers of at least 0")
        raise ValueError(f"labels go down to {ends[0]:g}; expected none below 0")
    if (ends := extremes(usable(labels))) and ends[1] == float("inf"):
        raise ValueError("labels go up to inf; expected finite numbers")
    if groups is not None:
        _ids("groups", groups)
        beside("groups", groups, scores, "scores", scores.shape)


def number(name: str, value: Any, above_0: bool = False, at_most: float = float("inf")) -> float:
    """``value`` is a finite number, at least 0 or above 0, and at most ``at_most``; as a float."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a float, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        number = float("inf")
    if not 0 <= number <= at_most or number == float("inf") or (above_0 and number == 0):
        bound = f"{'above' if above_0 else 'of at least'} 0{_and_at_most(at_most)}"
        raise ValueError(f"{name} was {_short(value)}; expected a finite number {bound}")
    return number


def count(name: str, value: Any, at_least: int, at_most: int = MOST) -> None:
    """``value`` is an int from ``at_least`` to ``at_most``."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if not at_least <= int(value) <= at_most:
        bound = _and_at_most(at_most) if int(value) > at_most or at_most < MOST else ""
        raise ValueError(f"{name} was {_short(value)}; expected at least {at_least}{bound}")


def _and_at_most(bound: float) -> str:
    return "" if bound == float("inf") else f" and at most {bound}"


def _short(value: Any) -> str:
    """``value`` as a message shows it: Python refuses to print the longest integers."""
    return f"an int of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 10**40 else str(value)


def sampling(users: Any, interactions: Any, num_negatives: Any, weights: Any) -> None:
    """``users`` [B] are rows of ``interactions`` [U, N]; ``num_negatives`` is at least 1, ``weights`` are [N]."""
    _ids("positive_users", users)
    if not isinstance(interactions, Tensor):
        raise TypeError(
            f"interactions must be a torch.Tensor or pairloss.Interactions, got {type(interactions).__name__}"
        )
    if interactions.is_nested or interactions.layout not in (torch.strided, torch.sparse_coo, torch.sparse_csr):
        layout = "a nested tensor" if interactions.is_nested else interactions.layout
        raise TypeError(f"interactions must be dense, sparse COO or sparse CSR, got {layout}")
    if interactions.dtype not in REAL:
        raise TypeError(f"interactions must be real numbers or bool, got {interactions.dtype}")
    if users.ndim != 1 or interactions.ndim != 2:
        raise ValueError(
            f"positive_users has shape {list(users.shape)} and interactions {list(interactions.shape)}; "
            "expected [B] and [U, N]"
        )
    _same_device("interactions", interactions, "positive_users", users)
    count("num_negatives", num_negatives, 1)
    dense = interactions.layout == torch.strided
    if dense and interactions.is_floating_point() and readable(interactions) and true(interactions.isnan().any()):
        raise ValueError("interactions holds NaN; expected 0 where there was none and another number where there was")
    if ends := _outside(usable(users), 0, interactions.shape[0] - 1):
        raise ValueError(
            f"positive_users holds ids from {ends[0]} to {ends[1]}; "
            f"expected 0 to {interactions.shape[0] - 1}, the rows of interactions"
        )
    if weights is not None:
        tensor("weights", weights, "numbers, one per item", FLOATS + INTEGERS)
        beside("weights", weights, interactions, "interactions", interactions.shape[1:])
        if ends := _outside(usable(weights), 0, torch.finfo(torch.float64).max):
            raise ValueError(f"weights go from {ends[0]:g} to {ends[1]:g}; expected finite numbers of at least 0")


def not_everything(users: Tensor, left: Tensor) -> None:
    """Each of ``users`` has at least one item ``left`` to sample, as far as that can be read."""
    if _outside(left, 1, float("inf")):
        user = users[left < 1][0].item()
        raise ValueError(
            f"positive_users holds {user}, who has interacted with every item; expected one item left "
            "(of a weight above 0), or return_mask=True, which says where there is none"
        )


def ranking(scores: Any, tables: dict[str, Tensor]) -> Tensor:
    """``scores`` are a function or floating, [U, N], and all ``tables`` are [U, N]. One of the tensors comes back."""
    if not callable(scores):
        _scores("scores", scores, " or a function from user ids to scores")
        tables = {"scores": scores, **tables}
    elif not tables:
        raise ValueError("exclude was None; to rank by a function, give what to exclude, [U, N], for its shape")
    (first, like), *others = tables.items()
    if like.ndim != 2:
        raise ValueError(f"{first} has shape {list(like.shape)}; expected two dimensions, [U, N]")
    for name, table in others:
        beside(name, table, like, first, like.shape)
    return like


def scores_of(users: Tensor, scores: Any, excluded: Tensor) -> None:
    """``scores`` [u, N] of ``users`` [u] are floating and (on the CPU) no NaN, but where ``excluded``."""
    _scores("scores(users)", scores)
    beside("scores(users)", scores, users, "users", excluded.shape)
    if readable(scores) and true((missing := scores.isnan() & ~excluded).any()):
        user = users[missing.any(1)][0].item()
        raise ValueError(f"scores hold NaN for user {user}; expected a number for each item that is not excluded")
