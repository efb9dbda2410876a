"""The tables of the study, as the pages show them."""

from tables import Row, numbers, read

from .models import REFERENCES

# Recall@20 and NDCG@20 of matrix factorisation with 64 dimensions, fitted on nine tenths of the training choices, as
# published: Table 2 of Yang et al., KDD 2025, arXiv 2508.05673, and of their arXiv 2411.00163.
PUBLISHED = {
    "Health": {
        "BPR": (0.1627, 0.1234),
        "softmax (SL)": (0.1719, 0.1261),
        "BSL": (0.1719, 0.1261),
        "PSL": (0.1718, 0.1268),
        "SL@20": (0.1823, 0.1390),
    },
    "Electronic": {
        "BPR": (0.0816, 0.0527),
        "softmax (SL)": (0.0821, 0.0529),
        "BSL": (0.0834, 0.0530),
        "PSL": (0.0838, 0.0541),
        "SL@20": (0.0901, 0.0590),
    },
    "Gowalla": {
        "BPR": (0.1355, 0.1111),
        "softmax (SL)": (0.2064, 0.1624),
        "BSL": (0.2071, 0.1630),
        "PSL": (0.2089, 0.1647),
        "SL@20": (0.2121, 0.1709),
    },
}
Key = tuple[str, str, str]  # scores, dimension, loss


def table() -> dict[tuple[str, ...], Row]:
    return {(row["data"], row["scores"], row["dimension"], row["loss"]): row for row in read("study")}


def mean(row: Row, measure: str) -> float:
    values = numbers(row[measure])
    return sum(values) / len(values)


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def side_by_side(names: dict[str, Key], data: tuple[str, ...], measures: tuple[str, ...]) -> list[str]:
    """A Markdown table: a row for each name, a column for each data set and measure. The best of a column is bold."""
    rows = table()
    columns = [(one, measure) for one in data for measure in measures]
    cells = {
        column: {name: mean(rows[column[0], *key], column[1]) for name, key in names.items() if (column[0], *key) in rows}
        for column in columns
    }
    head = [f"{one} {measure.upper()}" for one, measure in columns]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'---|' * len(columns)}"]
    for name in names:
        line = []
        for column in columns:
            value = cells[column].get(name)
            text = "" if value is None else short(value)
            line.append(f"**{text}**" if value == max(cells[column].values()) else text)
        if any(line):
            lines.append(f"| {name} | {' | '.join(line)} |")
    return lines


def ahead(data: str, one: Key, other: Key, measure: str = "ndcg") -> str:
    """By how much one is ahead of the other, and in how many of the splits."""
    rows = table()
    pairs = zip(*(numbers(rows[data, *key][measure]) for key in (one, other)), strict=True)
    lead = [a - b for a, b in pairs]
    signed = f"{sum(lead) / len(lead):+.3f}".replace("-", "−")
    return f"{signed}, ahead in {sum(d > 0 for d in lead)} of {len(lead)}"
