"""A batch of pairs: what a loss is given, checked once and in one order, and what the words of the loss ask of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from pairloss import checks
from pairloss.partial_credit import Credit, Metadata, MetadataWeights
from pairloss.reduction import REDUCTIONS, Reduction, hide, reduce, which_count
from pairloss.tensors import at, computed_in, dense, rows_first, rows_in_a_piece, usable
from pairloss.terms import PairTerm

ScoreFunction = Callable[[Tensor], Tensor]
Scores = Tensor | Sequence[Tensor] | ScoreFunction


class Kind(NamedTuple):
    """What a loss calls its negatives, and whether there may be one or many for each positive."""

    name: str
    one: bool
    many: bool


ONE, MANY = Kind("negative_scores", one=True, many=False), Kind("many_negative_scores", one=False, many=True)
EITHER, CHOSEN = Kind("negatives", one=True, many=True), Kind("negatives", one=False, many=True)


class Batch(NamedTuple):
    """Pairs whose negatives are yet to be chosen, [K, B], or are chosen, [B]."""

    positive: Tensor  # scores, [B]
    negative: Tensor  # scores, [K, B] or [B], without gradients where a function gave them
    real: Tensor | None  # which negatives are real, [K, B]
    found: Tensor | None  # for which pairs the choice found a negative, [B] (the others cost 0)
    counts: Tensor | None  # which pairs count, [B]
    dtype: torch.dtype  # the dtype of the loss
    credit: Credit | None
    weights: Tensor | None  # how much each pair counts, [B]
    squared: bool
    reduction: Reduction
    score: ScoreFunction | None  # scores the chosen negatives again, with gradients
    items: Tensor | None  # their ids, [K, B]

    def candidates(self) -> Tensor:  # a property of a NamedTuple is not traced by torch 2.6
        """The scores of the negatives, −∞ where one is not real."""
        return self.negative if self.real is None else self.negative.masked_fill(~self.real, -torch.inf)

    def judged(self, judge: PairTerm) -> Tensor:
        """``judge`` of every candidate, [K, B], without gradients."""
        positive, many = self.positive.detach().to(self.dtype), self.candidates().detach()
        if self.credit is None:
            return judge(positive, many, 1.0)
        # A few rows at a time, so that no d [K, B] is made.
        few = rows_in_a_piece(many, 2**18)
        ds = self.credit.ideal_differences(torch.split(self.credit.negative_items, few), self.dtype)
        pieces = [judge(positive, rows, d) for rows, d in zip(torch.split(many, few), ds, strict=True)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def against(self, rows: Tensor, found: Tensor | None = None, negative: Tensor | None = None) -> "Batch":
        """The same pairs, each with the negative in its row of ``rows`` [B] alone, whose scores may be known."""
        if self.score is not None and self.items is not None:
            negative = self.score(at(self.items, rows))
        elif negative is None:
            negative = at(self.negative, rows)
        if self.real is not None:
            real = at(self.real, rows)
            negative = hide(real, negative)
            found = real if found is None else found & real
        credit = self.credit and self.credit.at(rows)
        # In full, because torch 2.6 cannot trace _replace.
        return Batch(
            self.positive, negative, None, found, self.counts, self.dtype, credit,
            self.weights, self.squared, self.reduction, score=None, items=None,
        )  # fmt: skip

    def cost(self, term: PairTerm) -> Tensor:
        """The loss: ``term`` of every pair, or of each positive and all its candidates, reduced."""
        positive = hide(self.counts, self.positive.to(self.dtype))
        negative = hide(self.counts, self.candidates().to(self.dtype))
        d: Tensor | float = 1.0
        if self.credit is not None:
            (d,) = self.credit.ideal_differences([self.credit.negative_items], self.dtype)
            d = d if self.real is None else d.masked_fill(~self.real, 1)
        loss = term(positive, negative, d)
        checks.of_the_term(loss, positive)
        loss = loss if loss.ndim == positive.ndim else loss.squeeze(0)
        if self.found is not None:
            loss = loss.masked_fill(~self.found, 0)
        return reduce(loss, self.counts, self.weights, self.squared, self.reduction)


def checked(
    kind: Kind, positive: Tensor, negatives: Scores, positive_items: Tensor | None = None,
    negative_items: Tensor | None = None, metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None, mask: Tensor | None = None, weights: Tensor | None = None,
    negative_mask: Tensor | None = None, squared: bool = False, reduction: Reduction = "mean",
    batch_first: bool = False,
) -> Batch:  # fmt: skip
    """All that a loss is given, as a batch. Its tables are looked at as they are given, then turned to [K, B]."""
    checks.flag("batch_first", batch_first)
    checks.scores("positive_scores", positive)
    score, items, given = None, cast("Any", negative_items), cast("Any", negatives)
    if kind.many and callable(negatives):

        def score(ids: Tensor) -> Tensor:
            found = negatives(ids)
            checks.scores(f"{kind.name}(ids)", found)
            checks.beside(f"{kind.name}(ids)", found, ids, "ids", ids.shape)
            return found

        given = items
    elif isinstance(negatives, (list, tuple)):
        checks.sequence(kind.name, negatives)
        given = torch.stack(tuple(negatives), -1 if batch_first else 0)
    if kind is ONE:  # one row, [1, B], is [B]
        given, items = (
            values.squeeze(0) if dense(values) and values.ndim == positive.ndim + 1 and values.shape[0] == 1 else values
            for values in (given, items)
        )
    checks.negatives(*kind, given, positive, score is not None, batch_first)
    checks.optional("negative_mask", negative_mask, checks.bools, given, kind.name, given.shape)
    many = given.ndim > positive.ndim
    if negative_mask is not None and not many:
        checks.columns("negative_mask", negative_mask, positive)
    checks.mask_and_weights(mask, weights, positive)
    checks.flag("squared", squared)
    checks.choice("reduction", reduction, REDUCTIONS)
    if metadata is not None or metadata_weights is not None:
        checks.metadata(metadata, metadata_weights)
    checks.item_ids(positive_items, items, needed=len(metadata or {}) > 0)
    if positive_items is not None and items is not None:
        checks.beside("positive_items", positive_items, positive, "positive_scores", positive.shape)
        checks.beside("negative_items", items, given, kind.name, given.shape)
    rows, items, real = (rows_first(table, batch_first and many) for table in (given, items, negative_mask))
    counts = which_count(mask, weights, real)
    if score is not None:
        if counts is not None:  # ids of what does not count may be any number
            rows = hide(real, hide(counts, usable(rows)))
        items, rows = rows, _all_scores(score, rows, batch_first)
    credit = Credit.of(positive_items, items, metadata, metadata_weights, counts, real)
    dtype = computed_in(positive, rows)
    return Batch(positive, rows, real, None, counts, dtype, credit, weights, squared, reduction, score, items)


def _all_scores(score: ScoreFunction, items: Tensor, batch_first: bool) -> Tensor:
    """The scores of all ids [K, B], without gradients.

    What a model makes of an id, dim numbers, is the largest thing in a step, and exists only to be reduced. So the
    model is asked for a few rows at a time. A piece is copied, because the function may use its memory again.
    """
    # A vector each: a quarter of a usual piece fits a cache of a CPU. On a GPU more pieces would only cost calls.
    pieces, few = [], rows_in_a_piece(items, 2**13 if items.is_cpu else 2**15)
    with torch.no_grad(), _uncached_autocast(items.device.type):
        for ids in torch.split(items, few):
            scores = score(ids.movedim(0, -1)).movedim(-1, 0) if batch_first else score(ids)
            pieces.append(scores if len(ids) == len(items) else scores.clone())
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _uncached_autocast(device: str) -> AbstractContextManager[object]:
    # In older versions of torch autocast keeps the weights that it cast without gradients, also for scoring with them.
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, cache_enabled=False)
