r"""Losses on pairs of a positive and a negative.

Each loss is one sentence of four words: which negative (``pairloss.negatives``), how bad is the
pair (``pairloss.terms``, against the ideal difference of ``pairloss.partial_credit``), how much does
it count and one number (``pairloss.reduction``). What they share stands here once.

Symbols: :math:`p` the score of the positive, :math:`n` of the negative, :math:`x = p - n`,
:math:`\sigma` the logistic function, :math:`d \in [0, 1]` the ideal difference of the pair, which is 1
without metadata; B pairs, K sampled negatives for each.

Shared arguments:
    positive_scores: scores of the positives, [B], in any of the four floating dtypes
    negative_scores: scores of one negative for each, [B]
    many_negative_scores: scores of K negatives for each, [K, B] or a sequence of K tensors [B]; or the
        function that scores them, from item ids [K, B] to scores [K, B] and from [B] to [B]
    num_items: the number of all items; read by :func:`~pairloss.warp_loss` alone, taken by all so that one
        training loop can call any of them
    positive_items: ids of the positives, [B] integer; needed with metadata
    negative_items: ids of the negatives, integer, shaped like their scores; needed with metadata and
        with a scoring function
    metadata, metadata_weights: partial credit, as in :func:`~pairloss.ideal_difference_from_metadata`
    mask: which pairs count, [B] bool
    weights: how much each pair counts, [B], ≥ 0; a weight of 0 is a mask
    negative_mask: which sampled negatives are real, [K, B] bool; False for a known positive or for
        padding. One that is not real is never chosen and is no try. A pair with none is masked.
    squared: whether each pair counts :math:`\ell + \ell^2` (Collie) or :math:`\ell` (Spotlight)
    reduction: "mean", :math:`\sum w \ell / \sum w` over the pairs that count; "sum"; or "none", one
        value per pair, [B], 0 where masked

Scoring twice:
    A loss that chooses one of K negatives has no gradient for the others. Given a scoring function instead
    of scores, it scores all K without gradients, chooses, and scores the chosen ones again with gradients:
    the same loss and the same gradients, without the graph of K · B scores. The function must give an
    item the same score twice, so without dropout and without a cache of what it computed without gradients;
    it is asked for all ids, masked ones too.

    >>> users, items = torch.randn(4, 8), torch.randn(100, 8, requires_grad=True)
    >>> def score(ids):
    ...     return (users * items[ids]).sum(-1)
    >>> positives, negatives = torch.randint(100, (4,)), torch.randint(100, (10, 4))
    >>> loss = warp_loss(score(positives), score, 100, positives, negatives)

Result:
    float32, or float64 for float64 scores: a number without shape, or [B]. Over no pair at all it is
    0, with gradients of 0. What is masked, NaN and inf included, changes neither value nor gradient;
    a NaN that is not masked stays visible. No argument is modified.

Errors:
    TypeError for a wrong type or dtype. ValueError for shapes that do not fit, tensors on several
    devices, an unknown word, metadata without items, metadata_weights below 0 or above 1 in sum, and,
    where it can be read without waiting (on the CPU, outside torch.compile), item ids without a row
    in the metadata and negative weights.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor

from pairloss import checks, terms
from pairloss.negatives import at, first_hit, hardest_negatives
from pairloss.partial_credit import Credit, Metadata, MetadataWeights
from pairloss.reduction import Reducer, Reduction, computed_in

Scores = Tensor | Sequence[Tensor] | Callable[[Tensor], Tensor]
HardestBy = Literal["score", "violation"]
RankWeight = Literal["log", "harmonic"]

EULER_GAMMA = 0.5772156649015329  # the n-th harmonic number is digamma(n + 1) + γ


def bpr_loss(
    positive_scores: Tensor,
    negative_scores: Tensor,
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Sigmoid BPR, as Spotlight and Collie define it.

    .. math:: \ell = d - \sigma(x)

    Arguments, result and errors: see :mod:`pairloss.losses`. Scores have no unit; only differences count.

    Source: Spotlight, ``spotlight.losses.bpr_loss`` (squared=False), and Collie, ``collie.loss.bpr_loss``.
    Rendle et al. (UAI 2009, arXiv 1205.2618), after whom it is named, maximise :math:`\log \sigma(x)`
    instead: see :func:`~pairloss.log_bpr_loss`.

    >>> loss = bpr_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    >>> f"{loss:.4f}"
    '0.2157'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    return _standard(terms.bpr, positive_scores, negative_scores, credit, reducer)


def hinge_loss(
    positive_scores: Tensor,
    negative_scores: Tensor,
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Pairwise hinge: a pair costs as much as it falls short of the margin d.

    .. math:: \ell = \max(0, d - x)

    Arguments, result and errors: see :mod:`pairloss.losses`. d is in the unit of the scores.

    Source: Spotlight, ``spotlight.losses.hinge_loss`` (squared=False), and Collie, ``collie.loss.hinge_loss``.

    >>> loss = hinge_loss(torch.tensor([1.5]), torch.tensor([3.0]))
    >>> f"{loss:.4f}"
    '8.7500'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    return _standard(terms.hinge, positive_scores, negative_scores, credit, reducer)


def log_bpr_loss(
    positive_scores: Tensor,
    negative_scores: Tensor,
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    squared: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""BPR as its authors wrote it: the cross entropy of "the positive wins".

    .. math:: \ell = -t \log \sigma(x) - (1 - t) \log \sigma(-x), \qquad t = \frac{1 + d}{2}

    Without metadata this is :math:`-\log \sigma(x)`. It is exact for every difference, and its gradient
    does not die out on a pair that is badly wrong. With credit its minimum lies at :math:`\sigma(x) = t`.

    Arguments, result and errors: see :mod:`pairloss.losses`; ``squared`` is False unless asked for.

    Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009, arXiv 1205.2618, section 4.1;
    the partial credit, by label smoothing, is ours.

    >>> loss = log_bpr_loss(torch.tensor([-10000.0]), torch.tensor([0.0]))
    >>> f"{loss:.4f}"
    '10000.0000'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    return _standard(terms.log_bpr, positive_scores, negative_scores, credit, reducer)


def adaptive_bpr_loss(
    positive_scores: Tensor,
    many_negative_scores: Scores,
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    negative_mask: Tensor | None = None,
    hardest_by: HardestBy = "score",
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Sigmoid BPR against the hardest of K negatives.

    .. math:: \ell = d_{k^*} - \sigma(p - n_{k^*}), \qquad k^* = \arg\max_k n_k

    Partial credit is that of the chosen negative. ``hardest_by="violation"`` chooses by :math:`n_k + d_k`
    instead, so that a related negative does not hide a worse unrelated one; without metadata both agree.

    Arguments, result and errors: see :mod:`pairloss.losses`.

    Source: Collie, ``collie.loss.adaptive_bpr_loss``.

    >>> loss = adaptive_bpr_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '1.4860'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    return _adaptive(terms.bpr, positive_scores, many_negative_scores, credit, reducer, negative_mask, hardest_by)


def adaptive_hinge_loss(
    positive_scores: Tensor,
    many_negative_scores: Scores,
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    negative_mask: Tensor | None = None,
    hardest_by: HardestBy = "score",
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Pairwise hinge against the hardest of K negatives.

    .. math:: \ell = \max(0, d_{k^*} - p + n_{k^*}), \qquad k^* = \arg\max_k n_k

    Partial credit and ``hardest_by`` are those of :func:`~pairloss.adaptive_bpr_loss`.
    Arguments, result and errors: see :mod:`pairloss.losses`.

    Source: Spotlight, ``spotlight.losses.adaptive_hinge_loss`` (squared=False), and Collie,
    ``collie.loss.adaptive_hinge_loss``.

    >>> loss = adaptive_hinge_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '8.7500'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    return _adaptive(terms.hinge, positive_scores, many_negative_scores, credit, reducer, negative_mask, hardest_by)


def warp_loss(
    positive_scores: Tensor,
    many_negative_scores: Scores,
    num_items: int,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    negative_mask: Tensor | None = None,
    rank_weight: RankWeight = "log",
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""WARP: hinge against the first of K negatives that violates the margin, weighted by a rank estimate.

    .. math:: \ell = w(t) \, (d_t - p + n_t), \qquad t = \min \{k : d_k - p + n_k > 0\}

    Tries t count from 1. Where none of the K violates the margin, :math:`\ell = 0`. The fewer tries, the more
    items probably rank above the positive, and the more the pair counts. With N items the weight is

    - "log": :math:`w(t) = \log(N / t)`, as in Collie;
    - "harmonic": :math:`w(t) = \sum_{i \le \lfloor (N - 1) / t \rfloor} 1 / i`, as in WSABIE.

    The weight carries no gradient; ``squared`` squares it too. N must not be below K.
    Arguments, result and errors: see :mod:`pairloss.losses`.

    Source: Weston, Bengio and Usunier, WSABIE, IJCAI 2011, and Collie, ``collie.loss.warp_loss``.

    >>> loss = warp_loss(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]), num_items=30)
    >>> f"{loss:.4f}"
    '4.5926'
    """
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    checks.choice("rank_weight", rank_weight, get_args(RankWeight))
    rows = _check_many(positive_scores, many_negative_scores, credit, reducer, negative_mask)
    checks.num_items(num_items, rows.shape[0])
    many = _score(many_negative_scores, rows)

    dtype = computed_in(positive_scores, many)
    d = credit.ideal_difference(dtype)
    # n > p − d is the margin's sign, but for the rounding of p − d, and a bool where the margin is a float.
    # "not ≤" rather than ">": a NaN must stay visible.
    threshold = positive_scores.detach().to(dtype) - d
    chosen, tries, found = first_hit((many.detach() <= threshold).logical_not_(), negative_mask)
    weight = _rank_weight(rank_weight, num_items, tries.clamp(min=1).to(dtype))

    def weighted_hinge(positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
        return weight * terms.hinge(positive, negative, d)

    # Where nothing violates, no real negative has a margin above 0; −inf keeps unreal ones out as well.
    negative = _score_chosen(many_negative_scores, many, credit, chosen).masked_fill(~found, -torch.inf)
    d = at(d, chosen) if isinstance(d, Tensor) else d
    return reducer.real(negative_mask).reduce(weighted_hinge, positive_scores, negative, d)


def pointwise_loss(
    positive_scores: Tensor,
    negative_scores: Tensor,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Each side on its own: the positive should score high, the negative low, whatever their difference.

    .. math:: \ell = 1 - \sigma(p) + \sigma(n)

    Arguments, result and errors: see :mod:`pairloss.losses`.

    Source: Spotlight, ``spotlight.losses.pointwise_loss``.

    >>> loss = pointwise_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    >>> f"{loss:.4f}"
    '0.8650'
    """
    credit = Credit(None, None, None, None)
    reducer = Reducer(mask, weights, False, reduction)
    return _standard(terms.pointwise, positive_scores, negative_scores, credit, reducer)


def _rank_weight(kind: RankWeight, num_items: int, tries: Tensor) -> Tensor:
    weight: Tensor
    if kind == "log":
        weight = torch.log(num_items / tries)
    else:
        rank = torch.floor((num_items - 1) / tries.double())
        weight = torch.special.digamma(rank + 1) + EULER_GAMMA
    return weight.to(tries.dtype)


def _standard(term: terms.PairTerm, positive: Tensor, negative: Tensor, credit: Credit, reducer: Reducer) -> Tensor:
    """The negative is the one sampled."""
    checks.positive_scores(positive)
    checks.negative_scores(positive, negative)
    credit.check(positive, negative)
    reducer.check(positive)
    d = credit.ideal_difference(computed_in(positive, negative))
    return reducer.reduce(term, positive, negative, d)


def _adaptive(
    term: terms.PairTerm,
    positive: Tensor,
    many: Scores,
    credit: Credit,
    reducer: Reducer,
    negative_mask: Tensor | None,
    hardest_by: HardestBy,
) -> Tensor:
    """The negative is the hardest of K; its partial credit alone is looked up."""
    checks.choice("hardest_by", hardest_by, get_args(HardestBy))
    scores = _score(many, _check_many(positive, many, credit, reducer, negative_mask))
    dtype = computed_in(positive, scores)
    by_score = hardest_by == "score" or not credit.metadata
    if by_score and negative_mask is None and not callable(many):
        negative, chosen = scores.max(0)  # hardest_negatives, and its scores in the same pass
    else:
        hardness = scores if by_score else scores.to(dtype) + credit.ideal_difference(dtype)
        chosen = hardest_negatives(hardness, negative_mask)
        negative = _score_chosen(many, scores, credit, chosen)
    d = credit.at(chosen).ideal_difference(dtype)
    return reducer.real(negative_mask).reduce(term, positive, negative, d)


def _check_many(
    positive: Tensor, many: Scores, credit: Credit, reducer: Reducer, negative_mask: Tensor | None
) -> Tensor:
    """Check all arguments and give what negatives there are, [K, B]: their scores, or ids that are yet to be scored."""
    checks.positive_scores(positive)
    if callable(many):
        rows = checks.items_to_score(credit.negative_items, positive)
    else:
        rows = checks.many_negative_scores(positive, many)
    checks.negative_mask(negative_mask, rows)
    credit.check(positive, rows)
    reducer.check(positive)
    return rows


def _score(many: Scores, rows: Tensor) -> Tensor:
    """The scores [K, B] to choose by, from what ``_check_many`` gave."""
    if not callable(many):
        return rows
    with torch.no_grad(), _uncached_autocast(rows.device.type):
        return checks.scored(many(rows), rows)


def _score_chosen(many: Scores, scores: Tensor, credit: Credit, chosen: Tensor) -> Tensor:
    """The scores [B] of the chosen negatives, with gradients."""
    if not callable(many) or credit.negative_items is None:
        return at(scores, chosen)
    items = at(credit.negative_items, chosen)
    return checks.scored(many(items), items)


def _uncached_autocast(device: str) -> AbstractContextManager[object]:
    # In older versions of torch autocast keeps the weights that it cast without gradients, also for scoring with them.
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return nullcontext()
    return torch.autocast(device, cache_enabled=False)
