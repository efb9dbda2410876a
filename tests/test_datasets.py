"""The generated set against its definition, and the loaders on small archives of the same format."""

import hashlib
import http.server
import inspect
import math
import threading
import zipfile

import pytest
import torch
from torch.testing import assert_close

from pairloss import datasets
from pairloss.datasets import generated, published


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
    assert films.genres.shape == (films.num_items, len(films.genre_names))
    assert films.titles is None or len(films.titles) == films.num_items
    assert films.genres.dtype == torch.bool
    if films.times is not None:
        assert films.times.shape == films.users.shape
        assert films.times.dtype == torch.int64
    assert all(isinstance(text, str) for text in (films.name, *(films.titles or []), *films.genre_names))


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
    # The Gaussian parts of many films cancel. What is left of a unit vector's length is the share.
    tastes = single_genre(datasets.generate(num_users=100, num_items=20_000, genre_share=genre_share, skew=0.0))
    assert tastes.square().sum(1).sqrt().mean() == pytest.approx(genre_share, abs=0.02)


def test_numbers_of_choices_are_six_and_a_geometric_draw():
    counts = torch.bincount(datasets.generate(num_users=6000).users, minlength=6000).double()
    p = 1 / 24
    ks = torch.arange(1, 5000, dtype=torch.float64)
    mean = ((6 + ks).clamp(max=166) * p * (1 - p) ** (ks - 1)).sum()
    assert abs(counts.mean() - mean) < 2 * counts.std() / 6000**0.5


def test_choices_follow_the_utilities():
    # Without replacement, the first choice is softmax(utility). With many users of equal taste we can count.
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
    assert datasets.generate(2**63 - 1, num_users=1, num_items=12).num_users == 1  # the largest
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
        ({"seed": 2**63}, ValueError, "seed was 9223372036854775808; expected at least 0 and at most 92233"),
        ({"skew": True}, TypeError, "skew must be a float, got bool"),
        ({"skew": math.inf}, ValueError, "skew was inf; expected a finite number of at least 0 and at most 100"),
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


# --- published sets ---------------------------------------------------------------------------------------------

