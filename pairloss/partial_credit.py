"""Partial credit: how far apart should the two items of a pair be, judged by their metadata?"""

from typing import NamedTuple

import torch
from torch import Tensor

from pairloss import checks
from pairloss.negatives import at

Metadata = dict[str, Tensor]
MetadataWeights = dict[str, float]


def ideal_difference_from_metadata(
    positive_items: Tensor, negative_items: Tensor, metadata: Metadata, metadata_weights: MetadataWeights
) -> Tensor:
    r"""The score difference that a pair should reach: 1, less the credit for matching metadata.

    .. math:: d = 1 - \sum_k \text{weight}_k \cdot \text{match}_k

    The same item on both sides is a full match, :math:`d = 0`.

    Args:
        positive_items: item ids, [B] integer
        negative_items: item ids, [B] or [K, B] integer
        metadata: for each kind of metadata a table with one row per item. A table [N] or [N, 1]
            holds categorical codes, which match when they are equal. A table [N, C] is multi-hot,
            not 0 where the item has the label; the match of two rows is their Jaccard index, the
            labels that they share over the labels that either has (0 when neither has any).
        metadata_weights: the weight of each kind, each ≥ 0, at most 1 in sum; same keys as ``metadata``

    Returns:
        Ideal differences in [0, 1], shaped like ``negative_items``, in ``torch.get_default_dtype()``.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes that do not fit, keys that differ, weights below 0 or above 1 in sum,
            ids outside 0 … N − 1 (on the CPU)

    Source: Collie, ``collie.loss.ideal_difference_from_metadata``; the Jaccard index and the full match are ours.

    >>> genre = torch.tensor([0, 0, 1])  # Star Wars, Star Trek, Legally Blonde
    >>> ideal_difference_from_metadata(torch.tensor([0, 0]), torch.tensor([1, 2]), {"genre": genre}, {"genre": 0.25})
    tensor([0.7500, 1.0000])
    """
    checks.metadata(metadata, metadata_weights)
    checks.items(positive_items, negative_items, metadata, None)
    return _ideal_difference(positive_items, negative_items, metadata, metadata_weights, torch.get_default_dtype())


class Credit(NamedTuple):
    """The four arguments from which a loss takes its partial credit, passed on as one."""

    positive_items: Tensor | None
    negative_items: Tensor | None
    metadata: Metadata | None
    metadata_weights: MetadataWeights | None

    def check(self, positive_scores: Tensor, negative_scores: Tensor) -> None:
        """Raise unless the arguments fit each other and the scores."""
        checks.metadata(self.metadata, self.metadata_weights)
        checks.items(self.positive_items, self.negative_items, self.metadata, (positive_scores, negative_scores))

    def at(self, index: Tensor) -> "Credit":
        """The credit of the chosen negatives alone."""
        if not self.metadata or self.negative_items is None:
            return self
        return self._replace(negative_items=at(self.negative_items, index))

    def ideal_difference(self, dtype: torch.dtype) -> Tensor | float:
        """d of each pair, or 1.0 without metadata."""
        if not self.metadata or self.positive_items is None or self.negative_items is None:
            return 1.0
        weights = self.metadata_weights or {}
        return _ideal_difference(self.positive_items, self.negative_items, self.metadata, weights, dtype)


def _ideal_difference(
    positive_items: Tensor, negative_items: Tensor, metadata: Metadata, weights: MetadataWeights, dtype: torch.dtype
) -> Tensor:
    # In float64, and rounded once: the credit of several kinds adds up without drift.
    d = torch.ones_like(negative_items, dtype=torch.float64)
    for name, table in metadata.items():
        d = torch.add(d, _match(table, positive_items, negative_items), alpha=-float(weights[name]))
    return d.relu_().to(dtype).masked_fill_(positive_items == negative_items, 0)


def _match(table: Tensor, positive_items: Tensor, negative_items: Tensor) -> Tensor:
    """How well the metadata of both items agree, in [0, 1], shaped like ``negative_items``."""
    if table.ndim == 1 or table.shape[1] == 1:
        codes = table.reshape(-1)
        return _rows(codes, positive_items) == _rows(codes, negative_items)
    labels = table != 0
    positive, negative = _rows(labels, positive_items), _rows(labels, negative_items)
    shared = (positive & negative).sum(-1)
    either = (positive | negative).sum(-1)
    return shared.double() / either.clamp(min=1)


def _rows(table: Tensor, items: Tensor) -> Tensor:
    # index_select on flat ids is two to three times faster than table[items].
    return table.index_select(0, items.reshape(-1).long()).reshape(items.shape + table.shape[1:])
