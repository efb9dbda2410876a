"""The ideal difference of pairs, against sets and loops."""

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pairloss import ideal_difference_from_metadata
from tests.oracles import ideal_difference

ITEMS = torch.arange(6)


@pytest.mark.parametrize("many", [False, True])
def test_equals_loops_over_sets(many):
    generator = torch.Generator().manual_seed(0)
    metadata = {
        "genre": torch.randint(3, (30,), generator=generator),
        "labels": torch.rand(30, 5, generator=generator) < 0.3,
        "counts": torch.randint(-1, 3, (30, 4), generator=generator),
        "column": torch.randint(2, (30, 1), generator=generator),
    }
    weights = {"genre": 0.1, "labels": 0.4, "counts": 0.3, "column": 0.2}
    positive = torch.randint(30, (50,), generator=generator)
    negative = torch.randint(30, (7, 50) if many else (50,), generator=generator)
    actual = ideal_difference_from_metadata(positive, negative, metadata, weights)
    rows = negative if many else negative[None]
    expected = [
        [ideal_difference(p, n, metadata, weights) for p, n in zip(positive.tolist(), row, strict=True)]
        for row in rows.tolist()
    ]
    assert actual.shape == negative.shape
    assert_close(actual, tensor(expected, dtype=torch.float64).reshape(negative.shape).float(), rtol=1e-7, atol=1e-7)
    assert ((actual >= 0) & (actual <= 1)).all()


def test_multi_hot_matches_by_what_is_shared():
    labels = tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    against_0 = ideal_difference_from_metadata(torch.zeros_like(ITEMS), ITEMS, {"genres": labels}, {"genres": 1.0})
    # itself; the same labels; one of three; none of three; none against two
    assert_close(against_0, 1 - tensor([1, 1, 1 / 3, 0, 0, 0]))
    empty = ideal_difference_from_metadata(tensor([4]), tensor([5]), {"genres": labels}, {"genres": 1.0})
    assert empty.tolist() == [1.0]  # two items without labels have nothing in common


def test_the_same_item_is_a_full_match():
    d = ideal_difference_from_metadata(ITEMS, ITEMS, {"genre": ITEMS}, {"genre": 0.25})
    assert d.tolist() == [0.0] * 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_default_dtype_rounded_once(dtype):
    torch.set_default_dtype(dtype)
    try:
        d = ideal_difference_from_metadata(
            ITEMS, ITEMS.roll(1), dict.fromkeys("abc", torch.zeros(6)), {"a": 0.1, "b": 0.2, "c": 0.3}
        )
    finally:
        torch.set_default_dtype(torch.float32)
    assert d.dtype == dtype
    assert_close(d, torch.full((6,), 1 - 0.1 - 0.2 - 0.3, dtype=torch.float64).to(dtype), rtol=0, atol=0)


def test_vmap_over_either_side_alone():
    table, weight = {"genre": torch.arange(6) % 2}, {"genre": 0.5}
    both = torch.stack([ITEMS, ITEMS.roll(2)])
    for place in (0, 1):
        sides = [ITEMS.roll(1), ITEMS.roll(1)]
        sides[place] = both
        actual = torch.func.vmap(
            lambda p, n: ideal_difference_from_metadata(p, n, table, weight),
            (0, None) if place == 0 else (None, 0),
        )(*sides)
        for row in (0, 1):
            pair = [ITEMS.roll(1), ITEMS.roll(1)]
            pair[place] = both[row]
            assert torch.equal(actual[row], ideal_difference_from_metadata(*pair, table, weight))


def test_no_metadata_is_no_credit():
    assert ideal_difference_from_metadata(ITEMS, ITEMS.roll(1), {}, {}).tolist() == [1.0] * 6