MOVIELENS = {
    "ml-100k/u.genre": "unknown|0\nAction|1\nComedy|2\n\n",
    "ml-100k/u.item": (
        "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|1\n"
        "4|Café Society\x85 (1995)|01-Jan-1995||http://x|0|1|1\n"
        "9|unknown||||1|0|0\n"
    ),
    "ml-100k/u.data": (
        "30\t9\t4\t881250941\n7\t1\t5\t881250955\n7\t4\t3\t881250943\n12\t4\t2\t881250944\n30\t1\t5\t881250940\n"
    ),
}
LASTFM = {
    "artists.dat": (
        "id\tname\turl\tpictureURL\n7\tMúm\thttp://x\thttp://y\n9\tSigur | Rós\thttp://x\t\n"
        "2\t三船\u3000浩\thttp://x\thttp://y\n5\t\x85\thttp://x\t\n"
    ),
    "tags.dat": "tagID\ttagValue\r\n3\tseen live\r\n11\trock français\r\n4\tmetal\r\n8\tfolk\r\n",
    "user_artists.dat": "userID\tartistID\tweight\r\n40\t9\t13883\r\n6\t2\t1\r\n40\t7\t2\r\n21\t2\t70\r\n6\t9\t3\r\n",
    "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\r\n"
    # 11 twice for artist 9, 1 and 6 are artists who are not listed, 3 and 4 have an artist each.
    + "".join(
        f"{row}\t1\t4\t2009\r\n"
        for row in "6\t9\t11 21\t9\t11 6\t7\t11 40\t2\t4 6\t1\t3 6\t6\t8 21\t2\t3 6\t6\t3".split(" ")
    ),
}
SPLIT = {
    "user_list.tsv": "user_orgid\tuser_procid\nx\t0\ny\t1\nz\t2\n",
    "item_list.tsv": "item_orgid\titem_procid\na\t0\nb\t1\n",
    "train.tsv": "user_procid\titem_procid\n0\t1\n2\t0\n0\t0\n",
    "test.tsv": "user_procid\titem_procid\n1\t1\n",
}
SETS = {
    "MOVIELENS": (MOVIELENS, datasets.movielens_100k, datasets.read_movielens_100k),
    "LASTFM": (LASTFM, datasets.lastfm_2k, datasets.read_lastfm_2k),
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A function that writes a small archive of a set, some files changed, and takes it for the published one."""

    def write(name, changes=()):
        path = tmp_path / "small.zip"
        with zipfile.ZipFile(path, "w") as opened:
            for member, text in (SETS[name][0] | dict(changes)).items():
                opened.writestr(member, text.encode("utf-8" if member == "artists.dat" else "latin-1"))
        monkeypatch.setattr(published, name, getattr(published, name)._replace(sha256=digest_of(path)))
        return path

    return write


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_reads_libraries_and_their_tags(tmp_path, monkeypatch):
    for name, text in {"LIBRARIES": "2 1 0\n0\n3 2 1 1\n", "TAGS": "2 7 4\n1 4\n0\n3 9 7 4\n"}.items():
        file = getattr(published, name)
        (tmp_path / file.name).write_text(text)
        monkeypatch.setattr(published, name, file._replace(sha256=digest_of(tmp_path / file.name)))
    articles = datasets.citeulike_a(tmp_path, most_tags=2)
    check_structure(articles)
    assert (articles.num_users, articles.num_items, articles.name) == (3, 4, "citeulike-a")
    assert list(zip(articles.users.tolist(), articles.items.tolist(), strict=True)) == [(0, 0), (0, 1), (2, 1), (2, 2)]
    assert articles.genre_names == ["tag 4", "tag 7"]
    assert articles.genres.int().tolist() == [[1, 1], [1, 0], [0, 0], [1, 1]]


def test_reads_a_public_split(tmp_path, monkeypatch):
    file = published.SPLITS["gowalla"]
    with zipfile.ZipFile(tmp_path / file.name, "w") as opened:
        for member, text in SPLIT.items():
            opened.writestr(member, text)
    monkeypatch.setitem(published.SPLITS, "gowalla", file._replace(sha256=digest_of(tmp_path / file.name)))
    train, test = datasets.public_split("gowalla", tmp_path)
    assert train.matrix.to_dense().tolist() == [[1, 1], [0, 0], [1, 0]]
    assert test.matrix.to_dense().tolist() == [[0, 0], [0, 1], [0, 0]]
    with pytest.raises(ValueError, match="name was 'health'; expected"):
        datasets.public_split("health", tmp_path)


def test_reads_films_whose_ids_have_gaps(small, tmp_path):
    path = small("MOVIELENS")
    films = datasets.read_movielens_100k(path)
    check_structure(films)
    assert films.name == "MovieLens 100K"
    assert films.titles == ["Toy Story (1995)", "Café Society\x85 (1995)", "unknown"]
    assert films.genre_names == ["unknown", "Action", "Comedy"]
    assert films.genres.int().tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 0]]
    # Users 7, 12 and 30 become 0, 1 and 2, four stars and five count, and user 12 is left with nothing.
    assert (films.num_users, films.num_items) == (3, 3)
    assert list(zip(films.users.tolist(), films.items.tolist(), strict=True)) == [(0, 0), (2, 0), (2, 2)]
    assert films.times.tolist() == [881250955, 881250940, 881250941]  # in that order too, not in the order of the lines
    assert films.users.is_contiguous()
    assert films.times.is_contiguous()
    assert films.utilities is None
    all_stars = datasets.read_movielens_100k(path, minimum_rating=1)
    assert all_stars.times.tolist() == [881250955, 881250943, 881250944, 881250940, 881250941]
    with torch.device("meta"):
        assert str(datasets.read_movielens_100k(path)) == str(films)
    assert [path.name for path in tmp_path.rglob("*")] == ["small.zip"]  # nothing was unpacked
    empty = datasets.read_movielens_100k(small("MOVIELENS", {"ml-100k/u.data": ""}))
    assert (len(empty.users), empty.num_users, empty.num_items) == (0, 0, 3)


def test_reads_artists_whose_ids_have_gaps(small, tmp_path):
    path = small("LASTFM")
    artists = datasets.read_lastfm_2k(path)
    check_structure(artists)
    assert artists.name == "Last.fm 2K"
    assert artists.titles == ["Múm", "Sigur | Rós", "三船\u3000浩", "\x85"]  # in the order of the file
    # Two artists have 11. One has 3 and one has 4, in the order of the ids. None that is listed has 8.
    assert artists.genre_names == ["rock français", "seen live", "metal"]
    assert artists.genres.int().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]
    # Users 6, 21 and 40 become 0, 1 and 2, and nobody played the last artist.
    assert (artists.num_users, artists.num_items) == (3, 4)
    pairs = list(zip(artists.users.tolist(), artists.items.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 2), (2, 0), (2, 1)]
    assert (artists.utilities, artists.times) == (None, None)
    with torch.device("meta"):
        assert str(datasets.read_lastfm_2k(path)) == str(artists)
    for most in (1, 2, 3, 4, 2**63 - 1):
        fewer = datasets.read_lastfm_2k(path, most_tags=most)
        assert fewer.genre_names == artists.genre_names[:most]
        assert torch.equal(fewer.genres, artists.genres[:, :most])
    assert inspect.signature(datasets.lastfm_2k).parameters["most_tags"].default == 100


@pytest.mark.parametrize("name", SETS)
def test_what_is_not_the_published_archive_is_refused_by_name(name, small, tmp_path):
    read = SETS[name][2]
    path = small(name)
    with zipfile.ZipFile(path) as opened:
        opened.extractall(tmp_path / "unpacked")
    other = tmp_path / "other.zip"
    other.write_bytes(path.read_bytes()[:-1])
    for wrong in (tmp_path / "unpacked", other):
        with pytest.raises(ValueError, match=r"is not .*\.zip as it was published .*expected the zip file itself"):
            read(wrong)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere.zip")


@pytest.fixture
def server(monkeypatch):
    """A server at the place of the real one: what it gives, and how often it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        content, asked = b"", 0

        def do_GET(self):
            type(self).asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    for name in SETS:
        address = f"http://127.0.0.1:{served.server_address[1]}"
        monkeypatch.setattr(published, name, getattr(published, name)._replace(address=address))
    yield Handler
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize("name", SETS)
def test_downloads_once_into_the_cache(name, small, server, tmp_path, monkeypatch):
    _, load, read = SETS[name]
    path = small(name)
    server.content = path.read_bytes()
    expected = str(read(path))
    assert str(load(tmp_path / "new" / "cache")) == expected
    assert str(load(str(tmp_path / "new" / "cache"))) == expected
    assert server.asked == 1
    (kept,) = (tmp_path / "new" / "cache").iterdir()
    kept.write_bytes(b"damaged")  # the digest is looked at in every call
    assert str(load(tmp_path / "new" / "cache")) == expected
    monkeypatch.setenv("PAIRLOSS_CACHE", str(tmp_path / "elsewhere"))
    assert str(load()) == expected
    assert (server.asked, len(list((tmp_path / "elsewhere").iterdir()))) == (3, 1)


@pytest.mark.parametrize("name", SETS)
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(name, small, server, tmp_path, monkeypatch):
    load = SETS[name][1]
    path = small(name)
    for content in (path.read_bytes()[:100], b""):
        server.content = content
        with pytest.raises(ConnectionError, match=r"invalid hash value .*copy the file .*generate\(\)"):
            load(tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []
    nobody = getattr(published, name)._replace(address="http://127.0.0.1:9")
    monkeypatch.setattr(published, name, nobody)
    with pytest.raises(ConnectionError, match=r"cannot download http://127\.0\.0\.1:9 .*by hand"):
        load(tmp_path / "cache")
    for wrong, error in (({"minimum_rating": 0}, ValueError), ({"minimum_rating": "4"}, TypeError)):
        with pytest.raises(error, match="minimum_rating"):
            datasets.movielens_100k(tmp_path / "never", **wrong)
    with pytest.raises(ValueError, match="most_tags was 0"):
        datasets.lastfm_2k(tmp_path / "never", most_tags=0)
    assert not (tmp_path / "never").exists()


def test_the_real_addresses_are_encrypted():
    files = [published.MOVIELENS, published.LASTFM, published.LIBRARIES, published.TAGS, *published.SPLITS.values()]
    assert all(file.address.startswith("https://") and len(file.sha256) == 64 for file in files)
    assert len({file.name for file in files}) == len(files)
