"""Values and gradients of the losses on pairs, against published numbers and plain loops."""

import itertools
import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import pairloss
from tests.oracles import ADAPTIVE, LOSSES, MANY, NUM_ITEMS, STANDARD, function, oracle, sigmoid

GENRE = tensor([0, 0, 1])  # Star Wars, Star Trek, Legally Blonde


def case(name, *, k=5, b=9, seed=0, dtype=torch.float64):
    """Scores and items for ``name``, some negatives equal to their positive."""
    generator = torch.Generator().manual_seed(seed)
    shape = (b,) if name in STANDARD else (k, b)
    items = torch.randint(NUM_ITEMS, (b,), generator=generator)
    negative_items = torch.randint(NUM_ITEMS, shape, generator=generator)
    negative_items[..., :1] = items[:1]
    return {
        "positive_scores": 2 * torch.randn(b, generator=generator, dtype=dtype),
        "negative_scores": 2 * torch.randn(shape, generator=generator, dtype=dtype),
        "positive_items": items,
        "negative_items": negative_items,
    }


def tables(kind, seed=0):
    """No metadata, one categorical table, or a column, a float table and a multi-hot one with empty rows."""
    generator = torch.Generator().manual_seed(seed)
    genre = torch.randint(3, (NUM_ITEMS,), generator=generator)
    if kind == "none":
        return {}
    if kind == "one":
        return {"metadata": {"genre": genre}, "metadata_weights": {"genre": 0.3}}
    labels = torch.rand(NUM_ITEMS, 4, generator=generator) < 0.4
    labels[:5] = False
    decade = torch.randint(2, (NUM_ITEMS,), generator=generator).float()
    return {
        "metadata": {"genre": genre[:, None], "labels": labels, "decade": decade},
        "metadata_weights": {"genre": 0.3, "labels": 0.5, "decade": 0.2},
    }


def extra(name, which, b=9, k=5, seed=0):
    """The optional masks and weights named in ``which``."""
    generator = torch.Generator().manual_seed(seed)
    options = {
        "mask": torch.rand(b, generator=generator) < 0.7,
        "weights": 3 * torch.rand(b, generator=generator, dtype=torch.float64) * (torch.arange(b) != 2),
        "negative_mask": (torch.rand(k, b, generator=generator) < 0.6) & (torch.arange(b) != 3),
    }
    return {option: options[option] for option in which}


def choices(name):
    if name in ADAPTIVE:
        return [{"hardest_by": by} for by in ("score", "violation")]
    return [{"rank_weight": by} for by in ("log", "harmonic")] if name == "warp_loss" else [{}]


# --- published values (four places) -------------------------------------------------------------------

PUBLISHED_PAIRS = [(3.0, 1.5, 0.2157, 0.0), (1.5, 3.0, 1.4860, 8.75)]
PUBLISHED_MANY = [
    (3.0, [1.5, 0.5, 1.0], 0.2157, 0.0, 0.0, None),
    (1.5, [2.0, 3.0, 2.5], 1.4860, 8.75, 4.3636, 31.1301),
    (1.5, [1.0, 4.0, 1.49], 1.7782, 15.75, 0.8510, 4.5926),
]


@pytest.mark.parametrize(("positive", "negative", "bpr", "hinge"), PUBLISHED_PAIRS)
def test_published_pairs(positive, negative, bpr, hinge):
    scores = tensor([positive]), tensor([negative])
    assert round(pairloss.bpr_loss(*scores).item(), 4) == bpr
    assert round(pairloss.hinge_loss(*scores).item(), 4) == hinge


@pytest.mark.parametrize(("positive", "negatives", "bpr", "hinge", "warp_3", "warp_30"), PUBLISHED_MANY)
def test_published_many(positive, negatives, bpr, hinge, warp_3, warp_30):
    scores = tensor([positive]), tensor(negatives)[:, None]
    assert round(pairloss.adaptive_bpr_loss(*scores).item(), 4) == bpr
    assert round(pairloss.adaptive_hinge_loss(*scores).item(), 4) == hinge
    assert round(pairloss.warp_loss(*scores, num_items=3).item(), 4) == warp_3
    if warp_30 is not None:
        assert round(pairloss.warp_loss(*scores, num_items=30).item(), 4) == warp_30


