"""Partial credit: how far apart should the two items of a pair be, judged by their metadata?"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pairloss import checks
from pairloss.reduction import hide
from pairloss.tensors import at, read, readable, rows_first, usable, widest

Metadata = dict[str, Tensor]
MetadataWeights = dict[str, float]


def ideal_difference_from_metadata(
    positive_items: Tensor, negative_items: Tensor, metadata: Metadata, metadata_weights: MetadataWeights, *,
    batch_first: bool = False,
) -> Tensor:  # fmt: skip
    r"""The score difference that a pair should reach: 1 minus the credit for matching metadata.

    .. math:: d = 1 - \sum_k \text{weight}_k \cdot \text{match}_k

    The same item on both sides is a full match, :math:`d = 0`.

    Args:
        positive_items: item ids, [B] integer, or of any other shape
        negative_items: item ids, integer, shaped like the positives or, for K negatives each, [K, B]
        metadata: for each kind of metadata a table with one row per item. A table [N] or [N, 1] holds categorical
            codes, which match when they are equal. A code below 0, or NaN, is missing and matches nothing. A table
            [N, C] is multi-hot, True or 1 where the item has the label and False or 0 elsewhere (bool takes the least
            time). The match is the Jaccard index: the labels that two rows share over those that either has.
        metadata_weights: the weight of each kind, each ≥ 0, at most 1 in sum, with the same keys as ``metadata``
        batch_first: whether K negatives each are [B, K]

    Returns: ideal differences in [0, 1], shaped like ``negative_items``, in ``torch.get_default_dtype()``.

    Raises: TypeError for a wrong type or dtype. ValueError for shapes that do not fit, keys that differ, and weights
    below 0 or above 1 in sum. On the CPU also for ids outside 0 … N − 1 and multi-hot tables of more than 0 and 1.

    See Also: :func:`~pairloss.bpr_loss` and :func:`~pairloss.warp_loss` (the same four arguments).

    Source: Collie, ``collie.loss.ideal_difference_from_metadata``. The Jaccard index and the full match are ours.

    >>> genre = torch.tensor([0, 0, 1])  # Star Wars, Star Trek, Legally Blonde
    >>> ideal_difference_from_metadata(torch.tensor([0, 0]), torch.tensor([1, 2]), {"genre": genre}, {"genre": 0.25})
    tensor([0.7500, 1.0000])
    """
    checks.flag("batch_first", batch_first)
    checks.metadata(metadata, metadata_weights)
    checks.item_ids(positive_items, negative_items, needed=True)
    if negative_items.ndim == positive_items.ndim + 1:
        checks.columns("negative_items", negative_items, positive_items, "positive_items", batch_first)
    else:
        checks.beside("negative_items", negative_items, positive_items, "positive_items", positive_items.shape)
    batch_first = batch_first and negative_items.ndim > positive_items.ndim
    positive_items, negative_items = usable(positive_items), rows_first(usable(negative_items), batch_first)
    checks.on_one_device(metadata, positive_items)
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    (d,) = credit.ideal_differences([negative_items], torch.get_default_dtype())
    return d.movedim(0, -1) if batch_first else d


class Credit(NamedTuple):
    """The arguments from which a loss takes its partial credit, checked, with the id 0 at what does not count."""

    positive_items: Tensor
    negative_items: Tensor
    metadata: Metadata
    metadata_weights: MetadataWeights

    @classmethod
    def of(
        cls, positive_items: Tensor | None, negative_items: Tensor | None, metadata: Metadata | None,
        metadata_weights: MetadataWeights | None, counts: Tensor | None, real: Tensor | None,
    ) -> "Credit | None":  # fmt: skip
        """None where there is no metadata, or no pair that counts."""
        if not metadata or metadata_weights is None or positive_items is None or negative_items is None:
            return None
        if counts is not None and readable(counts) and read((~counts).all()):
            return None
        positive, negative = hide(counts, usable(positive_items)), hide(real, hide(counts, usable(negative_items)))
        checks.on_one_device(metadata, positive)
        return cls(positive, negative, metadata, metadata_weights)

    def at(self, index: Tensor) -> "Credit":
        """The credit of the chosen negatives alone."""
        return Credit(self.positive_items, at(self.negative_items, index), self.metadata, self.metadata_weights)

    def ideal_differences(self, pieces: Sequence[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
        """For each piece of the negatives' ids its d. What the positives have is looked up once."""
        # Credit is added up in float64 and rounded once. The 2^m sums that m kinds of codes can come to stand in a
        # table, so that only labels, whose match is any fraction, need a sum for each pair. Bit 0 of the index of the
        # table is the same item on both sides, which leaves nothing of 1.
        positive, weights = self.positive_items, self.metadata_weights
        kinds = [(_matching(table, positive), float(weights[name])) for name, table in self.metadata.items()]
        device, wide = positive.device, widest(positive.device)
        for negative_items in pieces:
            same, matches = positive == negative_items, [matching(negative_items) for matching, _ in kinds]
            if len(kinds) == 1 and matches[0].dtype == torch.bool:  # two numbers need no table
                less = torch.full((), max(1 - kinds[0][1], 0), dtype=dtype, device=device)
                yield torch.where(matches[0], less, 1.0).masked_fill_(same, 0)
                continue
            # Without float64 on the device, the few sums are made on the CPU.
            sums = torch.arange(1, -1, -1, dtype=torch.float64, device=device if wide == torch.float64 else "cpu")
            index, rest = same.to(torch.uint8), None
            for match, (_, weight) in zip(matches, kinds, strict=True):
                if match.dtype == torch.bool and len(sums) < 2**8:  # the index is a byte
                    index = torch.add(index, match.to(torch.uint8), alpha=len(sums))
                    sums = torch.cat([sums, sums - weight])
                else:
                    match = match.to(wide) * weight
                    rest = match if rest is None else rest + match
            sums = (_above_rounding(sums).to(dtype) if rest is None else sums.to(wide)).to(device)
            d = sums.index_select(0, index.reshape(-1).long()).reshape(index.shape)
            yield d if rest is None else _above_rounding(d - rest).to(dtype)


