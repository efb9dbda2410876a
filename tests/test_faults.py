"""Faults that were found from outside, each with its whole kind: other losses, sizes, dtypes and settings."""

import itertools
import math
import re
from functools import partial

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import pairloss
from pairloss import choose_first_violation, choose_hardest, choose_semi_hard
from pairloss.tensors import FLOATS, REAL
from tests.cases import (
    ADAPTIVE,
    CHOOSING,
    LISTS,
    MANY,
    NUM_ITEMS,
    PAIRS,
    Deterministic,
    case,
    embeddings,
    entry,
    extra,
    function,
    module,
    optional,
    oracle,
    outcome,
    padded,
    parted,
    quietly,
    tables,
)

pytestmark = pytest.mark.slow

INF = float("inf")
CAN_SQUARE = [name for name in PAIRS if entry(name).squared is not None]
GENRE = torch.arange(NUM_ITEMS) % 3
CHOICES = [(name, choice) for name in PAIRS for choice in entry(name).choices]


def beside(name, positive, negative):
    """Scores for ``name``, the negatives as one row of them where it takes many."""
    return {"positive_scores": positive, "negative_scores": negative[None] if entry(name).takes_many else negative}


@pytest.fixture(autouse=True)
def settings():
    """Every setting of torch that a test here changes is put back, and what it compiled is forgotten."""
    yield
    torch._dynamo.reset()
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    torch.set_warn_always(False)


# --- 1. torch.export with sizes that are free -------------------------------------------------------------


