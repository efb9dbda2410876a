"""Write book/which_loss.md, the guide, from benchmarks/tables/guide.csv and study.csv, which have all its numbers."""

from pathlib import Path

import torch
from guide import IN_BATCH, JUDGED_ON, KINDS, LOSSES, SIZE
from study import report
from tables import interval, read
from torch import Tensor

PAGE = Path(__file__).parent.parent / "book/which_loss.md"
TABLE = {(row["world"], row["loss"]): row for row in read("guide")}
DEFAULT = "cosine", "64", "softmax"
COMPARED = [name for name in (*LOSSES, *IN_BATCH, "EASE", "popularity") if "genres" not in name]


def values(world: str, loss: str, measure: str = "ndcg") -> Tensor:
    """One number for each world that was judged, with the three digits that the chapters show."""
    if world.startswith("K =") and (world, loss) not in TABLE:
        world = "as it comes"  # what meets one negative, or none, does not know of K
    cells = TABLE[world, loss][measure].split()
    return torch.tensor([float(f"{float(cell):.3f}") for cell in cells], dtype=torch.float64)


def difference(world: str, a: str, b: str, measure: str = "ndcg") -> str:
    """By how much a leads b, paired over worlds, with its interval."""
    mean, low, high = interval(values(world, a, measure) - values(world, b, measure))
    return f"{_signed(mean)} [{_signed(low)}, {_signed(high)}]"


def seen(world: str, a: str, b: str, measure: str = "ndcg", other: str | None = None) -> str:
    """The difference, with a word where the interval covers zero; b may be that of another kind of world."""
    return _said(values(world, a, measure) - values(other or world, b, measure))


def claimed(setting: str) -> str:
    """How far adaptive hinge is ahead of hinge in the chapter on adaptive losses, on twelve worlds of its own."""
    ndcg: dict[str, list[float]] = {}
    for row in read("claims-judged"):
        if (row["experiment"], row["data"], row["setting"]) == ("adaptive_losses", "skew 1.5", setting):
            ndcg.setdefault(row["loss"], []).append(float(row["ndcg"]))
    return _said(torch.tensor(ndcg["adaptive hinge"]).double() - torch.tensor(ndcg["hinge"]).double())


def pull(world: str, loss: str) -> str:
    return f"{float(TABLE[world, loss]['pull_on_hidden']):.0%}"


def why() -> list[str]:
    names = {
        "dot product, 16 numbers, softmax": ("dot", "16", "softmax"),
        "dot product, 64, softmax": ("dot", "64", "softmax"),
        "cosine, 64, softmax": DEFAULT,
        "cosine, 256, softmax": ("cosine", "256", "softmax"),
        "cosine, 64, softmax of 100 drawn": ("cosine", "64", "softmax of 100"),
        "cosine, 64, softmax of 10 drawn": ("cosine", "64", "softmax of 10"),
        "cosine, 64, log BPR": ("cosine", "64", "log BPR"),
        "cosine, 64, adaptive BPR": ("cosine", "64", "adaptive BPR"),
        "EASE": ("", "", "EASE"),
        "ALS, 256": ("", "256", "implicit ALS"),
    }
    return report.side_by_side(names, report.PEOPLE[:2], ("ndcg", "auc"))


def _said(d: Tensor) -> str:
    mean, low, high = interval(d)
    said = f"{_signed(mean)} [{_signed(low)}, {_signed(high)}]"
    return f"no difference seen, {said}" if low <= 0 <= high else said


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def mean(world: str, loss: str, measure: str = "ndcg") -> str:
    return f"{values(world, loss, measure).mean():.3f}"


def setting(world: str, loss: str) -> str:
    rate, decay = TABLE[world, loss]["setting"].split()
    return f"step size {rate}, decay {decay}"


