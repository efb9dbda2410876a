"""Argument checks: each raises before any arithmetic and says what was given, what was expected and why.

A wrong type or dtype is a TypeError, everything else a ValueError. Shapes, dtypes and devices are always checked.
Values are read only where that costs nothing but time: on the CPU, outside ``torch.compile`` and ``vmap``. On a GPU
nothing waits for a check.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.masked import MaskedTensor

from pairloss.tensors import FLOATS, INTEGERS, REAL, dense, extremes, read, readable, usable

MOST = 2**63 - 1  # what an int64 can hold
MOST_FLOAT = torch.finfo(torch.float64).max


def tensor(name: str, value: Any, kind: str, dtypes: Sequence[torch.dtype], other: str = "") -> None:
    """``value`` is a dense tensor of one of ``dtypes``. The message says what ``other`` type it could have."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor{other}, got {type(value).__name__}")
    if not dense(value):
        form = "a nested one" if value.is_nested else f"{value.layout}"
        if isinstance(value, MaskedTensor):
            form = "a MaskedTensor; give its data, and its mask by mask="
        raise TypeError(f"{name} must be a dense tensor, got {form}")
    if value.dtype not in dtypes:
        raise TypeError(f"{name} must be {kind}, got {value.dtype}")


scores = partial(tensor, kind="floating (float16, bfloat16, float32 or float64)", dtypes=FLOATS)
ids = partial(tensor, kind="integer ids", dtypes=INTEGERS)
bools = partial(tensor, kind="bool", dtypes=(torch.bool,))
seconds = partial(tensor, kind="int64", dtypes=(torch.int64,))
reals = partial(tensor, kind="real numbers or bool", dtypes=REAL)
numbers = partial(tensor, kind="numbers (bool is for a mask)", dtypes=FLOATS + INTEGERS)


def optional(
    name: str, value: Any, kind: Callable[[str, Any], None], other: Tensor, other_name: str, shape: Sequence[int]
) -> None:
    """``value`` is None, or of one of the kinds above and ``beside`` another tensor."""
    if value is not None:
        kind(name, value)
        beside(name, value, other, other_name, shape)


def beside(name: str, value: Tensor, other: Tensor, other_name: str, shape: Sequence[int]) -> None:
    """``value`` has ``shape`` and lies on the device of ``other``."""
    if tuple(value.shape) != tuple(shape):
        shapes = f"{list(value.shape)} beside {other_name} {list(other.shape)}; expected {list(shape)}"
        raise ValueError(f"{name} has shape {shapes}{_hint(name, list(value.shape), list(shape))}")
    _same_device(name, value, other_name, other)


def _same_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.device != other.device:
        devices = f"{value.device} but {other_name} on {other.device}"
        raise ValueError(f"{name} is on {devices}; move one to the other's device")


def _hint(name: str, got: list[int], expected: list[int]) -> str:
    if got == [*expected, 1]:
        return f". Beside a [B], a [B, 1] would broadcast to [B, B]: use {name}.squeeze(-1)"
    if expected == [*got, 1]:
        return f". Beside a [B, 1], a [B] would broadcast to [B, B]: use squeeze(-1) there, or {name}.unsqueeze(-1)"
    if len(got) == 2 and got[::-1] == expected and name not in ("held_out", "exclude"):
        return f". It looks transposed: use {name}.T"
    if got[1:] == expected and name in ("negative_scores", "negative_items"):
        return ". Many negatives per positive belong to an adaptive loss or to WARP"
    if got[1:] == expected and name == "mask":
        return ". To leave out single negatives use negative_mask"
    if got[1:] == expected and name.startswith("term"):
        return ". A term that compares single pairs needs choose="
    return ""


def within(subject: str, values: Tensor, number: int, of: str = "") -> None:
    """``values`` are from 0 to ``number`` - 1, as far as they can be read."""
    between(subject, values, 0, number - 1, f"0 to {number - 1}{of}")


