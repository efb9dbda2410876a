"""What pair_loss composes, tables with the batch first, and names that were others once."""

import itertools
import math
import re
import warnings
from functools import partial

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import pairloss
from pairloss import choose_first_violation, choose_hardest, choose_semi_hard, pair_loss, terms
from tests import oracles
from tests.cases import (
    CHOOSING,
    MANY,
    NAMED,
    NUM_ITEMS,
    case,
    embeddings,
    entry,
    extra,
    function,
    module,
    negatives_of,
    optional,
    outcome,
    parted,
    psl,
    same,
    squares,
    subsets,
    tables,
)

pytestmark = pytest.mark.slow

REDUCTIONS = ("mean", "sum", "none")
# Each loss with a name, and the words of its sentence: its options, its term and its choice.
SENTENCES = [
    ("bpr_loss", {}, terms.bpr, None),
    ("hinge_loss", {}, terms.hinge, None),
    ("log_bpr_loss", {}, terms.log_bpr, None),
    ("adaptive_bpr_loss", {}, terms.bpr, choose_hardest),
    ("adaptive_hinge_loss", {}, terms.hinge, choose_hardest),
    ("softmax_loss", {}, terms.softmax, None),
    ("softmax_loss", {"temperature": 0.3}, partial(terms.softmax, temperature=0.3), None),
]
every_kind = pytest.mark.parametrize("kind", ["none", "one", "three"])


# --- a loss with a name is its sentence ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "own", "term", "choose"), SENTENCES)
@every_kind
def test_a_loss_is_its_sentence_to_the_last_digit(name, own, term, choose, kind):
    sentence, batch = partial(pair_loss, term, choose=choose), case(name) | tables(kind)
    for which, squared, reduction in itertools.product(([], optional(name)), squares(name), REDUCTIONS):
        options = extra(which) | {"reduction": reduction}
        ours = outcome(sentence, batch, **options, squared=squared.get("squared", bool(entry(name).squared)))
        assert same(ours, outcome(function(name), batch, **options, **own, **squared))


def first_violation(term):
    """The term of the first pair that violates the margin. Where none does, 0, whatever the term would say."""
    return lambda p, ns, ds: next((term(p - n, d) for n, d in zip(ns, ds, strict=True) if d - p + n > 0), 0.0)


def easiest(scores):
    return scores.masked_fill(scores == -torch.inf, torch.inf).argmin(0)


def easiest_by_loop(term):
    return lambda p, ns, ds: term(p - min(ns), ds[ns.index(min(ns))])


def semi_hard(p, ns, ds):
    below = [n for n in ns if n < p]
    k = ns.index(max(below) if below else min(ns))
    return oracles.log_bpr(p - ns[k], ds[k])


@every_kind
@pytest.mark.parametrize("which", subsets(["mask", "weights", "negative_mask"]))
@pytest.mark.parametrize(
    ("choose", "term", "loop"),
    [
        (choose_first_violation, terms.hinge, first_violation(oracles.hinge)),
        (choose_first_violation, terms.bpr, first_violation(oracles.bpr)),
        (choose_semi_hard, terms.log_bpr, semi_hard),
        (easiest, terms.hinge, easiest_by_loop(oracles.hinge)),
        (easiest, terms.bpr, easiest_by_loop(oracles.bpr)),
        (easiest, terms.log_bpr, easiest_by_loop(oracles.log_bpr)),
    ],
)
def test_a_choice_equals_a_plain_loop(kind, which, choose, term, loop):
    """Those of the package, and one of the caller."""
    for squared, reduction in itertools.product((True, False), REDUCTIONS):
        batch = case("warp_loss") | tables(kind) | extra(which)
        options = {"squared": squared, "reduction": reduction}
        actual = function_of(term, choose)(**batch, **options)
        expected = tensor(oracles.over_pairs(loop, **batch, **options), dtype=torch.float64)
        assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def function_of(term, choose=None):
    """A sentence that calls its negatives as the tables of this project do."""
    return lambda positive_scores, negative_scores, **rest: pair_loss(
        term, positive_scores, negative_scores, choose=choose, **rest
    )


def test_psl_as_it_is_written_is_psl_as_it_keeps_its_digits():
    batch = case("psl")
    written = pair_loss(lambda p, n, d: (1 + torch.tanh(n - p)).sum(0).log(), *list(batch.values())[:2])
    assert_close(written, function("psl")(**batch))
    assert psl(torch.zeros(1), torch.full((1, 1), -20.0)).item() == pytest.approx(-40 + math.log(2))


