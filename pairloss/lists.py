"""Lists of items: what a list loss is given, checked, as one row of items that stand in groups."""

from typing import NamedTuple

import torch
from torch import Tensor

from pairloss import checks
from pairloss.reduction import hide
from pairloss.tensors import dense_rank, usable, widest


class Lists(NamedTuple):
    """Items one after another, n in all. One that is not there scores 0, has label 0 and is a group of its own."""

    scores: Tensor  # [n]
    labels: Tensor  # [n]
    groups: Tensor | None  # [n] integer, or None for one list
    absent: Tensor | None  # which items are not there, [n] bool
    weights: Tensor | None  # [n], 0 where there is no item


def listed(
    scores: Tensor, labels: Tensor, groups: Tensor | None, mask: Tensor | None, weights: Tensor | None, reduction: str
) -> Lists:
    """All that a list loss is given. A table [B, L] is B groups."""
    checks.listed(scores, labels, groups, mask, weights)
    if scores.ndim == 2:
        groups = torch.arange(scores.shape[0], device=scores.device).unsqueeze(1).expand_as(scores)
        if weights is not None and weights.ndim == 1:
            weights = weights.unsqueeze(1).expand_as(scores)
    groups, mask, weights = (
        None if part is None else usable(part.detach()).reshape(-1) for part in (groups, mask, weights)
    )
    s, y = hide(mask, scores.reshape(-1)), hide(mask, usable(labels.detach()).reshape(-1))
    weights = None if weights is None else hide(mask, weights)
    checks.values_of_lists(y, weights)
    if weights is not None:
        weights = weights.to(widest(s.device))
        if reduction == "mean" and len(weights):  # only ratios count, and the sum of large weights is inf
            largest = weights.amax()
            weights = weights / largest.masked_fill(largest == 0, 1)
    if mask is not None:
        index = torch.arange(len(s), device=s.device)
        if groups is None:
            groups = torch.zeros_like(index)
        elif scores.ndim == 1:  # the groups of a table are dense
            groups = dense_rank(groups)
        groups = groups.where(mask, len(s) + index)
    return Lists(s, y, groups, None if mask is None else ~mask, weights)
