"""Published data: MovieLens 100K and Last.fm 2K, read from the archives as they were published."""

import os
from collections import Counter
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import torch

from pairloss import checks
from pairloss.interactions import Interactions

PathLike = str | os.PathLike[str]
FOLDER = "https://files.grouplens.org/datasets"


class Archive(NamedTuple):
    """A zip file of one content, which its digest tells: what is in it need not be checked again."""

    name: str
    sha256: str

    def cached(self, cache: PathLike | None) -> Path:
        """Where the archive lies in ``cache``, downloaded if need be. The default is as the loaders say."""
        path = (
            Path(cache or os.environ.get("PAIRLOSS_CACHE") or "~/.cache/pairloss").expanduser() / Path(self.name).name
        )
        if not self.is_at(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            address = f"{FOLDER}/{self.name}"
            try:
                torch.hub.download_url_to_file(address, str(path), hash_prefix=self.sha256, progress=False)
            except (OSError, HTTPException, RuntimeError) as error:
                raise ConnectionError(
                    f"cannot download {address} ({error}). Without a network, copy the file from there to {path} by "
                    "hand, or use pairloss.datasets.generate(), which needs none"
                ) from error
        return path

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` is the archive."""
        return path.is_file() and sha256(path.read_bytes()).hexdigest() == self.sha256

    def opened(self, archive: PathLike) -> ZipFile:
        """The archive at that path, to be read."""
        path = Path(archive).expanduser()
        if path.exists() and not self.is_at(path):
            raise ValueError(
                f"{path} is not {Path(self.name).name} as it was published (SHA-256 {self.sha256}); expected the zip "
                f"file itself, not unpacked, from {FOLDER}/{self.name}"
            )
        return ZipFile(path)


# The digest of Last.fm is what ISG-Siegen/OmniRec (src/omnirec/data_loaders/hetrec_lastfm.py) and, from a download of
# its own, trongnguyen1010/musicrec-collaborative-filtering (docs/seminar/dataset_verified.json) state.
MOVIELENS = Archive("movielens/ml-100k.zip", "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229")
LASTFM = Archive(
    "hetrec2011/hetrec2011-lastfm-2k.zip", "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c"
)


def _rows(files: ZipFile, member: str, separator: str = "\t", encoding: str = "latin-1") -> list[list[str]]:
    lines = files.read(member).decode(encoding).replace("\r\n", "\n").split("\n")
    return [line.split(separator) for line in lines if line]


def movielens_100k(cache: PathLike | None = None, *, minimum_rating: int = 4) -> Interactions:
    """MovieLens 100K, downloaded at the first call: who rated which film with four stars or five.

    943 users, 1,682 films and, from four stars on, 55,375 interactions. The archive (5 MB) is checked against its
    SHA-256 at every call and read where it lies. The licence of the data forbids passing them on.

    Args:
        cache: folder for the archive. Without it the environment variable PAIRLOSS_CACHE names it, or else it is
            ``~/.cache/pairloss``. It is made if it is missing.
        minimum_rating: the fewest stars that count as an interaction, 1 to 5

    Returns:
        :class:`~pairloss.Interactions` with ``times`` and without ``utilities``, on the CPU.

    Raises: ConnectionError where the archive is neither in the cache nor to be had, OSError where the cache cannot be
    written, ValueError for a ``minimum_rating`` that is not 1 to 5.

    Source: Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, doi:10.1145/2827872.

    >>> films = movielens_100k()  # doctest: +SKIP
    """
    checks.count("minimum_rating", minimum_rating, 1, 5)
    return read_movielens_100k(MOVIELENS.cached(cache), minimum_rating=minimum_rating)


def read_movielens_100k(archive: PathLike, *, minimum_rating: int = 4) -> Interactions:
    """As :func:`movielens_100k`, from an ``ml-100k.zip`` that you have. ValueError where it is another file."""
    checks.count("minimum_rating", minimum_rating, 1, 5)
    with MOVIELENS.opened(archive) as files:
        genre_names = [name for name, _ in _rows(files, "ml-100k/u.genre", "|")]
        films = _rows(files, "ml-100k/u.item", "|")
        ratings = [tuple(map(int, row)) for row in _rows(files, "ml-100k/u.data")]
    item_of = {int(film[0]): number for number, film in enumerate(films)}
    user_of = {user: number for number, user in enumerate(sorted({user for user, *_ in ratings}))}
    chosen = sorted((user_of[u], item_of[i], time) for u, i, stars, time in ratings if stars >= minimum_rating)
    users, items, times = torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 3).T.contiguous()
    genres = torch.tensor([[flag == "1" for flag in film[5:]] for film in films], device="cpu")
    titles = [film[1] for film in films]
    name = "MovieLens 100K"
    return Interactions(users, items, len(user_of), len(films), name, titles, genres, genre_names, times=times)


def lastfm_2k(cache: PathLike | None = None, *, most_tags: int = 100) -> Interactions:
    """Last.fm 2K of HetRec 2011, downloaded at the first call: who played which artist.

    1,892 users, 17,632 artists and 92,834 interactions: the artists that each user played most, 50 at most. How often
    they did is not kept. The archive (3 MB) is checked against its SHA-256 at every call and read where it lies. The
    data are for non-commercial use.

    ``genres`` are tags in the words of these users, the commonest first. Most are genres; "seen live" is not. Of
    11,946 tags the 100 that most artists have describe 58 % of the artists, which have 90 % of the interactions. In
    22 % of the interactions the artist has a tag from the very user, so tags can tell of choices that were held out.

    Args:
        cache: as in :func:`movielens_100k`
        most_tags: how many tags to keep, at least 1: those that most artists have

    Returns:
        :class:`~pairloss.Interactions` without ``utilities`` and ``times``, on the CPU.

    Raises: as :func:`movielens_100k`, ValueError for a ``most_tags`` below 1.

    Source: Cantador, Brusilovsky and Kuflik, Second Workshop on Information Heterogeneity and Fusion in
    Recommender Systems (HetRec 2011), RecSys 2011, doi:10.1145/2043932.2044016.

    >>> artists = lastfm_2k()  # doctest: +SKIP
    """
    checks.count("most_tags", most_tags, 1)
    return read_lastfm_2k(LASTFM.cached(cache), most_tags=most_tags)


def read_lastfm_2k(archive: PathLike, *, most_tags: int = 100) -> Interactions:
    """As :func:`lastfm_2k`, from a ``hetrec2011-lastfm-2k.zip`` that you have. ValueError where it is another file."""
    checks.count("most_tags", most_tags, 1)
    with LASTFM.opened(archive) as files:
        artists = _rows(files, "artists.dat", encoding="utf-8")[1:]  # below the names of the columns
        tag_names = {int(tag): name for tag, name in _rows(files, "tags.dat")[1:]}
        played = [(int(user), int(artist)) for user, artist, _ in _rows(files, "user_artists.dat")[1:]]
        tagged = {(int(row[1]), int(row[2])) for row in _rows(files, "user_taggedartists.dat")[1:]}
    item_of = {int(artist[0]): number for number, artist in enumerate(artists)}
    user_of = {user: number for number, user in enumerate(sorted({user for user, _ in played}))}
    chosen = sorted((user_of[user], item_of[artist]) for user, artist in played)
    users, items = torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 2).T.contiguous()
    # An artist has a tag if anybody gave it. Some tags are of artists that artists.dat does not list.
    number = Counter(tag for artist, tag in tagged if artist in item_of)
    common = sorted(number, key=lambda tag: (-number[tag], tag))[:most_tags]
    genres = torch.tensor([[(artist, tag) in tagged for tag in common] for artist in item_of], device="cpu")
    names = [artist[1] for artist in artists], genres, [tag_names[tag] for tag in common]
    return Interactions(users, items, len(user_of), len(artists), "Last.fm 2K", *names)