def tuning() -> tuple[float, float]:
    """In validation NDCG@10, over worlds: what a loss gains by its own setting, and what the best loss is ahead by.

    The first beside one setting for all, step size 0.01 and decay 1e-4; both as means over losses and worlds.
    """
    shared, own = [], []
    for world in KINDS:
        names = [name for name in (*LOSSES, *IN_BATCH) if (world, name) in TABLE and name not in SIZE]
        tried = [[float(value) for value in TABLE[world, name]["tried"].split()] for name in names]
        best = torch.tensor([max(values) for values in tried])
        own.append((best.max() - best).mean())
        shared.append((best - torch.tensor([values[6] for values in tried])).mean())
    return torch.stack(shared).mean().item(), torch.stack(own).mean().item()


def falling_behind(loss: str) -> str:
    """In how many of the kinds of worlds the whole interval lies below the default."""
    kinds = [world for world in KINDS if (world, loss) in TABLE]
    ends = [interval(values(world, loss) - values(world, "softmax"))[2] for world in kinds]
    return f"{sum(end < 0 for end in ends)} of {len(kinds)}"


def glance() -> str:
    """All worlds and losses: NDCG@10 less that of log BPR, marked where the interval does not cover zero."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in ["world", "log BPR", *COMPARED[1:]])
    rows = []
    for world in KINDS:
        cells = [f"<th scope='row'>{world}</th>", f"<td>{mean(world, 'log BPR')}</td>"]
        for loss in COMPARED[1:]:
            middle, low, high = interval(values(world, loss) - values(world, "log BPR"))
            kind = "" if low <= 0 <= high else " class='ahead'" if middle > 0 else " class='behind'"
            cells.append(f"<td{kind}>{_signed(middle).replace('0.', '.')}</td>")
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join(["<thead><tr>" + head + "</tr></thead>", "<tbody>", *rows, "</tbody>"])


def page() -> str:
    base = "as it comes"
    moved_by_setting, moved_by_loss = tuning()
    compared = sum((world, loss) in TABLE for world in KINDS for loss in COMPARED[1:])

    def row(when: str, take: str, effect: str, price: str, chapter: str) -> str:
        return f"| {when} | {take} | {effect} | {price} | {chapter} |"

    standard, adaptive, choosing, softly, credit, training = (
        f"{{doc}}`chapters/{name}`"
        for name in ("standard_losses", "adaptive_losses", "choosing_negatives", "softly", "partial_credit", "training")
    )
    rows = [
        row(
            "one negative is all that you can pay for",
            "{func}`~pairloss.log_bpr_loss`",
            f"{seen(base, 'log BPR', 'softmax')}; on people "
            f"{report.leads(report.sixty_four('log BPR'), report.sixty_four('softmax of 10'))}",
            "2 scores for each positive, not 11",
            standard,
        ),
        row(
            "you can pay for fifty or a hundred",
            "them, softly; not the hardest of them",
            f"K = 50: {seen('K = 50', 'softmax', 'softmax', other=base)}; on people, a hundred "
            f"{report.leads(report.sixty_four('softmax of 100'), report.sixty_four('softmax of 10'))}; the hardest of 50 "
            f"(adaptive hinge): {difference('K = 50', 'adaptive hinge', 'softmax')}",
            "51 or 101 scores",
            choosing,
        ),
        row(
            "a third of the choices are accidents, whatever people like",
            "{func}`~pairloss.choose_semi_hard` and hinge",
            seen("30 % wrong, whatever the gap", "semi-hard hinge", "softmax"),
            "11 scores",
            choosing,
        ),
        row(
            "mistakes are close calls between things liked almost alike",
            "the default",
            f"beside log BPR {seen('30 % wrong, close calls', 'softmax', 'log BPR')}; "
            f"semi-hard hinge: {seen('30 % wrong, close calls', 'semi-hard hinge', 'softmax')}",
            "11 scores",
            standard,
        ),
        row(
            "the catalogue has thousands of items (4,000 here)",
            "more negatives: the batch less log q, or all items",
            f"batch less log q {seen('4,000 items', 'softmax, batch, − log q', 'softmax')}; adaptive hinge "
            f"{seen('4,000 items', 'adaptive hinge', 'softmax')}, in made worlds only",
            "11 scores, one with a gradient; 256 scores by one product",
            softly,
        ),
        row(
            "negatives come from the batch",
            "take log q off the scores, q an item's share of all choices",
            f"{difference(base, 'softmax, batch, − log q', 'softmax, batch')} beside the batch as it is; "
            f"{seen(base, 'softmax, batch, − log q', 'softmax')} beside the default",
            "one product of matrices",
            softly,
        ),
        row(
            "popularity is steeper still",
            "the default; in the batch only less log q",
            f"beside log BPR {seen('steep popularity', 'softmax', 'log BPR')}; batch less log q "
            f"{seen('steep popularity', 'softmax, batch, − log q', 'softmax')}, as it is "
            f"{difference('steep popularity', 'softmax, batch', 'softmax')}",
            "11 scores",
            softly,
        ),
        row(
            "all items are about equally popular",
            "the batch as it is",
            seen("equal popularity", "softmax, batch", "softmax"),
            "one product of matrices",
            softly,
        ),
        row(
            "most of what people like was never recorded",
            "not the hardest",
            f"60 % hidden: log BPR {seen('60 % hidden', 'log BPR', 'softmax')}; adaptive hinge "
            f"{difference('60 % hidden', 'adaptive hinge', 'softmax')}: {pull('60 % hidden', 'adaptive hinge')} of its "
            f"push goes against things that people like, {pull('60 % hidden', 'log BPR')} with log BPR",
            "2 or 11 scores",
            choosing,
        ),
        row(
            "genres matter to people, and shuffled ones do worse",
            "partial credit in the softmax: `metadata={…}`",
            f"{difference(base, 'softmax, genres', 'softmax')}; with shuffled genres "
            f"{difference(base, 'softmax, shuffled genres', 'softmax')}; where taste is not about genres "
            f"{difference('no genres in taste', 'softmax, genres', 'softmax')}",
            "a table to look up",
            credit,
        ),
        row(
            "rare items must be seen",
            "the default, and watch the share while you tune",
            f"rare items in the first ten places: {mean(base, 'softmax', 'rare')}; log BPR {mean(base, 'log BPR', 'rare')}, "
            f"hinge {mean(base, 'hinge', 'rare')}, EASE {mean(base, 'EASE', 'rare')}, true tastes {mean(base, 'truth', 'rare')}",
            "11 scores",
            training,
        ),
        row(
            "few epochs are all that you can pay for (200 people, 400 items)",
            "{func}`~pairloss.adaptive_hinge_loss`",
            f"after 16 epochs {claimed('shared')} beside plain hinge; tuned, {claimed('own')}",
            "11 scores, one with a gradient",
            adaptive,
        ),
    ]
    return f"""# Which loss when

