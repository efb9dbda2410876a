"""Pair terms: how bad is one pair?

A pair term takes the scores of the positives, the scores of the negatives and the ideal difference ``d`` of each
pair, all of one shape. Without partial credit ``d`` is the number 1. The term gives one value ℓ per pair, in that
shape. The softmax alone takes all K negatives of each positive, with −∞ for one that is not real. A term checks
nothing, weighs nothing and sums nothing: that is the work of the other three words.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from pairloss.tensors import all_finite

PairTerm = Callable[[Tensor, Tensor, Tensor | float], Tensor]


def bpr(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Sigmoid: ℓ = d − σ(positive − negative)."""
    # d − σ(x) is written σ(−x) − (1 − d): near a satisfied pair, 1 − σ(x) would cancel to 0.
    loss = (negative - positive).sigmoid()
    return loss - (1 - d) if isinstance(d, Tensor) else loss


def hinge(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """Hinge: ℓ = max(0, d − (positive − negative)). The gradient at the corner is 0."""
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


def softmax(positive: Tensor, many: Tensor, d: Tensor | float, temperature: float = 1.0) -> Tensor:
    """All K softly: ℓ = −Σ t·log softmax((p, n₁ … n_K) / τ), the targets t in proportion 1 : (1 − d_k)/(1 + d_k).

    ``many`` is [K, B], and so is ``d`` with partial credit.
    """
    number = torch.finfo(many.dtype)
    temperature = min(max(temperature, number.tiny), number.max)
    # Every score is measured from the highest negative, so the exponentials cannot overflow. The highest is a
    # constant here: what moves it moves the sum below by as much.
    highest = many.detach().amax(0)
    finite = all_finite(highest)
    # From an infinite score no gradient may be NaN.
    below = many - highest if finite else (many - highest.clamp(number.min, number.max)).clamp(max=0)
    lead = highest - positive
    if temperature != 1:
        below, lead = below / temperature, lead / temperature
    total = below.exp().sum(0)
    total = (total if finite else total.clamp(min=number.tiny)).log()
    y = lead + total  # the lead of the soft maximum τ·log Σ exp(n / τ), over τ
    loss = functional.softplus(y, threshold=40)
    if not isinstance(d, Tensor):
        return loss
    share = (1 - d) / (1 + d)
    t = 1 / (1 + share.sum(0))
    other = (1 - t) * (functional.softplus(-y, threshold=40) + total)
    credit = (share * below).masked_fill(share == 0, 0).sum(0)
    return t * (loss - credit) + other.masked_fill(t == 1, 0)  # 0 · ∞ would be NaN


def pointwise(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    """No comparison: ℓ = 1 − σ(positive) + σ(negative), each side on its own. d plays no part."""
    return (-positive).sigmoid() + negative.sigmoid()
