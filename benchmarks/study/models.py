"""What learns from choices: vectors trained by a loss of this package, and what people would use instead.

Each is a generator that gives, epoch after epoch, the function from users [u] to the scores of all items [u, N].
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pairloss import Interactions

from .losses import CREDIT, LOSSES, RULES, Batch, at

Scores = Callable[[Tensor], Tensor]
Setting = tuple[float, ...]

IN_A_POOL = ", in a pool"  # whose items are drawn uniformly, a thousand for all users of a batch, who meet no others


class Factors(torch.nn.Module):
    """Scores s = uᵀi + b, or with a temperature τ the cosine, s = cos(u, i) / τ + b. Vectors start from N(0, 0.1²)."""

    def __init__(self, size: tuple[int, int], dim: int, temperature: float | None, generator: torch.Generator):
        super().__init__()
        starts = (0.1 * torch.randn(rows, dim, generator=generator, device=generator.device) for rows in size)
        self.users, self.items = map(torch.nn.Parameter, starts)
        self.bias = torch.nn.Parameter(torch.zeros(size[1], device=generator.device))
        self.temperature = temperature

    def forward(self, users: Tensor) -> Tensor:
        return self.of(self.users[users], self.items, self.bias)

    def of(self, person: Tensor, item: Tensor, bias: Tensor) -> Tensor:
        if self.temperature:
            person, item = normalize(person, dim=-1) / self.temperature, normalize(item, dim=-1)
        return (person @ item.mT).add_(bias)


def both_ways(table: Tensor) -> tuple[Tensor, Tensor]:
    """Edges [A, B] and [B, A], each divided by the roots of how many meet at its two ends."""
    ends = table.to_sparse().coalesce().indices()
    shares = torch.stack([end.bincount()[end] for end in ends]).prod(0).rsqrt()
    edges = torch.sparse_coo_tensor(ends, shares, table.shape, check_invariants=False)
    return edges.to_sparse_csr(), edges.t().to_sparse_csr()


def graph(train: Interactions, weight: float = 0.0) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Adds to each vector the vectors of its neighbours, up to two steps away (LightGCN, arXiv 2002.02126).

    With a weight, each item first adds the vectors of the items with which it shares tags.
    """
    to_users, to_items = both_ways(train.matrix)
    tagged = both_ways(train.genres) if weight else ()

    def vectors(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        if tagged:
            items = items + weight * (tagged[0] @ (tagged[1] @ items))
        near = to_users @ items, to_items @ users
        far = to_users @ near[1], to_items @ near[0]
        return users + near[0] + far[0], items + near[1] + far[1]

    return vectors


def factors(
    name: str, scoring: str, dim: int, setting: Setting, train: Interactions, seed: int, batch: int
) -> Iterator[Scores]:
    """Vectors trained by the loss of that name.

    The setting is the learning rate, then 1/τ or the weight decay, and for partial credit, CCL, tags and SL@20 a third.
    """
    name, in_a_pool, _ = name.partition(IN_A_POOL)
    (loss, k), (lr, second, *weight) = (LOSSES | RULES | CREDIT)[name], setting
    device = train.users.device
    generator = torch.Generator(device).manual_seed(seed)
    temperature, decay = (None, second) if scoring.startswith("dot") else (1 / second, 0.0)
    model = Factors((train.num_users, train.num_items), dim, temperature, generator)
    model.bias.requires_grad_(not scoring.endswith("no bias"))
    vectors = graph(train, *weight) if scoring.startswith("graph") else lambda *own: own
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=decay, fused=True)
    users, items = train.distinct  # in the order of the users
    counts = users.bincount(minlength=train.num_users)
    log_q = (items.bincount(minlength=train.num_items).clamp(min=1) / len(items)).log()
    start = counts.cumsum(0) - counts
    while True:
        for some in torch.randperm(train.num_users, generator=generator, device=device).split(batch):
            rows = torch.arange(len(some), device=device).repeat_interleave(counts[some])
            first = counts[some].cumsum(0) - counts[some]
            own = items[(start[some] - first)[rows] + torch.arange(len(rows), device=device)]
            known = torch.zeros((len(some), train.num_items), dtype=torch.bool, device=device)
            known[rows, own] = True
            person, item = vectors(model.users, model.items)
            person, bias = person[some], model.bias
            if in_a_pool:
                pool = torch.randint(train.num_items, (1000,), generator=generator, device=device)
                positive = model.of(person[rows, None], item[own, None], bias[own, None, None]).flatten()
                scores, known = model.of(person, item[pool], bias[pool]), known.gather(1, pool.expand(len(some), -1))
            else:
                scores = model.of(person, item, bias)
                positive = at(scores, rows, own)
            drawn = torch.randint(scores.shape[1], (k, len(rows)), generator=generator, device=device)
            met = positive, at(scores, rows, drawn), ~at(known, rows, drawn), pool[drawn] if in_a_pool else drawn
            value = loss(Batch(scores, known, rows, own, *met, temperature or 1.0, log_q, train.genres, *weight))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        still = deepcopy(model).requires_grad_(False)
        still.users.data, still.items.data = vectors(still.users, still.items)
        yield still


