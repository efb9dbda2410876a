"""Every public loss in one table, from which the tests draw, and the inputs that several test files share.

Add a loss here, and every test that fits its kind runs for it.
"""

import itertools
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import pairloss
from pairloss import pair_loss, terms
from tests import oracles

NUM_ITEMS = 40


class PairLoss(NamedTuple):
    """A loss with the arguments that Collie's losses take."""

    oracle: Callable  # ℓ of one positive against its real negatives, in plain floats
    module: type
    takes_many: bool = False  # K negatives [K, B], not one [B]
    chooses_one: bool = False  # gradient for one of the K alone, and a scoring function in place of scores
    squared: bool | None = True  # what it does unless asked, None where it cannot be asked
    choices: tuple = ({},)  # options of its own, each set tried by every test
    of_collie: bool = True  # takes num_items and the rest in Collie's order, by position
    sentence: Callable | None = None  # the loss, where pairloss has no name for it but all that it is made of


class ListLoss(NamedTuple):
    """A loss of scores, labels and groups."""

    oracle: Callable
    choices: tuple  # the first is the default


# --- losses of the literature that are not in the package, each a sentence of pair_loss ---------------------


def _psl(positive, many, d):
    """Pairwise softmax loss with tanh and temperature 1: Yang et al., NeurIPS 2024, arXiv 2411.00163."""
    # 1 + tanh(x) = 2·σ(2x). The left side rounds to 0 from x = −9 on in float32.
    return (2 * (2 * (many - positive)).sigmoid()).sum(0).log()


def _bsl(positive, many, d):
    """Bilateral softmax loss: Wu et al., ICDE 2024, arXiv 2312.12882."""
    # For one positive: −log(e^(p/τ₁) / (Σ e^(n/τ₂))^(τ₂/τ₁)), as in ItemRec, the code of the authors of PSL. Those of
    # BSL take the mean over the negatives, not the sum. Where all are real the two differ by a constant.
    t1, t2 = oracles.BSL_TEMPERATURES
    return (t2 * (many / t2).logsumexp(0) - positive) / t1


psl, bsl = partial(pair_loss, _psl), partial(pair_loss, _bsl)
# Dynamic negative sampling: Zhang et al., SIGIR 2013. Log BPR against the hardest of K.
dns = partial(pair_loss, terms.log_bpr, choose=pairloss.choose_hardest)


class PSL(pairloss.LogBPRLoss):
    function = staticmethod(psl)


class BSL(pairloss.LogBPRLoss):
    function = staticmethod(bsl)


class DNS(pairloss.LogBPRLoss):
    function = staticmethod(dns)


# --- the tables ---------------------------------------------------------------------------------------------

HARDEST = ({"hardest_by": "score"}, {"hardest_by": "violation"})
PAIRS = {
    "bpr_loss": PairLoss(oracles.sampled(oracles.bpr), pairloss.BPRLoss),
    "hinge_loss": PairLoss(oracles.sampled(oracles.hinge), pairloss.HingeLoss),
    "log_bpr_loss": PairLoss(oracles.sampled(oracles.log_bpr), pairloss.LogBPRLoss, squared=False, of_collie=False),
    "adaptive_bpr_loss": PairLoss(
        oracles.hardest(oracles.bpr), pairloss.AdaptiveBPRLoss, takes_many=True, chooses_one=True, choices=HARDEST
    ),
    "adaptive_hinge_loss": PairLoss(
        oracles.hardest(oracles.hinge), pairloss.AdaptiveHingeLoss, takes_many=True, chooses_one=True, choices=HARDEST
    ),
    "softmax_loss": PairLoss(
        oracles.softmax,
        pairloss.SoftmaxLoss,
        takes_many=True,
        squared=None,
        choices=({}, {"temperature": 0.3}, {"temperature": 20.0}),
        of_collie=False,
    ),
    "warp_loss": PairLoss(
        oracles.warp,
        pairloss.WARPLoss,
        takes_many=True,
        chooses_one=True,
        choices=({"rank_weight": "log"}, {"rank_weight": "harmonic"}),
    ),
    "psl": PairLoss(oracles.psl, PSL, takes_many=True, squared=False, of_collie=False, sentence=psl),
    "bsl": PairLoss(oracles.bsl, BSL, takes_many=True, squared=False, of_collie=False, sentence=bsl),
    "dns": PairLoss(
        oracles.hardest(oracles.log_bpr),
        DNS,
        takes_many=True,
        chooses_one=True,
        squared=False,
        of_collie=False,
        sentence=dns,
    ),
}
LISTS = {
    "pairwise_hinge_loss": ListLoss(
        oracles.pairwise_hinge, ({}, {"power": 2}, {"margin": 0.5}, {"margin": 2.0, "power": 2}, {"margin": 0.0})
    ),
    "lambdarank_loss": ListLoss(
        oracles.lambdarank,
        ({}, {"sigma": 0.5}, {"sigma": 3.0}, {"at": 1}, {"at": 3, "sigma": 2.0}, {"at": 2**40}),
    ),
}
# Tested in files of their own, against arithmetic: no items, no credit.
PLAIN = ["in_batch_softmax_loss", "pointwise_loss", "logistic_loss", "poisson_loss", "regression_loss"]

