"""The package as a whole: what an import brings in, what is public, what is typed."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pairloss
from tests.cases import LISTS, PAIRS, PLAIN

ROOT = Path(__file__).parent.parent


def test_import_brings_in_torch_and_nothing_else():
    script = "import torch, sys; before = set(sys.modules); import pairloss; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in run.stdout.split()} == {"pairloss"}


def test_public_names_are_there_typed_and_documented():
    assert (ROOT / "pairloss/py.typed").exists()
    for name in pairloss.__all__:
        public = getattr(pairloss, name)
        assert ">>>" in public.__doc__, name
        if inspect.isfunction(public):
            parameters = inspect.signature(public).parameters.values()
            assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)


def test_every_loss_is_in_the_table_that_the_tests_run_over():
    public = {name for name in pairloss.__all__ if name.endswith("_loss")}
    assert public == {*PAIRS, *LISTS, *PLAIN}, "tests/cases.py lists the losses"
    modules = {name for name in pairloss.__all__ if name.endswith("Loss")}
    assert modules == {loss.module.__name__ for loss in PAIRS.values()}


@pytest.mark.parametrize("name", PAIRS)
def test_the_losses_take_the_arguments_that_collies_users_know(name):
    scores = "many_negative_scores" if PAIRS[name].takes_many else "negative_scores"
    names = ["positive_scores", scores, "num_items", "positive_items", "negative_items", "metadata", "metadata_weights"]
    parameters = inspect.signature(getattr(pairloss, name)).parameters
    assert list(parameters)[:7] == names
    default = parameters["squared"].default if "squared" in parameters else None
    assert default == PAIRS[name].squared


@pytest.mark.parametrize("name", [*PAIRS, *LISTS, *PLAIN])
def test_a_loss_explains_its_own_arguments_and_names_its_kin_and_its_source(name):
    documentation = getattr(pairloss, name).__doc__
    explained = documentation.split("Args:")[1].split("\n\n")[0]
    for parameter in inspect.signature(getattr(pairloss, name)).parameters:
        assert re.search(rf"\b{parameter}\b", explained), parameter
    for heading in ("See Also:", "Source:", ".. math::"):
        assert heading in documentation


def test_modules_import_one_way():
    order = [
        "figures.__init__",
        "tensors",
        "checks",
        "interactions",
        "datasets.generated",
        "datasets.archives",
        "datasets.movielens",
        "datasets.lastfm",
        "datasets.__init__",
        "terms",
        "negatives",
        "reduction",
        "partial_credit",
        "pairs",
        "lists",
        "ratings",
        "modules",
    ]
    files = {path.relative_to(ROOT / "pairloss").with_suffix("") for path in (ROOT / "pairloss").rglob("*.py")}
    assert {".".join(path.parts) for path in files} == {*order, "__init__"}
    for position, name in enumerate(order):
        source = (ROOT / f"pairloss/{name.replace('.', '/')}.py").read_text()
        imported = set(re.findall(r"^from pairloss\.([\w.]+) import", source, re.MULTILINE)) - {"datasets"}
        for package, names in re.findall(r"^from pairloss(\.datasets)? import (.*)$", source, re.MULTILINE):
            imported |= {f"{package}.{one}".lstrip(".") for one in names.split(", ")}
        assert imported <= set(order[:position]), name


def test_versions_agree():
    citation, changes = (ROOT / "CITATION.cff").read_text(), (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {pairloss.__version__}\n" in citation
    assert re.search(r"^## (\S+)", changes, re.MULTILINE).group(1) == pairloss.__version__
