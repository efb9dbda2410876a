"""Sampling negatives: K items for each user, out of those that the user has not interacted with."""

from typing import Any

import torch
from torch import Tensor

from pairloss import checks
from pairloss.interactions import Interactions, ones_at
from pairloss.tensors import extremes, usable, widest


def sample_negatives(
    positive_users: Tensor, interactions: Tensor | Interactions, num_negatives: int, *, weights: Tensor | None = None,
    return_mask: bool = False, batch_first: bool = False, generator: torch.Generator | None = None,
) -> Any:  # fmt: skip
    r"""K items for each user, drawn independently from those without an interaction: uniformly, or by ``weights``.

    The r-th item that a user has *not* chosen is found by bisection in the sorted list of those that they have: exact,
    without rejected draws, and in the memory of a few tensors [K, B]. With weights, r is a place in their cumulative
    sum, in whole numbers, so that nothing is lost to rounding.

    Args:
        positive_users: user ids, [B] integer
        interactions: what is not to be drawn: :class:`~pairloss.Interactions`, or a matrix [U, N], which may be sparse
            COO or CSR, whose stored entries are the interactions, or dense and not 0 there. Interactions and coalesced
            COO tensors are ready to use. Others are brought into that form at each call, and a dense one waits for a
            GPU. Inside ``torch.compile`` give Interactions, and read their ``most_of_a_user`` before.
        num_negatives: K, at least 1
        weights: draw in proportion to these, [N] numbers of at least 0, finite: popularity to some power, for
            example. An item of weight 0 is never drawn. They count to one part in :math:`2^{52}` of their sum, or in
            :math:`2^{23}` on a device that has no float64.
        return_mask: whether to say which draws are real, for ``negative_mask``: all but those for a user who has
            interacted with everything, who gets item 0
        batch_first: whether what comes back is [B, K]
        generator: source of randomness, on the device of the users, None inside ``torch.compile``

    Returns:
        Item ids, [K, B] int64, on the device of the users, and with ``return_mask`` also the mask, [K, B] bool.

    Raises: TypeError for a wrong type, dtype or layout. ValueError for shapes or devices that do not fit. On the CPU
    also for NaN, for weights below 0 or infinite and for a user without a row. Without ``return_mask`` a user without
    an item left (of a weight above 0) is a ValueError on the CPU, and gets N on a GPU, the id of no item.

    >>> interactions = torch.tensor([[True, False, True, True]])
    >>> sample_negatives(torch.tensor([0, 0]), interactions, 1)
    tensor([[1, 1]])
    """
    longest = None
    if isinstance(interactions, Interactions):
        longest, stored = interactions.most_of_a_user, interactions.distinct
        # Only the shape of this table counts. torch.compile accepts no sparse one.
        interactions = stored[1].new_empty(()).expand(interactions.num_users, interactions.num_items)
    checks.sampling(positive_users, interactions, num_negatives, weights)
    checks.flag("return_mask", return_mask)
    checks.flag("batch_first", batch_first)
    rows, items = _coalesced(interactions) if longest is None else stored
    num_items = interactions.shape[1]
    users = positive_users.long().contiguous()
    first = torch.searchsorted(rows, users)
    known = torch.searchsorted(rows, users, right=True) - first
    if longest is None:
        ends = extremes(known)
        longest = int(ends[1]) if ends else num_items
    if weights is None:
        start, left = first, num_items - known
    else:  # as above, with the weight of items in the place of their number
        whole = _whole(weights)
        before_item, before_known = (torch.nn.functional.pad(w.cumsum(0), (1, 0)) for w in (whole, whole[items]))
        unknown_before = before_item[items] - before_known[:-1]
        start = before_known[first]
        left = before_item[-1] - (before_known[first + known] - start)
    if not return_mask:
        checks.not_everything(users, left)
    shape = num_negatives, len(users)
    # These are the numbers of torch.rand, which cannot be compiled for any size: it refuses even generator=None.
    uniform = torch.empty(shape, dtype=widest(users.device), device=users.device).uniform_(generator=generator)
    r = (uniform * left).long().minimum(left - 1).clamp(min=0)
    # The draw stands behind those known items that have at most r unknown ones (or r of their weight) before them.
    # Bisect for the last of them, from the highest power of 2 down. A probe beyond a user's last item stops there.
    last, end, most = (first - 1).expand(shape), first + known - 1, r - start
    step = 1 << max(longest.bit_length() - 1, 0) if len(items) else 0
    while step > 0:
        probe = (last + step).minimum(end)
        unknown = items[probe] - probe if weights is None else unknown_before[probe]
        last = torch.where(unknown <= most, probe, last)
        step >>= 1
    behind = last + 1 - first
    if weights is None:
        drawn = r + behind
    else:
        drawn = torch.searchsorted(before_item[1:], r + before_known[first + behind] - start, right=True)
    real = (left > 0).expand(shape)
    drawn, real = (values.T if batch_first else values for values in (drawn, real))
    return (drawn.masked_fill(~real, 0), real) if return_mask else drawn


def _whole(weights: Tensor) -> Tensor:
    """Weights as whole numbers, whose sums are exact: 2⁵² all together, 2²³ without float64, and 0 for 0 alone."""
    weights = usable(weights).to(widest(weights.device))
    if not len(weights):
        return weights.long()
    ends = torch.finfo(weights.dtype)
    shares = weights / weights.amax().clamp(min=ends.tiny)  # whose sum is finite
    return (shares / shares.sum() / ends.eps).round().clamp(min=1).where(weights > 0, 0).long()


def _coalesced(interactions: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the interactions, in order, each pair once."""
    if interactions.layout == torch.strided:
        interactions = (interactions != 0).to_sparse()
    ready = interactions.layout == torch.sparse_coo and interactions.is_coalesced()
    stored = interactions if ready else ones_at(interactions.to_sparse_coo()._indices(), interactions.shape)
    rows, items = stored.indices()
    return rows, items
