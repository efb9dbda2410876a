"""What must hold for every batch: properties, on batches that hypothesis draws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tests.cases import ADAPTIVE, MANY, NUM_ITEMS, PAIRS, entry, function

pytestmark = pytest.mark.slow

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


@st.composite
def batches(draw, name):
    """Keyword arguments of the loss ``name``: scores in tenths (so that ties occur), items, metadata or none."""
    b, k = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape = (k, b) if entry(name).takes_many else (b,)

    def tensor(elements, shape, dtype):
        size = torch.Size(shape).numel()
        return torch.tensor(draw(st.lists(elements, min_size=size, max_size=size)), dtype=dtype).reshape(shape)

    tenths = st.integers(-50, 50).map(lambda n: n / 10)
    batch = {
        "positive_scores": tensor(tenths, (b,), torch.float64),
        "negative_scores": tensor(tenths, shape, torch.float64),
        "positive_items": tensor(st.integers(0, NUM_ITEMS - 1), (b,), torch.int64),
        "negative_items": tensor(st.integers(0, NUM_ITEMS - 1), shape, torch.int64),
    }
    if draw(st.booleans()):
        batch["metadata"] = {"genre": torch.arange(NUM_ITEMS) % 2, "labels": torch.eye(NUM_ITEMS)[:, :3].int()}
        batch["metadata_weights"] = {"genre": 0.5, "labels": 0.25}
    return batch


def scores_and_items(batch):
    return [key for key in batch if "scores" in key or "items" in key]


def add_padding(batch, rows):
    """The batch with extra rows of huge negatives on top, and the negative_mask that says they are not real."""
    many, items = batch["negative_scores"], batch["negative_items"]
    padding = torch.full((rows, many.shape[1]), 1e6, dtype=many.dtype)
    mask = torch.arange(rows + len(many)).unsqueeze(1).expand(-1, many.shape[1]) >= rows
    padded = torch.cat([padding, many]), torch.cat([torch.zeros_like(padding, dtype=items.dtype), items])
    return batch | {"negative_scores": padded[0], "negative_items": padded[1], "negative_mask": mask}


every_loss = pytest.mark.parametrize("name", PAIRS)
means_and_sums = st.sampled_from(["mean", "sum"])


@every_loss
@given(data=st.data(), shift=st.integers(-1000, 1000))
def test_a_shift_of_all_scores_changes_nothing(name, data, shift):
    batch = data.draw(batches(name))
    # Quarters stay exact under a whole shift, so that no tie is broken by rounding.
    quarters = {k: (4 * batch[k]).round() / 4 for k in ("positive_scores", "negative_scores")}
    shifted = {key: value + shift for key, value in quarters.items()}
    assert_close(function(name)(**batch | shifted), function(name)(**batch | quarters), **TOLERANCE)


@every_loss
@given(data=st.data())
def test_permuting_the_batch_changes_nothing(name, data):
    batch = data.draw(batches(name))
    order = torch.tensor(data.draw(st.permutations(range(len(batch["positive_scores"])))))
    permuted = batch | {key: batch[key][..., order] for key in scores_and_items(batch)}
    assert_close(function(name)(**permuted), function(name)(**batch), **TOLERANCE)


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("hardest_by", ["score", "violation"])
@given(data=st.data())
def test_permuting_the_negatives_changes_adaptive_nothing(name, hardest_by, data):
    batch = data.draw(batches(name))
    # Scores drawn apart: among equal scores the first wins, and its credit may differ.
    spread = torch.linspace(0, 0.01, len(batch["negative_scores"]), dtype=torch.float64).unsqueeze(1)
    batch["negative_scores"] = batch["negative_scores"] + spread
    order = torch.tensor(data.draw(st.permutations(range(len(spread)))))
    permuted = batch | {key: batch[key][order] for key in ("negative_scores", "negative_items")}
    loss = function(name)
    assert_close(loss(**permuted, hardest_by=hardest_by), loss(**batch, hardest_by=hardest_by), **TOLERANCE)


@pytest.mark.parametrize("name", ADAPTIVE)
@given(data=st.data())
def test_adaptive_with_one_negative_is_standard(name, data):
    batch = data.draw(batches(name.removeprefix("adaptive_")))
    many = batch | {key: batch[key].unsqueeze(0) for key in ("negative_scores", "negative_items")}
    assert_close(function(name)(**many), function(name.removeprefix("adaptive_"))(**batch), **TOLERANCE)


@every_loss
@given(data=st.data(), reduction=means_and_sums)
def test_weight_0_is_a_mask(name, reduction, data):
    batch = data.draw(batches(name))
    b = len(batch["positive_scores"])
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=b, max_size=b)))
    loss = function(name)
    by_weight = loss(**batch, weights=mask.double(), reduction=reduction)
    assert_close(by_weight, loss(**batch, mask=mask, reduction=reduction), **TOLERANCE)


@every_loss
@given(data=st.data(), reduction=means_and_sums)
def test_weight_2_is_a_repeated_pair(name, reduction, data):
    batch = data.draw(batches(name))
    b = len(batch["positive_scores"])
    pair = data.draw(st.integers(0, b - 1))
    weights = torch.ones(b, dtype=torch.float64).index_fill(0, torch.tensor([pair]), 2)
    twice = torch.cat([torch.arange(b), torch.tensor([pair])])
    repeated = batch | {key: batch[key][..., twice] for key in scores_and_items(batch)}
    loss = function(name)
    assert_close(
        loss(**batch, weights=weights, reduction=reduction), loss(**repeated, reduction=reduction), **TOLERANCE
    )


@pytest.mark.parametrize("name", MANY)
@given(data=st.data(), rows=st.integers(1, 3))
def test_padding_negatives_under_a_mask_changes_nothing(name, data, rows):
    batch = data.draw(batches(name))
    assert_close(function(name)(**add_padding(batch, rows)), function(name)(**batch), **TOLERANCE)


@every_loss
@given(data=st.data())
def test_sum_of_none_is_sum(name, data):
    batch = data.draw(batches(name))
    b = len(batch["positive_scores"])
    options = {"weights": torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=b, max_size=b)))}
    for extra in ({}, options):
        each = function(name)(**batch, **extra, reduction="none")
        assert each.shape == (b,)
        assert_close(each.sum(), function(name)(**batch, **extra, reduction="sum"), **TOLERANCE)


@every_loss
@given(data=st.data())
def test_an_ideal_difference_of_1_is_no_metadata(name, data):
    batch = data.draw(batches(name))
    # Every item its own genre, and no pair of equal items: nothing ever matches.
    different = batch | {
        "positive_items": batch["positive_items"] % 20,
        "negative_items": 20 + batch["negative_items"] % 20,
        "metadata": {"genre": torch.arange(NUM_ITEMS)},
        "metadata_weights": {"genre": 1.0},
    }
    plain = {key: batch[key] for key in ("positive_scores", "negative_scores")}
    assert_close(function(name)(**different), function(name)(**plain), **TOLERANCE)


@pytest.mark.parametrize("name", ["hinge_loss", "adaptive_hinge_loss"])
@given(data=st.data())
def test_credit_never_makes_a_hinge_cost_more(name, data):
    batch = data.draw(batches(name))
    plain = function(name)(batch["positive_scores"], batch["negative_scores"], reduction="none")
    assert (function(name)(**batch, reduction="none") <= plain + 1e-12).all()
