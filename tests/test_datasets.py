"""The generated set against its definition, and the loaders on small archives of the same format."""

import hashlib
import http.server
import inspect
import math
import os
import re
import socket
import struct
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pairloss import datasets
from pairloss.datasets import archives, generated, lastfm, movielens

GENRES = "unknown|0\nAction|1\nComedy|2\n\n"
ITEMS = (
    "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|1\n"
    "4|Café Society\x85 (1995)|01-Jan-1995||http://x|0|1|1\n"
    "9|unknown||||1|0|0\n"
)
RATINGS = "30\t9\t4\t881250941\n7\t1\t5\t881250955\n7\t4\t3\t881250943\n12\t4\t2\t881250944\n30\t1\t5\t881250940\n"

ARTISTS = (
    "id\tname\turl\tpictureURL\n7\tMúm\thttp://x\thttp://y\n9\tSigur | Rós\thttp://x\t\n"
    "2\t三船\u3000浩\thttp://x\thttp://y\n5\t\x85\thttp://x\t\n"
)
TAGS = "tagID\ttagValue\r\n3\tseen live\r\n11\trock français\r\n4\tmetal\r\n8\tfolk\r\n"
PLAYS = "userID\tartistID\tweight\r\n40\t9\t13883\r\n6\t2\t1\r\n40\t7\t2\r\n21\t2\t70\r\n6\t9\t3\r\n"
TAGGED = "userID\tartistID\ttagID\tday\tmonth\tyear\r\n" + "".join(
    f"{user}\t{artist}\t{tag}\t1\t4\t2009\r\n"
    # 11 twice for artist 9; 1 and 6 are artists who are not listed; 3 and 4 have an artist each.
    for user, artist, tag in [
        (6, 9, 11),
        (21, 9, 11),
        (6, 7, 11),
        (40, 2, 4),
        (6, 1, 3),
        (6, 6, 8),
        (21, 2, 3),
        (6, 6, 3),
    ]
)


def archive(path, **changes):
    """A zip file in the format of MovieLens 100K, its ids with gaps; None leaves a file out."""
    files = {"u_genre": GENRES, "u_item": ITEMS, "u_data": RATINGS} | changes
    return written(path, {f"ml-100k/{name.replace('_', '.')}": text for name, text in files.items()})


def music(path, **changes):
    """A zip file in the format of Last.fm 2K, its ids with gaps; None leaves a file out."""
    files = {"artists": ARTISTS, "tags": TAGS, "user_artists": PLAYS, "user_taggedartists": TAGGED} | changes
    return written(path, {f"{name}.dat": text for name, text in files.items()}, utf8="artists.dat")


def written(path, files, utf8=None):
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            if text is not None:
                opened.writestr(name, text.encode("utf-8" if name == utf8 else "latin-1"))
        opened.writestr("../outside.txt", "a path that leaves the folder")
    return path


