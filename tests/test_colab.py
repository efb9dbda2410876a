"""A chapter the way Colab runs it: the notebook alone, in an empty directory, on a machine that has torch."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent

RUN = """
import nbformat
import pytest
from nbclient import NotebookClient
notebook = nbformat.read("chapter.ipynb", as_version=4)
NotebookClient(notebook, record_timing=False, coalesce_streams=True).execute()
nbformat.write(notebook, "chapter.ipynb")
"""


def clean_environment(folder):
    """A virtual environment with what this one has (torch, matplotlib, a kernel), less pairloss, plus google.colab."""
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "pairloss" not in entry.name and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    (site / "google/colab").mkdir(parents=True)
    (site / "google/colab/__init__.py").touch()
    # In Colab's kernel google.colab is imported before the first cell.
    (site / "sitecustomize.py").write_text("import google.colab\n")
    return python, site


@pytest.mark.slow
def test_a_chapter_runs_as_in_colab(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "pairloss", source / "pairloss", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("pairloss-*.whl")

    python, site = clean_environment(tmp_path / "venv")
    # pip for the %pip of the first cell, without the bytecode and paths of this environment.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    environment |= {"PAIRLOSS": str(wheel), "VIRTUAL_ENV": str(tmp_path / "venv"), "PIP_NO_INDEX": "1"}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    missing = subprocess.run([python, "-c", "import pairloss"], cwd=tmp_path, env=environment, capture_output=True)
    assert b"No module named 'pairloss'" in missing.stderr

    empty = tmp_path / "empty"
    empty.mkdir()
    chapter = ROOT / "book/chapters/softly.ipynb"
    shutil.copy(chapter, empty / "chapter.ipynb")
    subprocess.run([python, "-c", RUN], cwd=empty, env=environment, check=True)

    ran, stored = (nbformat.read(path, as_version=4) for path in (empty / "chapter.ipynb", chapter))
    assert (site / "pairloss/pairs.py").is_file()
    assert (site / "torch").is_symlink()  # the torch that was there is still there
    assert len(ran.cells) == len(stored.cells)
    for ours, theirs in zip(ran.cells[2:], stored.cells[2:], strict=True):  # after the cell that installs
        if ours.cell_type == "code":
            assert [output.get("text") for output in ours.outputs] == [output.get("text") for output in theirs.outputs]
