"""The book itself: chapters and their notebooks agree, read well in three places, and say one address."""

import base64
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import PIL.Image
import pytest
import yaml
from study.report import ASKED

from book import repository
from pairloss.figures import Figure
from tests import pictures
from tests.cases import LISTS, PAIRS

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "book/chapters").glob("*.md"))
every_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
# The first and the last show the whole way, and have nothing to guess, to draw or to solve.
LESSONS = [path for path in CHAPTERS if path.stem not in ("five_minutes", "your_data")]
every_lesson = pytest.mark.parametrize("source", LESSONS, ids=lambda path: path.stem)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
FILES = [chapter["file"] for part in TOC for chapter in part["chapters"]]


def notebook(source):
    written = source.with_suffix(".ipynb")
    assert written.exists(), (
        f"{source.stem}: there is no {written.name}; make notebooks CHAPTER={source.stem} writes it"
    )
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def numbered(source, kind):
    """The cells of a kind, each with its number in the notebook."""
    return [(number, cell) for number, cell in enumerate(notebook(source).cells) if cell.cell_type == kind]


def pngs(cell):
    return [o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]


def comparable(cells):
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in cells]


@every_chapter
def test_source_and_notebook_have_the_same_cells(source):
    stored = notebook(source)
    expected, actual = comparable(pytest.importorskip("jupytext").read(source).cells), comparable(stored.cells)
    for number, (cell, stored) in enumerate(zip(expected, actual, strict=False)):
        assert cell == stored, f"{source.stem}, cell {number} differs: run make notebooks CHAPTER={source.stem}"
    assert len(expected) == len(actual), f"{source.stem}: cells came or went: run make notebooks CHAPTER={source.stem}"


def test_every_notebook_is_in_the_table_of_contents():
    on_disk = {f"book/chapters/{path.name}" for path in (ROOT / "book/chapters").glob("*.ipynb")}
    written = {f"book/chapters/{path.stem}.ipynb" for path in CHAPTERS}
    assert on_disk == written, f"without its source or not yet made (make notebooks): {on_disk ^ written}"
    listed = {file for file in FILES if file.endswith(".ipynb")}
    assert listed == on_disk, f"_toc.yml lists the chapters; in one of the two alone: {listed ^ on_disk}"


