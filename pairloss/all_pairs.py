r"""The hinge over whole lists: every pair of items with different labels, the higher label against the lower.

Symbols: :math:`s_i` is the score and :math:`y_i` the label of item i of a list of L items. With ``groups`` only items
of one group are compared, so that many lists (the users of a batch, say) go in at once.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pairloss import checks
from pairloss.lists import listed
from pairloss.reduction import LIST_REDUCTIONS, ListReduction
from pairloss.tensors import computed_in, dense_rank, extremes, read, readable, sortable, widest


def pairwise_hinge_loss(
    scores: Tensor, labels: Tensor, *, groups: Tensor | None = None, mask: Tensor | None = None,
    weights: Tensor | None = None, margin: float = 1.0, power: Literal[1, 2] = 1, reduction: ListReduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Hinge, or its square, over all pairs of a list: exact, without the table of all pairs.

    .. math:: L = \sum_{y_i > y_j} w_i \max(0, m - s_i + s_j)^q

    For one item i the pairs that cost are those with :math:`s_j > s_i - m`: a tail of the sorted scores,
    found by bisection. So a sort does the work of P × N comparisons: O(L log L) time and O(L) memory for labels 0
    and 1. Graded labels take one such pass for each binary digit of their rank. Only numbers of pairs and sums of what
    is not negative are added up, in float64: no score, however large, takes digits from the pairs that it is not in.

    Args:
        scores: scores s, [L], or of B padded lists [B, L], floating. Equal scores are a tie, which costs
            :math:`m^q`, at infinity too.
        labels: labels y ≥ 0, like the scores, bool or any real dtype. On a GPU, and under torch.compile, their number
            cannot be read. There bool labels take one pass, uint8 at most eight, others as many as if all differed.
        groups: ids of the groups, [L] integer, or None for one list and for a table [B, L]
        mask: which items are there, bool like the scores. What stands in the others changes nothing.
        weights: w ≥ 0, like the scores, for the pairs in which the item has the higher label. Or [B], for whole lists.
        margin: the margin m ≥ 0, in the unit of the scores
        power: q, 1 for the hinge, 2 for its square
        reduction: "mean", over the weight of all pairs of all groups, or "sum"

    Returns: a scalar, float32 (float64 for float64 scores), and 0 where there is no pair.

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape, device, margin, power or reduction and (on the
    CPU) labels and weights that are not finite numbers of at least 0.

    See Also: :func:`~pairloss.hinge_loss` (over sampled pairs), :func:`~pairloss.lambdarank_loss` (which weighs pairs
    by what they do at the top of the list).

    Source: by sorting in O(L log L), the hinge: Joachims, ICML 2005, doi:10.1145/1102351.1102399, and Airola,
    Pahikkala and Salakoski, Pattern Recognition Letters 2011, doi:10.1016/j.patrec.2011.03.014. Its square:
    Rust and Hocking, arXiv 2302.11062. The form without differences of sums is ours.

    >>> scores, labels = torch.tensor([2.0, 0.5, 1.5]), torch.tensor([1, 0, 0])
    >>> f"{pairwise_hinge_loss(scores, labels):.4f}"  # pairs 2.0 − 0.5 and 2.0 − 1.5
    '0.2500'
    """
    checks.number("margin", margin)
    checks.choice("power", power, (1, 2))
    checks.choice("reduction", reduction, LIST_REDUCTIONS)
    scores, labels, groups, _, weights = listed(scores, labels, groups, mask, weights, reduction)
    rank = labels.long() if labels.dtype == torch.bool else dense_rank(labels)
    digits = _digits(rank, labels.dtype)
    line = _line(scores, float(margin))
    short = _short(line)
    finite = scores.to(line.value.dtype) if short else scores.to(line.value.dtype).masked_fill(scores.isinf(), 0)
    delta = finite - finite.detach()  # 0, with the gradient of a finite score
    group = None if groups is None else dense_rank(groups) * (scores.shape[0] + 1)
    total, pairs = line.value.new_zeros(()), torch.zeros((), dtype=torch.int64, device=scores.device)
    for digit in range(digits):
        # Two labels differ first in one binary digit of their ranks: there the higher has 1, the lower 0,
        # and all digits above agree. So each digit is a problem with labels 0 and 1 of its own.
        segment = rank >> (digit + 1) if digits > 1 else None
        if group is not None:
            segment = group if segment is None else group + segment
        loss, count = _binary_hinge(line, (rank >> digit) & 1 == 1, segment, delta, power, weights, short)
        total, pairs = total + loss, pairs + count
    if reduction == "mean":
        total = total / pairs.masked_fill(pairs == 0, 1)
    return total.to(computed_in(scores))


def _digits(rank: Tensor, dtype: torch.dtype) -> int:
    """How many binary digits ranks of labels of ``dtype`` need: read where that costs nothing, else enough for all."""
    if dtype == torch.bool:
        return 1
    if ends := extremes(rank):
        return max(int(ends[1]).bit_length(), 1)
    return min(_enough(rank.shape[0]), 8 * dtype.itemsize)


def _enough(number: int) -> int:
    """Binary digits for all numbers below ``number``, in few steps: compiled code then serves lists of many lengths."""
    return next(digits for digits in (4, 8, 12, 16, 24, 32, 48, 63) if number <= 2**digits)


class _Line(NamedTuple):
    """Items by rising score, and for each its bar: what an item of a lower label must pass to cost, [L] each."""

    order: Tensor  # where the items stand in the list
    value: Tensor  # their scores
    bar: Tensor  # score − m, rounded
    error: Tensor  # what the rounding left out: score − m is bar + error, exactly
    place: Tensor  # how many items of the line do not pass the bar