def between(subject: str, values: Tensor, low: float, high: float, expected: str) -> None:
    """``values`` are from ``low`` to ``high``, as far as they can be read."""
    ends = extremes(usable(values))
    if ends is not None and not (low <= ends[0] and ends[1] <= high):
        raise ValueError(f"{subject} from {ends[0]} to {ends[1]}; expected {expected}")


def sequence(name: str, rows: Sequence[Any]) -> None:
    """``rows`` are K tensors of scores [B], of one shape and on one device, K ≥ 1."""
    if not rows:
        raise ValueError(f"{name} is empty; expected K tensors [B] with K of at least 1")
    for k, row in enumerate(rows):
        scores(f"{name}[{k}]", row)
    if any(row.shape != rows[0].shape or row.device != rows[0].device for row in rows):
        forms = ", ".join(f"{list(row.shape)} on {row.device}" for row in rows)
        raise ValueError(f"{name} holds {forms}; expected K tensors of one shape on one device")


def rows(name: str, many: Tensor, batch_first: bool = False) -> None:
    """``many`` is [K, B], or [B, K] with ``batch_first``, K ≥ 1."""
    if many.ndim == 0 or many.shape[-1 if batch_first else 0] == 0:
        form = "[B, K]" if batch_first else "[K, B]"
        raise ValueError(f"{name} has shape {list(many.shape)}; expected {form} with K of at least 1")


def columns(
    name: str, many: Tensor, positive: Tensor, positive_name: str = "positive_scores", batch_first: bool = False
) -> None:
    """``many`` is [K, B], or [B, K] with ``batch_first``, K ≥ 1, for ``positive`` [B]."""
    rows(name, many, batch_first)
    got, pairs = list(many.shape), list(positive.shape)
    if len(got) == len(pairs):  # asked first: torch.export would remember whether K equalled B
        form = ", ".join(map(str, [*pairs, "K"] if batch_first else ["K", *pairs]))
        hint = ""
        if len(pairs) == 2 and pairs[1] == 1:
            hint = f". For [B, 1] and [K, B] use {positive_name}.squeeze(-1)"
            hint += f". For [B, 1] and [B, K] use {positive_name}.squeeze(-1) and batch_first=True, or {name}.T"
        why = f"expected [{form}], K negatives for each positive"
        raise ValueError(f"{name} has shape {got} beside {positive_name} {pairs}; {why}{hint}")
    first, last = [got[0], *pairs], [*pairs, got[-1]]
    expected, turned = (last, first) if batch_first else (first, last)
    if got != expected and got == turned:
        expected = [*pairs, got[0]] if batch_first else [got[-1], *pairs]
    beside(name, many, positive, positive_name, expected)


def negatives(
    name: str, one: bool, many: bool, values: Any, positive: Tensor, are_ids: bool, batch_first: bool
) -> None:
    """``values`` are scores, or ids to score: ``one`` for each of ``positive``, ``many``, or either."""
    if are_ids and values is None:
        raise ValueError(f"negative_items was None; to score {name} by a function, give their ids, [K, B]")
    name = "negative_items" if are_ids else name
    (ids if are_ids else scores)(name, values)
    alike = values.ndim == positive.ndim
    if alike and positive.shape[-1:] == (1,):  # a shape other than [B, 1] was meant as a table
        alike = values.shape == positive.shape
    if one and (alike or not many):
        beside(name, values, positive, "positive_scores", positive.shape)
    else:
        columns(name, values, positive, batch_first=batch_first)


def no_function(name: str, many: Any) -> None:
    """``many`` is no scoring function, for a loss in which all K negatives have a gradient."""
    if callable(many):
        why = "every negative has a gradient here, so that scoring twice would save nothing"
        raise TypeError(f"{name} was a function; expected scores, [K, B], which score(negative_items) gives: {why}")


def of_the_term(loss: Any, positive: Tensor) -> None:
    """What a pair term returned is [B], or [1, B] of one negative each, in the dtype of the scores."""
    name = "term(positive, negative, d)"
    tensor(name, loss, f"{positive.dtype} like the scores", [positive.dtype])
    one_row = loss.ndim == positive.ndim + 1 and loss.shape[0] == 1
    beside(name, loss[0] if one_row else loss, positive, "positive_scores", positive.shape)


