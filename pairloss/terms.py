"""Pair terms: how bad is one pair?

A pair term takes the scores of the positives and of the negatives and the ideal difference ``d`` of
each pair, all of one shape (or the number 1 for ``d``, where there is no partial credit), and gives one
value ℓ per pair, in that shape. It checks nothing, weighs nothing and sums nothing: that is the work of
the other three words.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

PairTerm = Callable[[Tensor, Tensor, Tensor | float], Tensor]


def bpr(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Sigmoid: ℓ = d − σ(positive − negative)."""
    # d − σ(x) is written σ(−x) − (1 − d): near a satisfied pair, 1 − σ(x) would cancel to 0.
    loss = (negative - positive).sigmoid()
    return loss - (1 - d) if isinstance(d, Tensor) else loss


def hinge(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Hinge: ℓ = max(0, d − (positive − negative)); the gradient at the corner is 0."""
    return functional.relu(negative - positive + d)


def log_bpr(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Log-sigmoid: ℓ = −t·log σ(x) − (1 − t)·log σ(−x) at x = positive − negative, t = (1 + d) / 2."""
    # −log σ(x) = softplus(−x), which above 40 is linear to the last digit of a float64.
    loss = functional.softplus(negative - positive, threshold=40)
    if not isinstance(d, Tensor):
        return loss
    t = (1 + d) / 2
    other = (1 - t) * functional.softplus(positive - negative, threshold=40)
    return t * loss + other.masked_fill(t == 1, 0)  # 0 · ∞ would be NaN


def pointwise(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """No comparison: ℓ = 1 − σ(positive) + σ(negative), each side on its own; d plays no part."""
    return (-positive).sigmoid() + negative.sigmoid()
