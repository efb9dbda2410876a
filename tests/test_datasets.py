"""The generated set against its definition, and the MovieLens loader on small archives of the same format."""

import hashlib
import http.server
import threading
import zipfile

import pytest
import torch
from torch.testing import assert_close

from pairloss import datasets

GENRES = "unknown|0\nAction|1\nComedy|2\n\n"
ITEMS = (
    "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|1\n"
    "4|Café Society\x85 (1995)|01-Jan-1995||http://x|0|1|1\n"
    "9|unknown||||1|0|0\n"
)
RATINGS = "30\t9\t4\t881250949\n7\t1\t5\t881250949\n7\t4\t3\t881250949\n12\t4\t2\t881250949\n30\t1\t5\t881250949\n"


def archive(path, **changes):
    """A zip file in the format of MovieLens 100K, its ids with gaps; None leaves a file out."""
    files = {"u_genre": GENRES, "u_item": ITEMS, "u_data": RATINGS} | changes
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            if text is not None:
                opened.writestr(f"ml-100k/{name.replace('_', '.')}", text.encode("latin-1"))
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


def test_the_popularity_in_the_utilities_is_that_of_the_docstring():
    # genre_share 1 leaves genres only, whose inner products lie between 0 and 1; what is left is popularity.
    films = datasets.generate(num_items=50, genre_share=1.0, skew=2.0)
    popularity = 2.0 * torch.log(torch.arange(50) + 5.0).double()
    least = films.utilities.amin(0).sort(descending=True).values  # somebody likes none of a film's genres: about 0
    assert_close(least, -popularity, rtol=0, atol=0.5)
    assert films.utilities.max() <= 8 - popularity.min()


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
        assert any(genres[g] for g, name in enumerate(films.genre_names) if noun in datasets._NOUNS[name].split())


def test_seeds_make_worlds_and_leave_the_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (datasets.generate(seed, num_users=50, num_items=60) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for left, right in zip(one, same, strict=True):
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
    assert not torch.equal(one.utilities, other.utilities)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed must be an int, got float"),
        ({"seed": -1}, ValueError, "seed was -1; expected at least 0"),
        ({"num_users": 0}, ValueError, "num_users was 0; expected at least 1"),
        ({"num_items": 11}, ValueError, "num_items was 11; expected at least 12"),
        ({"genre_share": 1.5}, ValueError, "genre_share was 1.5; expected a finite number of at least 0 and at most 1"),
        ({"genre_share": "all"}, TypeError, "genre_share must be a float, got str"),
        ({"skew": -1.0}, ValueError, "skew was -1.0; expected a finite number of at least 0"),
    ],
)
def test_generate_names_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.generate(**arguments)


# --- reading ------------------------------------------------------------------------------------------------


def test_reads_ids_with_gaps(tmp_path):
    films = datasets.read_movielens_100k(archive(tmp_path / "small.zip"))
    check_structure(films)
    assert films.titles == ["Toy Story (1995)", "Café Society\x85 (1995)", "unknown"]
    assert films.genre_names == ["unknown", "Action", "Comedy"]
    assert films.genres.int().tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 0]]
    # Users 7, 12 and 30 become 0, 1 and 2; four stars and five count; user 12 is left with nothing.
    assert films.num_users == 3
    assert list(zip(films.users.tolist(), films.items.tolist(), strict=True)) == [(0, 0), (2, 0), (2, 2)]
    assert films.utilities is None
    all_stars = datasets.read_movielens_100k(tmp_path / "small.zip", minimum_rating=1)
    assert len(all_stars.users) == 5
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["small.zip"]  # nothing was unpacked


def test_an_archive_without_ratings_is_empty_and_windows_line_ends_are_read(tmp_path):
    empty = datasets.read_movielens_100k(archive(tmp_path / "empty.zip", u_data=""))
    check_structure(empty)
    assert (len(empty.users), empty.num_users, empty.num_items) == (0, 0, 3)
    windows = {f"u_{name}": text.replace("\n", "\r\n") for name, text in (("item", ITEMS), ("data", RATINGS))}
    unix = datasets.read_movielens_100k(archive(tmp_path / "unix.zip"))
    assert str(datasets.read_movielens_100k(archive(tmp_path / "windows.zip", **windows))) == str(unix)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u_data": RATINGS + "7\t1\t5\n"}, "u.data, line 6, has 3 columns; expected 4"),
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
        ({"u_genre": None}, "has no ml-100k/u.genre; expected an archive like MovieLens 100K"),
        ({"u_data": None}, "has no ml-100k/u.data"),
    ],
)
def test_a_broken_line_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.read_movielens_100k(archive(tmp_path / "small.zip", **changes))


