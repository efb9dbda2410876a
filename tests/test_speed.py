"""What is timed is the same loss, and what the chapter "Speed and scale" says of it stands in the tables."""

import ast
import sys
from pathlib import Path

import jupytext
import pytest
import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import epochs
import lists
import pairs
from tables import read

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


@pytest.fixture(scope="module")
def said():
    """The tables of numbers in the chapter, by their names."""
    cells = jupytext.read(ROOT / "book/chapters/speed.md").cells
    trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code" and "%pip" not in cell.source]
    return {
        line.targets[0].id: ast.literal_eval(line.value)
        for tree in trees
        for line in tree.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Dict)
    }


HERE = "CPU, 1 thread"


def steps(what, k, b):
    [row] = [row for row in read("steps") if (row["device"], row["what"], row["K"], row["B"]) == (HERE, what, k, b)]
    return float(row["ratio"])


def test_the_chapter_draws_what_was_measured(said):
    assert said["speed_of"] == pairs.of_the_chapter(read("speed"), HERE)
    for loss, ratios in said["TWICE"].items():
        for (k, b), value in ratios.items():
            what = f"{loss.lower().replace(' ', '_')}: scored once / twice"
            assert value == round(steps(what, f"{k}", f"{b}"), 1)
    for (k, b), parts in said["PARTS"].items():
        for part, value in parts.items():
            what = {"lookup": "embedding", "backward": "backward of all"}.get(part, part)
            assert value == round(steps(what, f"{k}", f"{b}"), 4)
    for change, values in said["CHANGES"].items():
        what = {"first call, in seconds": "seconds to compile"}.get(change, f"step, {change}")
        assert values == tuple(round(steps(what, *size), 2) for size in (("10", "1024"), ("50", "16384")))
    rows = [row for row in read("lists") if row["offset"] == "0"]
    of = {"hinge, table": "table", "hinge, sorted": "sorting", "LambdaRank@10": "LambdaRank at 10"}
    for name, cells in said["SECONDS"].items():
        seconds = {int(row["L"]): row["seconds"] for row in rows if row["loss"] == of.get(name, name)}
        assert dict(zip(lists.LENGTHS, cells.split(), strict=False)) == seconds
    assert {of.get(name, name) for name in said["SECONDS"]} == {*lists.LOSSES}


def test_the_chapter_quotes_the_epochs(said):
    rows = {(row["data"], row["loop"], row["dimension"], row["threads"]): row["ratio"] for row in read("epochs")}
    for loop, cells in said["EPOCH"].items():
        keys = ((data, loop, dim, "1") for data in epochs.DATA for dim in ("16", "64"))
        assert cells == " ".join(f"{float(rows[key]):.2g}" for key in keys)


def test_the_chapter_quotes_the_gpu(said):
    def value(what, size, way, unit="microseconds"):
        rows = [row for row in read("speed_gpu") if (row["what"], row["size"], row["way"]) == (what, size, way)]
        return float(next(row["value"] for row in rows if row["unit"] == unit))

    text = (ROOT / "book/chapters/speed.md").read_text()
    large, gains = "50 x 65536", []
    for name, row in said["ON_A_GPU"].items():
        what = name.replace("log BPR", "log_bpr").replace("adaptive hinge", "adaptive_hinge").replace("WARP", "warp")
        values = [value(what, large, way) for way in ("floor", "published", "eager", "compiled", "graphed")]
        assert row == " ".join(f"{number:.0f}" for number in [*values, value(what, large, "eager", "launches")])
        gains.append(values[2] / values[4])
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
    assert f"{pieces['all'][0]:,.0f} MB when it is not" in text
    assert f"pieces cost {100 * (pieces['x 1'][1] / pieces['all'][1] - 1):.0f} % of the time" in text


def test_the_slope_of_a_straight_line():
    rows = [{"loss": "x", "L": f"{n}", "seconds": f"{3e-7 * n**1.5}"} for n in (10_000, 30_000, 500_000)]
    assert lists.steepness(rows, "x") == pytest.approx(1.5)


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