<!-- Written by benchmarks/which_loss.py from the tables guide.csv and study.csv in benchmarks/tables. -->

## Start here

**Three choices matter, about equally: the scoring function, its size, and how many negatives the loss sees.** Take the cosine of two vectors, divide it by a temperature τ, and add a bias for each item. Train it with the softmax over *all* items, or, where the catalogue is too large for that, with {{class}}`~pairloss.SoftmaxLoss` and as many drawn negatives as you can pay for. {training} has the model and the loop to paste.

| | begin with | then try |
|---|---|---|
| vectors | 64 numbers, started from N(0, 0.1²) | 256 |
| 1/τ | 6 | 2 to 18, in steps of √3 |
| Adam | learning rate 0.01, no weight decay | 0.002 to 0.03 |
| batch | 64 users with all their choices | 256 users where there are ten thousand |
| stop | six epochs without a gain on the choices that validate | |
| loss of the first epoch | about log N, for N items | far more: a larger τ, or smaller starts |

Why: on data of people (NDCG, each row tuned by twelve trials, {training}) each of the three moved the result.

{chr(10).join(why())}

{{func}}`~pairloss.adaptive_bpr_loss` and the other losses take the same model. A loss that was not tuned says little about the loss: in the made worlds below, a learning rate and a weight decay of its own were worth {moved_by_setting:.3f} of NDCG@10 to a loss, and the choice of the loss, all tuned, {moved_by_loss:.3f}. Both are largest values among validated ones, so both are a little too large.

