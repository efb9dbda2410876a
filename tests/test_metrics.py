"""Metrics of ranked lists, against loops, ir_measures and scikit-learn."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from pairloss import Interactions, metrics
from pairloss.metrics import auc, ndcg, recall, top_k

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NAN, INF = math.nan, math.inf
SCORES = tensor([[0.4, 0.3, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4]])
HELD_OUT = tensor([[True, False, True, False], [False, True, False, False]])
EXCLUDE = tensor([[False, True, False, False], [False, False, False, True]])
EVERY = {
    "ndcg": lambda scores, held_out, exclude, **options: ndcg(scores, held_out, 2, exclude=exclude, **options),
    "recall": lambda scores, held_out, exclude, **options: recall(scores, held_out, 2, exclude=exclude, **options),
    "auc": lambda scores, held_out, exclude, **options: auc(scores, held_out, exclude=exclude, **options),
    "top_k": lambda scores, held_out, exclude: top_k(scores, 2, exclude=exclude),
}
MEANS = {name: EVERY[name] for name in ("ndcg", "recall", "auc")}
every_function = pytest.mark.parametrize("function", EVERY.values(), ids=EVERY)
every_metric = pytest.mark.parametrize("metric", MEANS.values(), ids=MEANS)


def by_loops(scores, held_out, excluded, k):
    """The list, NDCG@k, Recall@k and AUC of one user, from plain numbers."""
    items = [i for i in range(len(scores)) if not excluded[i]]
    items.sort(key=lambda i: (-scores[i], i))
    liked, others = [i for i in items if held_out[i]], [i for i in items if not held_out[i]]
    ids = [*items[:k], *[-1] * (k - len(items))]
    if not liked:
        return ids, NAN, NAN, NAN
    gain = sum(1 / math.log2(2 + place) for place, i in enumerate(items[:k]) if held_out[i])
    best = sum(1 / math.log2(2 + place) for place in range(min(k, len(liked))))
    hits = sum(held_out[i] for i in items[:k])
    right = sum((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for i in liked for j in others)
    return ids, gain / best, hits / len(liked), right / (len(liked) * len(others)) if others else NAN


def mean(values):
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values) if values else NAN


def interactions(table):
    """The table in the other form, in falling order and each choice twice."""
    users, items = table.nonzero().flip(0).repeat(2, 1).T
    return Interactions(users, items, *table.shape)


@st.composite
def cases(draw):
    """Scores with many ties, what is held out and excluded, k. With so few items some users have none, some all."""
    num_users, num_items = draw(st.integers(0, 4)), draw(st.integers(0, 6))

    def table(values, dtype):
        size = num_users * num_items
        return tensor(draw(st.lists(values, min_size=size, max_size=size)), dtype=dtype).reshape(num_users, num_items)

    scores = table(st.sampled_from([-INF, -65504, -1, -0.0, 0.0, 0.5, 1, INF]), draw(st.sampled_from(FLOATS)))
    held_out, exclude = (table(st.booleans(), torch.bool) for _ in range(2))
    return scores, held_out, exclude, draw(st.integers(1, 8))


@settings(max_examples=100)
@given(case=cases(), data=st.data())
def test_everything_equals_loops_in_every_form_and_for_every_size_of_a_piece(case, data):
    scores, held_out, exclude, k = case
    excluded = exclude if data.draw(st.booleans()) else None
    rows = [table.tolist() for table in (scores, held_out, exclude if excluded is not None else exclude & False)]
    ids, *expected = zip(*[by_loops(*row, k) for row in zip(*rows, strict=True)], strict=True) if rows[0] else [()] * 4
    if excluded is not None:
        scores = scores.masked_fill(excluded, data.draw(st.sampled_from([NAN, INF, 0])))
        excluded = data.draw(st.sampled_from([excluded, interactions(excluded)]))
    held_out = data.draw(st.sampled_from([held_out, interactions(held_out)]))
    asked = data.draw(st.sampled_from([scores, scores.__getitem__]))
    calls = [
        lambda **options: ndcg(asked, held_out, k, exclude=excluded, **options),
        lambda **options: recall(asked, held_out, k, exclude=excluded, **options),
        lambda **options: auc(asked, held_out, exclude=excluded, **options),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "PIECE", data.draw(st.integers(1, 30)))
        for call, values in zip(calls, expected, strict=True):
            for result, value in ((call(reduction="none"), values), (call(), mean(values))):
                assert_close(result, tensor(value, dtype=torch.float64), rtol=1e-14, atol=0, equal_nan=True)
        found = top_k(scores if excluded is None else asked, k, exclude=excluded)
    assert (found.dtype, found.shape) == (torch.int64, (len(scores), k))
    assert found.tolist() == list(ids)


@pytest.mark.parametrize("k", [1, 10, 70])
def test_equal_scores_stand_by_their_ids_in_long_lists_too(k):
    scores = torch.randint(5, (20, 300), generator=torch.Generator().manual_seed(0)).float()
    assert_close(top_k(scores, k), scores.argsort(dim=1, descending=True, stable=True)[:, :k])


def lists(seed, num_users=40, num_items=60):
    """Scores, what was held out, nothing for some users, and what was trained on, a little of it held out too."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(num_users, num_items, generator=generator, dtype=torch.float64) - 3
    held_out = torch.rand(num_users, num_items, generator=generator) < 0.1
    held_out[0], held_out[1] = False, torch.arange(num_items) < 25
    return scores, held_out, torch.rand(num_users, num_items, generator=generator) < 0.3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_ndcg_and_recall_are_those_of_ir_measures(seed, k):
    ir_measures = pytest.importorskip("ir_measures")
    scores, held_out, exclude = lists(seed)
    run = [ir_measures.ScoredDoc(str(u), str(i), scores[u, i].item()) for u, i in (~exclude).nonzero().tolist()]
    qrels = [ir_measures.Qrel(str(u), str(i), 1) for u, i in (held_out & ~exclude).nonzero().tolist()]
    measures = [ir_measures.nDCG @ k, ir_measures.R @ k]
    expected = ir_measures.calc_aggregate(measures, qrels, run)
    found = [metric(scores, held_out, k, exclude=exclude).item() for metric in (ndcg, recall)]
    assert found == pytest.approx([expected[measure] for measure in measures], abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_that_of_scikit_learn(ties):
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, held_out, exclude = lists(3)
    scores = scores.round() if ties else scores
    each = auc(scores, held_out, exclude=exclude, reduction="none")
    for user, value in enumerate(each):
        if (held_out & ~exclude)[user].any():
            left = ~exclude[user]
            assert value.item() == pytest.approx(
                sklearn.roc_auc_score(held_out[user][left], scores[user][left]), abs=1e-12
            )
        else:
            assert value.isnan()
    assert auc(scores, held_out, exclude=exclude).item() == pytest.approx(mean(each.tolist()), abs=1e-12)


def test_the_defaults_are_ten_places():
    scores, held_out, exclude = lists(0)
    assert ndcg(scores, held_out, exclude=exclude) == ndcg(scores, held_out, 10, exclude=exclude)
    assert recall(scores, held_out, exclude=exclude) == recall(scores, held_out, 10, exclude=exclude)
    assert top_k(scores, exclude=exclude).equal(top_k(scores, 10, exclude=exclude))


@pytest.mark.parametrize("dtype", FLOATS)
def test_equal_scores_rank_by_item_id(dtype):
    """Also a zero of either sign, and many items: short lists are sorted in other ways than long ones."""
    assert top_k(tensor([[0.0, -0.0, 1.0, 0.0, -0.0, 1.0]], dtype=dtype), 6).tolist() == [[2, 5, 0, 1, 3, 4]]
    scores = torch.arange(5000) % 2
    expected = [*range(1, 5000, 2), *range(0, 5000, 2)]
    assert top_k(scores.to(dtype).unsqueeze(0), 5000).tolist() == [expected]


@every_function
def test_a_function_is_asked_for_few_users_at_a_time_and_without_gradients(function, monkeypatch):
    model, asked = SCORES.clone().requires_grad_(), []

    def score(users):
        assert not torch.is_grad_enabled()
        assert users.dtype == torch.int64
        asked.append(users.tolist())
        return model[users]

    for piece, expected in ((8, [[0, 1]]), (7, [[0], [1]]), (1, [[0], [1]])):
        monkeypatch.setattr(metrics, "PIECE", piece)
        asked.clear()
        result = function(score, HELD_OUT, EXCLUDE)
        assert asked == expected
        assert not result.requires_grad
        assert_close(result, function(SCORES, HELD_OUT, EXCLUDE), rtol=1e-15, atol=0)
    assert not function(model, HELD_OUT, EXCLUDE).requires_grad
    function(score, HELD_OUT[:0], EXCLUDE[:0])
    assert asked == expected, "no users, and nothing to ask"


def test_about_a_million_scores_are_worked_on_at_a_time():
    asked = []

    def score(users):
        asked.append(len(users))
        return torch.zeros(len(users), 2**19)

    top_k(score, 1, exclude=torch.zeros(3, 2**19, dtype=torch.bool))
    assert asked == [2, 1]


@every_function
def test_nothing_is_modified(function):
    originals = SCORES.clone(), HELD_OUT.clone(), EXCLUDE.clone()
    answer = SCORES.clone()
    function(SCORES, HELD_OUT, EXCLUDE)
    function(lambda users: answer, HELD_OUT, EXCLUDE)
    assert all(now.equal(before) for now, before in zip((SCORES, HELD_OUT, EXCLUDE), originals, strict=True))
    assert answer.equal(SCORES)


@every_function
def test_the_default_device_and_dtype_do_not_matter(function):
    users, items = EXCLUDE.nonzero().T
    expected = function(SCORES, HELD_OUT, EXCLUDE)
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"):
            exclude = Interactions(users, items, 2, 4)
            results = [function(SCORES, HELD_OUT, EXCLUDE), function(SCORES.__getitem__, HELD_OUT, exclude)]
    finally:
        torch.set_default_dtype(dtype)
    for result in results:
        assert_close(result, expected, rtol=0, atol=0)


@every_metric
def test_results_are_float64_where_there_is_float64(metric):
    assert metric(SCORES.half(), HELD_OUT, EXCLUDE).dtype == torch.float64
    there = [table.to("meta") for table in (SCORES.double(), HELD_OUT, EXCLUDE)]
    for reduction, shape in (("mean", ()), ("none", (2,))):
        result = metric(*there, reduction=reduction)
        assert (result.device.type, result.dtype, result.shape) == ("meta", torch.float64, shape)


WRONG = [
    (torch.Tensor.int, TypeError, "{} must be bool, got torch.int32"),
    (torch.Tensor.tolist, TypeError, "{} must be a torch.Tensor or pairloss.Interactions, got list"),
    (torch.Tensor.to_sparse, TypeError, "{} must be a dense tensor, got torch.sparse_coo"),
    (lambda table: table[:1], ValueError, r"{} has shape \[1, 4\] beside scores \[2, 4\]; expected \[2, 4\]"),
    (torch.t, ValueError, r"{} has shape \[4, 2\] beside scores \[2, 4\]; expected \[2, 4\]$"),
    (lambda table: interactions(table[:, :3]), ValueError, r"{} has shape \[2, 3\] beside scores \[2, 4\]; expected"),
    (lambda table: table.to("meta"), ValueError, "{} is on meta but scores on cpu; move one to the other"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG)
def test_errors_of_what_was_chosen(change, error, message):
    for name, functions in (("held_out", MEANS), ("exclude", EVERY)):
        tables = {"held_out": HELD_OUT, "exclude": EXCLUDE}
        tables[name] = change(tables[name])
        for function in functions.values():
            with pytest.raises(error, match=f"^{message.format(name)}"):
                function(SCORES, **tables)


@every_metric
def test_errors_of_nothing_held_out(metric):
    with pytest.raises(TypeError, match=r"held_out must be a torch.Tensor or pairloss.Interactions, got NoneType"):
        metric(SCORES, None, EXCLUDE)
    with pytest.raises(ValueError, match=r"held_out has shape \[8\]; expected two dimensions, \[U, N\]"):
        metric(SCORES.__getitem__, HELD_OUT.reshape(-1), EXCLUDE)
    with pytest.raises(ValueError, match=r"exclude has shape \[1, 4\] beside held_out \[2, 4\]; expected \[2, 4\]"):
        metric(SCORES.__getitem__, HELD_OUT, EXCLUDE[:1])


HOLE = SCORES.clone()
HOLE[1, 2] = NAN
SCORING = [
    ([[0.1]], TypeError, "scores must be a torch.Tensor or a function from user ids to scores, got list"),
    (SCORES.int(), TypeError, r"scores must be floating \(.*\), got torch.int32"),
    (SCORES.reshape(-1), ValueError, r"scores has shape \[8\]; expected two dimensions, \[U, N\]"),
    (HOLE, ValueError, "scores hold NaN for user 1; expected a number for each item that is not excluded"),
    (HOLE.__getitem__, ValueError, "scores hold NaN for user 1; expected a number"),
    (lambda users: [0.1], TypeError, r"scores\(users\) must be a torch.Tensor, got list"),
    (lambda users: users, TypeError, r"scores\(users\) must be floating \(.*\), got torch.int64"),
    (lambda users: SCORES[users, 0], ValueError, r"scores\(users\) has shape \[2\] .*; expected \[2, 4\]"),
    (lambda users: SCORES[users].to("meta"), ValueError, r"scores\(users\) is on meta but users on cpu; move one"),
]


@every_function
@pytest.mark.parametrize(("scores", "error", "message"), SCORING)
def test_errors_of_scores(function, scores, error, message):
    with pytest.raises(error, match=f"^{message}"):
        function(scores, HELD_OUT, EXCLUDE)


def test_errors_of_k():
    for call in (partial(ndcg, SCORES, HELD_OUT), partial(recall, SCORES, HELD_OUT), partial(top_k, SCORES)):
        with pytest.raises(ValueError, match=r"^k was 0; expected at least 1$"):
            call(0)
        with pytest.raises(TypeError, match=r"^k must be an int, got float$"):
            call(1.5)


@every_metric
def test_errors_of_a_reduction(metric):
    with pytest.raises(ValueError, match=r"^reduction was 'sum'; expected one of 'mean', 'none'$"):
        metric(SCORES, HELD_OUT, EXCLUDE, reduction="sum")
    with pytest.raises(TypeError, match=r"^reduction must be one of 'mean', 'none', got NoneType$"):
        metric(SCORES, HELD_OUT, EXCLUDE, reduction=None)


def test_a_function_alone_does_not_say_how_many_users_there_are():
    message = r"^exclude was None; to rank by a function, give what to exclude, \[U, N\], for its shape$"
    with pytest.raises(ValueError, match=message):
        top_k(SCORES.__getitem__)
    assert top_k(SCORES.__getitem__, 2, exclude=EXCLUDE & False).equal(top_k(SCORES, 2))
