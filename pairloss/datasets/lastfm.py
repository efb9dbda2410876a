"""Last.fm 2K: who played which artist, and what people call the artists."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from pairloss import checks
from pairloss.datasets import archives
from pairloss.interactions import Interactions

ADDRESS = "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip"
# As ISG-Siegen/OmniRec (src/omnirec/data_loaders/hetrec_lastfm.py) and, from a download of its own,
# trongnguyen1010/musicrec-collaborative-filtering (docs/seminar/dataset_verified.json) state it.
SHA256 = "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c"


def lastfm_2k(cache: str | os.PathLike[str] | None = None, *, most_tags: int = 100) -> Interactions:
    """Last.fm 2K, downloaded at the first call: who played which artist, of HetRec 2011.

    1,892 users, 17,632 artists and 92,834 interactions: the artists that each user played most, 50 at most.
    How often they did is not kept. The archive (3 MB) is checked at every call against its SHA-256, which here
    is taken from two projects that state the same, and is read where it lies: nothing is unpacked. A download
    that breaks off leaves nothing behind. The data are for non-commercial use.

    ``genres`` are tags in the words of these users. Most are genres; "seen live" is not. Of 11,946 tags the
    100 that most artists have describe 58 % of the artists, which have 90 % of the interactions. In 22 % of
    the interactions the artist has a tag from the very user, so tags can tell of choices that were held out.

    Args:
        cache: folder for the archive; without it the environment variable PAIRLOSS_CACHE, or else
            ``~/.cache/pairloss``. It is made if it is missing.
        most_tags: how many tags to keep, at least 1: those that most artists have

    Returns:
        :class:`~pairloss.Interactions` without ``utilities`` and ``times``, on the CPU.

    Raises:
        ConnectionError: where the archive is not in the cache and cannot be downloaded
        OSError: where the cache cannot be written, said before anything is downloaded
        TypeError: for a ``cache`` that is no path or a ``most_tags`` that is no int
        ValueError: for a download that is not the expected archive, an empty ``cache`` or one of no such user,
            a ``most_tags`` below 1

    Source: Cantador, Brusilovsky and Kuflik, Second Workshop on Information Heterogeneity and Fusion in
    Recommender Systems (HetRec 2011), RecSys 2011, doi:10.1145/2043932.2044016.

    >>> artists = lastfm_2k()  # doctest: +SKIP
    """
    checks.count("most_tags", most_tags, 1)
    return read_lastfm_2k(archives.cached("hetrec2011-lastfm-2k.zip", ADDRESS, SHA256, cache), most_tags=most_tags)


def read_lastfm_2k(archive: str | os.PathLike[str], *, most_tags: int = 100) -> Interactions:
    """Read an archive in the format of Last.fm 2K, from HetRec 2011.

    It is a zip file with artists.dat, tags.dat, user_artists.dat and user_taggedartists.dat: columns between
    tabs below a line with their names, UTF-8 in artists.dat and Latin-1 in the others. Ids may have gaps:
    items are numbered in the order of artists.dat, users in that of their ids. An artist has a tag if anybody
    gave it; tags of artists that artists.dat does not list are left out. ``genre_names`` are the tags that
    most artists have, the commonest first and in the order of their ids where they are equally common; a tag
    that no artist has is not kept.

    Args:
        archive: path of the zip file; it is only read
        most_tags: how many tags to keep, at least 1; all, where there are no more

    Returns:
        :class:`~pairloss.Interactions` without ``utilities`` and ``times``, on the CPU.

    Raises:
        FileNotFoundError: where there is no such file
        TypeError: for an ``archive`` that is no path or a ``most_tags`` that is no int
        ValueError: for a ``most_tags`` below 1, for a folder, a broken archive, a missing file, and a line that does
            not fit the format, by its number

    >>> read_lastfm_2k("hetrec2011-lastfm-2k.zip")  # doctest: +SKIP
    """
    checks.count("most_tags", most_tags, 1)
    path = archives.path("archive", archive)
    item_of: dict[int, int] = {}
    titles: list[str] = []
    for place, (number, name, _, _) in _table(path, "artists.dat", "id name url pictureURL", "utf-8"):
        artist = archives.integer(place, number)
        if artist in item_of:
            raise ValueError(f"{place} lists artist {artist} again; expected each once")
        item_of[artist] = len(titles)
        titles.append(name)
    tag_names: dict[int, str] = {}
    for place, (number, name) in _table(path, "tags.dat", "tagID tagValue"):
        tag = archives.integer(place, number)
        if tag in tag_names:
            raise ValueError(f"{place} lists tag {tag} again; expected each once")
        tag_names[tag] = name
    played: set[tuple[int, int]] = set()
    for place, row in _table(path, "user_artists.dat", "userID artistID weight"):
        user, artist, plays = (archives.integer(place, field) for field in row)
        if plays < 1:
            raise ValueError(f"{place} has {plays} plays; expected at least 1")
        if artist not in item_of:
            raise ValueError(f"{place} has plays of artist {artist}, whom artists.dat does not list")
        if (user, item_of[artist]) in played:
            raise ValueError(f"{place} has plays of artist {artist} by user {user} again; expected each pair once")
        played.add((user, item_of[artist]))
    tagged: dict[int, set[int]] = {tag: set() for tag in tag_names}
    for place, row in _table(path, "user_taggedartists.dat", "userID artistID tagID day month year"):
        _, artist, tag, _, _, _ = (archives.integer(place, field) for field in row)
        if tag not in tagged:
            raise ValueError(f"{place} gives tag {tag}, which tags.dat does not list")
        if artist in item_of:
            tagged[tag].add(item_of[artist])
    common = sorted((tag for tag in tagged if tagged[tag]), key=lambda tag: (-len(tagged[tag]), tag))[:most_tags]
    users = sorted({user for user, _ in played})
    user_of = {user: number for number, user in enumerate(users)}
    chosen = sorted((user_of[user], item) for user, item in played)
    chosen_users, chosen_items = torch.tensor(chosen, dtype=torch.int64, device="cpu").reshape(-1, 2).T.contiguous()
    genres = torch.zeros(len(titles), len(common), dtype=torch.bool, device="cpu")
    for genre, tag in enumerate(common):
        genres[torch.tensor(sorted(tagged[tag]), device="cpu"), genre] = True
    genre_names = [tag_names[tag] for tag in common]
    return Interactions(chosen_users, chosen_items, len(users), len(titles), "Last.fm 2K", titles, genres, genre_names)


def _table(path: Path, member: str, header: str, encoding: str = "latin-1") -> Iterator[tuple[str, list[str]]]:
    """The rows of one file of the archive that stand below the names of the columns."""
    lines = archives.rows(path, member, len(header.split()), "\t", encoding)
    place, names = next(lines, (f"{member}, line 1,", []))
    if names != header.split():
        raise ValueError(f"{place} has {' '.join(names)[:80]!r}; expected the names of the columns, {header!r}")
    return lines
