"""The tables of the study and what is said of them, as the chapter "Training a recommender" has them.

python -m study.report    writes them into the chapter, each below its comment <!-- study: NAME -->
"""

import re
from pathlib import Path

from tables import Row, numbers, read

from .losses import LOSSES

# Recall@20 and NDCG@20 of matrix factorisation with 64 dimensions, fitted on nine tenths of the training choices, as
# Yang et al. publish them for PSL (arXiv 2411.00163) and SL@K (arXiv 2508.05673).
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
    """The rows by data, scores, dimension and loss, and those that were tuned again with another end."""
    names = ("data", "scores", "dimension", "loss")
    return {(*(row[name] for name in names), *["again"] * (row["tuned on"] != "100")): row for row in read("study")}


def mean(row: Row, measure: str) -> float:
    values = numbers(row[measure])
    return sum(values) / len(values)


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def side_by_side(names: dict[str, Key], data: tuple[str, ...], measures: tuple[str, ...]) -> list[str]:
    """A row for each name, a column for each data set and measure. The best of a column is bold.

    A star marks a row whose best setting lies at the edge of what was tried.
    """
    rows = table()
    columns = [
        {name: mean(rows[one, *key], measure) for name, key in names.items() if (one, *key) in rows}
        for one in data
        for measure in measures
    ]
    heads = [f"{one} {TITLES[measure]}" for one in data for measure in measures]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in names:
        if not any(name in column for column in columns):
            continue
        cells = [short(column[name]) if name in column else "" for column in columns]
        best = [name in column and column[name] == max(column.values()) for column in columns]
        settings = [rows[one, *names[name]] for one in data if (one, *names[name]) in rows]
        edge = "\\*" if any(row["setting"] and row["inside"] == "False" for row in settings) else ""
        lines += [f"| {name}{edge} | {' | '.join(f'**{c}**' if b else c for c, b in zip(cells, best, strict=True))} |"]
    return lines


def ahead(data: str, one: Key, other: Key, measure: str = "ndcg") -> str:
    """By how much one is ahead of the other, and in how many of the splits or starts."""
    rows = table()
    pairs = zip(*(numbers(rows[data, *key][measure]) for key in (one, other)), strict=True)
    lead = [a - b for a, b in pairs]
    signed = f"{sum(lead) / len(lead):+.3f}".replace("-", "−")
    return f"{signed} ({sum(d > 0 for d in lead)} of {len(lead)})"


def leads(one: Key, other: Key, measure: str = "ndcg") -> str:
    """How far one is ahead of the other on each data set that has both."""
    rows = table()
    data = [name for name in PEOPLE if (name, *one) in rows and (name, *other) in rows]
    return " and ".join(f"{ahead(name, one, other, measure)} on {name}" for name in data)


def sixty_four(loss: str) -> Key:
    return "cosine", "64", loss


def again(loss: str) -> str:
    """NDCG on MovieLens of what was tuned on one set of splits and on another."""
    rows, key = table(), (PEOPLE[0], "cosine", "64", loss)
    return f"{mean(rows[key], 'ndcg'):.3f} and {mean(rows[*key, 'again'], 'ndcg'):.3f}"


def published() -> list[str]:
    """Published Recall@20 and NDCG@20 compared with the study's, fitted on the same share of the choices."""
    rows = table()
    data = [one for one in PUBLISHED if (one, *COSINE) in rows]
    lines = [f"| | {' | '.join(data)} |", f"|---|{'---|' * len(data)}"]
    for name in PUBLISHED[data[0]]:
        cells = (" / ".join(short(value, 4) for value in PUBLISHED[one][name]) for one in data)
        lines.append(f"| {name}, published | {' | '.join(cells)} |")
    for name, key in OURS.items():
        own = [rows.get((one, *key)) for one in data]
        cells = (" / ".join(short(mean(row, m), 4) for m in ("recall", "ndcg")) if row else "" for row in own)
        if any(own):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def update() -> str:
    """The text of the chapter with its tables made anew."""
    text = CHAPTER.read_text()
    for name, lines in TABLES.items():
        found = re.compile(rf"(<!-- study: {name} -->\n\n)(?:.+\n)*")
        assert found.search(text), name
        text = found.sub(lambda match, lines=lines: match[1] + "\n".join([*lines(), ""]), text)
    return text