def check_structure(films):
    """What every ``Interactions`` promises."""
    pairs = list(zip(films.users.tolist(), films.items.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert films.users.dtype == films.items.dtype == torch.int64
    if pairs:
        assert min(films.users) >= 0
        assert max(films.users) < films.num_users
        assert min(films.items) >= 0
        assert max(films.items) < films.num_items
    assert films.genres.shape == (len(films.titles), len(films.genre_names))
    assert films.genres.dtype == torch.bool
    if films.times is not None:
        assert films.times.shape == films.users.shape
        assert films.times.dtype == torch.int64
    assert all(isinstance(text, str) for text in (films.name, *films.titles, *films.genre_names))


# --- the generated set ------------------------------------------------------------------------------------


def test_generated_set_is_what_its_docstring_says():
    films = datasets.generate()
    check_structure(films)
    assert (films.num_users, films.num_items, len(films.genre_names)) == (1000, 1000, 12)
    assert 27_000 < len(films.users) < 34_000
    assert len(set(films.titles)) == 1000
    counts = torch.bincount(films.users, minlength=1000)
    assert counts.min() >= 7
    assert counts.max() <= 1000 // 6
    assert set(films.genres.sum(1).tolist()) == {1, 2, 3}
    assert films.utilities.shape == (1000, 1000)
    assert films.utilities.dtype == torch.float64


@pytest.mark.parametrize(("genre_share", "rank"), [(0.8, 21), (0.0, 9), (1.0, 13)])
def test_utilities_are_genres_beside_eight_dimensions_less_popularity(genre_share, rank):
    # 12 genres, 8 Gaussian dimensions and one for popularity span all that anybody likes.
    films = datasets.generate(num_users=200, num_items=300, genre_share=genre_share)
    assert torch.linalg.matrix_rank(films.utilities) == rank


def test_popularity_is_that_of_the_docstring():
    # The same seed with and without skew: what is left is popularity, film by film.
    flat, skewed = (datasets.generate(num_users=20, num_items=50, skew=skew) for skew in (0.0, 2.0))
    popularity = skewed.utilities - flat.utilities
    assert_close(popularity, popularity[:1].expand_as(popularity))
    ranked = popularity[0].sort(descending=True)
    assert_close(ranked.values, -2.0 * torch.log(torch.arange(50).double() + 5))
    assert ranked.indices.tolist() != list(range(50))  # not in the order of the ids


def single_genre(films):
    """What users get from films of a single genre, for each genre the mean over such films, in eighths: [U, G]."""
    single = films.genres.sum(1) == 1
    of = films.genres.int().argmax(1)
    return torch.stack([films.utilities[:, single & (of == genre)].mean(1) / 8 for genre in range(12)], 1)


def test_tastes_are_unit_vectors_from_a_dirichlet():
    # With genres alone, a film of a single genre gives a user that component of their unit vector, times 8.
    tastes = single_genre(datasets.generate(num_users=4000, num_items=600, genre_share=1.0, skew=0.0))
    assert_close(tastes.square().sum(1), torch.ones(4000, dtype=torch.float64))
    shares = tastes / tastes.sum(1, keepdim=True)
    # E Σ p² of Dirichlet(¼) over 12 genres is (¼ + 1) / (12 · ¼ + 1).
    assert shares.square().sum(1).mean() == pytest.approx(1.25 / 4, abs=0.01)


@pytest.mark.parametrize("genre_share", [0.3, 0.8])
def test_genre_has_its_share_of_the_squared_length(genre_share):
    # The Gaussian parts of many films cancel; what is left of a unit vector's length is the share.
    tastes = single_genre(datasets.generate(num_users=300, num_items=20_000, genre_share=genre_share, skew=0.0))
    assert tastes.square().sum(1).sqrt().mean() == pytest.approx(genre_share, abs=0.02)


def test_numbers_of_choices_are_six_and_a_geometric_draw():
    counts = torch.bincount(datasets.generate(num_users=6000).users, minlength=6000).double()
    p = 1 / 24
    ks = torch.arange(1, 5000, dtype=torch.float64)
    mean = ((6 + ks).clamp(max=166) * p * (1 - p) ** (ks - 1)).sum()
    assert abs(counts.mean() - mean) < 2 * counts.std() / 6000**0.5


def test_choices_follow_the_utilities():
    # Without replacement, the first choice is softmax(utility); with many users of equal taste we can count.
    films = datasets.generate(num_users=4000, num_items=12, genre_share=0.0, skew=1.0)
    # 12 // 6 = 2 choices for everybody, whatever the geometric draw.
    assert torch.bincount(films.users).unique().tolist() == [2]
    p = films.utilities.softmax(1)
    # P(item among the first two) = p_i + Σ_{j≠i} p_j p_i / (1 − p_j), in float64, user by user.
    odds = p / (1 - p)
    expected = p + p * (odds.sum(1, keepdim=True) - odds)
    counts = torch.bincount(films.items, minlength=12)
    spread = (expected * (1 - expected)).sum(0).sqrt()
    assert ((counts - expected.sum(0)).abs() < 4 * spread).all()


def test_genres_are_drawn_in_proportion():
    films = datasets.generate(num_users=1, num_items=30_000)
    share = torch.arange(1, 13, dtype=torch.float64) ** -0.7
    share /= share.sum()
    single = films.genres[films.genres.sum(1) == 1].double().mean(0)
    assert_close(single, share, rtol=0, atol=0.015)
    assert_close(torch.bincount(films.genres.sum(1))[1:] / 30_000, torch.full((3,), 1 / 3), rtol=0, atol=0.015)
    assert len(set(films.titles)) == 30_000  # sequels are numbered


def test_a_title_tells_a_genre_of_its_film():
    films = datasets.generate(num_users=1, num_items=500)
    for title, genres in zip(films.titles, films.genres, strict=True):
        noun = title.split()[2]
        assert any(genres[g] for g, name in enumerate(films.genre_names) if noun in generated._NOUNS[name].split())


def test_seeds_make_worlds_and_leave_the_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (datasets.generate(seed, num_users=50, num_items=60) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for left, right in zip(vars(one).values(), vars(same).values(), strict=True):
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
    third = datasets.generate(3, num_users=50, num_items=60)
    for left, right in ((one, other), (one, third), (other, third)):
        assert not torch.equal(left.utilities, right.utilities)
    numpy_seed = datasets.generate(torch.tensor(1).numpy()[()], num_users=50, num_items=60)
    assert torch.equal(numpy_seed.utilities, one.utilities)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_world_does_not_depend_on_the_default_dtype_or_device(dtype):
    expected = datasets.generate(1, num_users=50, num_items=60)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        films = datasets.generate(1, num_users=50, num_items=60)
    finally:
        torch.set_default_dtype(before)
    with torch.device("meta"):
        elsewhere = datasets.generate(1, num_users=50, num_items=60)
    for made in (films, elsewhere):
        assert torch.equal(made.utilities, expected.utilities)
        assert torch.equal(made.items, expected.items)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed must be an int, got float"),
        ({"seed": -1}, ValueError, "seed was -1; expected at least 0"),
        ({"num_users": 0}, ValueError, "num_users was 0; expected at least 1"),
        ({"num_items": 11}, ValueError, "num_items was 11; expected at least 12"),
        ({"seed": True}, TypeError, "seed must be an int, got bool"),
        ({"seed": 2**64}, ValueError, "seed was 18446744073709551616; expected at least 0 and at most"),
        ({"skew": True}, TypeError, "skew must be a float, got bool"),
        ({"skew": math.inf}, ValueError, "skew was inf; expected a finite number of at least 0 and at most 100"),
        ({"skew": math.nan}, ValueError, "skew was nan"),
        ({"genre_share": 1.5}, ValueError, "genre_share was 1.5; expected a finite number of at least 0 and at most 1"),
        ({"genre_share": "all"}, TypeError, "genre_share must be a float, got str"),
        ({"skew": -1.0}, ValueError, "skew was -1.0; expected a finite number of at least 0"),
    ],
)
def test_generate_names_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.generate(**arguments)


def test_titles_start_alike_and_number_their_sequels():
    titles = generated._titles(["Drama"] * 400 + ["Western"])
    assert all(title.startswith("The ") for title in titles)
    assert titles[-1] == "The Last Saloon"
    assert len(set(titles)) == 401
    first, second, third = titles[:160], titles[160:320], titles[320:400]
    assert not any(title[-1].isdigit() for title in first)
    assert second == [f"{title} 2" for title in first]
    assert third == [f"{title} 3" for title in first[:80]]
    assert {title.split()[1] for title in first} == set(generated._ADJECTIVES.split())
    assert {title.split()[2] for title in first} == set(generated._NOUNS["Drama"].split())


def test_the_largest_seed_is_a_seed():
    assert datasets.generate(2**63 - 1, num_users=1, num_items=12).num_users == 1
    with pytest.raises(ValueError, match=r"seed was 9223372036854775808; expected at least 0 and at most 92233"):
        datasets.generate(2**63, num_users=1, num_items=12)


# --- reading ------------------------------------------------------------------------------------------------


def test_reads_ids_with_gaps(tmp_path):
    films = datasets.read_movielens_100k(archive(tmp_path / "small.zip"))
    check_structure(films)
    assert films.name == "MovieLens 100K"
    assert films.users.is_contiguous()
    assert films.items.is_contiguous()
    assert films.titles == ["Toy Story (1995)", "Café Society\x85 (1995)", "unknown"]
    assert films.genre_names == ["unknown", "Action", "Comedy"]
    assert films.genres.int().tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 0]]
    # Users 7, 12 and 30 become 0, 1 and 2; four stars and five count; user 12 is left with nothing.
    assert films.num_users == 3
    assert list(zip(films.users.tolist(), films.items.tolist(), strict=True)) == [(0, 0), (2, 0), (2, 2)]
    assert films.times.tolist() == [881250955, 881250940, 881250941]  # in that order too, not in that of the lines
    assert films.times.is_contiguous()
    assert films.utilities is None
    all_stars = datasets.read_movielens_100k(tmp_path / "small.zip", minimum_rating=1)
    assert len(all_stars.users) == 5
    assert all_stars.times.tolist() == [881250955, 881250943, 881250944, 881250940, 881250941]
    with torch.device("meta"):
        assert str(datasets.read_movielens_100k(tmp_path / "small.zip")) == str(films)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["small.zip"]  # nothing was unpacked


