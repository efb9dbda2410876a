r"""Losses on pairs of a positive and a negative.

Each loss is one sentence of four words: which negative (``pairloss.negatives``), how bad is the
pair (``pairloss.terms``, against the ideal difference of ``pairloss.partial_credit``), how much does
it count and one number (``pairloss.reduction``). What they share stands here once.

Symbols: :math:`p` the score of the positive, :math:`n` of the negative, :math:`x = p - n`,
:math:`\sigma` the logistic function, :math:`d \in [0, 1]` the ideal difference of the pair, which is 1
without metadata; B pairs, K sampled negatives for each. Where [B] is written any shape will do, the same
for scores, items, masks and weights, and [K, \*shape] for [K, B]: a sequence model's [batch, time], for
example. Shapes that differ never broadcast.

Shared arguments:
    positive_scores: scores of the positives, [B], in any of the four floating dtypes
    negative_scores: scores of one negative for each, [B], or one row of them, [1, B]
    many_negative_scores: scores of K negatives for each, [K, B] or a sequence of K tensors [B]; or the
        function that scores them, from item ids [K, B] to scores [K, B] and from [B] to [B]. Where K = B, as
        with in-batch negatives, a transposed table cannot be told from a right one: row k is negative k.
    num_items: the number of all items; read by :func:`~pairloss.warp_loss` alone, taken by all so that one
        training loop can call any of them
    positive_items: ids of the positives, [B] integer; needed with metadata
    negative_items: ids of the negatives, integer, shaped like their scores; needed with metadata and
        with a scoring function
    metadata, metadata_weights: partial credit, as in :func:`~pairloss.ideal_difference_from_metadata`
    mask: which pairs count, [B] bool
    weights: how much each pair counts, [B], ≥ 0; a weight of 0 is a mask
    negative_mask: which sampled negatives are real, [K, B] bool; False for a known positive or for
        padding, whose id may be any number. One that is not real is never chosen and does not count as a
        try. A pair with none is masked.
    squared: whether each pair counts :math:`\ell + \ell^2` (Collie) or :math:`\ell` (Spotlight)
    reduction: "mean", :math:`\sum w \ell / \sum w` over the pairs that count; "sum"; or "none", one
        value per pair, [B], 0 where masked. The mean is that of this call: for a batch in parts, over ranks or
        passes, see :func:`~pairloss.total_weight`

Scoring twice:
    A loss that chooses one of K negatives, as all but the softmax do, has no gradient for the others. Given a
    scoring function instead of scores, it scores all K without gradients, chooses, and scores the chosen ones
    again with gradients: the same loss and the same gradients, without the graph of K · B scores. The function
    must give an item the same score twice, so without dropout and without a cache of what it computed without
    gradients; it is asked for all ids, masked ones too, a few rows [k, B] of them at a time where there are many,
    so that what it makes of an id never stands in memory for all K · B.

    >>> users, items = torch.randn(4, 8), torch.randn(100, 8, requires_grad=True)
    >>> def score(ids):
    ...     return (users * items[ids]).sum(-1)
    >>> positives, negatives = torch.randint(100, (4,)), torch.randint(100, (10, 4))
    >>> loss = warp_loss(score(positives), score, 100, positives, negatives)

Result:
    float32, or float64 for float64 scores: a scalar, or [B]. Over no pair at all it is 0, with gradients
    of 0. What is masked, NaN and inf included, changes neither value nor gradient; a NaN that is not
    masked stays visible. A sum beyond the largest number of its dtype is inf. No argument is modified.

Errors:
    TypeError for a wrong type or dtype. ValueError for shapes that do not fit, tensors on several
    devices, an unknown option, metadata without items, metadata_weights below 0 or above 1 in sum, and,
    where it can be read without waiting (on the CPU, outside torch.compile), item ids without a row
    in the metadata and negative weights.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from pairloss import checks, terms
from pairloss.negatives import Candidates, Scores, first_hit, hardest_negatives
from pairloss.partial_credit import Credit, Metadata, MetadataWeights
from pairloss.reduction import Reducer, Reduction
from pairloss.tensors import computed_in

HardestBy = Literal["score", "violation"]
HARDEST_BY = get_args(HardestBy)
RankWeight = Literal["log", "harmonic"]
RANK_WEIGHTS = get_args(RankWeight)

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

    with :math:`x = p - n`, the score of the positive less that of the negative, and d the difference that
    the pair should reach, 1 without metadata. Scores have no unit; only differences count.

    Args:
        positive_scores, negative_scores: p and n, [B] each (or any other shape); the negatives may be [1, B]
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, shaped like their scores; needed with metadata alone
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.log_bpr_loss`, the BPR of the paper; :func:`~pairloss.adaptive_bpr_loss`, against the
        hardest of several negatives; :class:`~pairloss.BPRLoss`, the module.

    Source: Spotlight, ``spotlight.losses.bpr_loss`` (squared=False), and Collie, ``collie.loss.bpr_loss``.
    Rendle et al. (UAI 2009, arXiv 1205.2618), after whom it is named, maximise :math:`\log \sigma(x)` instead.

    >>> loss = bpr_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    >>> f"{loss:.4f}"
    '0.2157'
    """
    checks.num_items(num_items)
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

    with :math:`x = p - n`, the score of the positive less that of the negative, and d the difference that
    the pair should reach, in the unit of the scores, 1 without metadata.

    Args:
        positive_scores, negative_scores: p and n, [B] each (or any other shape); the negatives may be [1, B]
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, shaped like their scores; needed with metadata alone
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.adaptive_hinge_loss` and :func:`~pairloss.warp_loss`, which choose among several negatives;
        :func:`~pairloss.pairwise_hinge_loss`, over all pairs of a list; :class:`~pairloss.HingeLoss`, the module.

    Source: Spotlight, ``spotlight.losses.hinge_loss`` (squared=False), and Collie, ``collie.loss.hinge_loss``.

    >>> loss = hinge_loss(torch.tensor([1.5]), torch.tensor([3.0]))
    >>> f"{loss:.4f}"
    '8.7500'
    """
    checks.num_items(num_items)
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

    with :math:`x = p - n`, the score of the positive less that of the negative, and d the difference that
    the pair should reach, 1 without metadata. Without metadata this is
    :math:`-\log \sigma(x)`. It is exact for every difference, and its gradient does not die out on a pair that
    is badly wrong. With credit its minimum lies at :math:`\sigma(x) = t`. ``squared`` is False unless asked for.

    Args:
        positive_scores, negative_scores: p and n, [B] each (or any other shape); the negatives may be [1, B]
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, shaped like their scores; needed with metadata alone
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.bpr_loss`, what Spotlight and Collie call BPR; :class:`~pairloss.LogBPRLoss`, the module.

    Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009, arXiv 1205.2618, section 4.1;
    the partial credit, by label smoothing, is ours.

    >>> loss = log_bpr_loss(torch.tensor([-10000.0]), torch.tensor([0.0]))
    >>> f"{loss:.4f}"
    '10000.0000'
    """
    checks.num_items(num_items)
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

    with p the score of the positive, :math:`n_k` that of its k-th negative and :math:`d_k` the difference
    that the two should reach, 1 without metadata. Partial credit is that of the chosen negative.

    Args:
        positive_scores: p, [B] (or any other shape)
        many_negative_scores: n, [K, B] or a sequence of K tensors [B]; or a function that scores ids
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, [B] and [K, B]; needed with metadata and with a function
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        negative_mask: which negatives are real, [K, B] bool; the others are never chosen
        hardest_by: "score", or "violation" for the largest :math:`n_k + d_k`, so that a related negative
            does not hide a worse unrelated one; without metadata both agree
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.bpr_loss`, against one negative; :func:`~pairloss.hardest_negatives`, the choice alone;
        :class:`~pairloss.AdaptiveBPRLoss`, the module.

    Source: Collie, ``collie.loss.adaptive_bpr_loss``.

    >>> loss = adaptive_bpr_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '1.4860'
    """
    checks.num_items(num_items)
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    candidates = Candidates(many_negative_scores, negative_items, negative_mask)
    return _adaptive(terms.bpr, positive_scores, candidates, credit, reducer, hardest_by)


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

    with p the score of the positive, :math:`n_k` that of its k-th negative and :math:`d_k` the difference
    that the two should reach, 1 without metadata. Partial credit is that of the chosen negative.

    Args:
        positive_scores: p, [B] (or any other shape)
        many_negative_scores: n, [K, B] or a sequence of K tensors [B]; or a function that scores ids
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, [B] and [K, B]; needed with metadata and with a function
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        negative_mask: which negatives are real, [K, B] bool; the others are never chosen
        hardest_by: "score", or "violation" for the largest :math:`n_k + d_k`, so that a related negative
            does not hide a worse unrelated one; without metadata both agree
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.hinge_loss`, against one negative; :func:`~pairloss.warp_loss`, against the first that
        violates the margin; :func:`~pairloss.hardest_negatives`, the choice alone;
        :class:`~pairloss.AdaptiveHingeLoss`, the module.

    Source: Spotlight, ``spotlight.losses.adaptive_hinge_loss`` (squared=False), and Collie,
    ``collie.loss.adaptive_hinge_loss``.

    >>> loss = adaptive_hinge_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '8.7500'
    """
    checks.num_items(num_items)
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    candidates = Candidates(many_negative_scores, negative_items, negative_mask)
    return _adaptive(terms.hinge, positive_scores, candidates, credit, reducer, hardest_by)


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

    with p the score of the positive, :math:`n_k` that of its k-th negative and :math:`d_k` the difference that
    the two should reach, 1 without metadata. Tries t count from 1. Where none of the K violates the margin,
    :math:`\ell = 0`. The fewer tries, the more items probably rank above the positive, and the more the
    pair counts. With N items the weight is

    - "log": :math:`w(t) = \log(N / t)`, as in Collie;
    - "harmonic": :math:`w(t) = \sum_{i \le \lfloor (N - 1) / t \rfloor} 1 / i`, as in WSABIE.

    The weight carries no gradient; ``squared`` squares it too.

    Args:
        positive_scores: p, [B] (or any other shape)
        many_negative_scores: n, [K, B] or a sequence of K tensors [B]; or a function that scores ids
        num_items: N, the number of all items, at least K
        positive_items, negative_items: item ids, [B] and [K, B]; needed with metadata and with a function
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        negative_mask: which negatives are real, [K, B] bool; the others are never chosen and count as no tries
        rank_weight: "log" or "harmonic"
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.adaptive_hinge_loss`, against the hardest of the K; :func:`~pairloss.first_violation`,
        the search alone; :func:`~pairloss.lambdarank_loss`, which knows the ranks instead of estimating them.

    Source: Weston, Bengio and Usunier, WSABIE, IJCAI 2011, and Collie, ``collie.loss.warp_loss``.

    >>> loss = warp_loss(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]), num_items=30)
    >>> f"{loss:.4f}"
    '4.5926'
    """
    checks.choice("rank_weight", rank_weight, RANK_WEIGHTS)
    candidates = Candidates(many_negative_scores, negative_items, negative_mask)
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, squared, reduction)
    rows = candidates.check(positive_scores)
    checks.num_items(num_items, rows.shape[0])
    reducer.check(positive_scores)
    counts = reducer.which_count(negative_mask)
    credit = credit.checked(positive_scores, rows, counts, negative_mask)
    scores = candidates.scores(rows)

    dtype = computed_in(positive_scores, scores)
    violates = credit.judged(partial(_violates, positive_scores.detach().to(dtype)), scores, dtype)
    chosen, tries, found = first_hit(violates, negative_mask)
    weight = _rank_weight(rank_weight, num_items, tries.clamp(min=1), dtype)
    # Where nothing violates, no real negative has a margin above 0; −inf keeps unreal ones out as well.
    negative = candidates.take(scores, chosen).masked_fill(~found, -torch.inf)
    d = credit.at(chosen).ideal_difference(dtype)
    return reducer.reduce(partial(_weighted_hinge, weight), positive_scores, negative, d, counts)


def _weighted_hinge(weight: Tensor, positive: Tensor, negative: Tensor, d: Tensor | float) -> Tensor:
    return weight * terms.hinge(positive, negative, d)


def _violates(positive: Tensor, many: Tensor, d: Tensor | float) -> Tensor:
    """Which of the K margins n − p + d are above 0, [K, B], or NaN, which must stay visible."""
    if isinstance(d, Tensor):
        return (many - positive <= -d).logical_not_()
    # One bool for a margin: n > p − d. Beyond 2²⁴ (2⁵³ in float64) p − d may round up to p, hence the step down.
    threshold = positive - d
    below = torch.nextafter(threshold, torch.full_like(threshold, -torch.inf))
    return (many <= torch.where(positive - threshold < d, below, threshold)).logical_not_()


def softmax_loss(
    positive_scores: Tensor,
    many_negative_scores: Tensor | Sequence[Tensor],
    num_items: int | None = None,
    positive_items: Tensor | None = None,
    negative_items: Tensor | None = None,
    metadata: Metadata | None = None,
    metadata_weights: MetadataWeights | None = None,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    negative_mask: Tensor | None = None,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Sampled softmax: the positive against all K negatives, each by how much it threatens.

    .. math:: \ell = -\log \frac{e^{p / \tau}}{e^{p / \tau} + \sum_k e^{n_k / \tau}}

    with p the score of the positive, :math:`n_k` that of its k-th negative and :math:`\tau` the temperature, in
    the unit of the scores. The pull on a negative is its share of the softmax, over :math:`\tau`. With K = 1 and
    :math:`\tau = 1` this is :func:`~pairloss.log_bpr_loss`; as :math:`\tau \to 0`,
    :math:`\tau \ell \to \max(0, \max_k n_k - p)`: the hardest negative alone.

    With partial credit the softmax is held against soft targets: those of the positive and of negative k are in
    proportion :math:`1 : (1 - d_k) / (1 + d_k)`, d the difference that the two should reach, and sum to 1. At the
    minimum :math:`p - n_k = \tau \log \frac{1 + d_k}{1 - d_k}`, as in log BPR.

    Negatives that were drawn in proportion to q, as in-batch negatives are to popularity, are corrected before
    the call, positives and negatives alike: :math:`s - \log q`. A known positive among the negatives of a batch
    is left out by ``negative_mask``.

    Args:
        positive_scores: p, [B] (or any other shape)
        many_negative_scores: n, [K, B] or a sequence of K tensors [B]. A function that scores ids is refused:
            every negative has a gradient here, so none could be left out of the second scoring.
        num_items: not read; taken so that one training loop can call any of the losses
        positive_items, negative_items: item ids, [B] and [K, B]; needed with metadata alone
        metadata, metadata_weights: see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        negative_mask: which negatives are real, [K, B] bool; the others are none
        temperature: :math:`\tau`, above 0
        reduction: "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.log_bpr_loss`, against one negative; :func:`~pairloss.adaptive_hinge_loss`, against the
        hardest; :func:`~pairloss.sample_negatives`; :class:`~pairloss.SoftmaxLoss`, the module.

    Source: Bengio and Senécal, IEEE Transactions on Neural Networks 19(4), 2008 (sampled softmax); van den Oord,
    Li and Vinyals, 2018, arXiv 1807.03748 (InfoNCE); Yi et al., RecSys 2019, doi:10.1145/3298689.3346996 (in the
    batch, with log q taken out); the partial credit, by soft targets, is ours.

    >>> loss = softmax_loss(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]))
    >>> f"{loss:.4f}"
    '2.6932'
    """
    checks.num_items(num_items)
    temperature = checks.number("temperature", temperature, above_0=True)
    credit = Credit(positive_items, negative_items, metadata, metadata_weights)
    reducer = Reducer(mask, weights, False, reduction)
    checks.no_function(many_negative_scores)
    many = Candidates(many_negative_scores, negative_items, negative_mask).check(positive_scores)
    reducer.check(positive_scores)
    counts = reducer.which_count(negative_mask)
    credit = credit.checked(positive_scores, many, counts, negative_mask)
    d = credit.ideal_difference(computed_in(positive_scores, many))
    term = partial(terms.softmax, real=negative_mask, temperature=temperature)
    return reducer.reduce(term, positive_scores, many, d, counts)


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

    Args:
        positive_scores, negative_scores: p and n, [B] each (or any other shape); the negatives may be [1, B]
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        reduction: "mean", "sum" or "none" (one value per pair)

    More on arguments, result and errors: :mod:`pairloss.pairs`.

    See Also:
        :func:`~pairloss.bpr_loss`, which compares the two; :func:`~pairloss.logistic_loss`, the same idea
        with a gradient that does not die out.

    Source: Spotlight, ``spotlight.losses.pointwise_loss``.

    >>> loss = pointwise_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    >>> f"{loss:.4f}"
    '0.8650'
    """
    credit = Credit(None, None, None, None)
    reducer = Reducer(mask, weights, False, reduction)
    return _standard(terms.pointwise, positive_scores, negative_scores, credit, reducer)


def _rank_weight(kind: RankWeight, num_items: int, tries: Tensor, dtype: torch.dtype) -> Tensor:
    if kind == "log":
        return torch.log(num_items / tries.to(dtype))
    rank = torch.div(num_items - 1, tries, rounding_mode="floor")  # in integers: 49 / 49. is below 1 in torch
    weight: Tensor = torch.special.digamma(rank.double() + 1) + EULER_GAMMA
    return weight.masked_fill(rank == 0, 0).to(dtype)


def _standard(term: terms.PairTerm, positive: Tensor, negative: Tensor, credit: Credit, reducer: Reducer) -> Tensor:
    """The negative is the one that was sampled."""
    checks.positive_scores(positive)
    negative = checks.one_row(negative, positive)
    checks.negative_scores(positive, negative)
    reducer.check(positive)
    counts = reducer.which_count()
    credit = credit.checked(positive, negative, counts)
    d = credit.ideal_difference(computed_in(positive, negative))
    return reducer.reduce(term, positive, negative, d, counts)


def _adaptive(
    term: terms.PairTerm,
    positive: Tensor,
    candidates: Candidates,
    credit: Credit,
    reducer: Reducer,
    hardest_by: HardestBy,
) -> Tensor:
    """The negative is the hardest of K; its partial credit alone is looked up."""
    checks.choice("hardest_by", hardest_by, HARDEST_BY)
    rows = candidates.check(positive)
    reducer.check(positive)
    counts = reducer.which_count(candidates.real)
    credit = credit.checked(positive, rows, counts, candidates.real)
    scores = candidates.scores(rows)
    dtype = computed_in(positive, scores)
    if hardest_by == "score" or not credit.metadata:
        negative, chosen = candidates.hardest(scores)
    else:
        chosen = hardest_negatives(credit.judged(torch.add, scores.to(dtype), dtype), candidates.real)
        negative = candidates.take(scores, chosen)
    d = credit.at(chosen).ideal_difference(dtype)
    return reducer.reduce(term, positive, negative, d, counts)
