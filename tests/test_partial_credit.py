"""The ideal difference of pairs, against sets and loops."""

import math

import numpy
import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pairloss import ideal_difference_from_metadata
from pairloss.tensors import FLOATS
from tests.oracles import ideal_difference

ITEMS = torch.arange(6)


def by_loops(positive, negative, metadata, weights):
    ids = (part.flatten().tolist() for part in torch.broadcast_tensors(positive, negative))
    metadata = {name: table.tolist() for name, table in metadata.items()}
    expected = [ideal_difference(p, n, metadata, weights) for p, n in zip(*ids, strict=True)]
    return tensor(expected, dtype=torch.float64).reshape(negative.shape)


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


@pytest.mark.parametrize("kinds", [1, 2, 7, 8, 12])
@pytest.mark.parametrize("labels", [False, True])
def test_any_number_of_kinds_is_rounded_once(kinds, labels):
    generator = torch.Generator().manual_seed(kinds)
    metadata = {f"kind {k}": torch.randint(2, (30,), generator=generator) for k in range(kinds)}
    weights = dict.fromkeys(metadata, 0.7 / kinds)
    if labels:  # between the others, as a dict may have them
        metadata = {"labels": torch.rand(30, 5, generator=generator) < 0.5} | metadata
        weights["labels"] = 0.3
    items = torch.randint(30, (2, 400), generator=generator)
    expected = by_loops(*items, metadata, weights)
    assert len(expected.unique()) >= min(kinds + 2, 10)  # few matches, many, and the same item
    d = ideal_difference_from_metadata(*items, metadata, weights)
    # Once: no further from the exact sum than the nearest float32, but for the last digit of a float64.
    assert ((d.double() - expected).abs() <= (expected.float().double() - expected).abs() + 1e-15).all()


def test_vmap_over_either_side_alone():
    credit = {"genre": torch.arange(6) % 2}, {"genre": 0.5}
    both, one = torch.stack([ITEMS, ITEMS.roll(2)]), ITEMS.roll(1)
    for sides, dims in (((both, one), (0, None)), ((one, both), (None, 0))):
        actual = torch.func.vmap(lambda p, n: ideal_difference_from_metadata(p, n, *credit), dims)(*sides)
        pairs = zip(*torch.broadcast_tensors(*sides), strict=True)
        assert torch.equal(actual, torch.stack([ideal_difference_from_metadata(*pair, *credit) for pair in pairs]))


BELOW_0 = [(dtype, code) for dtype in FLOATS for code in (-0.5, -0.25, -0.99, -1e-3, -1e-6, -1.5, -1, math.nan)]


@pytest.mark.parametrize(("dtype", "code"), [(torch.int8, -1), (torch.int64, -1), *BELOW_0])
def test_any_code_below_0_is_missing_and_matches_nothing(dtype, code):
    codes = tensor([code, code, 2 * code, 0, 0, 0.5 if dtype in FLOATS else 1]).to(dtype)
    expected = torch.ones(6, 6).fill_diagonal_(0)  # an item on both sides is a full match by its id
    expected[3, 4] = expected[4, 3] = 0.75
    signed = codes * tensor([1, 1, 1, -1, -1, 1])  # −0 is 0
    for table in (codes, codes[:, None], signed, codes.where(ITEMS != 3, signed)):
        items = ITEMS[:, None].expand(6, 6), ITEMS.expand(6, 6)
        assert torch.equal(ideal_difference_from_metadata(*items, {"brand": table}, {"brand": 0.25}), expected)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_codes_without_a_sign_are_never_missing(dtype):
    table = tensor([1, 1, 0]).to(dtype)
    d = ideal_difference_from_metadata(tensor([0, 0]), tensor([1, 2]), {"brand": table}, {"brand": 0.25})
    assert d.tolist() == [0.75, 1.0]


def test_weights_of_float32_may_sum_to_a_little_more_than_1():
    third = numpy.float32(1 / 3)
    tables = dict.fromkeys("abc", torch.zeros(6))
    assert 3 * float(third) > 1
    assert ideal_difference_from_metadata(ITEMS, ITEMS.roll(1), tables, dict.fromkeys("abc", third)).tolist() == [0] * 6
    with pytest.raises(ValueError, match=r"sum of metadata weights was 1\.00001, must be <=1"):
        ideal_difference_from_metadata(ITEMS, ITEMS, {"a": torch.zeros(6)}, {"a": 1.00001})


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3)])
def test_any_shape_on_either_side(shape):
    generator = torch.Generator().manual_seed(0)
    positive = torch.randint(6, shape, generator=generator)
    tables = {"genre": ITEMS % 2, "labels": tensor([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]])}
    credit = tables | {"column": ITEMS[:, None] % 3}, {"genre": 0.5, "labels": 0.25, "column": 0.125}
    for negative in (torch.randint(6, shape, generator=generator), torch.randint(6, (40, *shape), generator=generator)):
        for left in (positive, positive.expand(negative.shape)):
            d = ideal_difference_from_metadata(left, negative, *credit)
            assert_close(d, by_loops(positive, negative, *credit).float())


def test_no_metadata_is_no_credit():
    assert ideal_difference_from_metadata(ITEMS, ITEMS.roll(1), {}, {}).tolist() == [1.0] * 6
