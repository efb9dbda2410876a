"""The tables of the study and what is said of them, as the pages of the book have them.

python -m study.report    writes them into the pages, each below its comment <!-- study: NAME -->
"""

import re
from pathlib import Path

import torch
from tables import Row, interval, numbers, read
from torch import Tensor

from .data import FRESH, SEEDS, WORLDS
from .losses import LOSSES

# Recall@20 and NDCG@20 of matrix factorisation with 64 dimensions, fitted on nine tenths of the training choices, as
# Yang et al. publish them for PSL (arXiv 2411.00163) and SL@K (arXiv 2508.05673).
PUBLIC = "Health", "Electronic", "Gowalla"
PUBLISHED = {
    "log BPR (called BPR)": ((0.1627, 0.1234), (0.0816, 0.0527), (0.1355, 0.1111)),
    "softmax (SL)": ((0.1719, 0.1261), (0.0821, 0.0529), (0.2064, 0.1624)),
    "BSL": ((0.1719, 0.1261), (0.0834, 0.0530), (0.2071, 0.1630)),
    "PSL": ((0.1718, 0.1268), (0.0838, 0.0541), (0.2089, 0.1647)),
    "SL@20": ((0.1823, 0.1390), (0.0901, 0.0590), (0.2121, 0.1709)),
}
Key = tuple[str, str, str]  # scores, dimension, loss
BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = "standard_losses", "adaptive_losses", "softly", "choosing_negatives", "partial_credit", "training"
PLACES = "which_loss", "study", *(f"chapters/{name}" for name in CHAPTERS)
PAGES = tuple(BOOK / f"{place}.md" for place in PLACES)
PEOPLE = ("MovieLens 100K", "Health", "Last.fm 2K")
EVERY = (*PEOPLE, "Electronic", "citeulike-a", "Gowalla")
TITLES = {"ndcg": "NDCG", "auc": "AUC"}
EASE, ALS, DOT = ("", "", "EASE"), ("", "256", "implicit ALS"), ("dot", "64", "softmax")


def table() -> dict[tuple[str, ...], Row]:
    """The rows by data, scores, dimension and loss, and those that were tuned again with another end."""
    names = ("data", "scores", "dimension", "loss")
    return {(*(row[name] for name in names), *["again"] * (row["tuned on"] != "100")): row for row in read("study")}


ROWS = table()


def cosine(loss: str, dimension: str = "64") -> Key:
    return "cosine", dimension, loss


BEST, LARGE = cosine("softmax"), cosine("softmax", "256")


def mean(row: Row, measure: str) -> float:
    values = numbers(row[measure])
    return sum(values) / len(values)


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def bracket(differences: Tensor) -> str:
    """Their mean with a t-interval."""
    return "{} [{}, {}]".format(*map(signed, interval(differences)))


def side_by_side(names: dict[str, Key], data: tuple[str, ...], measures: tuple[str, ...] = ("ndcg", "auc")) -> str:
    """A row for each name, a column for each data set and measure. The best of a column is bold.

    A star marks a row whose best setting lies at the edge of what was tried.
    """
    columns = [
        {name: mean(ROWS[one, *key], measure) for name, key in names.items() if (one, *key) in ROWS}
        for one in data
        for measure in measures
    ]
    heads = [f"{one} {TITLES[measure]}" for one in data for measure in measures]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in names:
        if not any(name in column for column in columns):
            continue
        cells = [short(column[name]) if name in column else "" for column in columns]
        reach = [max(value for one, value in column.items() if one != "truth") for column in columns]
        best = [column.get(name) == most for column, most in zip(columns, reach, strict=True)]
        settings = [ROWS[one, *names[name]] for one in data if (one, *names[name]) in ROWS]
        edge = "\\*" if any(row["setting"] and row["inside"] == "False" for row in settings) else ""
        lines.append(
            f"| {name}{edge} | {' | '.join(f'**{c}**' if b else c for c, b in zip(cells, best, strict=True))} |"
        )
    return "\n".join(lines)


def lead(data: str, one: Key, other: Key, measure: str = "ndcg") -> str:
    """By how much one is ahead of the other: on worlds with a t-interval, on splits of people with a count."""
    pairs = zip(*(numbers(ROWS[data, *key][measure]) for key in (one, other)), strict=True)
    found = torch.tensor([a - b for a, b in pairs], dtype=torch.float64)
    if data in SEEDS:
        return bracket(found)
    count = f" ({(found > 0).sum()} of {len(found)})" if len(found) > 1 else ""
    return f"{signed(found.mean().item())}{count} on {data}"