def popularity(setting: Setting, train: Interactions, dim: int, seed: int) -> Iterator[Scores]:
    counts = train.items.bincount(minlength=train.num_items).float()
    yield lambda users: counts.repeat(len(users), 1)


def truth(setting: Setting, train: Interactions, dim: int, seed: int) -> Iterator[Scores]:
    """What people truly like, where the data were made from that."""
    yield train.utilities.__getitem__


def ease(setting: Setting, train: Interactions, dim: int, seed: int) -> Iterator[Scores]:
    """EASE (Steck, WWW 2019): a linear model of items on items without a diagonal, by way of the smaller inverse."""
    (ridge,) = setting
    users, items = train.distinct
    chosen = train.matrix.bool().float()
    by_items = train.num_users >= train.num_items
    one, other = (chosen.t(), chosen) if by_items else (chosen, chosen.t())
    gram = one @ other.to_dense()
    gram.diagonal().add_(ridge)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram)).mT  # symmetric, now with its rows one after another
    table = other @ inverse
    if by_items:
        table /= -inverse.diagonal()
    else:
        own = torch.zeros_like(table[:, 0]).index_add_(0, items, table[items, users])
        table = table.mul_(-ridge / (1 - own).unsqueeze(1)).T
    table[users, items] += 1  # the diagonal of the model of items is 0
    yield table.__getitem__


def sparse(train: Interactions) -> Any:
    from scipy.sparse import csr_matrix

    ones = torch.ones(len(train.users)).numpy()
    return csr_matrix((ones, (train.users.numpy(), train.items.numpy())), (train.num_users, train.num_items))


def of_parts(users: Any, items: Any, bias: Any = 0.0) -> Scores:
    users, items, bias = map(torch.tensor, (users, items, bias))  # copies: what learns goes on
    return lambda some: users[some] @ items.T + bias


def implicit(kind: str, setting: Setting, train: Interactions, dim: int, seed: int) -> Iterator[Scores]:
    """Of the library implicit: ALS with its regularisation and alpha, BPR with its learning rate and regularisation."""
    from implicit.cpu import als, bpr
    from numpy.random import default_rng

    made, epoch = (als.AlternatingLeastSquares, 2) if kind == "ALS" else (bpr.BayesianPersonalizedRanking, 30)
    model = made(dim, *setting, num_threads=1, iterations=epoch, random_state=default_rng(seed))
    while True:
        model.fit(sparse(train), show_progress=False)
        yield of_parts(model.user_factors, model.item_factors)


def lightfm(kind: str, setting: Setting, train: Interactions, dim: int, seed: int) -> Iterator[Scores]:
    """WARP or BPR of LightFM. The setting is the learning rate and the penalty of users and items."""
    from lightfm import LightFM

    lr, alpha = setting
    model = LightFM(dim, loss=kind, learning_rate=lr, item_alpha=alpha, user_alpha=alpha, random_state=seed)
    while True:
        model.fit_partial(sparse(train).tocoo(), epochs=3, num_threads=1)
        yield of_parts(model.user_embeddings, model.item_embeddings, model.item_biases)


REFERENCES = {
    "popularity": popularity,
    "truth": truth,
    "EASE": ease,
    **{f"implicit {kind}": partial(implicit, kind) for kind in ("ALS", "BPR")},
    **{f"LightFM {kind}": partial(lightfm, kind.lower()) for kind in ("WARP", "BPR")},
}
STARTS: dict[str, Setting] = {  # where the search for a setting begins
    "EASE": (300,),
    "implicit ALS": (15, 4),
    "implicit BPR": (0.01, 1e-2),
    "LightFM WARP": (0.05, 1e-3),
    **dict.fromkeys(("LightFM BPR", "LightFM WARP on Gowalla"), (0.05, 1e-4)),
    "cosine": (0.01, 6),
    "graph": (0.01, 12),
    "graph with tags": (0.01, 12, 6),
    "dot": (0.01, 1e-4),
    # of more people each has a smaller part of the mean loss, and a smaller decay holds it down
    **dict.fromkeys(("dot on Electronic", "dot on Gowalla"), (0.01, 1e-5)),
    **dict.fromkeys(("hinge", "adaptive hinge", "WARP", *RULES), (0.01, 1)),  # scores as wide as their margin
    "CCL of 100": (0.01, 2, 10),
    "SL@20": (0.01, 5, 2.25),
    "SL@20 on Gowalla": (0.01, 10, 1),
}


def learn(row: dict[str, str], setting: Setting, train: Interactions, seed: int, batch: int) -> Iterator[Scores]:
    name, dim = row["loss"], int(row["dimension"] or 0)
    if name in REFERENCES:
        return REFERENCES[name](setting, train, dim, seed)
    return factors(name, row["scores"], dim, setting, train, seed, batch)
