"""The functions that choose a negative, against loops."""

import pytest
import torch
from torch import tensor

from pairloss import first_violation, hardest_negatives


def draw(seed, k, b):
    """Margins in halves, so that ties and exact zeros occur, and a mask that leaves one pair with nothing."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(k, b, generator=generator) < 0.5) & (torch.arange(b) != 1)
    return torch.randint(-4, 5, (k, b), generator=generator) / 2, mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7, 40_000])
def test_first_violation_equals_a_loop(k, masked):
    margins, mask = draw(k, k, 12)
    if k > 7:  # violations only late, past the range of 16-bit integers
        margins[:35_000] = -1
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