def test_reads_artists_with_gaps_in_their_ids(tmp_path):
    artists = datasets.read_lastfm_2k(music(tmp_path / "small.zip"))
    check_structure(artists)
    assert artists.name == "Last.fm 2K"
    assert artists.users.is_contiguous()
    assert artists.items.is_contiguous()
    assert artists.titles == ["Múm", "Sigur | Rós", "三船\u3000浩", "\x85"]  # in the order of the file
    # Two artists have 11. One has 3 and one has 4, in the order of the ids. None that is listed has 8.
    assert artists.genre_names == ["rock français", "seen live", "metal"]
    assert artists.genres.int().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]
    # Users 6, 21 and 40 become 0, 1 and 2; nobody played the last artist.
    assert (artists.num_users, artists.num_items) == (3, 4)
    assert list(zip(artists.users.tolist(), artists.items.tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 2), (2, 0), (2, 1)
    ]  # fmt: skip
    assert (artists.utilities, artists.times) == (None, None)
    with torch.device("meta"):
        assert str(datasets.read_lastfm_2k(tmp_path / "small.zip")) == str(artists)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["small.zip"]  # nothing was unpacked


def test_the_commonest_tags_are_kept(tmp_path):
    for loader in (datasets.lastfm_2k, datasets.read_lastfm_2k):
        assert inspect.signature(loader).parameters["most_tags"].default == 100
    path = music(tmp_path / "small.zip")
    whole = datasets.read_lastfm_2k(path)
    for most in (1, 2, 3, 4, 2**63 - 1):
        artists = datasets.read_lastfm_2k(path, most_tags=most)
        assert artists.genre_names == whole.genre_names[:most]
        assert torch.equal(artists.genres, whole.genres[:, :most])
        assert artists.num_items == 4
    hundred = [f"{tag}\ttag {tag}\r\n" for tag in range(1, 121)]
    given = [f"6\t2\t{tag}\t1\t1\t2009\r\n" for tag in range(120, 0, -1)]
    head = TAGGED.splitlines(True)[0]
    path = music(
        tmp_path / "many.zip", tags="tagID\ttagValue\r\n" + "".join(hundred), user_taggedartists=head + "".join(given)
    )
    assert datasets.read_lastfm_2k(path).genre_names == [f"tag {tag}" for tag in range(1, 101)]