TITLES = {"ndcg": "NDCG", "auc": "AUC", "recall": "Recall"}
CHAPTER = Path(__file__).parents[2] / "book/chapters/training.md"
PEOPLE = ("MovieLens 100K", "Health", "Last.fm 2K")
OURS: dict[str, Key] = {
    "EASE": ("", "", "EASE"),
    "implicit ALS, 64": ("", "64", "implicit ALS"),
    "implicit ALS, 256": ("", "256", "implicit ALS"),
    "cosine, 64, log BPR": ("cosine", "64", "log BPR"),
    "cosine, 64, softmax of 100": ("cosine", "64", "softmax of 100"),
    "cosine, 64, BSL of 100": ("cosine", "64", "BSL of 100"),
    "cosine, 64, PSL of 100": ("cosine", "64", "PSL of 100"),
    "cosine, 64, SL@20": ("cosine", "64", "SL@20"),
    "cosine, 64, softmax": ("cosine", "64", "softmax"),
    "cosine, 256, SL@20": ("cosine", "256", "SL@20"),
    "cosine, 256, softmax": ("cosine", "256", "softmax"),
}
TABLES = {
    "scores": lambda: side_by_side(
        {
            f"{scores}, {dimension}, {loss}": (scores, dimension, loss)
            for loss in ("log BPR", "softmax")
            for scores in ("dot", "cosine")
            for dimension in ("16", "64", "256")
        },
        PEOPLE[:2],
        ("ndcg", "auc"),
    ),
    "losses": lambda: side_by_side({loss: ("cosine", "64", loss) for loss in LOSSES}, PEOPLE[:2], ("ndcg", "auc")),
    "references": lambda: side_by_side(
        {
            "popularity": ("", "", "popularity"),
            "EASE": ("", "", "EASE"),
            **{f"{name}, 64": ("", "64", name) for name in ("implicit ALS", "implicit BPR", "LightFM WARP")},
            "implicit ALS, 256": ("", "256", "implicit ALS"),
            "cosine, 64, softmax": ("cosine", "64", "softmax"),
            "cosine, 256, softmax": ("cosine", "256", "softmax"),
        },
        PEOPLE[:2],
        ("ndcg", "auc"),
    ),
    "published": published,
    "on scores": lambda: [
        f"With 64 numbers and the softmax, the cosine differs from the dot product by {leads(COSINE, DOT)}.",
        f"The cosine with 256 numbers differs from the one with 64 by {leads(LARGE, COSINE)}.",
    ],
    "on losses": lambda: [
        f"The softmax over all items differs from log BPR by {leads(COSINE, sixty_four('log BPR'))}.",
        f"It differs from ten drawn negatives by {leads(COSINE, sixty_four('softmax of 10'))}.",
        "SL@20 weighs a choice by how near it is to the first 20 places.",
        f"It differs from the softmax by {leads(sixty_four('SL@20'), COSINE)}.",
        "PSL differs from the softmax of as many drawn negatives by "
        f"{leads(sixty_four('PSL of 100'), sixty_four('softmax of 100'))}.",
        "How far does chance move such numbers? Tuned on two sets of splits of MovieLens, the softmax came out at "
        f"{again('softmax')}, and log BPR at {again('log BPR')}.",
    ],
    "on references": lambda: [
        f"The cosine with 256 numbers differs from EASE by {leads(LARGE, EASE)}. In AUC it differs by "
        f"{leads(LARGE, EASE, 'auc')}. From ALS with 256 numbers it differs by {leads(LARGE, ALS)}. With 64 numbers it "
        f"differs from EASE by {leads(COSINE, EASE)}."
    ],
}
EASE, ALS, DOT = ("", "", "EASE"), ("", "256", "implicit ALS"), ("dot", "64", "softmax")
COSINE, LARGE = ("cosine", "64", "softmax"), ("cosine", "256", "softmax")

if __name__ == "__main__":
    CHAPTER.write_text(update())
