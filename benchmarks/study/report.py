"""The tables and numbers of the study, written into the pages of the book that ask for them in comments.

A comment names rows and columns. A row is a model of the table or the difference of two. Each may have a label:

<!-- study: hinge / hardest of 10 = adaptive hinge / hinge − log BPR | NDCG = made worlds NDCG / Health AUC -->

Below an empty line a table follows. In a sentence, what the table would say stands between two comments. The columns
of all data sets of people need no names: NDCG alone, or AUC, and NDCG where none are given.

softmax − EASE: <!-- study: softmax − EASE -->+0.004 (4 of 5) on MovieLens 100K<!-- -->

python -m study.report
"""

import re
from pathlib import Path
from statistics import fmean

import torch
from tables import Row, interval, numbers, read

from .data import SEEDS, SIZES

BOOK = Path(__file__).parents[2] / "book"
WORD = r"((?:(?!-->).)+?)"
ASKED = re.compile(rf"(<!-- study: {WORD}(?: \| {WORD})? -->)(?:(\n\n)(?:(?:\|.+\n)+\n?)?|[^<\n]*(<!-- -->))")
PAGES = tuple(sorted(BOOK.rglob("*.md")))
PEOPLE = tuple(name for name in SIZES if name not in (*SEEDS, "generated films"))


def rows_by_name() -> dict[tuple[str, str], Row]:
    """The rows by data and name. A loss on the cosine with 64 numbers needs no other words."""
    found = {(row["data"], f"{row['loss']}, published"): row for row in read("published")}
    for row in read("study"):
        words = row["loss"], row["scores"], row["dimension"], "tuned again" * (row["tuned on"] != "100")
        own = numbers(row["setting"])
        row["weight"] = f"{min(own[2], 1)}" if "genres" in row["loss"] else ""
        found[row["data"], ", ".join(filter(None, words)).replace(", cosine, 64", "")] = row
    return found


ROWS = rows_by_name()


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def cell(name: str, column: str, digits: int = 3) -> str:
    """The mean of a row, or how far one is ahead of another: on worlds with a t-interval, on splits with a count."""
    data, measure = column.rsplit(" ", 1)
    values = [numbers(ROWS.get((data, one), {}).get(measure.lower(), "")) for one in name.split(" − ")]
    if not all(values):
        return ""
    if len(values) == 1:
        return f"{fmean(values[0]):.{digits}f}"
    differences = [one - other for one, other in zip(*values, strict=True)]
    if data in SEEDS:
        return "{} [{}, {}]".format(*map(signed, interval(torch.tensor(differences, dtype=torch.float64))))
    ahead = signed(fmean(differences))
    if len(differences) == 1:
        return ahead
    count = f"({sum(one > 0 for one in differences)} of {len(differences)})"
    return f"{ahead} {count.replace(' ', chr(160))}"  # which keeps a count on one line


def edge(name: str, column: str) -> bool:
    """Whether the best setting of a model that the cell needs lies at the edge of what was tried."""
    rows = [ROWS[column.rsplit(" ", 1)[0], one] for one in name.split(" − ")]
    return any(row.get("setting") and row["inside"] == "False" for row in rows)


def labelled(name: str) -> tuple[str, str]:
    label, _, model = name.rpartition(" = ")
    return label or model, model


def lines(names: list[str], columns: list[str]) -> str:
    """A row for each name. The best value of each column is bold, and a star marks a cell at the edge."""
    heads, columns = zip(*map(labelled, columns), strict=True)
    labels, names = zip(*map(labelled, names), strict=True)
    digits = 4 if any("recall" in column for column in columns) else 3
    table = [list(labels)]
    for column in columns:
        cells = [cell(name, column, digits).removeprefix("0") for name in names]
        best = max(text for text, name in zip(cells, names, strict=True) if name != "truth")
        if column.endswith(" weight"):
            best = ""
        marked = [f"**{text}**" if text == best and best.startswith(".") else text for text in cells]
        stars = ["\\*" if text and edge(name, column) else "" for text, name in zip(cells, names, strict=True)]
        table.append([text + star for text, star in zip(marked, stars, strict=True)])
    empty = {label for label, *cells in zip(*table, strict=True) if not any(cells)}
    empty |= {head for head, cells in zip(heads, table[1:], strict=True) if not any(cells)}
    if empty:
        raise ValueError(f"the study has nothing of {', '.join(empty)}; expected the names of rows and columns")
    every = [("", *heads), ("---",) * len(table), *zip(*table, strict=True)]
    return "".join(f"| {' | '.join(row)} |\n" for row in every) + "\n"


def phrase(name: str, columns: list[str]) -> str:
    """The cells of one row in words."""
    ran = [column for column in columns if cell(name, column)]
    each = [(cell(name, column) + "\\*" * edge(name, column), column.rsplit(" ", 1)[0]) for column in ran]
    if not each:
        raise ValueError(f"the study has nothing of {name} in {', '.join(columns)}")
    if len(columns) == 1:
        return each[0][0]
    *first, last = (f"{text} on {data}" for text, data in each)
    return f"{', '.join(first)} and {last}" if first else last


def update(page: Path) -> str:
    """The text of a page with its tables and numbers made anew."""

    def made(match: re.Match[str]) -> str:
        comment, names, columns, below, end = match.groups()
        columns = columns or "NDCG"
        wanted = columns.split(" / ") if " " in columns else [f"{data} {columns}" for data in PEOPLE]
        return comment + (below + lines(names.split(" / "), wanted) if below else phrase(names, wanted) + end)

    return ASKED.sub(made, page.read_text())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(update(page))
