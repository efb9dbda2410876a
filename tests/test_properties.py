"""Every loss on pairs equals its plain loop on whatever batch hypothesis draws, with whatever options."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from tests.cases import NUM_ITEMS, PAIRS, entry, function, optional, oracle, squares

pytestmark = pytest.mark.slow

CREDIT = {
    "metadata": {"genre": torch.arange(NUM_ITEMS) % 2, "labels": torch.eye(NUM_ITEMS)[:, :3].int()},
    "metadata_weights": {"genre": 0.5, "labels": 0.25},
}


@st.composite
def calls(draw, name):
    """Keyword arguments of the loss ``name``. Scores are quarters, so that ties occur and no margin is rounded."""
    b, k = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    many = (k, b) if entry(name).takes_many else (b,)
    shift = draw(st.sampled_from([0.0, -1000.0, 1000.0]))

    def tensor(elements, shape):
        size = torch.Size(shape).numel()
        return torch.tensor(draw(st.lists(elements, min_size=size, max_size=size))).reshape(shape)

    quarters, items = st.integers(-20, 20).map(lambda n: n / 4), st.integers(0, NUM_ITEMS - 1)
    call = {
        "positive_scores": tensor(quarters, (b,)).double() + shift,
        "negative_scores": tensor(quarters, many).double() + shift,
        "positive_items": tensor(items, (b,)),
        "negative_items": tensor(items, many),
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
    }
    every = {
        "mask": tensor(st.booleans(), (b,)),
        "weights": tensor(st.integers(0, 3), (b,)),
        "negative_mask": tensor(st.booleans(), many),
    }
    call |= {option: every[option] for option in optional(name) if draw(st.booleans())}
    call |= draw(st.sampled_from(entry(name).choices)) | draw(st.sampled_from(squares(name)))
    return call | (CREDIT if draw(st.booleans()) else {})


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=60)
@given(data=st.data())
def test_equals_plain_loops_whatever_is_drawn(name, data):
    call = data.draw(calls(name))
    expected = torch.tensor(oracle(name, **call), dtype=torch.float64)
    assert_close(function(name)(**call), expected, rtol=1e-10, atol=1e-10)