def of_the_choice(index: Any, many: Tensor) -> None:
    """What a choice returned names a row of ``many`` [K, B] in each column."""
    tensor("choose(scores)", index, "integer rows", INTEGERS)
    beside("choose(scores)", index, many, "the negatives", many.shape[1:])
    within("choose(scores) holds rows", index, many.shape[0])


def mask_and_weights(mask: Any, weights: Any, positive: Tensor) -> None:
    """``mask`` is None or bool [B], and ``weights`` is None or numbers ≥ 0, [B]."""
    optional("mask", mask, bools, positive, "positive_scores", positive.shape)
    optional("weights", weights, numbers, positive, "positive_scores", positive.shape)
    if weights is not None:  # a NaN passes here, and stays visible in the loss
        none("weights", weights, lambda w: (w < 0) | (w == math.inf), "finite numbers of at least 0")


def flag(name: str, value: Any) -> None:
    """``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def choice(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """``value`` is one of those in ``allowed``, which are all of one type."""
    if not isinstance(value, type(allowed[0])) or isinstance(value, bool):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {type(value).__name__}")
    if value not in allowed:
        was = _short(value) if isinstance(value, int) else repr(value)
        raise ValueError(f"{name} was {was}; expected one of {', '.join(map(repr, allowed))}")


def num_items(value: Any, needed: bool = False) -> None:
    """``value`` counts the items, an int of at least 1, or is None where it is not read."""
    if value is not None or needed:
        count("num_items", value, 1, of_a_tensor="; a mask goes by its name, mask=…")


def metadata(tables: Any, weights: Any) -> None:
    """``tables`` and ``weights`` have the same keys. Tables share N, weights are ≥ 0 and sum to at most 1."""
    for name, value in (("metadata", tables), ("metadata_weights", weights)):
        if value is not None and not isinstance(value, dict):
            raise TypeError(f"{name} must be a dict, got {type(value).__name__}")
        for key in value or {}:
            if not isinstance(key, str):
                raise TypeError(f"{name} has the key {key!r}; expected a str, a name")
    tables, weights = tables or {}, weights or {}
    if tables.keys() != weights.keys():
        keys = f"{sorted(tables)} but metadata_weights {sorted(weights)}"
        raise ValueError(f"metadata has the keys {keys}; expected the same")
    for name, weight in weights.items():
        number(f"metadata_weights[{name!r}]", weight)
    if (total := sum(map(float, weights.values()))) > 1 + 1e-6:  # three times float32(1/3) is a little above 1
        raise ValueError(f"sum of metadata weights was {total}, must be <=1")
    for name, table in tables.items():
        reals(f"metadata[{name!r}]", table)
        if table.ndim not in (1, 2):
            raise ValueError(f"metadata[{name!r}] has shape {list(table.shape)}; expected [N], [N, 1] or [N, C]")
        if table.ndim == 2 and table.shape[1] > 1 and table.dtype != torch.bool:
            labels = "0 and 1 in a table [N, C], a column for each label. Codes are [N], and embeddings are no labels"
            none(f"metadata[{name!r}]", table, lambda numbers: numbers * numbers != numbers, labels)
        length = next(iter(tables.values())).shape[0]
        if table.shape[0] != length:
            counts = f"{table.shape[0]} rows and another table {length}"
            raise ValueError(f"metadata[{name!r}] has {counts}; expected one row per item in every table")


def item_ids(positive: Any, negative: Any, needed: bool) -> None:
    """Item ids are integers, and there where they are ``needed``."""
    for name, value in (("positive_items", positive), ("negative_items", negative)):
        if value is not None:
            ids(name, value)
        elif needed:
            raise ValueError(f"{name} was None; metadata needs the ids of both items of each pair")


def on_one_device(tables: dict[str, Tensor], items: Tensor) -> None:
    """The tables of metadata lie on the device of the item ids."""
    for name, table in tables.items():
        _same_device(f"metadata[{name!r}]", table, "positive_items", items)


def none(name: str, values: Tensor, wrong: Callable[[Tensor], Tensor], expected: str) -> None:
    """None of ``values`` is ``wrong``, as far as they can be read."""
    if readable(values) and read((which := wrong(usable(values))).any()):
        raise ValueError(f"{name} holds {usable(values)[which][0].item():g}; expected {expected}")


def listed(values: Any, labels: Any, groups: Any, mask: Any, weights: Any) -> None:
    """All have the shape of the scores, [L] or without groups [B, L]. Weights may also be [B]."""
    scores("scores", values)
    column = values.ndim == 2 and values.shape[1] == 1 and mask is None
    if values.ndim != 1 and (values.ndim != 2 or groups is not None or column):
        hint = "squeeze(-1)" if column else "for several lists use groups, or a table [B, L] without groups"
        raise ValueError(f"scores has shape {list(values.shape)}; expected one dimension, [L]: {hint}")
    reals("labels", labels)
    beside("labels", labels, values, "scores", values.shape)
    optional("groups", groups, ids, values, "scores", values.shape)
    optional("mask", mask, bools, values, "scores", values.shape)
    of_lists = getattr(weights, "ndim", 0) == 1
    optional("weights", weights, numbers, values, "scores", values.shape[:1] if of_lists else values.shape)


def values_of_lists(labels: Tensor, weights: Tensor | None) -> None:
    """``labels`` and ``weights`` are finite and at least 0, as far as they can be read."""
    between("labels go", labels, 0, MOST_FLOAT, "finite numbers of at least 0")
    if weights is not None:
        none("weights", weights, lambda w: ~((w >= 0) & (w < math.inf)), "finite numbers of at least 0")


def number(name: str, value: Any, above_0: bool = False, at_most: float = math.inf, of_a_tensor: str = "") -> None:
    """``value`` is a finite number, at least 0 or above 0, and at most ``at_most``."""
    _is_a(Real, "a float", name, value, of_a_tensor)
    plain = value if isinstance(value, int) else float(value)  # an int may be beyond every float
    if not 0 <= plain <= min(at_most, MOST_FLOAT) or (above_0 and plain == 0):
        bound = "" if at_most == math.inf else f" and at most {at_most}"
        bound = f"{'above' if above_0 else 'of at least'} 0{bound}"
        raise ValueError(f"{name} was {_short(value)}; expected a finite number {bound}")


learned = "; divide the scores by a temperature that is learned"
temperature = partial(number, "temperature", above_0=True, of_a_tensor=learned)


def count(name: str, value: Any, at_least: int, at_most: int = MOST, of_a_tensor: str = "") -> None:
    """``value`` is an int from ``at_least`` to ``at_most``."""
    _is_a((Integral, torch.SymInt), "an int", name, value, of_a_tensor)
    if not at_least <= value <= at_most:
        bound = f" and at most {at_most}" if value > at_most or at_most < MOST else ""
        raise ValueError(f"{name} was {_short(value)}; expected at least {at_least}{bound}")


def _is_a(kind: Any, words: str, name: str, value: Any, of_a_tensor: str = "") -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        hint = of_a_tensor if isinstance(value, Tensor) else ""
        raise TypeError(f"{name} must be {words}, got {type(value).__name__}{hint}")


function = partial(_is_a, Callable, "a function")


def _short(value: Any) -> str:
    """``value`` as a message shows it: Python refuses to print the longest integers."""
    return f"an int of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 10**40 else str(value)


def in_batch(values: Any, users: Any, items: Any, log_q: Any, mask: Any, tables: Any, divisor: Any) -> None:
    """Scores are [B, C], C ≥ B and C ≥ 1. ``users`` are [B], ``items`` and ``log_q`` [C], ``mask`` is [B, C]."""
    temperature(divisor)
    scores("scores", values)
    if values.ndim != 2 or values.shape[1] < max(values.shape[0], 1):
        raise ValueError(
            f"scores has shape {list(values.shape)}; expected [B, B + M], the positive of row u in column u"
        )
    optional("users", users, ids, values, "scores", values.shape[:1])
    optional("items", items, ids, values, "scores", values.shape[1:])
    optional("log_q", log_q, scores, values, "scores", values.shape[1:])
    optional("negative_mask", mask, bools, values, "scores", values.shape)
    if items is None and tables:
        raise ValueError("items was None; metadata needs the ids of the items in all columns")
    if log_q is not None:
        between("log_q goes", log_q, -MOST_FLOAT, 0, "logs of probabilities, finite and at most 0")


def sampling(users: Any, interactions: Any, num_negatives: Any, weights: Any) -> None:
    """``users`` [B] are rows of ``interactions`` [U, N], ``num_negatives`` is at least 1, ``weights`` are [N]."""
    ids("positive_users", users)
    if not isinstance(interactions, Tensor):
        got = type(interactions).__name__
        raise TypeError(f"interactions must be a torch.Tensor or pairloss.Interactions, got {got}")
    layout = "a nested tensor" if interactions.is_nested else interactions.layout
    if layout not in (torch.strided, torch.sparse_coo, torch.sparse_csr):
        raise TypeError(f"interactions must be dense, sparse COO or sparse CSR, got {layout}")
    if interactions.is_sparse and (dense_dims := interactions.dense_dim()):
        raise ValueError(f"interactions has {dense_dims} dense dimensions; expected none, which to_sparse() gives")
    if interactions.dtype not in REAL:
        raise TypeError(f"interactions must be real numbers or bool, got {interactions.dtype}")
    if users.ndim != 1 or interactions.ndim != 2:
        shapes = f"{list(users.shape)} and interactions {list(interactions.shape)}"
        raise ValueError(f"positive_users has shape {shapes}; expected [B] and [U, N]")
    _same_device("interactions", interactions, "positive_users", users)
    count("num_negatives", num_negatives, 1)
    if interactions.layout == torch.strided and interactions.is_floating_point():
        none("interactions", interactions, torch.isnan, "0 where there was none and another number where there was")
    within("positive_users holds ids", users, interactions.shape[0], ", the rows of interactions")
    optional("weights", weights, numbers, interactions, "interactions", interactions.shape[1:])
    if weights is not None:
        between("weights go", weights, 0, MOST_FLOAT, "finite numbers of at least 0")


def not_everything(users: Tensor, left: Tensor) -> None:
    """Each of ``users`` has at least one item ``left`` to sample, as far as that can be read."""
    if readable(left) and read((left < 1).any()):
        user = users[left < 1][0].item()
        raise ValueError(
            f"positive_users holds {user}, who has interacted with every item; expected one item left "
            "(of a weight above 0), or return_mask=True, which says where there is none"
        )


def ranking(values: Any, tables: dict[str, Tensor]) -> Tensor:
    """``values`` are a function or scores, [U, N], and all ``tables`` are [U, N]. One of the tensors comes back."""
    if not callable(values):
        scores("scores", values, other=" or a function from user ids to scores")
        tables = {"scores": values, **tables}
    elif not tables:
        raise ValueError("exclude was None; to rank by a function, give what to exclude, [U, N], for its shape")
    (first, like), *others = tables.items()
    if like.ndim != 2:
        raise ValueError(f"{first} has shape {list(like.shape)}; expected two dimensions, [U, N]")
    for name, table in others:
        beside(name, table, like, first, like.shape)
    return like


def scores_of(users: Tensor, values: Any, excluded: Tensor) -> None:
    """``values`` [u, N] of ``users`` [u] are floating and (on the CPU) no NaN, except where ``excluded``."""
    scores("scores(users)", values)
    beside("scores(users)", values, users, "users", excluded.shape)
    if readable(values) and read((missing := values.isnan() & ~excluded).any()):
        user = users[missing.any(1)][0].item()
        raise ValueError(f"scores hold NaN for user {user}; expected a number for each item that is not excluded")
