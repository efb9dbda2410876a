"""The book itself: chapters and their notebooks agree, read well in three places, and say one address."""

import base64
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import matplotlib.image
import nbformat
import numpy
import pytest
import tomllib
import yaml
from nbclient import NotebookClient

from book import repository
from pairloss.figures import Figure
from tests import pictures
from tests.cases import LISTS, PAIRS

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "book/chapters").glob("*.md"))
every_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


def notebook(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def comparable(cells):
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in cells]


@every_chapter
def test_source_and_notebook_have_the_same_cells(source):
    expected, actual = comparable(jupytext.read(source).cells), comparable(notebook(source).cells)
    for number, (cell, stored) in enumerate(zip(expected, actual, strict=False)):
        assert cell == stored, f"cell {number} differs: run make notebooks CHAPTER={source.stem}"
    assert len(expected) == len(actual)


def test_every_notebook_is_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    on_disk = {f"book/chapters/{path.name}" for path in (ROOT / "book/chapters").glob("*.ipynb")}
    assert {file for file in files if file.endswith(".ipynb")} == on_disk
    assert on_disk == {f"book/chapters/{path.stem}.ipynb" for path in CHAPTERS}


def test_the_readme_lists_the_chapters_in_their_order():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    chapters = [(file, notebook(ROOT / file).cells[0].source) for file in files if file.endswith(".ipynb")]
    listed = re.findall(r"^\d+\. \[(.*)\]\((.*)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [(file, f"# {title}") for title, file in listed] == [(file, text.split("\n")[0]) for file, text in chapters]


def test_a_mistyped_chapter_is_answered_with_the_list():
    run = [sys.executable, ROOT / "book/execute.py", "standrad_losses"]
    said = subprocess.run(run, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    listed = ", ".join(source.stem for source in CHAPTERS)
    assert said.returncode == 1
    assert said.stderr == f"There is no chapter standrad_losses; expected one of {listed}\n"


HEADER = {"extension": ".md", "format_name": "markdown", "format_version": "1.3"}


@every_chapter
def test_source_says_in_which_format_it_is(source):
    header = yaml.safe_load(source.read_text().split("---")[1])["jupyter"]
    assert header["jupytext"] == {"text_representation": HEADER}
    assert set(header) == {"accelerator", "jupytext", "kernelspec"}


@every_chapter
def test_notebook_is_executed_and_says_nothing_about_a_machine(source):
    stored = notebook(source)
    assert set(stored.metadata) == {"accelerator", "kernelspec"}
    assert stored.metadata.accelerator == "GPU"
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    red = [cell for cell in code if any(output.output_type == "error" for output in cell.outputs)]
    # Exercises wait for their answer with an assertion, and nothing else may fail.
    assert red == [cell for cell in code if cell.source.startswith("def my_")]
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type in ("stream", "display_data", "execute_result") or output.ename == "AssertionError"
        assert output.get("name") != "stderr"
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        assert not re.search(r"grad_fn|device=|cuda|/home/|/tmp/|0x[0-9a-f]{6}|tensor\(", text), text


def test_no_output_is_ignored():
    ignored = [
        (source.stem, cell.source.splitlines()[0])
        for source in CHAPTERS
        for cell in notebook(source).cells
        if re.search(r"nbval-(ignore|skip)", " ".join(cell.metadata.get("tags", [])))
        or re.search(r"NBVAL_(IGNORE|SKIP)", cell.source)
    ]
    assert ignored == []


@every_chapter
def test_chapter_follows_the_skeleton(source):
    stored = notebook(source)
    text = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    for heading in ("# ", "## The picture first", "## Take-away", "## Exercises", "## Sources"):
        assert re.search(rf"^{heading}", text, re.MULTILINE), heading
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert code[0].metadata.tags == ["remove-cell"]
    assert code[0].source == notebook(CHAPTERS[0]).cells[1].source
    assert max(len(cell.source.splitlines()) for cell in code) <= 27
    figures = 0
    for cell in code:
        images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        figures += len(images)
        if images:
            assert len(cell.metadata.mystnb["image"]["alt"]) > 40
            assert (
                max(pictures.width(image.data["image/png"]) for image in images) <= 704
            )  # letters of 9 pixels on a phone
    assert 3 <= figures <= 5
    played = [
        cell.source
        for cell in code
        if any("pairloss-figure" in o.get("data", {}).get("text/html", "") for o in cell.outputs)
    ]
    assert len(played) == 1


@every_chapter
def test_a_chapter_asks_before_it_tells(source):
    cells = notebook(source).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert re.search(r"^\*\*About \d+ minutes\.\*\* Before it: ", text, re.MULTILINE)
    questions = re.findall(r"^> \*\*Guess first\.\*\* .*\(a\).*\(b\).*\(c\)", text, re.MULTILINE)
    answers = re.findall(r"<summary>Answer</summary>\n\n\*\*\((\w)\)\*\*(.*)\n\n</details>", text)
    pictures_shown = sum("image/png" in o.get("data", {}) for cell in cells for o in cell.get("outputs", []))
    assert len(questions) == len(answers) == pictures_shown
    for right, why in answers:  # each wrong choice is answered, too
        assert {f"({letter})" for letter in "abc" if letter != right} <= set(re.findall(r"\(\w\)", why)), why
    exercises = text[text.index("## Exercises") :]
    solutions = [cell for cell in cells if cell.metadata.get("tags") == ["hide-cell"]]
    assert len(solutions) == len(re.findall(r"^\*\*\d\.\*\*", exercises, re.MULTILINE)) == 3
    assert exercises.count("<summary>Hint</summary>") == 3
    assert {cell.metadata.mystnb["code_prompt_show"] for cell in solutions} == {"Solution"}
    assert sum(cell.source.startswith("def my_") for cell in cells) == 1


@every_chapter
def test_machinery_is_folded(source):
    """No more than 25 lines of code are in view before the next number."""
    visible = 0
    for cell in notebook(source).cells:
        if cell.cell_type == "code":
            folded = {"remove-cell", "hide-input", "hide-cell"} & set(cell.metadata.get("tags", []))
            visible += 0 if folded else len(cell.source.splitlines())
            assert visible <= 25, cell.source
            visible = 0 if cell.outputs else visible


@every_chapter
def test_text_reads_in_the_book_in_colab_and_on_github(source):
    for cell in notebook(source).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^:::|^```\{|\{[a-z:]+\}`", cell.source, re.MULTILINE), cell.source
            for target in re.findall(r"\]\(([^)]*)\)", cell.source):
                assert target.startswith("https://"), target


# The numbers of the published examples, each of which must stand in an output of a chapter.
PUBLISHED = {
    "standard_losses": "0.2157 1.4860 0.0000 8.7500".split(),
    "adaptive_losses": "0.2157 1.4860 1.7782 0.0000 8.7500 15.7500 4.3636 31.1301 0.8510 4.5926".split(),
    "partial_credit": "1.6566 1.0287".split(),
}


@pytest.mark.parametrize("chapter", PUBLISHED)
def test_published_numbers_stand_in_the_outputs(chapter):
    stored = notebook(ROOT / f"book/chapters/{chapter}.md")
    outputs = " ".join(o.get("text", "") for c in stored.cells if c.cell_type == "code" for o in c.outputs)
    for number in PUBLISHED[chapter]:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", outputs), number


def test_the_picture_of_the_readme_is_that_of_the_first_chapter():
    cells = notebook(ROOT / "book/chapters/standard_losses.md").cells
    images = [o.data["image/png"] for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert base64.b64decode(images[1]) == (ROOT / "book/picture.png").read_bytes()
    assert Figure("pull", moves=True)._repr_html_() + "\n" == (ROOT / "book/picture.html").read_text()


DRAWS = """
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
_ = axes.fill_between([0, {0}], [0, 1])
"""


def test_a_figure_that_differs_fails_the_notebook(tmp_path):
    """Run as in the book: one notebook as it was stored, one with another figure, a blank one, and none at all."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRAWS.format(1))])
    other = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRAWS.format(-1))])
    for written in (made, other):
        NotebookClient(written, record_timing=False).execute()
    (good,), (wrong,) = made.cells[0].outputs, other.cells[0].outputs
    blank = io.BytesIO()
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(good.data["image/png"])))
    matplotlib.image.imsave(blank, numpy.ones_like(image))
    pngs = {"same": [good.data["image/png"]], "other": [wrong.data["image/png"]], "twice": [good.data["image/png"]] * 2}
    pngs |= {"blank": [base64.b64encode(blank.getvalue()).decode()]}
    for name, stored in pngs.items():
        made.cells[0].outputs = [nbformat.from_dict(good | {"data": good.data | {"image/png": png}}) for png in stored]
        nbformat.write(made, tmp_path / f"{name}.ipynb")
    shutil.copy(ROOT / "book/conftest.py", tmp_path)
    run = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", str(tmp_path)]
    said = subprocess.run([*run, f"--rootdir={ROOT}"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.findall(r"FAILED \S*?(\w+)\.ipynb", said) == ["blank", "other", "twice"], said
    assert "figure 1 of the cell differs: " in said
    assert "1 passed" in said


def test_one_repository_address():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["repository"]["url"] == REPOSITORY
    address = re.compile(
        rf"https://github\.com/[\w-]+/(?:pairloss|{re.escape(REPOSITORY.rpartition('/')[2])})(?![\w-])"
    )
    mentions = {
        path.relative_to(ROOT).as_posix(): set(address.findall(path.read_text("utf-8", "ignore")))
        for path in repository.files()
    }
    for file, addresses in mentions.items():
        assert addresses <= {REPOSITORY, repository.EXAMPLE}, file
    for file in ("README.md", "CITATION.cff", *(f"book/chapters/{source.name}" for source in CHAPTERS)):
        assert REPOSITORY in mentions[file]


def test_the_repository_moves_with_one_command(tmp_path):
    for path in repository.files():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)

    def asked(*url):
        run = [sys.executable, tmp_path / "book/repository.py", *url]
        done = subprocess.run(run, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def holding(text):
        return {path for path in tmp_path.rglob("*") if path.is_file() and text in path.read_bytes()}

    assert asked() == (0, f"{REPOSITORY}\n") or ("YOUR_ORG" in REPOSITORY and asked()[0] == 1)
    wrong = "github.com/a/b", "http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"
    wrong += "https://github.com/a/b/", "https://github.com/a/b.git", "https://github.com/a/b/tree", REPOSITORY
    before = holding(REPOSITORY.encode())
    for url in wrong:
        code, said = asked(url)
        assert code == 1, url
        assert said.count("\n") == 1
    assert holding(REPOSITORY.encode()) == before
    home = f"{repository.EXAMPLE}.too"
    code, said = asked(home)
    assert code == 0
    assert not holding(REPOSITORY.encode())
    assert holding(home.encode()) == before
    assert before <= {tmp_path / line.removeprefix("changed ") for line in said.splitlines()}
    assert {path.suffix for path in holding(b"YOUR_ORG")} == {".py"}
    assert asked(home)[0] == 1
    assert asked() == (0, f"{home}\n")


def test_conda_and_pip_say_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"
    assert python.startswith("python=3.11")
    # What pip installs is what pyproject.toml says, under the same constraints as in the Makefile.
    assert from_pip == {"pip": ["--constraint constraints.txt", "--editable .[book,test]"]}
    assert set(PROJECT["optional-dependencies"]) == {"book", "test", "peers"}
    assert '--constraint constraints.txt --editable ".[book,test]"' in (ROOT / "Makefile").read_text()
    pythons = re.search(r"^PYTHONS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    assert python.removeprefix("python=") in pythons
    assert f"With Python {', '.join(pythons[:-1])} or {pythons[-1]} and make" in (ROOT / "README.md").read_text()


def test_whatever_is_installed_is_pinned():
    """Not only what is asked for: what floats underneath changes outputs, and one day does not install."""

    def named(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {named(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    installed = {named(distribution.metadata["Name"]) for distribution in importlib.metadata.distributions()}
    # torch brings what its build needs: that of a GPU is not the one that the outputs were made with.
    of_torch = {name for name in installed if name.startswith(("nvidia-", "cuda-", "triton"))}
    if pictures.pinned():
        assert installed - of_torch - {"pip", "pairloss"} <= pinned
    requirements = [
        *PROJECT["dependencies"],
        *(r for extra in ("book", "test") for r in PROJECT["optional-dependencies"][extra]),
    ]
    # The peers are never installed beside the tests, and pin themselves.
    peers = PROJECT["optional-dependencies"]["peers"]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", requirement) for requirement in peers)
    assert not {named(requirement.split("==")[0]) for requirement in peers} & (pinned | installed)
    for requirement in requirements:
        name, floor = re.match(r"([\w-]+)(?:>=|==)([\d.]+)", requirement).groups()
        assert named(name) in pinned
        assert floor, "make test-oldest installs the floor"


def test_bibliography_is_cited_and_the_api_page_is_complete():
    import pairloss

    api = (ROOT / "book/api.md").read_text()
    index = (ROOT / "book/index.md").read_text()
    for name in pairloss.__all__:
        assert re.search(rf"^\.\. auto(function|class|data):: {name}$", api, re.MULTILINE), name
        if name.endswith(("_loss", "Loss")):
            assert re.search(rf"^\|.*~pairloss\.{name}`", api, re.MULTILINE), f"{name} in the table of book/api.md"
        if name in PAIRS or name in LISTS:
            assert re.search(rf"^\|.*~pairloss\.{name}`", index, re.MULTILINE), f"{name} in the map of book/index.md"
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), re.MULTILINE))
    cited = {
        key
        for page in (ROOT / "book").glob("*.md")
        for keys_of_one in re.findall(r"\{cite:p\}`([^`]*)`", page.read_text())
        for key in keys_of_one.split(",")
    }
    assert cited <= keys
