"""Published data: MovieLens 100K, Last.fm 2K, citeulike-a and three public splits, read from the published files."""

import os
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import torch

from pairloss import checks
from pairloss.interactions import Interactions

PathLike = str | os.PathLike[str]
GROUPLENS = "https://files.grouplens.org/datasets"
CITEULIKE = "https://raw.githubusercontent.com/js05212/citeulike-a/91b603922d7f2d3db18071d4798bf78c9c5d1680"
PUBLIC = (
    "https://raw.githubusercontent.com/Tiny-Snow/IR-Benchmark-Dataset/18bbbe892301c6013579ae70f3cab9d666878e23/data_iid"
)


class Published(NamedTuple):
    """A file of one content, which its digest tells: what is in it need not be checked again."""

    address: str
    sha256: str
    name: str  # in the cache

    def cached(self, cache: PathLike | None) -> Path:
        """Where the file lies in ``cache``, downloaded if need be. The default is as the loaders say."""
        path = Path(cache or os.environ.get("PAIRLOSS_CACHE") or "~/.cache/pairloss").expanduser() / self.name
        if not self.is_at(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(self.address, str(path), hash_prefix=self.sha256, progress=False)
            except (OSError, HTTPException, RuntimeError) as error:
                raise ConnectionError(
                    f"cannot download {self.address} ({error}). Without a network, copy the file from there to {path} "
                    "by hand, or use pairloss.datasets.generate(), which needs none"
                ) from error
        return path

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` is this one."""
        return path.is_file() and sha256(path.read_bytes()).hexdigest() == self.sha256

    def opened(self, archive: PathLike) -> ZipFile:
        """The archive at that path, to be read."""
        path = Path(archive).expanduser()
        if path.exists() and not self.is_at(path):
            raise ValueError(
                f"{path} is not {self.name} as it was published (SHA-256 {self.sha256}); expected the zip file itself, "
                f"not unpacked, from {self.address}"
            )
        return ZipFile(path)


# The digest of Last.fm is what ISG-Siegen/OmniRec (src/omnirec/data_loaders/hetrec_lastfm.py) and, from a download of
# its own, trongnguyen1010/musicrec-collaborative-filtering (docs/seminar/dataset_verified.json) state.
MOVIELENS = Published(
    f"{GROUPLENS}/movielens/ml-100k.zip",
    "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "ml-100k.zip",
)
LASTFM = Published(
    f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip",
    "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
    "hetrec2011-lastfm-2k.zip",
)
LIBRARIES = Published(
    f"{CITEULIKE}/users.dat",
    "53211d82c14ff261e595634d285ed9fbf8049cf81dcb751d924d695b9612a02c",
    "citeulike-a-users.dat",
)
TAGS = Published(
    f"{CITEULIKE}/item-tag.dat",
    "0f7b432796a5038ed2631c02b99d70e636123673afc11bf9e051de5b49467890",
    "citeulike-a-item-tag.dat",
)
SPLITS = {
    name: Published(f"{PUBLIC}/{name}/proc.zip", digest, f"{name}.zip")
    for name, digest in {
        "amazon2014-electronic": "7c67d05b3792aebaa46a7c46af438c574263f9e34e8a4ae67a40de17dc094ee0",
        "amazon2014-health": "56f9e4b317903b99669b7f8b9ac527a71d30f59e736138a1ae9b8aca4c7e1779",
        "gowalla": "6412ab68a7484a2edf762f715b2397a977b40cfedad7efefd1c493608ffc1bdf",
    }.items()
}


def _rows(files: ZipFile, member: str, separator: str = "\t", encoding: str = "latin-1") -> list[list[str]]:
    lines = files.read(member).decode(encoding).replace("\r\n", "\n").split("\n")
    return [line.split(separator) for line in lines if line]


def _commonest(tagged: set[tuple[int, int]], items: Iterable[int], most: int) -> tuple[torch.Tensor, list[int]]:
    """Which of ``items`` has which of the tags that most of them have, [N, G] bool, and these tags."""
    number = Counter(tag for _, tag in tagged)
    common = sorted(number, key=lambda tag: (-number[tag], tag))[:most]
    row, column = ({one: place for place, one in enumerate(some)} for some in (items, common))
    table = torch.zeros(len(row), len(column), dtype=torch.bool, device="cpu")
    for item, tag in tagged:
        if tag in column:
            table[row[item], column[tag]] = True
    return table, common


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

    ``genres`` are tags in the words of these users, the commonest first. Most are genres, but "seen live" is not. Of
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
    genres, common = _commonest({pair for pair in tagged if pair[0] in item_of}, item_of, most_tags)
    names = [artist[1] for artist in artists], genres, [tag_names[tag] for tag in common]
    return Interactions(users, items, len(user_of), len(artists), "Last.fm 2K", *names)


def citeulike_a(cache: PathLike | None = None, *, most_tags: int = 100) -> Interactions:
    """citeulike-a, downloaded at the first call: who has which article in their library.

    5,551 users, 16,980 articles and 204,986 interactions. ``genres`` are the tags that most articles have, by their
    number in the published list. The two files (2.5 MB) are checked against their SHA-256 at every call.

    Args, Returns and Raises: as in :func:`lastfm_2k`, without ``titles``.

    Source: Wang, Chen and Li, Collaborative Topic Regression with Social Regularization, IJCAI 2013,
    https://github.com/js05212/citeulike-a.

    >>> articles = citeulike_a()  # doctest: +SKIP
    """
    checks.count("most_tags", most_tags, 1)
    libraries, tags = (
        [[int(word) for word in line.split()[1:]] for line in file.cached(cache).read_text().splitlines()]
        for file in (LIBRARIES, TAGS)
    )
    chosen = [(user, item) for user, library in enumerate(libraries) for item in sorted(set(library))]
    users, items = torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 2).T.contiguous()
    tagged = {(item, tag) for item, some in enumerate(tags) for tag in some}
    genres, common = _commonest(tagged, range(len(tags)), most_tags)
    names = [f"tag {tag}" for tag in common]
    return Interactions(users, items, len(libraries), len(tags), "citeulike-a", genres=genres, genre_names=names)


def public_split(name: str, cache: PathLike | None = None) -> tuple[Interactions, Interactions]:
    """A public split into choices to learn from and choices to test by, for which papers have published tables.

    Args:
        name: "amazon2014-health" (1,974 users × 1,200 items), "amazon2014-electronic" (13,455 × 8,360) or "gowalla"
            (29,858 × 40,988)
        cache: as in :func:`movielens_100k`

    Returns:
        Two :class:`~pairloss.Interactions` of the same users and items, on the CPU.

    Raises: as :func:`movielens_100k`, ValueError for an unknown name.

    Source: Yang and colleagues, NeurIPS 2024, arXiv 2411.00163 (PSL) and KDD 2025, arXiv 2508.05673 (SL@K), with their
    tables, https://github.com/Tiny-Snow/IR-Benchmark-Dataset.

    >>> train, test = public_split("gowalla")  # doctest: +SKIP
    """
    checks.choice("name", name, tuple(SPLITS))
    with SPLITS[name].opened(SPLITS[name].cached(cache)) as files:
        num_users, num_items = (len(_rows(files, f"{one}_list.tsv")) - 1 for one in ("user", "item"))
        parts = [_rows(files, f"{part}.tsv")[1:] for part in ("train", "test")]
    pairs = (torch.tensor([[int(word) for word in row] for row in part], device="cpu") for part in parts)
    train, test = (
        Interactions(some[:, 0].contiguous(), some[:, 1].contiguous(), num_users, num_items, name) for some in pairs
    )
    return train, test