# --- a term and a choice of the caller ------------------------------------------------------------------------


def test_a_choice_sees_the_scores_without_a_gradient_and_minus_infinity_where_one_is_not_real():
    batch, seen = case("warp_loss") | extra(["negative_mask"]), []

    def choose(scores):
        seen.append(scores)
        return scores.argmax(0)

    batch["negative_scores"].requires_grad_()
    loss = function_of(terms.hinge, choose)(**batch)
    assert torch.equal(loss, function_of(terms.hinge, choose_hardest)(**batch))
    (scores,) = seen
    assert not scores.requires_grad
    assert torch.equal(scores, batch["negative_scores"].masked_fill(~batch["negative_mask"], -torch.inf))


def test_a_term_sees_minus_infinity_and_the_number_1_where_nothing_else_is_known():
    batch, seen = case("warp_loss") | extra(["negative_mask"]), []

    def term(positive, many, d):
        seen.append((positive, many, d))
        return many.amax(0) - positive

    credit = tables("one")
    for options in ({}, credit):
        function_of(term)(**batch, **options)
    (p, many, one), (_, _, d) = seen
    real = batch["negative_mask"]
    counts = real.any(0)
    assert torch.equal(p[counts], batch["positive_scores"][counts])
    assert (many[:, counts][~real[:, counts]] == -torch.inf).all()
    assert torch.equal(many[real], batch["negative_scores"][real])
    assert isinstance(one, float)
    assert one == 1
    items = batch["positive_items"], batch["negative_items"]
    expected = pairloss.ideal_difference_from_metadata(*items, *credit.values())
    assert_close(d[real], expected[real].double())
    assert (d[~real] == 1).all()
    assert (d[real] < 1).any()


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.uint64])
def test_a_choice_may_give_rows_of_any_integer_dtype(dtype):
    batch = case("warp_loss")
    ours = function_of(terms.hinge, lambda scores: scores.argmin(0).to(dtype))(**batch)
    assert torch.equal(ours, function_of(terms.hinge, lambda scores: scores.argmin(0))(**batch))


def my_term(positive, negative, d):
    return d * torch.nn.functional.softplus(negative - positive) ** 2


def my_sum(positive, many, d):
    return (d * (many - positive).sigmoid()).sum(0)


@pytest.mark.parametrize(
    ("term", "choose", "kind"),
    [(my_term, easiest, "three"), (my_term, choose_semi_hard, "none"), (my_sum, None, "three")],
)
def test_a_sentence_of_the_caller_compiles_and_goes_through_transforms(term, choose, kind):
    batch = case("warp_loss") | tables(kind) | extra(["mask", "weights", "negative_mask"])
    scores, rest = parted(batch)

    def loss(p, n):
        return pair_loss(term, p, n, choose=choose, **rest)

    value, *gradients = outcome(function_of(term, choose), batch)
    assert all((gradient != 0).any() for gradient in gradients)
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(*scores), value)
    torch._dynamo.reset()
    assert_close(torch.func.grad(loss, argnums=(0, 1))(*scores), tuple(gradients))
    several = [torch.stack([score, score.roll(1, -1)]) for score in scores]
    each = torch.stack([loss(*(score[i] for score in several)) for i in (0, 1)])
    assert_close(torch.func.vmap(loss)(*several), each)
    assert_close(torch.func.vmap(torch.func.grad(loss))(*several)[0], gradients[0])


P, TABLE = torch.arange(4.0), torch.zeros(3, 4)


# --- tables with the batch first --------------------------------------------------------------------------------

TABLES = ("negative_scores", "negative_items", "negative_mask")


def turn(batch, shape=None):
    """The batch with its tables [B, K], and in another shape of its pairs."""

    def turned(key, value):
        if not isinstance(value, torch.Tensor):
            return value
        size = value.shape[-1:] if shape is None else shape
        return value.reshape(-1, *size).movedim(0, -1) if key in TABLES else value.reshape(size)

    return {key: turned(key, value) for key, value in batch.items()}


