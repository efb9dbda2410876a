"""What a mean divides by, in one process. In several: test_train_ddp.py."""

import pytest
import torch
from torch.testing import assert_close

import pairloss
from tests.cases import case, extra, parted
from tests.oracles import over_pairs


@pytest.mark.parametrize("which", ["", "mask", "weights", "negative_mask", "mask weights negative_mask"])
def test_total_weight_is_what_the_mean_divides_by(which):
    for seed in range(5):
        options = extra(which.split(), b=31, k=6, seed=seed)
        p, many = parted(case("adaptive_bpr_loss", b=31, k=6, seed=seed))[0]
        mean, total = (pairloss.adaptive_bpr_loss(p, many, reduction=how, **options) for how in ("mean", "sum"))
        weight = pairloss.total_weight(p, **options)
        assert_close(total / weight, mean, rtol=1e-12, atol=0)
        # Where every pair costs 1, the sum over plain loops is the weight of the pairs that count.
        count = over_pairs(lambda *pair: 1.0, p, many, **options, squared=False, reduction="sum")
        assert weight.item() == pytest.approx(count, rel=1e-12)
        assert (weight.dtype, weight.shape, weight.requires_grad) == (torch.float64, (), False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_without_other_ranks_a_distributed_mean_is_the_mean(dtype):
    scores = torch.randn(2, 6, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for given in ({}, {"mask": torch.arange(6) < 4}, {"weights": torch.arange(6.0)}, {"mask": torch.zeros(6).bool()}):
        whole = pairloss.hinge_loss(*scores, reduction="sum", **given)
        value = pairloss.distributed_mean(whole, pairloss.total_weight(scores[0], **given))
        expected = pairloss.hinge_loss(*scores, **given)
        assert value.dtype == expected.dtype
        assert_close(value, expected)
        gradients = [torch.autograd.grad(loss, scores)[0] for loss in (value, expected)]
        assert_close(*gradients)
