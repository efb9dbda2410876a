r"""Losses on pairs of a positive and a negative.

Each loss is one sentence of four words: which negative (:mod:`pairloss.choosing`), how bad is the pair
(:mod:`pairloss.terms`), how much does the pair count, and one number for all pairs. :func:`~pairloss.pair_loss` takes
the words. Every other loss here is a sentence with a name.

Symbols: :math:`p` is the score of the positive, :math:`n` the score of the negative, :math:`x = p - n`, and
:math:`\sigma` the logistic function. :math:`d \in [0, 1]` is the ideal difference of the pair, which is 1 without
metadata. There are B pairs, with K sampled negatives each. Where [B] is written any shape will do, the same for scores,
items, masks and weights, and [K, \*shape] for [K, B]. Shapes that differ never broadcast.

Shared arguments:
    positive_scores, negative_scores: scores, [B] each (or [1, B] of negatives), in any of the four floating dtypes
    many_negative_scores: scores of K negatives for each positive, [K, B] or a sequence of K tensors [B]. Or the
        function that scores them, from item ids [K, B] to scores [K, B] and from [B] to [B]. Where K = B, a
        transposed table cannot be told from a right one: row k is negative k.
    positive_items, negative_items: item ids, integer, shaped like the scores, needed with metadata. A scoring function
        needs the ids of the negatives.
    metadata, metadata_weights: partial credit, as in :func:`~pairloss.ideal_difference_from_metadata`
    mask, weights: which pairs count, [B] bool, and how much, [B], finite and ≥ 0. A weight of 0 is a mask.
    negative_mask: which sampled negatives are real, [K, B] bool. False marks a known positive, or padding, whose
        id may be any number. Such a negative is never chosen and is not a try. A pair without a real one is masked.
    squared: whether each pair costs :math:`\ell + \ell^2` (Collie) or :math:`\ell` (Spotlight)
    reduction: "mean" is :math:`\sum w \ell / \sum w` over the pairs that count, "sum" the sum, and "none" one
        value per pair, [B], 0 where masked. For the mean of a batch in parts, over ranks or passes, see
        :func:`~pairloss.total_weight`.

Scoring twice:
    A loss that chooses one of K negatives has no gradient for the others. Given a scoring function instead of scores,
    it scores all K without gradients, chooses, and scores the chosen ones again with gradients. Loss and gradients
    are the same, without the graph of K · B scores. The function must give an item the same score twice: no dropout,
    and no cache of what it computed without gradients. It gets a few rows [k, B] of ids at a time.

    >>> users, items = torch.randn(4, 8), torch.randn(100, 8, requires_grad=True)
    >>> def score(ids):
    ...     return (users * items[ids]).sum(-1)
    >>> positives, negatives = torch.randint(100, (4,)), torch.randint(100, (10, 4))
    >>> loss = warp_loss(score(positives), score, 100, positives, negatives)

Result:
    A scalar, or [B], in float32, or float64 for float64 scores. Where no pair counts it is 0, with gradients of 0.
    What is masked changes neither value nor gradient, NaN and inf included. A NaN that is not masked stays visible.
    A sum beyond the largest number of its dtype is inf. No argument is modified.

Errors:
    TypeError for a wrong type or dtype. ValueError for shapes that do not fit, tensors on several devices, an unknown
    option, metadata without items, and metadata_weights below 0 or above 1 in sum. On the CPU, outside torch.compile,
    also for item ids without a row in the metadata and for weights that are negative or infinite.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pairloss import checks, choosing, terms
from pairloss.batch import CHOSEN, EITHER, MANY, ONE, Batch, Scores, checked
from pairloss.partial_credit import Metadata, MetadataWeights
from pairloss.reduction import Reduction
from pairloss.tensors import large, widest

HardestBy = Literal["score", "violation"]
RankWeight = Literal["log", "harmonic"]
HARDEST_BY, RANK_WEIGHTS = get_args(HardestBy), get_args(RankWeight)  # torch 2.6 cannot trace get_args in a loss


def pair_loss(
    term: terms.PairTerm, positive_scores: Tensor, negatives: Scores, *, choose: Callable[..., Any] | None = None,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    batch_first: bool = False, squared: bool = False, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""A loss composed from its words: a pair term, and a choice of the negative.

    .. math:: \ell = \text{term}(p, n_c, d_c), \qquad c = \text{choose}(n_1, \dots, n_K)

    Args:
        term: a function of :mod:`pairloss.terms` or your own, ``term(positive, negative, d)``. It gets the scores of
            the positives [B], the scores of their negatives [B], and the ideal differences d [B], which are the
            number 1 without metadata. It returns one value per pair, [B]. Without a choice and with K negatives it
            gets ``negative`` and d as [K, B], with −∞ for a negative that is not real.
        positive_scores: p, [B] (or any other shape)
        negatives: n, one for each positive [B], or K for each [K, B]. With a choice, also a function that scores ids.
        choose: :func:`~pairloss.choose_hardest`, :func:`~pairloss.choose_semi_hard`,
            :func:`~pairloss.choose_first_violation` (a pair without a violation costs 0) or your own function
            from scores [K, B] to rows [B]. It gets −∞ for a negative that is not real, and costs 0 if it takes one.
        positive_items, negative_items: item ids, [B] and like the negatives, needed with metadata and with a function
        metadata, metadata_weights: partial credit, see :func:`~pairloss.ideal_difference_from_metadata`
        mask, weights, negative_mask: which pairs count, how much each does, and which negatives are real, [K, B] bool
        batch_first: whether many negatives, their items and their mask are [B, K]
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    Raises: TypeError, ValueError as every loss, and where a term or a choice returns what it should not.

    See Also: :func:`~pairloss.log_bpr_loss`, :func:`~pairloss.softmax_loss` and :func:`~pairloss.warp_loss` (sentences
    with a name), :mod:`pairloss.pairs` (all arguments in detail).

    Source: the composition is ours. The example is the pairwise softmax loss of Yang et al., NeurIPS 2024,
    arXiv 2411.00163, with tanh and temperature 1.

    >>> def psl(positive, negative, d):
    ...     return (2 * torch.sigmoid(2 * (negative - positive))).sum(0).log()  # 1 + tanh(x) is 2·σ(2x)
    >>> p, many = torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]])
    >>> pair_loss(psl, p, many)
    tensor(1.2569)
    >>> pair_loss(terms.log_bpr, p, many, choose=choosing.choose_semi_hard)
    tensor(0.6882)
    """
    checks.function("term", term)
    if choose is None:
        checks.no_function("negatives", negatives)
    else:
        checks.function("choose", choose)
    batch = checked(EITHER if choose is None else CHOSEN, positive_scores, negatives, positive_items, negative_items,
        metadata, metadata_weights, mask, weights, negative_mask, squared, reduction, batch_first)  # fmt: skip
    return (batch if choose is None else _chosen(batch, choose)).cost(term)


