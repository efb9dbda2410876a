"""Partial credit: how far apart should the two items of a pair be, judged by their metadata?"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pairloss import checks
from pairloss.tensors import at, plain_and_large, rows_in_a_piece, usable

Metadata = dict[str, Tensor]
MetadataWeights = dict[str, float]
MOST_SUMS = 2**8  # in the table of possible credits, whose index is a byte


def ideal_difference_from_metadata(
    positive_items: Tensor, negative_items: Tensor, metadata: Metadata, metadata_weights: MetadataWeights
) -> Tensor:
    r"""The score difference that a pair should reach: 1, less the credit for matching metadata.

    .. math:: d = 1 - \sum_k \text{weight}_k \cdot \text{match}_k

    The same item on both sides is a full match, :math:`d = 0`.

    Args:
        positive_items: item ids, [B] integer, or of any other shape
        negative_items: item ids, integer, shaped like the positives or, for K negatives each, [K, B]
        metadata: for each kind of metadata a table with one row per item. A table [N] or [N, 1]
            holds categorical codes, which match when they are equal; a code below 0, or NaN, is missing
            and matches nothing, not even another missing one. A table [N, C] is multi-hot,
            not 0 where the item has the label; the match of two rows is their Jaccard index, the
            labels that they share over the labels that either has (0 when neither has any).
        metadata_weights: the weight of each kind, each ≥ 0, at most 1 in sum; same keys as ``metadata``

    Returns:
        Ideal differences in [0, 1], shaped like ``negative_items``, in ``torch.get_default_dtype()``.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for shapes that do not fit, keys that differ, weights below 0 or above 1 in sum,
            ids outside 0 … N − 1 (on the CPU)

    See Also:
        :func:`~pairloss.bpr_loss`, :func:`~pairloss.warp_loss` and their kin, which take the same four arguments.

    Source: Collie, ``collie.loss.ideal_difference_from_metadata``; the Jaccard index and the full match are ours.

    >>> genre = torch.tensor([0, 0, 1])  # Star Wars, Star Trek, Legally Blonde
    >>> ideal_difference_from_metadata(torch.tensor([0, 0]), torch.tensor([1, 2]), {"genre": genre}, {"genre": 0.25})
    tensor([0.7500, 1.0000])
    """
    checks.metadata(metadata, metadata_weights)
    checks.two_sides(positive_items, negative_items)
    positive_items, negative_items = usable(positive_items), usable(negative_items)
    checks.rows_of_tables(positive_items, negative_items, metadata)
    (d,) = _ideal_differences(positive_items, [negative_items], metadata, metadata_weights, torch.get_default_dtype())
    return d


class Credit(NamedTuple):
    """The four arguments from which a loss takes its partial credit, passed on as one."""

    positive_items: Tensor | None
    negative_items: Tensor | None
    metadata: Metadata | None
    metadata_weights: MetadataWeights | None

    def checked(
        self, positive_scores: Tensor, negative_scores: Tensor, counts: Tensor | None, real: Tensor | None = None
    ) -> "Credit":
        """Raise unless the arguments fit each other and the scores; ids of what does not count may be any number."""
        positive, negative = self.positive_items, self.negative_items
        if negative_scores.ndim == positive_scores.ndim:
            negative = checks.one_row(negative, positive_scores)
        checks.metadata(self.metadata, self.metadata_weights)
        checks.items(positive, negative, self.metadata, positive_scores, negative_scores)
        if not self.metadata or positive is None or negative is None:
            return Credit(None, None, None, None)
        positive, negative = usable(positive), usable(negative)
        if counts is not None:  # as they do wherever some negatives are not real
            positive = positive.masked_fill(~counts, 0)
            negative = negative.masked_fill(~counts if real is None else ~(counts & real), 0)
        checks.rows_of_tables(positive, negative, self.metadata)
        return Credit(positive, negative, self.metadata, self.metadata_weights)

    def at(self, index: Tensor) -> "Credit":
        """The credit of the chosen negatives alone."""
        if self.negative_items is None:
            return self
        return Credit(self.positive_items, at(self.negative_items, index), self.metadata, self.metadata_weights)

    def judged(self, judge: Callable[[Tensor, Tensor | float], Tensor], scores: Tensor, dtype: torch.dtype) -> Tensor:
        """``judge`` of scores [K, B], without gradients, and d; a few rows at a time, so that no d [K, B] is made."""
        scores = scores.detach()
        if self.negative_items is None:
            return judge(scores, 1.0)
        few = rows_in_a_piece(scores, 2**18)
        ds = self._ideal_differences(torch.split(self.negative_items, few), dtype)
        judged = [judge(rows, d) for rows, d in zip(torch.split(scores, few), ds, strict=True)]
        return judged[0] if len(judged) == 1 else torch.cat(judged)

    def ideal_difference(self, dtype: torch.dtype) -> Tensor | float:
        """d of each pair, or 1.0 without metadata."""
        if self.negative_items is None:
            return 1.0
        (d,) = self._ideal_differences([self.negative_items], dtype)
        return d

    def _ideal_differences(self, pieces: Sequence[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
        """d of the positives beside one piece of the negatives after the other."""
        assert self.positive_items is not None  # as there are negatives
        return _ideal_differences(self.positive_items, pieces, self.metadata or {}, self.metadata_weights or {}, dtype)


def _ideal_differences(
    positive_items: Tensor,
    pieces: Sequence[Tensor],
    metadata: Metadata,
    weights: MetadataWeights,
    dtype: torch.dtype,
) -> Iterator[Tensor]:
    """For each piece of the negatives its d; what the positives have is looked up once."""
    # In float64, and rounded once: the credit of several kinds adds up without drift. The 2^m sums that m kinds of
    # codes can come to stand in a table, so that only labels, whose match is any fraction, need float64 for each pair.
    # Bit 0 of its index is the same item on both sides, which leaves nothing of 1; below 0 there is but rounding.
    kinds = [(_matching(table, positive_items), float(weights[name])) for name, table in metadata.items()]
    for negative_items in pieces:
        sums = torch.arange(1, -1, -1, dtype=torch.float64, device=negative_items.device)
        index, rest = (positive_items == negative_items).to(torch.uint8), None
        for matching, weight in kinds:
            match = matching(negative_items)
            if match.dtype == torch.bool and len(sums) < MOST_SUMS:
                index = torch.add(index, match.to(torch.uint8), alpha=len(sums))
                sums = torch.cat([sums, sums - weight])
            else:
                rest = match.double() * weight if rest is None else rest.add(match, alpha=weight)
        if rest is None:
            sums = sums.relu_().to(dtype)
        # Of many, a look-up by int32 takes less time; inside vmap older versions of torch know it not.
        place = index.reshape(-1)
        place = place.int() if plain_and_large(place) else place.long()
        d = sums.index_select(0, place).reshape(index.shape)
        yield d if rest is None else (d - rest).relu_().to(dtype)


def _matching(table: Tensor, positive_items: Tensor) -> Callable[[Tensor], Tensor]:
    """What says how well the metadata of negatives agree with those of the positives, in [0, 1], shaped like them."""
    table = usable(table)
    if table.ndim == 1 or table.shape[1] == 1:
        codes = table.reshape(-1)
        code = _rows(codes, positive_items)
        # A missing code matches nothing: the positives, of which there are fewer, are asked.
        known = code >= 0 if codes.dtype.is_signed else torch.ones_like(code, dtype=torch.bool)
        return lambda negative_items: (code == _rows(codes, negative_items)) & known
    labels = table != 0
    positive = _rows(labels, positive_items)

    def jaccard(negative_items: Tensor) -> Tensor:
        negative = _rows(labels, negative_items)
        shared, either = (positive & negative).sum(-1), (positive | negative).sum(-1)
        return shared.double() / either.clamp(min=1)

    return jaccard


def _rows(table: Tensor, items: Tensor) -> Tensor:
    # index_select on flat ids is two to three times faster than table[items].
    return table.index_select(0, items.reshape(-1).long()).reshape(items.shape + table.shape[1:])