@pytest.mark.parametrize(
    "changes", [{"user_artists": PLAYS.splitlines(True)[0]}, {"user_taggedartists": TAGGED.splitlines(True)[0]}]
)
def test_no_plays_or_no_tags_are_none(tmp_path, changes):
    artists = datasets.read_lastfm_2k(music(tmp_path / "empty.zip", **changes))
    check_structure(artists)
    assert (len(artists.users), artists.num_users) == ((0, 0) if "user_artists" in changes else (5, 3))
    assert artists.genres.shape == ((4, 3) if "user_artists" in changes else (4, 0))


def test_an_archive_without_ratings_is_empty_and_windows_line_ends_are_read(tmp_path):
    empty = datasets.read_movielens_100k(archive(tmp_path / "empty.zip", u_data=""))
    check_structure(empty)
    assert (len(empty.users), empty.num_users, empty.num_items) == (0, 0, 3)
    windows = {f"u_{name}": text.replace("\n", "\r\n") for name, text in (("item", ITEMS), ("data", RATINGS))}
    unix = datasets.read_movielens_100k(archive(tmp_path / "unix.zip"))
    assert str(datasets.read_movielens_100k(archive(tmp_path / "windows.zip", **windows))) == str(unix)
    files = {"artists": ARTISTS.replace("\n", "\r\n"), "user_artists": PLAYS.replace("\r\n", "\n")}
    other = datasets.read_lastfm_2k(music(tmp_path / "other.zip", **files))
    assert str(other) == str(datasets.read_lastfm_2k(music(tmp_path / "music.zip")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u_data": RATINGS + "7\t1\t5\n"}, "u.data, line 6, has 3 columns; expected 4"),
        ({"u_data": RATINGS + "7\t1\t5\t0\t0\n"}, "u.data, line 6, has 5 columns; expected 4"),
        ({"u_data": RATINGS + "12\t1\t5\tnoon\n"}, "u.data, line 6, has 'noon'; expected an integer"),
        ({"u_data": RATINGS + "12\t1\t1_0\t0\n"}, "u.data, line 6, has '1_0'; expected an integer"),
        ({"u_data": RATINGS + "12\t1\t7\t0\n"}, "u.data, line 6, has the rating 7; expected 1 to 5"),
        ({"u_genre": "unknown|0\nComedy|2\nAction|1\n"}, "u.genre, line 2, has the number 2; expected 1"),
        ({"u_data": RATINGS + "7\tone\t5\t0\n"}, "u.data, line 6, has 'one'; expected an integer"),
        ({"u_data": RATINGS + "7\t5\t5\t0\n"}, "u.data, line 6, rates item 5, which u.item does not list"),
        (
            {"u_data": RATINGS + "7\t1\t4\t0\n"},
            "u.data, line 6, rates item 1 for user 7 again; expected each pair once",
        ),
        ({"u_item": ITEMS.replace("|0|1|1", "|0|1")}, "u.item, line 2, has 7 columns; expected 8"),
        (
            {"u_item": ITEMS.replace("|0|1|1", "|0|1|2")},
            "u.item, line 2, has the genre flags 0 1 2; expected each 0 or",
        ),
        ({"u_item": ITEMS + ITEMS}, "u.item, line 4, lists item 1 again"),
        ({"u_data": RATINGS + f"12\t1\t{10**19}\t0\n"}, "u.data, line 6, has '10000000000000000000'; expected an int"),
        ({"u_genre": None}, "has no ml-100k/u.genre; expected an archive that has"),
        ({"u_data": None}, "has no ml-100k/u.data"),
    ],
)
def test_a_broken_line_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.read_movielens_100k(archive(tmp_path / "small.zip", **changes))


