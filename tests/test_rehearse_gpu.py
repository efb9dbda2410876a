"""``make gpu`` works at the first try on a bare machine: the rehearsal, and the table that a GPU wrote."""

import csv
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MEASURED = {"losses", "pieces", "sampling", "graded", "catalogue", "training"}
BARE = ["torch", "numpy", "matplotlib", "hypothesis", "pytest"]


def rows(path):
    """The rows of a table that ``benchmarks/gpu.py`` wrote, whole."""
    with path.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    assert {row["part"] for row in found} == MEASURED
    for row in found:
        assert row["device"]
        assert re.fullmatch(r"[0-9a-f]{7,}|unknown", row["commit"])
        assert re.match(r"\d+\.\d+", row["torch"])
        assert row["unit"] in ("microseconds", "launches", "megabytes", "seconds")
        assert float(row["value"]) >= 0
    return found


def installed(names):
    """These packages and all that they need, without extras, as far as they are here."""
    found, ahead = {}, list(names)
    while ahead:
        name = re.sub(r"[-_.]+", "-", ahead.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        needs = [need for need in found[name].requires or [] if "extra ==" not in need]
        ahead += [re.match(r"[\w.-]+", need)[0] for need in needs]
    return found.values()


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_all_of_it_runs_where_little_is_installed(tmp_path):
    packages, out = tmp_path / "packages", tmp_path / "out"
    packages.mkdir()
    for package in installed(BARE):
        for name in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(package.locate_file(name))
    # The Python that this environment was made from, which has no packages but those in the folder of links.
    path = f"{ROOT}{os.pathsep}{packages}"
    call = [sys._base_executable, "benchmarks/gpu.py", "--device", "cpu", "--out", str(out)]
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ends = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert ends.keys() == MEASURED | {"tests", "chapters"}
    assert all(end.startswith("passed") for end in ends.values())
    assert len(rows(out / "speed_gpu.csv")) > 100


def test_the_stored_table_is_of_a_gpu():
    found = rows(ROOT / "pairloss/figures/tables/speed_gpu.csv")
    assert not any(row["device"].startswith("CPU") for row in found)
    for row in found:
        if row["way"] == "graphed" and row["unit"] == "launches":
            assert int(row["value"]) >= 1
