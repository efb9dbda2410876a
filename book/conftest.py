"""Under nbval: no progress bar, which would fail the cell; figures are compared. What passed as it is does not run."""

import importlib.metadata
import os
import sys
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import nbval.plugin
import pytest

from book import repository
from tests import pictures
from tests.conftest import READ_THE_PAGES

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where several workers run: a notebook, which is one kernel, stays on one of them; a test goes to any."""
    from xdist.scheduler import LoadScopeScheduling

    class NotebooksWhole(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.partition(".ipynb::")[0]

    return NotebooksWhole(config, log)


INSTALLED = sorted({f"{found.name}=={found.version}" for found in importlib.metadata.distributions()})
NOTEBOOKS = {path.stem: path for path in Path(__file__).parent.rglob("*.ipynb")}
FILES = [path for path in repository.files() if path.suffix not in (".md", ".ipynb") or path.parent == pictures.ROOT]
PACKAGE = [path for path in FILES if pictures.ROOT / "pairloss" in path.parents]
TESTS = "tests"


def fingerprint(*paths):
    """Of files, and of all that is installed."""
    texts = ["\n".join([sys.version, *INSTALLED]).encode(), *(path.read_bytes() for path in (Path(__file__), *paths))]
    return sha256(b"\0".join(texts)).hexdigest()


def whole(nodeid):
    """What a test is remembered with: the cells of a notebook, or all tests that do not read the pages."""
    path = Path(nodeid.partition("::")[0])
    if path.suffix == ".ipynb":
        return path.stem
    return TESTS if path.suffix == ".py" and path.name not in READ_THE_PAGES else None


class Remember:
    """What passed is not run again, on a person's machine, while what it rests on stays as it is.

    A notebook rests on the package, and a test that does not read the pages on everything but these.
    """

    KEY = "pairloss/passed"

    def __init__(self, cache):
        self.cache, self.passed, self.failed, self.known = cache, defaultdict(set), set(), set()
        below = Path(pictures.__file__), *PACKAGE
        self.prints = {name: fingerprint(*below, path) for name, path in NOTEBOOKS.items()}
        self.prints[TESTS] = fingerprint(*FILES)

    def before(self):
        """The tests that passed, for each whole that is as it was."""
        told = self.cache.get(self.KEY, {})
        return {name: {*tests} for name, (was, tests) in told.items() if was == self.prints.get(name)}

    def pytest_collection_modifyitems(self, items):
        """Find what need not run: of the cells of a notebook, which run on what those before them left, all or none."""
        before = {} if os.environ.get("CI") else self.before()
        new = {whole(item.nodeid) for item in items if item.nodeid not in before.get(whole(item.nodeid), ())}
        for item in items:
            name = whole(item.nodeid)
            if item.nodeid in before.get(name, ()) and (name == TESTS or name not in new):
                self.known.add(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Skip it, from this one place, which the summary names in one line."""
        if item.nodeid in self.known:
            pytest.skip("passed as it is before (to run it again: make test ALL=1)")

    def pytest_runtest_logreport(self, report):
        """Note what passed."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed[whole(report.nodeid)].add(report.nodeid)

    def pytest_sessionfinish(self, session):
        """Remember it, and of the other tests what is remembered already."""
        if hasattr(session.config, "workerinput"):
            return
        before = self.before()
        self.passed[TESTS] |= before.get(TESTS, set())
        before |= {name: tests - self.failed for name, tests in self.passed.items() if name in self.prints}
        self.cache.set(self.KEY, {name: (self.prints[name], sorted(tests)) for name, tests in before.items()})


def pytest_configure(config):
    """As a plugin of its own: a conftest hears only of the tests in its folder."""
    if hasattr(config, "cache"):
        config.pluginmanager.register(Remember(config.cache))
