"""What every module asks of a tensor: its dtype, whether its values can be read, the entries at an index."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.masked import MaskedTensor

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
UNSIGNED = (torch.uint64, torch.uint32, torch.uint16)  # torch can store these, but neither compare nor look up
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, *UNSIGNED)
REAL = (*FLOATS, *INTEGERS, torch.bool)


def computed_in(*scores: Tensor) -> torch.dtype:
    """The widest dtype of the scores, float32 at least: sums over 65,504 overflow float16."""
    dtype = torch.float32
    for tensor in scores:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def widest(device: torch.device) -> torch.dtype:
    """float64 where it is known to exist. Apple's GPUs and some of Intel's have no more than float32."""
    return torch.float64 if device.type in ("cpu", "cuda", "meta") else torch.float32


def usable(values: Tensor) -> Tensor:
    """``values`` in a dtype that torch can compute with: its wider unsigned integers become int64."""
    return values.long() if values.dtype in UNSIGNED else values


def rows_first(values: Any, batch_first: bool) -> Any:
    """A tensor as [K, B], which is [B, K] with ``batch_first``. None stays None."""
    return values.movedim(-1, 0) if batch_first and values is not None else values


def dense(values: Any) -> bool:
    """Whether ``values`` are a tensor of one shape and all its entries."""
    plain = isinstance(values, Tensor) and not isinstance(values, MaskedTensor)
    return plain and not values.is_nested and values.layout == torch.strided


def at(rows: Tensor, index: Tensor) -> Tensor:
    """From each column of ``rows`` [K, B] the entry at ``index`` [B]: a tensor [B], with gradients."""
    if not (rows.is_contiguous() and large(rows)):
        return rows.gather(0, index.unsqueeze(0)).squeeze(0)
    # The same in one dimension: the backward of gather holds two tensors [K, B], and the one of index_select one.
    place = torch.arange(index.numel(), device=index.device)
    return rows.reshape(-1).index_select(0, index.reshape(-1) * index.numel() + place).reshape(index.shape)


def sortable(values: Tensor) -> Tensor:
    """Integers in the order of ``values``, NaN above all: torch sorts integers on the CPU three times as fast.

    Floats stay floats where a transform could not follow.
    """
    if not values.is_floating_point() or not only_backward(values):
        return usable(values.detach())
    values = values.detach().to(computed_in(values))
    magnitude = values.abs().view(torch.int64 if values.dtype == torch.float64 else torch.int32)
    return torch.where(values < 0, -magnitude, magnitude)


def falling(values: Tensor) -> Tensor:
    """The order of ``values`` [L] of floats by falling size, ties as they stand."""
    if readable(values) and values.numel() >= 2**15 and only_backward(values):  # shorter ones sort as fast as floats
        return (~sortable(values)).sort(stable=True).indices
    return values.detach().sort(descending=True, stable=True).indices


def dense_rank(values: Tensor) -> Tensor:
    """0 for the smallest value, 1 for the next, …, [L] int64."""
    ordered, order = sortable(values).sort()
    steps = torch.zeros_like(order)
    steps[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(order).scatter(0, order, steps.cumsum(0))


def readable(values: Tensor) -> bool:
    """Whether a look at ``values`` costs nothing but time: on the CPU, not while compiling."""
    return not torch.compiler.is_compiling() and values.is_cpu  # device.type takes ten times as long


def read(value: Tensor) -> Any:
    """The Python number in ``value`` [], or None inside vmap, where it cannot be read."""
    try:
        return value.item()
    except RuntimeError:
        return None


def extremes(values: Tensor) -> tuple[float, float] | None:
    """The lowest and the highest of ``values`` as Python numbers, or None where they cannot be read."""
    if not readable(values) or not values.numel():
        return None
    lowest, highest = map(read, values.detach().aminmax())
    return None if lowest is None else (lowest, highest)


def all_finite(values: Tensor) -> bool:
    """Whether ``values`` are known to be finite: a False is only a doubt."""
    total = read(values.detach().sum()) if readable(values) else None
    return total is not None and math.isfinite(total)


def rows_in_a_piece(rows: Tensor, entries: int) -> int:
    """How many of K rows are worked on at once: those of about ``entries``, few enough for the caches of a CPU.

    A GPU takes eight times as many, because a call costs more there. When compiling, it is all rows, because a loop
    would be unrolled.
    """
    if torch.compiler.is_compiling():
        return max(rows.shape[0], 1)
    entries *= 1 if rows.is_cpu else 8
    return max(entries // max(math.prod(rows.shape[1:]), 1), 1)


# A later torch may drop the name. The slower form, which serves every transform, is then taken everywhere.
_transformed = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def only_backward(values: Tensor) -> bool:
    """Whether nothing but ``backward`` will ask for derivatives: no torch.compile, no torch.func, no tangent."""
    if torch.compiler.is_compiling() or _transformed():
        return False
    return forward_ad.unpack_dual(values).tangent is None


def large(values: Tensor) -> bool:
    """Whether ``values`` are so many that one tensor fewer saves time, and need not serve more than ``backward``."""
    # Asked in this order: torch.export must not learn the size, and the last question takes the longest.
    return not torch.compiler.is_compiling() and values.numel() >= 2**17 and only_backward(values)
