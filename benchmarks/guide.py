"""Which loss when: every loss in every world, each tuned there, judged on worlds that nobody has seen.

A world is made by ``pairloss.datasets.generate``, with one thing changed. On two worlds of its kind a loss is
given the step size and the weight decay that validate best, of fifteen; with these it is judged on eight others.
Every run has the same number of steps and the same batches, and counts at the step that validates best.

python benchmarks/guide.py            fill benchmarks/tables/guide.csv, from which which_loss.py writes the page
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from tables import Row, fill
from torch import Tensor
from torch.nn import functional

import pairloss

USERS, DIM, BATCH, STEPS, EVERY = 500, 16, 512, 720, 48
IN_ONE_BATCH = 256  # a positive meets the others of its half of the batch
STEP_SIZES, DECAYS = (3e-3, 1e-2, 3e-2), (1e-5, 1e-4, 3e-4, 1e-3, 3e-3)
SIZE = {"WARP": 30, "BCE": 0.1}  # of a loss beside the others, by its weight or its mean: its decays are as much larger
TUNED_ON, JUDGED_ON = range(100, 102), range(8)
REGULARISERS = (10, 30, 100, 300, 1000)  # of EASE


class Kind(NamedTuple):
    """What a world is like."""

    items: int = 500
    skew: float = 1.3
    wrong: float = 0.0  # share of the choices to learn from that are mistakes
    close: bool = False  # mistaken for an item that is liked almost as much, not for any
    k: int = 10
    hidden: float = 0.0  # share of the choices to learn from that nobody recorded
    genre_share: float = 0.8


KINDS = {
    "as it comes": Kind(),
    "15 % wrong, whatever the gap": Kind(wrong=0.15),
    "30 % wrong, whatever the gap": Kind(wrong=0.3),
    "15 % wrong, close calls": Kind(wrong=0.15, close=True),
    "30 % wrong, close calls": Kind(wrong=0.3, close=True),
    "equal popularity": Kind(skew=0.0),
    "steep popularity": Kind(skew=2.0),
    "K = 1": Kind(k=1),
    "K = 50": Kind(k=50),
    "250 items": Kind(items=250),
    "1,000 items": Kind(items=1000),
    "4,000 items": Kind(items=4000),
    "30 % hidden": Kind(hidden=0.3),
    "60 % hidden": Kind(hidden=0.6),
    "no genres in taste": Kind(genre_share=0.0),
}


class World(NamedTuple):
    """Tables [U, N] of choices, and what is known of the items."""

    train: Tensor
    valid: Tensor
    test: Tensor
    hidden: Tensor
    rare: Tensor  # [N]: the items beyond those on which half of all choices fall
    utilities: Tensor
    genres: Tensor


def make_world(kind: Kind, seed: int) -> World:
    """Of the choices of a generated world 15 % to test by, 10 % to validate with, the others to learn from."""
    data = pairloss.datasets.generate(
        seed, num_users=USERS, num_items=kind.items, skew=kind.skew, genre_share=kind.genre_share
    )
    generator = torch.Generator().manual_seed(seed)
    chosen = data.matrix.to_dense() > 0
    users, items = chosen.nonzero(as_tuple=True)
    part = torch.rand(len(users), generator=generator)
    coin = torch.rand(2, len(users), generator=generator)
    test, valid = part < 0.15, (part >= 0.15) & (part < 0.25)
    hidden = (part >= 0.25) & (coin[0] < kind.hidden)
    noted = items.clone()
    mistaken = ~test & ~hidden & (coin[1] < kind.wrong)
    if kind.wrong:
        others = (~chosen)[users[mistaken]].double()
        if kind.close:  # the lesser of two items wins with probability σ(−gap), as Bradley and Terry have it
            utilities = data.utilities[users[mistaken]]
            gap = utilities.gather(1, items[mistaken, None]) - utilities
            others = others * (gap > 0) * torch.sigmoid(-gap) + 1e-12
        noted[mistaken] = torch.multinomial(others, 1, generator=generator).squeeze(1)
    tables = []
    for which in (~test & ~valid & ~hidden, valid, test, hidden):
        tables.append(torch.zeros_like(chosen))
        tables[-1][users[which], noted[which]] = True
    tables[1] &= ~tables[0]
    counts = chosen.sum(0)
    order = counts.argsort(descending=True, stable=True)
    popular = counts[order].cumsum(0) - counts[order] < counts.sum() / 2
    rare = torch.ones(kind.items, dtype=torch.bool).scatter(0, order, ~popular)
    return World(*tables, rare, data.utilities, data.genres)


# --- measures, [W, U, N] and with G settings [W, U, N, G] at a time -------------------------------------


def ndcg(scores: Tensor, seen: Tensor, test: Tensor, k: int = 10) -> Tensor:
    """NDCG@k of each world (and setting): [W, …] from scores [W, …, U, N]."""
    top = scores.masked_fill(seen, -torch.inf).topk(k).indices
    hits = test.expand_as(scores).gather(-1, top).double()
    discount = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    liked = test.sum(-1)
    best = discount.cumsum(0)[liked.clamp(1, k) - 1]
    return ((hits @ discount) / best * (liked > 0)).sum(-1) / (liked > 0).sum(-1)


def auc(scores: Tensor, seen: Tensor, test: Tensor) -> float:
    """How often a held-out choice of one world scores above an item that was never chosen; mean over users."""
    user, item = test.nonzero(as_tuple=True)
    others = scores.masked_fill(seen | test, torch.inf)[user]
    score = scores[user, item].unsqueeze(1)
    wins = (others < score).sum(1).double() + 0.5 * (others == score).sum(1)
    share = wins / (~(seen | test)).sum(1)[user]
    return (torch.zeros(len(scores)).double().index_add(0, user, share) / test.sum(1))[test.any(1)].mean().item()


def measures(scores: Tensor, world: World) -> list[float]:
    """NDCG@10, AUC and the share of rare items in the first ten."""
    seen = world.train | world.valid | world.hidden
    top = scores.masked_fill(seen, -torch.inf).topk(10).indices
    return [
        ndcg(scores[None], seen[None], world.test[None]).item(),
        auc(scores, seen, world.test),
        world.rare[top].double().mean().item(),
    ]


# --- losses: of positive scores [B, G], and negative scores or what scores ids [K, B] to [K, B, G] ------


class Given(NamedTuple):
    """What a loss may ask for beside the scores."""

    positive_items: Tensor  # [B, G]
    negative_items: Tensor  # [K, B, G]
    genres: Tensor
    num_items: int


def one(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda p, n, given: loss(p, n[0], reduction="sum")


def many(loss: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    def value(p: Tensor, n: Tensor, given: Given) -> Tensor:
        items = {"positive_items": given.positive_items, "negative_items": given.negative_items}
        collie = {} if loss is pairloss.softmax_loss else {"num_items": given.num_items}
        return loss(p, n, **collie, **items, **credit(given, **options), reduction="sum")

    return value


def credit(given: Given, genres: bool = False, shuffled: bool = False) -> dict[str, Any]:
    """Partial credit for genres, of weight 1; for the placebo those of another item of the same world."""
    if not genres:
        return {}
    table = given.genres
    if shuffled:
        order = torch.randperm(given.num_items, generator=torch.Generator().manual_seed(0))
        table = table.unflatten(0, (-1, given.num_items))[:, order].flatten(0, 1)
    return {"metadata": {"genres": table}, "metadata_weights": {"genres": 1.0}}


def semi_hard(p: Tensor, n: Tensor, given: Given) -> Tensor:
    return pairloss.hinge_loss(p, pairloss.take_negatives(n, pairloss.choose_semi_hard(p, n)), reduction="sum")


def mean_of_all(p: Tensor, n: Tensor, given: Given) -> Tensor:
    return pairloss.hinge_loss(p.expand_as(n), n, reduction="sum") / len(n)


def no_comparison(p: Tensor, n: Tensor, given: Given) -> Tensor:
    scores = torch.cat([p[None], n])
    labels = torch.zeros_like(scores)
    labels[0] = 1
    return pairloss.logistic_loss(labels, scores) * p.numel()


def hinge_with_genres(p: Tensor, n: Tensor, given: Given, shuffled: bool = False) -> Tensor:
    items = None, given.positive_items, given.negative_items[0]
    return pairloss.hinge_loss(p, n[0], *items, **credit(given, True, shuffled), reduction="sum")


LOSSES: dict[str, tuple[Callable[..., Tensor], int]] = {  # and the negatives it takes: 1, or 0 for K
    "log BPR": (one(pairloss.log_bpr_loss), 1),
    "BPR": (one(pairloss.bpr_loss), 1),
    "hinge": (one(pairloss.hinge_loss), 1),
    "hinge, mean of K": (mean_of_all, 0),
    "semi-hard hinge": (semi_hard, 0),
    "adaptive BPR": (many(pairloss.adaptive_bpr_loss), 0),
    "adaptive hinge": (many(pairloss.adaptive_hinge_loss), 0),
    "WARP": (many(pairloss.warp_loss), 0),
    "BCE": (no_comparison, 0),
    "softmax": (many(pairloss.softmax_loss), 0),
    "hinge, genres": (hinge_with_genres, 1),
    "hinge, shuffled genres": (partial(hinge_with_genres, shuffled=True), 1),
    "softmax, genres": (many(pairloss.softmax_loss, genres=True), 0),
    "softmax, shuffled genres": (many(pairloss.softmax_loss, genres=True, shuffled=True), 0),
}
IN_BATCH = ("softmax, batch", "softmax, batch, − log q")
REFERENCES = ("popularity", "EASE", "truth")


# --- training: G settings at once, one beside the other in each row of the tables -----------------------


def train(name: str, kind: Kind, worlds: list[World], settings: list[tuple[float, float]], seed: int) -> Any:
    """The best validation NDCG@10 [W, G], the scores that had it [W, G, U, N], the share of pull on hidden items."""
    generator = torch.Generator().manual_seed(seed)
    count, items = len(worlds), kind.items
    k = 0 if name in IN_BATCH else (LOSSES[name][1] or kind.k)

    def vectors(rows: int) -> Tensor:
        return (torch.randn(rows, DIM, generator=generator) / (2.5 * DIM)).repeat(1, len(settings)).requires_grad_()

    parameters = [vectors(count * USERS), vectors(count * items)]
    parameters.append(torch.zeros(count * items, len(settings), requires_grad=True))
    rates = [torch.tensor(column).repeat_interleave(DIM) for column in zip(*settings, strict=True)]
    rates += [rate[::DIM] for rate in rates]
    moments = [(torch.zeros_like(part), torch.zeros_like(part)) for part in parameters]
    train_, valid = (torch.stack([world[place] for world in worlds]) for place in (0, 1))
    chosen = [world.train.nonzero() for world in worlds]
    known = [world.train.to_sparse() for world in worlds]
    hidden = torch.cat([world.hidden for world in worlds])
    log_q = torch.cat([(world.train.sum(0).clamp(min=1) / world.train.sum()).log() for world in worlds])
    genres = torch.cat([world.genres for world in worlds])
    best, kept = (
        torch.full((count, len(settings)), -1.0, dtype=torch.float64),
        [part.detach().clone() for part in parameters],
    )
    pull = torch.zeros(2, dtype=torch.float64)
    for start in range(0, STEPS, EVERY):
        size = EVERY * BATCH
        drawn = []
        for number, pairs in enumerate(chosen):
            orders = [torch.randperm(len(pairs), generator=generator) for _ in range(math.ceil(size / len(pairs)))]
            u, i = pairs[torch.cat(orders)[:size]].T.contiguous()
            j = (
                pairloss.sample_negatives(u, known[number], k, generator=generator)
                if k
                else torch.zeros(0, size).long()
            )
            drawn.append([(u + number * USERS)[None], (i + number * items)[None], j + number * items])
        steps = [torch.stack(parts, 1).unflatten(-1, (EVERY, BATCH)) for parts in zip(*drawn, strict=True)]
        last = start + EVERY >= STEPS and kind.hidden and len(settings) == 1
        for step in range(EVERY):
            u, i, j = (part[:, :, step] for part in steps)  # [1, W, B], [1, W, B], [K, W, B]
            value, negative = _loss(name, parameters, u[0], i[0], j, worlds, train_, log_q, genres, items, last)
            gradients = torch.autograd.grad(value / BATCH, [*parameters, negative] if last else parameters)
            if last:
                size_of = gradients[3].abs()  # [K, W, B, 1], or in the batch [K, W', 1, B']
                if k:
                    size_of, person, ids = size_of.squeeze(3), u[0].expand_as(j), j
                else:
                    size_of, halves = size_of.squeeze(2), (-1, IN_ONE_BATCH)
                    person = u[0].reshape(halves).expand_as(size_of)
                    ids = i[0].reshape(halves).T.unsqueeze(2).expand_as(size_of)
                pull += torch.stack([(size_of * hidden[person, ids % items]).sum(), size_of.sum()])
            _adam(parameters, gradients[:3], moments, rates, start + step + 1)
        scores = _table(parameters, count, items)
        quality = ndcg(scores, train_.unsqueeze(1), valid.unsqueeze(1))
        better = quality > best
        best = torch.where(better, quality, best)
        for old, new in zip(kept, parameters, strict=True):
            shape = count, len(old) // count, len(settings), -1
            old.view(shape).copy_(torch.where(better[:, None, :, None], new.detach().view(shape), old.view(shape)))
    return best, _table(kept, count, items), (pull[0] / pull[1]).item() if kind.hidden else None


def _loss(name, parameters, u, i, j, worlds, known, log_q, genres, items, direct):  # type: ignore[no-untyped-def]
    """The sum over all pairs, worlds and settings, and the negatives' scores where they are wanted with gradients."""
    users, vectors, bias = parameters
    shape = *u.shape, bias.shape[1], DIM
    person = functional.embedding(u, users).view(shape)

    def score(ids: Tensor) -> Tensor:
        rows = functional.embedding(ids, vectors).view(*ids.shape, *shape[2:])
        return (person * rows).sum(-1) + functional.embedding(ids, bias)

    if name in IN_BATCH:
        # [W, B] to [W′, B′]: halves of a batch are batches of their own. Tables are [K, W′, G, B′].
        u, i, person = (part.reshape(-1, IN_ONE_BATCH, *part.shape[2:]) for part in (u, i, person))
        rows = functional.embedding(i, vectors).view(person.shape)
        table = (rows.transpose(1, 2) @ person.permute(0, 2, 3, 1)).permute(2, 0, 1, 3)
        table = table + functional.embedding(i, bias).transpose(0, 1).unsqueeze(3)
        if "log q" in name:
            table = table - log_q[i].T[:, :, None, None]
        real = ~known.flatten(0, 1)[u[:, None], i[:, :, None] % items].transpose(0, 1)  # [K, W', B']
        positive = table.diagonal(0, 0, 3)
        real = real.unsqueeze(2).expand_as(table)
        return pairloss.softmax_loss(positive, table, negative_mask=real, reduction="sum"), table
    loss, _ = LOSSES[name]
    chooses = name in ("adaptive BPR", "adaptive hinge", "WARP")
    settings = bias.shape[1]
    i_, j_ = i.unsqueeze(-1).expand(*i.shape, settings), j.unsqueeze(-1).expand(*j.shape, settings)
    negative = None if chooses and not direct else score(j)

    def score_each(ids: Tensor) -> Tensor:
        """Of ids [K, W, B, G], or, once chosen, [W, B, G], where each setting has its own."""
        if ids.ndim == 4:
            return score(ids[..., 0])
        place = torch.arange(settings)
        rows = vectors.view(len(vectors), settings, DIM)[ids, place]
        return (person * rows).sum(-1) + bias[ids, place]

    given = Given(i_, j_, genres, items)
    return loss(score(i), score_each if negative is None else negative, given), negative