def leads(one: Key, other: Key, measure: str = "ndcg", data: tuple[str, ...] = EVERY) -> str:
    """How far one is ahead of the other on each data set of people that has both."""
    each = [lead(name, one, other, measure) for name in data if (name, *one) in ROWS and (name, *other) in ROWS]
    return f"{', '.join(each[:-1])} and {each[-1]}" if len(each) > 1 else each[0]


def of_lists(loss: str, measure: str, setting: str) -> str:
    """How far a list loss is ahead of the hinge over all pairs, on ten worlds of `make claims`."""
    rows = [row for row in read("claims-judged") if (row["experiment"], row["setting"]) == ("lists", setting)]
    one, other = ([float(row[measure]) for row in rows if row["loss"] == name] for name in (loss, "hinge, all pairs"))
    return bracket(torch.tensor(one, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64))


def of_cosines(names: str) -> dict[str, tuple[Key, Key]]:
    """Pairs of losses by their names, as in "BPR − log BPR; hinge − BPR"."""
    pairs = (name.split(" − ") for name in names.split("; "))
    return {f"{one} − {other}": (cosine(one), cosine(other)) for one, other in pairs}


def ndcg(data: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    return {f"{one} NDCG": (one, "ndcg") for one in data}


def differences(pairs: dict[str, tuple[Key, Key]], columns: dict[str, tuple[str, str]]) -> str:
    """A row for each pair, a column for each data set and measure, with how far the one is ahead of the other."""
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, (one, other) in pairs.items():
        cells = [
            lead(data, one, other, measure).removesuffix(f" on {data}")
            if {(data, *one), (data, *other)} <= {*ROWS}
            else ""
            for data, measure in columns.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def again(loss: str) -> str:
    """What a second tuning on other splits of MovieLens changed."""
    key = (PEOPLE[0], *cosine(loss))
    one, other = ROWS[key], ROWS[*key, "again"]
    if one["setting"] == other["setting"]:
        return f"the same setting for {loss}"
    return f"another setting for {loss}, with an NDCG of {mean(other, 'ndcg'):.3f} instead of {mean(one, 'ndcg'):.3f}"


def published() -> str:
    """Published Recall@20 and NDCG@20 compared with the study's, fitted on the same share of the choices."""
    lines = [f"| | {' | '.join(PUBLIC)} |", f"|---|{'---|' * len(PUBLIC)}"]
    for name, found in PUBLISHED.items():
        cells = (" / ".join(short(value, 4) for value in pair) for pair in found)
        lines.append(f"| {name}, published | {' | '.join(cells)} |")
    for name, key in (REFERENCES | {f"cosine, 64, {loss}": cosine(loss) for loss in LOSSES} | SIZES).items():
        own = [ROWS.get((one, *key)) for one in PUBLIC]
        if any(own) and name != "popularity":
            cells = (" / ".join(short(mean(row, m), 4) for m in ("recall", "ndcg")) if row else "" for row in own)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def credit(data: str) -> str:
    """Of hinge and softmax without credit, with credit for true labels and with credit for shuffled ones."""
    lines = []
    for loss in ("hinge", "softmax of 10"):
        plain, true, shuffled = keys = [
            cosine(f"{loss}{labels}") for labels in ("", ", true genres", ", shuffled genres")
        ]
        if all((data, *key) in ROWS for key in keys):
            edge = "" if all(ROWS[data, *key]["inside"] == "True" for key in keys) else "\\*"
            pairs = (true, plain), (shuffled, plain), (true, shuffled)
            cells = [lead(data, *pair).removesuffix(f" on {data}") for pair in pairs]
            weights = (min(numbers(ROWS[data, *key]["setting"])[2], 1) for key in (true, shuffled))
            lines.append(f"| {data} | {loss}{edge} | {' | '.join(cells)} | {' / '.join(f'{w:.2g}' for w in weights)} |")
    return "\n".join(lines)


def update(page: Path) -> str:
    """The text of a page with its tables made anew."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{BLOCKS[match[2]]()}\n"

    return re.sub(r"(<!-- study: (.+) -->\n\n)(?:.+\n)*", block, page.read_text())


BATCHES = "softmax in the batch", "softmax in the batch, log q"
BATCH, LOG_Q = map(cosine, BATCHES)
REFERENCES: dict[str, Key] = {
    "popularity": ("", "", "popularity"),
    "EASE": EASE,
    **{f"{name}, 64": ("", "64", name) for name in ("implicit ALS", "LightFM WARP")},
    "implicit ALS, 256": ALS,
}
SIZES = {f"cosine, {size}, {loss}": cosine(loss, size) for loss in ("SL@20", "softmax") for size in ("64", "256")}
ALL = {loss: cosine(loss) for loss in LOSSES}
ADAPTIVE = ("log BPR", "BPR", "hinge", "DNS of 3", "adaptive BPR", "adaptive hinge", "WARP")
SOFTLY = ("log BPR", "adaptive hinge", "DNS of 3", "BCE of 10", "softmax of 10", "softmax of 100", "softmax")
SOFTLY = {loss: cosine(loss) for loss in (*SOFTLY, *BATCHES)} | {"EASE": EASE}
PAIRED = "adaptive BPR − BPR; adaptive hinge − hinge; WARP − hinge; DNS of 3 − log BPR"
HISTORY = ("history", "64", "softmax")
NEGATIVES = {
    "uniform": "hinge",
    "first violation of 10": "hinge, first violation of 10",
    "semi-hard of 10": "hinge, semi-hard of 10",
    "hardest of 2": "hinge, hardest of 2",
    "hardest of 10": "adaptive hinge",
    **{f"hardest of {k}": f"hinge, hardest of {k}" for k in (40, 100)},
    "hardest in the batch": "hinge, hardest in the batch",
}
STANDARD = ("log BPR", "BPR", "hinge")
BLOCKS = {
    "standard": lambda: side_by_side({loss: cosine(loss) for loss in STANDARD}, (WORLDS, *PEOPLE[:2])),
    "on standard": lambda: (
        f"On made worlds BPR differs from log BPR by {lead(WORLDS, cosine('BPR'), cosine('log BPR'))} in NDCG@10, and "
        f"hinge by {lead(WORLDS, cosine('hinge'), cosine('log BPR'))}.\n"
        f"On people hinge differs from log BPR in NDCG by {leads(cosine('hinge'), cosine('log BPR'))}."
    ),
    "adaptive": lambda: side_by_side({loss: cosine(loss) for loss in ADAPTIVE}, (WORLDS, *PEOPLE[:2])),
    "on adaptive": lambda: differences(
        of_cosines(PAIRED),
        {"made worlds NDCG": (WORLDS, "ndcg"), "made worlds AUC": (WORLDS, "auc")} | ndcg(PEOPLE[:2]),
    ),
    "rules": lambda: side_by_side({name: cosine(loss) for name, loss in NEGATIVES.items()}, (WORLDS,)),
    "on rules": lambda: differences(
        {f"{name} − uniform": (cosine(loss), cosine("hinge")) for name, loss in NEGATIVES.items() if loss != "hinge"},
        {"NDCG": (WORLDS, "ndcg"), "AUC": (WORLDS, "auc")},
    ),
    "softly": lambda: side_by_side(SOFTLY, (WORLDS,)),
    "scores": lambda: side_by_side(
        {
            f"{scores}, {dimension}, {loss}": (scores, dimension, loss)
            for loss in ("log BPR", "softmax")
            for scores in ("dot", "cosine", "history")
            for dimension in ("16", "64", "256")
        },
        PEOPLE[:2],
    ),
    "losses": lambda: side_by_side(ALL, PEOPLE),
    "worlds": lambda: side_by_side(ALL | REFERENCES | {"truth": ("", "", "truth")}, (WORLDS,)),
    "references": lambda: side_by_side(REFERENCES | SIZES | {"history, 64, softmax": HISTORY}, EVERY, ("ndcg",)),
    "published": published,
    "credit": lambda: "\n".join(
        [
            "| data | loss | true − none | shuffled − none | true − shuffled | weight, true / shuffled |",
            "|---|---|---|---|---|---|",
            *filter(None, map(credit, (WORLDS, FRESH, "MovieLens 100K"))),
        ]
    ),
    "on scores": lambda: (
        f"With 64 numbers and the softmax, the cosine differs from the dot product by {leads(BEST, DOT)}.\n"
        f"256 numbers instead of 64 change it by {leads(LARGE, BEST)}."
    ),
    "on losses": lambda: differences(
        of_cosines(
            "softmax − log BPR; softmax − DNS of 3; softmax − softmax of 10; softmax − softmax of 100; "
            "SL@20 − softmax; PSL of 100 − softmax of 100"
        ),
        ndcg(PEOPLE),
    ),
    "again": lambda: (
        f"A second tuning, on other splits of MovieLens, chose {again('softmax')}, and {again('log BPR')}."
    ),
    "on references": lambda: differences(
        {
            "cosine, 256 − EASE": (LARGE, EASE),
            "cosine, 256 − ALS, 256": (LARGE, ALS),
            "cosine, 64 − EASE": (BEST, EASE),
            "history, 64 − EASE": (HISTORY, EASE),
            "history, 64 − cosine, 64": (HISTORY, BEST),
        },
        ndcg(EVERY[:-1]),
    ),
    "on AUC": lambda: (
        f"In AUC the cosine with 256 numbers differs from EASE by {leads(LARGE, EASE, 'auc')}.\n"
        f"From ALS with as many numbers it differs by {leads(LARGE, ALS, 'auc')}.\n"
        f"The history differs from EASE by {lead('citeulike-a', HISTORY, EASE, 'auc')}."
    ),
    "on worlds": lambda: differences(
        of_cosines(
            "softmax − log BPR; softmax − softmax of 10; softmax − softmax of 100; SL@20 − softmax; "
            "BSL of 100 − softmax; softmax in the batch, log q − softmax; adaptive BPR − log BPR"
        )
        | {"softmax − EASE": (BEST, EASE), "SL@20 − ALS, 64": (cosine("SL@20"), ("", "64", "implicit ALS"))},
        {"NDCG": (WORLDS, "ndcg"), "AUC": (WORLDS, "auc"), "NDCG, fresh worlds": (FRESH, "ndcg")},
    ),
    "on softly": lambda: (
        "Ten negatives softly differ from one (log BPR) by "
        f"{lead(WORLDS, cosine('softmax of 10'), cosine('log BPR'))}, "
        f"from the hardest of ten (adaptive hinge) by "
        f"{lead(WORLDS, cosine('softmax of 10'), cosine('adaptive hinge'))}, and from the binary cross entropy of the "
        f"same eleven scores by {lead(WORLDS, cosine('softmax of 10'), cosine('BCE of 10'))}.\n"
        f"A hundred differ from ten by {lead(WORLDS, cosine('softmax of 100'), cosine('softmax of 10'))}.\n"
        "In the batch, subtracting log q changes NDCG@10 by "
        f"{lead(WORLDS, LOG_Q, BATCH)}. The batch then "
        f"differs from ten drawn negatives by "
        f"{lead(WORLDS, LOG_Q, cosine('softmax of 10'))}, and without that by "
        f"{lead(WORLDS, BATCH, cosine('softmax of 10'))}."
    ),
    "on all items": lambda: (
        f"In NDCG it differs from log BPR ({{doc}}`table <study>`) by {leads(BEST, cosine('log BPR'))}."
    ),
    "on size": lambda: (
        f"With the softmax over all items, this score compared with a dot product of vectors: {leads(BEST, DOT)}. "
        f"256 numbers compared with 64: {leads(LARGE, BEST)}."
    ),
    "on a hundred": lambda: (
        f"Compared with all items ({{doc}}`table <study>`): {leads(cosine('softmax of 100'), BEST)}. "
        f"Ten instead of a hundred: {leads(cosine('softmax of 10'), cosine('softmax of 100'))}."
    ),
    "on one negative": lambda: (
        "Compared with the softmax of ten drawn negatives ({doc}`table <study>`): "
        f"{leads(cosine('log BPR'), cosine('softmax of 10'))}."
    ),
    "on EASE": lambda: f"Compared with the softmax and 256 numbers ({{doc}}`table <study>`): {leads(EASE, LARGE)}.",
    "on credit": lambda: (
        "True genres compared with no credit, in the softmax of ten ({doc}`table <chapters/partial_credit>`): "
        f"{lead(WORLDS, cosine('softmax of 10, true genres'), cosine('softmax of 10'))} on made worlds, and "
        f"{leads(cosine('softmax of 10, true genres'), cosine('softmax of 10'))}. Compared with shuffled ones: "
        f"{lead(WORLDS, cosine('softmax of 10, true genres'), cosine('softmax of 10, shuffled genres'))} and "
        f"{leads(cosine('softmax of 10, true genres'), cosine('softmax of 10, shuffled genres'))}."
    ),
    "on lists": lambda: (
        "LambdaRank compared with the hinge over all pairs, each tuned for the measure, on made lists "
        f"({{doc}}`table <chapters/lists>`): {of_lists('LambdaRank', 'ndcg', 'own for NDCG')} in NDCG@10 and "
        f"{of_lists('LambdaRank', 'order', 'own for AUC')} in AUC."
    ),
    "on the batch": lambda: (
        f"Subtracting log q ({{doc}}`table <study>`): {leads(LOG_Q, BATCH)}. Compared with the softmax over all items: "
        f"{leads(LOG_Q, BEST)}. On made worlds ({{doc}}`table <chapters/training>`) the two numbers are "
        f"{lead(WORLDS, LOG_Q, BATCH)} and {lead(WORLDS, LOG_Q, BEST)}."
    ),
}

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(update(page))