class Step(torch.nn.Module):
    """A loss of what a dict holds, the scores first."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, batch):
        first, second, *rest = batch.items()
        return self.loss(first[1], second[1], **dict(rest))


FREE = {"without a maximum": torch.export.Dim, "automatic": lambda *_, **__: torch.export.Dim.AUTO}
# Each loss with each kind and with each way to be free, and each kind with each way.
EXPORTED = [
    (name, kind, list(FREE)[(n + k) % 2]) for n, name in enumerate(PAIRS) for k, kind in enumerate(("none", "three"))
]


@pytest.mark.parametrize(("name", "kind", "free"), EXPORTED)
def test_a_loss_on_pairs_exports_for_batches_of_every_size(name, kind, free):
    which, choice = (optional(name), entry(name).choices[-1]) if kind == "three" else ([], {})
    step = Step(module(name, *tables(kind).values(), **choice))
    # Without credit K is free, too. It equals B in the example, and nothing may take that for a rule.
    k, other_k, rows = (
        (5, 5, None) if kind == "three" else (4, 7, FREE[free]("rows", min=2, max=NUM_ITEMS))
    )  # WARP has one
    example = case(name, k=k, b=4) | extra(which, k=k, b=4)
    columns = FREE[free]("size", min=2)
    sizes = {key: {0: columns} if value.ndim == 1 else {0: rows, 1: columns} for key, value in example.items()}
    exported = torch.export.export(step, (example,), dynamic_shapes={"batch": sizes}).module()
    few = case(name, k=other_k, b=8, seed=1) | extra(which, k=other_k, b=8, seed=1)
    expected = oracle(name, **few, **tables(kind), **choice)
    for times in (1, 25_000):  # the mean of a batch is the mean of many copies of it
        copies = {key: torch.cat([value] * times, -1) for key, value in few.items()}
        assert_close(exported(copies).item(), expected, rtol=1e-9, atol=0)


LISTS_EXPORTED = [
    ("pairwise_hinge_loss", {"power": 1}, torch.bool, "without a maximum"),
    ("pairwise_hinge_loss", {"power": 2}, torch.bool, "automatic"),
    ("lambdarank_loss", {}, torch.bool, "automatic"),
    ("lambdarank_loss", {}, torch.int64, "without a maximum"),
    ("lambdarank_loss", {"sigma": 2.0}, torch.int64, "automatic"),
]


@pytest.mark.parametrize(("name", "options", "dtype", "free"), LISTS_EXPORTED)
def test_a_loss_on_lists_exports_for_lists_of_every_length(name, options, dtype, free):
    step = Step(lambda scores, labels: getattr(pairloss, name)(scores, labels, **options))
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(600, generator=generator, dtype=torch.float64)
    labels = torch.randint(2 if dtype == torch.bool else 4, (600,), generator=generator).to(dtype)
    example, shapes = (
        {"scores": x, "labels": y} for x, y in ((scores[:6], labels[:6]), 2 * [{0: FREE[free]("size", min=2)}])
    )
    exported = torch.export.export(step, (example,), dynamic_shapes={"batch": shapes}).module()
    for length in (5, 7, 40, 600 if name == "pairwise_hinge_loss" else 90):
        some = {"scores": scores[:length], "labels": labels[:length]}
        expected = LISTS[name].oracle(*(part.tolist() for part in some.values()), **options)
        assert_close(exported(some).item(), expected, rtol=1e-9, atol=1e-12)


# --- 2. sums of squares in float32 ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**12, 2**13 - 1, 2**15, 2**16 + 1, 2**17, 2**18 - 1, 2**18, 2**18 + 3])
@pytest.mark.parametrize("name", CAN_SQUARE)
def test_a_squared_sum_of_equal_losses_keeps_its_digits(name, size):
    for (p, n), choice in itertools.product([(0.0, 0.0), (0.25, -0.5), (-3.0, 2.0)], entry(name).choices):
        one = beside(name, tensor([p], dtype=torch.float64), tensor([n], dtype=torch.float64))
        expected = oracle(name, **one, squared=True, **choice)
        many = beside(name, torch.full((size,), p), torch.full((size,), n))
        for reduction, times in (("mean", 1), ("sum", size)):
            actual = function(name)(**many, **choice, squared=True, reduction=reduction)
            assert actual.dtype == torch.float32
            assert_close(actual.double().item(), expected * times, rtol=1e-6, atol=0)


# --- 3. devices without float64: in on_a_fake_device.py ---------------------------------------------------


# --- 4. deterministic algorithms --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "one"])
@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_large_batches_train_by_deterministic_algorithms(name, choice, kind):
    b = 2**15 if entry(name).takes_many else 2**17
    batch = case(name, k=4, b=b) | tables(kind)
    for options in ({}, extra(optional(name), k=4, b=b)):
        torch.use_deterministic_algorithms(False)
        expected = outcome(name, batch, **options, **choice)
        torch.use_deterministic_algorithms(True)
        with Deterministic():
            actual = outcome(name, batch, **options, **choice)
        assert_close(actual, expected)


@pytest.mark.parametrize("shape", [(4, 2**15), (2, 2**16), (3, 2**15, 2)])
def test_taking_from_a_large_table_is_deterministic(shape):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(shape, generator=generator, requires_grad=True)
    index = torch.randint(shape[0], shape[1:], generator=generator)
    torch.use_deterministic_algorithms(True)
    with Deterministic():
        taken = pairloss.take_negatives(rows, index)
        (gradient,) = torch.autograd.grad(taken.sum(), rows)
    here = torch.arange(shape[0]).reshape(-1, *[1] * len(shape[1:])) == index
    assert torch.equal(gradient, here.float())
    assert torch.equal(taken, rows.where(here, 0).sum(0))


@pytest.mark.parametrize("name", LISTS)
def test_long_lists_train_by_deterministic_algorithms(name):
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(700, generator=generator), torch.randint(2, (700,), generator=generator)
    for groups, choice in itertools.product((None, torch.arange(700) % 3), LISTS[name].choices):
        outcomes = []
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            leaf = scores.clone().requires_grad_()
            with Deterministic():
                loss = getattr(pairloss, name)(leaf, labels, groups=groups, **choice)
                outcomes.append((loss, torch.autograd.grad(loss, leaf)[0]))
        assert_close(outcomes[0], outcomes[1])


# --- 5. ids of padding, and buffers, with a scoring function ----------------------------------------------


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("kind", ["none", "three"])
@pytest.mark.parametrize("padding", [-1, -100, NUM_ITEMS, 2**40])
def test_a_function_that_scores_is_not_asked_for_ids_of_padding(name, kind, padding):
    (users, items), _ = embeddings()

    def score(ids):  # an embedding refuses any id that it has no row for
        return (users * torch.nn.functional.embedding(ids, items)).sum(-1)

    legal = parted(case(name))[1]
    nothing = {"mask": torch.zeros(9, dtype=torch.bool)}
    for options in (*map(extra, (["mask"], ["weights"], ["negative_mask"], optional(name))), nothing):
        for choice in entry(name).choices:
            outcomes = []
            for ids in (legal, padded(legal | options, padding)[0]):
                positive = score(legal["positive_items"])
                loss = function(name)(positive, score, **ids, **tables(kind), **options, **choice)
                outcomes.append([loss, *torch.autograd.grad(loss, (users, items))])
            assert_close(outcomes[1], outcomes[0])


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("k", [5, 20])
def test_a_function_that_scores_may_write_into_one_buffer(name, k):
    batch, scores = case(name, k=k, b=2000), torch.randn(NUM_ITEMS, dtype=torch.float64)
    buffer = torch.empty(k * 2000, dtype=torch.float64)

    def score(ids):
        return buffer[: ids.numel()].reshape(ids.shape).copy_(scores[ids])

    batch["negative_scores"] = scores[batch["negative_items"]]
    for choice in entry(name).choices:
        expected = oracle(name, **batch, **choice)
        actual = function(name)(**batch | {"negative_scores": score}, **choice)
        assert_close(actual.item(), expected, rtol=1e-9, atol=0)


# --- 6. tables that are neither codes nor labels ----------------------------------------------------------


TAGS = torch.arange(NUM_ITEMS * 4).reshape(NUM_ITEMS, 4) % 7
NO_LABELS = {
    "NaN": torch.zeros(NUM_ITEMS, 3).index_fill(0, tensor([7]), float("nan")),
    "one NaN among labels": torch.ones(NUM_ITEMS, 2).index_put((tensor(3), tensor(1)), tensor(INF - INF)).half(),
    "-1": torch.ones(NUM_ITEMS, 3, dtype=torch.int64).index_fill(0, tensor([NUM_ITEMS - 1]), -1),
    "-1 in int8": torch.zeros(NUM_ITEMS, 2, dtype=torch.int8).index_fill(1, tensor([1]), -1),
    "-1 in floats": torch.zeros(NUM_ITEMS, 2).index_fill(0, tensor([0]), -1),
    "ids of tags": TAGS,
    "ids of tags, padded": TAGS.masked_fill(TAGS > 4, -1),
    "embeddings": torch.randn(NUM_ITEMS, 8, generator=torch.Generator().manual_seed(0)),
    "embeddings in bfloat16": torch.rand(NUM_ITEMS, 8, generator=torch.Generator().manual_seed(0)).bfloat16(),
}
NAMED = re.escape("metadata['labels']")


@pytest.mark.parametrize("table", NO_LABELS)
def test_a_table_that_holds_no_labels_is_refused_by_name(table):
    credit = {"metadata": {"labels": NO_LABELS[table]}, "metadata_weights": {"labels": 0.5}}
    with pytest.raises(ValueError, match=NAMED):
        pairloss.ideal_difference_from_metadata(GENRE, GENRE + 1, **credit)
    for name in PAIRS:
        with pytest.raises(ValueError, match=NAMED):
            function(name)(**case(name), **credit)
        with pytest.raises(ValueError, match=NAMED):
            module(name, *credit.values())


@pytest.mark.parametrize("dtype", REAL)
def test_labels_of_0_and_1_are_right_in_every_dtype(dtype):
    labels = tensor([[0, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.int64).to(dtype)
    credit = {"metadata": {"labels": labels}, "metadata_weights": {"labels": 0.75}}
    d = pairloss.ideal_difference_from_metadata(tensor([0, 0, 2]), tensor([1, 2, 1]), **credit)
    assert d.tolist() == [0.75, 1.0, 1.0]  # one label of three is shared
    for name in PAIRS:
        ids = {key: value % 3 for key, value in case(name).items() if key.endswith("items")}
        expected = oracle(name, **case(name) | ids, **credit)
        assert_close(function(name)(**case(name) | ids, **credit).item(), expected)
        assert_close(module(name, *credit.values())(*(case(name) | ids).values()).item(), expected)


# --- 7. full credit is 0 ----------------------------------------------------------------------------------


WHOLE = {
    "five of 0.2": [0.2] * 5,
    "ten of 0.1": [0.1] * 10,
    "three of 1/3": [1 / 3] * 3,
    "seven of 1/7": [1 / 7] * 7,
    "three of 1/3 in float32": [tensor(1 / 3).item()] * 3,
    "0.7, 0.2 and 0.1": [0.7, 0.2, 0.1],
}


def kinds(weights, labels=None):
    """Metadata that say the same several times, at the place ``labels`` as a multi-hot table."""
    names = [f"kind {i}" for i in range(len(weights))]
    same = dict.fromkeys(names, GENRE)
    if labels is not None:
        same[names[labels]] = torch.nn.functional.one_hot(GENRE, 3).bool()
    return {"metadata": same, "metadata_weights": dict(zip(names, weights, strict=True))}


@pytest.mark.parametrize("weights", WHOLE)
@pytest.mark.parametrize("labels", [None, 0, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_credit_leaves_exactly_0(weights, labels, dtype):
    torch.set_default_dtype(dtype)
    ids = torch.zeros(2, dtype=torch.int64), tensor([3, 1])
    assert pairloss.ideal_difference_from_metadata(*ids, **kinds(WHOLE[weights], labels)).tolist() == [0, 1]
    less = [weight * (1 - 1e-4) for weight in WHOLE[weights]]  # what is more than rounding is left
    d = pairloss.ideal_difference_from_metadata(*ids, **kinds(less, labels)).double()
    assert_close(d, tensor([1e-4, 1], dtype=torch.float64), rtol=1e-2, atol=0)


@pytest.mark.parametrize("labels", [None, -1])
@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_several_kinds_that_sum_to_1_act_as_one_kind(name, choice, labels):
    scores, ids = parted(case(name, b=60, dtype=torch.float32))
    p, n = ((2 * score).round() / 2 for score in scores)  # in halves, so that many tie
    batch = {"positive_scores": p, "negative_scores": n, **ids}
    expected = outcome(name, batch | kinds([1.0]), **choice)
    for weights in WHOLE.values():
        assert_close(outcome(name, batch | kinds(weights, labels), **choice), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("weights", WHOLE)
@pytest.mark.parametrize("labels", [None, 0])
def test_a_related_item_that_ties_does_not_violate(weights, labels):
    credit, one = kinds(WHOLE[weights], labels), tensor([1.0])
    for choice, weight in (("log", math.log(20)), ("harmonic", sum(1 / i for i in range(1, 20)))):
        ids = tensor([0]), tensor([[3], [1]])
        loss = function("warp_loss")(one, torch.ones(2, 1), *ids, **credit, rank_weight=choice)
        assert_close(loss.item(), weight + weight**2, rtol=1e-6, atol=0)  # the other, at the second try, by 1
    assert function("hinge_loss")(one, one, tensor([0]), tensor([3]), **credit) == 0


# --- 8. labels have no gradient ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("length", [10, 400, 800, 3000])
def test_labels_that_require_a_gradient_get_none(name, length):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (length,), generator=generator).float().requires_grad_()
    scores = torch.randn(length, generator=generator, requires_grad=True)
    for groups, choice in itertools.product((None, torch.arange(length) % 7), LISTS[name].choices[:2]):
        loss = getattr(pairloss, name)(scores, labels, groups=groups, **choice)
        of_scores, of_labels = torch.autograd.grad(loss, (scores, labels), allow_unused=True, retain_graph=True)
        assert of_labels is None
        assert (of_scores != 0).any()
        loss.backward()
        assert labels.grad is None


@pytest.mark.parametrize("sigma", [1e38, 1e39, 1e300])
@pytest.mark.parametrize("length", [2, 3, 700])
def test_a_tie_costs_log_2_however_steep_the_loss(sigma, length):
    scores = torch.zeros(length, requires_grad=True)
    labels = torch.zeros(length).index_fill(0, tensor([0]), 1)
    loss = pairloss.lambdarank_loss(scores, labels, sigma=sigma)
    lost = math.fsum(1 - 1 / math.log2(1 + rank) for rank in range(2, length + 1))
    assert_close(loss.item(), lost * math.log(2), rtol=1e-5, atol=0)
    assert not torch.autograd.grad(loss, scores)[0].isnan().any()
    for sign, expected in ((1, 0.0), (-1, INF)):  # the right order costs nothing, the wrong one too much
        apart = torch.full((length,), -10.0 * sign).index_fill(0, tensor([0]), 10.0 * sign).requires_grad_()
        loss = pairloss.lambdarank_loss(apart, labels, sigma=sigma)
        assert loss == expected
        assert not torch.autograd.grad(loss, apart)[0].isnan().any()


# --- 9. torch's default device and dtype ------------------------------------------------------------------


USERS, DENSE = torch.arange(6) % 4, torch.arange(28).reshape(4, 7) % 3 == 0
CHOSEN = DENSE.nonzero().T.contiguous()


FORMS = {
    "Interactions": (*CHOSEN, 4, 7),
    "dense": DENSE,
    "coalesced": DENSE.to_sparse(),
    "uncoalesced": torch.sparse_coo_tensor(CHOSEN.repeat(1, 2), torch.ones(20), (4, 7), check_invariants=True),
    "CSR": quietly(DENSE.float().to_sparse_csr),
}


def sample(form, users=USERS, weights=None):
    known = pairloss.Interactions(*FORMS[form]) if form == "Interactions" else FORMS[form]
    generator = torch.Generator("cpu").manual_seed(0)
    return pairloss.sample_negatives(users, known, 5, weights=weights, return_mask=True, generator=generator)


def public_functions():
    """A call of every public function, its tensors made beforehand."""
    calls, credit = {}, tables("three")
    p, many, real = torch.randn(9), torch.randn(5, 9), extra(["negative_mask"])["negative_mask"]
    labels, weights = torch.arange(9) % 4, torch.arange(1.0, 8)
    for name, choice in CHOICES:
        batch = case(name) | extra(optional(name)) | credit
        calls[f"{name} {choice}"] = partial(outcome, name, batch, **choice)
        scores, ids = list(case(name).values())[:2], dict(list(case(name).items())[2:])
        calls[f"module, {name} {choice}"] = lambda n=name, c=choice, s=scores, i=ids: module(n, *credit.values(), **c)(
            *s, **i
        )
        if name in CHOOSING:
            calls[f"scoring, {name} {choice}"] = partial(
                function(name), **batch | {"negative_scores": torch.randn(NUM_ITEMS).__getitem__}, **choice
            )
    for name, groups in itertools.product(LISTS, (None, labels % 2)):
        for choice in LISTS[name].choices:
            loss = partial(getattr(pairloss, name), p, labels, groups=groups, **choice)
            calls[f"{name} {choice}{' of groups' * (groups is not None)}"] = loss
    for form, w in itertools.product(FORMS, (None, weights)):
        calls[f"sample, {form}{' by weights' * (w is not None)}"] = partial(sample, form, weights=w)
    return calls | {
        "pointwise_loss": partial(pairloss.pointwise_loss, p, many[0]),
        "logistic_loss": partial(pairloss.logistic_loss, labels % 2 * 2 - 1, p),
        "poisson_loss": partial(pairloss.poisson_loss, labels, p.abs() + 1),
        "regression_loss": partial(pairloss.regression_loss, labels, p),
        "total_weight": partial(pairloss.total_weight, p, negative_mask=real),
        "choose_hardest": partial(choose_hardest, many, negative_mask=real),
        "choose_semi_hard": partial(choose_semi_hard, p, many, negative_mask=real),
        "choose_first_violation": partial(choose_first_violation, many, negative_mask=real),
        "take_negatives": partial(pairloss.take_negatives, many, labels),
        "ideal_difference": partial(pairloss.ideal_difference_from_metadata, labels, labels + 1, **credit),
        "matrix": lambda: pairloss.Interactions(*CHOSEN, 4, 7).matrix.to_dense(),
    }


CALLS = public_functions()


@pytest.mark.parametrize("call", CALLS)
def test_a_default_device_and_dtype_change_nothing(call):
    expected = CALLS[call]()
    torch.set_default_device("meta")
    actual = CALLS[call]()
    torch.set_default_device(None)
    assert_close(actual, expected)
    for dtype in (torch.float64, torch.float16):
        torch.set_default_dtype(dtype)
        actual = CALLS[call]()
        torch.set_default_dtype(torch.float32)
        if call == "ideal_difference":  # which is in the default dtype
            assert_close(actual, expected.to(dtype), rtol=1e-3, atol=0)
        else:
            assert_close(actual, expected)


# --- 10. infinite scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("b", [1, 1024])
def test_minus_infinity_is_below_the_lowest_number_under_a_mask_too(dtype, b):
    lowest = torch.finfo(dtype).min
    everything, k = torch.ones(2, b, dtype=torch.bool), 2**17 // b
    many = tensor([-INF, lowest], dtype=dtype)[:, None].expand(2, b)
    for mask in (None, everything):
        assert choose_hardest(many, negative_mask=mask).tolist() == [1] * b
        assert choose_semi_hard(torch.full((b,), -INF, dtype=dtype), -many, negative_mask=mask).tolist() == [1] * b
    for row in (0, 1, k - 1):  # one that is not real never wins, though all that are real score −inf
        unreal = torch.zeros(k, b, dtype=torch.bool).index_fill(0, tensor([row]), True)
        for score in (5.0, lowest, -INF, INF):
            many = torch.full((k, b), -INF, dtype=dtype).masked_fill(unreal, score)
            assert choose_hardest(many, negative_mask=~unreal).tolist() == [int(row == 0)] * b
            assert (choose_semi_hard(torch.zeros(b, dtype=dtype), many, negative_mask=~unreal) != row).all()


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_mask_of_all_changes_no_choice_among_the_lowest_scores(name, dtype):
    lowest = torch.finfo(dtype).min  # a tie with the positive, which −inf is far below
    many = tensor([[-INF], [lowest]], dtype=dtype)
    batch = {"positive_scores": tensor([lowest], dtype=dtype), "negative_scores": many}
    for choice in entry(name).choices:
        masked = outcome(name, batch, negative_mask=torch.ones(2, 1, dtype=torch.bool), squared=False, **choice)
        assert_close(masked, outcome(name, batch, squared=False, **choice))


@pytest.mark.parametrize(("name", "choice"), CHOICES)
@pytest.mark.parametrize("both", [INF, -INF])
def test_infinity_less_infinity_is_nan(name, choice, both):
    for dtype in FLOATS:
        scores = tensor([both], dtype=dtype)
        assert function(name)(*beside(name, scores, scores).values(), **choice).isnan()
        if name in CHOOSING:
            assert function(name)(scores, torch.stack([scores, scores]), **choice).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1e38, 1e39, 1e300])
@pytest.mark.parametrize("kind", ["none", "three"])
def test_a_hot_softmax_counts_the_real_negatives(dtype, temperature, kind):
    batch = case("softmax_loss", dtype=dtype) | extra(["negative_mask"])
    options = {"temperature": temperature, "reduction": "none"}
    loss, *gradients = outcome("softmax_loss", batch | tables(kind), **options)
    real = batch["negative_mask"].sum(0)
    assert_close(loss, (1 + real.float()).log(), rtol=1e-5, atol=1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients)
    many = batch["negative_scores"].masked_fill(~batch["negative_mask"], -INF)  # it is no threat at any temperature
    low = outcome("softmax_loss", batch | {"negative_scores": many} | tables(kind), **options)
    assert_close(low[0], loss)
    assert not any(gradient.isnan().any() for gradient in low[1:])


# --- 11. sampling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [1e300, 1e308])
@pytest.mark.parametrize("small", [1.0, 1e-30, 1e-300, 5e-324])
def test_no_weight_is_too_small_to_be_drawn(large, small):
    weights = tensor([large, small, 0.0, large], dtype=torch.float64)
    known = tensor([[True, False, False, True], [True, False, True, True]])
    drawn, real = pairloss.sample_negatives(tensor([0, 1, 0]), known, 50, weights=weights, return_mask=True)
    assert real.all()
    assert (drawn == 1).all()
    assert (pairloss.sample_negatives(tensor([0, 1]), known, 50, weights=weights) == 1).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_users_makes_no_warning(form):
    torch.set_warn_always(True)
    users = torch.arange(9) % 4
    column = torch.stack([users, users], 1)[:, 0]
    for weights in (None, torch.ones(7, 2)[:, 0]):
        assert_close(sample(form, column, weights), sample(form, users, weights))


# --- 12. wrong calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAIRS, "pointwise_loss", "total_weight"])
def test_an_infinite_weight_is_refused_by_name(name):
    loss = function(name) if name in PAIRS else getattr(pairloss, name)
    scores = [torch.zeros(4), torch.zeros((3, 4) if name in MANY else 4)][: 1 if name == "total_weight" else 2]
    for dtype in FLOATS:
        with pytest.raises(ValueError, match="weights"):
            loss(*scores, weights=tensor([1.0, INF, 0.0, 1.0], dtype=dtype))


@pytest.mark.parametrize("make", [torch.nn.Parameter, torch.Tensor.clone, torch.atleast_1d])
def test_a_temperature_that_is_learned_divides_the_scores(make):
    temperature = make(torch.ones(()))
    for loss in (
        partial(pairloss.softmax_loss, *beside("softmax_loss", *torch.zeros(2, 4)).values()),
        pairloss.SoftmaxLoss,
    ):
        with pytest.raises(TypeError, match=r"temperature.*(?i:divide)"):
            loss(temperature=temperature)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(NUM_ITEMS,), (NUM_ITEMS, 1)])
def test_a_table_of_floats_without_values_is_refused_by_name(name, shape):
    with pytest.raises((TypeError, ValueError), match=re.escape("metadata['decade']")):
        module(name, {"decade": torch.zeros(shape, device="meta")}, {"decade": 0.5})


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(0,), (0, 1), (0, 3)])
def test_a_table_without_rows_is_right_where_nothing_counts(name, shape):
    credit = {"metadata": {"a": torch.zeros(shape)}, "metadata_weights": {"a": 0.5}}
    for options in ({"mask": torch.zeros(9, dtype=torch.bool)}, {"weights": torch.zeros(9)}):
        for choice in entry(name).choices:
            loss, *gradients = outcome(name, case(name) | credit, **options, **choice)
            assert loss == 0
            assert all((gradient == 0).all() for gradient in gradients)
    with pytest.raises(ValueError, match="items"):
        function(name)(**case(name) | credit)


@pytest.mark.parametrize("dims", [(0, 0, 0), (0, None, None), (0, 0, None)])
def test_groups_under_vmap_are_refused_by_name(dims):
    table = torch.arange(12).reshape(3, 4)
    parts = [part if dim == 0 else part[0] for part, dim in zip((torch.randn(3, 4), table, table), dims, strict=True)]
    with pytest.raises((TypeError, ValueError), match="groups"):
        torch.func.vmap(lambda s, y, g: pairloss.lambdarank_loss(s, y, groups=g), dims)(*parts)


@pytest.mark.parametrize("num_items", [1, 2, 3])
@pytest.mark.parametrize("rank_weight", ["log", "harmonic"])
def test_more_negatives_may_be_drawn_than_there_are_items(num_items, rank_weight):
    everyone = pairloss.Interactions(tensor([0]), tensor([0]), 2, num_items)
    items = pairloss.sample_negatives(torch.ones(6, dtype=torch.int64), everyone, 6)
    assert items.shape == (6, 6)
    assert items.max() < num_items
    positive, many = torch.zeros(6, requires_grad=True), torch.full((6, 6), -3.0)
    many.fill_diagonal_(0.5)  # pair b violates at try b + 1, by 1.5
    loss = pairloss.WARPLoss(num_items, rank_weight=rank_weight, squared=False, reduction="none")(positive, many)
    for t, value in enumerate(loss.tolist(), start=1):
        log = max(0.0, math.log(num_items / t))
        harmonic = sum(1 / i for i in range(1, (num_items - 1) // t + 1))
        assert value == pytest.approx(1.5 * (log if rank_weight == "log" else harmonic), rel=1e-6)
    total = pairloss.warp_loss(positive, many, num_items=num_items, rank_weight=rank_weight)
    assert_close(total, (loss + loss**2).mean())


# --- 13. what broke unnoticed -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("grouped", [False, True])
def test_long_lists_have_a_tangent_in_forward_mode(name, grouped):
    place = torch.arange(1500)
    scores = (place * 7 % 1500 * 0.011).double()  # no difference is near a margin
    groups = place % 3 if grouped else None
    for choice in LISTS[name].choices:
        call = partial(getattr(pairloss, name), labels=place % 5, groups=groups, **choice)
        along, step = (3 * scores).sin(), 1e-4
        differences = (call(scores + step * along) - call(scores - step * along)) / (2 * step)
        assert_close(torch.func.jvp(call, (scores,), (along,))[1], differences, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("options", [{}, {"at": 1}, {"reduction": "sum"}])
def test_a_compiled_lambdarank_of_an_empty_list_is_0(options, dynamic):
    loss = partial(pairloss.lambdarank_loss, **options)
    scores = torch.zeros(0, requires_grad=True)
    value = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="eager")(scores, scores.detach().long())
    assert value == 0
    assert torch.autograd.grad(value, scores)[0].shape == (0,)


COLUMNS = {  # a positive, its three negatives, and which of them are real
    "finite": (0.5, [1.0, -0.5, 0.3], [1, 1, 1]),
    "finite, one not real": (-2.0, [1.0, 40.0, 0.3], [1, 0, 1]),
    "+inf": (0.5, [INF, 0.2, -1.0], [1, 1, 1]),
    "+inf of the same kind": (0.5, [3.0, INF, -1.0], [1, 1, 1]),
    "+inf and -inf": (1.0, [INF, 0.5, -INF], [1, 1, 1]),
    "two +inf": (1.0, [INF, INF, 0.0], [1, 1, 0]),
    "two +inf, all real": (0.5, [INF, INF, 1.0], [1, 1, 1]),
    "+inf alone": (0.5, [INF, 0.0, 0.0], [1, 0, 0]),
    "-inf before +inf": (0.5, [-INF, INF, 0.0], [1, 1, 0]),
    "+inf not real": (0.4, [0.4, INF, 2.0], [1, 0, 1]),
    "+inf not real beside -inf": (0.4, [-INF, INF, INF], [1, 0, 0]),
    "-inf": (0.5, [-INF, 0.2, -1.0], [1, 1, 1]),
    "-inf of the same kind": (0.5, [0.1, -INF, -1.0], [1, 1, 1]),
    "all -inf": (0.5, [-INF, -INF, -INF], [1, 1, 1]),
    "positive +inf": (INF, [0.1, 5.0, -1.0], [1, 0, 1]),
    "positive +inf, none of its kind": (INF, [0.1, -INF, -INF], [1, 0, 1]),
    "positive -inf": (-INF, [0.1, 5.0, -1.0], [1, 0, 1]),
    "none real": (0.5, [INF, -INF, 3.0], [0, 0, 0]),
}
KIND = {"metadata": {"kind": tensor([0, 1, 0, 2])}, "metadata_weights": {"kind": 0.5}}
OF_THE_KIND = {"positive_items": tensor(0), "negative_items": tensor([1, 2, 3])}  # the second negative alone


def plain_softmax(positive, negatives, shares, temperature):
    """The cost, and the gradient in all scores where the cost is finite, of one positive against real negatives."""
    scores, shares = [positive, *negatives], [1.0, *shares]
    highest = max(scores)
    if INF in negatives or any(share and score == -INF for share, score in zip(shares, scores, strict=True)):
        return INF, None
    if positive == INF:
        return (INF, None) if any(shares[1:]) else (0.0, [0.0] * len(scores))
    exponentials = [math.exp((score - highest) / temperature) for score in scores]
    total, whole = math.fsum(exponentials), math.fsum(shares)
    leads = (share * (highest - score) for share, score in zip(shares, scores, strict=True) if share)
    cost = math.fsum(leads) / temperature / whole + math.log(total)
    return cost, [(e / total - share / whole) / temperature for e, share in zip(exponentials, shares, strict=True)]


def in_columns(columns, credit, dtype):
    """Arguments of the softmax for some of the ``COLUMNS``, all with a last dimension of their number."""
    ids = {key: value[..., None].expand(*value.shape, len(columns)) for key, value in OF_THE_KIND.items()}
    scores = {
        "positive_scores": tensor([p for p, _, _ in columns], dtype=dtype),
        "negative_scores": tensor([ns for _, ns, _ in columns], dtype=dtype).T.contiguous(),
    }
    return scores | {"negative_mask": tensor([flags for _, _, flags in columns]).T == 1} | (ids if credit else {})


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("credit", [False, True])
@pytest.mark.parametrize("which", ["all", "none of +inf", *COLUMNS])
def test_infinite_scores_cost_the_softmax_of_their_own_column_alone(dtype, temperature, credit, which):
    columns = [COLUMNS[which]] if which in COLUMNS else list(COLUMNS.values())
    if which == "none of +inf":
        columns = [(p, ns, real) for p, ns, real in columns if INF not in ns]
    batch = in_columns(columns, credit, dtype) | (KIND if credit else {})
    real = batch["negative_mask"]
    costs, of_positive, of_many = outcome("softmax_loss", batch, temperature=temperature, reduction="none")
    assert not of_positive.isnan().any()
    assert not of_many.isnan().any()
    near = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    rounded = near | {"rtol": max(near["rtol"], torch.finfo(dtype).eps)}
    for b in range(len(columns)):
        rows = real[:, b].nonzero().flatten().tolist()
        p, ns = batch["positive_scores"][b].item(), batch["negative_scores"][:, b][rows].tolist()
        shares = [1 / 3 if credit and k == 1 else 0.0 for k in rows]  # (1 − d) / (1 + d) at d = 1/2
        cost, gradient = plain_softmax(p, ns, shares, temperature) if rows else (0.0, [0.0])
        assert_close(costs[b].item(), cost, **near)
        assert (of_many[~real[:, b], b] == 0).all()
        if gradient is not None:
            assert_close([of_positive[b].item(), *of_many[rows, b].tolist()], gradient, **rounded)


@pytest.mark.parametrize("credit", [False, True])
def test_infinite_scores_cost_the_same_where_values_cannot_be_read(credit):
    batch, kind = in_columns(list(COLUMNS.values()), credit, torch.float64), KIND if credit else {}
    costs, of_positive, of_many = outcome("softmax_loss", batch | kind, reduction="none")

    def loss(positive, many, others):
        return function("softmax_loss")(positive, many, **others, **kind, reduction="none")

    scores, others = parted(batch)
    assert_close(torch.func.vmap(loss, -1)(*scores, others), costs)
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(*scores, others), costs)
    slopes = torch.func.vmap(torch.func.grad(loss, (0, 1)), -1, -1)(*scores, others)
    assert_close(slopes, (of_positive, of_many))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("name", [*PAIRS, "pointwise_loss"])
def test_an_empty_batch_with_weights_is_0_with_gradients_of_0(name, reduction, shape):
    loss = function(name) if name in PAIRS else pairloss.pointwise_loss
    many = (4, *shape) if name in MANY else shape
    batch = {"positive_scores": torch.zeros(shape), "negative_scores": torch.zeros(many), "reduction": reduction}
    for dtype, mask in itertools.product((*FLOATS, torch.int64), (None, torch.ones(shape, dtype=torch.bool))):
        value, *gradients = outcome(loss, batch, weights=torch.ones(shape, dtype=dtype), mask=mask)
        assert torch.equal(value, torch.zeros(shape if reduction == "none" else ()))
        assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("part", [2.0**-50, 2.0**-46, 2.0**-43, 2.0**-41])
@pytest.mark.parametrize("factor", [3, 7])
def test_small_weights_keep_their_ratio_beside_a_large_one(part, factor):
    weights = tensor([1.0, part, factor * part], dtype=torch.float64)
    known = tensor([[True, False, False]])
    generator = torch.Generator().manual_seed(0)
    drawn = pairloss.sample_negatives(tensor([0]), known, 10_000, weights=weights, generator=generator)
    share = factor / (1 + factor)
    deviation = math.sqrt(share * (1 - share) / 10_000)
    assert abs((drawn == 2).double().mean().item() - share) < 5 * deviation


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("form", FORMS)
def test_an_infinite_weight_of_an_item_is_refused_by_name(form, dtype):
    for place, all_of_them in itertools.product((0, 3, 6), (False, True)):
        weights = torch.ones(7, dtype=dtype)
        weights[slice(None) if all_of_them else place] = INF
        with pytest.raises(ValueError, match=r"^weights .*finite"):
            sample(form, weights=weights)
    largest = torch.full((7,), torch.finfo(dtype).max, dtype=dtype)
    assert_close(sample(form, weights=largest), sample(form, weights=torch.ones(7)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_total_weight_has_no_gradient_whatever_requires_one(dtype):
    weights = tensor([1.0, 0.0, 2.0, 0.5], dtype=dtype, requires_grad=True)
    scores = torch.zeros(4, dtype=dtype, requires_grad=True)
    mask, real = tensor([True, True, False, True]), tensor([[True] * 4, [False] * 4])
    for options, expected in (
        ({"weights": weights}, 3.5),
        ({"weights": weights, "mask": mask}, 1.5),
        ({"weights": weights * 1, "negative_mask": real}, 3.5),
        ({"mask": mask}, 3.0),
        ({}, 4.0),
    ):
        total = pairloss.total_weight(scores, **options)
        assert total == expected
        assert not total.requires_grad
        assert total.grad_fn is None
