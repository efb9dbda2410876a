"""The training chapter: its measures against other libraries, and every cell of it on data in MovieLens' format."""

import functools
import zipfile
from pathlib import Path

import ir_measures
import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
from sklearn.metrics import roc_auc_score

CHAPTER = Path(__file__).parent.parent / "book/chapters/training.md"
CHOICE = "data = pairloss.datasets.generate()"


def cells():
    """The code of the chapter, less the cell that installs the package on Colab."""
    code = [cell for cell in jupytext.read(CHAPTER).cells if cell.cell_type == "code"]
    return [cell.source for cell in code if cell.metadata.get("tags") != ["remove-cell"]]


@functools.cache
def defined(name):
    """A function as the chapter defines it, from the one cell that does."""
    (cell,) = [cell for cell in cells() if f"def {name}(" in cell]
    names = {"torch": torch}
    exec(cell, names)
    return names[name]


def lists(seed, num_users=40, num_items=60):
    """Scores without ties, and two tables: what was seen, and what was held out, nothing for some users."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(num_users, num_items, generator=generator, dtype=torch.float64) - 3
    held_out = torch.rand(num_users, num_items, generator=generator)
    test = held_out < 0.1
    test[0], test[1] = False, torch.arange(num_items) < 25
    seen = (torch.rand(num_users, num_items, generator=generator) < 0.3) & ~test
    return scores, seen, test


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [10, 3])
def test_ndcg_and_recall_are_those_of_ir_measures(seed, k):
    scores, seen, test = lists(seed)
    run = [
        ir_measures.ScoredDoc(str(user), str(item), scores[user, item].item())
        for user, item in (~seen).nonzero().tolist()
    ]
    qrels = [ir_measures.Qrel(str(user), str(item), 1) for user, item in test.nonzero().tolist()]
    measures = [ir_measures.nDCG @ k, ir_measures.R @ k]
    expected = ir_measures.calc_aggregate(measures, qrels, run)
    cutoff = [] if k == 10 else [k]  # 10 is what the chapter's function does by itself
    assert defined("top")(scores, seen, test, *cutoff) == pytest.approx([expected[m] for m in measures], abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_that_of_scikit_learn(ties):
    scores, seen, test = lists(3)
    scores = scores.round(decimals=0) if ties else scores
    expected = [
        roc_auc_score(test[user][~seen[user]], scores[user][~seen[user]])
        for user in range(len(test))
        if test[user].any()
    ]
    assert defined("auc")(scores, seen, test) == pytest.approx(sum(expected) / len(expected), abs=1e-12)


def small_movielens(path, num_users=60, num_items=90, num_ratings=2000):
    """An archive in the format of MovieLens 100K with 19 genres, ids with gaps and some users with a single rating."""
    generator = torch.Generator().manual_seed(0)

    def integers(high, count):
        return torch.randint(high, (count,), generator=generator).tolist()

    genres = [
        [int(g == first) or (i % 2 and int(g == second)) for g in range(19)]
        for i, (first, second) in enumerate(zip(integers(19, num_items), integers(19, num_items), strict=True))
    ]
    rated = dict.fromkeys(zip(integers(num_users, num_ratings), integers(num_items, num_ratings), strict=True))
    stars = integers(5, len(rated))
    films = [
        f"{3 * i + 1}|Film <{i}> & Söhne ({1950 + i % 50})|01-Jan-1995||http://x|" + "|".join(map(str, flags))
        for i, flags in enumerate(genres)
    ]
    ratings = [f"{2 * u + 5}\t{3 * i + 1}\t{s + 1}\t88125{u}" for (u, i), s in zip(rated, stars, strict=True)]
    ratings += [f"{1000 + i}\t{3 * i + 1}\t5\t881250949" for i in range(5)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.genre", "\n".join(f"genre {g}|{g}" for g in range(19)))
        archive.writestr("ml-100k/u.item", "\n".join(films).encode("latin-1"))
        archive.writestr("ml-100k/u.data", "\n".join(ratings))
    return path


def test_every_cell_runs_on_data_in_the_format_of_movielens(tmp_path, capsys):
    archive = small_movielens(tmp_path / "small.zip")
    code = cells()
    assert sum(CHOICE in cell for cell in code) == 1
    names = {}
    for cell in code:
        exec(cell.replace(CHOICE, f"data = pairloss.datasets.read_movielens_100k({str(archive)!r})"), names)
        said = capsys.readouterr().out
        for number in plt.get_fignums():
            figure = plt.figure(number)
            figure.canvas.draw()  # a title or label that cannot be drawn fails here
            said += " ".join([figure.get_supxlabel(), *(axes.get_title("left") for axes in figure.axes)])
        plt.close("all")
        # Whatever shows a result says what data it is of.
        assert said == "" or "MovieLens 100K" in said, cell
        assert "generated" not in said
        assert "true utilities" not in said
    assert "Film &lt;" in names["body"]  # a title is text, not markup
    # The chapter's own results are all there, and all finite.
    assert set(names["plain"]) == set(names["true"]) == set(names["shuffled"]) == set(names["LOSSES"])
    for results in (*names["plain"].values(), *names["true"].values(), *names["shuffled"].values()):
        assert torch.tensor([measures for measures, _, _ in results]).isfinite().all()
