"""The stored tables of what the chapters say of one loss and another: a cheap row of each, run again."""

import claims
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]  # a chapter's heat map


def stored(name, **wanted):
    """The first row of a table that has these cells, as it stands there."""
    return next(row for row in claims.read(name) if wanted.items() <= row.items())


def asked(row, jobs):
    """What a row was asked for: the cells of its job."""
    return {key: row[key] for key in jobs[0]}


def test_what_was_tried_comes_out_again():
    row = stored(claims.TUNING, experiment="lists", loss="softmax", lr="0.05", decay="0.001")
    grids = [(row["experiment"], row["data"])]
    assert claims.tune(asked(row, claims.tuning_jobs(grids))) == row


@pytest.mark.parametrize(("experiment", "loss"), [("lists", "softmax"), ("one_name", "Collie")])
def test_what_was_judged_comes_out_again(experiment, loss):
    row = stored(claims.JUDGED, experiment=experiment, loss=loss, setting="shared")
    grids = [(row["experiment"], row["data"])]
    assert claims.judge(asked(row, claims.judging_jobs(grids))) == row


@pytest.mark.parametrize(
    ("experiment", "loss", "size"), [("standard_losses", "BPR", "0.3"), ("partial_credit", "hinge", "2")]
)
def test_what_was_computed_comes_out_again(experiment, loss, size):
    row = stored(claims.EXACT, experiment=experiment, loss=loss, size=size)
    assert claims.compute(asked(row, claims.exact_jobs())) == row


def test_each_table_has_a_row_for_each_job():
    """And the judged settings are the best that were tried."""
    tables = {claims.TUNING: claims.tuning_jobs(claims.GRIDS), claims.JUDGED: claims.judging_jobs(claims.GRIDS)}
    for name, jobs in (tables | {claims.EXACT: claims.exact_jobs()}).items():
        rows = [asked(row, jobs) for row in claims.read(name)]
        assert [job for job in jobs if job not in rows] == []
        assert len(rows) == len({tuple(row.values()) for row in rows})
