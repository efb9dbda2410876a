"""The losses: each takes the scores of a batch of users for all items, and is the mean over their choices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

import pairloss
from pairloss import terms


def at(table: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """What a table [b, N] has of items [..., P], each in its row [P]. As one long ``gather`` its gradient is quick."""
    places = rows * table.shape[1] + items
    return table.flatten().gather(0, places.flatten()).view(places.shape)


class Batch(NamedTuple):
    """Some users with all their choices. P choices, K negatives drawn for each."""

    scores: Tensor  # [b, N], of all items for these users, or of a pool of items
    known: Tensor  # [b, N] bool, what these users have chosen
    rows: Tensor  # [P], the row of the user of each choice
    items: Tensor  # [P], the item of each choice
    positive: Tensor  # [P], the score of each choice
    negatives: Tensor  # [K, P], the scores of items drawn uniformly for it
    real: Tensor  # [K, P] bool, which of these the user has not chosen
    drawn: Tensor  # [K, P], these items
    temperature: float  # by which the cosine is divided, 1 for a dot product
    log_q: Tensor | None = None  # [N], of the share of each item in all choices
    genres: Tensor | None = None  # [N, G] bool
    weight: float = 1.0  # of genres in partial credit, of negatives in CCL, and the temperature of the weights of SL@20

    @property
    def of_all(self) -> Tensor:
        """For each choice log Σ exp(score) over all items that its user has not chosen, [P]."""
        return self.scores.masked_fill(self.known, -torch.inf).logsumexp(1)[self.rows]

    def credit(self, kind: str, drawn: Tensor) -> dict[str, Any]:
        """Words of a loss with partial credit for true genres, for those of another item, or for none."""
        if not kind:
            return {}
        table = self.genres[:, :100]  # of the tags of articles the most common hundred
        if kind == "shuffled genres":
            generator = torch.Generator(table.device).manual_seed(0)
            table = table[torch.randperm(len(table), generator=generator, device=table.device)]
        items = {"positive_items": self.items, "negative_items": drawn}
        return items | {"metadata": {"genres": table}, "metadata_weights": {"genres": min(self.weight, 1.0)}}


def one(loss: Callable[..., Tensor], credit: str = "") -> Callable[[Batch], Tensor]:
    return lambda batch: loss(
        batch.positive, batch.negatives[0], mask=batch.real[0], **batch.credit(credit, batch.drawn[0])
    )


def many(loss: Callable[..., Tensor], credit: str = "") -> Callable[[Batch], Tensor]:
    return lambda batch: loss(
        batch.positive, batch.negatives, negative_mask=batch.real, **batch.credit(credit, batch.drawn)
    )


def bce(batch: Batch, calibrated: float = 0.0) -> Tensor:
    """Binary cross entropy, or gBCE (arXiv 2308.07192): its positive counts less, by what drawing negatives shifts."""
    alpha = len(batch.drawn) / (batch.scores.shape[1] - 1)
    beta = alpha * (calibrated * (1 - 1 / alpha) + 1 / alpha)
    unlike = functional.softplus(batch.negatives.masked_fill(~batch.real, -torch.inf)).sum(0)
    return (unlike + beta * functional.softplus(-batch.positive)).mean()


def warp(batch: Batch) -> Tensor:
    return pairloss.warp_loss(batch.positive, batch.negatives, batch.scores.shape[1], negative_mask=batch.real)


def in_batch(batch: Batch, rule: str = "") -> Tensor:
    """Against the items of about 255 other choices: softly, softly without their popularity, or the hardest."""
    values, parts = [], -(-len(batch.rows) // 256)
    pieces = [(batch.rows[part::parts], batch.items[part::parts]) for part in range(parts)]  # each with all users
    places = [(users.unsqueeze(1) * batch.scores.shape[1] + items).flatten() for users, items in pieces]
    every = torch.cat(places)  # looked up at once, so that the gradient of all scores is made once
    tables = (table.flatten().gather(0, every).split([*map(len, places)]) for table in (batch.scores, batch.known))
    for (users, items), scores, known in zip(pieces, *tables, strict=True):
        table, real = (each.view(len(users), -1) for each in (scores, ~known))
        words = {"reduction": "sum", "negative_mask": real}
        if rule == "hardest":
            values.append(pairloss.adaptive_hinge_loss(table.diagonal(), table, batch_first=True, **words))
        else:
            log_q = batch.log_q[items] if rule == "log q" else None
            values.append(pairloss.in_batch_softmax_loss(table, users=users, items=items, log_q=log_q, **words))
    return torch.stack(values).sum() / len(batch.rows)


def by(choose: Callable[..., Any], term: terms.PairTerm, squared: bool = False) -> Callable[[Batch], Tensor]:
    return many(partial(pairloss.pair_loss, term, choose=choose, squared=squared))


def softmax(batch: Batch, by_root: bool = False) -> Tensor:
    """Against all items: log BPR against the logarithm of the sum of their exponentials.

    By root, n choices of one user count as √n.
    """
    weights = batch.rows.bincount()[batch.rows].rsqrt() if by_root else None
    return pairloss.log_bpr_loss(batch.positive, batch.of_all, weights=weights)


def decoupled(batch: Batch) -> Tensor:
    """The softmax without the choice in its own sum, as two papers have it (arXiv 2411.00163 and 2508.05673)."""
    return (batch.of_all - batch.positive).mean()


def softmax_at(batch: Batch, k: int = 20, fixed: bool = False) -> Tensor:
    """SL@K (arXiv 2508.05673): the decoupled softmax, each choice weighed by σ of its lead over the K-th best score.

    Fixed weights have no gradient and a temperature of 1, they sum to 1, and the softmax has the choice in its sum.
    """
    with torch.no_grad():
        counts = batch.rows.bincount(minlength=len(batch.scores))
        own = pad_sequence(batch.positive.split(counts.tolist()), batch_first=True, padding_value=-torch.inf)
        best = torch.cat([batch.scores.masked_fill(batch.known, -torch.inf), own], 1).topk(k).values[:, -1]
    lead = (batch.positive - best[batch.rows]) * batch.temperature
    if fixed:
        return pairloss.log_bpr_loss(batch.positive, batch.of_all, weights=lead.detach().sigmoid())
    weights = (lead / batch.weight).sigmoid()
    return pairloss.pair_loss(lambda one, rest, _: weights * (rest - one), batch.positive, batch.of_all)


def psl(batch: Batch) -> Tensor:
    """Pairwise softmax loss (arXiv 2411.00163), with tanh, of half the cosine. Its exponent is 2/τ."""

    def term(positive: Tensor, negatives: Tensor, d: Tensor | float) -> Tensor:
        lead = (negatives - positive) * batch.temperature
        return (functional.logsigmoid(lead) * 2 / batch.temperature).logsumexp(0)  # 1 + tanh(x/2) = 2 σ(x)

    return pairloss.pair_loss(term, batch.positive, batch.negatives, negative_mask=batch.real)


def bsl(positive: Tensor, negatives: Tensor, d: Tensor | float) -> Tensor:
    """Bilateral softmax loss (arXiv 2312.12882): half the decoupled softmax at half the temperature."""
    return (2 * negatives).logsumexp(0) / 2 - positive


def ccl(batch: Batch) -> Tensor:
    """Cosine contrastive loss (SimpleX, arXiv 2109.12613): τ is its margin, and its negatives have the weight."""

    def term(positive: Tensor, negatives: Tensor, d: Tensor | float) -> Tensor:
        near = (negatives - 1).relu().sum(0) / (negatives > -torch.inf).sum(0)
        return batch.weight * near - positive

    return pairloss.pair_loss(term, batch.positive, batch.negatives, negative_mask=batch.real)


LOSSES: dict[str, tuple[Callable[[Batch], Tensor], int]] = {  # and the negatives drawn for each choice
    "log BPR": (one(pairloss.log_bpr_loss), 1),
    "BPR": (one(pairloss.bpr_loss), 1),
    "hinge": (one(pairloss.hinge_loss), 1),
    "adaptive BPR": (many(pairloss.adaptive_bpr_loss), 10),
    "adaptive hinge": (many(pairloss.adaptive_hinge_loss), 10),
    "WARP": (warp, 10),
    **{f"DNS of {k}": (by(pairloss.choose_hardest, terms.log_bpr), k) for k in (2, 3, 5)},
    **{f"softmax of {k}": (many(pairloss.softmax_loss), k) for k in (10, 50, 100, 255)},
    "PSL of 100": (psl, 100),
    "BSL of 100": (many(partial(pairloss.pair_loss, bsl)), 100),
    "CCL of 100": (ccl, 100),
    "BCE of 10": (bce, 10),
    "gBCE of 10": (partial(bce, calibrated=0.75), 10),
    "softmax in the batch": (in_batch, 0),
    "softmax in the batch, log q": (partial(in_batch, rule="log q"), 0),
    "softmax": (softmax, 0),
    "softmax by root": (partial(softmax, by_root=True), 0),
    "decoupled softmax": (decoupled, 0),
    "SL@20": (softmax_at, 0),
    "SL@20, fixed weights": (partial(softmax_at, fixed=True), 0),
}
RULES: dict[str, tuple[Callable[[Batch], Tensor], int]] = {  # for the negative of the hinge with its square
    "hinge, first violation of 10": (by(pairloss.choose_first_violation, terms.hinge, squared=True), 10),
    "hinge, semi-hard of 10": (by(pairloss.choose_semi_hard, terms.hinge, squared=True), 10),
    **{f"hinge, hardest of {k}": (by(pairloss.choose_hardest, terms.hinge, squared=True), k) for k in (2, 40, 100)},
    "hinge, hardest in the batch": (partial(in_batch, rule="hardest"), 0),
}
PLAIN = {"hinge": (one, pairloss.hinge_loss, 1), "softmax of 10": (many, pairloss.softmax_loss, 10)}
CREDIT: dict[str, tuple[Callable[[Batch], Tensor], int]] = {
    f"{name}, {kind}": (of(loss, kind), k)
    for name, (of, loss, k) in PLAIN.items()
    for kind in ("true genres", "shuffled genres")
}