def _adam(parameters, gradients, moments, rates, step):  # type: ignore[no-untyped-def]
    """Adam with a step size and an L2 decay for each column, as torch.optim.Adam has them for each group."""
    with torch.no_grad():
        for number, (part, gradient, (first, second)) in enumerate(zip(parameters, gradients, moments, strict=True)):
            rate, decay = rates[2:] if number == 2 else rates[:2]
            gradient = gradient + decay * part
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            size = (second / (1 - 0.999**step)).sqrt_().add_(1e-8)
            part -= rate / (1 - 0.9**step) * first / size


@torch.no_grad()
def _table(parameters: list[Tensor], count: int, items: int) -> Tensor:
    users, vectors, bias = parameters
    settings = bias.shape[1]
    left = users.view(count, USERS, settings, DIM).movedim(2, 1)
    right = vectors.view(count, items, settings, DIM).movedim(2, 1)
    return left @ right.transpose(2, 3) + bias.view(count, items, settings).movedim(2, 1).unsqueeze(2)


def ease(train: Tensor, regulariser: float) -> Tensor:
    """Scores [U, N] of EASE (Steck, WWW 2019): a linear model of items on items, without a diagonal."""
    chosen = train.double()
    gram = chosen.T @ chosen + regulariser * torch.eye(train.shape[1], dtype=torch.float64)
    inverse = torch.linalg.inv(gram)
    weights = -inverse / inverse.diagonal()
    return chosen @ weights.fill_diagonal_(0)


