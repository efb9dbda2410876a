"""Values and gradients of the losses on pairs, against published numbers and plain loops."""

import itertools
import math
import sys
from functools import partial

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import pairloss
from pairloss import terms
from tests.cases import (
    ADAPTIVE,
    CHOOSING,
    MANY,
    NAMED,
    NUM_ITEMS,
    PAIRS,
    STANDARD,
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
    same,
    squares,
    subsets,
    tables,
)
from tests.oracles import over_pairs, sigmoid

# --- published values (four places) -------------------------------------------------------------------

# A positive, its negatives, and to four places what BPR, hinge and WARP among 3 and among 30 items cost.
PUBLISHED = [
    (3.0, [1.5], [0.2157, 0.0]),
    (1.5, [3.0], [1.4860, 8.75]),
    (3.0, [1.5, 0.5, 1.0], [0.2157, 0.0, 0.0]),
    (1.5, [2.0, 3.0, 2.5], [1.4860, 8.75, 4.3636, 31.1301]),
    (1.5, [1.0, 4.0, 1.49], [1.7782, 15.75, 0.8510, 4.5926]),
]


@pytest.mark.parametrize(("positive", "negatives", "costs"), PUBLISHED)
def test_published_values(positive, negatives, costs):
    losses, many = [pairloss.bpr_loss, pairloss.hinge_loss], tensor(negatives)
    if len(negatives) > 1:
        losses, many = [pairloss.adaptive_bpr_loss, pairloss.adaptive_hinge_loss], many[:, None]
        losses += [partial(pairloss.warp_loss, num_items=number) for number in (3, 30)]
    assert [round(loss(tensor([positive]), many).item(), 4) for loss in losses[: len(costs)]] == costs


def test_published_partial_credit():
    scores, items = (tensor([1.0, 1.0]), tensor([3.0, 3.0])), (tensor([0, 0]), tensor([1, 2]))
    genre = tensor([0, 0, 1])  # Star Wars, Star Trek, Legally Blonde
    plain = pairloss.bpr_loss(*scores, reduction="none")
    credited = pairloss.bpr_loss(*scores, None, *items, {"genre": genre}, {"genre": 0.25}, reduction="none")
    assert [round(v, 4) for v in plain.tolist()] == [1.6566, 1.6566]
    assert [round(v, 4) for v in credited.tolist()] == [1.0287, 1.6566]


# --- plain loops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
def test_equals_plain_loops(name, kind):
    for which, choice, squared in itertools.product(subsets(optional(name)), entry(name).choices, squares(name)):
        for size in ({"k": 5, "b": 9}, {"k": 4, "b": 4}, {"k": 1, "b": 1}):
            call = case(name, **size) | tables(kind) | extra(which, **size) | choice | squared
            values = oracle(name, **call, reduction="every")
            for reduction in values if size["b"] == 9 else ["mean"]:  # in which every pair of the small ones counts
                actual = function(name)(**call, reduction=reduction)
                expected = tensor(values[reduction], dtype=torch.float64)
                said = f"{which}, {choice}, {squared}, {reduction}"
                assert_close(actual, expected, rtol=1e-12, atol=1e-12, msg=lambda m, said=said: f"{m}\n{said}")


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_gradcheck(name, kind):
    scores, rest = parted(case(name, k=3, b=4) | tables(kind) | extra(["mask", "weights"], b=4, k=3))
    scores = [score.requires_grad_() for score in scores]
    assert torch.autograd.gradcheck(lambda p, n: function(name)(p, n, **rest), scores)
    assert torch.autograd.gradgradcheck(lambda p, n: function(name)(p, n, **rest), scores)
    assert torch.autograd.gradcheck(lambda p, n: function(name)(p, n, reduction="none"), scores)


# --- extremes -----------------------------------------------------------------------------------------


def test_far_differences_are_exact():
    far, zero = tensor([1e4, -1e4], dtype=torch.float64, requires_grad=True), torch.zeros(2, dtype=torch.float64)
    loss = pairloss.log_bpr_loss(far, zero, reduction="none")
    assert loss.tolist() == [0.0, 1e4]  # −log σ(−10⁴) = 10⁴ + log(1 + e⁻¹⁰⁰⁰⁰)
    assert torch.autograd.grad(loss.sum(), far)[0].tolist() == [0.0, -1.0]
    assert pairloss.hinge_loss(far, zero, squared=False, reduction="none").tolist() == [0.0, 10001.0]
    assert pairloss.bpr_loss(far, zero, squared=False, reduction="none").tolist() == [0.0, 1.0]


