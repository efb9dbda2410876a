"""The package as a whole: what an import brings in, what is public, what is typed."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import pairloss
from tests.cases import LISTS, NAMED, PAIRS, PLAIN

ROOT = Path(__file__).parent.parent


def test_import_brings_in_torch_and_nothing_else():
    script = "import torch, sys; before = set(sys.modules); import pairloss; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in run.stdout.split()} == {"pairloss"}


def test_public_names_are_there_typed_and_documented():
    assert (ROOT / "pairloss/py.typed").exists()
    for name in pairloss.__all__:
        public = getattr(pairloss, name)
        assert public.__doc__, name
        if inspect.isfunction(public):
            assert ">>>" in public.__doc__, name
            parameters = inspect.signature(public).parameters.values()
            assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)


def test_every_loss_is_in_the_table_that_the_tests_run_over():
    public = {name for name in pairloss.__all__ if name.endswith("_loss")}
    assert public == {*NAMED, *LISTS, *PLAIN, "pair_loss"}, "tests/cases.py lists the losses"
    modules = {name for name in pairloss.__all__ if name.endswith("Loss")}
    assert modules == {PAIRS[name].module.__name__ for name in NAMED}


@pytest.mark.parametrize("name", NAMED)
def test_the_losses_take_the_arguments_that_collies_users_know(name):
    scores = "many_negative_scores" if PAIRS[name].takes_many else "negative_scores"
    names = ["positive_scores", scores, "positive_items", "negative_items", "metadata", "metadata_weights"]
    parameters = inspect.signature(getattr(pairloss, name)).parameters
    by_place = [name for name, parameter in parameters.items() if parameter.kind != parameter.KEYWORD_ONLY]
    if PAIRS[name].of_collie:
        assert by_place == [*names[:2], "num_items", *names[2:]]
    else:
        assert by_place == names[:2]
        assert list(parameters)[:6] == names
    default = parameters["squared"].default if "squared" in parameters else None
    assert default == PAIRS[name].squared


@pytest.mark.parametrize("name", ["pair_loss", *NAMED, *LISTS, *PLAIN])
def test_a_loss_explains_its_own_arguments_and_names_its_kin_and_its_source(name):
    documentation = getattr(pairloss, name).__doc__
    explained = documentation.split("Args:")[1].split("\n\n")[0]
    for parameter in inspect.signature(getattr(pairloss, name)).parameters:
        assert re.search(rf"\b{parameter}\b", explained), parameter
    for heading in ("See Also:", "Source:", ".. math::"):
        assert heading in documentation


def test_modules_import_one_way():
    order = "figures.__init__ tensors checks interactions metrics datasets.generated datasets.published".split()
    order += "datasets.__init__ terms choosing sampling reduction partial_credit batch pairs in_batch".split()
    order += "lists all_pairs lambdarank ratings modules recommend".split()
    files = {path.relative_to(ROOT / "pairloss").with_suffix("") for path in (ROOT / "pairloss").rglob("*.py")}
    assert {".".join(path.parts) for path in files} == {*order, "__init__"}
    for position, name in enumerate(order):
        source = (ROOT / f"pairloss/{name.replace('.', '/')}.py").read_text()
        imported = set(re.findall(r"^from pairloss\.([\w.]+) import", source, re.MULTILINE)) - {"datasets", "figures"}
        for package, names in re.findall(r"^from pairloss(\.datasets)? import (.*)$", source, re.MULTILINE):
            imported |= {f"{package}.{one}".lstrip(".") for one in names.split(", ")}
        assert imported <= set(order[:position]), name


def test_versions_agree():
    citation, changes = (ROOT / "CITATION.cff").read_text(), (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {pairloss.__version__}\n" in citation
    assert re.search(r"^## (\S+)", changes, re.MULTILINE).group(1) == pairloss.__version__


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "book").exists(), reason="an sdist does not make another")
def test_what_is_published_installs_and_passes_its_own_tests(tmp_path):
    """The sdist, the wheel made from it, and the sdist's tests of that wheel where no other pairloss is."""
    pytest.importorskip("hatchling", reason="builds with it")
    from book import repository

    here = {path.relative_to(ROOT).as_posix() for path in repository.files()}
    for file in here:
        if file.partition("/")[0] in ("pairloss", "tests") or "/" not in file:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)

    def run(python, *arguments, cwd=tmp_path, **settings):
        alone = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))} | settings
        done = subprocess.run([python, *arguments], cwd=cwd, env=alone, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    wheel = "-m pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist".split()
    run(sys.executable, *wheel, sdist)
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian's 3.11.2 has none
        archive.extractall(tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    for file in here:
        carried = file.startswith("pairloss/") or re.fullmatch(r"tests/.*\.py", file)
        assert not carried or (unpacked / file).exists(), f"{file} is missing in the sdist"
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.read(name).decode() for name in archive.namelist()}
    information = f"pairloss-{pairloss.__version__}.dist-info"
    assert {name for name in inside if not name.startswith(information)} == {
        f for f in here if f.startswith("pairloss/")
    }
    assert f"{information}/licenses/LICENSE" in inside
    metadata = inside[f"{information}/METADATA"]
    assert re.findall(r"\]\((?!https://)[^)]*\)", metadata) == [], "links that lead nowhere from an index"
    assert "\nClassifier: Typing :: Typed\n" in metadata
    assert "[Choosing negatives](https://github.com/" in metadata

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # torch and pytest come from here, but an editable pairloss does not: no .pth is read there.
    there = {"cwd": unpacked, "PYTHONPATH": sysconfig.get_path("purelib")}
    shutil.rmtree(unpacked / "pairloss")  # so that the wheel is what is tested
    said = run(python, "-m", "pytest", "-p", "no:cacheprovider", "tests", "-k", "errors or ratings", **there)
    assert re.search(r" [1-9]\d* passed", said), said
    assert "No book here" in said
    found = run(python, "-c", "import pairloss; print(pairloss.__file__)", **there)
    assert Path(found.strip()).parent.parent == site