def test_a_truncated_or_damaged_archive_is_no_archive(tmp_path):
    whole = archive(tmp_path / "small.zip").read_bytes()
    damaged = whole.replace(b"Toy Story", b"Toy Stork")
    for content in (whole[: len(whole) // 2], damaged, b""):
        (tmp_path / "broken.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.zip is not a complete zip archive \(.*\); download it again"):
            datasets.read_movielens_100k(tmp_path / "broken.zip")
    with pytest.raises(FileNotFoundError):
        datasets.read_movielens_100k(tmp_path / "nowhere.zip")
    for rating, error in ((0, ValueError), (6, ValueError), (4.5, TypeError)):
        with pytest.raises(error, match="minimum_rating"):
            datasets.read_movielens_100k(tmp_path / "small.zip", minimum_rating=rating)


# --- downloading --------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine that gives out ``server.content``; if ``server.breaks_off``, half of it."""
    content = archive(tmp_path / "served.zip").read_bytes()

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
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(datasets, "MOVIELENS_100K", f"http://127.0.0.1:{running.server_port}/ml-100k.zip")
        monkeypatch.setattr(datasets, "MOVIELENS_100K_SHA256", hashlib.sha256(content).hexdigest())
        yield running
        running.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_downloads_once_into_the_cache_and_nowhere_else(server, tmp_path, monkeypatch):
    cache = tmp_path / "new" / "cache"
    films = datasets.movielens_100k(cache)
    assert films.titles[0] == "Toy Story (1995)"
    assert names(tmp_path) == ["cache", "ml-100k.zip", "new", "served.zip"]
    assert len(datasets.movielens_100k(cache, minimum_rating=5).users) == 2
    assert server.requests == 1
    monkeypatch.setenv("PAIRLOSS_CACHE", str(tmp_path / "elsewhere"))
    datasets.movielens_100k()
    assert names(tmp_path / "elsewhere") == ["ml-100k.zip"]
    monkeypatch.delenv("PAIRLOSS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    datasets.movielens_100k()
    assert names(tmp_path / "home") == [".cache", "ml-100k.zip", "pairloss"]


def test_a_broken_download_is_never_a_good_cache(server, tmp_path):
    cache = tmp_path / "cache"
    server.breaks_off = True
    with pytest.raises(ValueError, match=r"not the archive that was expected: .*nothing was kept"):
        datasets.movielens_100k(cache)
    assert names(cache) == []
    server.breaks_off = False
    good, server.content = server.content, server.content + b"x"
    with pytest.raises(ValueError, match="not the archive that was expected"):
        datasets.movielens_100k(cache)
    assert names(cache) == []
    # A file that is there but is not the right one is fetched anew.
    (cache / "ml-100k.zip").write_bytes(good[:100])
    server.content = good
    assert datasets.movielens_100k(cache).num_users == 3
    assert (cache / "ml-100k.zip").read_bytes() == good


def test_offline_says_what_to_do(server, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    datasets.movielens_100k(cache)
    monkeypatch.setattr(datasets, "MOVIELENS_100K", "http://127.0.0.1:9/ml-100k.zip")  # nobody listens
    assert datasets.movielens_100k(cache).num_users == 3  # what is in the cache needs no network
    with pytest.raises(
        ConnectionError,
        match=r"cannot download http://127.0.0.1:9/ml-100k.zip \(.*\)\. Without a network, copy the file",
    ):
        datasets.movielens_100k(tmp_path / "empty")
    assert names(tmp_path / "empty") == []


def test_the_real_address_is_encrypted_and_checked():
    assert datasets.MOVIELENS_100K.startswith("https://files.grouplens.org/")
    assert len(bytes.fromhex(datasets.MOVIELENS_100K_SHA256)) == 32
