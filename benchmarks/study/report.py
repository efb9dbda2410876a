"""The tables and numbers of the study, written into the pages of the book that ask for them in comments.

A comment names rows and columns. A row is a model of the table or the difference of two. Each may have a label:

<!-- study: hinge; hardest of 10 = adaptive hinge; hinge − log BPR | NDCG = made worlds NDCG; Health AUC -->

Below an empty line a table follows. In a sentence, what the table would say stands between two comments. Without
columns it is the NDCG of every data set of people that has both rows.

softmax − EASE: <!-- study: softmax − EASE -->+0.004 (4 of 5) on MovieLens 100K<!-- -->

python -m study.report
"""

import re
from pathlib import Path

import torch
from tables import Row, interval, numbers, read

from .data import SEEDS, SIZES

BOOK = Path(__file__).parents[2] / "book"
ASKED = re.compile(r"(<!-- study: (.+?)(?: \| (.+?))? -->)(?:(\n\n)(?:.+\n)*|[^<\n]*(<!-- -->))")
PAGES = tuple(sorted(BOOK.rglob("*.md")))
PEOPLE = tuple(name for name in SIZES if name not in (*SEEDS, "generated films"))


def models() -> dict[tuple[str, str], Row]:
    """The rows by data and name. A loss on the cosine with 64 numbers needs no other words."""
    found = {(row["data"], f"{row['loss']}, published"): row for row in read("published")}
    for row in read("study"):
        words = row["loss"], row["scores"], row["dimension"], "tuned again" * (row["tuned on"] != "100")
        own = numbers(row["setting"])
        row["weight"] = f"{min(own[2], 1)}" if "genres" in row["loss"] else ""
        found[row["data"], ", ".join(filter(None, words)).replace(", cosine, 64", "")] = row
    return found


ROWS = models()


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def cell(name: str, column: str, digits: int = 3) -> str:
    """The mean of a row, or how far one is ahead of another: on worlds with a t-interval, on splits with a count."""
    data, measure = column.rsplit(" ", 1)
    texts = [ROWS.get((data, one), {}).get(measure.lower()) for one in name.split(" − ")]
    if not all(texts):
        return ""
    values = [torch.tensor(numbers(text or ""), dtype=torch.float64) for text in texts]
    if len(values) == 1:
        return f"{values[0].mean():.{digits}f}"
    difference = values[0] - values[1]
    if data in SEEDS:
        return "{} [{}, {}]".format(*map(signed, interval(difference)))
    ahead = signed(difference.mean().item())
    if len(difference) == 1:
        return ahead
    count = f"({(difference > 0).sum()} of {len(difference)})"
    return f"{ahead} {count.replace(' ', chr(160))}"  # which keeps a count on one line


def labelled(name: str) -> tuple[str, str]:
    label, _, model = name.rpartition(" = ")
    return label or model, model


def lines(names: list[str], columns: list[str]) -> str:
    """A row for each name. The best value of each column is bold.

    A star marks a row that needs a model whose best setting lies at the edge of what was tried.
    """
    heads, columns = zip(*(labelled(column) for column in columns), strict=True)
    digits = 4 if any("recall" in column for column in columns) else 3
    table = [["", *heads], ["---"] * (len(columns) + 1)]
    for name in names:
        label, model = labelled(name)
        found = {column: cell(model, column, digits).removeprefix("0") for column in columns}
        data = {column.rsplit(" ", 1)[0] for column, text in found.items() if text}
        if not data:
            raise ValueError(f"{model} has no row in the study; expected one for {' or '.join(columns)}")
        models = [ROWS[one, part] for one in data for part in model.split(" − ")]
        edge = any(row.get("setting") and row["inside"] == "False" for row in models)
        table.append([label + "\\*" * edge, *found.values()])
    for place in range(1, len(table[0])):
        best = max(row[place] for row in table[2:] if row[0] != "truth")
        for row in table[2:]:
            if row[place] == best and best.startswith("."):
                row[place] = f"**{best}**"
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def phrase(name: str, columns: list[str]) -> str:
    """The cells of one row in words."""
    each = {column.rsplit(" ", 1)[0]: text for column in columns if (text := cell(name, column))}
    if len(columns) == 1:
        return each.popitem()[1]
    *first, last = (f"{text} on {data}" for data, text in each.items())
    return f"{', '.join(first)} and {last}" if first else last


def update(page: Path) -> str:
    """The text of a page with its tables and numbers made anew."""

    def made(match: re.Match[str]) -> str:
        comment, names, columns, below, end = match.groups()
        columns = columns or "NDCG"
        wanted = columns.split("; ") if " " in columns else [f"{data} {columns}" for data in PEOPLE]
        return comment + (below + lines(names.split("; "), wanted) if below else phrase(names, wanted) + end)

    return ASKED.sub(made, page.read_text())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(update(page))
