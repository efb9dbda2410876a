"""LambdaRank over whole lists: every pair of items with different labels, the higher label against the lower."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pairloss import checks
from pairloss.lists import listed
from pairloss.reduction import LIST_REDUCTIONS, ListReduction
from pairloss.tensors import computed_in, falling, only_backward, readable, rows_in_a_piece

PIECE = 2**18  # pairs that are looked at together
Index = Tensor | tuple[slice | None, ...]


def lambdarank_loss(
    scores: Tensor, labels: Tensor, *, groups: Tensor | None = None, mask: Tensor | None = None,
    weights: Tensor | None = None, sigma: float = 1.0, at: int | None = None, reduction: ListReduction = "mean",
) -> Tensor:  # fmt: skip
    r"""LambdaRank: the logistic loss of each pair, weighted by what a swap would do to NDCG.

    .. math:: L = \sum_{y_i > y_j} w_i |\Delta \text{NDCG}_{ij}| \log(1 + e^{-\sigma (s_i - s_j)})

    with gains :math:`2^y - 1` and discounts :math:`1 / \log_2(1 + \text{rank})`, ranks by score within the group, ties
    in the order given. The weights carry no gradient. ``at=k`` is the same of NDCG@k: only pairs with an item among the
    first k count. Over groups of any sizes, with no padding, in O(Σ size²) time, or O(k · L), and in O(L) memory,
    because pairs are looked at a piece at a time. (A second derivative, torch.func and torch.compile take all at once.)

    Args:
        scores: scores, [L], or of B padded lists [B, L], floating
        labels: labels y ≥ 0, like the scores, bool or any real dtype
        groups: ids of the groups, [L] integer, or None for one list and for a table [B, L]. With groups or a table the
            loss waits for a GPU, to learn their sizes, and cannot be compiled into one graph.
        mask: which items are there, bool like the scores. What stands in the others changes nothing.
        weights: w ≥ 0, like the scores, for the pairs in which the item has the higher label. Or [B], for whole lists.
        sigma: the steepness σ > 0
        at: k, at least 1, or None for the whole list
        reduction: "mean", over all groups with an item, those without a pair included, or "sum". With weights a group
            counts by the mean weight of its items.

    Returns: a scalar, float32 (float64 for float64 scores), and 0 where there is no pair.

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape, device, sigma, ``at`` or reduction and (on the
    CPU) labels and weights that are not finite numbers of at least 0.

    See Also: :func:`~pairloss.pairwise_hinge_loss` (every pair alike), :func:`~pairloss.warp_loss` (which estimates the
    rank from sampled negatives).

    Source: Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82, sections 3 and 4. As a loss
    whose gradient are its lambdas: Wang et al., CIKM 2018, doi:10.1145/3269206.3271784.

    >>> loss = lambdarank_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
    >>> f"{loss:.4f}"  # (1 − 1 / log2(3)) · log(1 + e)
    '0.4847'
    """
    checks.number("sigma", sigma, above_0=True)
    if at is not None:
        checks.count("at", at, 1)
    checks.choice("reduction", reduction, LIST_REDUCTIONS)
    s, y, groups, absent, weights = listed(scores, labels, groups, mask, weights, reduction)
    dtype = computed_in(s)
    s, y = s.to(dtype), y.to(dtype)
    length, steepness = s.shape[0], min(float(sigma), torch.finfo(dtype).max)
    index = torch.arange(length, device=s.device)
    # From here on everything stands by group and, there, by falling score: an item's place is its rank.
    order = falling(s)
    if groups is None:
        group, first = torch.zeros_like(index), torch.zeros_like(index)
        sizes = index.new_full((1,), length)
    else:
        order = order[groups[order].sort(stable=True).indices]
        try:
            _, group, sizes = torch.unique_consecutive(groups[order], return_inverse=True, return_counts=True)
        except RuntimeError:
            if only_backward(s):
                raise
            where = "under torch.compile or inside vmap, where their sizes cannot be learnt"
            raise ValueError(f"groups was given {where}; expected None, or one call for each list") from None
        first = (sizes.cumsum(0) - sizes)[group]
    num_groups = len(sizes)
    s, y, rank = s[order], y[order], index - first + 1
    w = None if weights is None else weights.to(dtype)[order]
    discount = 1 / torch.log2(1 + rank.to(dtype))
    if at is not None:
        discount = discount.masked_fill(rank > at, 0)
    # (2^y − 1) / 2^highest: NDCG is a ratio, and a label of 128 alone would be beyond float32.
    highest = torch.zeros(num_groups, dtype=dtype, device=s.device).scatter_reduce(0, group, y, "amax")[group]
    gain = -torch.exp2(y - highest) * torch.expm1(-math.log(2) * y)
    best = falling(y)
    best = best[group[best].sort(stable=True).indices]
    ideal = torch.zeros(num_groups, dtype=dtype, device=s.device).index_add(0, group, gain[best] * discount)
    share = gain / ideal.masked_fill(ideal == 0, 1)[group]

    following = index + 1
    known = readable(s) and length**2 > PIECE and only_backward(s)  # in this order: export must not learn the length
    by_label = known and at is None
    if by_label:
        # By falling label, each item is higher than all from some place on: pairs of equal labels are not looked at.
        s, y, share, discount = (part.index_select(0, best) for part in (s, y, share, discount))
        w = None if w is None else w.index_select(0, best)
        run = ((y != y.roll(1)) | (group != group.roll(1))).cumsum(0)
        following = torch.searchsorted(run, run, right=True)
    finite = known and bool((steepness * s.detach().abs().sum()).isfinite())

    def taken(part: Tensor, k: Index) -> Tensor:
        return part[k] if isinstance(k, tuple) else part.index_select(0, k)

    # Its annotation is evaluated at each call, and torch 2.6 cannot trace tuple[Tensor, Tensor].
    def of_pairs(s: Tensor, i: Index, j: Index) -> Any:
        """Of each item i and one behind it: σ times the lead of the lower label, and the weight, 0 for no pair."""
        (s_i, share_i, discount_i), (s_j, share_j, discount_j) = (
            [taken(part, k) for part in (s, share, discount)] for k in (i, j)
        )
        ahead, drop, lead = share_i - share_j, discount_i - discount_j, s_i - s_j
        if by_label:
            weight = functional.relu(ahead) * drop.abs()
        else:
            weight, lead = ahead.abs() * functional.relu(drop), lead * ahead.sign()
        if w is not None:
            weight = weight * torch.where(ahead > 0, taken(w, i), taken(w, j))
        if not finite:  # What does not count meets no gradient, and equal scores are a tie, at infinity too.
            lead = lead.masked_fill((weight == 0) | ((s_i == s_j) & s_i.isinf()), 0)
        return -steepness * lead, weight

    if groups is None:
        pieces = _triangle(following, length if at is None else min(at, length), known)
    else:
        counts = first + sizes[group] - following
        pieces = _behind(index, following, counts if at is None else counts.where(rank <= at, 0))
    total = (_in_pieces if len(pieces) > 1 and only_backward(s) else _at_once)(s, of_pairs, pieces)
    if reduction == "sum":
        return total
    if w is not None:  # a group counts by the mean weight of its items
        number = (torch.zeros(num_groups, dtype=dtype, device=s.device).index_add(0, group, w) / sizes).sum()
    elif absent is not None:
        number = num_groups - absent.sum()
    else:
        return total / max(num_groups, 1)
    return total / number.masked_fill(number == 0, 1)


def _costs(lag: Tensor, weight: Tensor) -> Tensor:
    # log(1 + e^lag), linear to the last float64 digit above 40
    return (weight * functional.softplus(lag, threshold=40)).sum()


def _at_once(s: Tensor, of_pairs: Callable[..., Any], pieces: list[tuple[Index, Index]]) -> Tensor:
    return sum((_costs(*of_pairs(s, *piece)) for piece in pieces), s[:0].sum())


class _InPieces(torch.autograd.Function):
    """The same, but only s and the gradient are kept. A second derivative takes all pieces at once."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, of_pairs: Callable[..., Any], pieces: list[tuple[Index, Index]]) -> Tensor:
        leaf = s.detach().requires_grad_(ctx.needs_input_grad[0])
        total, slope = s.new_zeros(()), torch.zeros_like(s)
        for piece in pieces:
            with torch.set_grad_enabled(leaf.requires_grad):
                lag, weight = of_pairs(leaf, *piece)
            total += _costs(lag.detach(), weight)
            if leaf.requires_grad:
                slope += torch.autograd.grad(lag, leaf, weight * lag.detach().sigmoid())[0]
        ctx.save_for_backward(s, slope)
        ctx.sum = of_pairs, pieces
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        s, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            slope = torch.autograd.grad(_at_once(s, *ctx.sum), s, create_graph=True)[0]
        of_s: Tensor = gradient * slope
        return of_s, None, None


