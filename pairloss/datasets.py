r"""Interactions to learn from: a generated set whose truth is known, and MovieLens 100K.

Both come as :class:`~pairloss.datasets.Interactions`. Nothing is downloaded unless MovieLens is asked for.
"""

import hashlib
import os
import tempfile
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import torch
from torch import Tensor

from pairloss import checks

MOVIELENS_100K = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MOVIELENS_100K_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
_MOST_BYTES = 2**27  # many times what any file of the archive has

# For the made films: the words of a title tell its genre. The commonest genre comes first.
_NOUNS = {
    "Drama": "Daughter Promise Orchard Letter Inheritance Silence Harbour Farewell",
    "Comedy": "Wedding Landlord Holiday Cousin Casserole Misunderstanding Parrot Dentist",
    "Action": "Ambush Pursuit Countdown Commando Explosion Bodyguard Convoy Rampage",
    "Thriller": "Witness Hostage Accomplice Signal Stranger Deadline Passenger Wiretap",
    "Romance": "Kiss Dance Bouquet Serenade Valentine Balcony Sweetheart Proposal",
    "Adventure": "Voyage Island Caravan Expedition Jungle Treasure Summit Compass",
    "Crime": "Heist Detective Racket Verdict Smuggler Alibi Informer Vault",
    "Sci-Fi": "Asteroid Android Galaxy Reactor Colony Paradox Starship Antenna",
    "Horror": "Cellar Coffin Werewolf Curse Scream Graveyard Mannequin Fog",
    "Mystery": "Cipher Lighthouse Portrait Riddle Footprint Mansion Telegram Shadow",
    "Musical": "Melody Chorus Tango Overture Nightclub Trumpet Encore Rehearsal",
    "Western": "Saloon Sheriff Stagecoach Prairie Outlaw Canyon Mustang Spur",
}
_ADJECTIVES = (
    "Last Crimson Hidden Silver Broken Distant Secret Golden Burning Lonely "
    "Midnight Forgotten Wild Second Frozen Velvet Little Electric Northern Impossible"
)


class Interactions(NamedTuple):
    """Who chose what, n times: U users, N items and G genres.

    Fields:
        name: what the data are, for titles and captions
        users, items: ids of the n interactions, [n] int64 each, sorted by user and item, each pair once
        num_users: U; ids run from 0 to U − 1, and a user may have no interaction
        titles: one an item, N; item ids run from 0 to N − 1, and an item may have no interaction
        genres: which genres each item has, [N, G] bool
        genre_names: one a genre, G
        utilities: how much each user likes each item, [U, N] float64, where the data were made from
            that; None where nobody knows
    """

    name: str
    users: Tensor
    items: Tensor
    num_users: int
    titles: list[str]
    genres: Tensor
    genre_names: list[str]
    utilities: Tensor | None

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.titles)


