"""Who chose what: the form in which interactions go from a data set to a sampler."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pairloss import checks


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who chose what, n times: U users, N items and, where they are known, G genres.

    Fields:
        users, items: ids of the n interactions, [n] integer each, in any order
        num_users, num_items: U and N; ids run from 0, and a user or an item may have no interaction
        name: what the data are, for titles and captions
        titles: one per item, N
        genres: which genres each item has, [N, G] bool
        genre_names: one per genre, G
        utilities: how much each user likes each item, [U, N], where the data were made from that
        times: when each interaction took place, in seconds since 1970, [n] int64, in the order of ``users``
            and ``items``, where that is known

    Raises: TypeError for a wrong type or dtype, ValueError for shapes or devices that do not fit and (on the CPU) ids
    outside 0 … U − 1 or 0 … N − 1.

    >>> chosen = Interactions(torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1]), num_users=2, num_items=3)
    >>> chosen.matrix.to_dense()
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    """

    users: Tensor
    items: Tensor
    num_users: int
    num_items: int
    name: str = "interactions"
    titles: list[str] | None = None
    genres: Tensor | None = None
    genre_names: list[str] | None = None
    utilities: Tensor | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        checks.count("num_users", self.num_users, 0)
        checks.count("num_items", self.num_items, 0)
        checks.ids("users", self.users)
        if self.users.ndim != 1:
            raise ValueError(f"users has shape {list(self.users.shape)}; expected one dimension, [n]")
        checks.ids("items", self.items)
        checks.beside("items", self.items, self.users, "users", self.users.shape)
        checks.within("users holds ids", self.users, self.num_users)
        checks.within("items holds ids", self.items, self.num_items)
        if self.num_users * self.num_items > checks.MOST:
            raise ValueError(
                f"num_users was {self.num_users} and num_items {self.num_items}; their table is too large, expected at "
                "most 2**63 - 1 pairs"
            )
        for name, names in (("titles", self.titles), ("genre_names", self.genre_names)):
            if names is not None and not isinstance(names, Sequence):
                raise TypeError(f"{name} must be a list, got {type(names).__name__}")
        if self.titles is not None and len(self.titles) != self.num_items:
            raise ValueError(f"titles has {len(self.titles)} entries; expected {self.num_items}, one per item")
        shape = self.num_items, len(self.genre_names or [])
        checks.optional("genres", self.genres, checks.bools, self.items, "items", shape)
        shape = self.num_users, self.num_items
        checks.optional("utilities", self.utilities, checks.reals, self.items, "items", shape)
        if self.times is not None:
            checks.tensor("times", self.times, "int64", [torch.int64])
            checks.beside("times", self.times, self.items, "items", self.items.shape)

    @cached_property
    def matrix(self) -> Tensor:
        """How often each pair occurs, as a coalesced sparse COO tensor [U, N]. It is made once."""
        return ones_at(torch.stack([self.users.long(), self.items.long()]), (self.num_users, self.num_items))

    @cached_property
    def most_of_a_user(self) -> int:
        """How many different items the user with the most interactions has. Counted once, which waits for a GPU."""
        users = self.matrix.indices()[0]
        return int(users.bincount().amax()) if len(users) else 0


def ones_at(pairs: Tensor, size: Sequence[int]) -> Tensor:
    """A coalesced sparse COO tensor that counts how often each of ``pairs`` [2, n] occurs."""
    once = torch.ones(pairs.shape[1], dtype=torch.float32, device=pairs.device)
    return torch.sparse_coo_tensor(pairs, once, tuple(size), device=pairs.device, check_invariants=True).coalesce()
