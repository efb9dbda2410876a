"""The chapter on a fair comparison runs on other data, and what the pages show of stored tables."""

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
import torch
from study import models, report

import pairloss

CHAPTER = Path(__file__).parent.parent / "book/chapters/training.md"
CHOICE = "data = pairloss.datasets.generate()"


def cells():
    """The code of the chapter, without the cell that installs the package on Colab."""
    code = [cell for cell in pytest.importorskip("jupytext").read(CHAPTER).cells if cell.cell_type == "code"]
    return [cell.source for cell in code if cell.metadata.get("tags") != ["remove-cell"]]


@pytest.mark.slow
@pytest.mark.parametrize("called", ["MovieLens 100K", "Last.fm 2K"])
def test_every_cell_runs_on_data_like_the_published(called, capsys):
    plt = pytest.importorskip("matplotlib.pyplot")
    made = pairloss.datasets.generate(num_users=60, num_items=90)
    times = torch.arange(len(made.users)) if called == "MovieLens 100K" else None
    data = dataclasses.replace(made, name=called, utilities=None, times=times)
    code = cells()
    assert sum(CHOICE in cell for cell in code) == 1
    names = {"published": data}
    for cell in code:
        # An exercise is red until somebody solves it.
        with pytest.raises(AssertionError) if "def my_" in cell else contextlib.nullcontext():
            exec(cell.replace(CHOICE, "data = published"), names)
        said = capsys.readouterr().out
        for number in plt.get_fignums():
            figure = plt.figure(number)
            figure.canvas.draw()  # a title or label that cannot be drawn fails here
            said += " ".join([figure.get_supxlabel(), *(axes.get_title("left") for axes in figure.axes)])
        plt.close("all")
        # Whatever shows a result says what data it is of.
        assert said == "" or called in said, cell
        assert "generated" not in said
        assert "true utilities" not in said
    # The chapter's own results are all there, and all finite.
    assert set(names["shared"]) == set(names["losses"]) < set(names["lists"])
    for scores, curve in names["shared"].values():
        assert scores.isfinite().all()
        assert torch.tensor(curve).isfinite().all()


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_numbers_of_the_study_that_it_asks_for(page):
    text = page.read_text()
    assert len(report.ASKED.findall(text)) == len(re.findall(r"<!--\s*study", text))
    assert text == report.update(page)


GUIDE = (report.BOOK / "which_loss.md").read_text()
GUIDE_BLOCKS = re.findall(r"```python\n(.+?)```", GUIDE, re.DOTALL)


def test_the_first_epochs_of_the_guide_have_the_loss_that_it_says():
    torch.manual_seed(0)
    names, values = {}, []
    exec(GUIDE_BLOCKS[0], names)
    for _ in range(3 * 16):
        exec(GUIDE_BLOCKS[1], names)
        names["loss"].backward()
        names["adam"].step()
        names["adam"].zero_grad()
        values.append(names["loss"].item())
    said = re.search(r"where 16 steps are an epoch, .+ about (\S+) in the first epoch and (\S+) in the third\. ", GUIDE)
    assert float(said[1]) == pytest.approx(sum(values[:16]) / 16, abs=0.1)
    assert float(said[2]) == pytest.approx(sum(values[32:]) / 16, abs=0.1)


def test_the_lines_of_the_guide_run():
    """Each answer gives a loss that moves the vectors, or a table of scores."""
    names = {}
    for block in GUIDE_BLOCKS:
        exec(block, names)
        if "loss" in names:
            loss = names.pop("loss")
            gradients = torch.autograd.grad(loss, [names[name] for name in ("people", "things")])
            assert 0 < loss < (100 if "lambdarank" in block else 30)  # a sum over the pairs of a list
            assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    assert len(GUIDE_BLOCKS) == 8
    (expected,) = models.ease((300,), names["data"], 0, 0)
    torch.testing.assert_close(names["table"].float(), expected(torch.arange(1000)), rtol=1e-4, atol=1e-5)
