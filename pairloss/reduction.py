"""From the losses of pairs to one number: mask, sample weight, square and reduction, written once."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pairloss import checks
from pairloss.tensors import rows_first, widest

Reduction = Literal["mean", "sum", "none"]
ListReduction = Literal["mean", "sum"]
REDUCTIONS, LIST_REDUCTIONS = get_args(Reduction), get_args(ListReduction)


def which_count(mask: Tensor | None, weights: Tensor | None, negative_mask: Tensor | None) -> Tensor | None:
    """Which pairs count, [B] bool, or None when all do: a weight of 0 is a mask, and so is no real negative."""
    which = mask
    if weights is not None:
        # "not 0" rather than "above 0": a NaN among the weights must stay visible.
        which = weights != 0 if which is None else which & (weights != 0)
    if negative_mask is not None:
        which = negative_mask.any(0) if which is None else which & negative_mask.any(0)
    return which


def reduce(loss: Tensor, counts: Tensor | None, weights: Tensor | None, squared: bool, reduction: Reduction) -> Tensor:
    """Square and weigh the loss of each pair, [B], and reduce it over the pairs in ``counts``."""
    dtype = loss.dtype
    if squared:
        loss = loss * (loss + 1)
    if weights is not None:
        # Weights may be wider than the loss: 1e300 is a weight, but no float32.
        weights = hide(counts, weights.to(torch.promote_types(dtype, weights.dtype)))
        if reduction == "mean" and weights.numel() > 0:  # "> 0": else torch 2.6 exports for this size alone
            largest = weights.amax()  # only ratios count, and the sum of large weights is inf
            weights = weights / largest.masked_fill(largest == 0, 1)
        loss = loss * weights
    loss = hide(counts, loss)
    if reduction == "none":
        return loss.to(dtype)
    total = loss.sum()
    if reduction == "mean":
        if counts is None:
            return total / max(loss.numel(), 1)
        weight = counts.sum() if weights is None else weights.sum()
        total = total / weight.masked_fill(weight == 0, 1)
    return total.to(dtype)


def total_weight(
    positive_scores: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None,
    negative_mask: Tensor | None = None, batch_first: bool = False,
) -> Tensor:  # fmt: skip
    r"""What the reduction "mean" divides by: :math:`\sum w` over the pairs that count.

    A batch in parts, on several ranks or in several passes, has the mean of the whole only if each part's *sum* is
    divided by the weight of *all* parts. The mean of their means differs where masks or weights leave them unequal.

    Args:
        positive_scores: scores of the positives, [B], or anything floating of their shape (only that counts)
        mask, weights, negative_mask, batch_first: as the loss gets them

    Returns: a scalar without gradient, in float64 (float32 on a device without that): B where all pairs count alike.

    Raises: TypeError for a wrong dtype, ValueError for shapes or devices that differ and (on the CPU) weights below 0.

    Over several passes, with the weight of all of them in ``whole``, each ``part`` has the loss
    ``loss(..., reduction="sum") / whole``. Over several ranks, :func:`~pairloss.distributed_mean` does it.

    >>> total_weight(torch.zeros(3), mask=torch.tensor([True, False, True])).item()
    2.0
    """
    checks.flag("batch_first", batch_first)
    checks.scores("positive_scores", positive_scores)
    checks.mask_and_weights(mask, weights, positive_scores)
    if negative_mask is not None:
        checks.bools("negative_mask", negative_mask)
        checks.columns("negative_mask", negative_mask, positive_scores, batch_first=batch_first)
        negative_mask = rows_first(negative_mask, batch_first)
    counts = which_count(mask, weights, negative_mask)
    with torch.no_grad():
        weights = torch.ones_like(positive_scores) if weights is None else weights
        return hide(counts, weights.to(widest(weights.device))).sum()


def distributed_mean(loss_sum: Tensor, weight: Tensor, group: Any = None) -> Tensor:
    r"""The mean over the pairs of all ranks, for gradients that are averaged over the ranks.

    .. math:: \frac{R \, \ell_r}{\sum_s w_s}

    with R ranks, :math:`\ell_r` the sum of the losses of this rank and :math:`w_s` the weight of rank s.
    DistributedDataParallel and FSDP average gradients. The average of these losses has the gradients of the mean over
    all pairs of all ranks, however masks, weights and sizes differ. Every rank calls it, also one without a pair.

    Args:
        loss_sum: a loss with the reduction "sum"
        weight: what :func:`~pairloss.total_weight` gives for the same arguments
        group: the process group, or None for all ranks. Without torch.distributed there is one rank

    Returns: a scalar, in the dtype of ``loss_sum``: 0 where no rank has a pair.

    Raises: TypeError for anything but tensors.

    >>> distributed_mean(torch.tensor(1.5), weight=total_weight(torch.zeros(3)))  # one rank, three pairs
    tensor(0.5000)
    """
    checks.scores("loss_sum", loss_sum)
    checks.scores("weight", weight)
    whole, ranks = weight.detach().clone(), 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(whole, group=group)
        ranks = torch.distributed.get_world_size(group)
    return loss_sum * (ranks / whole.masked_fill(whole == 0, 1)).to(loss_sum.dtype)


def hide(counts: Tensor | None, values: Tensor) -> Tensor:
    """Put 0 where nothing counts, which cuts the gradient there too. ``values`` are [B] or [K, B]."""
    return values if counts is None else values.masked_fill(~counts, 0)