def _short(line: _Line) -> bool:
    """Whether all differences on the line are known to be finite, so that 0 of them is 0: a False is only a doubt."""
    length = read(line.bar[-1] - line.bar[0]) if readable(line.bar) and len(line.bar) else None
    return length is not None and math.isfinite(length)


def _line(scores: Tensor, margin: float) -> _Line:
    order = sortable(scores).sort(stable=True).indices
    value = scores.detach().index_select(0, order).to(widest(scores.device))
    bar = value - margin
    # Knuth's two-sum. Without the error the bar of a score of 1e20 would lie on the score, and a tie cost nothing.
    lost = value - bar
    error = torch.where(bar.isinf(), -margin, (value - (bar + lost)) + (lost - margin))
    # An item that lies on a bar does not pass it, so the search is for the first float above.
    above = torch.where(error < 0, bar, bar.nextafter(bar.new_full((), math.inf)))
    return _Line(order, value, bar, error, torch.searchsorted(value, above))


def _binary_hinge(
    line: _Line, high: Tensor, segment: Tensor | None, delta: Tensor, power: int, weights: Tensor | None, short: bool
) -> tuple[Tensor, Tensor]:
    """Sum over pairs (high, low), in each segment on its own, and the weight of all pairs, in float64."""
    length, first, begin = high.shape[0], line.place, None
    start, end = first.new_zeros(1), first.new_full((1,), length)
    if segment is not None:
        ordered, by_segment = segment[line.order].sort(stable=True)
        begin = start = torch.searchsorted(ordered, ordered)
        end = torch.searchsorted(ordered, ordered, right=True)
        line = _Line(*(part.index_select(0, by_segment) for part in line))
        # Whole numbers say where items stand and bars belong: by segment, and there by their place on the line.
        first = torch.searchsorted(start * (length + 1) + by_segment, start * (length + 1) + line.place)
    is_high = high.index_select(0, line.order)
    w = None if weights is None else weights.index_select(0, line.order)

    def weighed(values: Tensor) -> Tensor:
        return values if w is None else w * values

    def only(values: Tensor, which: Tensor) -> Tensor:  # what is not looked at is multiplied by 0
        return values if short and power == 1 else values.where(which, 0)

    lows = functional.pad((~is_high).cumsum(0), (1, 0))  # low items before each place of the line
    pairs = weighed((lows[end] - lows[start]).where(is_high, 0)).sum()
    reached = (lows[end] - lows.index_select(0, first)).where(is_high, 0)  # low items that pass each bar
    costs = reached > 0
    first = first.clamp(max=length - 1)  # the first item that passes each bar, if any does
    bar = weighed(costs.long())
    bars = torch.zeros_like(bar).scatter_add(0, first, bar)
    if weights is None:
        bars = bars.cumsum(0)
        passed = bars - functional.pad(bars, (1, 0))[start]  # bars that each item passes
    else:
        passed = _running(bars, begin)
    ahead = lows[end] - lows[1:]  # low items behind each item
    # From each bar to the first item that passes it, and on from item to item as long as a low one follows.
    rise = only(_difference(line.value.index_select(0, first), line.bar, short) - line.error, costs)
    step = only(_difference(line.value.roll(-1), line.value, short), ahead > 0)
    if power == 1:
        total = (weighed(reached) * rise).sum() + only(passed * ahead * step, passed > 0).sum()
        slope = torch.where(is_high, -weighed(reached), passed).to(line.value.dtype)
        # Put in the order of the list, the slopes need nothing of the gradients but a product.
        return total + (torch.zeros_like(slope).scatter(0, line.order, slope) * delta).sum(), pairs
    delta = delta.index_select(0, line.order)
    behind = _running((ahead * step).flip(0), None if begin is None else (length - end).flip(0)).flip(0)
    margins = (behind.index_select(0, first) + reached * rise).where(costs, 0)  # their sum for each high item
    step = step.where(passed > 0, 0)
    climbed = torch.zeros_like(rise).scatter_add(0, first, weighed(rise)) + (passed * step).roll(1)
    over = _running(climbed, begin).where(~is_high, 0)  # Σ margins of each low item
    total = (weighed(rise) * (behind.index_select(0, first) + margins)).where(rise > 0, 0).sum()
    total = total + (passed * step * (2 * behind.roll(-1) + ahead * step)).where(step > 0, 0).sum()
    most = torch.finfo(line.value.dtype).max
    slope = (2 * torch.where(is_high, -weighed(margins), over)).clamp(min=-most, max=most)
    # Σ (δ_low − δ_high)² over the pairs that cost: 0, with their second derivatives.
    of_lows = functional.pad(_running(delta.where(~is_high, 0), None), (1, 0))
    across = (of_lows[end] - of_lows.index_select(0, first)).where(costs, 0)
    curve = torch.where(is_high, weighed(reached), passed) * delta - 2 * weighed(across)
    return total + ((slope + curve) * delta).sum(), pairs


def _difference(above: Tensor, below: Tensor, short: bool) -> Tensor:
    """above − below, and 0 where they are equal, at infinity too."""
    return above - below if short else (above - below).where(above != below, 0)


def _running(values: Tensor, begin: Tensor | None) -> Tensor:
    """Sums of ``values`` from ``begin`` up to each place, added up without taking any sum from another."""
    # On a GPU there is no deterministic cumsum of floats.
    if begin is None and not torch.are_deterministic_algorithms_enabled():
        return values.cumsum(0)
    index = torch.arange(values.shape[0], device=values.device)
    begin = torch.zeros_like(index) if begin is None else begin
    longest = extremes(index - begin)
    for digit in range(int(longest[1] + 1).bit_length() if longest else _enough(values.shape[0])):
        before = index - (1 << digit)
        values = values + values[before.clamp(min=0)].where(before >= begin, 0)
    return values
