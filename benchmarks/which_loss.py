"""Write book/which_loss.md, the guide, from benchmarks/tables/guide.csv: every number of the page comes from there."""

from pathlib import Path

import torch
from guide import IN_BATCH, JUDGED_ON, KINDS, LOSSES, SIZE
from tables import interval, read
from torch import Tensor

PAGE = Path(__file__).parent.parent / "book/which_loss.md"
TABLE = {(row["world"], row["loss"]): row for row in read("guide")}
COMPARED = [name for name in (*LOSSES, *IN_BATCH, "EASE", "popularity") if "genres" not in name]
SCORES = {  # for each positive, its own included
    **{name: "2" if LOSSES.get(name, (None, 0))[1] else "1 + K" for name in LOSSES},
    **{name: "256" for name in IN_BATCH},
    "EASE": "–",
}


def values(world: str, loss: str, measure: str = "ndcg") -> Tensor:
    """One number for each world that was judged."""
    if world.startswith("K =") and (world, loss) not in TABLE:
        world = "as it comes"  # what meets one negative, or none, does not know of K
    return torch.tensor([float(value) for value in TABLE[world, loss][measure].split()], dtype=torch.float64)


def difference(world: str, a: str, b: str, measure: str = "ndcg") -> str:
    """By how much a leads b, paired over worlds, with its interval."""
    mean, low, high = interval(values(world, a, measure) - values(world, b, measure))
    return f"{_signed(mean)} [{_signed(low)}, {_signed(high)}]"


def seen(world: str, a: str, b: str, measure: str = "ndcg") -> str:
    """The difference, or that the interval covers zero."""
    _, low, high = interval(values(world, a, measure) - values(world, b, measure))
    said = difference(world, a, b, measure)
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


def glance() -> str:
    """All worlds and losses: NDCG@10 less that of log BPR, marked where the interval does not cover zero."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in ["world", "log BPR", *COMPARED[1:]])
    rows = []
    for world in KINDS:
        cells = [f"<th scope='row'>{world}</th>", f"<td>{mean(world, 'log BPR')}</td>"]
        for loss in COMPARED[1:]:
            middle, low, high = interval(values(world, loss) - values(world, "log BPR"))
            kind = "" if low <= 0 <= high else " class='ahead'" if middle > 0 else " class='behind'"
            cells.append(f"<td{kind}>{_signed(middle)}</td>")
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join(["<thead><tr>" + head + "</tr></thead>", "<tbody>", *rows, "</tbody>"])


def page() -> str:
    base = "as it comes"
    moved_by_setting, moved_by_loss = tuning()

    def row(when: str, take: str, effect: str, price: str, chapter: str) -> str:
        return f"| {when} | {take} | {effect} | {price} | {chapter} |"

    adaptive, choosing, softly, credit, training = (
        f"{{doc}}`chapters/{name}`"
        for name in ("adaptive_losses", "choosing_negatives", "softly", "partial_credit", "training")
    )
    rows = [
        row(
            "one negative is all that you can pay for",
            "{func}`~pairloss.log_bpr_loss`",
            f"{difference(base, 'log BPR', 'softmax')} beside the default",
            "2 scores for each positive, not 11",
            "{doc}`chapters/standard_losses`",
        ),
        row(
            "you can pay for fifty",
            "the default, K = 50",
            f"{seen('K = 50', 'softmax', 'log BPR')} beside log BPR, where K = 10 has {difference(base, 'softmax', 'log BPR')}",
            "51 scores",
            softly,
        ),
        row(
            "a third of the choices are mistakes, whatever the gap",
            "{func}`~pairloss.bpr_loss`",
            f"beside log BPR {seen('30 % wrong, whatever the gap', 'BPR', 'log BPR')}; "
            f"beside the default {seen('30 % wrong, whatever the gap', 'BPR', 'softmax')}",
            "2 scores",
            "{doc}`chapters/standard_losses`",
        ),
        row(
            "the mistakes are close calls",
            "the default",
            f"beside BPR {seen('30 % wrong, close calls', 'softmax', 'BPR')}",
            "11 scores",
            "{doc}`chapters/standard_losses`",
        ),
        row(
            "popularity is very unequal",
            "the default",
            f"beside log BPR {seen('steep popularity', 'softmax', 'log BPR')}",
            "11 scores",
            training,
        ),
        row(
            "the catalogue has thousands of items",
            "the default",
            f"4,000 items: beside log BPR {seen('4,000 items', 'softmax', 'log BPR')}, "
            f"beside EASE {seen('4,000 items', 'softmax', 'EASE')}",
            "11 scores",
            training,
        ),
        row(
            "negatives come from the batch",
            "the default, on scores less log q",
            f"beside the batch as it is {seen(base, 'softmax, batch, − log q', 'softmax, batch')}; "
            f"beside ten uniform negatives {seen(base, 'softmax, batch, − log q', 'softmax')}",
            "one product of matrices",
            softly,
        ),
        row(
            "most of what people like was never recorded",
            "the default",
            f"60 % hidden: beside the hardest of ten {seen('60 % hidden', 'softmax', 'adaptive hinge')}",
            "11 scores",
            choosing,
        ),
        row(
            "genres matter to people",
            "credit in the loss",
            f"softmax {seen(base, 'softmax, genres', 'softmax')}, hinge {seen(base, 'hinge, genres', 'hinge')}; "
            f"where they do not matter {seen('no genres in taste', 'softmax, genres', 'softmax')}, "
            f"{seen('no genres in taste', 'hinge, genres', 'hinge')}",
            "a table to look up",
            credit,
        ),
        row(
            "few epochs are all that you can pay for",
            "{func}`~pairloss.adaptive_hinge_loss`",
            f"it learns fastest, and ends lower: {seen(base, 'adaptive hinge', 'softmax')}, "
            f"AUC {seen(base, 'adaptive hinge', 'softmax', 'auc')}",
            "11 scores, one with a gradient",
            adaptive,
        ),
    ]
    return f"""# Which loss when

