"""Losses over lists, against double loops and other libraries."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

import pairloss
from pairloss import lambdarank, lambdarank_loss, pairwise_hinge_loss
from pairloss.tensors import falling, sortable
from tests import oracles
from tests.cases import LISTS

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


every_list_loss = pytest.mark.parametrize("name", LISTS)
every_choice = pytest.mark.parametrize(
    ("name", "choice"), [(name, choice) for name, loss in LISTS.items() for choice in loss.choices], ids=str
)


@st.composite
def lists(draw, levels=4):
    """Scores in halves (so that ties and exact margins occur), labels and groups in any order."""
    length = draw(st.integers(0, 12))

    def entries(low, high):
        return draw(st.lists(st.integers(low, high), min_size=length, max_size=length))

    return [n / 2 for n in entries(-6, 6)], entries(0, levels - 1), entries(-2, 2)


def as_tensors(scores, labels, groups=None):
    tensors = tensor(scores, dtype=torch.float64), tensor(labels, dtype=torch.int64)
    return (*tensors, None if groups is None else tensor(groups, dtype=torch.int64))


@pytest.mark.slow
@every_choice
@settings(max_examples=100)
@given(lists(), st.booleans())
def test_equals_plain_loops(name, choice, drawn, grouped):
    scores, labels, groups = drawn if grouped else (*drawn[:2], None)
    s, y, g = as_tensors(scores, labels, groups)
    for reduction in ("mean", "sum"):
        expected = LISTS[name].oracle(scores, labels, groups, **choice, reduction=reduction)
        actual = getattr(pairloss, name)(s, y, groups=g, **choice, reduction=reduction)
        assert_close(actual.item(), float(expected), **TOLERANCE)


@pytest.mark.slow
@every_choice
@pytest.mark.parametrize(("levels", "grouped"), [(2, True), (3, False), (5, True)])
def test_gradients_are_those_of_finite_differences_and_of_the_oracle(name, choice, levels, grouped):
    generator = torch.Generator().manual_seed(levels)
    s = torch.randn(12, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randint(levels, (12,), generator=generator)
    g = torch.randint(3, (12,), generator=generator) if grouped else None

    def loss(s):
        return getattr(pairloss, name)(s, y, groups=g, **choice)

    assert torch.autograd.gradcheck(loss, s)
    assert torch.autograd.gradgradcheck(loss, s)
    # The oracle's own slope, by central differences: gradcheck alone would hold for a wrong value too.
    lists_of = [None if part is None else part.tolist() for part in (y, g)]
    slopes = []
    for i in range(12):
        ends = [s.detach().index_add(0, tensor([i]), tensor([h], dtype=torch.float64)).tolist() for h in (1e-6, -1e-6)]
        up, down = (LISTS[name].oracle(end, *lists_of, **choice) for end in ends)
        slopes.append((up - down) / 2e-6)
    assert_close(torch.autograd.grad(loss(s), s)[0], tensor(slopes, dtype=torch.float64), rtol=1e-6, atol=1e-7)


def float32(number):
    return tensor(number, dtype=torch.float32).item()


EXTREMES = [float32(n) for n in (0, 0.3, 0.5, 0.7, 1, -1, 2, -0.25, 1e9, -1e9, 1e20, -1e20, 1e-30)]
EXTREMES += [math.inf, -math.inf, torch.finfo(torch.float32).max, torch.finfo(torch.float32).min]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.sampled_from([1, 2]), st.sampled_from(["mean", "sum"]), st.data())
def test_whatever_one_score_is_the_pairs_without_it_keep_their_value_and_gradient(power, reduction, data):
    pool = data.draw(st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=6))
    length = data.draw(st.integers(1, 9))
    scores = data.draw(st.lists(st.sampled_from(pool), min_size=length, max_size=length))
    labels = data.draw(st.lists(st.integers(0, data.draw(st.integers(1, 4))), min_size=length, max_size=length))
    groups = data.draw(st.lists(st.integers(-1, 1), min_size=length, max_size=length))
    margin = data.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    s = tensor(scores, requires_grad=True)
    loss = pairwise_hinge_loss(
        s, tensor(labels), groups=tensor(groups), margin=margin, power=power, reduction=reduction
    )
    expected, slopes, sizes = oracles.exact_pairwise_hinge(scores, labels, groups, margin, power, reduction)
    assert_close(loss, in_float32(expected), rtol=1e-6, atol=1e-37)
    for actual, slope, size, score in zip(torch.autograd.grad(loss, s)[0], slopes, sizes, scores, strict=True):
        if math.isinf(score):
            assert actual == 0  # an infinite score gets no gradient
        elif in_float32(size).isinf():
            assert not actual.isnan()
        else:
            assert_close(actual, in_float32(slope), rtol=0, atol=max(1e-6 * float(size), 1e-37))


def in_float32(number):
    """A fraction, or inf, as a float32. What rounds beyond the largest is inf."""
    beyond = 2**128 - 2**103
    return tensor(float(number) if abs(number) < beyond else math.copysign(math.inf, number))


@pytest.mark.parametrize("choice", [{}, {"at": 2}, {"at": 7}])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("piece", [1, 20])
def test_lambdarank_a_piece_at_a_time_is_that_of_all_pairs(monkeypatch, choice, grouped, piece):
    """Value, gradient and Hessian, which pieces take from sums of their own."""
    generator = torch.Generator().manual_seed(piece)
    s = torch.randn(17, generator=generator, dtype=torch.float64).mul(2).round().div(2).requires_grad_()
    y, g = torch.randint(4, (17,), generator=generator), torch.randint(3, (17,), generator=generator)
    g = g if grouped else None

    def loss(s):
        return lambdarank_loss(s, y, groups=g, **choice)

    expected = LISTS["lambdarank_loss"].oracle(s.tolist(), y.tolist(), g.tolist() if grouped else None, **choice)
    whole = [loss(s), *torch.autograd.grad(loss(s), s), torch.autograd.functional.hessian(loss, s)]
    monkeypatch.setattr(lambdarank, "PIECE", piece)
    calls = []
    monkeypatch.setattr(lambdarank, "_in_pieces", lambda *a, f=lambdarank._in_pieces: calls.append(1) or f(*a))
    parts = [loss(s), *torch.autograd.grad(loss(s), s), torch.autograd.functional.hessian(loss, s)]
    assert calls
    assert_close(parts, whole, rtol=1e-12, atol=1e-14)
    assert_close(parts[0].item(), expected, **TOLERANCE)
    assert not loss(s.detach()).requires_grad


@pytest.mark.parametrize("end", [3e38, math.inf])
@pytest.mark.parametrize("choice", [{}, {"at": 4}])
@pytest.mark.parametrize("grouped", [False, True])
def test_lambdarank_a_piece_at_a_time_keeps_infinite_scores(monkeypatch, end, choice, grouped):
    s = tensor([end, end, 1.0, -end, -end, -end, 0.5, end, -0.5], requires_grad=True)
    for labels in ([2, 2, 1, 0, 0, 0, 1, 2, 1], [0, 2, 1, 0, 2, 0, 1, 1, 1], [1] * 9):
        y, g = tensor(labels), torch.arange(9) % 2 if grouped else None
        outcomes = []
        for piece in (lambdarank.PIECE, 1, 20):
            monkeypatch.setattr(lambdarank, "PIECE", piece)
            loss = lambdarank_loss(s, y, groups=g, **choice)
            outcomes.append((loss, *torch.autograd.grad(loss, s)))
            assert not loss.isnan()
        monkeypatch.undo()
        assert_close(outcomes[1:], [outcomes[0]] * 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_integers_stand_in_the_order_of_floats(dtype):
    ends = [math.nan, math.inf, 1e-7, 0.0, -0.0, -1e-7, -math.inf]
    values = torch.cat([tensor(ends), torch.randn(2**15).mul(8).round().div(8)]).to(dtype)
    assert torch.equal(falling(values), values.sort(descending=True, stable=True).indices)
    assert torch.equal(sortable(values).sort(stable=True).indices, values.sort(stable=True).indices)
    assert torch.equal(
        sortable(tensor([-math.nan, -0.0], dtype=dtype)) > sortable(tensor([math.inf, 0.0], dtype=dtype)),
        tensor([True, False]),
    )


def test_lambdarank_takes_labels_of_any_size():
    # ΔNDCG is a ratio of gains, and 2^60 − 1 is 2^60 to 18 digits: labels moved up by the same number change nothing.
    for dtype, top in ((torch.float32, 200), (torch.float64, 5000)):
        for labels in ([top, top - 1, 0], [top, 0, top], [0, 0, top]):
            s = tensor([0.1, 0.5, 0.9], dtype=dtype, requires_grad=True)
            loss = lambdarank_loss(s, tensor(labels))
            expected = LISTS["lambdarank_loss"].oracle(s.tolist(), [y - top + 60 if y else 0 for y in labels])
            assert_close(loss.item(), expected, rtol=1e-6, atol=0)
            assert torch.autograd.grad(loss, s)[0].isfinite().all()
    # Another group's labels are its own affair.
    s, y, g = tensor([0.1, 0.5, 0.2, 0.4]), tensor([1, 0, 300, 0]), tensor([0, 0, 1, 1])
    parts = [lambdarank_loss(s[:2], y[:2]), lambdarank_loss(s[2:], y[2:])]
    assert_close(lambdarank_loss(s, y, groups=g), sum(parts) / 2)


def test_lambdarank_keeps_the_digits_of_small_labels():
    # For small y the gain 2^y − 1 is y · log 2: as it stands it would cancel, and only ratios count.
    s = tensor([0.3, 0.1, 0.2])
    expected = LISTS["lambdarank_loss"].oracle(s.double().tolist(), [3e-6, 1e-6, 0.0])
    assert_close(lambdarank_loss(s, tensor([3e-6, 1e-6, 0.0])).item(), expected, rtol=1e-6, atol=0)


def test_a_tie_at_infinity_is_a_tie():
    for end in (math.inf, -math.inf):
        s = tensor([end, end, 0.0], requires_grad=True)
        for name, expected in (("pairwise_hinge_loss", 1.0), ("lambdarank_loss", math.log(2) * (1 - 1 / math.log2(3)))):
            y = tensor([1, 0, 0])
            if end < 0:  # the item at 0 belongs to nobody's pair
                y = tensor([1, 0, 1])
            groups = tensor([0, 0, 1])
            loss = getattr(pairloss, name)(s, y, groups=groups, reduction="sum")
            assert_close(loss.item(), expected)
            assert torch.autograd.grad(loss, s)[0].isfinite().all()


def dense_hinge(s, y, power):
    """The table of all P × N pairs, in float64."""
    margins = torch.relu(1 - s[y == 1].unsqueeze(1) + s[y == 0])
    return (margins**power).mean()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_pairwise_hinge_is_accurate_in_low_precision(power, offset, dtype):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (4000,), generator=generator)
    s = (3 * torch.randn(4000, generator=generator) + offset).to(dtype).requires_grad_()
    exact = s.detach().double().requires_grad_()
    loss, expected = pairwise_hinge_loss(s, y, power=power), dense_hinge(exact, y, power)
    assert loss.dtype == torch.float32
    assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    gradient, wanted = torch.autograd.grad(loss, s)[0], torch.autograd.grad(expected, exact)[0]
    assert_close(gradient.double(), wanted, rtol=1e-3 if dtype == torch.float16 else 1e-5, atol=1e-7)


@pytest.mark.parametrize("power", [1, 2])
def test_pairwise_hinge_at_a_million_has_a_closed_form(power):
    # Positives at 1000 + a, negatives at 1000 + b for a, b in a grid: the pairs that cost are few and known.
    n = 500_000
    grid = torch.arange(n, dtype=torch.float64) / 64
    s = torch.cat([1000 + grid.flip(0), 1000 + grid]).float()
    y = torch.cat([torch.ones(n), torch.zeros(n)])
    assert torch.equal(s.double()[:n], 1000 + grid.flip(0))  # exact in float32: 7812 steps of 1/64 and 1000
    # For a = i/64 and b = j/64 the margin 1 − (i − j)/64 is above 0 for i − j < 64.
    loss = pairwise_hinge_loss(s, y, power=power, reduction="sum").double()
    gap = torch.arange(-(n - 1), 64, dtype=torch.float64)
    pairs = n - gap.abs()
    expected = (pairs * (1 - gap / 64) ** power).sum()
    assert_close(loss, expected, rtol=1e-5, atol=0)


def test_lambdarank_is_exact_for_wide_gaps():
    y = tensor([1, 0])
    weight = 1 - 1 / math.log2(3)
    wrong = lambdarank_loss(tensor([0.0, 100.0], dtype=torch.float64), y)
    assert_close(wrong.item(), weight * 100, rtol=1e-15, atol=0)
    right = lambdarank_loss(tensor([100.0, 0.0], dtype=torch.float64), y)
    assert_close(right.item(), weight * math.exp(-100), rtol=1e-12, atol=0)


def test_ndcg_after_a_swap_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(6, generator=generator, dtype=torch.float64)
    y = tensor([1, 0, 2, 0, 3, 1])
    gains = (2.0**y - 1).unsqueeze(0).numpy()
    before = metrics.ndcg_score(gains, s.unsqueeze(0).numpy())
    total = 0.0
    for i, j in itertools.product(range(6), repeat=2):
        if y[i] > y[j]:
            swapped = s.clone()
            swapped[i], swapped[j] = s[j], s[i]
            delta = abs(before - metrics.ndcg_score(gains, swapped.unsqueeze(0).numpy()))
            total += delta * math.log1p(math.exp(s[j] - s[i]))
    assert_close(lambdarank_loss(s, y).item(), total, rtol=1e-12, atol=0)


@every_list_loss
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_pair_gives_zero_with_zero_gradients(name, reduction):
    for scores, labels in [([], []), ([1.0], [1]), ([1.0, 2.0], [1, 1])]:
        s = tensor(scores, requires_grad=True)
        loss = getattr(pairloss, name)(s, tensor(labels, dtype=torch.int64), reduction=reduction)
        assert loss == 0
        assert torch.equal(torch.autograd.grad(loss, s)[0], torch.zeros_like(s))


@every_list_loss
def test_a_nan_stays_visible_and_infinities_do_not_make_one(name):
    loss = getattr(pairloss, name)
    for place in range(3):
        s = tensor([0.0, 1.0, 2.0]).index_fill(0, tensor([place]), float("nan"))
        assert loss(s, tensor([1, 0, 1])).isnan()
    assert loss(tensor([float("inf"), 0.0, -1.0]), tensor([1, 0, 0])) == 0
    assert loss(tensor([-float("inf"), 0.0]), tensor([1, 0])) == float("inf")
    assert loss(tensor([0.0, -float("inf"), 3.0]), tensor([1, 0, 1])) == 0


@every_list_loss
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float16, torch.float64])
def test_labels_of_every_dtype(name, dtype):
    s, y = tensor([0.3, 0.1, -0.5, 0.2]), tensor([1, 0, 0, 1])
    assert_close(getattr(pairloss, name)(s, y.to(dtype)), getattr(pairloss, name)(s, y))


@pytest.mark.slow
@every_list_loss
def test_transforms(name):
    loss = getattr(pairloss, name)
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(3, 10, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (10,), generator=generator)
    each = torch.stack([loss(row, y) for row in s])
    assert_close(torch.func.vmap(lambda row: loss(row, y))(s), each)
    row = s[0].clone().requires_grad_()
    assert_close(torch.func.grad(lambda row: loss(row, y))(s[0]), torch.autograd.grad(loss(row, y), row)[0])
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(s[0], y), each[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(s[0], y), each[0])
    before = s.clone()
    loss(s[1], y)
    assert torch.equal(s, before)


@pytest.mark.slow
def test_compiled_with_graded_labels_it_serves_lists_of_many_lengths():
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(pairwise_hinge_loss, fullgraph=True, dynamic=True, backend=count)
    generator = torch.Generator().manual_seed(0)
    for length in (3, 6, 20, 130, 400, 3000):
        s = torch.randn(length, generator=generator, dtype=torch.float64)
        y, g = torch.randint(9, (2, length), generator=generator)
        assert_close(compiled(s, y, groups=g), pairwise_hinge_loss(s, y, groups=g))
    assert len(graphs) <= 4
    torch._dynamo.reset()


@st.composite
def padded(draw):
    """Scores, labels, which items are there and weights, tables [B, L] of up to three lists."""
    rows, length = draw(st.integers(0, 3)), draw(st.integers(0, 5))

    def table(entries):
        return [draw(st.lists(entries, min_size=length, max_size=length)) for _ in range(rows)]

    halves, few = st.integers(-6, 6).map(lambda n: n / 2), st.integers(0, 3)
    return (table(halves), table(few), table(st.booleans())), (
        table(few),
        draw(st.lists(few, min_size=rows, max_size=rows)),
    )


@pytest.mark.slow
@every_choice
@settings(max_examples=40)
@given(padded(), st.booleans(), st.sampled_from([1, 5, 2**18]))
def test_a_padded_table_is_its_lists_and_weights_are_those_of_the_higher_label(name, choice, drawn, per_list, piece):
    tables, (per_item, per_row) = drawn
    rows, length = len(per_row), len(tables[0][0]) if tables[0] else 2
    places = [(row, i) for row in range(rows) for i in range(length) if tables[2][row][i]]
    lists = [[table[row][i] for row, i in places] for table in tables[:2]] + [[row for row, _ in places]]
    of_items = [per_row[row] if per_list else per_item[row][i] for row, i in places]
    # What stands where no item is may be anything.
    s, y, mask, w = (tensor(table).reshape(rows, length).double() for table in (*tables, per_item))
    mask = mask.bool()
    s, y = torch.where(mask, s, math.nan).requires_grad_(), torch.where(mask, y, -1)
    w = tensor(per_row) if per_list else torch.where(mask, w, math.inf)
    for reduction in ("mean", "sum"):
        expected = LISTS[name].oracle(*lists, **choice, reduction=reduction, weights=of_items)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lambdarank, "PIECE", piece)
            actual = getattr(pairloss, name)(s, y, mask=mask, weights=w, **choice, reduction=reduction)
        assert_close(actual.item(), float(expected), **TOLERANCE)
    (slope,) = torch.autograd.grad(actual, s)
    assert slope[~mask].eq(0).all()


@every_choice
def test_gradients_of_weighted_lists_are_those_of_finite_differences(name, choice):
    generator = torch.Generator().manual_seed(3)
    s = torch.randn(3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    y, w = (torch.randint(0, 4, (3, 6), generator=generator) for _ in range(2))
    (slope,) = torch.autograd.grad(getattr(pairloss, name)(s, y, weights=w, **choice), s)
    groups, start, step = [row for row in range(3) for _ in range(6)], s.flatten().tolist(), 1e-5

    def moved(place, by):
        scores = [score + by * (i == place) for i, score in enumerate(start)]
        return LISTS[name].oracle(scores, y.flatten().tolist(), groups, **choice, weights=w.flatten().tolist())

    expected = tensor([(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(18)], dtype=torch.float64)
    assert_close(slope.flatten(), expected, rtol=1e-6, atol=1e-7)
