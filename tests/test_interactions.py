"""Interactions from other libraries' tables, and the parts they are split into."""

from datetime import datetime, timedelta

import numpy
import pytest
import torch
from torch import tensor

from pairloss import Interactions, sample_negatives

COLUMNS = {"who": ["Ada", "Bo", "Ada", "Ada", "Cy"], "what": [70, 30, 30, 70, 5]}
# Without a time zone, as most tables have them.
DAYS = [datetime.fromisoformat("2024-01-01") + timedelta(days=day) for day in (4, 1, 2, 3, 0)]


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param)


@pytest.mark.parametrize("read", [Interactions.from_pandas, Interactions.from_polars])
def test_a_frame_becomes_interactions_and_names(library, read):
    found = read(library.DataFrame(COLUMNS), "who", "what", name="clicks")
    assert (found.users.tolist(), found.items.tolist()) == ([0, 1, 0, 0, 2], [0, 1, 1, 0, 2])
    assert (found.user_names, found.item_names, found.name) == (["Ada", "Bo", "Cy"], [70, 30, 5], "clicks")
    assert found.times is None
    assert found.matrix.to_dense().tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]  # a pair may occur twice
    back = [(found.user_names[u], found.item_names[i]) for u, i in zip(found.users, found.items, strict=True)]
    assert back == list(zip(*COLUMNS.values(), strict=True))


def test_times_are_seconds_in_utc(library, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    start = 1704067200  # 2024-01-01 00:00 UTC, as date -u +%s gives it
    expected = [start + 86400 * day for day in (4, 1, 2, 3, 0)]
    for times in (DAYS, expected, [float(second) for second in expected]):
        frame = library.DataFrame(COLUMNS | {"when": times})
        assert Interactions.from_pandas(frame, "who", "what", "when").times.tolist() == expected
    aware = pandas.DataFrame(COLUMNS | {"when": pandas.to_datetime(DAYS).tz_localize("America/St_Johns")})
    assert Interactions.from_pandas(aware, "who", "what", "when").times[0] == expected[0] + 3.5 * 3600


def test_what_is_wrong_with_a_frame_is_said(library):
    frame = library.DataFrame(COLUMNS | {"gap": ["a", None, "b", "c", None], "list": [[1], [2], [3], [4], [5]]})
    nan = {"nan": [float("nan")] * 5}
    frame = frame.assign(**nan) if hasattr(frame, "assign") else frame.with_columns(library.DataFrame(nan))
    for arguments, error, message in (
        (("user", "what"), ValueError, "user was 'user'; expected one of the columns 'who', 'what'"),
        (("who", "which"), ValueError, "item was 'which'; expected one of the columns"),
        (("who", "what", "then"), ValueError, "time was 'then'"),
        (("who", "gap"), ValueError, "item: column 'gap' has 2 missing values; drop these rows"),
        (("nan", "what"), ValueError, "user: column 'nan' has 5 missing values"),
        (("who", "what", "who"), TypeError, "time: column 'who' holds str; expected datetimes or numbers of seconds"),
        (("who", "list"), TypeError, "item: column 'list' holds [lS].*; expected numbers or strings"),
    ):
        with pytest.raises(error, match=message):
            Interactions.from_pandas(frame, *arguments)
    with pytest.raises(TypeError, match=r"frame must be a pandas\.DataFrame or a polars\.DataFrame, got dict"):
        Interactions.from_pandas(COLUMNS, "who", "what")


def test_columns_of_one_name_are_no_column_and_strange_missing_values_are_missing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["Ada", 1, 2]], columns=["user", "item", "item"])
    with pytest.raises(ValueError, match=r"item was 'item'; expected .* one column of that name"):
        Interactions.from_pandas(frame)
    for missing in (pandas.NA, pandas.NaT, None, float("nan")):
        frame = pandas.DataFrame({"user": ["Ada", missing], "item": [1, 2]}, dtype=object)
        with pytest.raises(ValueError, match="user: column 'user' has 1 missing values"):
            Interactions.from_pandas(frame)


@pytest.mark.parametrize("form", ["coo_matrix", "csr_matrix", "csc_array", "lil_matrix"])
def test_a_scipy_matrix_becomes_interactions(form):
    dense = numpy.array([[0, 2, 0, 1], [0, 0, 0, 0], [5, 0, 0, 0]])
    found = Interactions.from_scipy(getattr(pytest.importorskip("scipy.sparse"), form)(dense), name="plays")
    assert sorted(zip(found.users.tolist(), found.items.tolist(), strict=True)) == [(0, 1), (0, 3), (2, 0)]
    assert (found.num_users, found.num_items, found.name) == (3, 4, "plays")
    drawn = sample_negatives(tensor([0, 2]), found, 200)
    assert not dense[numpy.array([[0, 2]] * 200), drawn.numpy()].any()


def test_a_stored_zero_is_no_interaction_and_an_array_no_sparse_matrix():
    stored = pytest.importorskip("scipy.sparse").coo_matrix(([0.0, 1.0], ([0, 1], [1, 0])), shape=(2, 2))
    assert Interactions.from_scipy(stored).items.tolist() == [0]
    with pytest.raises(TypeError, match="matrix must be a scipy sparse matrix or array, got ndarray"):
        Interactions.from_scipy(stored.toarray())


def some(num_users=40, num_items=60, times=True):
    generator = torch.Generator().manual_seed(0)
    share = torch.linspace(0, 0.5, num_users)[:, None]  # the first user has none
    users, items = (torch.rand(num_users, num_items, generator=generator) < share).nonzero(as_tuple=True)
    order = torch.randperm(len(users), generator=generator)
    when = torch.randint(50, (len(users),), generator=generator) if times else None
    return Interactions(users[order], items[order], num_users, num_items, "some", times=when)


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_split_holds_out_a_share_of_each_user(share, by_time):
    data = some()
    stays, out = data.split(share, by_time=by_time, generator=torch.Generator().manual_seed(1))
    for part in (stays, out):
        assert (part.num_users, part.num_items, part.name) == (40, 60, "some")
    rows = [list(zip(*(x.tolist() for x in (p.users, p.items, p.times)), strict=True)) for p in (data, stays, out)]
    assert sorted(rows[0]) == sorted(rows[1] + rows[2])
    for user in range(40):
        every, left, held = ([row for row in part if row[0] == user] for part in rows)
        expected = min(max(round(share * len(every)), 1), len(every) - 1) if len(every) > 1 else 0
        assert abs(len(held) - expected) <= (share * len(every) % 1 == 0.5)  # a half may go either way
        if by_time and held:
            assert max(row[2] for row in left) <= min(row[2] for row in held)


def test_a_split_is_drawn_by_its_generator():
    data = some(times=False)
    first, again, other = (data.split(0.3, generator=torch.Generator().manual_seed(seed))[1] for seed in (0, 0, 1))
    assert torch.equal(first.items, again.items)
    assert not torch.equal(first.items, other.items)


def test_what_is_wrong_with_a_split_is_said():
    data = some(times=False)
    for words, error, message in (
        ({"by_time": True}, ValueError, "times was None; by_time needs to know"),
        ({"share": 0}, ValueError, "share was 0; expected a finite number above 0 and at most 1"),
        ({"share": 1.5}, ValueError, "share was 1.5"),
        ({"share": "all"}, TypeError, "share must be a float, got str"),
        ({"by_time": 1}, TypeError, "by_time must be a bool, got int"),
    ):
        with pytest.raises(error, match=message):
            data.split(**words)