def generate(
    seed: int = 0, *, num_users: int = 1000, num_items: int = 1000, genre_share: float = 0.8, skew: float = 1.3
) -> Interactions:
    r"""Make interactions from tastes that are known: 1,000 users, 1,000 films, about 30,000 choices.

    Films have one to three of twelve genres. Users and films are unit vectors whose genre part carries
    ``genre_share`` of the squared length and a Gaussian part in 8 dimensions the rest; the genre part of a
    user is drawn from Dirichlet(¼). Film i at popularity rank r (from 0, in random order) is worth

    .. math:: \text{utility}_{ui} = 8 \langle u, i \rangle - \text{skew} \cdot \log(r_i + 5)

    to user u, who chooses min(6 + Geometric(1/24), N/6) films without replacement, each with a probability
    in proportion to :math:`e^\text{utility}` (the largest sums of utility and Gumbel noise).

    Args:
        seed: every seed is another world; the same seed gives the same one. torch's own random state
            is borrowed and put back, so call this from one thread at a time.
        num_users: U, at least 1
        num_items: N, at least 12
        genre_share: how much of taste is genre, between 0 and 1
        skew: how unequal the popularity of the films is, from 0, the same for all, to 100

    Returns:
        :class:`~pairloss.datasets.Interactions`, with ``utilities``, on the CPU.

    Raises:
        TypeError: for a wrong type
        ValueError: for a number outside its range

    >>> films = generate()
    >>> films.genres.shape, films.titles[0]
    (torch.Size([1000, 12]), 'The Last Daughter')
    """
    checks.count("seed", seed, 0, 2**63 - 1)
    checks.count("num_users", num_users, 1)
    checks.count("num_items", num_items, 12)
    checks.number("genre_share", genre_share, above_0=False, at_most=1)
    checks.number("skew", skew, above_0=False, at_most=100)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        share = torch.arange(1, len(_NOUNS) + 1, dtype=torch.float64) ** -0.7
        torch.default_generator.manual_seed(int(seed))
        drawn = _ordered_draws(share.log().expand(num_items, -1))
        wanted = torch.randint(1, 4, (num_items, 1))
        genres = torch.zeros(num_items, len(_NOUNS), dtype=torch.bool).scatter_(
            1, drawn, torch.arange(len(_NOUNS)) < wanted
        )
        tastes = torch.distributions.Dirichlet(torch.full((len(_NOUNS),), 0.25, dtype=torch.float64))
        people = _vectors(tastes.sample(torch.Size([num_users])), genre_share)
        films = _vectors(genres.double(), genre_share)
        rank = torch.randperm(num_items)
        utilities = 8 * people @ films.T - float(skew) * torch.log(rank.double() + 5)
        chosen = _ordered_draws(utilities)
        geometric = torch.empty(num_users, 1, dtype=torch.float64).geometric_(1 / 24)
        counts = (6 + geometric).clamp(max=num_items // 6)
        drawn_so_far = torch.arange(num_items) < counts
        likes = torch.zeros(num_users, num_items, dtype=torch.bool).scatter_(1, chosen, drawn_so_far)
    users, items = likes.nonzero(as_tuple=True)
    titles = _titles([list(_NOUNS)[first] for first in drawn[:, 0].tolist()])
    return Interactions("generated films", users, items, num_users, titles, genres, list(_NOUNS), utilities)


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
        :class:`~pairloss.datasets.Interactions` without ``utilities``, on the CPU.

    Raises:
        ConnectionError: where the archive is not in the cache and cannot be downloaded
        TypeError: for a ``cache`` that is no path or a ``minimum_rating`` that is no int
        ValueError: for a download that is not the expected archive, a ``minimum_rating`` that is not 1 to 5

    Source: Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, doi:10.1145/2827872.

    >>> films = movielens_100k()  # doctest: +SKIP
    """
    checks.count("minimum_rating", minimum_rating, 1, 5)
    if cache is None:
        cache = os.environ.get("PAIRLOSS_CACHE") or "~/.cache/pairloss"
    archive = _path("cache", cache) / "ml-100k.zip"
    if not archive.is_file() or _sha256(archive.read_bytes()) != MOVIELENS_100K_SHA256:
        _download(archive)
    return read_movielens_100k(archive, minimum_rating=minimum_rating)


def read_movielens_100k(archive: str | os.PathLike[str], *, minimum_rating: int = 4) -> Interactions:
    """Read an archive in the format of MovieLens 100K: a zip file with u.data, u.item and u.genre in ``ml-100k/``.

    Ids in the files may have gaps: items are numbered in the order of u.item, users in that of their ids.

    Args:
        archive: path of the zip file; it is only read
        minimum_rating: the fewest stars that count as an interaction, 1 to 5

    Returns:
        :class:`~pairloss.datasets.Interactions` without ``utilities``, on the CPU.

    Raises:
        FileNotFoundError: where there is no such file
        TypeError: for an ``archive`` that is no path or a ``minimum_rating`` that is no int
        ValueError: for a ``minimum_rating`` that is not 1 to 5, for a broken archive, a missing file, and a
            line that does not fit the format, by its number

    >>> read_movielens_100k("ml-100k.zip")  # doctest: +SKIP
    """
    checks.count("minimum_rating", minimum_rating, 1, 5)
    path = _path("archive", archive)
    genre_names: list[str] = []
    for place, (name, number) in _rows(path, "u.genre", 2):
        if _integer(place, number) != len(genre_names):
            raise ValueError(f"{place} has the number {number}; expected {len(genre_names)}, in the order of the flags")
        genre_names.append(name)
    item_of: dict[int, int] = {}
    titles: list[str] = []
    flags: list[list[bool]] = []
    for place, row in _rows(path, "u.item", 5 + len(genre_names)):
        item = _integer(place, row[0])
        if item in item_of:
            raise ValueError(f"{place} lists item {item} again; expected each once")
        item_of[item] = len(titles)
        titles.append(row[1])
        if not set(row[5:]) <= {"0", "1"}:
            raise ValueError(f"{place} has the genre flags {' '.join(row[5:])}; expected each 0 or 1")
        flags.append([flag == "1" for flag in row[5:]])
    ratings: dict[tuple[int, int], int] = {}
    for place, row in _rows(path, "u.data", 4, "\t"):
        user, item, rating, _ = (_integer(place, field) for field in row)
        if not 1 <= rating <= 5:
            raise ValueError(f"{place} has the rating {rating}; expected 1 to 5")
        if item not in item_of:
            raise ValueError(f"{place} rates item {item}, which u.item does not list")
        if (user, item_of[item]) in ratings:
            raise ValueError(f"{place} rates item {item} for user {user} again; expected each pair once")
        ratings[user, item_of[item]] = rating
    users = sorted({user for user, _ in ratings})
    user_of = {user: number for number, user in enumerate(users)}
    chosen = sorted((user_of[user], item) for (user, item), rating in ratings.items() if rating >= minimum_rating)
    chosen_users, chosen_items = torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 2).T.contiguous()
    genres = torch.tensor(flags, dtype=torch.bool, device="cpu").reshape(len(titles), len(genre_names))
    return Interactions("MovieLens 100K", chosen_users, chosen_items, len(users), titles, genres, genre_names, None)


def _ordered_draws(log_weights: Tensor) -> Tensor:
    """For each row all columns in the order in which they are drawn without replacement, by Gumbel noise."""
    gumbel = -torch.log(-torch.log(torch.rand(log_weights.shape, dtype=torch.float64)))
    return (log_weights + gumbel).argsort(1, descending=True)


def _vectors(genre_part: Tensor, genre_share: float) -> Tensor:
    other = torch.randn(len(genre_part), 8, dtype=torch.float64)
    parts = [torch.nn.functional.normalize(part) for part in (genre_part, other)]
    return torch.cat([genre_share**0.5 * parts[0], (1 - genre_share) ** 0.5 * parts[1]], 1)


def _titles(genres: list[str]) -> list[str]:
    adjectives = _ADJECTIVES.split()
    made = dict.fromkeys(_NOUNS, 0)
    titles: list[str] = []
    for genre in genres:
        # Both words move on at every film of a genre; 20 adjectives beside 8 nouns meet again after 40 steps,
        # and the extra step then makes all 160 pairs come once. What follows are sequels.
        sequel, number = divmod(made[genre], 160)
        made[genre] += 1
        words = adjectives[(number + number // 40) % 20], _NOUNS[genre].split()[number % 8]
        titles.append(f"The {' '.join(words)}" + (f" {sequel + 1}" if sequel else ""))
    return titles


def _path(name: str, value: str | os.PathLike[str]) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {type(value).__name__}")
    return Path(value).expanduser()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(archive: Path) -> None:
    """Fetch the archive, check it, and only then put it in its place, whole."""
    if archive.is_dir():
        raise ValueError(f"{archive} is a folder; expected the archive, or nothing yet")
    try:
        with urlopen(MOVIELENS_100K, timeout=60) as response:
            content = response.read(_MOST_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        wrong = " What lies there now is not that file." if archive.exists() else ""
        raise ConnectionError(
            f"cannot download {MOVIELENS_100K} ({error}). Without a network, copy the file to {archive} by hand, "
            f"or use pairloss.datasets.generate(), which needs none.{wrong}"
        ) from error
    if _sha256(content) != MOVIELENS_100K_SHA256:
        raise ValueError(
            f"{len(content)} bytes came from {MOVIELENS_100K} with the SHA-256 {_sha256(content)}; expected "
            f"{MOVIELENS_100K_SHA256}. The download broke off or the file has changed; nothing was kept"
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as beside:
        whole = Path(beside) / archive.name
        whole.write_bytes(content)
        whole.replace(archive)


def _rows(archive: Path, name: str, columns: int, separator: str = "|") -> list[tuple[str, list[str]]]:
    """The rows of one file of the archive, each with the place where it stands."""
    with archive.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as opened:
                member = opened.getinfo(f"ml-100k/{name}")
                text = opened.read(member).decode("latin-1") if member.file_size < _MOST_BYTES else None
        except KeyError as error:
            raise ValueError(f"{archive} has no ml-100k/{name}; expected an archive like MovieLens 100K") from error
        except Exception as error:  # damage can surface in zipfile or in any of its decompressors
            raise ValueError(f"{archive} is not a complete zip archive ({error!r}); download it again") from error
    if text is None:
        raise ValueError(f"{archive} unpacks to {member.file_size} bytes in ml-100k/{name}; expected far fewer")
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would split at Latin-1 letters too
        line = line.removesuffix("\r")
        if line:
            row, place = line.split(separator), f"{name}, line {number},"
            if len(row) != columns:
                raise ValueError(f"{place} has {len(row)} columns; expected {columns}")
            rows.append((place, row))
    return rows


def _integer(place: str, field: str) -> int:
    if not (field.isascii() and field.isdigit()):
        raise ValueError(f"{place} has {field!r}; expected an integer")
    return int(field)
