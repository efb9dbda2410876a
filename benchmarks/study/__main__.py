"""The questions of the study, each a list of rows of one table."""

import itertools
import sys

from tables import Row, fill

from .data import FRESH, WORLDS
from .losses import CREDIT, LOSSES, RULES
from .models import REFERENCES
from .protocol import work

Names = tuple[str, ...]
DATA = ("generated films", "MovieLens 100K", "Health", "Last.fm 2K", "Electronic", "citeulike-a", "Gowalla")
CREDIT_OF_TEN = tuple(name for name in CREDIT if name.startswith("softmax"))
THREE = ("MovieLens 100K", "Health", "Last.fm 2K")


def rows(data: Names, scores: Names, dimensions: Names, losses: Names, tuned_on: Names = ("100",)) -> list[Row]:
    every = itertools.product(data, scores, dimensions, losses, tuned_on)
    return [dict(zip(("data", "scores", "dimension", "loss", "tuned on"), one, strict=True)) for one in every]


with_dimension = tuple(name for name in REFERENCES if name not in ("popularity", "EASE", "truth"))
QUESTIONS = {
    # Which loss, on one model?
    "losses": rows(THREE, ("cosine",), ("64",), tuple(LOSSES)),
    # The same on worlds that were made, each judged on eight that are independent.
    "worlds": rows((WORLDS,), ("cosine",), ("64",), tuple(LOSSES))
    + rows((WORLDS,), ("",), ("",), ("popularity", "EASE", "truth"))
    + rows((WORLDS,), ("",), ("64",), ("implicit ALS",)),
    # Which negative should the hinge meet?
    "rules": rows((WORLDS,), ("cosine",), ("64",), tuple(RULES)),
    # What would people use instead?
    "references": rows(DATA, ("",), ("",), ("popularity", "EASE")) + rows(DATA, ("",), ("64",), with_dimension),
    # Which scoring function, and how many dimensions?
    "scores": rows(THREE, ("dot", "cosine"), ("16", "64", "256"), ("softmax",))
    + rows(THREE, ("dot",), ("64",), ("log BPR",)),
    # How far does a row move when it is tuned again, on other splits?
    "again": rows(THREE[:2], ("cosine",), ("64",), ("log BPR", "adaptive BPR", "softmax of 10", "softmax"), ("200",)),
    # Is a loss of this package ahead on every data set?
    "head": rows(DATA, ("cosine",), ("64", "256"), ("softmax", "SL@20"))
    + rows(DATA, ("",), ("256",), ("implicit ALS",)),
    # Does partial credit for genres or tags help, and more than credit for those of another item? Last, because it
    # begins where the losses without credit ended.
    "credit": rows((WORLDS, "MovieLens 100K", "Last.fm 2K"), ("cosine",), ("64",), tuple(CREDIT)),
    # Do the two claims that weigh most come out again, tuned and judged on worlds of which no other row has seen one?
    "fresh": rows((FRESH,), ("cosine",), ("64",), ("log BPR", "softmax", "softmax of 10", *CREDIT_OF_TEN)),
}


def main(questions: list[str]) -> None:
    every = [row for some in QUESTIONS.values() for row in some]
    for name in questions or QUESTIONS:
        fill("study", every, work, only=QUESTIONS[name])


if __name__ == "__main__":
    main(sys.argv[1:])
