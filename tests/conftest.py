"""Settings that the tests share, and the book that they read."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parent.parent

# It registers a device for the whole process, and runs in its own.
collect_ignore = ["on_a_fake_device.py"]
# The package alone is tested with no more than pytest, hypothesis and NumPy, on systems that need not build the book,
# and from an sdist, which has none.
OF_THE_PACKAGE = not (find_spec("jupytext") and (ROOT / "book").exists())
if OF_THE_PACKAGE:
    collect_ignore += ["browser.py", "pictures.py"]
    others = "book colab figures links pages rehearse_gpu speed stacks study training"
    others += " train_ddp train_torchrec two_tower"
    collect_ignore += [f"test_{name}.py" for name in others.split()]


def pytest_report_header():
    return "No book here, or nothing to build it with: its tests are left out" if OF_THE_PACKAGE else None


# What takes a minute or more begins first, or in the end one worker would wait for the other.
LONG = "pages rehearse_gpu devices links train_ddp package colab study two_tower".split()


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem.removeprefix("test_")
        return LONG.index(name) if name in LONG and item.get_closest_marker("slow") else len(LONG)

    items.sort(key=place)


settings.register_profile("pairloss", deadline=None, max_examples=25, derandomize=True)
# For the mutants it is enough that a case fails. The simplest one that does takes long to find.
settings.register_profile("mutants", settings.get_profile("pairloss"), phases=[Phase.generate])
settings.load_profile("pairloss")


def torchrun(script, *arguments):
    """``examples/<script>`` in two processes of this machine, without a GPU."""
    several = "torch.distributed.run --standalone --local-addr 127.0.0.1 --nproc-per-node 2".split()
    call = [sys.executable, "-m", *several, str(ROOT / "examples" / script), *map(str, arguments)]
    here = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(call, env=os.environ | here, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def one_thread():
    """Rows of the long tasks were made on one thread, and come out again to the digit only there."""
    import torch  # not above: it takes seconds, and what hands out the tests needs none of it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def built_book(tmp_path_factory):
    """The folder of the book's pages, built as `make book` does, by the first worker that asks and for all of them."""
    fcntl = pytest.importorskip("fcntl")  # not on Windows
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    strictly = "--warningiserror --nitpick --keep-going --quiet --path-output".split()
    build = [Path(sys.executable).parent / "jupyter-book", "build", ".", *strictly, shared / "book"]
    # Of this checkout, whichever one is installed.
    here = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    with (shared / "book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "book.built").exists():
            done = subprocess.run(build, **here, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            (shared / "book.built").touch()
    return shared / "book/_build/html"


@pytest.fixture(scope="session")
def soups(built_book):
    """Every file of the pages, as a tree: reading them takes ten seconds, so it is done once."""
    from bs4 import BeautifulSoup

    return {path: BeautifulSoup(path.read_text(), "html.parser") for path in built_book.rglob("*.html")}


@pytest.fixture(scope="module")
def browser():
    """Chromium, closed after each file: while it is open, neither a second one nor a kernel can be driven."""
    from playwright.sync_api import sync_playwright

    from tests.browser import chromium

    if not chromium():
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()
