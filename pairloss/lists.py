r"""Losses over whole lists: every pair of items with different labels, the higher label against the lower.

Symbols: :math:`s_i` the score and :math:`y_i` the label of item i of a list of L items. With ``groups``
only items of one group are compared, so that many lists (the users of a batch, say) go in at once.
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from pairloss import checks
from pairloss.reduction import computed_in

ListReduction = Literal["mean", "sum"]


def pairwise_hinge_loss(
    scores: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    margin: float = 1.0,
    squared: bool = False,
    reduction: ListReduction = "mean",
) -> Tensor:
    r"""Hinge over all pairs of a list, exact, without the table of all pairs.

    .. math:: L = \sum_{y_i > y_j} \max(0, m - s_i + s_j)

    For one item i the pairs that cost are those with :math:`s_j > s_i - m`: a tail of the sorted scores.
    Sums over tails are differences of cumulative sums, so a sort does the work of P × N comparisons:
    O(L log L) time and O(L) memory for labels 0 and 1, forward and backward. Graded labels take one
    such pass for each binary digit of their rank. All sums are taken in float64.

    Args:
        scores: scores, [L] floating
        labels: labels ≥ 0, [L], bool or any real dtype. On a GPU, and under torch.compile, where the
            number of different labels cannot be read, only bool labels are known to need one pass.
        groups: ids of the groups, [L] integer, or None for one list
        margin: the margin m ≥ 0, in the unit of the scores
        squared: whether each pair counts the square of its hinge, instead of the hinge
        reduction: "mean", over all pairs of all groups, or "sum"

    Returns:
        A number without shape, float32 (float64 for float64 scores); 0 where there is no pair.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes or devices that differ, a margin below 0, an unknown reduction and (on
            the CPU) labels below 0

    Source: the sums by sorting are those of Rust and Hocking, arXiv 2302.11062.

    >>> scores, labels = torch.tensor([2.0, 0.5, 1.5]), torch.tensor([1, 0, 0])
    >>> f"{pairwise_hinge_loss(scores, labels):.4f}"  # pairs 2.0 − 0.5 and 2.0 − 1.5
    '0.2500'
    """
    checks.listed(scores, labels, groups)
    checks.number("margin", margin, above_0=False)
    checks.choice("reduction", reduction, get_args(ListReduction))
    rank = labels.long() if labels.dtype == torch.bool else _dense_rank(labels)
    digits = _digits(labels, rank)
    # Differences are all that counts: near 0 they keep more digits. An element, for the mean would round.
    center = scores.detach()[:1].double()
    s = scores.double() - center.where(center.isfinite(), 0)
    group = None if groups is None else _dense_rank(groups) * (len(s) + 1)
    total, pairs = s.new_zeros(()), torch.zeros((), dtype=torch.int64, device=s.device)
    for digit in range(digits):
        # Two labels differ first in one binary digit of their ranks: there the higher has 1, the lower 0,
        # and all digits above agree. So each digit is a problem with labels 0 and 1 of its own.
        segment = rank >> (digit + 1) if digits > 1 else None
        if group is not None:
            segment = group if segment is None else group + segment
        loss, count = _binary_hinge(s, (rank >> digit) & 1 == 1, segment, margin, squared)
        total, pairs = total + loss, pairs + count
    if reduction == "mean":
        total = total / pairs.clamp(min=1)
    return total.to(computed_in(scores))


def _dense_rank(values: Tensor) -> Tensor:
    """0 for the smallest value, 1 for the next, …, [L] int64."""
    ordered, order = values.detach().sort()
    steps = torch.zeros_like(order)
    steps[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(order).scatter(0, order, steps.cumsum(0))


def _digits(labels: Tensor, rank: Tensor) -> int:
    """How many binary digits ranks can have: as few as can be known without waiting."""
    if labels.dtype == torch.bool:
        return 1
    highest = checks.readable_max(rank)
    return max(len(labels) - 1 if highest is None else highest, 1).bit_length()


def _binary_hinge(
    s: Tensor, high: Tensor, segment: Tensor | None, margin: float, squared: bool
) -> tuple[Tensor, Tensor]:
    """Sum over pairs (high, low), in each segment on its own, and the number of pairs; s in float64."""
    # One line of 2L places: each item as itself, and as the bar s − m that a low item must pass to cost.
    # All sorts are stable: in a tie the item stands before the bar and does not cost.
    length = len(s)
    x, place = torch.cat([s, s - margin]).sort(stable=True)
    end = None
    if segment is not None:
        ordered, by_segment = segment.repeat(2)[place].sort(stable=True)
        x, place = x[by_segment], place[by_segment]
        begin, end = torch.searchsorted(ordered, ordered), torch.searchsorted(ordered, ordered, right=True)
    is_item = place < length
    is_high = high[place % length]
    is_low, is_bar = is_item & ~is_high, ~is_item & is_high

    def tail(values: Tensor) -> Tensor:
        """Σ over the low items behind each place, in its segment."""
        sums = values.where(is_low, 0).flip(0).cumsum(0).flip(0)
        return sums if end is None else sums - functional.pad(sums, (0, 1))[end]

    count = tail(torch.ones_like(x))
    # A bar that nothing passes costs nothing, even at infinity; a NaN stays visible.
    costs = is_bar & ((count > 0) | x.isnan())
    loss = x**2 * count - 2 * x * tail(x) + tail(x**2) if squared else tail(x) - x * count
    if end is None:
        pairs = is_low.sum() * is_bar.sum()
    else:
        lows = functional.pad(is_low.cumsum(0), (1, 0))
        pairs = (lows[end] - lows[begin]).where(is_bar, 0).sum()
    return loss.where(costs, 0).sum(), pairs


def lambdarank_loss(
    scores: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    sigma: float = 1.0,
    reduction: ListReduction = "mean",
) -> Tensor:
    r"""LambdaRank: the logistic loss of each pair, weighted by what a swap would do to NDCG.

    .. math:: L = \sum_{y_i > y_j} |\Delta \text{NDCG}_{ij}| \log(1 + e^{-\sigma (s_i - s_j)})

    with gains :math:`2^y - 1` and discounts :math:`1 / \log_2(1 + \text{rank})`, ranks by score within
    the group, ties in the order given. The weights carry no gradient. It looks at every pair of a
    group: O(Σ size²) time and memory over groups of any sizes, with no padding.

    Args:
        scores: scores, [L] floating
        labels: labels ≥ 0, [L], bool or any real dtype
        groups: ids of the groups, [L] integer, or None for one list. With groups the loss waits for a
            GPU once, to learn their sizes, and cannot be compiled into one graph.
        sigma: the steepness σ > 0
        reduction: "mean", over all groups, those without a pair included, or "sum"

    Returns:
        A number without shape, float32 (float64 for float64 scores); 0 where there is no pair.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes or devices that differ, a sigma that is not above 0, an unknown
            reduction and (on the CPU) labels below 0

    Source: Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82, sections 3 and 4; as a loss
    whose gradient are its lambdas, Wang et al., CIKM 2018, doi:10.1145/3269206.3271784.

    >>> loss = lambdarank_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
    >>> f"{loss:.4f}"  # (1 − 1 / log2(3)) · log(1 + e)
    '0.4847'
    """
    checks.listed(scores, labels, groups)
    checks.number("sigma", sigma, above_0=True)
    checks.choice("reduction", reduction, get_args(ListReduction))
    dtype = computed_in(scores)
    s, gain = scores.to(dtype), torch.exp2(labels.to(dtype)) - 1
    length = len(s)
    index = torch.arange(length, device=s.device)
    if groups is None:
        group, num_groups, first = torch.zeros_like(index), min(length, 1), torch.zeros_like(index)
        i, j = index.unsqueeze(1), index.unsqueeze(0)
    else:
        order = groups.sort(stable=True).indices
        s, gain = s[order], gain[order]
        _, group, sizes = torch.unique_consecutive(groups[order], return_inverse=True, return_counts=True)
        num_groups, first = len(sizes), (sizes.cumsum(0) - sizes)[group]
        # Each item beside each item of its group, as one flat list.
        i = index.repeat_interleave(sizes[group])
        j = torch.arange(len(i), device=s.device) - (sizes[group].cumsum(0) - sizes[group])[i] + first[i]

    def discount_by(values: Tensor) -> Tensor:
        """1 / log2(1 + rank), ranks by falling values within the group."""
        by_value = values.detach().sort(descending=True, stable=True).indices
        order = by_value[group[by_value].sort(stable=True).indices]
        rank = torch.zeros_like(index).scatter(0, order, index) - first + 1
        return 1 / torch.log2(1 + rank.to(dtype))

    ideal = torch.zeros(num_groups, dtype=dtype, device=s.device)
    ideal = ideal.index_add(0, group, gain * discount_by(gain))
    ideal = ideal.masked_fill(ideal == 0, 1)[group]
    discount = discount_by(s)
    delta = ((gain[i] - gain[j]) * (discount[i] - discount[j])).abs() / ideal[i]
    higher = gain[i] > gain[j]
    # log(1 + e^{−z}), linear to the last float64 digit below −40; pairs that do not count meet no gradient.
    gap = (s[j] - s[i]).masked_fill(~higher, 0)
    total = (delta.masked_fill(~higher, 0) * functional.softplus(sigma * gap, threshold=40)).sum()
    return total / max(num_groups, 1) if reduction == "mean" else total
