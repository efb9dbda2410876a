"""From pairs to one number: mask, sample weights, squares and reduction, written once."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from pairloss import checks
from pairloss.tensors import computed_in, only_backward
from pairloss.terms import PairTerm

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = get_args(Reduction)


class _SumWithSquares(torch.autograd.Function):
    """Σ ℓ + ℓ², without a tensor for ℓ², and with a backward, 2ℓ + 1, of one kernel instead of three."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        # A dot product sums one by one, so over pieces, or the last digits of a long one are lost.
        parts = torch.split(loss.reshape(-1), 2**15 if loss.device.type == "cpu" else loss.numel())
        return torch.stack([torch.dot(part, part) for part in parts]).sum() + loss.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (loss,) = ctx.saved_tensors
        return torch.addcmul(gradient, gradient, loss, value=2)


_sum_with_squares: Callable[[Tensor], Tensor] = _SumWithSquares.apply


class Reducer(NamedTuple):
    """The four arguments that say how pairs become one number, passed on as one."""

    mask: Tensor | None
    weights: Tensor | None
    squared: bool
    reduction: Reduction

    def check(self, positive_scores: Tensor) -> None:
        """Raise unless the arguments fit the scores."""
        checks.mask_and_weights(self.mask, self.weights, positive_scores)
        checks.flag("squared", self.squared)
        checks.choice("reduction", self.reduction, REDUCTIONS)

    def which_count(self, negative_mask: Tensor | None = None) -> Tensor | None:
        """Which pairs count, [B] bool, or None when all do: a weight of 0 is a mask, and so is no real negative."""
        which = self.mask
        if self.weights is not None:
            # "not 0" rather than "above 0": a NaN among the weights must stay visible.
            which = self.weights != 0 if which is None else which & (self.weights != 0)
        if negative_mask is not None:
            which = negative_mask.any(0) if which is None else which & negative_mask.any(0)
        return which

    def reduce(
        self, term: PairTerm, positive: Tensor, negative: Tensor, d: Tensor | float, counts: Tensor | None
    ) -> Tensor:
        """Judge every pair by ``term``, then square, weigh and reduce over the pairs in ``counts``."""
        dtype = computed_in(positive, negative)
        loss = term(_hide(counts, positive.to(dtype)), _hide(counts, negative.to(dtype)), d)
        if counts is None and self.reduction != "none":
            size = loss.numel()
            if not self.squared:
                total = loss.sum()
            elif size < 2**18:  # a call of the function is 30 µs of Python
                loss = loss.reshape(-1)
                total = torch.dot(loss, loss + 1)
            elif only_backward(loss):
                total = _sum_with_squares(loss)
            else:
                total = (loss * (loss + 1)).sum()
            return total if self.reduction == "sum" else total / max(size, 1)
        if self.squared:
            loss = loss * (loss + 1)
        weights = self.weights
        if weights is not None:
            # Weights may be wider than the loss: 1e300 is a weight, but no float32.
            weights = _hide(counts, weights.to(torch.promote_types(dtype, weights.dtype)))
            if self.reduction == "mean" and weights.numel():
                largest = weights.amax()  # only ratios count, and the sum of large weights is inf
                weights = weights / largest.masked_fill(largest == 0, 1)
            loss = loss * weights
        loss = _hide(counts, loss)
        if self.reduction == "none" or counts is None:
            return loss.to(dtype)
        total = loss.sum()
        if self.reduction == "mean":
            weight = counts.sum() if weights is None else weights.sum()
            total = total / weight.masked_fill(weight == 0, 1)
        return total.to(dtype)


def total_weight(
    positive_scores: Tensor,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    r"""What the reduction "mean" divides by: :math:`\sum w` over the pairs that count.

    A batch in parts, on several ranks or in several passes, has the mean of the whole only if each part's *sum*
    is divided by the weight of *all* parts; the mean of their means is another number wherever a mask, weights or
    a negative_mask leave the parts unequal.

    Args:
        positive_scores: scores of the positives, [B], or anything floating of their shape; only the shape counts
        mask, weights, negative_mask: as the loss gets them

    Returns:
        A scalar, float64, on the device of the scores and without gradient; B where all pairs count alike.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for shapes or devices that differ and (on the CPU) weights below 0

    Over several passes, with the weight of all of them in ``whole``, each ``part`` has the loss
    ``loss(..., reduction="sum") / whole``. Over several ranks, whose gradients DistributedDataParallel averages::

        whole = total_weight(positive_scores, mask=mask, negative_mask=real)
        torch.distributed.all_reduce(whole)
        loss = warp_loss(positive_scores, many, n, mask=mask, negative_mask=real, reduction="sum")
        loss = loss * torch.distributed.get_world_size() / whole.clamp(min=1e-300)
        loss.backward()

    >>> total_weight(torch.zeros(3), mask=torch.tensor([True, False, True])).item()
    2.0
    """
    checks.positive_scores(positive_scores)
    checks.mask_and_weights(mask, weights, positive_scores)
    checks.negative_mask_beside(negative_mask, positive_scores)
    counts = Reducer(mask, weights, False, "sum").which_count(negative_mask)
    with torch.no_grad():
        weights = torch.ones_like(positive_scores, dtype=torch.float64) if weights is None else weights.double()
        return _hide(counts, weights).sum()


def _hide(counts: Tensor | None, values: Tensor) -> Tensor:
    """Put 0 where nothing counts, which cuts the gradient there too."""
    return values if counts is None else values.masked_fill(~counts, 0)
