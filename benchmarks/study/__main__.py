"""The questions of the study, each a list of rows of one table."""

import itertools
import sys

from tables import Row, fill

from .chapters import FORMS, KINDS, LISTS
from .data import CREDITED, FRESH, RULED, WORLDS
from .losses import CREDIT, LOSSES, PLAIN, RULES
from .protocol import work

Names = tuple[str, ...]
DATA = ("generated films", "MovieLens 100K", "Health", "Last.fm 2K", "Electronic", "citeulike-a", "Gowalla")
ON_TAGS = tuple(f"{name}, in a pool" if name.startswith("hinge") else name for name in CREDIT)
SMALL, THREE, DRAWN = DATA[1:3], DATA[1:4], ("PSL of 100", "softmax of 100")
FIXED, SOFTLY = "SL@20, fixed weights", ("decoupled softmax, in a pool", "SL@20, in a pool")
ON_COSINES = tuple(loss for loss in LOSSES if loss not in ("softmax by root", "decoupled softmax"))


def rows(data: Names, scores: Names, dimensions: Names, losses: Names, tuned_on: Names = ("100",)) -> list[Row]:
    every = itertools.product(data, scores, dimensions, losses, tuned_on)
    return [dict(zip(("data", "scores", "dimension", "loss", "tuned on"), one, strict=True)) for one in every]


QUESTIONS = {
    # Which loss, on one model?
    "losses": rows(THREE, ("cosine",), ("64",), ON_COSINES),
    # The same on worlds that were made, each judged on eight that are independent.
    "worlds": rows((WORLDS,), ("cosine",), ("64",), ON_COSINES)
    + rows((WORLDS,), ("",), ("",), ("popularity", "EASE", "truth")),
    # Which negative should the hinge meet?
    "rules": rows((RULED,), ("cosine",), ("64",), ("hinge", "adaptive hinge", *RULES)),
    # What would people use instead?
    "references": rows(DATA, ("",), ("",), ("popularity", "EASE"))
    + rows((WORLDS, *DATA), ("",), ("64",), ("implicit ALS", "LightFM WARP"))
    + rows(DATA[1:], ("",), ("256",), ("implicit ALS",))
    + rows(("citeulike-a",), ("",), ("512",), ("implicit ALS",))
    + rows(THREE, ("",), ("64",), ("implicit BPR", "LightFM BPR"))
    + rows(DATA[1:-1], ("",), ("256",), ("LightFM WARP",)),
    # Which scoring function, and how many dimensions?
    "scores": rows(SMALL, ("dot", "cosine"), ("16", "64", "256"), ("softmax",))
    + rows(SMALL, ("graph",), ("64",), ("softmax",))
    + rows((*SMALL, "Electronic"), ("cosine, no bias",), ("64",), ("softmax",)),
    # How far does a row move when it is tuned again, on other splits?
    "again": rows((WORLDS, "MovieLens 100K"), ("cosine",), ("64",), ("log BPR", "softmax"), ("200",))
    + rows(("Electronic",), ("cosine",), ("256",), ("softmax",), ("200",)),
    # Is a loss of this package ahead on every data set? Both forms of SL@20 with 64 numbers are among the losses.
    "head": rows((*THREE, "generated films"), ("cosine",), ("64",), ("softmax",))
    + rows(DATA[1:], ("cosine",), ("256",), ("softmax",))
    + rows((THREE[0], THREE[2]), ("cosine",), ("256",), (FIXED,))
    + rows(("citeulike-a",), ("graph with tags",), ("512",), ("softmax by root",)),
    # What stands next to the papers' rows, with as many dimensions? The others of Health are among the losses.
    "published": rows(("Health", "Electronic"), ("dot", "dot, no bias"), ("64",), ("log BPR",))
    + rows(("Electronic",), ("cosine",), ("64",), ("log BPR", *DRAWN, "softmax", FIXED, "softmax, in a pool"))
    + rows(("Health", "Electronic"), ("cosine", "cosine, no bias"), ("64",), SOFTLY)
    + rows(("Electronic", "Gowalla"), ("cosine",), ("64",), ("BSL of 100, in a pool",))
    + rows(("Gowalla",), ("dot",), ("64",), ("log BPR, in a pool",))
    + rows(("Gowalla",), ("cosine",), ("64",), (*SOFTLY, "PSL of 100, in a pool", f"{FIXED}, in a pool")),
    # Do the two claims that weigh most come out again, tuned and judged on worlds of which no other row has seen one?
    "fresh": rows((FRESH,), ("cosine",), ("64",), ("log BPR", "softmax", *PLAIN)),
    # Does partial credit for genres or tags help, and more than for those of another item? First without any.
    "plain": rows((CREDITED,), ("cosine",), ("64",), tuple(PLAIN))
    + rows(("citeulike-a",), ("cosine",), ("64",), ("softmax of 10", "hinge, in a pool")),
    "credit": rows((CREDITED, FRESH, "MovieLens 100K", "Last.fm 2K"), ("cosine",), ("64",), tuple(CREDIT))
    + rows(("citeulike-a",), ("cosine",), ("64",), ON_TAGS),
    # What do the chapters say of losses over lists and of five forms of BPR, in worlds of their own?
    "lists": rows(("lists for NDCG", "lists for AUC"), ("",), ("",), LISTS),
    "forms": rows(tuple(KINDS), ("",), ("",), FORMS),
}


def main(questions: list[str]) -> None:
    every = [row for some in QUESTIONS.values() for row in some]
    for name in questions or QUESTIONS:
        fill("study", every, work, only=QUESTIONS[name])


if __name__ == "__main__":
    main(sys.argv[1:])
