"""Data of real people, and generated ones, split into choices to learn from, to validate with and to test by."""

import functools
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

import pairloss
from pairloss import Interactions

from . import DEVICE
from .chapters import SEED, TUNED_FOR

WORLDS, RULED, CREDITED, FRESH = MADE = "made worlds", "worlds for rules", "worlds for credit", "fresh worlds"
SEEDS = {name: 1000 * place for place, name in enumerate(MADE, 4)} | dict.fromkeys(TUNED_FOR, SEED)  # of the first
PUBLIC = {"Health": "amazon2014-health", "Electronic": "amazon2014-electronic", "Gowalla": "gowalla"}
SIZES = {  # users in a batch, splits that tune and that judge, one of how many users validates, epochs without a gain
    **dict.fromkeys(MADE, (64, 4, 8, 1, 6)),
    **dict.fromkeys(TUNED_FOR, (0, 4, 10, 0, 0)),
    **dict.fromkeys(("generated films", "MovieLens 100K"), (64, 2, 5, 1, 6)),
    "Health": (64, 2, 3, 1, 6),
    "Last.fm 2K": (256, 1, 3, 1, 6),
    "Electronic": (256, 1, 3, 6, 6),
    "citeulike-a": (512, 1, 3, 2, 6),
    "Gowalla": (512, 1, 1, 7, 12),
}


class Split(NamedTuple):
    """Three parts of one set of interactions, and how long the lists are that are judged."""

    train: Interactions
    valid: Interactions
    test: Interactions
    k: int


@functools.cache
def load(name: str) -> tuple[Interactions, Interactions | None]:
    """The interactions of a data set and, where its test choices are published, those."""
    if name in PUBLIC:
        return pairloss.datasets.public_split(PUBLIC[name])
    readers = {
        "generated films": pairloss.datasets.generate,
        "MovieLens 100K": pairloss.datasets.movielens_100k,
        "Last.fm 2K": pairloss.datasets.lastfm_2k,
        "citeulike-a": functools.partial(pairloss.datasets.citeulike_a, most_tags=20_000),
    }
    return readers[name](), None


@functools.cache
def split(name: str, seed: int) -> Split:
    """A tenth of all choices tests and a tenth of the rest validates. Of a public split a tenth of each user's does."""
    data, test = (pairloss.datasets.generate(SEEDS[name] + seed, num_users=500), None) if name in SEEDS else load(name)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.users), generator=generator)
    if test is None:
        tenth = len(order) // 10
        return Split(*(part(data, rows) for rows in order.tensor_split((tenth, 2 * tenth))[::-1]), k=10)
    order = order[data.users[order].argsort(stable=True)]  # users in their order, the choices of each in any order
    users = data.users[order]
    counts = users.bincount(minlength=data.num_users)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[users]
    validates = place < (counts // 10).clamp(min=1)[users]
    return Split(part(data, order[~validates]), part(data, order[validates]), part(test), k=20)


def part(data: Interactions, rows: Tensor | slice = slice(None)) -> Interactions:
    tables = {name: getattr(data, name) for name in ("genres", "utilities")}
    moved = {name: None if table is None else table.to(DEVICE) for name, table in tables.items()}
    return replace(data, users=data.users[rows].to(DEVICE), items=data.items[rows].to(DEVICE), times=None, **moved)


def joined(one: Interactions, other: Interactions) -> Interactions:
    users, items = torch.cat([one.users, other.users]), torch.cat([one.items, other.items])
    return Interactions(users, items, one.num_users, one.num_items, one.name)
