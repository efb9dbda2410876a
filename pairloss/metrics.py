"""Metrics of ranked lists: how well scores put first what was held out."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional

from pairloss import checks
from pairloss.interactions import Interactions
from pairloss.tensors import readable, widest

Scores = Tensor | Callable[[Tensor], Tensor]
Chosen = Tensor | Interactions
MetricReduction = Literal["mean", "none"]
PIECE = 2**20  # scores that are looked at together


def ndcg(
    scores: Scores, held_out: Chosen, k: int = 10, *, exclude: Chosen | None = None, reduction: MetricReduction = "mean"
) -> Tensor:
    r"""Normalised discounted cumulative gain: hits in the first k places, the more the higher they stand.

    .. math:: \frac{\sum_{r \in R} 1 / \log_2(1 + r)}{\sum_{r=1}^{\min(k, h)} 1 / \log_2(1 + r)}

    with R the places, from 1 to k, of held-out items, and h the number of all held-out items. 1 is the best list.

    Args:
        scores: scores of U users and N items, [U, N] in any of the four floating dtypes. Or the function from user
            ids [u] int64 to scores [u, N], which is asked for some users at a time, without gradients. Of equal
            scores the lower item id comes first. NaN is an error on the CPU and ranks last on a GPU.
        held_out: what the lists are judged by, [U, N] bool or :class:`~pairloss.Interactions`
        k: how many places count, at least 1
        exclude: what was trained on, in the same two forms. These items are in no list, and count as not held out.
        reduction: "mean", over the users who have a value, or "none", one value per user

    Returns:
        A scalar, or [U] with NaN for a user without a held-out item. It is float64 on the CPU and on CUDA, float32
        elsewhere, and has no gradients. The mean over no user is NaN.

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape, device, k or reduction and (on the CPU) NaN.

    See Also: :func:`~pairloss.metrics.recall` (for which all k places are the same).

    Source: Järvelin and Kekäläinen, ACM TOIS 2002, doi:10.1145/582415.582418, with log₂(1 + r) for their log₂ r.

    >>> held_out = torch.tensor([[True, False, True, False]])
    >>> ndcg(torch.tensor([[0.4, 0.3, 0.1, 0.2]]), held_out, k=3)  # one hit, in place 1, of two
    tensor(0.6131, dtype=torch.float64)
    """
    checks.count("k", k, 1)

    def measure(ranking: _Ranking) -> tuple[Tensor, Tensor]:
        hits = ranking.held_out
        places = torch.arange(1, hits.shape[1] + 1, dtype=widest(hits.device), device=hits.device)
        discount = 1 / torch.log2(1 + places)
        best = functional.pad(discount.cumsum(0), (1, 0))
        return (hits * discount).sum(1), best[ranking.liked.clamp(max=hits.shape[1])]

    return _reduced(measure, reduction, scores, k, held_out=held_out, exclude=exclude)


def recall(
    scores: Scores, held_out: Chosen, k: int = 10, *, exclude: Chosen | None = None, reduction: MetricReduction = "mean"
) -> Tensor:
    r"""The share of the held-out items that stand in the first k places.

    .. math:: |R| \,/\, h

    with R the places, from 1 to k, of held-out items, and h the number of all held-out items.

    Args, Returns and Raises: as in :func:`~pairloss.metrics.ndcg`.

    >>> held_out = torch.tensor([[True, False, True, False]])
    >>> recall(torch.tensor([[0.4, 0.3, 0.1, 0.2]]), held_out, k=3)
    tensor(0.5000, dtype=torch.float64)
    """
    checks.count("k", k, 1)

    def measure(ranking: _Ranking) -> tuple[Tensor, Tensor]:
        return ranking.held_out.sum(1), ranking.liked

    return _reduced(measure, reduction, scores, k, held_out=held_out, exclude=exclude)


def auc(
    scores: Scores, held_out: Chosen, *, exclude: Chosen | None = None, reduction: MetricReduction = "mean"
) -> Tensor:
    r"""The area under the ROC curve: the share of pairs in which a held-out item scores above another item.

    .. math:: \frac{1}{|H|\,|O|} \sum_{i \in H} \sum_{j \in O} [s_i > s_j] + \tfrac{1}{2} [s_i = s_j]

    with s the scores, H the held-out items and O those that are neither held out nor excluded. ½ is chance.

    Args, Returns and Raises: as in :func:`~pairloss.metrics.ndcg`. A user without an item in O has no value either.

    Source: Hanley and McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747.

    >>> held_out = torch.tensor([[True, False, True, False]])
    >>> auc(torch.tensor([[0.4, 0.3, 0.2, 0.2]]), held_out)  # of four pairs two are right and one is a tie
    tensor(0.6250, dtype=torch.float64)
    """

    def measure(ranking: _Ranking) -> tuple[Tensor, Tensor]:
        lower = ranking.cost != ranking.cost.roll(1, 1)
        lower[:, :1] = False
        group = lower.cumsum(1)  # items of one score
        held_out, others = (
            torch.zeros_like(group).scatter_add(1, group, which.long()) for which in (ranking.held_out, ranking.others)
        )
        total = others.sum(1)
        behind = total.unsqueeze(1) - others.cumsum(1)
        # Twice the pairs are whole numbers, ties included, so that nothing is rounded.
        return (held_out * (2 * behind + others)).sum(1), 2 * ranking.liked * total

    return _reduced(measure, reduction, scores, held_out=held_out, exclude=exclude)


def top_k(scores: Scores, k: int = 10, *, exclude: Chosen | None = None) -> Tensor:
    """The ids of the k items that score highest, the highest first.

    Args:
        scores, exclude: as in :func:`~pairloss.metrics.ndcg`. With a function ``exclude`` is needed, for its shape.
        k: how many items each user gets, at least 1

    Returns: item ids, [U, k] int64, and −1 in the last places of a user who has fewer than k items left.

    Raises: as :func:`~pairloss.metrics.ndcg`, and ValueError for a function alone.

    >>> top_k(torch.tensor([[0.1, 0.3, 0.2, 0.3]]), k=2)
    tensor([[1, 3]])
    """
    checks.count("k", k, 1)
    rankings = _rankings(scores, k, exclude=exclude)
    items = torch.cat([ranking.items.masked_fill(~ranking.others, -1) for ranking in rankings])
    return functional.pad(items, (0, k - items.shape[1]), value=-1)


class _Ranking(NamedTuple):
    """The first items of some users, or all, the highest score first and the excluded ones last: tensors [u, k]."""

    items: Tensor  # their ids
    cost: Tensor  # their scores with the other sign, NaN where excluded
    held_out: Tensor  # which are held out
    others: Tensor  # which are neither held out nor excluded
    liked: Tensor  # how many of all are held out, [u]


def _rankings(scores: Scores, k: int | None = None, **chosen: Chosen | None) -> Iterator[_Ranking]:
    """The rankings of all users, some at a time. ``chosen`` holds ``exclude``, and ``held_out`` where that is known."""
    tables: dict[str, Any] = {}
    for name, one in chosen.items():
        if isinstance(one, Interactions):
            tables[name] = one.matrix
        elif one is not None or name != "exclude":
            checks.tensor(name, one, "bool", [torch.bool], " or pairloss.Interactions")
            tables[name] = one
    like = checks.ranking(scores, tables)
    num_users, num_items = like.shape
    for users in torch.arange(num_users, device=like.device).split(max(PIECE // max(num_items, 1), 1)):
        none = torch.zeros(len(users), num_items, dtype=torch.bool, device=like.device)
        excluded, held_out = (
            tables[name].index_select(0, users).to_dense().bool() if name in tables else none
            for name in ("exclude", "held_out")
        )
        if isinstance(scores, Tensor):
            piece = scores.detach().index_select(0, users)
        else:
            with torch.no_grad():
                piece = scores(users) if num_users else none.float()
        checks.scores_of(users, piece, excluded)
        # NaN is above every number. Unlike -piece, 0 - piece has no zero below 0, which some devices sort apart.
        cost = (0 - piece).masked_fill(excluded, torch.nan)
        held_out = held_out & ~excluded
        items, others = _first(cost, k), ~(held_out | excluded)
        liked = held_out.sum(1)
        cost, held_out, others = (part.gather(1, items) for part in (cost, held_out, others))
        yield _Ranking(items, cost, held_out, others, liked)


def _first(cost: Tensor, k: int | None) -> Tensor:
    """The items of the k lowest costs, or of all, by rising cost, equal ones by their ids. NaN is above all."""
    if k is not None and k < cost.shape[1] and readable(cost):  # a quarter of the time of a sort at 1,000 items
        lowest, items = cost.topk(k, largest=False)
        if ((cost <= lowest[:, -1:]).sum(1) <= k).all():  # no two are equal in and behind the last place
            items = items.sort().values
            return items.gather(1, cost.gather(1, items).sort(stable=True).indices)
    return cost.sort(stable=True).indices[:, :k]


def _reduced(
    measure: Callable[[_Ranking], tuple[Tensor, Tensor]], reduction: str, scores: Scores, k: int | None = None,
    **chosen: Chosen | None,
) -> Tensor:  # fmt: skip
    """What ``measure`` finds of each user, as a share of the best possible. 0 of 0 is NaN, which is no value."""
    checks.choice("reduction", reduction, get_args(MetricReduction))
    found, best = map(torch.cat, zip(*map(measure, _rankings(scores, k, **chosen)), strict=True))
    shares = found.to(widest(found.device)) / best
    return shares.nanmean() if reduction == "mean" else shares