_in_pieces: Callable[..., Tensor] = _InPieces.apply


def _triangle(following: Tensor, rows: int, known: bool) -> list[tuple[Index, Index]]:
    """Each of the first ``rows`` items, [.., 1], with all that follow, [1, ..], about ``PIECE`` pairs a piece."""
    if torch.compiler.is_compiling():
        return [((slice(0, rows), None), (None,))]
    begins = following[:rows].tolist() if known else range(rows)
    pieces: list[tuple[Index, Index]] = []
    a = 0
    while a < rows and begins[a] < len(following):
        b = min(a + rows_in_a_piece(following[None, begins[a] :], PIECE), rows)
        pieces.append(((slice(a, b), None), (None, slice(begins[a], None))))
        a = b
    return pieces


def _behind(index: Tensor, following: Tensor, counts: Tensor) -> list[tuple[Index, Index]]:
    """Each item with the ``counts`` from ``following`` on, as two flat lists, about ``PIECE`` pairs a piece."""
    before = counts.cumsum(0) - counts
    _, items_of_a_piece = torch.unique_consecutive(before // PIECE, return_counts=True)
    pieces: list[tuple[Index, Index]] = []
    for items in torch.split(index, [int(number) for number in items_of_a_piece]):  # torch 2.6 has no list of a tangent
        i = items.repeat_interleave(counts[items])
        pieces.append((i, following[i] + torch.arange(len(i), device=i.device) - (before[i] - before[items[0]])))
    return pieces