def test_published_partial_credit():
    scores = tensor([1.0, 1.0]), tensor([3.0, 3.0])
    assert [round(v, 4) for v in pairloss.bpr_loss(*scores, reduction="none").tolist()] == [1.6566, 1.6566]
    credited = pairloss.bpr_loss(
        *scores,
        positive_items=tensor([0, 0]),
        negative_items=tensor([1, 2]),
        metadata={"genre": GENRE},
        metadata_weights={"genre": 0.25},
        reduction="none",
    )
    assert [round(v, 4) for v in credited.tolist()] == [1.0287, 1.6566]


# --- plain loops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("squared", [True, False, None])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equals_plain_loops(name, kind, squared, reduction):
    arguments = case(name) | tables(kind)
    available = ["mask", "weights", "negative_mask"] if name in MANY else ["mask", "weights"]
    subsets = [s for n in range(len(available) + 1) for s in itertools.combinations(available, n)]
    for which, choice in itertools.product(subsets, choices(name)):
        options = extra(name, which) | choice | {"reduction": reduction}
        if squared is not None:
            options["squared"] = squared
        actual = function(name)(**arguments, **options)
        expected = tensor(oracle(name, **arguments, **options), dtype=torch.float64)
        assert_close(actual, expected, rtol=1e-12, atol=1e-12, msg=lambda m, o=options: f"{m}\n{o}")


@pytest.mark.parametrize("name", MANY)
def test_a_sequence_of_tensors_is_stacked(name):
    arguments = case(name)
    rows = arguments | {"negative_scores": list(arguments["negative_scores"])}
    assert torch.equal(function(name)(**rows), function(name)(**arguments))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_gradcheck(name, kind):
    arguments = case(name, k=3, b=4) | tables(kind) | extra(name, ["mask", "weights"], b=4, k=3)
    positive = arguments.pop("positive_scores").requires_grad_()
    negative = arguments.pop("negative_scores").requires_grad_()

    def loss(positive, negative):
        return function(name)(positive, negative, **arguments)

    assert torch.autograd.gradcheck(loss, (positive, negative))
    assert torch.autograd.gradgradcheck(loss, (positive, negative))
    assert torch.autograd.gradcheck(lambda p, n: function(name)(p, n, reduction="none"), (positive, negative))


@pytest.mark.parametrize("name", MANY)
def test_gradient_reaches_only_the_chosen_negative(name):
    arguments = case(name) | extra(name, ["negative_mask"])
    arguments["negative_scores"].requires_grad_()
    function(name)(**arguments, reduction="sum").backward()
    gradient = arguments["negative_scores"].grad
    assert ((gradient != 0).sum(0) <= 1).all()
    assert (gradient[~arguments["negative_mask"]] == 0).all()
    assert (gradient != 0).any()


# --- extremes -----------------------------------------------------------------------------------------


def test_far_differences_are_exact():
    far, zero = tensor([1e4, -1e4], dtype=torch.float64, requires_grad=True), torch.zeros(2, dtype=torch.float64)
    loss = pairloss.log_bpr_loss(far, zero, reduction="none")
    assert loss.tolist() == [0.0, 1e4]  # −log σ(−10⁴) = 10⁴ + log(1 + e⁻¹⁰⁰⁰⁰)
    assert torch.autograd.grad(loss.sum(), far)[0].tolist() == [0.0, -1.0]
    assert pairloss.hinge_loss(far, zero, squared=False, reduction="none").tolist() == [0.0, 10001.0]
    assert pairloss.bpr_loss(far, zero, squared=False, reduction="none").tolist() == [0.0, 1.0]