def bpr_loss(
    positive_scores: Tensor, negative_scores: Tensor, num_items: int | None = None,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    *, mask: Tensor | None = None, weights: Tensor | None = None, squared: bool = True, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Sigmoid BPR plus its square, as Collie defines it. Spotlight's, without the square, is ``squared=False``.

    .. math:: \ell = d - \sigma(x)

    with x the score of the positive minus the score of the negative, and d what x should reach, 1 without metadata.

    Args:
        positive_scores, negative_scores: p and n, [B] each
        num_items: not read, taken so that one loop can call any loss of Collie
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] each
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.log_bpr_loss` (the BPR of the
    paper), :func:`~pairloss.adaptive_bpr_loss` (against the hardest of K), :class:`~pairloss.BPRLoss` (the module).

    Source: Spotlight, ``spotlight.losses.bpr_loss`` (squared=False), and Collie, ``collie.loss.bpr_loss``.
    Rendle et al. (UAI 2009, arXiv 1205.2618), after whom it is named, maximise :math:`\log \sigma(x)` instead.

    >>> bpr_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    tensor(0.2157)
    """
    checks.num_items(num_items)
    return checked(ONE, positive_scores, negative_scores, positive_items, negative_items, metadata, metadata_weights,
        mask, weights, None, squared, reduction).cost(terms.bpr)  # fmt: skip


def hinge_loss(
    positive_scores: Tensor, negative_scores: Tensor, num_items: int | None = None,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    *, mask: Tensor | None = None, weights: Tensor | None = None, squared: bool = True, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Pairwise hinge plus its square, as Collie defines it. Spotlight's, without the square, is ``squared=False``.

    .. math:: \ell = \max(0, d - x)

    with x the score of the positive minus the score of the negative, and d what x should reach, 1 without metadata.

    Args:
        positive_scores, negative_scores: p and n, [B] each
        num_items: not read, taken so that one loop can call any loss of Collie
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] each
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.adaptive_hinge_loss` and
    :func:`~pairloss.warp_loss` (among several negatives), :func:`~pairloss.pairwise_hinge_loss` (over all
    pairs of a list), :class:`~pairloss.HingeLoss` (the module).

    Source: Spotlight, ``spotlight.losses.hinge_loss`` (squared=False), and Collie, ``collie.loss.hinge_loss``.

    >>> hinge_loss(torch.tensor([1.5]), torch.tensor([3.0]))
    tensor(8.7500)
    """
    checks.num_items(num_items)
    return checked(ONE, positive_scores, negative_scores, positive_items, negative_items, metadata, metadata_weights,
        mask, weights, None, squared, reduction).cost(terms.hinge)  # fmt: skip


def log_bpr_loss(
    positive_scores: Tensor, negative_scores: Tensor,
    *, positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    mask: Tensor | None = None, weights: Tensor | None = None, squared: bool = False, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""BPR as its authors wrote it: the cross entropy of "the positive wins".

    .. math:: \ell = -t \log \sigma(x) - (1 - t) \log \sigma(-x), \qquad t = \frac{1 + d}{2}

    with x the score of the positive minus the score of the negative, and d the difference that x should reach. Without
    metadata d is 1 and this is :math:`-\log \sigma(x)`. It is exact for every difference, and its gradient does not
    vanish on a pair that is badly wrong. With credit its minimum lies at :math:`\sigma(x) = t`.

    Args:
        positive_scores, negative_scores: p and n, [B] each
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] each
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.bpr_loss` (what Spotlight and
    Collie call BPR), :class:`~pairloss.LogBPRLoss` (the module).

    Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009, arXiv 1205.2618, section 4.1.
    The partial credit, by label smoothing, is ours.

    >>> log_bpr_loss(torch.tensor([-10000.0]), torch.tensor([0.0]))
    tensor(10000.)
    """
    return checked(ONE, positive_scores, negative_scores, positive_items, negative_items, metadata, metadata_weights,
        mask, weights, None, squared, reduction).cost(terms.log_bpr)  # fmt: skip


