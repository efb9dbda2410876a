"""Under nbval: no progress bar, which would fail the cell; figures are compared; what passed as it is does not run."""

import importlib.metadata
import os
import sys
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path

import nbval.plugin
import pytest

from tests import pictures

os.environ["TQDM_DISABLE"] = "1"

compare_text = nbval.plugin.IPyNbCell.compare_outputs


def compare_outputs(cell, test, ref, skip_compare=None):
    """What nbval compares, and then the pictures, which it leaves out."""
    if not compare_text(cell, test, ref, skip_compare):
        return False
    stored, drawn = ([o["data"]["image/png"] for o in side if "image/png" in o.get("data", {})] for side in (ref, test))
    wrong = [f"{len(drawn)} figures were drawn, {len(stored)} are stored"] if len(stored) != len(drawn) else []
    for number, pair in enumerate(zip(stored, drawn, strict=False), 1):
        if what := pictures.difference(*pair):
            wrong.append(f"figure {number} of the cell {what}")
    cell.comparison_traceback += wrong
    return not wrong


nbval.plugin.IPyNbCell.compare_outputs = compare_outputs


# A notebook that passed as it is, with this package and what is installed, is not run again on a person's machine.
INSTALLED = sorted(f"{found.name}=={found.version}" for found in importlib.metadata.distributions())
PACKAGE = [
    path
    for path in sorted((pictures.ROOT / "pairloss").rglob("*"))
    if path.suffix in (".py", ".js", ".svg", ".mplstyle")
]
BELOW = "\n".join([sys.version, *INSTALLED]).encode() + b"".join(
    map(Path.read_bytes, [Path(__file__), Path(pictures.__file__), *PACKAGE])
)
NOTEBOOKS = {path.stem: path.read_bytes() for path in Path(__file__).parent.rglob("*.ipynb")}
PRINTS = {name: sha256(BELOW + notebook).hexdigest() for name, notebook in NOTEBOOKS.items()}
OUTCOMES = defaultdict(Counter)
REMEMBERED = "pairloss/notebooks"


def pytest_collection_modifyitems(config, items):
    """Mark what need not run."""
    passed = {} if os.environ.get("CI") or not hasattr(config, "cache") else config.cache.get(REMEMBERED, {})
    for item in items:
        if isinstance(item, nbval.plugin.IPyNbCell) and passed.get(item.path.stem) == PRINTS[item.path.stem]:
            item.add_marker(pytest.mark.skip(reason="passed as it is before (to run it again: make test ALL=1)"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where several workers run: a notebook, which is one kernel, stays on one of them; a test goes to any."""
    from xdist.scheduler import LoadScopeScheduling

    class NotebooksWhole(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.partition(".ipynb::")[0]

    return NotebooksWhole(config, log)


def pytest_runtest_logreport(report):
    """Count what came of the cells of each notebook."""
    if ".ipynb::" in report.nodeid and (report.when == "call" or not report.passed):
        OUTCOMES[Path(report.nodeid.partition("::")[0]).stem][report.outcome] += 1


def pytest_sessionfinish(session):
    """Remember the notebooks of which every cell passed."""
    config = session.config
    if hasattr(config, "cache") and not hasattr(config, "workerinput"):
        passed = config.cache.get(REMEMBERED, {})
        for name, outcomes in OUTCOMES.items():
            if outcomes == {"passed": NOTEBOOKS[name].count(b'"cell_type": "code"')}:
                passed[name] = PRINTS[name]
        config.cache.set(REMEMBERED, passed)
