"""The package as a whole: what an import brings in, what is public, what is typed."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pairloss

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
            assert "Source:" in public.__doc__ or name.endswith("_negatives") or name == "first_violation"
            parameters = inspect.signature(public).parameters.values()
            assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)


def test_the_losses_take_the_arguments_that_collies_users_know():
    names = ["positive_scores", "negative_scores", "num_items", "positive_items", "negative_items"]
    names += ["metadata", "metadata_weights"]
    for loss in pairloss.bpr_loss, pairloss.hinge_loss, pairloss.log_bpr_loss:
        assert list(inspect.signature(loss).parameters)[:7] == names
    names[1] = "many_negative_scores"
    for loss in pairloss.adaptive_bpr_loss, pairloss.adaptive_hinge_loss, pairloss.warp_loss:
        assert list(inspect.signature(loss).parameters)[:7] == names


def test_modules_import_one_way():
    order = [
        "tensors",
        "checks",
        "interactions",
        "datasets.generated",
        "datasets.archives",
        "datasets.movielens",
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
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {pairloss.__version__}\n" in citation