def test_the_readme_lists_the_chapters_in_their_order():
    chapters = [(file, notebook(ROOT / file).cells[0].source) for file in FILES if file.endswith(".ipynb")]
    listed = re.findall(r"^\d+\. \[(.*)\]\((.*)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    for (title, file), (expected, text) in zip(listed, chapters, strict=False):
        assert (file, f"# {title}") == (expected, text.split("\n")[0]), "README.md lists the chapters as _toc.yml does"
    assert len(listed) == len(chapters), "README.md lists the chapters, one in a line"


def test_the_first_page_lists_the_chapters_and_how_long_they_take():
    long = r"^\*\*About (\d+) minutes\.\*\*"
    text = {source.stem: source.read_text() for source in CHAPTERS}
    names = [Path(file).stem for file in FILES if Path(file).stem in text]
    expected = [(name, re.search(long, text[name], re.MULTILINE)[1]) for name in names]
    rows = re.findall(
        r"^\| \{doc\}`chapters/(\w+)` \| .* \| (\d+) \|$", (ROOT / "book/index.md").read_text(), re.MULTILINE
    )
    assert rows == expected, "book/index.md has a row for each chapter, with its minutes"


@pytest.mark.slow
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
    for count, (number, cell) in enumerate(numbered(source, "code"), 1):
        at = f"{source.stem}, cell {number}:"
        assert cell.execution_count == count, f"{at} is not executed: run make notebooks CHAPTER={source.stem}"
        # Exercises wait for their answer with an assertion, and nothing else may fail.
        red, stub = any(o.output_type == "error" for o in cell.outputs), cell.source.startswith("def my_")
        assert red == stub, f"{at} only the exercise that begins with 'def my_' fails, and it does"
        for output in cell.outputs:
            kinds = "stream", "display_data", "execute_result"
            assert output.output_type in kinds or output.ename == "AssertionError", f"{at} fails with {output.ename}"
            assert output.get("name") != "stderr", f"{at} writes to stderr: {output.text}"
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            told = re.search(r"grad_fn|device=|cuda|/home/|/tmp/|0x[0-9a-f]{6}|tensor\(", text)
            assert not told, f"{at} no device, path or bare tensor is printed, but {told[0]!r} is: {text}"


def test_no_output_is_ignored():
    ignored = [
        (source.stem, cell.source.splitlines()[0])
        for source in CHAPTERS
        for cell in notebook(source).cells
        if re.search(r"nbval-(ignore|skip)", " ".join(cell.metadata.get("tags", [])))
        or re.search(r"NBVAL_(IGNORE|SKIP)", cell.source)
    ]
    assert ignored == []


@every_lesson
def test_chapter_follows_the_skeleton(source):
    text = "\n".join(cell.source for _, cell in numbered(source, "markdown"))
    for heading in ("# ", "## The picture first", "## Take-away", "## Exercises", "## Sources"):
        assert re.search(rf"^{heading}", text, re.MULTILINE), f"{source.stem}: has no heading {heading!r}"
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, f"{source.stem}: has one title"
    code = numbered(source, "code")
    first = code[0][1].metadata.get("tags"), code[0][1].source
    top = numbered(CHAPTERS[0], "code")[0][1].source
    assert first == (["remove-cell"], top), f"{source.stem}, cell {code[0][0]}: the first is that of every chapter"
    figures = played = 0
    for number, cell in code:
        at, lines = f"{source.stem}, cell {number}:", len(cell.source.splitlines())
        assert lines <= 27, f"{at} has {lines} lines; at most 25 and a tag or two"
        for png in pngs(cell):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 40, (
                f'{at} a picture has alt text of more than 40 letters, mystnb={{"image": {{"alt": "…"}}}}'
            )
            width = pictures.width(png)  # letters of 9 pixels on a phone
            assert width <= 704, f"{at} the picture is {width} pixels wide; at most 704, which are 6.2 inches"
            figures += 1
        played += any("pairloss-figure" in o.get("data", {}).get("text/html", "") for o in cell.outputs)
    assert 3 <= figures <= 5, f"{source.stem}: has {figures} pictures; expected three to five"
    assert played <= 1, f"{source.stem}: has {played} figures to play with; expected one at most"


@every_lesson
def test_a_chapter_asks_before_it_tells(source):
    cells, at = notebook(source).cells, f"{source.stem}:"
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    begins = re.search(r"^\*\*About \d+ minutes\.\*\* Before it: ", text, re.MULTILINE)
    assert begins, f"{at} says at its top '**About 30 minutes.** Before it: …'"
    questions = re.findall(r"^> \*\*(?:Guess|Write it down) first\.\*\* (.*)", text, re.MULTILINE)
    answers = re.findall(r"<summary>Answer</summary>\n\n\*\*(.+?)\*\*(.*)\n\n</details>", text)
    found = len(questions), len(answers), sum(len(pngs(cell)) for cell in cells)
    assert len({*found}) == 1, f"{at} as many questions as answers as pictures, but there are {found}"
    for question, (right, why) in zip(questions, answers, strict=True):
        choices = set(re.findall(r"\([abc]\)", question))
        assert len(choices) in (0, 3), f"{at} three choices or none: {question}"
        assert choices - {right} <= set(re.findall(r"\(\w\)", why)), f"{at} each wrong choice is answered, too: {why}"
    exercises = text.partition("## Exercises")[2]
    solutions = [(n, cell) for n, cell in enumerate(cells) if cell.metadata.get("tags") == ["hide-cell"]]
    asked = len(re.findall(r"^\*\*\d\.\*\*", exercises, re.MULTILINE))
    found = asked, exercises.count("<summary>Hint</summary>"), len(solutions)
    assert found == (3, 3, 3), (
        f"{at} three exercises '**1.** …', hints and solutions (hide-cell), but there are {found}"
    )
    for n, cell in solutions:
        label = cell.metadata.get("mystnb", {}).get("code_prompt_show")
        assert label == "Solution", (
            f'{source.stem}, cell {n}: a solution has mystnb={{"code_prompt_show": "Solution", …}}'
        )
    stubs = sum(cell.source.startswith("def my_") for cell in cells)
    assert stubs == 1, f"{at} one exercise begins with a stub 'def my_…', but {stubs} do"


@every_chapter
def test_a_chapter_is_short(source):
    words = sum(len(one.split()) for one in sentences(source.read_text()))
    minutes = int(re.search(r"^\*\*About (\d+) minutes", source.read_text(), re.MULTILINE)[1])
    assert words <= 2200, f"{source.stem}: has {words} words; at most 2,200"
    assert minutes <= 35


@every_lesson
def test_machinery_is_folded(source):
    """No more than 25 lines of code are in view before the next number."""
    visible = 0
    for number, cell in numbered(source, "code"):
        folded = {"remove-cell", "hide-input", "hide-cell"} & set(cell.metadata.get("tags", []))
        visible += 0 if folded else len(cell.source.splitlines())
        assert visible <= 25, (
            f"{source.stem}, cell {number}: {visible} lines in view before the next number; at most 25"
        )
        visible = 0 if cell.outputs else visible


@every_chapter
def test_text_reads_in_the_book_in_colab_and_on_github(source):
    for number, cell in numbered(source, "markdown"):
        at = f"{source.stem}, cell {number}:"
        myst = re.search(r"^:::|^```\{|\{[a-z:]+\}`", cell.source, re.MULTILINE)
        assert not myst, f"{at} Colab and GitHub do not know {myst[0]!r}"
        for target in re.findall(r"\]\(([^)]*)\)", cell.source):
            assert target.startswith("https://"), f"{at} a link has its full address, but {target!r}"


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
    images = [png for cell in cells for png in pngs(cell)]
    assert base64.b64decode(images[1]) == (ROOT / "book/picture.png").read_bytes()
    assert Figure("pull", moves=True)._repr_html_() + "\n" == (ROOT / "book/picture.html").read_text()


DRAWS = """
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
_ = axes.fill_between([0, {0}], [0, 1])
"""


@pytest.mark.slow
def test_a_figure_that_differs_fails_the_notebook(tmp_path):
    """Run as in the book: one notebook as it was stored, one with another figure, a blank one, and none at all."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRAWS.format(1))])
    other = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRAWS.format(-1))])
    for written in (made, other):
        pytest.importorskip("nbclient").NotebookClient(written, record_timing=False).execute()
    (good,), (wrong,) = made.cells[0].outputs, other.cells[0].outputs
    blank = io.BytesIO()
    image = PIL.Image.open(io.BytesIO(base64.b64decode(good.data["image/png"])))
    PIL.Image.new("RGBA", image.size, "white").save(blank, "png")
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


EXAMPLE = "https://github.com/you/pairloss"


def copy_of_the_repository(folder):
    for path in repository.files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


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
        assert addresses <= {REPOSITORY, EXAMPLE}, file
    for file in ("README.md", "CITATION.cff", *(f"book/chapters/{source.name}" for source in CHAPTERS)):
        assert REPOSITORY in mentions[file]


def test_the_repository_moves_with_one_command(tmp_path):
    copy_of_the_repository(tmp_path)

    def asked(*url):
        run = [sys.executable, tmp_path / "book/repository.py", *url]
        done = subprocess.run(run, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def holding(text):
        return {path for path in tmp_path.rglob("*") if path.is_file() and text in path.read_bytes()}

    before = holding(REPOSITORY.encode())
    for wrong in ("http://github.com/a/b", "https://example.org/a/b", "https://github.com/a/b.git"):
        assert asked(wrong) == (1, f"URL was {wrong}; expected the like of {EXAMPLE}\n")
    assert holding(REPOSITORY.encode()) == before
    home = f"{EXAMPLE}.too"
    assert asked(home) == (0, f"{home}\n")
    assert holding(home.encode()) == before
    assert asked() == (0, f"{home}\n")
    assert {path.suffix for path in holding(b"YOUR_ORG")} == {".py"}


def test_conda_and_pip_say_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"
    assert python.startswith("python=3.11")
    # What pip installs is what pyproject.toml says, under the same constraints as in the Makefile.
    assert from_pip == {"pip": ["--constraint constraints.txt", "--editable .[book,test]"]}
    assert set(PROJECT["optional-dependencies"]) == {"book", "recbole", "stacks", "study", "test"}
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
    # What the study compares with is never installed with the tests, and pins itself.
    study = PROJECT["optional-dependencies"]["study"]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", requirement) for requirement in study)
    assert not {named(requirement.split("==")[0]) for requirement in study} & (pinned | installed)
    for requirement in requirements:
        name, floor = re.match(r"([\w-]+)(?:>=|==)([\d.]+)", requirement).groups()
        assert named(name) in pinned
        assert floor, "make test-oldest installs the floor"


def test_bibliography_is_cited_and_the_api_page_is_complete():
    import pairloss

    api = (ROOT / "book/api.md").read_text()
    sheet = (ROOT / "book/cheat_sheet.md").read_text()
    for name in pairloss.__all__:
        assert re.search(rf"^\.\. auto(function|class|data):: {name}$", api, re.MULTILINE), name
        if name.endswith(("_loss", "Loss")):
            assert re.search(rf"^\|.*~pairloss\.{name}`", api, re.MULTILINE), f"{name} in the table of book/api.md"
        if name in PAIRS or name in LISTS:
            assert re.search(rf"^\|.*~pairloss\.{name}`", sheet, re.MULTILINE), (
                f"{name} in the map of book/cheat_sheet.md"
            )
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), re.MULTILINE))
    cited = {
        key
        for page in (ROOT / "book").glob("*.md")
        for keys_of_one in re.findall(r"\{cite:p\}`([^`]*)`", page.read_text())
        for key in keys_of_one.split(",")
    }
    assert cited <= keys


def sentences(text):
    """The sentences of Markdown, without code, tables, formulas, comments and what stands below Sources."""
    text = re.sub(r"\A---.*?---", "", text, flags=re.DOTALL).partition("\n## Sources")[0]
    for other in (r"(`{3,}).*?\1", r"\$\$.*?\$\$", r"<!--.*?-->"):
        text = re.sub(other, "", text, flags=re.DOTALL)
    text = re.sub(r"^(\||    ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\$[^$]*\$|`[^`]*`", "x", text)
    paragraphs = re.split(r"\n\s*\n|\n(?=[-*\d>])", text)
    return [
        one for part in paragraphs for one in re.split(r"(?<=[.!?])[)*\"]*\s+(?=[A-Z*(`x])", " ".join(part.split()))
    ]


NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
# Numbers that a sentence computes itself, or that another test finds in a figure to play with or in a table of the GPU.
ARITHMETIC = {
    "adaptive_losses": "1,000, 1.1513, 1.3255, 1.6479, 2.1, 2.7156, 26.0283, 3.4012, 3.5, 4.7, 5.1018",
    "choosing_negatives": "95 %",
    "lists": "0.920, 95 %",
    "one_name": "95 %",
    "partial_credit": "0.99, 95 %",
    "softly": "0.117, 0.93, 4.7, 9 %, 95 %",
    "speed": "100,000, 29,858, 40,988, 6,728, 8.75, 810,128",
    "standard_losses": "3.04",
    "your_data": "95 %",
}


@every_chapter
def test_numbers_in_prose_stand_in_outputs(source):
    """Each number with a point, a comma or a percent sign: printed, asserted, drawn or in a table of the study."""
    text, cells = source.read_text(), notebook(source).cells
    studied = (re.sub("<!--.+?-->", "", one[0]) for one in ASKED.finditer(text))  # what the study wrote there
    text = ASKED.sub("", text)
    shown = [*studied, *(cell.source for cell in cells if cell.cell_type == "code")]
    shown += [o.get("text", "") for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    values = {float(one.replace(",", "")) for one in re.findall(NUMBER + r"|\.\d+", " ".join(shown).replace("_", ","))}
    alone = set()
    for sentence in sentences(re.sub(r"\]\(https?://[^)]*\)", "]", text)):
        for one, percent in re.findall(rf"(?<![\w.,:])({NUMBER})( %)?(?![\w:])", sentence):
            number, digits = float(one.replace(",", "")), len(one.partition(".")[2])
            scales = (1, 100) if percent else (1,)
            if (digits or percent or "," in one) and not any(
                abs(round(value * scale, digits) - number) < 1e-9 for value in values for scale in scales
            ):
                alone.add(one + percent)
    allowed = set(ARITHMETIC.get(source.stem, "").split(", ")) - {""}
    assert alone == allowed, f"neither printed nor computed: {alone - allowed}; printed by now: {allowed - alone}"


PROSE = [*CHAPTERS, *sorted((ROOT / "book").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.stem)
def test_prose_is_plain(page):
    """A guess with its three answers may be longer."""
    every = sentences(page.read_text())
    long = [one for one in every if len(one.split()) > 30 and "(a)" not in one]
    assert len(long) <= 2, "sentences of more than 30 words:\n" + "\n".join(long)
    words = [one for one in every if re.search(r";|\b(beside|that of|whoever)\b", one, re.IGNORECASE)]
    assert not words, "semicolons, or beside, that of, whoever:\n" + "\n".join(words)