def test_satisfied_pair_keeps_its_digits():
    # 1 − σ(20) is 2.06e-9; computed as written, float32 gives 0.
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
    for loss in (
        pairloss.hinge_loss(positive, tensor([0.0])),
        pairloss.warp_loss(positive, tensor([[0.0], [0.0]]), 5),
    ):
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
        loss = pairloss.log_bpr_loss(*scores, None, tensor([0]), tensor([other]), **credit)
        assert loss == expected
        assert torch.autograd.grad(loss, scores[0])[0].isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_hardest_by_violation_without_metadata_is_by_score(dtype):
    many = tensor([[3.0], [3.0156]] if dtype == torch.bfloat16 else [[1e-9], [2e-9]], dtype=dtype, requires_grad=True)
    for mask in (None, torch.ones(2, 1, dtype=torch.bool)):
        loss = pairloss.adaptive_hinge_loss(
            tensor([1.0], dtype=dtype), many, hardest_by="violation", negative_mask=mask
        )
        assert torch.autograd.grad(loss, many)[0][0] == 0  # the second row is the hardest


@pytest.mark.parametrize("scale", [1e-300, 0.01, 1e300])
def test_only_the_ratio_of_weights_counts_in_a_mean(scale):
    scores = tensor([3.0, 1.5]), tensor([1.5, 3.0])
    weights = tensor([3.0, 1.0], dtype=torch.float64)
    loss = pairloss.hinge_loss(*scores, weights=weights * scale)
    assert loss.dtype == torch.float32
    assert_close(loss.item(), 8.75 / 4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float16])
def test_weights_of_every_dtype(dtype):
    scores = tensor([3.0, 1.5]), tensor([1.5, 3.0])
    assert_close(pairloss.hinge_loss(*scores, weights=tensor([3, 1]).to(dtype)).item(), 8.75 / 4)