HEADERS = {
    "artists": "id name url pictureURL",
    "tags": "tagID tagValue",
    "user_artists": "userID artistID weight",
    "user_taggedartists": "userID artistID tagID day month year",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"artists": ARTISTS + "9\tAgain\t\t\n"}, "^artists.dat, line 6, lists artist 9 again; expected each once"),
        ({"artists": ARTISTS + "12\tShort\t\n"}, "^artists.dat, line 6, has 3 columns; expected 4"),
        ({"artists": ARTISTS + "x\tOdd\t\t\n"}, "^artists.dat, line 6, has 'x'; expected an integer"),
        ({"tags": TAGS + "4\tmetal\r\n"}, "^tags.dat, line 6, lists tag 4 again; expected each once"),
        ({"tags": TAGS + "-4\tmetal\r\n"}, "^tags.dat, line 6, has '-4'; expected an integer"),
        ({"tags": TAGS + "4\tm\tetal\r\n"}, "^tags.dat, line 6, has 3 columns; expected 2"),
        (
            {"user_artists": PLAYS + "6\t3\t1\r\n"},
            "^user_artists.dat, line 7, has plays of artist 3, whom artists.dat does not list",
        ),
        (
            {"user_artists": PLAYS + "21\t2\t9\r\n"},
            "^user_artists.dat, line 7, has plays of artist 2 by user 21 again; expected each pair once",
        ),
        ({"user_artists": PLAYS + "21\t7\t0\r\n"}, "^user_artists.dat, line 7, has 0 plays; expected at least 1"),
        ({"user_artists": PLAYS + "21\t7\t1.5\r\n"}, "^user_artists.dat, line 7, has '1.5'; expected an integer"),
        (
            {"user_taggedartists": TAGGED + "6\t2\t5\t1\t1\t2009\r\n"},
            "^user_taggedartists.dat, line 10, gives tag 5, which tags.dat does not list",
        ),
        (
            {"user_taggedartists": TAGGED + "6\t2\t4\t1\tMay\t2009\r\n"},
            "^user_taggedartists.dat, line 10, has 'May'; expected an integer",
        ),
        *(
            ({name: text}, rf"^{name}\.dat, line 1, {found}; expected {wanted}")
            for name, header in HEADERS.items()
            for text, found, wanted in (
                ("", "has ''", f"the names of the columns, '{header}'"),
                ("\t".join("1" * len(header.split())), "has '1 1[ 1]*'", f"the names of the columns, '{header}'"),
                (header, "has 1 columns", str(len(header.split()))),
            )
        ),
        *(({name: None}, f"has no {name}.dat; expected an archive that has") for name in HEADERS),
    ],
)
def test_a_broken_line_about_music_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.read_lastfm_2k(music(tmp_path / "small.zip", **changes))