NAMED = [name for name, loss in PAIRS.items() if loss.sentence is None]
COLLIES = [name for name, loss in PAIRS.items() if loss.of_collie]
STANDARD = [name for name, loss in PAIRS.items() if not loss.takes_many]
MANY = [name for name, loss in PAIRS.items() if loss.takes_many]
ADAPTIVE = [name for name, loss in PAIRS.items() if loss.choices == HARDEST]
CHOOSING = [name for name, loss in PAIRS.items() if loss.chooses_one]


def entry(name):
    """The row of the table, or a word on where it is missing."""
    if name not in PAIRS:
        raise LookupError(f"{name} is not in tests/cases.py: give it a row in PAIRS")
    return PAIRS[name]


def itself(name):
    """The loss of that name."""
    return entry(name).sentence or getattr(pairloss, name)


def negatives_of(name):
    """What the loss calls its negatives."""
    if entry(name).sentence:
        return "negatives"
    return "many_negative_scores" if entry(name).takes_many else "negative_scores"


def function(name):
    """The loss of that name as f(positive_scores, negative_scores, positive_items, negative_items, …)."""
    public = itself(name)

    def loss(positive_scores, negative_scores, positive_items=None, negative_items=None, **options):
        # In braces, because torch 2.6 cannot trace |= of dictionaries.
        options = {**options, **({"num_items": NUM_ITEMS} if name in COLLIES else {})}
        return public(
            positive_scores, negative_scores, positive_items=positive_items, negative_items=negative_items, **options
        )

    return loss


def oracle(name, *arguments, squared=None, **options):
    """What the loss of that name should be, by plain loops."""
    loss = entry(name)
    squared = loss.squared if squared is None else squared
    return oracles.over_pairs(loss.oracle, *arguments, squared=bool(squared), **options)


def module(name, *arguments, **options):
    """The module of that name, for ``NUM_ITEMS`` items where it asks for their number."""
    made = entry(name).module
    return made(*([NUM_ITEMS] if made is pairloss.WARPLoss else []), *arguments, **options)


def case(name, *, k=5, b=9, seed=0, dtype=torch.float64):
    """Scores and items for ``name``, some negatives equal to their positive."""
    generator = torch.Generator().manual_seed(seed)
    shape = (k, b) if entry(name).takes_many else (b,)
    items = torch.randint(NUM_ITEMS, (b,), generator=generator)
    negative_items = torch.randint(NUM_ITEMS, shape, generator=generator)
    negative_items[..., :1] = items[:1]
    return {
        "positive_scores": 2 * torch.randn(b, generator=generator, dtype=dtype),
        "negative_scores": 2 * torch.randn(shape, generator=generator, dtype=dtype),
        "positive_items": items,
        "negative_items": negative_items,
    }