def test_long_sums_are_accurate_in_float32():
    generator = torch.Generator().manual_seed(0)
    p, n = torch.randn(3_000_000, generator=generator), torch.randn(3_000_000, generator=generator)
    assert_close(pairloss.hinge_loss(p, n).double(), pairloss.hinge_loss(p.double(), n.double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("empty", ["batch", "mask", "weights", "negative_mask"])
def test_no_pair_left_gives_zero_with_zero_gradients(name, reduction, empty):
    if empty == "negative_mask" and name in STANDARD:
        empty = "mask"
    arguments = case(name, b=0 if empty == "batch" else 4)
    options = {
        "batch": {},
        "mask": {"mask": torch.zeros(4, dtype=torch.bool)},
        "weights": {"weights": torch.zeros(4)},
        "negative_mask": {"negative_mask": torch.zeros(5, 4, dtype=torch.bool)},
    }[empty]
    scores = [arguments[s].requires_grad_() for s in ("positive_scores", "negative_scores")]
    loss = function(name)(**arguments, **options, reduction=reduction)
    assert loss == 0
    for score, gradient in zip(scores, torch.autograd.grad(loss, scores), strict=True):
        assert torch.equal(gradient, torch.zeros_like(score))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("squared", [True, False])
def test_one_negative_one_pair(name, squared):
    arguments = case(name, k=1, b=1)
    actual = function(name)(**arguments, squared=squared)
    assert_close(actual.item(), oracle(name, **arguments, squared=squared))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("by", ["mask", "weights"])
def test_what_is_masked_never_leaks(name, bad, by):
    arguments = case(name) | tables("one")
    keep = torch.ones(9, dtype=torch.bool).index_fill(0, tensor([1, 4]), False)
    options = {"mask": keep} if by == "mask" else {"weights": keep.double()}
    scores = [arguments[s].clone().requires_grad_() for s in ("positive_scores", "negative_scores")]
    clean = function(name)(**arguments | {"positive_scores": scores[0], "negative_scores": scores[1]}, **options)
    for hit in itertools.product([0, 1], repeat=2):
        if not any(hit):
            continue
        dirty = [s.detach().clone() for s in scores]
        for row, put in zip(dirty, hit, strict=True):
            if put:
                row[..., ~keep] = bad
            row.requires_grad_()
        loss = function(name)(**arguments | {"positive_scores": dirty[0], "negative_scores": dirty[1]}, **options)
        assert torch.equal(loss, clean)
        for ours, theirs in zip(
            torch.autograd.grad(loss, dirty), torch.autograd.grad(clean, scores, retain_graph=True), strict=True
        ):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_a_negative_that_is_not_real_never_leaks(name, bad, kind):
    arguments = case(name) | tables(kind) | extra(name, ["negative_mask"])
    for choice in choices(name):
        outcomes = []
        for value in (0.0, bad):
            negative = arguments["negative_scores"].masked_fill(~arguments["negative_mask"], value).requires_grad_()
            loss = function(name)(**arguments | {"negative_scores": negative}, **choice)
            outcomes.append((loss, torch.autograd.grad(loss, negative)[0]))
        assert torch.equal(outcomes[0][0], outcomes[1][0])
        assert torch.equal(outcomes[0][1], outcomes[1][1])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("where", ["positive_scores", "negative_scores"])
def test_a_nan_that_is_not_masked_stays_visible(name, where):
    arguments = case(name) | tables("one")
    for choice in choices(name):
        row = arguments[where].clone()
        row[..., 3] = float("nan")
        loss = function(name)(**arguments | {where: row}, mask=torch.ones(9, dtype=torch.bool), **choice)
        assert loss.isnan()
        assert function(name)(**arguments | {where: row}, **choice).isnan()
    weights = torch.ones(9).index_fill(0, tensor([3]), float("nan"))
    assert function(name)(**arguments, weights=weights).isnan()


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("row", range(3))
def test_one_nan_among_the_negatives_is_the_hardest(name, row):
    many = tensor([[0.0], [float("inf")], [2.0]]).index_fill(0, tensor([row]), float("nan"))
    for options in ({}, {"negative_mask": torch.ones(3, 1, dtype=torch.bool)}, {"hardest_by": "violation"}):
        assert function(name)(tensor([0.0]), many, **options).isnan()


def test_real_negatives_at_minus_infinity_beat_unreal_ones():
    many = tensor([[5.0], [-float("inf")]], requires_grad=True)
    loss = pairloss.adaptive_hinge_loss(tensor([0.0]), many, negative_mask=tensor([[False], [True]]))
    assert loss == 0
    assert pairloss.hardest_negatives(many, tensor([[False], [True]])).tolist() == [1]


# --- dtypes and transforms ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["none", "one"])
def test_large_batches_in_every_dtype(name, dtype, kind):
    arguments = case(name, k=3, b=70_000) | tables(kind)
    rounded = {k: arguments[k].to(dtype) for k in ("positive_scores", "negative_scores")}
    exact = arguments | {k: v.double() for k, v in rounded.items()}
    for reduction in ("mean", "sum", "none"):
        loss = function(name)(**arguments | rounded, reduction=reduction)
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_close(loss.double(), function(name)(**exact, reduction=reduction), rtol=2e-5, atol=2e-5)
    scores = [v.requires_grad_() for v in rounded.values()]
    for gradient in torch.autograd.grad(function(name)(**arguments | rounded, reduction="sum"), scores):
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


def test_mixed_dtypes_compute_in_the_wider_one():
    assert pairloss.bpr_loss(tensor([1.0]).half(), tensor([0.0])).dtype == torch.float32
    assert pairloss.hinge_loss(tensor([1.0]).half(), tensor([0.0]).bfloat16()).dtype == torch.float32
    assert pairloss.warp_loss(tensor([1.0]), tensor([[0.0]]).double(), 3).dtype == torch.float64


CREDIT = tables("three")


def everything(positive, negative, many, items, negative_items, many_items, mask, weights, negative_mask):
    """All six losses on one batch, with credit, masks and weights: one graph."""
    shared = {"mask": mask, "weights": weights, **CREDIT}
    losses = [function(name)(positive, negative, items, negative_items, **shared) for name in STANDARD]
    for name in MANY:
        losses.append(function(name)(positive, many))
        for choice in choices(name):
            losses.append(
                function(name)(positive, many, items, many_items, **shared, **choice, negative_mask=negative_mask)
            )
    return torch.stack(losses)


def everything_inputs():
    one, many = case("bpr_loss"), case("warp_loss")
    options = extra("warp_loss", ["mask", "weights", "negative_mask"])
    return [
        one["positive_scores"],
        one["negative_scores"],
        many["negative_scores"],
        one["positive_items"],
        one["negative_items"],
        many["negative_items"],
        options["mask"],
        options["weights"],
        options["negative_mask"],
    ]


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_equals_eager(backend):
    inputs = everything_inputs()
    for scores in inputs[:3]:
        scores.requires_grad_()
    eager = everything(*inputs)
    compiled = torch.compile(everything, fullgraph=True, backend=backend)(*inputs)
    assert_close(compiled, eager)
    expected = torch.autograd.grad(eager.sum(), inputs[:3])
    assert_close(torch.autograd.grad(compiled.sum(), inputs[:3]), expected)


def test_autocast_changes_nothing():
    inputs = everything_inputs()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(everything(*inputs), everything(*inputs))
        inside = everything(*inputs)
    assert torch.equal(inside, everything(*inputs))


def test_functional_gradient_equals_autograd():
    inputs = everything_inputs()
    transformed = torch.func.grad(lambda *scores: everything(*scores, *inputs[3:]).sum(), argnums=(0, 1, 2))
    actual = transformed(*inputs[:3])
    scores = [score.requires_grad_() for score in inputs[:3]]
    assert_close(actual, torch.autograd.grad(everything(*inputs).sum(), scores))


def test_vmap_over_scores_items_masks_and_weights():
    inputs = everything_inputs()
    several = [torch.stack([value, value.roll(1, -1)]) for value in inputs]
    actual = torch.func.vmap(everything)(*several)
    assert_close(actual, torch.stack([everything(*(value[i] for value in several)) for i in (0, 1)]))


@pytest.mark.parametrize("name", LOSSES)
def test_no_argument_is_modified(name):
    which = ["mask", "weights", "negative_mask"] if name in MANY else ["mask", "weights"]
    arguments = case(name) | tables("three") | extra(name, which)
    tensors = {k: v for k, v in arguments.items() if isinstance(v, torch.Tensor)} | arguments["metadata"]
    before = {k: v.clone() for k, v in tensors.items()}
    versions = {k: v._version for k, v in tensors.items()}
    function(name)(**arguments)
    for key, value in tensors.items():
        assert torch.equal(value, before[key])
        assert value._version == versions[key]


def test_weston_rank_weight_is_the_harmonic_number():
    # With no violation before try t, ℓ = w(t) · 1 for scores 0 against 0 and d = 1.
    for num_items, t in [(10, 1), (10, 3), (1_000_000, 1), (7, 7), (3, 2)]:
        many = torch.full((t, 1), -5.0, dtype=torch.float64)
        many[-1] = 0
        loss = pairloss.warp_loss(
            torch.zeros(1, dtype=torch.float64), many, num_items, rank_weight="harmonic", squared=False
        )
        harmonic = math.fsum(1 / i for i in range(1, (num_items - 1) // t + 1))
        assert_close(loss.item(), harmonic, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("which", [(), ("mask",), ("weights",), ("mask", "weights")])
def test_pointwise_equals_a_plain_loop(reduction, which):
    scores = [case("bpr_loss")[key].requires_grad_() for key in ("positive_scores", "negative_scores")]
    options = extra("bpr_loss", which)
    weights = [1.0] * 9
    for option in options.values():
        weights = [w * float(o) for w, o in zip(weights, option, strict=True)]
    terms = [
        w * (1 - sigmoid(p) + sigmoid(n))
        for w, p, n in zip(weights, scores[0].tolist(), scores[1].tolist(), strict=True)
    ]
    actual = pairloss.pointwise_loss(*scores, **options, reduction=reduction)
    expected = {"mean": sum(terms) / sum(weights), "sum": sum(terms), "none": terms}[reduction]
    assert_close(actual, tensor(expected, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda p, n: pairloss.pointwise_loss(p, n, **options, reduction=reduction), scores)


def test_spotlight_values_masks_included():
    """Spotlight's formulas, written out: Σ mask·ℓ / Σ mask with the plain terms."""
    p, n = case("bpr_loss")["positive_scores"], case("bpr_loss")["negative_scores"]
    many = case("warp_loss")["negative_scores"]
    mask = extra("bpr_loss", ["mask"])["mask"]
    terms = {
        "bpr_loss": (1 - torch.sigmoid(p - n), n),
        "hinge_loss": ((n - p + 1).clamp(min=0), n),
        "adaptive_hinge_loss": ((many.amax(0) - p + 1).clamp(min=0), many),
    }
    for name, (term, negative) in terms.items():
        actual = getattr(pairloss, name)(p, negative, squared=False, mask=mask)
        assert_close(actual, (term * mask).sum() / mask.sum())
    pointwise = 1 - torch.sigmoid(p) + torch.sigmoid(n)
    assert_close(pairloss.pointwise_loss(p, n, mask=mask), (pointwise * mask).sum() / mask.sum())


def test_torchs_own_losses_agree():
    p, n = case("bpr_loss")["positive_scores"], case("bpr_loss")["negative_scores"]
    ones = torch.ones_like(p)
    margin_ranking = torch.nn.MarginRankingLoss(margin=1.0)(p, n, ones)
    assert_close(pairloss.hinge_loss(p, n, squared=False), margin_ranking)
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    assert_close(pairloss.log_bpr_loss(p, n), cross_entropy(p - n, ones))
    # With credit ½ the label is smoothed to t = ¾.
    items = torch.zeros(9, dtype=torch.int64), torch.ones(9, dtype=torch.int64)
    smoothed = pairloss.log_bpr_loss(p, n, None, *items, {"kind": torch.zeros(2)}, {"kind": 0.5})
    assert_close(smoothed, cross_entropy(p - n, 0.75 * ones))


def test_triplet_loss_is_a_hinge_on_negative_distances():
    anchor, positive, negative = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def squared_distance(a, b):
        return (a - b).pow(2).sum(-1)

    triplet = torch.nn.TripletMarginWithDistanceLoss(distance_function=squared_distance)
    scores = -squared_distance(anchor, positive), -squared_distance(anchor, negative)
    assert_close(pairloss.hinge_loss(*scores, squared=False), triplet(anchor, positive, negative))


# --- score, choose, score again -------------------------------------------------------------------------


def embeddings(seed=0, b=9):
    """Vectors of users and items, each user's positives, and the function that scores items for them."""
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(b, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(NUM_ITEMS, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    return [users, items], lambda ids: (users * items[ids]).sum(-1)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("which", [[], ["mask"], ["weights"], ["negative_mask"], ["mask", "weights", "negative_mask"]])
def test_scoring_twice_gives_the_loss_and_gradients_of_scoring_once(name, kind, which):
    for choice, seed in itertools.product(choices(name), range(3)):
        ids = case(name, seed=seed)
        i, j = ids["positive_items"], ids["negative_items"]
        options = tables(kind, seed) | extra(name, which, seed=seed) | choice
        vectors, score = embeddings(seed)
        outcomes = []
        for negatives in (score(j), score):
            loss = function(name)(score(i), negatives, i, j, **options)
            outcomes.append([loss, *torch.autograd.grad(loss, vectors)])
        assert outcomes[0][1].abs().sum() > 0
        for direct, twice in zip(*outcomes, strict=True):
            assert_close(twice, direct, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MANY)
def test_scoring_twice_keeps_no_graph_of_what_was_not_chosen(name):
    ids = case(name)
    _, score = embeddings()
    asked = []

    def watched(items):
        asked.append((items.shape, torch.is_grad_enabled()))
        return score(items)

    function(name)(score(ids["positive_items"]), watched, None, ids["negative_items"]).backward()
    assert asked == [((5, 9), False), ((9,), True)]


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


@pytest.mark.parametrize("name", MANY)
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
    for direct, again in zip(*outcomes, strict=True):
        assert_close(again, direct, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", MANY)
def test_scoring_twice_compiles_and_goes_through_modules(name):
    ids = case(name)
    i, j = ids["positive_items"], ids["negative_items"]
    vectors, score = embeddings()
    direct = function(name)(score(i), score(j), i, j, **tables("one"))
    module = {
        "adaptive_bpr_loss": pairloss.AdaptiveBPRLoss,
        "adaptive_hinge_loss": pairloss.AdaptiveHingeLoss,
        "warp_loss": lambda *options: pairloss.WARPLoss(NUM_ITEMS, *options),
    }[name](*tables("one").values())

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step(users, items):
        def score(ids):
            return (users * items[ids]).sum(-1)

        return module(score(i), score, i, j)

    for loss in (module(score(i), score, i, j), step(*vectors)):
        assert_close(loss, direct)
    torch._dynamo.reset()
