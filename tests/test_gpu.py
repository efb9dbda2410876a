"""On a GPU: the values and gradients of the CPU, no wait, deterministic mode, and steps captured as a CUDA graph.

``make gpu`` runs this file. With DEVICE=cpu in the environment everything but the waits and the graphs is tried on a
machine without a GPU, so that the file itself is known to work.
"""

import contextlib
import os
from functools import partial

import pytest
import torch
from torch.testing import assert_close

import pairloss
from tests.cases import (
    CHOOSING,
    LISTS,
    NUM_ITEMS,
    PAIRS,
    Deterministic,
    case,
    embeddings,
    entry,
    extra,
    function,
    optional,
    tables,
)

DEVICE = os.environ.get("DEVICE", "cuda")
# The rehearsal compares the CPU with itself, which half of the dtypes and a small batch show as well.
DTYPES = [torch.float64, torch.bfloat16, torch.float32, torch.float16][: 4 if DEVICE == "cuda" else 2]
LARGE = 2**17 if DEVICE == "cuda" else 2**12
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
    pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream"),  # a graph is tried on a stream of its own
]


def there(value):
    """A tensor, or those in a dict, on the device."""
    if isinstance(value, dict):
        return {key: there(entry) for key, entry in value.items()}
    return value.to(DEVICE) if isinstance(value, torch.Tensor) else value


@contextlib.contextmanager
def without_waiting():
    """Whatever waits for the GPU is an error."""
    if DEVICE != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def equals_the_cpu(loss, leaves, waits=False):
    """``loss`` of leaves, a function of a way to move tensors, has the value and the gradients that it has on the CPU.

    It is called once before it is watched, since a first call may load kernels.
    """
    outcomes = []
    for move, watch in ((lambda value: value, contextlib.nullcontext), (there, without_waiting)):
        scores = [move(leaf.detach()).requires_grad_() for leaf in leaves]
        run = loss(move)
        torch.autograd.grad(run(*scores), scores)
        with contextlib.nullcontext() if waits else watch():
            value = run(*scores)
            gradients = torch.autograd.grad(value, scores)
        outcomes.append([value, *gradients])
    for expected, actual in zip(*outcomes, strict=True):
        assert actual.device.type == DEVICE
        assert actual.dtype == expected.dtype
        assert_close(actual.cpu(), expected)