def adaptive_bpr_loss(
    positive_scores: Tensor, many_negative_scores: Scores, num_items: int | None = None,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    *, mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    batch_first: bool = False, hardest_by: HardestBy = "score", squared: bool = True, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Sigmoid BPR against the hardest of K negatives, plus its square, which ``squared=False`` leaves out.

    .. math:: \ell = d_{k^*} - \sigma(p - n_{k^*}), \qquad k^* = \arg\max_k n_k

    with p the score of the positive, :math:`n_k` the score of its k-th negative and :math:`d_k` the difference
    that the two should reach, 1 without metadata. The chosen negative gives the partial credit.

    Args:
        positive_scores, many_negative_scores: p, [B], and n, [K, B], a sequence of K tensors [B] or a function of ids
        num_items: not read, taken so that one loop can call any loss of Collie
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] and [K, B]
        mask, weights, negative_mask: which pairs count, how much each does, and which negatives are real, [K, B] bool
        batch_first: whether many negatives, their items and their mask are [B, K]
        hardest_by: "score", or "violation": the largest :math:`n_k + d_k`, so a related item hides no worse stranger
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.bpr_loss` (against one
    negative), :func:`~pairloss.choose_hardest` (the choice alone), :class:`~pairloss.AdaptiveBPRLoss` (the module).

    Source: Collie, ``collie.loss.adaptive_bpr_loss``.

    >>> adaptive_bpr_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    tensor(1.4860)
    """
    checks.num_items(num_items)
    batch = checked(MANY, positive_scores, many_negative_scores, positive_items, negative_items, metadata,
        metadata_weights, mask, weights, negative_mask, squared, reduction, batch_first)  # fmt: skip
    return _against_hardest(batch, hardest_by).cost(terms.bpr)


def adaptive_hinge_loss(
    positive_scores: Tensor, many_negative_scores: Scores, num_items: int | None = None,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    *, mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    batch_first: bool = False, hardest_by: HardestBy = "score", squared: bool = True, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Pairwise hinge against the hardest of K negatives, plus its square, which ``squared=False`` leaves out.

    .. math:: \ell = \max(0, d_{k^*} - p + n_{k^*}), \qquad k^* = \arg\max_k n_k

    with p the score of the positive, :math:`n_k` the score of its k-th negative and :math:`d_k` the difference
    that the two should reach, 1 without metadata. The chosen negative gives the partial credit.

    Args:
        positive_scores, many_negative_scores: p, [B], and n, [K, B], a sequence of K tensors [B] or a function of ids
        num_items: not read, taken so that one loop can call any loss of Collie
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] and [K, B]
        mask, weights, negative_mask: which pairs count, how much each does, and which negatives are real, [K, B] bool
        batch_first: whether many negatives, their items and their mask are [B, K]
        hardest_by: "score", or "violation": the largest :math:`n_k + d_k`, so a related item hides no worse stranger
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.warp_loss` (the first violation),
    :func:`~pairloss.choose_hardest` (the choice alone), :class:`~pairloss.AdaptiveHingeLoss` (the module).

    Source: Spotlight, ``spotlight.losses.adaptive_hinge_loss`` (squared=False), and Collie,
    ``collie.loss.adaptive_hinge_loss``.

    >>> adaptive_hinge_loss(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    tensor(8.7500)
    """
    checks.num_items(num_items)
    batch = checked(MANY, positive_scores, many_negative_scores, positive_items, negative_items, metadata,
        metadata_weights, mask, weights, negative_mask, squared, reduction, batch_first)  # fmt: skip
    return _against_hardest(batch, hardest_by).cost(terms.hinge)


def warp_loss(
    positive_scores: Tensor, many_negative_scores: Scores, num_items: int,
    positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    *, mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    batch_first: bool = False, rank_weight: RankWeight = "log", squared: bool = True, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""WARP: hinge against the first of K negatives that violates the margin, times a rank weight, plus its square.

    .. math:: \ell = w(t) \, (d_t - p + n_t), \qquad t = \min \{k : d_k - p + n_k > 0\}

    with p the score of the positive, :math:`n_k` the score of its k-th negative and :math:`d_k` the difference
    that the two should reach, 1 without metadata. Tries t count from 1. Where none of the K violates the
    margin, :math:`\ell = 0`. The fewer tries, the more items probably rank above the positive, and the more the
    pair counts. With N items the weight is

    - "log": :math:`w(t) = \log(N / t)`, as in Collie, and 0 beyond N tries;
    - "harmonic": :math:`w(t) = \sum_{i \le \lfloor (N - 1) / t \rfloor} 1 / i`, as in WSABIE.

    The weight carries no gradient. The square, which ``squared=False`` leaves out, squares it too.

    Args:
        positive_scores, many_negative_scores: p, [B], and n, [K, B], a sequence of K tensors [B] or a function of ids
        num_items: N, the number of all items
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] and [K, B]
        mask, weights, negative_mask: which pairs count, how much each does, and which negatives are real, [K, B] bool
        batch_first: whether many negatives, their items and their mask are [B, K]
        rank_weight: "log" or "harmonic"
        squared, reduction: :math:`\ell + \ell^2` or :math:`\ell`, as "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.choose_first_violation` (the
    search alone), :func:`~pairloss.lambdarank_loss` (which knows the ranks instead of estimating them),
    :class:`~pairloss.WARPLoss` (the module).

    Source: Weston, Bengio and Usunier, WSABIE, IJCAI 2011, and Collie, ``collie.loss.warp_loss``.

    >>> warp_loss(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]), num_items=30)
    tensor(4.5926)
    """
    checks.num_items(num_items, needed=True)
    checks.choice("rank_weight", rank_weight, RANK_WEIGHTS)
    batch = checked(MANY, positive_scores, many_negative_scores, positive_items, negative_items, metadata,
        metadata_weights, mask, weights, negative_mask, squared, reduction, batch_first)  # fmt: skip
    row, tries, found = choosing.first_hit(batch.judged(choosing.violates), batch.real)
    weight = _rank_weight(rank_weight, num_items, tries.clamp(min=1), batch.dtype)
    return batch.against(row, found).cost(lambda *pair: weight * terms.hinge(*pair))


def softmax_loss(
    positive_scores: Tensor, many_negative_scores: Tensor | Sequence[Tensor],
    *, positive_items: Tensor | None = None, negative_items: Tensor | None = None,
    metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
    mask: Tensor | None = None, weights: Tensor | None = None, negative_mask: Tensor | None = None,
    batch_first: bool = False, temperature: float = 1.0, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Sampled softmax: the positive against all K negatives, each by how much it threatens.

    .. math:: \ell = -\log \frac{e^{p / \tau}}{e^{p / \tau} + \sum_k e^{n_k / \tau}}

    with p the score of the positive, :math:`n_k` the score of its k-th negative and :math:`\tau` the temperature, in
    the unit of the scores. The pull on a negative is its share of the softmax, over :math:`\tau`. With K = 1 and
    :math:`\tau = 1` this is :func:`~pairloss.log_bpr_loss`. As :math:`\tau \to 0`,
    :math:`\tau \ell \to \max(0, \max_k n_k - p)`: the hardest negative alone.

    With partial credit the softmax is held against soft targets. The targets of the positive and of negative k are in
    proportion :math:`1 : (1 - d_k) / (1 + d_k)`, d the difference that the two should reach, and sum to 1. At the
    minimum :math:`p - n_k = \tau \log \frac{1 + d_k}{1 - d_k}`, as in log BPR.

    Args:
        positive_scores: p, [B] (or any other shape)
        many_negative_scores: n, [K, B] or a sequence of K tensors [B]. A function of ids is refused, because every
            negative has a gradient here.
        positive_items, negative_items, metadata, metadata_weights: partial credit, with item ids [B] and [K, B]
        mask, weights, negative_mask: which pairs count, how much each does, and which negatives are real, [K, B] bool
        batch_first: whether many negatives, their items and their mask are [B, K]
        temperature: :math:`\tau`, above 0. One that is learned divides the scores before the call.
        reduction: "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.in_batch_softmax_loss` (against
    the other positives of a batch), :func:`~pairloss.adaptive_hinge_loss` (against the hardest),
    :class:`~pairloss.SoftmaxLoss` (the module).

    Source: Bengio and Senécal, IEEE Transactions on Neural Networks 19(4), 2008 (sampled softmax). Van den Oord,
    Li and Vinyals, 2018, arXiv 1807.03748 (InfoNCE). The partial credit, by soft targets, is ours.

    >>> softmax_loss(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]))
    tensor(2.6932)
    """
    checks.temperature(temperature)
    checks.no_function("many_negative_scores", many_negative_scores)
    batch = checked(MANY, positive_scores, many_negative_scores, positive_items, negative_items, metadata,
        metadata_weights, mask, weights, negative_mask, False, reduction, batch_first)  # fmt: skip
    return batch.cost(partial(terms.softmax, temperature=float(temperature)))


def pointwise_loss(
    positive_scores: Tensor, negative_scores: Tensor, *,
    mask: Tensor | None = None, weights: Tensor | None = None, reduction: Reduction = "mean",
) -> Tensor:  # fmt: skip
    r"""Each side on its own: the positive should score high, the negative low, whatever their difference.

    .. math:: \ell = 1 - \sigma(p) + \sigma(n)

    Args:
        positive_scores, negative_scores: p and n, [B] each
        mask, weights: which pairs count, [B] bool, and how much each does, [B] of at least 0
        reduction: "mean", "sum" or "none" (one value per pair)

    See Also: :mod:`pairloss.pairs` (arguments, result, errors), :func:`~pairloss.bpr_loss` (which compares the
    two), :func:`~pairloss.logistic_loss` (the same idea with a gradient that does not vanish).

    Source: Spotlight, ``spotlight.losses.pointwise_loss``.

    >>> pointwise_loss(torch.tensor([3.0]), torch.tensor([1.5]))
    tensor(0.8650)
    """
    batch = checked(ONE, positive_scores, negative_scores, mask=mask, weights=weights, reduction=reduction)
    return batch.cost(terms.pointwise)


def _against_hardest(batch: Batch, hardest_by: HardestBy) -> Batch:
    """The batch against its hardest negatives, by their score or by what they lack to the margin."""
    checks.choice("hardest_by", hardest_by, HARDEST_BY)
    # Without metadata d is 1 for all, and adding it would only round scores to one number.
    if hardest_by == "violation" and batch.credit is not None:
        return batch.against(choosing.highest(batch.judged(lambda _, many, d: many + d), batch.real))
    if batch.real is not None or batch.score is not None or large(batch.negative):
        return batch.against(choosing.highest(batch.negative, batch.real))
    negative, row = batch.negative.max(0)  # both at once: a tenth of the time of the loss at 1,024 pairs
    return batch.against(row, negative=negative)


def _chosen(batch: Batch, choose: Callable[..., Any]) -> Batch:
    """The batch against the negatives that ``choose`` takes. Our own choices are told more than the scores."""
    if choose is choosing.choose_hardest:
        return _against_hardest(batch, "score")
    if choose is choosing.choose_semi_hard:
        return batch.against(choosing.semi_hard(batch.positive, batch.negative, batch.real))
    if choose is choosing.choose_first_violation:
        row, _, found = choosing.first_hit(batch.judged(choosing.violates), batch.real)
        return batch.against(row, found)
    row = choose(batch.candidates().detach())
    checks.of_the_choice(row, batch.negative)
    return batch.against(row.long())


def _rank_weight(kind: RankWeight, num_items: int, tries: Tensor, dtype: torch.dtype) -> Tensor:
    if kind == "log":
        return torch.log(num_items / tries.to(dtype)).clamp(min=0)
    rank = torch.div(num_items - 1, tries, rounding_mode="floor")  # in integers: 49 / 49. is below 1 in torch
    # The n-th harmonic number is digamma(n + 1) + γ, Euler's constant.
    weight: Tensor = torch.special.digamma(rank.to(widest(rank.device)) + 1) + 0.5772156649015329
    return weight.masked_fill(rank == 0, 0).to(dtype)
