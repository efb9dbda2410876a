"""Pair terms: how bad is one pair?

A pair term takes the scores of the positives and of the negatives and the ideal difference ``d`` of
each pair, all of one shape (or the number 1 for ``d``, where there is no partial credit), and gives one
value ℓ per pair, in that shape; the softmax alone takes all K negatives of each. It checks nothing, weighs
nothing and sums nothing: that is the work of the other three words.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from pairloss.tensors import plain_and_large

PairTerm = Callable[[Tensor, Tensor, Tensor | float], Tensor]


def bpr(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Sigmoid: ℓ = d − σ(positive − negative)."""
    # d − σ(x) is written σ(−x) − (1 − d): near a satisfied pair, 1 − σ(x) would cancel to 0.
    loss = negative - positive
    loss = loss.sigmoid_() if plain_and_large(loss) else loss.sigmoid()
    return loss - (1 - d) if isinstance(d, Tensor) else loss


def hinge(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Hinge: ℓ = max(0, d − (positive − negative)); the gradient at the corner is 0."""
    short = negative - positive
    if not plain_and_large(short):
        return functional.relu(short + d)
    return (short + d if isinstance(d, Tensor) else short.add_(d)).relu_()


def log_bpr(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Log-sigmoid: ℓ = −t·log σ(x) − (1 − t)·log σ(−x) at x = positive − negative, t = (1 + d) / 2."""
    # −log σ(x) = softplus(−x), which above 40 is linear to the last digit of a float64.
    loss = functional.softplus(negative - positive, threshold=40)
    if not isinstance(d, Tensor):
        return loss
    t = (1 + d) / 2
    other = (1 - t) * functional.softplus(positive - negative, threshold=40)
    return t * loss + other.masked_fill(t == 1, 0)  # 0 · ∞ would be NaN


def softmax(
    positive: Tensor, many: Tensor, d: Tensor | float, real: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """All K softly: ℓ = −Σ t·log softmax((p, n₁ … n_K) / τ), the targets t in proportion 1 : (1 − d_k)/(1 + d_k).

    ``many`` and ``d`` are [K, *shape], and so is ``real``, which says what is a negative at all.
    """
    if real is not None:
        many = many.masked_fill(~real, -torch.inf)
    ends = torch.finfo(many.dtype)
    temperature = max(temperature, ends.tiny)
    # Everything is measured from the highest negative, so that nothing overflows and no digit cancels. It is a
    # constant here: what moves it moves the sum below by as much.
    highest = many.detach().amax(0).clamp(ends.min, ends.max)
    below = (many - highest) / temperature if temperature != 1 else many - highest
    total = below.exp().sum(0).clamp(min=ends.tiny).log()
    y = (highest - positive) / temperature + total  # the lead of the soft maximum τ·log Σ exp(n / τ)
    loss = functional.softplus(y, threshold=40)
    if not isinstance(d, Tensor):
        return loss
    share = (1 - d) / (1 + d)
    if real is not None:
        share = share.masked_fill(~real, 0)
    t = 1 / (1 + share.sum(0))
    other = (1 - t) * (functional.softplus(-y, threshold=40) + total)
    credit = (share * below).masked_fill(share == 0, 0).sum(0)
    return t * (loss - credit) + other.masked_fill(t == 1, 0)  # 0 · ∞ would be NaN


def pointwise(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """No comparison: ℓ = 1 − σ(positive) + σ(negative), each side on its own; d plays no part."""
    return (-positive).sigmoid() + negative.sigmoid()
