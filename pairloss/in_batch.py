"""The other positives of a batch as negatives."""

import math

import torch
from torch import Tensor

from pairloss import checks
from pairloss.pairs import softmax_loss
from pairloss.partial_credit import Metadata, MetadataWeights
from pairloss.reduction import Reduction
from pairloss.tensors import computed_in, dense_rank


def in_batch_softmax_loss(
    scores: Tensor, *, users: Tensor | None = None, items: Tensor | None = None, log_q: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    temperature: float = 1.0, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Softmax of each user of a batch against the items of the others, and against M more negatives if there are any.

    .. math:: \ell_u = -\log \frac{e^{s_{uu} / \tau}}{e^{s_{uu} / \tau} + \sum_{c \in R_u} e^{s_{uc} / \tau} / (n q_c)}

    with :math:`s_{uc}` the score of user u for the item in column c and :math:`\tau` the temperature. :math:`R_u` are
    the columns whose item is a real negative of the user: neither their positive nor, with ``users``, another
    positive of the same person. Each row has one positive, so several positives of a person do not push each other
    down. Without ``log_q`` the divisor :math:`n q_c` is 1.

    A batch draws popular items often. Let a draw give the item of column c with probability :math:`q_c`. With
    :math:`n = B + M - 1` draws, the sum is an unbiased estimate of the sum over all items that are not positives of
    the user. The positive itself is not drawn, so its score is not corrected.

    Args:
        scores: s, [B, B + M] floating. The item of column u is the positive of row u. The last M columns are negatives
            for all users, drawn uniformly for example ("mixed negative sampling"). Two towers give
            ``user_vectors @ item_vectors.T``.
        users: user ids, [B] integer, or None where all differ
        items: item ids of the columns, [B + M] integer, or None where all differ. Needed with metadata.
        log_q: :math:`\log q`, [B + M] floating, or None. With :math:`B - 1` draws by popularity :math:`p_i` and M
            uniform draws from N items it is the log of :math:`(B - 1) p_i / n + M / (n N)`.
        metadata, metadata_weights: partial credit, see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which users count, [B] bool, and how much each does, [B] of at least 0
        negative_mask: which columns are real negatives of each user as far as you know, [B, B + M] bool
        temperature: :math:`\tau`, above 0, in the unit of the scores
        reduction: "mean", "sum" or "none" (one value per user)

    Returns: a scalar, or [B], in float32, or float64 for float64 scores. A user without a real negative is masked.

    Raises: as every loss, and ValueError for (on the CPU) a ``log_q`` above 0 or infinite.

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.softmax_loss` (against
    negatives sampled for each positive).

    Source: Yi et al., RecSys 2019, doi:10.1145/3298689.3346996 (log q). Yang et al., WWW 2020 Companion,
    doi:10.1145/3366424.3386195 (mixed negatives). Khrylchenko et al., RecSys 2025, arXiv 2507.09331, show that the
    positive must stay uncorrected. The loss here has the gradient of theirs.

    >>> scores = torch.tensor([[2.0, 1.0, 0.5], [0.0, 1.0, 3.0], [1.0, 2.0, 0.0]])
    >>> in_batch_softmax_loss(scores, users=torch.tensor([7, 8, 8]), items=torch.tensor([3, 5, 6]), reduction="none")
    tensor([0.4644, 0.3133, 1.3133])
    """
    checks.in_batch(scores, users, items, log_q, negative_mask, metadata, temperature)
    batch, columns = scores.shape
    users = torch.arange(batch, device=scores.device) if users is None else users
    ids = torch.arange(columns, device=scores.device) if items is None else items
    # A pair of a user and a column is one number. Those on the diagonal are the positives of the batch.
    pair = dense_rank(users).unsqueeze(1) * columns + dense_rank(ids)
    positives = pair.diagonal().sort().values
    real = positives[torch.searchsorted(positives, pair).clamp(max=max(batch - 1, 0))] != pair
    many = scores.to(computed_in(scores))
    off = None if log_q is None else float(temperature) * (log_q.to(many.dtype) + math.log(max(columns - 1, 1)))
    return softmax_loss(
        scores.diagonal(), many if off is None else many - off, positive_items=None if items is None else items[:batch],
        negative_items=None if items is None else items.expand(batch, columns),
        metadata=metadata, metadata_weights=metadata_weights, mask=mask, weights=weights,
        negative_mask=real if negative_mask is None else real & negative_mask, batch_first=True,
        temperature=temperature, reduction=reduction,
    )  # fmt: skip
