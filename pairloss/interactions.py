"""Who chose what: the form in which interactions go from a data set to a sampler."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pairloss import checks


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who chose what, n times: U users, N items and, where they are known, G genres.

    Fields:
        users, items: ids of the n interactions, [n] integer each, in any order
        num_users, num_items: U and N. Ids run from 0, and a user or an item may have no interaction
        name: what the data are, for titles and captions
        genres: which genres each item has, [N, G] bool
        titles, genre_names: one per item, N, and one per genre, G
        utilities: how much each user likes each item, [U, N], where the data were made from that
        times: when each interaction took place, in seconds since 1970, [n] int64, in the order of ``users``
            and ``items``, where that is known
        user_names, item_names: what each user and each item is called in the table that they come from, U and N

    Raises: TypeError for a wrong type or dtype. ValueError for shapes or devices that do not fit, and on the CPU for
    ids outside 0 … U − 1 or 0 … N − 1.

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
    user_names: Sequence[Any] | None = None
    item_names: Sequence[Any] | None = None

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
            sizes = f"{self.num_users} and num_items {self.num_items}"
            raise ValueError(f"num_users was {sizes}; their table is too large, expected at most 2**63 - 1 pairs")
        items, users = (self.num_items, "item"), (self.num_users, "user")
        for name, number in {"titles": items, "item_names": items, "user_names": users, "genre_names": None}.items():
            names = getattr(self, name)
            if names is not None and not isinstance(names, Sequence):
                raise TypeError(f"{name} must be a list, got {type(names).__name__}")
            if names is not None and number and len(names) != number[0]:
                raise ValueError(f"{name} has {len(names)} entries; expected {number[0]}, one per {number[1]}")
        shape = self.num_items, len(self.genre_names or [])
        checks.optional("genres", self.genres, checks.bools, self.items, "items", shape)
        shape = self.num_users, self.num_items
        checks.optional("utilities", self.utilities, checks.reals, self.items, "items", shape)
        checks.optional("times", self.times, checks.seconds, self.items, "items", self.items.shape)

    @classmethod
    def from_pandas(
        cls, frame: Any, user: str = "user", item: str = "item", time: str | None = None, *, name: str = "interactions"
    ) -> "Interactions":
        """Interactions from a table with a row for each: a pandas or polars DataFrame.

        Users and items are numbered in the order of their first row, and ``user_names`` and ``item_names`` keep what
        they are called. A pair in several rows is several interactions, unless you drop duplicates first.

        Args:
            frame: a pandas.DataFrame or a polars.DataFrame
            user, item: the names of the columns that say who and what. They hold numbers or strings.
            time: the name of the column that says when, in datetimes or in seconds since 1970, or None. A datetime
                without a time zone is in UTC.
            name: what the data are, for titles and captions

        Raises: TypeError for another table or values that are no names or no times, ValueError for an unknown column
        and missing values.

        ::

            frame = pandas.DataFrame({"user": ["Ada", "Bo", "Ada"], "item": ["Alien", "Psycho", "Psycho"]})
            clicks = Interactions.from_pandas(frame)
            clicks.users, clicks.items  # [0, 1, 0] and [0, 1, 1]
            [clicks.item_names[item] for item in (0, 1)]  # ["Alien", "Psycho"]
        """
        codes: list[Tensor] = []
        names: list[list[Any]] = []
        for argument, column in (("user", user), ("item", item)):
            values = _values(frame, argument, column)
            try:
                number = {value: code for code, value in enumerate(dict.fromkeys(values))}
            except TypeError as error:
                kind = next(type(value).__name__ for value in values if not isinstance(value, Hashable))
                raise TypeError(f"{argument}: column {column!r} holds {kind}; expected numbers or strings") from error
            codes.append(torch.tensor([number[value] for value in values], dtype=torch.int64, device="cpu"))
            names.append(list(number))
        times = None
        if time is not None:
            seconds = [_seconds(time, value) for value in _values(frame, "time", time)]
            times = torch.tensor(seconds, dtype=torch.int64, device="cpu")
        sizes = len(names[0]), len(names[1])
        return cls(codes[0], codes[1], *sizes, name, times=times, user_names=names[0], item_names=names[1])

    from_polars = from_pandas

    @classmethod
    def from_scipy(cls, matrix: Any, *, name: str = "interactions") -> "Interactions":
        """Interactions from a scipy sparse matrix or array [U, N]: one for each entry that is not 0.

        Raises: TypeError for anything else.
        """
        if not hasattr(matrix, "tocoo"):
            raise TypeError(f"matrix must be a scipy sparse matrix or array, got {type(matrix).__name__}")
        entries = matrix.tocoo()
        kept = entries.data != 0
        rows, columns = (torch.tensor(part[kept], device="cpu").long() for part in (entries.row, entries.col))
        num_users, num_items = matrix.shape
        return cls(rows, columns, num_users, num_items, name)

    def split(
        self, share: float = 0.1, *, by_time: bool = False, generator: torch.Generator | None = None
    ) -> tuple["Interactions", "Interactions"]:
        """Hold out a share of the interactions of each user, the latest ones or any.

        Of two interactions or more at least one is held out, and at least one stays. Where a pair occurs several
        times, some of it may be held out and some stay.

        Args:
            share: of the interactions of each user, above 0 and at most 1, rounded to whole interactions
            by_time: whether to hold out the latest by ``times``
            generator: source of randomness, on the device of the interactions

        Returns: what stays and what is held out, both with all users and items.

        Raises: TypeError for wrong types, ValueError for another share and for ``by_time`` without ``times``.

        >>> data = Interactions(torch.tensor([0, 0, 0, 1]), torch.arange(4), 2, 4, times=torch.tensor([7, 9, 8, 5]))
        >>> [part.items.tolist() for part in data.split(by_time=True)]
        [[0, 2, 3], [1]]
        """
        checks.number("share", share, above_0=True, at_most=1)
        checks.flag("by_time", by_time)
        if by_time and self.times is None:
            raise ValueError("times was None; by_time needs to know when each interaction took place")
        order = torch.randperm(len(self.users), generator=generator, device=self.users.device)
        if by_time and self.times is not None:
            order = order[self.times[order].argsort(descending=True, stable=True)]
        order = order[self.users[order].argsort(stable=True)]
        users = self.users[order].long()
        counts = users.bincount(minlength=self.num_users)
        place = torch.arange(len(users), device=users.device) - (counts.cumsum(0) - counts)[users]
        number = torch.minimum((counts * share).round().long().clamp(min=1), counts - 1)
        held_out = place < number[users]
        stays, out = (self._part(order[which].sort().values) for which in (~held_out, held_out))
        return stays, out

    def _part(self, rows: Tensor) -> "Interactions":
        times = None if self.times is None else self.times[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], times=times)

    @cached_property
    def matrix(self) -> Tensor:
        """How often each pair occurs, as a coalesced sparse COO tensor [U, N]. It is made once."""
        return ones_at(torch.stack([self.users.long(), self.items.long()]), (self.num_users, self.num_items))

    @cached_property
    def distinct(self) -> tuple[Tensor, Tensor]:
        """Users and items of the entries of ``matrix``, in order: dense tensors, which torch.compile accepts."""
        users, items = self.matrix.indices()
        return users, items

    @cached_property
    def most_of_a_user(self) -> int:
        """How many different items the user with the most interactions has. Counted once, which waits for a GPU."""
        users, _ = self.distinct
        return int(users.bincount().amax()) if len(users) else 0


def ones_at(pairs: Tensor, size: Sequence[int]) -> Tensor:
    """A coalesced sparse COO tensor that counts how often each of ``pairs`` [2, n] occurs."""
    once = torch.ones(pairs.shape[1], dtype=torch.float32, device=pairs.device)
    return torch.sparse_coo_tensor(pairs, once, tuple(size), device=pairs.device, check_invariants=True).coalesce()


def _values(frame: Any, argument: str, name: str) -> list[Any]:
    """What a column of a pandas or polars DataFrame holds."""
    if not hasattr(frame, "columns"):
        raise TypeError(f"frame must be a pandas.DataFrame or a polars.DataFrame, got {type(frame).__name__}")
    columns = list(frame.columns)
    if columns.count(name) != 1:
        known = ", ".join(map(repr, columns))
        raise ValueError(f"{argument} was {name!r}; expected one of the columns {known}, and one column of that name")
    column = frame[name]
    values: list[Any] = column.to_list()
    missing = int((column.isna() if hasattr(column, "isna") else column.is_null()).sum())
    missing = missing or sum(value != value for value in values)
    if missing:
        raise ValueError(f"{argument}: column {name!r} has {missing} missing values; drop these rows, or name them")
    return values


def _seconds(column: str, value: Any) -> int:
    """A time in whole seconds since 1970."""
    if hasattr(value, "timestamp"):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, (int, float)):
        return int(value)
    raise TypeError(f"time: column {column!r} holds {type(value).__name__}; expected datetimes or numbers of seconds")