def scorer(shape, batch_first, vectors=None):
    """Vectors of users and items, and what scores ids of the shape of the pairs, K for each first or last."""
    vectors = vectors or embeddings()[0]

    def score(ids):
        users = vectors[0].reshape(*shape, 6)
        if batch_first and ids.ndim > len(shape):
            users = users.unsqueeze(-2)
        return (users * vectors[1][ids]).sum(-1)

    return vectors, score


every_shape = pytest.mark.parametrize("shape", [(9,), (3, 3), (3, 1, 3)])


@pytest.mark.parametrize("name", MANY)
@every_kind
@every_shape
def test_the_batch_may_come_first(name, kind, shape):
    """[batch, time] too, where K comes last. Gradients lie as the scores do."""
    options_of = ([], ["negative_mask"], optional(name))
    for which, choice, reduction in itertools.product(options_of, entry(name).choices, REDUCTIONS):
        batch = case(name) | extra(which)
        options = tables(kind) | choice | {"reduction": reduction}
        value, *gradients = outcome(function(name), batch, **options)
        ours, *slopes = outcome(function(name), turn(batch, shape), **options, batch_first=True)
        assert_close(ours, value.reshape(shape) if reduction == "none" else value, rtol=1e-13, atol=1e-13)
        expected = turn(dict(zip(("positive_scores", "negative_scores"), gradients, strict=True)), shape)
        assert_close(slopes, list(expected.values()), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", CHOOSING)
@every_kind
@every_shape
def test_a_function_gets_ids_with_the_batch_first(name, kind, shape):
    _, ids = parted(case(name) | extra(optional(name)))
    vectors, plain = scorer((9,), False)
    _, turned = scorer(shape, True, vectors)
    asked = []

    def watched(items):
        asked.append(tuple(items.shape))
        return turned(items)

    for choice in entry(name).choices:
        outcomes = []
        for score, negatives, given in ((plain, plain, ids), (turned, watched, turn(ids, shape))):
            options = tables(kind) | choice | {"batch_first": score is turned}
            loss = function(name)(score(given["positive_items"]), negatives, **given, **options)
            outcomes.append([loss, *torch.autograd.grad(loss, vectors)])
        assert_close(outcomes[1], outcomes[0], rtol=1e-12, atol=1e-12)
    assert asked == len(entry(name).choices) * [(*shape, 5), shape]


@pytest.mark.parametrize("name", [name for name in NAMED if name in MANY])
@pytest.mark.parametrize("kind", ["none", "three"])
def test_a_module_is_told_once_that_the_batch_comes_first(name, kind):
    for choice in entry(name).choices:
        batch = case(name) | extra(optional(name))
        made = module(name, *tables(kind).values(), **choice, batch_first=True)
        scores, rest = parted(turn(batch))
        assert_close(made(*scores, **rest), function(name)(**batch, **tables(kind), **choice))
        assert "batch_first=True" in repr(made)


@pytest.mark.parametrize("name", MANY)
def test_a_sequence_of_tensors_is_the_same_whichever_comes_first(name):
    batch = case(name) | tables("one") | extra(["negative_mask"])
    rows = {"negative_scores": list(batch["negative_scores"])}
    for whole, first in ((batch, False), (turn(batch), True)):
        assert torch.equal(function(name)(**whole | rows, batch_first=first), function(name)(**batch))


@every_shape
def test_what_goes_with_a_table_comes_with_the_batch_first(shape):
    batch = case("warp_loss") | extra(["mask", "weights", "negative_mask"])
    turned, credit = turn(batch, shape), tables("three")
    d = pairloss.ideal_difference_from_metadata(batch["positive_items"], batch["negative_items"], **credit)
    ours = pairloss.ideal_difference_from_metadata(
        turned["positive_items"], turned["negative_items"], **credit, batch_first=True
    )
    assert torch.equal(ours, turn({"negative_scores": d}, shape)["negative_scores"])
    for which in subsets(["mask", "weights", "negative_mask"]):
        options, others = ({key: given[key] for key in which} for given in (batch, turned))
        total = pairloss.total_weight(turned["positive_scores"], **others, batch_first=True)
        assert torch.equal(total, pairloss.total_weight(batch["positive_scores"], **options))


@pytest.mark.parametrize("weights", [None, torch.arange(1.0, 8)])
def test_samples_with_the_batch_first_are_the_same_samples(weights):
    known, users = torch.arange(28).reshape(4, 7) % 3 == 0, torch.arange(6) % 4
    drawn = []
    for first in (False, True):
        options = {"weights": weights, "generator": torch.Generator().manual_seed(0), "batch_first": first}
        drawn.append(pairloss.sample_negatives(users, known, 5, **options, return_mask=True))
        options["generator"] = torch.Generator().manual_seed(0)
        assert torch.equal(pairloss.sample_negatives(users, known, 5, **options), drawn[-1][0])
    for ours, theirs in zip(drawn[1], drawn[0], strict=True):
        assert ours.shape == (6, 5)
        assert torch.equal(ours, theirs.T)


WAYS_OUT = (
    "For [B, 1] and [K, B] use positive_scores.squeeze(-1). "
    "For [B, 1] and [B, K] use positive_scores.squeeze(-1) and batch_first=True, or {}.T"
)


@pytest.mark.parametrize("name", [*(name for name in NAMED if name in MANY), "psl"])
def test_both_ways_out_of_positives_in_a_column_are_named_and_lead_out(name):
    (p, many), ids = parted(case(name))
    i, j = ids.values()
    credit = {"metadata": {"genre": torch.arange(NUM_ITEMS) % 3}, "metadata_weights": {"genre": 0.3}}
    for table, items in ((many.T, j.T), (many, j)):
        with pytest.raises(ValueError, match=re.escape(WAYS_OUT.format(negatives_of(name)))):
            function(name)(p[:, None], table, i[:, None], items, **credit)
    p = p[:, None].squeeze(-1)
    expected = function(name)(p, many, i, j, **credit)
    assert torch.equal(function(name)(p, many.T.clone().T, i, j, **credit), expected)
    assert_close(function(name)(p, many.T, i, j.T, **credit, batch_first=True), expected)


@pytest.mark.parametrize("shape", [(3, 3), (2, 3)])
def test_one_negative_each_has_no_batch_to_come_first(shape):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, *shape, generator=generator)
    assert torch.equal(pair_loss(terms.bpr, *scores, batch_first=True), pair_loss(terms.bpr, *scores))
    items = torch.randint(NUM_ITEMS, (2, *shape), generator=generator)
    ours = pairloss.ideal_difference_from_metadata(*items, **tables("three"), batch_first=True)
    assert torch.equal(ours, pairloss.ideal_difference_from_metadata(*items, **tables("three")))


