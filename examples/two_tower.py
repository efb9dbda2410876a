"""Two towers with features: cosine scores, negatives from the batch, new items, and the ten best by one product.

python examples/two_tower.py [--features none]

A tenth of the films have no choice to learn from, as if they were new. The tower of the items makes a vector from the
genres of a film and, for a film that it has met, from a vector of its own. The tower of the people makes one from what
they chose. Without genres nothing is known of a new film.
"""

import argparse

import torch
from torch import Tensor
from torch.nn.functional import normalize

import pairloss
from pairloss import Interactions, metrics


class Items(torch.nn.Module):
    """Vectors of length 1 for all items, [N, dim], from features [N, F] and, for items that are met, from ids."""

    def __init__(self, features: Tensor, dim: int):
        super().__init__()
        self.register_buffer("features", features / features.sum(1, keepdim=True).clamp(min=1))
        self.ids = torch.nn.Parameter(0.1 * torch.randn(len(features), dim))
        hidden = torch.nn.Linear(features.shape[1], 2 * dim), torch.nn.ReLU(), torch.nn.Linear(2 * dim, dim)
        self.of_features = torch.nn.Sequential(*hidden)

    def forward(self, new: Tensor) -> Tensor:
        """``new`` [N] bool are items whose id says nothing: those that nobody chose, and some at random to learn it."""
        return normalize(self.of_features(self.features) + self.ids.masked_fill(new.unsqueeze(1), 0))


class People(torch.nn.Module):
    """Vectors of length 1 for people, [u, dim], from the items they chose, [u, N]."""

    def __init__(self, dim: int):
        super().__init__()
        self.turn = torch.nn.Linear(dim, dim)

    def forward(self, chosen: Tensor, items: Tensor) -> Tensor:
        mean = chosen @ items / chosen.sum(1, keepdim=True).clamp(min=1)
        return normalize(mean + self.turn(mean))


def learn(train: Interactions, features: Tensor, dim: int = 32, epochs: int = 30, temperature: float = 0.15) -> Tensor:
    """Scores of all items, the new ones too, for all people, [U, N]."""
    items, people = Items(features, dim), People(dim)
    optimizer = torch.optim.Adam([*items.parameters(), *people.parameters()], lr=3e-3)
    chosen = train.matrix.to_dense().clamp(max=1)
    counts = train.items.bincount(minlength=train.num_items)
    log_q = (counts.clamp(min=1) / len(train.items)).log()
    for _ in range(epochs):
        for rows in torch.randperm(len(train.users)).split(512):
            u, i = train.users[rows], train.items[rows]
            vectors = items((counts == 0) | (torch.rand(train.num_items) < 0.3))
            history = chosen[u]
            history[torch.arange(len(u)), i] = 0  # nobody is told the answer
            scores = people(history, vectors) @ vectors[i].T / temperature
            real = ~chosen[u][:, i].bool()
            loss = pairloss.in_batch_softmax_loss(scores, users=u, items=i, log_q=log_q[i], negative_mask=real)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        vectors = items(counts == 0)
        # To serve many items, give `vectors` to faiss.IndexFlatIP and ask it for the vectors of the people.
        return people(chosen, vectors) @ vectors.T


def quality(features: str = "genres", seed: int = 0, **options: int) -> tuple[float, float, Tensor]:
    """NDCG@10 of held-out films that are known, the same of new films among themselves, and the scores."""
    torch.manual_seed(seed)
    data = pairloss.datasets.generate(seed)
    new = torch.rand(data.num_items) < 0.1
    chosen = data.matrix.to_dense().bool()
    rest, test = data.split()
    train = Interactions(*(part[~new[rest.items]] for part in (rest.users, rest.items)), *chosen.shape)
    table = data.genres.float() if features == "genres" else torch.zeros(data.num_items, 1)
    scores = learn(train, table, **options)
    seen, held_out = rest.matrix.to_dense().bool(), test.matrix.to_dense().bool()
    known = metrics.ndcg(scores, held_out & ~new, exclude=seen | new)
    cold = metrics.ndcg(scores, chosen & new, exclude=(~new).expand_as(chosen))
    return known.item(), cold.item(), scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", choices=("genres", "none"), default="genres")
    known, cold, scores = quality(parser.parse_args().features)
    print(f"NDCG@10: films that are known {known:.3f}, new films among themselves {cold:.3f}")
    print("the ten best for person 0:", metrics.top_k(scores[:1], 10)[0].tolist())