def _above_rounding(d: Tensor) -> Tensor:
    """``d``, or 0 where no more than rounding is left of 1, as of five weights of 0.2."""
    return torch.threshold(d, 16 * torch.finfo(d.dtype).eps, 0.0)


def _matching(table: Tensor, positive_items: Tensor) -> Callable[[Tensor], Tensor]:
    """What says how well the metadata of negatives agree with those of the positives, in [0, 1], shaped like them."""
    table = usable(table)
    if table.ndim == 1 or table.shape[1] == 1:
        codes = table.reshape(-1)
        code = _rows("positive_items", codes, positive_items)
        # A missing code matches nothing: the positives, of which there are fewer, are asked.
        known = code >= 0 if codes.dtype.is_signed else torch.ones_like(code, dtype=torch.bool)
        return lambda negative_items: (code == _rows("negative_items", codes, negative_items)) & known
    labels = table != 0
    positive = _rows("positive_items", labels, positive_items)

    def jaccard(negative_items: Tensor) -> Tensor:
        negative = _rows("negative_items", labels, negative_items)
        # In int32 a sum of many labels takes a sixth of the time that it takes in int64.
        shared, either = (each.sum(-1, dtype=torch.int32) for each in (positive & negative, positive | negative))
        return shared.to(widest(shared.device)) / either.clamp(min=1)

    return jaccard


def _rows(name: str, table: Tensor, items: Tensor) -> Tensor:
    # index_select on flat ids is two to three times faster than table[items], and looks for wrong ones on the way.
    flat = items if items.ndim == 1 else items.reshape(-1)
    flat = flat if flat.dtype in (torch.int64, torch.int32) else flat.long()
    try:
        rows = table.index_select(0, flat)
    except (IndexError, RuntimeError):  # the second from a table [0, C]
        checks.within(f"{name} holds ids", items, table.shape[0], ", the rows of the metadata")
        raise
    return rows if items.ndim == 1 else rows.reshape(items.shape + table.shape[1:])
