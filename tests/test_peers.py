"""The comparison with other people's recommenders: its splits, its models and measures, and its table, which holds.

Nothing here needs the packages that are compared: ``make peers`` installs them in an environment of its own.
"""

import itertools
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import pairloss

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import guide
import peers
import tables

pytestmark = pytest.mark.slow

FILMS = "generated films"
TABLE = tables.read("peers")


def some_choices(num_users=60, num_items=80, times=False):
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.rand(num_users, num_items, generator=generator) < 0.3).nonzero(as_tuple=True)
    when = torch.randperm(len(users), generator=generator) if times else None
    return pairloss.Interactions(users, items, num_users, num_items, times=when)


def test_splits_are_those_of_the_chapter():
    splits = tables.definitions("training", "sizes = ")["splits"]
    assert len(splits) == len(peers.JUDGED_ON)
    assert peers.TUNED_ON not in peers.JUDGED_ON
    data = peers.load(FILMS, ())
    for seed, split in zip(peers.JUDGED_ON, splits, strict=True):
        assert_close(peers.split(FILMS, data, seed), split)


def test_by_time_nothing_is_learnt_from_what_came_later():
    data = some_choices(times=True)
    late = data.users == 7  # who comes last has nothing to learn from, and is left out
    times = torch.where(late, data.times + 10_000, data.times)
    data = pairloss.Interactions(data.users, data.items, 60, 80, times=times)
    parts = peers.split("MovieLens 100K, by time", data, 0)
    when = torch.zeros(60, 80, dtype=torch.int64)
    when[data.users, data.items] = times
    train, valid, test = (when[part] for part in parts)
    assert train.max() < valid.min()
    assert valid.max() < test.min()
    tenth = len(times) // 10
    assert len(train) == len(times) - 2 * tenth
    assert len(valid) == tenth
    assert len(test) == tenth - late.sum()
    assert not parts[2][7].any()


def test_measures_are_those_of_the_chapter_on_some_users_at_a_time():
    chapter = tables.definitions("training", "MEASURES = ")
    generator = torch.Generator().manual_seed(0)
    where = torch.rand(2100, 50, generator=generator)
    split = [where < 0.3, (where > 0.3) & (where < 0.4), where > 0.95]
    table = torch.randn(2100, 50, generator=generator, dtype=torch.float64)
    seen = split[0] | split[1]
    expected = [*chapter["top"](table, seen, split[2]), chapter["auc"](table, seen, split[2])]
    assert peers.measures((table,), split) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("regulariser", [1.0, 30.0])
def test_ease_by_way_of_the_users_is_that_by_way_of_the_items(regulariser):
    train = some_choices().matrix.to_dense() > 0
    [(table,)] = peers.ease(16, (regulariser,), train, 0)
    assert_close(table, guide.ease(train, regulariser))


@pytest.mark.parametrize(
    ("name", "module"),
    [("hinge", pairloss.HingeLoss), ("log BPR", pairloss.LogBPRLoss), ("adaptive hinge", pairloss.AdaptiveHingeLoss)],
)
def test_the_loop_is_that_of_the_chapter(name, module):
    chapter = tables.definitions("training", "plain = ")
    data = peers.load(FILMS, ())
    train, valid, _ = peers.split(FILMS, data, 1)
    setting = 1e-2, 1e-4
    _, curve = chapter["learn"](module(), peers.LOSSES[name][1], 3, train, valid, 1, lr=1e-2, weight_decay=1e-4)
    [parts] = next(peers.ours(name, 16, [setting], train, 1, 1024))
    assert chapter["top"](peers.scores(parts), train, valid)[0] == pytest.approx(curve[2], abs=2e-3)


@pytest.mark.parametrize("name", peers.LOSSES)
def test_settings_side_by_side_are_those_one_by_one(name):
    train = some_choices().matrix.to_dense() > 0
    settings = [(1e-2, 1e-4), (3e-2, 0.0), (1e-2, 1e-2)]
    together = next(peers.ours(name, 4, settings, train, 0, 512))
    for setting, beside in zip(settings, together, strict=True):
        [alone] = next(peers.ours(name, 4, [setting], train, 0, 512))
        assert_close(beside, alone, rtol=1e-3, atol=1e-4)


def test_in_the_batch_popularity_is_learnt_only_where_log_q_is_taken_out():
    """Where nothing but popularity is to be learnt, scores rise by log q or not at all."""
    generator = torch.Generator().manual_seed(0)
    train = torch.rand(3000, 30, generator=generator) < torch.logspace(-2.3, -0.8, 30)
    log_q, slopes = train.sum(0).double().log(), {}
    for correction in ("", ", − log q"):
        model = peers.ours(f"softmax in the batch{correction}", 2, [(3e-2, 1e-3)], train, 0, 1024)
        [parts] = next(itertools.islice(model, 3, None))
        both = torch.stack([log_q, peers.scores(parts).double().mean(0)])
        slopes[correction] = torch.cov(both)[0, 1] / log_q.var()
    assert abs(slopes[""]) < 0.2
    assert slopes[", − log q"] > 0.6


def test_every_model_has_the_same_number_of_trials():
    assert {len(list(itertools.product(*grid))) for name, grid in peers.GRIDS.items() if name != "popularity"} == {9}
    assert list(peers.GRIDS) == peers.MODELS


def test_the_table_is_whole():
    found = [(row["data"], row["model"]) for row in TABLE]
    assert found == list(itertools.product(peers.DATA, peers.MODELS))
    for row in TABLE:
        starts = 1 if row["model"] in peers.WITHOUT_A_START else len(peers.STARTS)
        runs = starts if row["data"].endswith("by time") else len(peers.SOME.get(row["data"], peers.JUDGED_ON))
        settings = [" ".join(f"{part:g}" for part in own) for own in itertools.product(*peers.GRIDS[row["model"]])]
        tried = dict(zip(settings, map(float, row["tried"].split()), strict=True))
        assert tried[row["setting"]] == max(tried.values())
        assert all(len(peers.values(row, column)) == runs for column in ("epochs", *peers.MEASURES))
    spent = {(row["data"], row["model"]): float(row["seconds"]) for row in tables.read("peers_seconds")}
    assert spent.keys() == {pair for pair in found if not pair[0].endswith("by time")}
    assert min(spent.values()) > 0


@pytest.mark.parametrize("model", ["popularity", "EASE"])
def test_a_row_run_again_is_the_stored_one(model):
    job = {"data": FILMS, "dimension": "16", "model": model}
    (stored,) = (row for row in TABLE if job.items() <= row.items())
    assert peers.work(job, ()) == stored


def test_report():
    text = "\n".join(peers.report(TABLE, {(FILMS, "EASE"): "1.5"}))
    (line,) = (line for line in text.splitlines() if line.startswith("| EASE |") and "| 1.5 |" in line)
    (row,) = (row for row in TABLE if row["data"] == FILMS and row["model"] == "EASE")
    mean, sd = peers.values(row, "ndcg").mean(), peers.values(row, "ndcg").std()
    assert f"| {mean:.3f} ± {sd:.3f} |" in line
    assert text.count("NDCG@10: ") == len(peers.DATA)
