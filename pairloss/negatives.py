"""Choosing negatives: which of the K sampled ones does each positive meet?

Every function takes one column per pair and gives, for each, the row of the chosen negative. The
choice carries no gradient; ``at`` takes the scores at the chosen rows.
"""

import torch
from torch import Tensor

from pairloss import checks


def at(rows: Tensor, index: Tensor) -> Tensor:
    """From each column of ``rows`` [K, B] the entry at ``index`` [B]: a tensor [B], with gradients."""
    return rows.gather(0, index.unsqueeze(0)).squeeze(0)


def hardest_negatives(many_negative_scores: Tensor, negative_mask: Tensor | None = None) -> Tensor:
    r"""The highest-scoring negative of each pair: :math:`\arg\max_k n_k`.

    Args:
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool; the others are never chosen

    Returns:
        Row indices, [B] int64; 0 where no negative is real. A NaN counts as the highest score, so that
        it stays visible.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for a wrong shape or device

    >>> hardest_negatives(torch.tensor([[2.0, 0.5], [3.0, 0.1], [2.5, 0.4]]))
    tensor([1, 0])
    """
    many = checks.rows(many_negative_scores)
    checks.negative_mask(negative_mask, many)
    many = many.detach()
    if negative_mask is not None:
        # A real negative that scores −inf must still beat one that is not real.
        lowest = torch.finfo(many.dtype).min
        many = many.clamp(min=lowest).masked_fill(~negative_mask, -torch.inf)
    return many.max(0).indices


def first_violation(margins: Tensor, negative_mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    r"""The first negative of each pair, from the top, that violates its margin.

    This is the search of WARP (Weston, Bengio and Usunier, IJCAI 2011), for all pairs at once.

    Args:
        margins: margin :math:`d - p + n_k` of each negative, [K, B]; above 0 is a violation
        negative_mask: which negatives are real, [K, B] bool; one that is not is no try

    Returns:
        ``(index, tries, found)``, each [B]. index is the row of the first violation (int64; K − 1 where
        there is none), tries the number of draws it took (int64; where there is none, all real
        negatives), found whether there is one (bool). A NaN counts as a violation, so that it stays
        visible.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for a wrong shape or device

    >>> index, tries, found = first_violation(torch.tensor([[-1.0, -1.0], [0.5, -2.0], [2.0, -3.0]]))
    >>> index, tries, found
    (tensor([1, 2]), tensor([2, 3]), tensor([ True, False]))
    """
    margins = checks.rows(margins, "margins")
    checks.negative_mask(negative_mask, margins, "margins")
    return first_hit((margins <= 0).logical_not_(), negative_mask)


def first_hit(hit: Tensor, negative_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``first_violation`` for violations already found, ``hit`` [K, B] bool."""
    if negative_mask is not None:
        hit = hit & negative_mask
    # Count rows down, K … 1, and keep the largest count that is hit: argmax over rows would walk
    # through memory with stride B, several times slower. Small integers move fewer bytes.
    k = len(hit)
    dtype = torch.int16 if k < 2**15 else torch.int32
    countdown = torch.arange(k, 0, -1, dtype=dtype, device=hit.device).unsqueeze(1)
    best = hit.to(dtype).mul_(countdown).amax(0).long()
    found = best > 0
    index = (k - best).clamp(max=k - 1)
    if negative_mask is None:
        return index, index + 1, found
    tried = (countdown >= best) & negative_mask
    return index, tried.sum(0), found