# --- values, gradients and waits ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_on_pairs_equal_the_cpu_without_waiting(name, kind, dtype):
    for choice in entry(name).choices:
        for options in ({}, extra(optional(name), b=500)):
            batch = case(name, b=500, dtype=dtype) | tables(kind) | options | choice
            leaves = batch.pop("positive_scores"), batch.pop("negative_scores")

            def loss(move, batch=batch):
                rest = move(batch)
                return lambda p, n: function(name)(p, n, **rest)

            equals_the_cpu(loss, leaves)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("labels", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_on_lists_equal_the_cpu_without_waiting(name, labels, dtype):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(300, generator=generator).to(dtype)
    y = torch.randint(2 if labels == torch.bool else 5, (300,), generator=generator).to(labels)
    groups = torch.randint(20, (300,), generator=generator)
    for options in LISTS[name].choices:
        for group in (None, groups):

            def loss(move, options=options, group=group):
                moved = move(y), move(group)
                return lambda s: getattr(pairloss, name)(s, moved[0], groups=moved[1], **options)

            waits = group is not None and name == "lambdarank_loss"  # it learns the sizes of the groups
            equals_the_cpu(loss, [scores], waits)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_other_losses_equal_the_cpu_without_waiting(dtype):
    one, other = (case("bpr_loss", b=500, dtype=dtype)[key] for key in ("positive_scores", "negative_scores"))
    likes, counts = (torch.arange(500) % 2).to(torch.int8), torch.arange(500, dtype=torch.int8) % 4
    equals_the_cpu(lambda move: pairloss.pointwise_loss, [one, other])
    equals_the_cpu(lambda move: partial(pairloss.logistic_loss, move(likes)), [one])
    equals_the_cpu(lambda move: partial(lambda y, r: pairloss.poisson_loss(y, r.exp()), move(counts)), [one])
    equals_the_cpu(lambda move: partial(pairloss.regression_loss, move(counts)), [one])


@pytest.mark.parametrize("name", PAIRS)
def test_autocast_changes_nothing(name):
    batch = there(case(name, dtype=torch.float32) | tables("three"))
    with torch.autocast(DEVICE, torch.bfloat16):
        inside = function(name)(**batch)
    assert_close(inside, function(name)(**batch))


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_scoring_twice_equals_the_cpu_without_waiting(name, kind):
    ids, options = case(name, b=500), tables(kind) | extra(["mask", "weights", "negative_mask"], b=500)

    def loss(move):
        i, j = move(ids["positive_items"]), move(ids["negative_items"])
        rest = move(options)

        def of(users, items):
            def score(ids):
                return (users * items[ids]).sum(-1)

            return function(name)(score(i), score, i, j, **rest)

        return of

    equals_the_cpu(loss, embeddings(b=500)[0])


def test_choosing_equals_the_cpu_without_waiting():
    many = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    real, positive = many > -0.5, many[0].roll(1)
    for choose in (
        lambda p, m, r: pairloss.choose_hardest(m, r),
        lambda p, m, r: pairloss.choose_semi_hard(p, m, r),
        lambda p, m, r: torch.stack([part.long() for part in pairloss.choose_first_violation(m, r)]),
        lambda p, m, r: pairloss.take_negatives(m, pairloss.choose_hardest(m, r)),
    ):
        moved = there(positive), there(many), there(real)
        choose(*moved)
        with without_waiting():
            chosen = choose(*moved)
        assert torch.equal(chosen.cpu(), choose(positive, many, real))


@pytest.mark.parametrize("weighted", [False, True])
def test_sampling_waits_once_and_draws_what_nobody_has(weighted):
    generator = torch.Generator().manual_seed(0)
    has = torch.rand(50, 300, generator=generator) < torch.linspace(0, 0.9, 50)[:, None]
    users, items = has.nonzero(as_tuple=True)
    data = pairloss.Interactions(there(users), there(items), 50, 300)
    weights = there(torch.arange(300.0)) if weighted else None
    batch = torch.arange(50).repeat(20)
    asked = there(batch)
    pairloss.sample_negatives(asked, data, 3, weights=weights)
    with without_waiting():
        drawn = pairloss.sample_negatives(asked, data, 40, weights=weights)
    drawn = drawn.cpu()
    assert not has[batch.expand(40, -1), drawn].any()
    assert drawn.min() >= (1 if weighted else 0)  # the first item weighs nothing
    assert drawn.max() < 300
    assert len(drawn.unique()) > 250


# --- deterministic mode ----------------------------------------------------------------------------------------


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        with Deterministic():
            yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("b", [500, LARGE])
@pytest.mark.usefixtures("deterministic")
def test_losses_on_pairs_in_deterministic_mode(name, b):
    batch = there(case(name, b=b, dtype=torch.float32) | tables("three") | extra(optional(name), b=b))
    scores = [batch[key].requires_grad_() for key in ("positive_scores", "negative_scores")]
    once, again = (torch.autograd.grad(function(name)(**batch), scores) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(once, again, strict=True))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.usefixtures("deterministic")
def test_losses_on_lists_in_deterministic_mode(name):
    scores = torch.randn(700, generator=torch.Generator().manual_seed(0)).to(DEVICE).requires_grad_()
    labels = torch.arange(700, device=DEVICE) % 3
    for options in LISTS[name].choices:
        for groups in (None, labels.flip(0)):
            of = [getattr(pairloss, name)(scores, labels, groups=groups, **options) for _ in range(2)]
            once, again = (torch.autograd.grad(value, scores)[0] for value in of)
            assert torch.equal(once, again)


@pytest.mark.usefixtures("deterministic")
def test_sampling_in_deterministic_mode():
    data = pairloss.Interactions(*torch.arange(40, device=DEVICE).repeat(2, 1), 40, 40)
    for weights in (None, torch.arange(40, device=DEVICE)):
        drawn = pairloss.sample_negatives(data.users, data, 100, weights=weights)
        assert (drawn != data.items).all()


# --- CUDA graphs ----------------------------------------------------------------------------------------------


def graphed(run):
    """``run`` as one launch of a CUDA graph that fills the tensors that it once gave, or itself without a GPU."""
    if DEVICE != "cuda":
        return run
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()

    def replay():
        graph.replay()
        return result

    return replay


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_a_loss_in_a_graph_serves_other_scores(name, kind):
    batch = there(case(name, b=500, dtype=torch.float32) | tables(kind) | extra(optional(name), b=500))
    scores = [batch[key].requires_grad_() for key in ("positive_scores", "negative_scores")]

    def run():
        loss = function(name)(**batch)
        return [loss, *torch.autograd.grad(loss, scores)]

    replay = graphed(run)
    for seed in (1, 2):
        others = case(name, b=500, seed=seed)
        with torch.no_grad():
            for key in ("positive_scores", "negative_scores"):
                batch[key].copy_(others[key])
        for actual, expected in zip(replay(), run(), strict=True):
            assert_close(actual, expected)


@pytest.mark.parametrize("name", LISTS)
def test_a_loss_on_a_list_in_a_graph(name):
    scores = torch.randn(300, generator=torch.Generator().manual_seed(0)).to(DEVICE).requires_grad_()
    labels = torch.arange(300, device=DEVICE) % 2 == 0

    def run():
        loss = getattr(pairloss, name)(scores, labels)
        return [loss, *torch.autograd.grad(loss, scores)]

    for actual, expected in zip(graphed(run)(), run(), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("name", CHOOSING)
def test_a_whole_step_in_a_graph_trains_as_without(name):
    """Scoring twice, loss, backward and Adam: five steps on batches that change below the graph."""

    def trained(capture):
        generator = torch.Generator().manual_seed(0)
        users, items = (
            torch.randn(rows, 8, generator=generator).div(8).to(DEVICE).requires_grad_() for rows in (60, NUM_ITEMS)
        )
        adam = torch.optim.Adam([users, items], lr=0.1, capturable=DEVICE == "cuda")
        u, i, j = (torch.zeros(shape, dtype=torch.int64, device=DEVICE) for shape in ((64,), (64,), (10, 64)))

        def step():
            def score(ids):
                return (users[u] * items[ids]).sum(-1)

            adam.zero_grad(set_to_none=False)
            loss = function(name)(score(i), score, i, j)
            loss.backward()
            adam.step()
            return loss

        start = users.detach().clone(), items.detach().clone()
        run = graphed(step) if capture else step
        with torch.no_grad():  # what was tried before the capture does not count
            for vectors, first in zip((users, items), start, strict=True):
                vectors.copy_(first)
            for state in adam.state.values():
                for value in state.values():
                    value.zero_()
        losses = []
        for _ in range(5):
            for ids, rows in ((u, 60), (i, NUM_ITEMS), (j, NUM_ITEMS)):
                ids.copy_(torch.randint(rows, ids.shape, generator=generator))
            losses.append(run().item())
        return losses

    assert trained(True) == pytest.approx(trained(False), rel=1e-4)