@pytest.mark.parametrize("term", [terms.bpr, terms.log_bpr])
def test_a_choice_of_what_is_not_real_costs_nothing_with_metadata_too(term):
    items = torch.zeros(3, 4, dtype=torch.int64)
    batch = {"positive_scores": P, "negative_scores": TABLE, "positive_items": items[0], "negative_items": items}
    batch["negative_mask"] = tensor([True, False, True])[:, None].expand(3, 4)
    credit = {"metadata": {"genre": torch.zeros(1)}, "metadata_weights": {"genre": 0.5}}
    for options in ({}, credit):
        loss = function_of(term, lambda scores: torch.ones_like(scores[0], dtype=torch.int64))
        assert loss(**batch, **options, reduction="none").tolist() == [0.0] * 4


@pytest.mark.parametrize("name", MANY)
def test_an_error_has_the_shape_that_was_given_with_the_batch_first_too(name):
    with pytest.raises(ValueError, match=rf"{negatives_of(name)} has shape \[3, 4\]"):
        function(name)(P, TABLE, batch_first=True)


# --- names that were others once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hardest_negatives", choose_hardest),
        ("semi_hard_negatives", choose_semi_hard),
        ("first_violation", choose_first_violation),
    ],
)
def test_an_old_name_is_the_new_function_and_says_so(old, new):
    with pytest.warns(DeprecationWarning, match=rf"^pairloss\.{old} is now pairloss\.{new.__name__}$") as caught:
        assert getattr(pairloss, old) is new
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(DeprecationWarning, match=new.__name__):
        exec(f"from pairloss import {old}", {})
    assert old not in pairloss.__all__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(pairloss, new.__name__) is new


def test_what_the_package_does_not_have_it_does_not_have():
    assert not hasattr(pairloss, "softest_negatives")
    with pytest.raises(AttributeError, match="module 'pairloss' has no attribute 'softest_negatives'"):
        _ = pairloss.softest_negatives
    assert not {"Reduction", "ListReduction"} & set(pairloss.__all__)