def test_names_of_artists_are_utf_8(tmp_path):
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as opened:
        opened.writestr("artists.dat", ARTISTS.replace("三船\u3000浩", "Mio").encode("latin-1"))
    with pytest.raises(ValueError, match=r"^artists\.dat, line 2, is not text \(invalid .* byte\); expected utf-8$"):
        datasets.read_lastfm_2k(tmp_path / "small.zip")


def test_a_wrong_header_is_not_shown_in_full(tmp_path):
    with pytest.raises(ValueError, match=r"^tags\.dat, line 1, has '(x{79}) '; expected"):
        datasets.read_lastfm_2k(music(tmp_path / "small.zip", tags=f"{'x' * 79}\t{'y' * 1000}\n"))


def test_what_is_no_archive_of_music_is_refused(tmp_path):
    whole = music(tmp_path / "small.zip").read_bytes()
    for content in (whole[: len(whole) // 2], whole.replace("Rós".encode(), b"Rus "), b""):
        (tmp_path / "broken.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.zip is not a complete zip archive \(.*\); download it again"):
            datasets.read_lastfm_2k(tmp_path / "broken.zip")
    with pytest.raises(FileNotFoundError):
        datasets.read_lastfm_2k(tmp_path / "nowhere.zip")
    with pytest.raises(TypeError, match="archive must be a path, got NoneType"):
        datasets.read_lastfm_2k(None)
    for most, error in ((0, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="most_tags"):
            datasets.read_lastfm_2k(tmp_path / "small.zip", most_tags=most)


def test_a_truncated_or_damaged_archive_is_no_archive(tmp_path):
    whole = archive(tmp_path / "small.zip").read_bytes()
    damaged = whole.replace(b"Toy Story", b"Toy Stork")
    for content in (whole[: len(whole) // 2], damaged, b""):
        (tmp_path / "broken.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.zip is not a complete zip archive \(.*\); download it again"):
            datasets.read_movielens_100k(tmp_path / "broken.zip")
    with pytest.raises(FileNotFoundError):
        datasets.read_movielens_100k(tmp_path / "nowhere.zip")
    with pytest.raises(TypeError, match="archive must be a path, got NoneType"):
        datasets.read_movielens_100k(None)
    for rating, error in ((0, ValueError), (6, ValueError), (4.5, TypeError)):
        with pytest.raises(error, match="minimum_rating"):
            datasets.read_movielens_100k(tmp_path / "small.zip", minimum_rating=rating)


@pytest.mark.parametrize("kind", [Path, str])
@pytest.mark.parametrize(
    ("read", "written_by"), [(datasets.read_movielens_100k, archive), (datasets.read_lastfm_2k, music)]
)
def test_an_unpacked_folder_is_refused_in_favour_of_its_zip_file(tmp_path, read, written_by, kind):
    whole, folder = written_by(tmp_path / "small.zip"), tmp_path / "unpacked.zip"
    with zipfile.ZipFile(whole) as opened:
        opened.extractall(folder)
    for place in (folder, tmp_path):  # what was unpacked, and where the archive lies
        with pytest.raises(ValueError, match=f"^{re.escape(str(place))} is a folder; expected the zip file itself"):
            read(kind(place))
    read(kind(whole))


def test_damage_in_compressed_data_is_named_or_does_not_matter(tmp_path):
    path = tmp_path / "small.zip"
    generator = torch.Generator().manual_seed(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in (("u.genre", GENRES), ("u.item", ITEMS), ("u.data", RATINGS)):
            opened.writestr(f"ml-100k/{name}", text.encode("latin-1"))
    expected = str(datasets.read_movielens_100k(path))
    whole, refused = path.read_bytes(), []
    for place in torch.randint(len(whole), (300,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert str(datasets.read_movielens_100k(path)) == expected
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 150
    for message in refused:
        assert re.search(r"not a complete zip archive|has no ml-100k|rare compression|^u\.\w+, line \d+,", message)


def peak_of_reading(path, message):
    """The most memory, in bytes, that Python held while it found out what is wrong with the archive."""
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        datasets.read_movielens_100k(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("lie", [False, True])
@pytest.mark.parametrize("line", [b"1|1|1|1|1|1|1|1\n", b"x" * 1_000_000], ids=["many lines", "one line"])
def test_an_archive_that_unpacks_to_very_much_is_not_read_to_its_end(tmp_path, lie, line):
    path = tmp_path / "bomb.zip"
    size = 3 * archives.MOST_BYTES  # 50 MB of text in 50 kB of archive
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("ml-100k/u.genre", GENRES)
        opened.writestr("ml-100k/u.item", line * (size // len(line)))
    if lie:  # that it has ten bytes, in both places where an archive says so
        path.write_bytes(
            path.read_bytes().replace(struct.pack("<I", size // len(line) * len(line)), struct.pack("<I", 10))
        )
    message = r"unpacks to more than \d+ bytes|line 2, lists item 1 again|line 1, has 1 columns|not a complete zip"
    assert peak_of_reading(path, message) < 6 * archives.MOST_BYTES


def test_many_lines_are_counted_while_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 60)
    archive(tmp_path / "small.zip")
    with pytest.raises(ValueError, match=r"unpacks to more than 60 bytes in ml-100k/u\.item; expected far fewer"):
        datasets.read_movielens_100k(tmp_path / "small.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_inflate_without_a_bound_are_refused(tmp_path, compression):
    with zipfile.ZipFile(tmp_path / "small.zip", "w", compression) as opened:
        opened.writestr("ml-100k/u.genre", GENRES)
    with pytest.raises(ValueError, match=r"has ml-100k/u\.genre in a rare compression; expected it stored or deflated"):
        datasets.read_movielens_100k(tmp_path / "small.zip")


def test_reading_stops_at_the_first_wrong_line(tmp_path):
    path = archive(tmp_path / "small.zip", u_data="wrong\n" + RATINGS)
    lines = archives.rows(path, "ml-100k/u.data", 4, "\t")
    with pytest.raises(ValueError, match=r"u\.data, line 1, has 1 columns; expected 4"):
        next(lines)


# --- downloading --------------------------------------------------------------------------------------------


DOWNLOADS = {  # the module, its loader, a small archive, and its name in the cache
    "movielens": (movielens, datasets.movielens_100k, archive, "ml-100k.zip"),
    "lastfm": (lastfm, datasets.lastfm_2k, music, "hetrec2011-lastfm-2k.zip"),
}
both = pytest.mark.parametrize("server", DOWNLOADS, indirect=True)


@pytest.fixture
def server(request, tmp_path, monkeypatch):
    """A server on this machine that gives out ``server.content``; if ``server.breaks_off``, half of it."""
    module, load, make, file = DOWNLOADS[getattr(request, "param", "movielens")]
    content = make(tmp_path / "served.zip").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content[: len(self.server.content) // (2 if self.server.breaks_off else 1)])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.content, running.breaks_off, running.requests = content, False, 0
        running.module, running.load, running.file = module, load, file
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(module, "ADDRESS", f"http://127.0.0.1:{running.server_port}/{file}")
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
        yield running
        running.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


@both
def test_downloads_once_into_the_cache_and_nowhere_else(server, tmp_path, monkeypatch):
    cache = tmp_path / "new" / "cache"
    assert server.load(cache).num_users == 3
    assert names(tmp_path) == sorted(["cache", server.file, "new", "served.zip"])
    if server.module is movielens:
        assert len(datasets.movielens_100k(cache, minimum_rating=5).users) == 2
    else:
        assert datasets.lastfm_2k(cache, most_tags=1).genre_names == ["rock français"]
    assert server.requests == 1
    monkeypatch.setenv("PAIRLOSS_CACHE", str(tmp_path / "elsewhere"))
    server.load()
    assert names(tmp_path / "elsewhere") == [server.file]
    server.load(tmp_path / "argument")
    assert names(tmp_path / "argument") == [server.file]
    monkeypatch.delenv("PAIRLOSS_CACHE")
    for home in ("HOME", "USERPROFILE"):  # the latter on Windows
        monkeypatch.setenv(home, str(tmp_path / "home"))
    server.load()
    assert names(tmp_path / "home") == sorted([".cache", server.file, "pairloss"])
    asked = server.requests
    server.load("~/.cache/pairloss")
    assert server.requests == asked


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cache": 0}, TypeError, "cache must be a path, got int"),
        ({"minimum_rating": 6}, ValueError, "minimum_rating was 6; expected at least 1 and at most 5"),
        ({"cache": ""}, ValueError, "cache was ''; expected a path"),
        pytest.param(
            {"cache": "~nosuchuser/x"},
            ValueError,
            "cache was '~nosuchuser/x', whose home is not known; expected a path",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has a home for every name"),
        ),
        ({"minimum_rating": True}, TypeError, "minimum_rating must be an int, got bool"),
    ],
)
def test_arguments_are_checked_before_anything_is_downloaded(server, arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.movielens_100k(**arguments)
    assert server.requests == 0


@pytest.mark.parametrize("server", ["lastfm"], indirect=True)
@pytest.mark.parametrize(
    ("most_tags", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_the_number_of_tags_is_checked_before_anything_is_downloaded(server, tmp_path, most_tags, error):
    with pytest.raises(error, match=r"^most_tags (was|must be an int)"):
        datasets.lastfm_2k(tmp_path / "cache", most_tags=most_tags)
    assert server.requests == 0


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    asked = []

    def silent(address, timeout):
        asked.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(archives, "urlopen", silent)
    with pytest.raises(ConnectionError, match=r"cannot download https://files\.grouplens\.org/.* \(timed out\)"):
        datasets.movielens_100k(tmp_path)
    assert 5 <= asked[0] <= 120


@both
def test_a_broken_download_is_never_a_good_cache(server, tmp_path):
    cache = tmp_path / "cache"
    server.breaks_off = True
    with pytest.raises(ValueError, match=r"^\d+ bytes came from http.*nothing was kept$"):
        server.load(cache)
    assert names(cache) == []
    server.breaks_off = False
    good, server.content = server.content, server.content + b"x"
    with pytest.raises(ValueError, match="bytes came from"):
        server.load(cache)
    assert names(cache) == []
    # A file that is there but is not the right one is fetched anew.
    (cache / server.file).write_bytes(good[:100])
    server.content = good
    assert server.load(cache).num_users == 3
    assert (cache / server.file).read_bytes() == good


def test_a_write_that_breaks_off_leaves_nothing(server, tmp_path, monkeypatch):
    def half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        datasets.movielens_100k(tmp_path / "cache")
    assert names(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_says_so_before_it_downloads(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    nowhere = ["/proc/pairloss"] if sys.platform == "linux" else []
    for cache in (tmp_path / "file", tmp_path / "file" / "below", *nowhere):
        with pytest.raises(OSError, match=r"cannot write to the cache .*; expected a folder that can be written: give"):
            datasets.movielens_100k(cache)
    assert server.requests == 0


def test_what_a_killed_write_left_is_cleared_away_once_it_is_old(server, tmp_path):
    for name in ("ml-100k.zip.old", "ml-100k.zip.new", "mine"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "part").write_bytes(b"half")
    yesterday = time.time() - 100_000
    for name in ("ml-100k.zip.old", "mine"):
        os.utime(tmp_path / "cache" / name, (yesterday, yesterday))
    datasets.movielens_100k(tmp_path / "cache")
    # Another process may still be writing the new one; what is not ours stays.
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["mine", "ml-100k.zip", "ml-100k.zip.new"]


@both
def test_offline_says_what_to_do(server, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    server.load(cache)
    monkeypatch.setattr(server.module, "ADDRESS", f"http://127.0.0.1:9/{server.file}")  # nobody listens
    assert server.load(cache).num_users == 3  # what is in the cache needs no network
    with pytest.raises(
        ConnectionError,
        match=rf"cannot download http://127.0.0.1:9/{server.file} \(.*\)\. Without a network, copy the file",
    ):
        server.load(tmp_path / "empty")
    assert names(tmp_path / "empty") == []
    (cache / server.file).write_bytes(b"something else")
    with pytest.raises(ConnectionError, match=r"What lies there now is not that file\.$"):
        server.load(cache)
    assert (cache / server.file).read_bytes() == b"something else"
    (tmp_path / "folder" / server.file).mkdir(parents=True)
    with pytest.raises(ValueError, match="is a folder; expected the archive"):
        server.load(tmp_path / "folder")


def test_an_answer_that_is_not_http_is_no_download(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(movielens, "ADDRESS", f"http://127.0.0.1:{listening.getsockname()[1]}/ml-100k.zip")

        def answer():
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"what?\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ConnectionError, match="cannot download"):
            datasets.movielens_100k(tmp_path)
        thread.join()


@pytest.mark.parametrize("module", [movielens, lastfm])
def test_the_real_address_is_encrypted_and_checked(module):
    assert module.ADDRESS.startswith("https://files.grouplens.org/")
    assert len(bytes.fromhex(module.SHA256)) == 32
