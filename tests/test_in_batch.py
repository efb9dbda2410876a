"""The softmax against the other positives of a batch, against plain loops and the formulas of its sources."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import pairloss
from tests.cases import NUM_ITEMS, extra, tables
from tests.oracles import softmax

USERS, ITEMS = tensor([3, 5, 3, 8, 5, 9]), tensor([7, 1, 4, 7, 1, 2, 4, 30, 1, 12, 7])  # 5 more negatives


def batch(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(6, 11, generator=generator, dtype=torch.float64)
    log_q = torch.rand(11, generator=generator, dtype=torch.float64).mul(0.5).log()
    return scores.to(dtype).requires_grad_(), log_q.to(dtype)


def loop(scores, users=None, items=None, log_q=None, negative_mask=None, temperature=1.0):
    """One loss per user, or None where nothing is left to compare with, in plain floats."""
    size, columns = scores.shape
    users = range(size) if users is None else users.tolist()
    items = range(columns) if items is None else items.tolist()
    have = {(users[row], items[row]) for row in range(size)}
    losses = []
    for row, of_user in enumerate(scores.tolist()):
        negatives = []
        for column in range(columns):
            real = negative_mask is None or bool(negative_mask[row, column])
            if real and (users[row], items[column]) not in have:
                draws = 0.0 if log_q is None else math.log(columns - 1) + float(log_q[column])
                negatives.append(of_user[column] - temperature * draws)
        losses.append(softmax(of_user[row], negatives, [1.0] * len(negatives), temperature) if negatives else None)
    return losses


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("which", ["", "users", "items", "users items", "users items log_q", "log_q", "all"])
def test_equals_a_loop(which, temperature, dtype):
    scores, log_q = batch(dtype=dtype)
    options = {"users": USERS, "items": ITEMS, "log_q": log_q}
    real = torch.rand(6, 11, generator=torch.Generator().manual_seed(1)) < 0.6
    real[4] = False  # nobody is left for this user
    options |= {"negative_mask": real}
    options = {key: value for key, value in options.items() if key in which or which == "all"}
    counts = extra(["mask", "weights"], b=6) if which == "all" else {}
    weights = (counts["mask"] * counts["weights"]).tolist() if counts else [1.0] * 6
    given = options | counts | {"temperature": temperature}
    loss = pairloss.in_batch_softmax_loss(scores, **given, reduction="none")
    expected = loop(scores.detach().double(), **options, temperature=temperature)
    assert (None in expected) == (which == "all")
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    digits = 1e-12 if dtype == torch.float64 else 1e-5
    each = [weight * (one or 0.0) for weight, one in zip(weights, expected, strict=True)]
    assert_close(loss.double(), tensor(each, dtype=torch.float64), rtol=digits, atol=digits)
    total = sum(weight for weight, one in zip(weights, expected, strict=True) if one is not None)
    mean = pairloss.in_batch_softmax_loss(scores, **given)
    assert_close(mean.item(), sum(each) / total, rtol=digits, atol=digits)


def test_the_gradient_is_that_of_the_paper():
    """Khrylchenko et al.: stopped (1 − P(p|u)) times a softmax whose denominator holds the corrected negatives."""
    scores, log_q = batch()
    ours = torch.autograd.grad(pairloss.in_batch_softmax_loss(scores, log_q=log_q, reduction="sum"), scores)[0]
    real = ~torch.eye(6, 11, dtype=torch.bool)
    negatives = (scores - log_q).masked_fill(~real, -math.inf).logsumexp(1)
    positive = scores.diagonal()
    of_the_positive = 1 / (1 + (negatives - math.log(10) - positive).exp())  # P(p|u), 10 draws
    theirs = ((1 - of_the_positive).detach() * (negatives - positive)).sum()
    assert_close(ours, torch.autograd.grad(theirs, scores)[0])


def test_with_all_items_drawn_as_often_as_q_says_it_is_the_full_softmax():
    """Eight draws in proportion to q stand for the whole catalogue, so the estimate is exact."""
    catalogue = tensor([0.3, -1.0, 2.0, 0.7], dtype=torch.float64)  # of which item 0 is the positive
    q = tensor([0.125, 0.125, 0.25, 0.5], dtype=torch.float64)
    drawn = tensor([0, 1, 2, 2, 3, 3, 3, 3])
    columns = torch.cat([tensor([0]), drawn])
    loss = pairloss.in_batch_softmax_loss(catalogue[columns][None], items=columns, log_q=q[columns].log())
    assert_close(loss, catalogue.logsumexp(0) - catalogue[0])


def test_positives_of_one_person_do_not_push_each_other_down_and_never_leak():
    scores, _ = batch()
    have = set(zip(USERS.tolist(), ITEMS.tolist(), strict=False))
    own = tensor([[(user, item) in have for item in ITEMS.tolist()] for user in USERS.tolist()])
    positives = torch.eye(6, 11, dtype=torch.bool)
    bad = scores.detach().masked_fill(own & ~positives, math.nan).requires_grad_()
    loss = pairloss.in_batch_softmax_loss(bad, users=USERS, items=ITEMS)
    assert_close(loss, pairloss.in_batch_softmax_loss(scores, users=USERS, items=ITEMS))
    pulls = torch.autograd.grad(loss, bad)[0]
    assert torch.equal(pulls < 0, positives)
    assert torch.equal(pulls > 0, ~own)


@pytest.mark.parametrize("kind", ["one", "three"])
def test_credit_is_that_of_the_softmax(kind):
    scores, _ = batch()
    real = ~torch.eye(6, 11, dtype=torch.bool) & (ITEMS[:6, None] != ITEMS)
    expected = pairloss.softmax_loss(
        scores.diagonal(), scores.T, negative_mask=real.T, positive_items=ITEMS[:6],
        negative_items=ITEMS[:, None].expand(11, 6), **tables(kind),
    )  # fmt: skip
    assert torch.equal(pairloss.in_batch_softmax_loss(scores, items=ITEMS, **tables(kind)), expected)
    assert ITEMS.max() < NUM_ITEMS


@pytest.mark.parametrize("size", [0, 1])
def test_a_small_batch(size):
    scores = torch.randn(size, 3, requires_grad=True)
    loss = pairloss.in_batch_softmax_loss(scores)
    assert loss == 0 if size == 0 else loss > 0
    assert torch.autograd.grad(loss, scores)[0].isfinite().all()
    assert pairloss.in_batch_softmax_loss(torch.ones(1, 1)) == 0  # nobody to compare with


@pytest.mark.slow
def test_compiles_and_goes_through_grad_on_any_default_device():
    scores, log_q = batch()
    options = {"users": USERS, "items": ITEMS, "log_q": log_q, "temperature": 0.5}
    expected = pairloss.in_batch_softmax_loss(scores, **options)
    compiled = torch.compile(pairloss.in_batch_softmax_loss, fullgraph=True, backend="eager")
    assert_close(compiled(scores, **options), expected)
    slope = torch.func.grad(lambda s: pairloss.in_batch_softmax_loss(s, **options))(scores.detach())
    assert_close(slope, torch.autograd.grad(expected, scores)[0])
    assert torch.autograd.gradgradcheck(lambda s: pairloss.in_batch_softmax_loss(s, **options), scores)
    with torch.device("meta"):
        assert torch.equal(pairloss.in_batch_softmax_loss(scores, **options), expected)
        assert pairloss.in_batch_softmax_loss(scores, log_q=log_q).device.type == "cpu"