def parted(batch):
    """Both scores of a batch, and the rest of it."""
    rest = dict(batch)
    return [rest.pop("positive_scores"), rest.pop("negative_scores")], rest


def outcome(loss, batch, **options):
    """The loss, given itself or by its name, and its gradients in both scores."""
    scores, rest = parted(batch)
    scores = [score.detach().clone().requires_grad_() for score in scores]
    value = (function(loss) if isinstance(loss, str) else loss)(*scores, **rest, **options)
    return [value, *torch.autograd.grad(value.sum(), scores)]


def same(ours, theirs):
    """Whether two outcomes are equal to the last digit."""
    return all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def quietly(make):
    """What ``make`` gives, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its compressed layouts a beta
        return make()


def subsets(names):
    return [chosen for n in range(len(names) + 1) for chosen in itertools.combinations(names, n)]


def tables(kind, seed=0):
    """No metadata, one categorical table, or a column with gaps, a float table and a multi-hot one with empty rows."""
    generator = torch.Generator().manual_seed(seed)
    genre = torch.randint(3, (NUM_ITEMS,), generator=generator)
    if kind == "none":
        return {}
    if kind == "one":
        return {"metadata": {"genre": genre}, "metadata_weights": {"genre": 0.3}}
    labels = torch.rand(NUM_ITEMS, 4, generator=generator) < 0.4
    labels[:5] = False
    decade = torch.randint(2, (NUM_ITEMS,), generator=generator).float()
    brand = genre.masked_fill(genre == 1, -1)
    return {
        "metadata": {"brand": brand[:, None], "labels": labels, "decade": decade},
        "metadata_weights": {"brand": 0.3, "labels": 0.5, "decade": 0.2},
    }


def squares(name):
    """Options that say whether to square, with none among them: every way in which the loss may be asked."""
    return [{}] if entry(name).squared is None else [{}, {"squared": True}, {"squared": False}]


def optional(name):
    """The names of the masks and weights that the loss takes."""
    return ["mask", "weights", "negative_mask"] if entry(name).takes_many else ["mask", "weights"]


def extra(which, b=9, k=5, seed=0):
    """The optional masks and weights named in ``which``."""
    generator = torch.Generator().manual_seed(seed)
    options = {
        "mask": torch.rand(b, generator=generator) < 0.7,
        "weights": 3 * torch.rand(b, generator=generator, dtype=torch.float64) * (torch.arange(b) != 2),
        "negative_mask": (torch.rand(k, b, generator=generator) < 0.6) & (torch.arange(b) != 3),
    }
    return {option: options[option] for option in which}


def padded(batch, padding):
    """The ids of a batch with ``padding`` wherever they do not count, and which pairs count."""
    ones = torch.ones_like(batch["positive_items"], dtype=torch.bool)
    real = batch.get("negative_mask", torch.ones_like(batch["negative_items"], dtype=torch.bool))
    counts = batch.get("mask", ones) & (batch.get("weights", ones) != 0)
    counts = counts & real.any(0) if "negative_mask" in batch else counts
    positive_items = batch["positive_items"].masked_fill(~counts, padding)
    return {
        "positive_items": positive_items,
        "negative_items": batch["negative_items"].masked_fill(~(counts & real), padding),
    }, counts


class Deterministic(TorchDispatchMode):
    """Refuse what has no deterministic form on a GPU, and what has no form at all on some devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        sums = name == "cumsum" and args[0].is_floating_point() and torch.are_deterministic_algorithms_enabled()
        refused = sums or name in ("put", "put_", "take", "kthvalue", "median", "histc")
        assert not refused, f"{name} has no deterministic form on every device"
        return func(*args, **kwargs or {})


def embeddings(seed=0, b=9):
    """Vectors of users and items, each user's positives, and the function that scores items for them."""
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(b, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(NUM_ITEMS, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    return [users, items], lambda ids: (users * items[ids]).sum(-1)
