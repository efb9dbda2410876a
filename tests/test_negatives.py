"""The functions that choose a negative, against loops."""

import pytest
import torch
from torch import tensor

from pairloss import adaptive_hinge_loss, first_violation, hardest_negatives, sample_negatives, semi_hard_negatives


def draw(seed, k, b):
    """Margins in halves, so that ties and exact zeros occur, and a mask that leaves one pair with nothing."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(k, b, generator=generator) < 0.5) & (torch.arange(b) != 1)
    return torch.randint(-4, 5, (k, b), generator=generator) / 2, mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7, 2**15, 40_000])
def test_first_violation_equals_a_loop(k, masked):
    margins, mask = draw(k, k, 12)
    if k > 7:  # violations only late, past the range of 16-bit integers
        margins[: k - 5] = -1
    index, tries, found = first_violation(margins, mask if masked else None)
    for b, column in enumerate(margins.T.tolist()):
        real = [i for i in range(k) if not masked or mask[i, b]]
        hits = [i for i in real if column[i] > 0]
        assert found[b].item() == bool(hits)
        assert index[b].item() == (hits[0] if hits else k - 1)
        assert tries[b].item() == (real.index(hits[0]) + 1 if hits else len(real))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_hardest_negatives_equals_a_loop(k, masked):
    scores, mask = draw(k, k, 12)
    index = hardest_negatives(scores, mask if masked else None)
    assert index.dtype == torch.int64
    for b, column in enumerate(scores.T.tolist()):
        real = [i for i in range(k) if not masked or mask[i, b]]
        assert index[b].item() == (max(real, key=lambda i: column[i]) if real else 0)


def test_indices_carry_no_gradient():
    scores = torch.randn(3, 4, requires_grad=True)
    assert not hardest_negatives(scores).requires_grad
    assert not any(part.requires_grad for part in first_violation(scores))


def test_a_nan_is_chosen():
    column = tensor([[1.0], [float("nan")], [2.0]])
    assert hardest_negatives(column).tolist() == [1]
    assert first_violation(column - 5)[0].tolist() == [1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_semi_hard_negatives_equal_a_loop(k, masked):
    scores, mask = draw(k, k, 40)
    positive = torch.randint(-5, 6, (40,), generator=torch.Generator().manual_seed(1)) / 2
    index = semi_hard_negatives(positive, scores, mask if masked else None)
    for b, column in enumerate(scores.T.tolist()):
        real = [i for i in range(k) if not masked or mask[i, b]]
        below = [i for i in real if column[i] < positive[b]]
        expected = max(below, key=lambda i: column[i]) if below else min(real, key=lambda i: column[i], default=0)
        assert index[b].item() == expected


def test_semi_hard_agrees_with_pytorch_metric_learning_on_what_is_semi_hard():
    # Its miner keeps every triplet whose negative lies within a margin below the positive; ours is the best of them.
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    points = torch.nn.functional.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    labels = tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    cosine = distances.CosineSimilarity()
    anchors, positives, negatives = miners.TripletMarginMiner(10.0, "semihard", distance=cosine)(points, labels)
    similar = points @ points.T
    chosen = semi_hard_negatives(similar[0, 1:2], similar[0, 2:, None]).item() + 2
    theirs = negatives[(anchors == 0) & (positives == 1)]
    assert len(theirs) > 1
    assert similar[0, chosen] == similar[0, theirs].max()


def test_in_batch_negatives_need_no_function_of_their_own():
    """Scores U·Vᵀ: the other positives of the batch are the negatives, the accidental positives masked."""
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)
    user_ids, item_ids = tensor([0, 0, 1, 2, 3, 3]), tensor([4, 5, 4, 6, 5, 7])
    known = torch.zeros(4, 8, dtype=torch.bool).index_put((user_ids, item_ids), tensor(True))
    scores = items @ users.T  # [K, B] with K = B: row k is the item of pair k, column b the user of pair b
    real = ~known[user_ids, item_ids.unsqueeze(1)]
    loss = adaptive_hinge_loss(scores.diagonal(), scores, negative_mask=real, reduction="none")
    for b in range(6):
        candidates = [k for k in range(6) if not known[user_ids[b], item_ids[k]]]
        hardest = max(float(scores[k, b]) for k in candidates)
        term = max(0.0, 1 - float(scores[b, b]) + hardest)
        assert loss[b].item() == pytest.approx(term + term**2, rel=1e-5)


def interactions(seed, users=7, items=9):
    """Dense interactions in which user 2 has none and user 3 all but one."""
    dense = torch.rand(users, items, generator=torch.Generator().manual_seed(seed)) < 0.4
    dense[2], dense[3] = False, True
    dense[3, 5] = False
    return dense


@pytest.mark.parametrize("form", ["bool", "float", "sparse", "uncoalesced"])
def test_samples_are_uniform_over_what_is_left(form):
    dense = interactions(0)
    given = {
        "bool": dense,
        "float": dense.float(),
        "sparse": dense.to_sparse(),
        "uncoalesced": torch.sparse_coo_tensor(
            dense.nonzero().T.repeat(1, 2), torch.ones(2 * int(dense.sum())), dense.shape, check_invariants=True
        ),
    }[form]
    users = torch.arange(7).repeat(40)
    drawn = sample_negatives(users, given, 300, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (300, 280)
    assert drawn.dtype == torch.int64
    counts = torch.zeros(7, 9).index_put((users.expand(300, -1), drawn), torch.ones(()), accumulate=True)
    assert (counts[dense] == 0).all()
    for user in range(7):
        left = counts[user, ~dense[user]]
        expected = 12_000 / len(left)
        # χ² with at most 8 degrees of freedom exceeds 30 with probability 2e-4; the draws are seeded.
        assert ((left - expected) ** 2 / expected).sum() < 30


def test_samples_equal_the_list_of_what_is_left():
    """The same random numbers, looked up in a plain list of the items that a user does not know."""
    dense = interactions(1)
    users = torch.randint(7, (50,), generator=torch.Generator().manual_seed(2))
    drawn = sample_negatives(users, dense, 4, generator=torch.Generator().manual_seed(3))
    uniform = torch.rand(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for k in range(4):
        for b, user in enumerate(users.tolist()):
            left = [item for item in range(9) if not dense[user, item]]
            assert drawn[k, b].item() == left[int(uniform[k, b] * len(left))]


def test_sampling_edges():
    assert sample_negatives(tensor([], dtype=torch.int64), interactions(0), 2).shape == (2, 0)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    assert set(sample_negatives(tensor([0, 1]), nothing, 200).flatten().tolist()) == set(range(5))
    before = interactions(0).to_sparse()
    sample_negatives(tensor([0]), before, 1)
    assert torch.equal(before.to_dense(), interactions(0))


SAMPLING_ERRORS = {
    "a user who knows everything": (
        lambda: sample_negatives(tensor([1, 0]), torch.eye(2, 1).bool(), 1),
        ValueError,
        "positive_users holds 0, who has interacted with every item; expected one item left",
    ),
    "a user without a row": (
        lambda: sample_negatives(tensor([0, 7]), interactions(0), 1),
        ValueError,
        "positive_users holds ids from 0 to 7; expected 0 to 6, the rows of interactions",
    ),
    "float users": (lambda: sample_negatives(torch.zeros(2), interactions(0), 1), TypeError, "must be integer ids"),
    "users [B, 1]": (
        lambda: sample_negatives(tensor([[0]]), interactions(0), 1),
        ValueError,
        r"positive_users has shape \[1, 1\] and interactions \[7, 9\]; expected \[B\] and \[U, N\]",
    ),
    "no interactions": (
        lambda: sample_negatives(tensor([0]), None, 1),
        TypeError,
        "interactions must be a torch.Tensor",
    ),
    "K = 0": (
        lambda: sample_negatives(tensor([0]), interactions(0), 0),
        ValueError,
        "num_negatives was 0; expected at",
    ),
    "K a float": (lambda: sample_negatives(tensor([0]), interactions(0), 1.0), TypeError, "must be an int, got float"),
    "two devices": (
        lambda: sample_negatives(tensor([0]), interactions(0).to("meta"), 1),
        ValueError,
        "interactions is on meta but positive_users on cpu",
    ),
    "hardest: mask": (
        lambda: hardest_negatives(torch.zeros(3, 2), torch.ones(2, 3).bool()),
        ValueError,
        r"negative_mask has shape \[2, 3\] beside many_negative_scores \[3, 2\]",
    ),
    "semi-hard: shapes": (
        lambda: semi_hard_negatives(torch.zeros(3), torch.zeros(3, 2)),
        ValueError,
        r"many_negative_scores has shape \[3, 2\] beside positive_scores \[3\]",
    ),
}


@pytest.mark.parametrize("case", SAMPLING_ERRORS)
def test_sampling_error(case):
    call, error, message = SAMPLING_ERRORS[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sampling_on_the_gpu_does_not_wait():
    known = interactions(0).to_sparse().cuda()
    users = torch.arange(7, device="cuda")
    sample_negatives(users, known, 3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn = sample_negatives(users, known, 50)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not interactions(0)[users.cpu().expand(50, -1), drawn.cpu()].any()
