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


def sample_negatives(
    positive_users: Tensor, interactions: Tensor, num_negatives: int, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""K items for each user, drawn uniformly and independently from those without an interaction.

    The r-th item that a user has *not* chosen is found by bisection in the sorted list of those that
    they have: exact, without rejected draws, and with no memory beyond a few tensors [K, B].

    Args:
        positive_users: user ids, [B] integer
        interactions: what is not to be drawn, [U, N]: a sparse COO tensor, whose entries are the
            interactions, or a dense one that is not 0 there. Calls with a coalesced sparse tensor cost
            nothing per interaction; a dense one is searched for its entries at each call, and waits for
            a GPU to do so.
        num_negatives: K, at least 1
        generator: source of randomness, on the device of the users

    Returns:
        Item ids, [K, B] int64, on the device of the users.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes or devices that do not fit and, on the CPU, for a user without a row or
            without an item left; on a GPU such a user gets N, the id of no item

    >>> interactions = torch.tensor([[True, False, True, True]])
    >>> sample_negatives(torch.tensor([0, 0]), interactions, 3)
    tensor([[1, 1],
            [1, 1],
            [1, 1]])
    """
    checks.sampling(positive_users, interactions, num_negatives)
    sparse = interactions if interactions.is_sparse else (interactions != 0).to_sparse()
    if not sparse.is_coalesced():
        entries = torch.ones_like(sparse._indices()[0], dtype=torch.float32)
        sparse = torch.sparse_coo_tensor(sparse._indices(), entries, sparse.shape, check_invariants=True).coalesce()
    rows, items = sparse.indices()
    num_items = interactions.shape[1]
    users = positive_users.long()
    first = torch.searchsorted(rows, users)
    known = torch.searchsorted(rows, users, right=True) - first
    left = num_items - known
    checks.not_everything(positive_users, left)
    shape = num_negatives, len(users)
    uniform = torch.rand(shape, dtype=torch.float64, device=users.device, generator=generator)
    r = (uniform * left).long().minimum(left - 1).clamp(min=0)
    # Before the k-th known item lie items[k] − k unknown ones. The answer is r plus the number of known
    # items with at most r unknown ones before them; bisect for it, from the highest power of 2 down.
    before = torch.zeros_like(r)
    step = 1 << max(num_items.bit_length() - 1, 0)
    while step > 0:
        probe = before + step
        at_probe = items[(first + probe - 1).clamp(max=max(len(items) - 1, 0))] if len(items) else probe
        passes = (probe <= known) & (at_probe - (probe - 1) <= r)
        before = torch.where(passes, probe, before)
        step >>= 1
    return r + before


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


def semi_hard_negatives(
    positive_scores: Tensor, many_negative_scores: Tensor, negative_mask: Tensor | None = None
) -> Tensor:
    r"""The highest-scoring negative below its positive; where none is below, the lowest of all.

    Hard, but not so hard that it may well be a false negative.

    Args:
        positive_scores: scores of the positives, [B]
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool; the others are never chosen

    Returns:
        Row indices, [B] int64; 0 where no negative is real.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for a wrong shape or device

    Source: Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, arXiv 1503.03832, section 3.2, in
    scores instead of distances and without its margin.

    >>> semi_hard_negatives(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [1.5, 2.0], [4.0, 5.0]]))
    tensor([1, 1])
    """
    checks.positive_scores(positive_scores)
    many = checks.many_negative_scores(positive_scores, many_negative_scores)
    checks.negative_mask(negative_mask, many)
    below = many.detach() < positive_scores.detach()
    if negative_mask is not None:
        below = below & negative_mask
    lowest = hardest_negatives(-many, negative_mask)
    return torch.where(below.any(0), hardest_negatives(many, below), lowest)


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
    k = hit.shape[0]
    dtype = torch.int16 if k < 2**15 else torch.int32
    countdown = torch.arange(k, 0, -1, dtype=dtype, device=hit.device).unsqueeze(1)
    best = hit.to(dtype).mul_(countdown).amax(0).long()
    found = best > 0
    index = (k - best).clamp(max=k - 1)
    if negative_mask is None:
        return index, index + 1, found
    tried = (countdown >= best) & negative_mask
    return index, tried.sum(0), found