<!-- Written by benchmarks/which_loss.py from benchmarks/tables/guide.csv. -->

**Tune first.** In the experiment behind this page a step size and a weight decay of its own were worth {moved_by_setting:.3f} of NDCG@10 to a loss, and the best of {len(LOSSES) + len(IN_BATCH) - 4} losses, all tuned, was ahead of the others by {moved_by_loss:.3f} on average. A loss that was not tuned says little about the loss.

## Start here

{{class}}`~pairloss.SoftmaxLoss` with K = 10 negatives for each positive, drawn uniformly by {{func}}`~pairloss.sample_negatives`; Adam, {setting(base, "softmax")}, and stop when the validation choices say so. The chapter {{doc}}`chapters/softly` explains it, {{doc}}`chapters/training` has the loop to paste.

Why: in worlds as they come it has NDCG@10 {mean(base, "softmax")}, {difference(base, "softmax", "log BPR")} beside the BPR of the paper with one negative and {difference(base, "softmax", "adaptive hinge")} beside the hardest of ten, at an AUC of {mean(base, "softmax", "auc")} beside {mean(base, "log BPR", "auc")} and {mean(base, "adaptive hinge", "auc")}. What needs no loss at all is close: EASE, one inverse of a matrix of items by items, has {mean(base, "EASE")} ({seen(base, "softmax", "EASE")}); plain popularity {mean(base, "popularity")}, the true tastes {mean(base, "truth")}.

## Change it if …

Each effect is a difference in NDCG@10 with its interval; where the interval covers zero, no difference was seen.

{chr(10).join(["| when | take | effect | price | chapter |", "|---|---|---|---|---|", *rows])}

## An order in which to tune

1. *When to stop*, by validation choices that no other decision uses: it is free.
2. *Weight decay and step size together*, on a grid in steps of three. If the best lies at an edge, go on.
3. *K*: 1, 10, 50. Watch what an epoch costs.
4. *The loss*: log BPR, softmax, semi-hard hinge. The rest of the table below is seldom worth a day.
5. *Margin or temperature* last: with free scores they act only through weight decay.

## Signs that training went wrong

- The pull of hinge with its square stays at 3: all scores have collapsed to one value. Take fewer or easier negatives ({choosing}).
- Popularity alone ranks as well: too much decay, too few steps, or {{func}}`~pairloss.bpr_loss` from a start in which every pair is far off.
- The best epoch is the last one, or the best setting lies at the edge of its grid: it is not tuned yet.
- NDCG@10 rises while AUC falls: the negatives are too hard for the rest of the list ({training}).
- No rare item comes into any list: look at {training}, *The head and the rest of the list*, before anybody else does.

## When no pairwise loss is needed

A catalogue of a few thousand items: try EASE first, it has one number to tune. A catalogue whose scores all fit into memory: the softmax over all items needs no sampling. Ratings, counts, likes *and* dislikes: {{func}}`~pairloss.regression_loss`, {{func}}`~pairloss.poisson_loss`, {{func}}`~pairloss.logistic_loss`. Labels for whole lists: {{doc}}`chapters/lists`.

## All worlds at a glance

NDCG@10 of log BPR, and by how much each other loss is ahead of it. Coloured where the interval does not cover zero: blue ahead, orange behind. Negatives for a positive: one for log BPR, BPR and hinge, {KINDS[base].k} where it says nothing else, the {256 - 1} others of its half of the batch for the last two.

<div class="glance"><table>
{glance()}
</table></div>

## How this was measured

{len(KINDS)} kinds of worlds from {{func}}`~pairloss.datasets.generate`, 500 people each, one thing changed at a time; matrix factorisation in 16 dimensions with item biases, 720 steps of 512 positives. In each kind of world each loss got the best of 15 pairs of step size and decay on two worlds, and was judged on {len(JUDGED_ON)} others, at the step that validated best, on choices that nothing had seen and that hold no mistakes. Intervals are the middle 95 % of the mean paired difference when the {len(JUDGED_ON)} worlds are drawn again with replacement. That makes {sum(1 for world in KINDS for loss in COMPARED[1:])} comparisons in the table above: of as many that were nothing but chance about one in twenty would be coloured, or more, since eight worlds make an interval that is somewhat too short. The worlds were made, by us: genre and popularity rule them more plainly than they rule people. On real choices see {training}. `make guide` runs it all again, in about an hour on two cores.
"""


if __name__ == "__main__":
    PAGE.write_text(page())