def reference(name: str, world: World, regulariser: float) -> Tensor:
    if name == "truth":
        return world.utilities
    if name == "EASE":
        return ease(world.train, regulariser)
    return world.train.sum(0).double().expand(USERS, -1) - torch.arange(len(world.rare)) / 1e6


def work(job: Row) -> Row:
    """One loss in one kind of world: tuned, then judged."""
    kind, name = KINDS[job["world"]], job["loss"]
    tuned_on = [make_world(kind, seed) for seed in TUNED_ON]
    judged_on = [make_world(kind, seed) for seed in JUDGED_ON]
    pull = None
    if name in REFERENCES:
        tried = [
            sum(ndcg(reference(name, w, r)[None], w.train[None], w.valid[None]).item() for w in tuned_on)
            / len(tuned_on)
            for r in (REGULARISERS if name == "EASE" else (0,))
        ]
        own: Any = (REGULARISERS[tried.index(max(tried))] if name == "EASE" else 0, 0)
        scores = [reference(name, world, own[0]) for world in judged_on]
    else:
        settings = [(rate, SIZE.get(name, 1) * decay) for rate, decay in itertools.product(STEP_SIZES, DECAYS)]
        quality, _, _ = train(name, kind, tuned_on, settings, seed=1)
        tried = quality.mean(0).tolist()
        own = settings[tried.index(max(tried))]
        _, table, pull = train(name, kind, judged_on, [own], seed=2)
        scores = list(table[:, 0])
    values = torch.tensor([measures(s, world) for s, world in zip(scores, judged_on, strict=True)])
    columns = {
        name: " ".join(f"{value:.4f}" for value in column)
        for name, column in zip(("ndcg", "auc", "rare"), values.T, strict=True)
    }
    return job | {
        "setting": " ".join(f"{part:g}" for part in own),
        "tried": " ".join(f"{value:.4f}" for value in tried),
        **columns,
        "pull_on_hidden": "" if pull is None else f"{pull:.4f}",
    }


def jobs() -> list[Row]:
    rows = []
    for world in KINDS:
        for loss in (*LOSSES, *IN_BATCH, *REFERENCES):
            if "genres" in loss and world not in ("as it comes", "no genres in taste"):
                continue
            if world.startswith("K =") and (loss in REFERENCES or loss in IN_BATCH or LOSSES[loss][1] == 1):
                continue
            rows.append({"world": world, "loss": loss})
    return rows


if __name__ == "__main__":
    fill("guide", jobs(), work)
