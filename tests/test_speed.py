"""What is timed is the same loss, and what the chapter "Speed and scale" says of it stands in the tables."""

from pathlib import Path

import epochs
import pairs
import pytest
import torch
from tables import read
from torch.testing import assert_close

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("credit", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", pairs.PUBLISHED)
def test_a_published_form_is_the_same_loss(name, credit, dtype):
    ours, published, scores = pairs.case(name, credit, 7, 300, dtype, "cpu")
    values = ours(*scores)
    assert values > 0
    if published is None:
        return
    # To what float32 tells apart: a published form may add a constant of 1e-10.
    assert_close(published(*scores).double(), values.double(), rtol=1e-6, atol=1e-8)
    expected = torch.autograd.grad(values, scores)
    assert_close(torch.autograd.grad(published(*scores), scores), expected, rtol=1e-4, atol=1e-6)


def test_scored_twice_is_scored_once():
    for name in ("adaptive_bpr", "warp"):
        tensors = pairs.embeddings(40, 8, "cpu")
        once, twice = (pairs.scored(name, way, 6, 40, "cpu") for way in (False, True))
        assert_close(twice(*tensors), once(*tensors))
        assert_close(torch.autograd.grad(twice(*tensors), tensors), torch.autograd.grad(once(*tensors), tensors))


def test_the_chapter_quotes_the_gpu():
    def value(what, size, way, unit="microseconds"):
        rows = [row for row in read("speed_gpu") if (row["what"], row["size"], row["way"]) == (what, size, way)]
        return float(next(row["value"] for row in rows if row["unit"] == unit))

    text = (ROOT / "book/chapters/speed.md").read_text()
    large, gains = "50 x 65536", []
    for what in ("log_bpr", "hinge", "adaptive_hinge", "warp", "softmax", "warp, genres"):
        gains.append(value(what, large, "eager") / value(what, large, "graphed"))
    assert f"become {min(gains):.0f} to {max(gains):.0f} times as fast" in text
    hinge = [f"{value('hinge', size, 'eager'):.0f}" for size in ("10 x 1024", large)]
    assert "Hinge takes {} microseconds at (10, 1,024) and {} here".format(*hinge) in text
    kernels = [f"{value('softmax', large, way, 'launches'):.0f}" for way in ("eager", "published")]
    assert "launches {} kernels and torch's own `cross_entropy` {}".format(*kernels) in text
    many, ours, theirs = (
        value("warp, genres", large, *of) for of in (("eager", "launches"), ("eager",), ("published",))
    )
    assert f"WARP launches {many:.0f} kernels" in text
    assert value("warp, genres", large, "graphed") < theirs < ours
    pieces = {
        way: [value("warp, scored in pieces", "200 x 65536", way, unit) for unit in ("megabytes", "microseconds")]
        for way in ("x 1", "all")
    }
    assert f"holds {pieces['x 1'][0]:,.0f} MB" in text
    assert f"At once it holds {pieces['all'][0]:,.0f} MB, and the pieces cost" in text
    assert f"pieces cost {100 * (pieces['x 1'][1] / pieces['all'][1] - 1):.0f} % of the time" in text


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.7", reason="the C++ that torch 2.6 makes of this loop does not compile")
def test_the_compiled_loop_learns_the_same(one_thread):
    """Twenty epochs of the loop that is timed, on made films."""
    data = epochs.pairloss.datasets.generate(num_users=60, num_items=50)
    losses = {}
    for way in ("pairloss", "pairloss, compiled"):
        run = epochs.loop(way, data, 8, 1)
        losses[way] = [run() for _ in range(20)]
    assert losses["pairloss"][-1] < losses["pairloss"][0]
    assert losses["pairloss, compiled"] == pytest.approx(losses["pairloss"], rel=1e-5)
