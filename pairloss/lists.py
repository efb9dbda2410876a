r"""Losses over whole lists: every pair of items with different labels, the higher label against the lower.

Symbols: :math:`s_i` the score and :math:`y_i` the label of item i of a list of L items. With ``groups``
only items of one group are compared, so that many lists (the users of a batch, say) go in at once.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional

from pairloss import checks
from pairloss.tensors import computed_in, extremes, only_backward, rows_in_a_piece, usable

ListReduction = Literal["mean", "sum"]
LIST_REDUCTIONS = get_args(ListReduction)
PIECE = 2**18  # pairs that are looked at together
Index = Tensor | tuple[slice | None, slice | None]


def pairwise_hinge_loss(
    scores: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    margin: float = 1.0,
    power: Literal[1, 2] = 1,
    reduction: ListReduction = "mean",
) -> Tensor:
    r"""Hinge, or its square, over all pairs of a list: exact, without the table of all pairs.

    .. math:: L = \sum_{y_i > y_j} \max(0, m - s_i + s_j)^q

    For one item i the pairs that cost are those with :math:`s_j > s_i - m`: a tail of the sorted scores,
    found by bisection. So a sort does the work of P × N comparisons: O(L log L) time and O(L) memory for
    labels 0 and 1, forward and backward. Graded labels take one such pass for each binary digit of their
    rank. Only numbers of pairs and sums of what is not negative are added up, in float64: no score, however
    large, takes digits from the pairs that it is not in.

    Args:
        scores: scores s, [L] floating. Equal scores are a tie, which costs :math:`m^q`, at infinity too;
            padding may score −1e9 or −inf.
        labels: labels y ≥ 0, [L], bool or any real dtype. On a GPU, and under torch.compile, the number of
            different labels cannot be read. There bool labels take one pass, uint8 labels at most eight, and others
            as many as a list of different labels would.
        groups: ids of the groups, [L] integer, or None for one list
        margin: the margin m ≥ 0, in the unit of the scores
        power: q, 1 for the hinge, 2 for its square
        reduction: "mean", over all pairs of all groups, or "sum"

    Returns:
        A scalar, float32 (float64 for float64 scores); 0 where there is no pair.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes or devices that differ, a margin below 0, another power, an unknown reduction
            and (on the CPU) labels that are not finite numbers of at least 0

    See Also:
        :func:`~pairloss.hinge_loss`, over sampled pairs; :func:`~pairloss.lambdarank_loss`, which weighs pairs
        by what they do at the top of the list.

    Source: by sorting in O(L log L), the hinge: Joachims, ICML 2005, doi:10.1145/1102351.1102399, and Airola,
    Pahikkala and Salakoski, Pattern Recognition Letters 2011, doi:10.1016/j.patrec.2011.03.014; its square:
    Rust and Hocking, arXiv 2302.11062. The form without differences of sums is ours.

    >>> scores, labels = torch.tensor([2.0, 0.5, 1.5]), torch.tensor([1, 0, 0])
    >>> f"{pairwise_hinge_loss(scores, labels):.4f}"  # pairs 2.0 − 0.5 and 2.0 − 1.5
    '0.2500'
    """
    checks.listed(scores, labels, groups)
    margin = checks.number("margin", margin)
    checks.choice("power", power, (1, 2))
    checks.choice("reduction", reduction, LIST_REDUCTIONS)
    rank = labels.long() if labels.dtype == torch.bool else _dense_rank(labels)
    digits = _digits(rank, labels.dtype)
    line = _line(scores.double(), margin)
    group = None if groups is None else _dense_rank(groups) * (len(scores) + 1)
    total, pairs = line.value.new_zeros(()), torch.zeros((), dtype=torch.int64, device=scores.device)
    for digit in range(digits):
        # Two labels differ first in one binary digit of their ranks: there the higher has 1, the lower 0,
        # and all digits above agree. So each digit is a problem with labels 0 and 1 of its own.
        segment = rank >> (digit + 1) if digits > 1 else None
        if group is not None:
            segment = group if segment is None else group + segment
        loss, count = _binary_hinge(line, (rank >> digit) & 1 == 1, segment, margin, power)
        total, pairs = total + loss, pairs + count
    if reduction == "mean":
        total = total / pairs.clamp(min=1)
    return total.to(computed_in(scores))


def _dense_rank(values: Tensor) -> Tensor:
    """0 for the smallest value, 1 for the next, …, [L] int64."""
    ordered, order = usable(values.detach()).sort()
    steps = torch.zeros_like(order)
    steps[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(order).scatter(0, order, steps.cumsum(0))


def _digits(rank: Tensor, dtype: torch.dtype) -> int:
    """How many binary digits ranks of labels of ``dtype`` need: read where that costs nothing, else enough for all."""
    if dtype == torch.bool:
        return 1
    if ends := extremes(rank):
        return max(int(ends[1]).bit_length(), 1)
    return min(_enough(len(rank)), 8 * dtype.itemsize)


def _enough(number: int) -> int:
    """Binary digits for all numbers below ``number``, in few steps: compiled code then serves lists of many lengths."""
    return next(digits for digits in (4, 8, 12, 16, 24, 32, 48, 63) if number <= 2**digits)


class _Line(NamedTuple):
    """Items by rising score, and for each its bar: what an item of a lower label must pass to cost; all [L]."""

    order: Tensor  # where the items stand in the list
    value: Tensor  # their scores
    bar: Tensor  # score − m, rounded
    error: Tensor  # what the rounding left out: score − m is bar + error, exactly
    place: Tensor  # how many items of the line do not pass the bar
    delta: Tensor  # 0, with the gradient of a finite score

    def at(self, index: Tensor) -> "_Line":
        """Part of the line, or the line in another order."""
        return _Line(
            self.order[index],
            self.value[index],
            self.bar[index],
            self.error[index],
            self.place[index],
            self.delta[index],
        )


def _line(s: Tensor, margin: float) -> _Line:
    value, order = s.detach().sort(stable=True)
    bar = value - margin
    # Knuth's two-sum. Without the error the bar of a score of 1e20 would lie on the score, and a tie cost nothing.
    lost = value - bar
    error = torch.where(bar.isinf(), -margin, (value - (bar + lost)) + (lost - margin))
    # An item that lies on a bar does not pass it.
    left, right = torch.searchsorted(value, bar), torch.searchsorted(value, bar, right=True)
    finite = s.masked_fill(s.isinf(), 0)
    delta = (finite - finite.detach())[order]
    return _Line(order, value, bar, error, torch.where(error < 0, left, right), delta)


def _binary_hinge(
    line: _Line, high: Tensor, segment: Tensor | None, margin: float, power: int
) -> tuple[Tensor, Tensor]:
    """Sum over pairs (high, low), in each segment on its own, and the number of pairs; in float64."""
    length = len(high)
    index = torch.arange(length, device=high.device)
    start, end, first = torch.zeros_like(index), torch.full_like(index, length), line.place
    if segment is not None:
        ordered, by_segment = segment[line.order].sort(stable=True)
        start, end = torch.searchsorted(ordered, ordered), torch.searchsorted(ordered, ordered, right=True)
        line = line.at(by_segment)
        # Whole numbers say where items stand and bars belong: by segment, and there by their place on the line.
        first = torch.searchsorted(start * (length + 1) + by_segment, start * (length + 1) + line.place)
    begin = None if segment is None else start
    is_high = high[line.order]
    lows = functional.pad((~is_high).cumsum(0), (1, 0))  # low items before each place of the line
    pairs = (lows[end] - lows[start]).where(is_high, 0).sum()
    reached = (lows[end] - lows[first]).where(is_high, 0)  # low items that pass the bar of each high one
    costs = reached > 0
    last = max(length - 1, 0)
    first, following = (
        first.clamp(max=last),
        (index + 1).clamp(max=last),
    )  # the first item that passes each bar, if any does
    bars = functional.pad(torch.zeros_like(index).scatter_add(0, first, costs.long()).cumsum(0), (1, 0))
    passed = bars[index + 1] - bars[start]  # bars that each item passes
    ahead = lows[end] - lows[index + 1]  # low items behind each item
    # From each bar to the first item that passes it, and on from item to item as long as a low one follows.
    rise = (_difference(line.value[first], line.bar) - line.error).where(costs, 0)
    step = _difference(line.value[following], line.value).where(ahead > 0, 0)
    if power == 1:
        total = (reached * rise).sum() + (passed * ahead * step).where(passed > 0, 0).sum()
        slope = torch.where(is_high, -reached, passed).double()
        return total + (slope * line.delta).sum(), pairs
    behind = _running((ahead * step).flip(0), None if begin is None else (length - end).flip(0)).flip(0)
    short = (behind[first] + reached * rise).where(costs, 0)  # Σ margins of each high item
    step = step.where(passed > 0, 0)
    climbed = torch.zeros_like(rise).scatter_add(0, first, rise).index_add(0, following, passed * step)
    over = _running(climbed, begin).where(~is_high, 0)  # Σ margins of each low item
    total = (rise * (behind[first] + short)).where(rise > 0, 0).sum()
    total = total + (passed * step * (2 * behind[following] + ahead * step)).where(step > 0, 0).sum()
    most = torch.finfo(torch.float64).max
    slope = (2 * torch.where(is_high, -short, over)).clamp(min=-most, max=most)
    # Σ (δ_low − δ_high)² over the pairs that cost: 0, with their second derivatives.
    of_lows = functional.pad(_running(line.delta.where(~is_high, 0), None), (1, 0))
    across = (of_lows[end] - of_lows[first]).where(costs, 0)
    curve = torch.where(is_high, reached, passed) * line.delta - 2 * across
    return total + ((slope + curve) * line.delta).sum(), pairs


def _difference(above: Tensor, below: Tensor) -> Tensor:
    """above − below; 0 where they are equal, at infinity too."""
    return (above - below).where(above != below, 0)


def _running(values: Tensor, begin: Tensor | None) -> Tensor:
    """Sums of ``values`` from ``begin`` up to each place, added up without taking any sum from another."""
    index = torch.arange(len(values), device=values.device)
    if begin is None:
        if not torch.are_deterministic_algorithms_enabled():  # on a GPU there is no deterministic cumsum of floats
            return values.cumsum(0)
        begin = torch.zeros_like(index)
    longest = extremes(index - begin)
    for digit in range(int(longest[1] + 1).bit_length() if longest else _enough(len(values))):
        before = index - (1 << digit)
        values = values + values[before.clamp(min=0)].where(before >= begin, 0)
    return values


def lambdarank_loss(
    scores: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    sigma: float = 1.0,
    at: int | None = None,
    reduction: ListReduction = "mean",
) -> Tensor:
    r"""LambdaRank: the logistic loss of each pair, weighted by what a swap would do to NDCG.

    .. math:: L = \sum_{y_i > y_j} |\Delta \text{NDCG}_{ij}| \log(1 + e^{-\sigma (s_i - s_j)})

    with gains :math:`2^y - 1` and discounts :math:`1 / \log_2(1 + \text{rank})`, ranks by score within
    the group, ties in the order given. The weights carry no gradient. ``at=k`` is the same of NDCG@k, whose
    discounts beyond rank k are 0: only pairs with an item among the first k count, which is what the first
    screen of a long list asks for. Over groups of any sizes, with no padding, in O(Σ size²) time, or
    O(k · L), and in O(L) memory: pairs are looked at a piece at a time. (A second derivative, torch.func and
    torch.compile take all of them at once.)

    Args:
        scores: scores, [L] floating
        labels: labels y ≥ 0, [L], bool or any real dtype
        groups: ids of the groups, [L] integer, or None for one list. With groups the loss waits for a
            GPU, to learn their sizes, and cannot be compiled into one graph.
        sigma: the steepness σ > 0
        at: k, at least 1, or None for the whole list
        reduction: "mean", over all groups, those without a pair included, or "sum"

    Returns:
        A scalar, float32 (float64 for float64 scores); 0 where there is no pair.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes or devices that differ, a sigma that is not above 0, an ``at`` below 1,
            an unknown reduction and (on the CPU) labels that are not finite numbers of at least 0

    See Also:
        :func:`~pairloss.pairwise_hinge_loss`, every pair alike; :func:`~pairloss.warp_loss`, which estimates
        the rank from sampled negatives.

    Source: Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82, sections 3 and 4; as a loss
    whose gradient are its lambdas, Wang et al., CIKM 2018, doi:10.1145/3269206.3271784.

    >>> loss = lambdarank_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
    >>> f"{loss:.4f}"  # (1 − 1 / log2(3)) · log(1 + e)
    '0.4847'
    """
    checks.listed(scores, labels, groups)
    sigma = checks.number("sigma", sigma, above_0=True)
    if at is not None:
        checks.count("at", at, 1)
    checks.choice("reduction", reduction, LIST_REDUCTIONS)
    dtype = computed_in(scores)
    s, y = scores.to(dtype), usable(labels).to(dtype)
    length = len(s)
    index = torch.arange(length, device=s.device)
    # From here on everything stands by group and, there, by falling score: an item's place is its rank.
    order = s.detach().sort(descending=True, stable=True).indices
    if groups is None:
        group, num_groups, first = torch.zeros_like(index), min(length, 1), torch.zeros_like(index)
    else:
        ids = usable(groups)
        order = order[ids[order].sort(stable=True).indices]
        _, group, sizes = torch.unique_consecutive(ids[order], return_inverse=True, return_counts=True)
        num_groups, first = len(sizes), (sizes.cumsum(0) - sizes)[group]
    s, y, rank = s[order], y[order], index - first + 1
    discount = 1 / torch.log2(1 + rank.to(dtype))
    if at is not None:
        discount = discount.masked_fill(rank > at, 0)
    # (2^y − 1) / 2^highest: NDCG is a ratio, and a label of 128 alone would be beyond float32.
    highest = torch.zeros(num_groups, dtype=dtype, device=s.device).scatter_reduce(0, group, y, "amax")[group]
    gain = -torch.exp2(y - highest) * torch.expm1(-math.log(2) * y)
    best = y.sort(descending=True, stable=True).indices
    best = best[group[best].sort(stable=True).indices]
    ideal = torch.zeros(num_groups, dtype=dtype, device=s.device).index_add(0, group, gain[best] * discount)
    share = gain / ideal.masked_fill(ideal == 0, 1)[group]

    def of_pairs(s: Tensor, i: Index, j: Index) -> Tensor:
        """The sum over pairs of an item i and one of its group behind it; a j that is not behind it adds nothing."""
        (s_i, share_i, discount_i), (s_j, share_j, discount_j) = (
            [part[k] if isinstance(k, tuple) else part.index_select(0, k) for part in (s, share, discount)]
            for k in (i, j)
        )
        ahead = share_i - share_j
        delta = ahead.abs() * functional.relu(discount_i - discount_j)
        # What does not count meets no gradient, and equal scores are a tie, at infinity too.
        lead = (s_i - s_j).masked_fill((delta == 0) | ((s_i == s_j) & s_i.isinf()), 0)
        # log(1 + e^{−z}), linear to the last float64 digit below −40
        return (delta * functional.softplus(-sigma * ahead.sign() * lead, threshold=40)).sum()

    if groups is None:
        pieces = _triangle(index, length if at is None else min(at, length))
    else:
        pieces = _behind(index, sizes[group] - rank if at is None else (sizes[group] - rank).where(rank <= at, 0))
    if len(pieces) > 1 and only_backward(s):
        total = _in_pieces(s, of_pairs, pieces)
    else:
        total = sum((of_pairs(s, *piece) for piece in pieces), s[:0].sum())
    return total / max(num_groups, 1) if reduction == "mean" else total


class _InPieces(torch.autograd.Function):
    """Σ f(s, piece), of which nothing but s and the gradient is kept; a second derivative takes them all at once."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, f: Callable[..., Tensor], pieces: list[tuple[Index, Index]]) -> Tensor:
        leaf = s.detach().requires_grad_(ctx.needs_input_grad[0])
        total, slope = s.new_zeros(()), torch.zeros_like(s)
        for piece in pieces:
            with torch.set_grad_enabled(leaf.requires_grad):
                value = f(leaf, *piece)
            total += value.detach()
            if leaf.requires_grad:
                slope += torch.autograd.grad(value, leaf)[0]
        ctx.save_for_backward(s, slope)
        ctx.sum = f, pieces
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        s, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            f, pieces = ctx.sum
            total = torch.stack([f(s, *piece) for piece in pieces]).sum()
            slope = torch.autograd.grad(total, s, create_graph=True)[0]
        of_s: Tensor = gradient * slope
        return of_s, None, None


_in_pieces: Callable[..., Tensor] = _InPieces.apply


def _triangle(index: Tensor, rows: int) -> list[tuple[Index, Index]]:
    """Each of the first ``rows`` items, [.., 1], beside all from there on, [1, ..], about ``PIECE`` pairs a piece."""
    few = rows_in_a_piece(index.expand(rows, -1), PIECE)
    starts = range(0, max(rows, 1), few)
    return [((slice(a, min(a + few, rows)), None), (None, slice(a, None))) for a in starts]


def _behind(index: Tensor, counts: Tensor) -> list[tuple[Index, Index]]:
    """Each item beside the ``counts`` that follow it, as two flat lists, about ``PIECE`` pairs a piece."""
    before = counts.cumsum(0) - counts
    _, items_of_a_piece = torch.unique_consecutive(before // PIECE, return_counts=True)
    pieces: list[tuple[Index, Index]] = []
    for items in torch.split(index, items_of_a_piece.tolist()):
        i = items.repeat_interleave(counts[items])
        pieces.append((i, i + 1 + torch.arange(len(i), device=i.device) - (before[i] - before[items[0]])))
    return pieces