def test_satisfied_pair_keeps_its_digits():
    # 1 − σ(20) is 2.06e-9. Computed as written, float32 gives 0.
    loss = pairloss.bpr_loss(tensor([20.0]), tensor([0.0]), squared=False)
    assert_close(loss.double(), 1 / (1 + torch.exp(tensor(20.0, dtype=torch.float64))), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", [19.9, 20.1, 30.5, 39.9, 40.1])
def test_log_bpr_has_no_step_where_softplus_turns_linear(dtype, x):
    for sign in (1, -1):
        value = tensor([sign * x], dtype=dtype)
        exact = torch.log1p(torch.exp(-abs(value.double()))) + value.double().neg().clamp(min=0)
        loss = pairloss.log_bpr_loss(value, torch.zeros(1, dtype=dtype))
        assert_close(loss.double(), exact[0], rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_ties_do_not_violate_and_send_no_gradient():
    positive = tensor([1.0], requires_grad=True)
    for loss in (pairloss.hinge_loss(positive, tensor([0.0])), pairloss.warp_loss(positive, tensor([[0.0], [0.0]]), 5)):
        assert loss == 0
        assert torch.autograd.grad(loss, positive)[0] == 0


def test_a_tie_is_no_try_that_ends_the_search():
    # 0 − 1 + 1 = 0 at the first try, 1 − 1 + 1 = 1 at the second: w = log(5 / 2).
    loss = pairloss.warp_loss(tensor([1.0]), tensor([[0.0], [1.0]]), 5, squared=False)
    assert_close(loss.item(), math.log(5 / 2))


def test_nothing_found_costs_nothing_however_low_the_scores():
    many = tensor([[-3e4], [5.0]], requires_grad=True)
    loss = pairloss.warp_loss(tensor([-2e4]), many, 5, negative_mask=tensor([[True], [False]]))
    assert loss == 0
    assert torch.autograd.grad(loss, many)[0].tolist() == [[0.0], [0.0]]


def test_infinite_scores_with_credit():
    credit = {"metadata": {"genre": tensor([0, 1, 0])}, "metadata_weights": {"genre": 0.25}}
    inf = float("inf")
    for other, positive, negative, expected in [(1, 0.0, -inf, 0.0), (1, -inf, 0.0, inf), (2, -inf, 0.0, inf)]:
        scores = tensor([positive], requires_grad=True), tensor([negative])
        loss = pairloss.log_bpr_loss(*scores, positive_items=tensor([0]), negative_items=tensor([other]), **credit)
        assert loss == expected
        assert torch.autograd.grad(loss, scores[0])[0].isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_hardest_by_violation_without_metadata_is_by_score(dtype):
    # Adding d = 1 would round both to one number, and the first would win.
    many = tensor([[3.0], [3.0156]] if dtype == torch.bfloat16 else [[1e-9], [2e-9]], dtype=dtype, requires_grad=True)
    assert many[0] != many[1]
    for mask in (None, torch.ones(2, 1, dtype=torch.bool)):
        loss = pairloss.adaptive_hinge_loss(
            tensor([0.5], dtype=dtype), many, hardest_by="violation", negative_mask=mask
        )
        gradient = torch.autograd.grad(loss, many)[0].flatten().tolist()
        assert gradient[0] == 0  # the second row is the hardest
        assert gradient[1] > 0


@pytest.mark.parametrize(
    "weights",
    [tensor([3.0, 1.0], dtype=torch.float64) * scale for scale in (1e-300, 0.01, 1e300)]
    + [tensor([3, 1], dtype=dtype) for dtype in (torch.uint8, torch.int32, torch.int64, torch.float16)],
    ids=str,
)
def test_only_the_ratio_of_weights_counts_in_a_mean(weights):
    loss = pairloss.hinge_loss(tensor([3.0, 1.5]), tensor([1.5, 3.0]), weights=weights)
    assert loss.dtype == torch.float32
    assert_close(loss.item(), 8.75 / 4)


def test_long_sums_are_accurate_in_float32():
    generator = torch.Generator().manual_seed(0)
    p, n = torch.randn(3_000_000, generator=generator), torch.randn(3_000_000, generator=generator)
    assert_close(pairloss.hinge_loss(p, n).double(), pairloss.hinge_loss(p.double(), n.double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_pair_left_gives_zero_with_zero_gradients(name, reduction):
    nothing = {"mask": torch.zeros(4).bool(), "weights": torch.zeros(4), "negative_mask": torch.zeros(5, 4).bool()}
    for b, options in ((0, {}), *((4, {option: nothing[option]}) for option in optional(name))):
        loss, *gradients = outcome(name, case(name, b=b), **options, reduction=reduction)
        assert loss == 0
        assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("by", ["mask", "weights"])
def test_what_is_masked_never_leaks(name, bad, by):
    batch = case(name) | tables("one")
    keep = torch.ones(9, dtype=torch.bool).index_fill(0, tensor([1, 4]), False)
    options = {by: keep if by == "mask" else keep.double()}
    clean = outcome(name, batch, **options)
    dirty = {key: batch[key].masked_fill(~keep, bad) for key in ("positive_scores", "negative_scores")}
    for where in subsets(dirty)[1:]:
        assert same(outcome(name, batch | {key: dirty[key] for key in where}, **options), clean)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_a_negative_that_is_not_real_never_leaks(name, bad, kind):
    batch = case(name) | tables(kind) | extra(["negative_mask"])
    for choice in entry(name).choices:
        clean, dirty = (
            outcome(name, batch | {"negative_scores": many}, **choice)
            for many in (batch["negative_scores"].masked_fill(~batch["negative_mask"], value) for value in (0.0, bad))
        )
        assert same(dirty, clean)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("where", ["positive_scores", "negative_scores"])
def test_a_nan_that_is_not_masked_stays_visible(name, where):
    batch = case(name) | tables("one")
    weights = torch.ones(9).index_fill(0, tensor([3]), math.nan)
    assert function(name)(**batch, weights=weights).isnan()
    batch[where] = batch[where].masked_fill(torch.arange(9) == 3, math.nan)
    for choice in entry(name).choices:
        assert function(name)(**batch, mask=torch.ones(9, dtype=torch.bool), **choice).isnan()
        assert function(name)(**batch, **choice).isnan()


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("row", range(3))
def test_one_nan_among_the_negatives_is_the_hardest(name, row):
    many = tensor([[0.0], [float("inf")], [2.0]]).index_fill(0, tensor([row]), float("nan"))
    for options in ({}, {"negative_mask": torch.ones(3, 1, dtype=torch.bool)}, {"hardest_by": "violation"}):
        assert function(name)(tensor([0.0]), many, **options).isnan()


# --- all of them, softly ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_softmax_against_one_negative_is_log_bpr(kind, dtype):
    batch = case("softmax_loss", k=1, b=200, dtype=dtype) | tables(kind) | extra(["mask", "weights"], b=200)
    batch["positive_scores"][:6] = tensor([1e4, -1e4, 30.0, -30.0, 1e-3, 0.0])
    batch["negative_scores"][0, 6:9] = tensor([1e4, -1e4, -math.inf if kind == "none" else 0.0])
    ours, theirs = (outcome(name, batch, reduction="none") for name in ("softmax_loss", "log_bpr_loss"))
    if kind == "none":
        assert same(ours, theirs)
    for mine, other in zip(ours, theirs, strict=True):
        eps = torch.finfo(mine.dtype).eps
        assert_close(mine, other, rtol=10 * eps, atol=4 * eps)


def test_softmax_is_the_cross_entropy_of_all_scores():
    batch = case("softmax_loss", k=7, b=30)
    p, many = batch["positive_scores"], batch["negative_scores"]
    for temperature in (0.05, 1.0, 3.0):
        logits = torch.cat([p[None], many]).T / temperature
        expected = torch.nn.functional.cross_entropy(logits, torch.zeros(30, dtype=torch.int64))
        assert_close(pairloss.softmax_loss(p, many, temperature=temperature), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e-3, 1.0, 1e3, 1e30])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_softmax_keeps_its_digits_at_any_temperature(dtype, temperature, kind):
    batch = case("softmax_loss", k=6, b=60, dtype=dtype) | tables(kind)
    sizes, ends = tensor([1e4, -1e4, 1.0, 1e-3, 1e4]), torch.finfo(dtype)
    batch["positive_scores"] *= sizes.repeat(12).to(dtype)
    batch["negative_scores"] *= sizes.repeat_interleave(12).to(dtype)
    batch["negative_scores"][0, 40:] = batch["positive_scores"][40:]  # ties
    rounded = max(temperature, ends.tiny)
    loss, *gradients = outcome("softmax_loss", batch, temperature=temperature, reduction="none")
    scores, rest = parted(batch)
    exact = [score.double() for score in scores]
    expected = oracle("softmax_loss", *exact, **rest, temperature=rounded, reduction="none")
    expected = tensor(expected, dtype=torch.float64)
    within = expected < ends.max / 1e5  # beyond that a part of the sum may be inf
    assert not loss.isnan().any()
    assert_close(loss[within].double(), expected[within], rtol=20 * ends.eps, atol=ends.tiny)
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert gradient.abs().max() <= 1.01 * 60 / rounded


# --- shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(), (9,), (3, 3), (3, 1, 3)])
@pytest.mark.parametrize("kind", ["none", "three"])
def test_any_shape_is_the_flat_batch_in_that_shape(name, shape, kind):
    size = torch.Size(shape).numel()
    for which, choice, reduction in itertools.product(
        ([], optional(name)), entry(name).choices, ("mean", "sum", "none")
    ):
        batch = case(name, b=size) | extra(which, b=size)
        shaped = {key: value.reshape((*value.shape[:-1], *shape)) for key, value in batch.items()}
        options = tables(kind) | choice | {"reduction": reduction}
        flat, loss = function(name)(**batch, **options), function(name)(**shaped, **options)
        assert_close(loss, flat.reshape(shape) if reduction == "none" else flat)


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_one_row_of_negatives_is_one_negative(name, kind):
    batch = case(name) | tables(kind)
    expected = function(name)(**batch)
    for rows in (["negative_scores"], ["negative_items"], ["negative_scores", "negative_items"]):
        assert torch.equal(function(name)(**batch | {key: batch[key][None] for key in rows}), expected)
    assert torch.equal(
        pairloss.pointwise_loss(batch["positive_scores"], batch["negative_scores"][None]),
        pairloss.pointwise_loss(batch["positive_scores"], batch["negative_scores"]),
    )


# --- what does not count may be anything ------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("padding", [-1, NUM_ITEMS, 2**62])
def test_padding_ids_are_legal_under_a_mask_with_metadata_too(name, padding):
    for which in optional(name), ["mask"], ["weights"], optional(name)[-1:]:
        batch = case(name) | tables("three") | extra(which)
        ids, counts = padded(batch, padding)
        assert not counts.all()
        for choice in entry(name).choices:
            assert torch.equal(function(name)(**batch | ids, **choice), function(name)(**batch, **choice))
        # What counts is still checked.
        ids["positive_items"][counts.nonzero()[0, 0]] = padding
        with pytest.raises(ValueError, match="positive_items holds ids"):
            function(name)(**batch | ids)


# --- numbers far out -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "power"), [(torch.float32, 24), (torch.float32, 60), (torch.float64, 53)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_warp_takes_a_tie_for_a_violation_however_far_out(dtype, power, sign, kind):
    for score in (2.0**power, 2.0**power + 2 ** (power - 20)):
        p = tensor([sign * score], dtype=dtype)
        items = (tensor([0]), tensor([[1]])) if kind == "one" else (None, None)
        credit = {"metadata": {"genre": tensor([0, 1])}, "metadata_weights": {"genre": 0.3}} if kind == "one" else {}
        loss = pairloss.warp_loss(p, p[None].clone(), 5, *items, **credit, squared=False)
        assert_close(loss.item(), math.log(5), rtol=1e-6, atol=0)
        below = torch.nextafter(p, tensor(-math.inf, dtype=dtype))[None]
        loss = pairloss.warp_loss(p, below, 5, *items, **credit, squared=False)
        assert_close(loss, math.log(5) * pairloss.hinge_loss(p, below[0], squared=False), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_warp_finds_a_violation_where_hinge_costs(dtype):
    """Scores of every size around the corner n = p − 1: what WARP finds first is the first that hinge makes pay."""
    generator = torch.Generator().manual_seed(0)
    size = 2.0 ** torch.randint(-30, 40, (4000,), generator=generator)
    p = (torch.randn(4000, generator=generator) * size).to(dtype)
    steps = torch.randint(-3, 4, (5, 4000), generator=generator).to(dtype)
    many = p - 1 + steps * torch.finfo(dtype).eps * p.abs().clamp(min=1)
    _, tries, found = pairloss.choose_first_violation(many - p + 1)
    loss = pairloss.warp_loss(p, many, 40, squared=False, reduction="none")
    hinge = torch.relu(many - p + 1)
    first = hinge.gather(0, (tries - 1).clamp(min=0)[None])[0]
    expected = torch.log(40 / tries.to(dtype)) * first * found
    assert_close(loss, expected, rtol=1e-6, atol=0)
    assert 500 < found.sum() < 3900


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 2**-24), (torch.float64, 1e-12)])
def test_harmonic_weights_are_rounded_once(dtype, precision):
    small = [(n, t) for n in range(1, 61) for t in {1, n // 3 + 1, n}]
    for num_items, t in (*small, (1000, 7), (1_000_000, 1), (20_000_001, 3), (2**40 + 7, 2)):
        many = torch.full((t, 1), -5.0, dtype=dtype).index_fill(0, tensor([t - 1]), 0.0)
        loss = pairloss.warp_loss(many[-1], many, num_items, rank_weight="harmonic", squared=False)
        rank = (num_items - 1) // t
        if rank < 10**6:
            exact = math.fsum(1 / i for i in range(1, rank + 1))
        else:  # Euler and Maclaurin: to 1e-17 from a million on
            exact = math.log(rank) + 0.57721566490153286 + 1 / (2 * rank)
        assert_close(loss.item(), exact, rtol=precision, atol=0)


@pytest.mark.parametrize("name", PAIRS)
def test_a_mean_with_the_largest_weights_is_a_mean(name):
    larges = {torch.float32: 3e38, torch.float64: 1e308, torch.float16: 60_000, torch.bfloat16: 3e38}
    for dtype, large in larges.items():
        ones = torch.ones(9, dtype=dtype)
        loss, expected = (function(name)(**case(name), weights=weights) for weights in (large * ones, ones))
        assert_close(loss, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("loss", "term"), [("bpr_loss", torch.sigmoid), ("hinge_loss", lambda lag: torch.relu(lag + 1))]
)
def test_large_batches_have_derivatives_of_every_kind(loss, term):
    """Forward, reverse, one over the other and batched."""
    size = 2**18 + 3
    p, n = (x[:, 0] for x in torch.randn(2, size, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))

    def ours(shift):
        return getattr(pairloss, loss)(p + shift * p.cos(), n)

    def plain(shift):
        cost = term(n - p - shift * p.cos())
        return (cost + cost**2).mean()

    at = tensor(0.3, dtype=torch.float64)
    forward, reverse = torch.func.jacfwd, torch.func.jacrev
    for derivative in (forward, reverse):
        assert_close(derivative(ours)(at), derivative(plain)(at))
        for second in (forward, reverse):
            assert_close(second(derivative(ours))(at), second(derivative(plain))(at))
    shifts = tensor([0.0, 0.5, -1.0], dtype=torch.float64)
    assert_close(torch.func.vmap(reverse(ours))(shifts), torch.stack([reverse(plain)(shift) for shift in shifts]))
    shift = at.clone().requires_grad_()
    for made in (ours, plain):
        (once,) = torch.autograd.grad(made(shift), shift, create_graph=True)
        twice = torch.autograd.grad(once, shift)[0]
        assert_close(torch.stack([once, twice]), torch.stack([reverse(plain)(at), reverse(reverse(plain))(at)]))


@pytest.mark.parametrize("name", CHOOSING)
def test_large_tables_go_through_transforms(name):
    """vmap without a loop (which warns), gradient, tangent and double backward, where K · B is large."""
    generator = torch.Generator().manual_seed(0)
    p, many = (torch.randn(2, *size, generator=generator, dtype=torch.float64) for size in ((4000,), (40, 4000)))
    loss = function(name)

    def grad(p, many):
        return torch.func.grad(lambda many: loss(p, many))(many)

    each = torch.stack([loss(*part) for part in zip(p, many, strict=True)])
    assert_close(torch.func.vmap(loss)(p, many), each)
    slopes = torch.stack([grad(*part) for part in zip(p, many, strict=True)])
    assert_close(torch.func.vmap(grad)(p, many), slopes)
    _, along = torch.func.jvp(lambda many: loss(p[0], many), (many[0],), (torch.ones_like(many[0]),))
    assert_close(along, slopes[0].sum())
    leaf = many[0].clone().requires_grad_()
    (once,) = torch.autograd.grad(loss(p[0], leaf), leaf, create_graph=True)
    assert_close(once.detach(), slopes[0])
    (twice,) = torch.autograd.grad(once.sum(), leaf)
    (expected,) = torch.autograd.grad(grad(p[0], leaf).sum(), leaf)
    assert_close(twice, expected)


@pytest.mark.parametrize("name", CHOOSING)
def test_credit_a_few_rows_at_a_time_is_that_of_each_row(name):
    """K · B beyond one piece: as equal as if each pair stood alone, but for the last digit of a vectorized function."""
    batch, options = case(name, k=5, b=2**17 + 1), tables("three")
    for choice in entry(name).choices:
        whole = function(name)(**batch, **options, **choice, reduction="none")
        some = [0, 1, 12_345, 2**17]
        parts = {key: value[..., some] for key, value in batch.items()}
        alone = function(name)(**parts, **options, **choice, reduction="none")
        assert_close(whole[some], alone, rtol=0 if name in NAMED else 4e-16, atol=0)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_wide_weights_do_not_widen_the_loss(name, reduction):
    batch = case(name, dtype=torch.float32) | {"reduction": reduction}
    weights = torch.linspace(0, 3, 9, dtype=torch.float64)
    loss = function(name)(**batch, weights=weights)
    assert loss.dtype == torch.float32
    assert_close(loss, function(name)(**batch, weights=weights.float()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pointwise_in_half_precision_is_computed_in_float32(dtype):
    p, n = (case("bpr_loss", b=70_000)[key].to(dtype) for key in ("positive_scores", "negative_scores"))
    for reduction in ("mean", "sum", "none"):
        loss = pairloss.pointwise_loss(p, n, reduction=reduction)
        assert loss.dtype == torch.float32
        assert_close(loss, pairloss.pointwise_loss(p.float(), n.float(), reduction=reduction))


def test_a_pair_term_takes_the_number_1_for_d():
    scores = tensor([1.5, 0.0], requires_grad=True), tensor([0.5, 2.0])
    for term in (terms.bpr, terms.hinge, terms.log_bpr, terms.pointwise):
        assert_close(term(*scores, 1), term(*scores, torch.ones(2)))
        assert torch.equal(term(*scores, 1), term(*scores, 1.0))


# --- dtypes and transforms ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_large_batches_in_every_dtype(name, dtype, kind):
    batch = case(name, k=3, b=70_000) | tables(kind)
    rounded = batch | {key: batch[key].to(dtype) for key in ("positive_scores", "negative_scores")}
    exact = batch | {key: rounded[key].double() for key in ("positive_scores", "negative_scores")}
    for reduction in ("mean", "sum", "none"):
        loss, *gradients = outcome(name, rounded, reduction=reduction)
        expected, *slopes = outcome(name, exact, reduction=reduction)
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_close(loss.double(), expected, rtol=1e-4, atol=2e-5)
        for gradient, slope in zip(gradients, slopes, strict=True):
            # Rounded to that dtype, or beyond its range where the true one is.
            assert gradient.dtype == dtype
            assert_close(gradient.double(), slope.to(dtype).double(), rtol=4 * torch.finfo(dtype).eps, atol=2e-5)


def test_mixed_dtypes_compute_in_the_wider_one():
    assert pairloss.bpr_loss(tensor([1.0]).half(), tensor([0.0])).dtype == torch.float32
    assert pairloss.hinge_loss(tensor([1.0]).half(), tensor([0.0]).bfloat16()).dtype == torch.float32
    assert pairloss.warp_loss(tensor([1.0]), tensor([[0.0]]).double(), 3).dtype == torch.float64


CREDIT = tables("three")


def everything(positive, negative, many, items, negative_items, many_items, mask, weights, negative_mask, of=slice(9)):
    """All losses on one batch, with credit, masks and weights, and with some of their choices: one graph."""
    shared = {"mask": mask, "weights": weights, **CREDIT}
    losses = [function(name)(positive, negative, items, negative_items, **shared) for name in STANDARD]
    for name in MANY:
        losses.append(function(name)(positive, many))
        for choice in entry(name).choices[of]:
            losses.append(
                function(name)(positive, many, items, many_items, **shared, **choice, negative_mask=negative_mask)
            )
    return torch.stack(losses)


def everything_inputs():
    (scores, ids), (many, many_ids) = parted(case("bpr_loss")), parted(case("warp_loss"))
    options = extra(["mask", "weights", "negative_mask"])
    return [*scores, many[1], *ids.values(), many_ids["negative_items"], *options.values()]


@pytest.mark.slow
def test_compiled_equals_eager():
    # Inductor needs a compiler with OpenMP, and cannot link in a path with a space.
    backend = "inductor" if sys.platform == "linux" and " " not in torch.__file__ else "aot_eager"
    inputs = everything_inputs()
    for scores in inputs[:3]:
        scores.requires_grad_()
    last = partial(everything, of=slice(-1, None))  # of the choices, because all take the compiler minutes
    eager = last(*inputs)
    compiled = torch.compile(last, fullgraph=True, backend=backend)(*inputs)
    assert_close(compiled, eager)
    expected = torch.autograd.grad(eager.sum(), inputs[:3])
    assert_close(torch.autograd.grad(compiled.sum(), inputs[:3]), expected)


def test_autocast_gradients_and_vmap_change_nothing():
    inputs = everything_inputs()
    expected = everything(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(everything(*inputs), expected)
    several = [torch.stack([value, value.roll(1, -1)]) for value in inputs]
    each = torch.stack([everything(*(value[i] for value in several)) for i in (0, 1)])
    assert_close(torch.func.vmap(everything)(*several), each)
    transformed = torch.func.grad(lambda *scores: everything(*scores, *inputs[3:]).sum(), argnums=(0, 1, 2))
    actual = transformed(*inputs[:3])
    scores = [score.requires_grad_() for score in inputs[:3]]
    assert_close(actual, torch.autograd.grad(everything(*inputs).sum(), scores))


@pytest.mark.parametrize("name", PAIRS)
def test_no_argument_is_modified(name):
    which = optional(name)
    arguments = case(name) | tables("three") | extra(which)
    tensors = {k: v for k, v in arguments.items() if isinstance(v, torch.Tensor)} | arguments["metadata"]
    before = {k: v.clone() for k, v in tensors.items()}
    versions = {k: v._version for k, v in tensors.items()}
    function(name)(**arguments)
    for key, value in tensors.items():
        assert torch.equal(value, before[key])
        assert value._version == versions[key]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("which", subsets(["mask", "weights"]))
def test_pointwise_equals_a_plain_loop(reduction, which):
    scores, options = parted(case("bpr_loss"))[0], extra(which) | {"reduction": reduction}
    expected = over_pairs(lambda p, ns, ds: 1 - sigmoid(p) + sigmoid(ns[0]), *scores, **options, squared=False)
    assert_close(pairloss.pointwise_loss(*scores, **options), tensor(expected, dtype=torch.float64))
    scores = [score.requires_grad_() for score in scores]
    assert torch.autograd.gradcheck(lambda p, n: pairloss.pointwise_loss(p, n, **options), scores)


def test_torchs_own_losses_agree():
    p, n = parted(case("bpr_loss"))[0]
    ones = torch.ones_like(p)
    assert_close(pairloss.hinge_loss(p, n, squared=False), torch.nn.MarginRankingLoss(margin=1.0)(p, n, ones))
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    assert_close(pairloss.log_bpr_loss(p, n), cross_entropy(p - n, ones))
    # With credit ½ the label is smoothed to t = ¾.
    items = {"positive_items": torch.zeros(9, dtype=torch.int64), "negative_items": torch.ones(9, dtype=torch.int64)}
    smoothed = pairloss.log_bpr_loss(p, n, **items, metadata={"kind": torch.zeros(2)}, metadata_weights={"kind": 0.5})
    assert_close(smoothed, cross_entropy(p - n, 0.75 * ones))


# --- score, choose, score again -------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("which", [[], ["mask"], ["weights"], ["negative_mask"], ["mask", "weights", "negative_mask"]])
def test_scoring_twice_gives_the_loss_and_gradients_of_scoring_once(name, kind, which):
    """Without a graph of what was not chosen."""
    for choice, seed in itertools.product(entry(name).choices, range(3)):
        _, ids = parted(case(name, seed=seed))
        options = ids | tables(kind, seed) | extra(which, seed=seed) | choice
        vectors, score = embeddings(seed)
        asked = []

        def watched(items, asked=asked, score=score):
            asked.append((items.shape, torch.is_grad_enabled()))
            return score(items)

        outcomes = []
        for negatives in (score(ids["negative_items"]), watched):
            loss = function(name)(score(ids["positive_items"]), negatives, **options)
            outcomes.append([loss, *torch.autograd.grad(loss, vectors)])
        assert asked == [((5, 9), False), ((9,), True)]
        assert outcomes[0][1].abs().sum() > 0
        assert_close(outcomes[1], outcomes[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("first", [False, True])
def test_many_negatives_are_scored_a_few_rows_at_a_time(name, first):
    """What a model makes of an id never stands in memory for all K · B of them. Loss and gradients stay."""
    generator = torch.Generator().manual_seed(0)
    b = 2**11 + 1
    users, items = (torch.randn(n, 3, generator=generator, dtype=torch.float64).requires_grad_() for n in (b, 50))
    i, j = (torch.randint(50, shape, generator=generator) for shape in ((b,), (5, b)))
    real = torch.rand(j.shape, generator=generator) < 0.7
    j, real = (j.T, real.T) if first else (j, real)
    asked = []

    def score(ids):
        asked.append(tuple(ids.shape))
        return ((users[:, None] if first and ids.ndim == 2 else users) * items[ids]).sum(-1)

    outcomes = []
    for negatives in (score(j), score):
        asked.clear()
        loss = function(name)(score(i), negatives, i, j, negative_mask=real, batch_first=first)
        outcomes.append([loss, *torch.autograd.grad(loss, (users, items))])
    assert asked == [(b,), *([(b, 3), (b, 2)] if first else [(3, b), (2, b)]), (b,)]
    assert_close(outcomes[1], outcomes[0], rtol=1e-12, atol=1e-12)


def test_scoring_twice_hands_on_the_ids_as_they_are_and_tensors_that_can_be_used_again():
    ids, seen, kept = case("warp_loss"), [], []
    vectors, score = embeddings()

    def watched(items):
        seen.append(items.dtype)
        kept.append(score(items))
        return kept[-1] + 0 * kept[0].sum()  # what was made without gradients goes into what has them

    function("warp_loss")(score(ids["positive_items"]), watched, None, ids["negative_items"].int()).backward()
    assert seen == [torch.int32, torch.int32]
    assert vectors[1].grad.abs().sum() > 0


@pytest.mark.parametrize("name", CHOOSING)
def test_scoring_twice_under_autocast_has_gradients_whatever_was_cast_first(name):
    ids = case(name)
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 1)
    features = torch.randn(NUM_ITEMS, 6)
    outcomes = []
    for twice in (False, True):
        with torch.autocast("cpu", torch.bfloat16):

            def score(items):
                # Without gradients nothing may be kept for later: older versions of torch would hand it on.
                assert torch.is_autocast_cache_enabled() == torch.is_grad_enabled()
                return layer(features[items]).squeeze(-1)

            negatives = score if twice else score(ids["negative_items"])
            loss = function(name)(ids["positive_scores"].float(), negatives, None, ids["negative_items"])
        outcomes.append([loss, *torch.autograd.grad(loss, list(layer.parameters()))])
    assert outcomes[0][1].abs().sum() > 0
    assert_close(outcomes[1], outcomes[0], rtol=1e-2, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOOSING)
def test_scoring_twice_compiles_and_goes_through_modules(name):
    ids = case(name)
    i, j = ids["positive_items"], ids["negative_items"]
    vectors, score = embeddings()
    direct = function(name)(score(i), score(j), i, j, **tables("one"))
    loss_of = module(name, *tables("one").values())

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step(users, items):
        def score(ids):
            return (users * items[ids]).sum(-1)

        return loss_of(score(i), score, i, j)

    for loss in (loss_of(score(i), score, i, j), step(*vectors)):
        assert_close(loss, direct)
    torch._dynamo.reset()
