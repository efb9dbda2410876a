"""examples/two_tower.py: features find new items, and an item's own vector does not."""

import pytest
import torch

from examples import two_tower

pytestmark = pytest.mark.slow


def test_features_find_new_films():
    (known, cold, scores), (plain, nothing, _) = (
        two_tower.quality(features, epochs=4) for features in ("genres", "none")
    )
    assert cold > 3 * nothing  # as book/stacks.md says
    assert known > 0.2
    assert plain > 0.2
    assert scores.abs().max() <= 1 + 1e-6


def test_who_chose_nothing_gets_finite_scores():
    items = torch.nn.functional.normalize(torch.randn(7, 4))
    vectors = two_tower.People(4)(torch.eye(3, 7) * torch.tensor([[1.0], [1.0], [0.0]]), items)
    assert vectors.isfinite().all()
