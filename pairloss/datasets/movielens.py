"""MovieLens 100K: who rated which film."""

import os

import torch

from pairloss import checks
from pairloss.datasets import archives
from pairloss.interactions import Interactions

ADDRESS = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"


def movielens_100k(cache: str | os.PathLike[str] | None = None, *, minimum_rating: int = 4) -> Interactions:
    """MovieLens 100K, downloaded at the first call: who rated which film with four stars or five.

    943 users, 1,682 films and, from four stars on, 55,375 interactions. The archive (5 MB) is checked
    against its SHA-256 at every call, and is read where it lies: nothing is unpacked. A download that
    breaks off leaves nothing behind. The licence of the data forbids passing them on.

    Args:
        cache: folder for the archive; without it the environment variable PAIRLOSS_CACHE, or else
            ``~/.cache/pairloss``. It is made if it is missing.
        minimum_rating: the fewest stars that count as an interaction, 1 to 5

    Returns:
        :class:`~pairloss.Interactions` with ``times`` and without ``utilities``, on the CPU.

    Raises:
        ConnectionError: where the archive is not in the cache and cannot be downloaded
        OSError: where the cache cannot be written, said before anything is downloaded
        TypeError: for a ``cache`` that is no path or a ``minimum_rating`` that is no int
        ValueError: for a download that is not the expected archive, an empty ``cache`` or one of no such user,
            a ``minimum_rating`` that is not 1 to 5

    Source: Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, doi:10.1145/2827872.

    >>> films = movielens_100k()  # doctest: +SKIP
    """
    checks.count("minimum_rating", minimum_rating, 1, 5)
    archive = archives.cached("ml-100k.zip", ADDRESS, SHA256, cache)
    return read_movielens_100k(archive, minimum_rating=minimum_rating)


def read_movielens_100k(archive: str | os.PathLike[str], *, minimum_rating: int = 4) -> Interactions:
    """Read an archive in the format of MovieLens 100K: a zip file with u.data, u.item and u.genre in ``ml-100k/``.

    Ids in the files may have gaps: items are numbered in the order of u.item, users in that of their ids.

    Args:
        archive: path of the zip file; it is only read
        minimum_rating: the fewest stars that count as an interaction, 1 to 5

    Returns:
        :class:`~pairloss.Interactions` with ``times`` and without ``utilities``, on the CPU.

    Raises:
        FileNotFoundError: where there is no such file
        TypeError: for an ``archive`` that is no path or a ``minimum_rating`` that is no int
        ValueError: for a ``minimum_rating`` that is not 1 to 5, for a folder, a broken archive, a missing file, and a
            line that does not fit the format, by its number

    >>> read_movielens_100k("ml-100k.zip")  # doctest: +SKIP
    """
    checks.count("minimum_rating", minimum_rating, 1, 5)
    path = archives.path("archive", archive)
    genre_names: list[str] = []
    for place, (name, number) in archives.rows(path, "ml-100k/u.genre", 2):
        if archives.integer(place, number) != len(genre_names):
            raise ValueError(f"{place} has the number {number}; expected {len(genre_names)}, in the order of the flags")
        genre_names.append(name)
    item_of: dict[int, int] = {}
    titles: list[str] = []
    flags: list[list[bool]] = []
    for place, row in archives.rows(path, "ml-100k/u.item", 5 + len(genre_names)):
        item = archives.integer(place, row[0])
        if item in item_of:
            raise ValueError(f"{place} lists item {item} again; expected each once")
        item_of[item] = len(titles)
        titles.append(row[1])
        if not set(row[5:]) <= {"0", "1"}:
            raise ValueError(f"{place} has the genre flags {' '.join(row[5:])}; expected each 0 or 1")
        flags.append([flag == "1" for flag in row[5:]])
    ratings: dict[tuple[int, int], tuple[int, int]] = {}
    for place, row in archives.rows(path, "ml-100k/u.data", 4, "\t"):
        user, item, rating, time = (archives.integer(place, field) for field in row)
        if not 1 <= rating <= 5:
            raise ValueError(f"{place} has the rating {rating}; expected 1 to 5")
        if item not in item_of:
            raise ValueError(f"{place} rates item {item}, which u.item does not list")
        if (user, item_of[item]) in ratings:
            raise ValueError(f"{place} rates item {item} for user {user} again; expected each pair once")
        ratings[user, item_of[item]] = rating, time
    users = sorted({user for user, _ in ratings})
    user_of = {user: number for number, user in enumerate(users)}
    chosen = sorted(
        (user_of[user], item, time) for (user, item), (rating, time) in ratings.items() if rating >= minimum_rating
    )
    chosen_users, chosen_items, times = (
        torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 3).T.contiguous()
    )
    genres = torch.tensor(flags, dtype=torch.bool, device="cpu").reshape(len(titles), len(genre_names))
    return Interactions(
        chosen_users, chosen_items, len(users), len(titles), "MovieLens 100K", titles, genres, genre_names, times=times
    )