## When to change it

The rows below come from worlds that we made, with one thing changed at a time. They say *why* a loss can help. They all use a dot product of 16 numbers, and their default is the softmax of ten drawn negatives. Two rows also say what came out on people, with the model of the first table. Behind a difference on people stands in how many of the splits it is above zero.

Effects are differences in NDCG@10 to that default, unless they say otherwise, with their intervals. Where an interval covers zero, no difference was seen. Worlds have 500 items unless the row says otherwise. Words that are new to you are in the {{doc}}`glossary`.

{chr(10).join(["| when | take | effect | price | chapter |", "|---|---|---|---|---|", *rows])}

## An order in which to tune

1. *When to stop*, by validation choices that no other decision uses: it is free.
2. *The scoring function and its dimensions*: cosine and dot product, 64 and 256.
3. *Learning rate and temperature together* for a cosine, learning rate and weight decay for a dot product, in steps of three. If the best lies at an edge, go on.
4. *K*: all items if you can, otherwise 100, 50, 10. Watch what an epoch costs.
5. *The loss*: softmax, adaptive BPR, log BPR.
6. *Margin, or the temperature of a dot product*, last: with free scores they act only through weight decay.

## Signs that training went wrong

- The pull of hinge with its square stays at 3: all scores have collapsed to one value. Take fewer or easier negatives ({choosing}).
- Popularity alone ranks as well: too much decay for a loss of this size (BCE, a mean over eleven scores, learns nothing else at the decay that suits hinge), or too few steps.
- The best epoch is the last one, or the best setting lies at the edge of its grid: it is not tuned yet.
- NDCG@10 rises while AUC falls: the negatives are too hard for the rest of the list ({training}).
- No rare item comes into any list: look at {training}, *The head and the rest of the list*, before anybody else does.

## When no pairwise loss is needed

A catalogue of a few thousand items: fit EASE as well, so that you know what a loss must beat. It takes seconds and has one number to tune. It was behind the default in {falling_behind("EASE")} kinds of worlds (K means nothing to it), and the first table of this page has it on people. A catalogue whose scores all fit into memory: the softmax over all items needs no sampling. Ratings, counts, likes *and* dislikes: {{func}}`~pairloss.regression_loss`, {{func}}`~pairloss.poisson_loss`, {{func}}`~pairloss.logistic_loss`. Labels for whole lists: {{doc}}`chapters/lists`.

## All worlds at a glance

NDCG@10 of log BPR, and by how much each other loss is ahead of *it* (above, effects are beside the softmax). Coloured where the interval does not cover zero: blue ahead, orange behind. Negatives for a positive: one for log BPR, BPR and hinge, {KINDS[base].k} where it says nothing else, the {256 - 1} others of its half of the batch for the two softmaxes in the batch.

<div class="glance" tabindex="0" role="region" aria-label="All worlds at a glance"><table>
{glance()}
</table></div>

## How this was measured

{len(KINDS)} kinds of worlds from {{func}}`~pairloss.datasets.generate`, 500 people each, one thing changed at a time; matrix factorisation in 16 dimensions with item biases, 720 steps of 512 positives. In each kind of world each loss got the best of 15 pairs of step size and decay on two worlds, and was judged on {len(JUDGED_ON)} others, at the step that validated best, on choices that nothing had seen and that hold no mistakes. Brackets are 95 % t-intervals of the mean paired difference over the {len(JUDGED_ON)} worlds. The table above has {compared} comparisons. If all were chance, about one in twenty would be coloured. The worlds were made, by us: genre and popularity rule them more plainly than they rule people. The study of people is `make study`, and {training} has its tables. `make guide` runs it all again, in about an hour on two cores.
"""


if __name__ == "__main__":
    PAGE.write_text(page())
