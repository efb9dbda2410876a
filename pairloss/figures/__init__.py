"""Figures to play with, tables of what was measured, and one way to print a table, for the chapters of the book.

A figure is SVG and JavaScript in one HTML output. No server, no request to anybody, no library: each brings the few
functions that it needs. Where scripts do not run, it is the still picture that it starts from.
"""

import base64
import csv
import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

_FILES = resources.files(__name__)
#: The figures, in the order of the chapters.
NAMES = ("pull", "search", "credit", "choice", "temperature", "list", "forms", "cost")
#: What a figure needs in addition to the board and its own file.
_ALSO = {"temperature": ("choice",)}


def table(name: str, **wanted: str) -> list[dict[str, str]]:
    """The rows of a table of measurements, those in which the named columns hold what is wanted.

    Raises: ValueError where no row is left.

    >>> table("study", data="MovieLens 100K", loss="EASE")[0]["setting"]
    '300'
    """
    file = _FILES.joinpath("tables", f"{name}.csv")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    rows = [row for row in csv.DictReader(lines) if wanted.items() <= row.items()]
    if not rows:
        raise ValueError(f"no row of the table {name!r} has {wanted}")
    return rows


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]], form: str = ".3f") -> None:
    """Print rows under a head, the first column to the left, the others to the right. Numbers take ``form``.

    >>> print_table(("", "NDCG", "AUC"), [("popularity", 0.12, 0.8), ("cosine", 0.34, "?")], ".2f")
                 NDCG    AUC
    popularity   0.12   0.80
    cosine       0.34      ?
    """
    lines = [head, *([cell if isinstance(cell, str) else format(cell, form) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = (cell.rjust(width + 3) for cell, width in zip(others, widths[1:], strict=True))
        print(first.ljust(widths[0]) + "".join(cells))


def script(name: str) -> str:
    """The JavaScript of a figure: the mathematics, the board and the figure itself."""
    parts = ("maths", "board", *_ALSO.get(name, ()), name)
    return "\n".join(_FILES.joinpath(f"{part}.js").read_text("utf-8") for part in parts)


class Figure:
    """A figure to play with: the last line of a cell shows it.

    Args:
        name: one of ``figures.NAMES``
        data: what the figure draws, for those that draw numbers of a chapter

    Raises:
        ValueError: for an unknown name

    >>> Figure("pull")
    Figure to play with: A pair, its loss and its pull.
    """

    def __init__(self, name: str, **data: Any) -> None:
        if name not in NAMES:
            raise ValueError(f"name must be one of {', '.join(NAMES)}; got {name!r}")
        self.name, self.data = name, data
        self._still = _FILES.joinpath(f"{name}.svg").read_text("utf-8")

    def __repr__(self) -> str:
        title = re.findall("<title>(.*?)</title>", self._still)[0]
        return f"Figure to play with: {html.unescape(title)}."

    def _repr_html_(self) -> str:
        says = re.findall("<desc>(.*?)</desc>", self._still, re.DOTALL)[0]
        data = json.dumps(self.data, ensure_ascii=False).replace("</", "<\\/")
        image = base64.b64encode(self._still.encode()).decode()
        return (
            f'<figure class="pairloss-figure" data-figure="{self.name}"><img alt="{html.escape(html.unescape(says))}" '
            f'src="data:image/svg+xml;base64,{image}"></figure>\n'
            f'<script>(() => {{\n{script(self.name)}\nplay("{self.name}", {self.name}, {data});\n}})();</script>'
        )
