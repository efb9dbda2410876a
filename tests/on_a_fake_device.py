"""On a device without a kernel: every function stays on it, mixes it with no other, and waits for no value.

The device is one that torch knows by name alone, and its tensors are fakes: a shape, a dtype and a device, but no
numbers. Whatever looks at a number fails, as it would wait on a GPU. So does whatever meets another device.
test_devices.py runs this file, in a process of its own: torch must know the device before it computes any gradient.
"""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import pairloss
from pairloss import sampling
from tests.cases import (
    CHOOSING,
    LISTS,
    MANY,
    PAIRS,
    case,
    embeddings,
    entry,
    extra,
    function,
    module,
    optional,
    parted,
    squares,
    tables,
)

DEVICE = "privateuseone"


_setup_privateuseone_for_python_backend(DEVICE)


class WithoutFloat64(TorchDispatchMode):
    """The device of a Mac: it has no float64, and no kernel that takes from or puts into a flat tensor."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        there = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor) and x.device.type == DEVICE]
        name = str(function)
        assert not any(x.dtype == torch.float64 for x in there), f"{name} makes float64"
        assert not (there and name.startswith(("aten.take.", "aten.put"))), f"{name} has no kernel"
        return made


@pytest.fixture(autouse=True)
def fakes():
    with FakeTensorMode(allow_non_fake_inputs=True), WithoutFloat64():
        yield


def there(value):
    """A stand-in on the device for a tensor, or for those in a container."""
    if isinstance(value, dict):
        return {key: there(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [there(entry) for entry in value]
    if not isinstance(value, torch.Tensor):
        return value
    dtype = torch.float32 if value.dtype == torch.float64 else value.dtype
    return torch.empty(value.shape, dtype=dtype, device=DEVICE, requires_grad=value.requires_grad)


def check(result, shape, dtype=None):
    assert result.device.type == DEVICE
    assert result.shape == shape
    assert dtype is None or result.dtype == dtype


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_losses_on_pairs_with_every_option_forward_and_backward(name, kind):
    each_alone = ([option] for option in optional(name))
    for which, choice in itertools.product(([], *each_alone, optional(name)), entry(name).choices):
        batch = there(case(name, dtype=torch.float16) | tables(kind) | extra(which))
        scores = [batch[key].requires_grad_() for key in ("positive_scores", "negative_scores")]
        asked = squares(name) if len(which) > 1 else [{}]  # the square of all of them together
        for squared, reduction in itertools.product(asked, ("mean", "sum", "none")):
            loss = function(name)(**batch, **choice, **squared, reduction=reduction)
            check(loss, (9,) if reduction == "none" else (), torch.float32)
            for score, gradient in zip(scores, torch.autograd.grad(loss.sum(), scores), strict=True):
                check(gradient, score.shape, torch.float16)


@pytest.mark.parametrize("name", PAIRS)
def test_modules(name):
    made = module(name, *there(tables("one")).values())
    check(made(*there(case(name)).values(), **there(extra(optional(name)))), (), torch.float32)


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_scoring_twice(name, kind):
    users, items = there(embeddings()[0])
    _, options = parted(there(case(name) | tables(kind) | extra(optional(name))))

    def score(ids):
        return (users * items[ids]).sum(-1)

    for choice in entry(name).choices:
        loss = function(name)(score(options["positive_items"]), score, **options, **choice)
        for vectors, gradient in zip((users, items), torch.autograd.grad(loss, (users, items)), strict=True):
            check(gradient, vectors.shape)


@pytest.mark.parametrize("labels", [torch.bool, torch.int64, torch.float32])
@pytest.mark.parametrize("name", LISTS)
def test_losses_on_lists(name, labels):
    scores = torch.empty(20, device=DEVICE, requires_grad=True)
    labels = torch.empty(20, dtype=labels, device=DEVICE)
    groups = torch.empty(20, dtype=torch.int64, device=DEVICE)
    there = torch.empty(20, dtype=torch.bool, device=DEVICE)
    for options in LISTS[name].choices[1:2]:  # the square of the hinge
        loss = getattr(pairloss, name)(scores, labels, **options)
        check(loss, (), torch.float32)
        check(torch.autograd.grad(loss, scores)[0], (20,), torch.float32)
        if name == "lambdarank_loss":  # it learns how large the groups are, as its docstring says
            with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
                getattr(pairloss, name)(scores, labels, groups=groups)
        else:
            many = {"groups": groups, "mask": there, "weights": torch.empty(20, device=DEVICE)}
            loss = getattr(pairloss, name)(scores, labels, **many, **options)
            check(torch.autograd.grad(loss, scores)[0], (20,), torch.float32)


def test_the_other_losses():
    one, other = torch.empty(2, 9, dtype=torch.float16, device=DEVICE, requires_grad=True)
    for loss in (
        pairloss.pointwise_loss(one, other),
        pairloss.logistic_loss(torch.empty(9, dtype=torch.int8, device=DEVICE), one),
        pairloss.poisson_loss(torch.empty(9, dtype=torch.int8, device=DEVICE), one),
        pairloss.regression_loss(other, one),
    ):
        check(loss, (), torch.float32)
        check(torch.autograd.grad(loss, one)[0], (9,), torch.float16)


def test_choosing_and_sampling():
    positive, many = torch.empty(9, device=DEVICE), torch.empty(5, 9, device=DEVICE)
    mask = torch.empty(5, 9, dtype=torch.bool, device=DEVICE)
    for real in (None, mask):
        check(pairloss.choose_hardest(many, real), (9,), torch.int64)
        check(pairloss.choose_semi_hard(positive, many, real), (9,), torch.int64)
        for part, dtype in zip(
            pairloss.choose_first_violation(many, real), (torch.int64, torch.int64, torch.bool), strict=True
        ):
            check(part, (9,), dtype)
        check(pairloss.take_negatives(many, pairloss.choose_hardest(many, real)), (9,))
    ids = torch.empty(5, 9, dtype=torch.int64, device=DEVICE)
    genre = {"genre": torch.empty(40, dtype=torch.int64, device=DEVICE)}
    check(pairloss.ideal_difference_from_metadata(ids[0], ids, genre, {"genre": 0.5}), (5, 9), torch.float32)


def test_metrics():
    scores = torch.empty(9, 5, dtype=torch.float16, device=DEVICE)
    held_out, exclude = torch.empty(2, 9, 5, dtype=torch.bool, device=DEVICE)
    for metric in (pairloss.metrics.ndcg, pairloss.metrics.recall, pairloss.metrics.auc):
        check(metric(scores, held_out, exclude=exclude), (), torch.float32)
        check(metric(lambda users: scores[users], held_out, reduction="none"), (9,), torch.float32)
    check(pairloss.metrics.top_k(scores, exclude=exclude), (9, 10), torch.int64)


def test_large_batches_and_sampling(monkeypatch):
    """From 2¹⁷ entries on other kernels are taken."""
    batch = there(case("warp_loss", k=17, b=2**13, dtype=torch.float32) | tables("three"))
    batch["negative_mask"] = torch.empty(17, 2**13, dtype=torch.bool, device=DEVICE)
    scores = [batch[key].requires_grad_() for key in ("positive_scores", "negative_scores")]
    for name in MANY:
        for choice in entry(name).choices:
            loss = function(name)(**batch, **choice)
            for score, gradient in zip(scores, torch.autograd.grad(loss, scores), strict=True):
                check(gradient, score.shape, torch.float32)
    check(pairloss.take_negatives(batch["negative_scores"], batch["positive_items"]), (2**13,), torch.float32)
    check(pairloss.total_weight(batch["positive_scores"], negative_mask=batch["negative_mask"]), (), torch.float32)
    users = torch.empty(9, dtype=torch.int64, device=DEVICE)
    # A device known by name alone has no sparse tensors: what is read from one is put in its place.
    known = torch.empty(2, 30, dtype=torch.int64, device=DEVICE)
    monkeypatch.setattr(sampling, "_coalesced", lambda _: tuple(known))
    for weights in (None, torch.empty(40, device=DEVICE)):
        table = torch.empty(7, 40, dtype=torch.bool, device=DEVICE)
        check(pairloss.sample_negatives(users, table, 5, weights=weights), (5, 9), torch.int64)


def test_negatives_of_the_batch():
    scores = torch.empty(9, 14, dtype=torch.float16, device=DEVICE, requires_grad=True)
    ids = torch.empty(14, dtype=torch.int64, device=DEVICE)
    options = {"users": ids[:9], "items": ids, "log_q": torch.empty(14, device=DEVICE)}
    loss = pairloss.in_batch_softmax_loss(scores, **options, **there(tables("three") | extra(["mask", "weights"])))
    check(loss, (), torch.float32)
    check(torch.autograd.grad(loss, scores)[0], (9, 14), torch.float16)


def test_a_look_at_a_value_would_be_seen():
    """What these tests rest on: on this device no value can be had."""
    scores = torch.empty(9, device=DEVICE)
    with pytest.raises(DataDependentOutputException):
        bool(scores.any())
    with pytest.raises(DynamicOutputShapeException):
        scores.nonzero()
    with pytest.raises(RuntimeError, match="same device"):
        scores + torch.empty(9)
