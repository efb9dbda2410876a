"""From pairs to one number: mask, sample weights, squares and reduction, written once."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from pairloss import checks
from pairloss.terms import PairTerm

Reduction = Literal["mean", "sum", "none"]


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
        checks.choice("reduction", self.reduction, get_args(Reduction))

    def real(self, negative_mask: Tensor | None) -> "Reducer":
        """Mask the pairs that have no real negative as well."""
        if negative_mask is None:
            return self
        real = negative_mask.any(0)
        return self._replace(mask=real if self.mask is None else self.mask & real)

    def reduce(self, term: PairTerm, positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
        """Judge every pair by ``term``, then square, weigh and reduce over the pairs that count."""
        dtype = computed_in(positive, negative)
        counts = self._counts()
        loss = term(_hide(counts, positive.to(dtype)), _hide(counts, negative.to(dtype)), d)
        if counts is None and self.reduction != "none":
            size = loss.shape[0]
            if not self.squared:
                total = loss.sum()
            elif size < 2**17:
                total = torch.dot(loss, loss + 1)  # Σ ℓ + ℓ² without a tensor for ℓ²; sums less exactly
            else:
                total = (loss * (loss + 1)).sum()
            return total if self.reduction == "sum" else total / max(size, 1)
        if self.squared:
            loss = loss * (loss + 1)
        weights = self.weights
        if weights is not None:
            # Weights may be wider than the loss: 1e300 is a weight, but no float32.
            weights = _hide(counts, weights.to(torch.promote_types(dtype, weights.dtype)))
            loss = loss * weights
        loss = _hide(counts, loss)
        if self.reduction == "none" or counts is None:
            return loss.to(dtype)
        total = loss.sum()
        if self.reduction == "mean":
            weight = counts.sum() if weights is None else weights.sum()
            total = total / weight.masked_fill(weight == 0, 1)
        return total.to(dtype)

    def _counts(self) -> Tensor | None:
        """Which pairs count, [B] bool, or None when all do: a weight of 0 is a mask."""
        if self.weights is None:
            return self.mask
        # "not 0" rather than "above 0": a NaN among the weights must stay visible.
        weighty = self.weights != 0
        return weighty if self.mask is None else self.mask & weighty


def _hide(counts: Tensor | None, values: Tensor) -> Tensor:
    """Put 0 where nothing counts, which cuts the gradient there too."""
    return values if counts is None else values.masked_fill(~counts, 0)


def computed_in(*scores: Tensor) -> torch.dtype:
    """The widest dtype of the scores, float32 at least: sums over 65,504 overflow float16."""
    dtype = torch.float32
    for tensor in scores:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
