"""The functions that choose and sample negatives, against loops."""

from fractions import Fraction
from functools import partial

import pytest
import torch
from torch import tensor

from pairloss import (
    Interactions,
    adaptive_hinge_loss,
    choose_first_violation,
    choose_hardest,
    choose_semi_hard,
    sample_negatives,
    take_negatives,
)
from pairloss.tensors import INTEGERS
from tests.cases import quietly


def draw(seed, k, b):
    """Margins in halves, so that ties and exact zeros occur, and a mask that leaves one pair with nothing."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(k, b, generator=generator) < 0.5) & (torch.arange(b) != 1)
    return torch.randint(-4, 5, (k, b), generator=generator) / 2, mask


def largest(scores, real):
    return max(real, key=lambda k: scores[k], default=0)


def best_below(positive, scores, real):
    below = [k for k in real if scores[k] < positive]
    return largest(scores, below) if below else min(real, key=lambda k: scores[k], default=0)


def search(margins, real):
    hits = [k for k in real if margins[k] > 0]
    return hits[0] if hits else len(margins) - 1, real.index(hits[0]) + 1 if hits else len(real), bool(hits)


def check_choice(choose, loop, scores, mask):
    """Each column is chosen from as the loop does, which gets the rows that are real."""
    chosen = choose(scores, mask)
    columns = (torch.ones_like(scores) if mask is None else mask).T.tolist()
    for b, (column, is_real) in enumerate(zip(scores.T.tolist(), columns, strict=True)):
        real = [k for k in range(len(scores)) if is_real[k]]
        found = tuple(part[b].item() for part in chosen) if isinstance(chosen, tuple) else chosen[b].item()
        assert found == loop(b, column, real)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7, 2**15 - 1, 2**15, 40_000])
def test_first_violation_equals_a_loop(k, masked):
    margins, mask = draw(k, k, 12)
    if k > 7:  # violations only late, past the range of 16-bit integers
        margins[: k - 5] = -1
    check_choice(choose_first_violation, lambda b, *column: search(*column), margins, mask if masked else None)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_hardest_and_semi_hard_negatives_equal_a_loop(k, masked):
    scores, mask = draw(k, k, 40)
    mask = mask if masked else None
    positive = torch.randint(-5, 6, (40,), generator=torch.Generator().manual_seed(1)) / 2
    assert choose_hardest(scores, mask).dtype == torch.int64
    check_choice(choose_hardest, lambda b, *column: largest(*column), scores, mask)
    check_choice(partial(choose_semi_hard, positive), lambda b, *column: best_below(positive[b], *column), scores, mask)


@pytest.mark.parametrize("b", [1000, 1024, 2048])  # the last two walk in steps of 4096 bytes
@pytest.mark.parametrize("odd", [None, float("inf"), -float("inf"), float("nan")])
def test_many_hardest_negatives_are_those_that_numpy_finds(b, odd):
    scores, mask = draw(b, 140, b)
    if odd is not None:
        scores[3, ::3] = scores[7, ::3] = scores[:, 5] = odd
        scores[2, ::3] = float("inf")
    assert choose_hardest(scores).tolist() == scores.numpy().argmax(0).tolist()  # the first of equals, a NaN above all
    lowest = scores.clamp(min=-1e30).masked_fill(~mask, -float("inf"))
    assert choose_hardest(scores, mask).tolist() == lowest.numpy().argmax(0).tolist()
    both = torch.stack([scores, scores.flip(0)])
    assert torch.func.vmap(choose_hardest)(both).tolist() == both.numpy().argmax(1).tolist()


def test_indices_carry_no_gradient():
    scores = torch.randn(3, 4, requires_grad=True)
    assert not choose_hardest(scores).requires_grad
    assert not any(part.requires_grad for part in choose_first_violation(scores))


def test_a_nan_is_chosen():
    column = tensor([[1.0], [float("nan")], [2.0]])
    assert choose_hardest(column).tolist() == [1]
    assert choose_first_violation(column - 5)[0].tolist() == [1]


def test_semi_hard_agrees_with_pytorch_metric_learning_on_what_is_semi_hard():
    # Its miner keeps every triplet whose negative lies within a margin below the positive. Ours is the best of them.
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    points = torch.nn.functional.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    labels = tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    cosine = distances.CosineSimilarity()
    anchors, positives, negatives = miners.TripletMarginMiner(10.0, "semihard", distance=cosine)(points, labels)
    similar = points @ points.T
    chosen = choose_semi_hard(similar[0, 1:2], similar[0, 2:, None]).item() + 2
    theirs = negatives[(anchors == 0) & (positives == 1)]
    assert len(theirs) > 1
    assert similar[0, chosen] == similar[0, theirs].max()


def interactions(seed, users=7, items=9):
    """Dense interactions in which user 2 has none and user 3 all but one."""
    dense = torch.rand(users, items, generator=torch.Generator().manual_seed(seed)) < 0.4
    dense[2], dense[3] = False, True
    dense[3, 5] = False
    return dense


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_choices_take_any_shape_column_by_column(shape, masked, first):
    """Also where the batch comes first."""
    scores, mask = draw(0, 7, torch.Size(shape).numel())
    mask = mask if masked else None
    positive = scores[0] / 2 + 0.25
    expected = [choose_hardest(scores, mask), choose_semi_hard(positive, scores, mask)]
    expected += choose_first_violation(scores, mask)
    many, real = (part if part is None else part.reshape(7, *shape) for part in (scores, mask))
    many, real = (part.movedim(0, -1) if first and part is not None else part for part in (many, real))
    found = [choose_hardest(many, real, batch_first=first)]
    found += [choose_semi_hard(positive.reshape(shape), many, real, batch_first=first)]
    found += choose_first_violation(many, real, batch_first=first)
    assert all(torch.equal(ours, theirs.reshape(shape)) for ours, theirs in zip(found, expected, strict=True))
    taken = take_negatives(many, found[0], batch_first=first)
    assert masked or torch.equal(taken, many.amax(-1 if first else 0))


def as_csr(dense):
    """As scipy hands it over: indices of 32 bits, columns in no order, one entry twice."""
    rows = [row.nonzero().flatten().flip(0).tolist() for row in dense]
    rows[0] = rows[0] + rows[0][:1]
    ends = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    columns = torch.tensor([column for row in rows for column in row])
    parts = ends.int(), columns.int(), torch.ones(len(columns))
    return quietly(lambda: torch.sparse_csr_tensor(*parts, size=dense.shape, check_invariants=False))


def forms(dense):
    """The table in every form that may be sampled from."""
    pairs, twice = dense.nonzero(), torch.ones(2 * int(dense.sum()))
    return {
        "bool": dense,
        "csr": as_csr(dense),
        "interactions": Interactions(*pairs.flip(0).T, *dense.shape),
        "float": dense.float(),
        "sparse": dense.to_sparse(),
        "uncoalesced": torch.sparse_coo_tensor(pairs.T.repeat(1, 2), twice, dense.shape, check_invariants=True),
    }


@pytest.mark.parametrize("form", forms(interactions(1)))
def test_samples_equal_the_list_of_what_is_left(form):
    """The same random numbers, looked up in a plain list of the items that a user does not know."""
    dense = interactions(1)
    users = torch.randint(7, (50,), generator=torch.Generator().manual_seed(2))
    drawn = sample_negatives(users, forms(dense)[form], 4, generator=torch.Generator().manual_seed(3))
    assert (drawn.shape, drawn.dtype) == ((4, 50), torch.int64)
    uniform = torch.rand(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for k in range(4):
        for b, user in enumerate(users.tolist()):
            left = [item for item in range(9) if not dense[user, item]]
            assert drawn[k, b].item() == left[int(uniform[k, b] * len(left))]


WEIGHTS = {
    "whole": [3, 0, 1, 0, 7, 2, 1, 5, 4],
    "powers": [1.0, 2.0**-10, 0.0, 2.0**10, 1.0, 0.25, 3.0, 2.0**-20, 2.0],
    "tiny beside large": [1e300, 1.0, 0.0, 1e300, 0.0, 2e300, 1e-300, 1e300, 1e300],
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weighted_samples_equal_a_walk_through_the_list_of_what_is_left(weights):
    """The same random numbers, looked up by adding weights of unknown items until they pass the number."""
    dense, weights = interactions(1), WEIGHTS[weights]
    weights[int((~dense[3]).nonzero())] = weights[4] or 1  # one user has a single item left
    users = torch.randint(7, (60,), generator=torch.Generator().manual_seed(2))
    given = tensor(weights, dtype=torch.float64)
    drawn = sample_negatives(users, dense, 40, weights=given, generator=torch.Generator().manual_seed(3))
    uniform = torch.rand(40, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    total = sum(Fraction(w) for w in weights)
    whole = [max(round(Fraction(w) / total * 2**52), int(w > 0)) for w in weights]
    for k in range(40):
        for b, user in enumerate(users.tolist()):
            left = [item for item in range(9) if not dense[user, item] and weights[item]]
            r = uniform[k, b].item() * sum(whole[item] for item in left)
            for item in left:
                r -= whole[item]
                if r < 0:
                    break
            if drawn[k, b].item() != item:  # up to the last bit of r, which may round to the next item
                assert abs(r) <= 4 or abs(r + whole[item]) <= 4
            assert drawn[k, b].item() in left


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32, torch.uint8, torch.uint64])
def test_equal_weights_of_any_dtype_draw_like_none(dtype):
    users, given = torch.arange(7).repeat(9), {"num_negatives": 50, "interactions": interactions(0)}
    plain, equal = (
        sample_negatives(users, **given, weights=weights, generator=torch.Generator().manual_seed(1))
        for weights in (None, torch.full((9,), 3).to(dtype))
    )
    assert (plain == equal).double().mean() > 0.999  # apart from the last bit of a boundary


def test_weights_that_leave_a_user_nothing():
    dense = torch.tensor([[True, False, False], [False, False, True]])
    weights = tensor([2.0, 0.0, 0.0])
    drawn, real = sample_negatives(tensor([0, 1]), dense, 5, weights=weights, return_mask=True)
    assert drawn.tolist() == [[0, 0]] * 5
    assert real.tolist() == [[False, True]] * 5
    for given, table in ((weights, dense), (weights[:0], dense[:, :0])):
        with pytest.raises(ValueError, match="holds 0, who has interacted with every item"):
            sample_negatives(tensor([0, 1]), table, 5, weights=given)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_users_of_every_integer_dtype(dtype):
    users = torch.arange(7)
    expected = sample_negatives(users, interactions(0), 4, generator=torch.Generator().manual_seed(1))
    actual = sample_negatives(users.to(dtype), interactions(0), 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("weights", [None, tensor([5, 1, 2, 1, 3, 8, 1, 4, 2])])
def test_a_compiled_function_may_sample(weights):
    """In one graph for any number of users, it draws what the dense table gives, from the same random numbers."""
    dense, graphs = interactions(0), []
    chosen = Interactions(*dense.nonzero().flip(0).T, 7, 9)
    assert chosen.most_of_a_user == dense.sum(1).max()  # read before: a graph cannot wait for it

    def counting(graph, inputs):
        graphs.append(graph)
        return graph

    @torch.compile(fullgraph=True, dynamic=True, backend=counting)
    def draw(users):
        return sample_negatives(users, chosen, 5, weights=weights, return_mask=True, batch_first=True)

    for size in (50, 33, 7):
        users = torch.arange(size) % 7
        torch.manual_seed(size)
        drawn = draw(users)
        torch.manual_seed(size)
        expected = sample_negatives(users, dense, 5, weights=weights, return_mask=True, batch_first=True)
        assert all(map(torch.equal, drawn, expected))
    assert len(graphs) == 1


def test_a_user_who_has_everything_need_not_fail_the_batch():
    dense = interactions(0)
    dense[1] = True
    users = tensor([0, 1, 3, 1])
    options = {"generator": torch.Generator().manual_seed(0)}
    drawn, real = sample_negatives(users, dense, 5, return_mask=True, **options)
    assert torch.equal(real, tensor([True, False, True, False]).expand(5, 4))
    assert (drawn[:, [1, 3]] == 0).all()
    assert not dense[users.expand(5, -1), drawn][real].any()
    # The others get what they would have got without the mask, and the loss leaves the pair out.
    options = {"generator": torch.Generator().manual_seed(0)}
    without = sample_negatives(tensor([0, 2, 3, 2]), dense, 5, **options)
    assert torch.equal(drawn[:, [0, 2]], without[:, [0, 2]])
    loss = adaptive_hinge_loss(torch.zeros(4), torch.zeros(5, 4), negative_mask=real, reduction="none")
    assert loss.tolist() == [2.0, 0.0, 2.0, 0.0]


def test_interactions_give_their_matrix():
    pairs = tensor([1, 0, 1, 1]), tensor([2, 0, 2, 1])
    chosen = Interactions(*pairs, num_users=2, num_items=4)
    assert chosen.matrix.is_coalesced()
    assert chosen.matrix.to_dense().tolist() == [[1, 0, 0, 0], [0, 1, 2, 0]]
    assert chosen.matrix is chosen.matrix
    assert (chosen.titles, chosen.genres, chosen.utilities, chosen.times) == (None, None, None, None)
    assert chosen.name == "interactions"
    times = tensor([4, -3, 2, 1])
    assert Interactions(*pairs, num_users=2, num_items=4, times=times).times is times
    assert Interactions(pairs[0].to(torch.uint32), pairs[1].to(torch.uint8), 2, 4).matrix.indices().dtype == torch.int64
    empty = torch.zeros(0, dtype=torch.int64)
    assert Interactions(empty, empty, 0, 0).matrix.shape == (0, 0)


def test_sampling_edges():
    assert sample_negatives(tensor([], dtype=torch.int64), interactions(0), 2).shape == (2, 0)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    assert set(sample_negatives(tensor([0, 1]), nothing, 200).flatten().tolist()) == set(range(5))
    before = interactions(0).to_sparse()
    sample_negatives(tensor([0]), before, 1)
    assert torch.equal(before.to_dense(), interactions(0))
