"""Losses on explicit ratings, against arithmetic and torch's own losses."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pairloss import logistic_loss, poisson_loss, regression_loss
from pairloss.tensors import INTEGERS
from tests.oracles import sigmoid

LOSSES = {"logistic": logistic_loss, "poisson": poisson_loss, "regression": regression_loss}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
R = [0.5, 2.0, 3.5, 0.25]
WHOLE = [torch.bool, *INTEGERS]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", [*WHOLE, *FLOATS])
def test_values_for_every_dtype_of_observed_ratings(dtype):
    ys = [1, 0, 0, 1]
    y, r = tensor(ys).to(dtype), tensor(R, dtype=torch.float64)
    for loss, term in (
        (logistic_loss, lambda o, v: -math.log(sigmoid(v if o else -v))),
        (poisson_loss, lambda o, v: v - o * math.log(v)),
        (regression_loss, lambda o, v: (o - v) ** 2),
    ):
        assert_close(loss(y, r).item(), sum(map(term, ys, R)) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logistic_keeps_its_digits_on_both_sides(dtype):
    for r in (-1e4, -40.5, -15.0, -0.5, 0.0, 0.5, 15.0, 40.5, 1e4):
        for observed, sign in ((1, 1), (0, -1), (-1, -1)):
            expected = max(-sign * r, 0) + math.log1p(math.exp(-abs(r)))
            loss = logistic_loss(tensor([observed]).to(torch.float16), tensor([r], dtype=dtype))
            assert_close(loss.item(), expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    for observed, r, expected in (
        (1, math.inf, 0),
        (0, -math.inf, 0),
        (0, math.inf, math.inf),
        (1, -math.inf, math.inf),
    ):
        ratings = tensor([r], dtype=dtype, requires_grad=True)
        loss = logistic_loss(tensor([observed]), ratings)
        assert loss == expected
        assert torch.autograd.grad(loss, ratings)[0] == (0 if expected == 0 else -1 if observed else 1)


@every_loss
@pytest.mark.parametrize("dtype", FLOATS)
def test_results_are_float32_or_wider(loss, dtype):
    r = torch.full((70_000,), 1.5).to(dtype).requires_grad_()
    value = loss(torch.ones(70_000), r)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_close(value.double(), loss(torch.ones(1), tensor([1.5], dtype=torch.float64)), rtol=1e-6, atol=0)
    assert torch.autograd.grad(value, r)[0].dtype == dtype


@every_loss
def test_any_shape_gradients_and_nothing_at_all(loss):
    r = torch.rand(2, 3, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: loss(torch.ones(2, 3), r), r)
    empty = torch.zeros(0, requires_grad=True)
    assert loss(torch.zeros(0), empty) == 0
    assert torch.autograd.grad(loss(torch.zeros(0), empty), empty)[0].shape == (0,)


@every_loss
def test_transforms(loss):
    r = torch.rand(3, 5, dtype=torch.float64) + 0.1
    y = torch.ones(5)
    each = torch.stack([loss(y, row) for row in r])
    assert_close(torch.func.vmap(lambda row: loss(y, row))(r), each)
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(y, r[0]), each[0])


@every_loss
def test_errors(loss):
    with pytest.raises(TypeError, match=r"predicted_ratings must be floating .*, got torch.int64"):
        loss(tensor([1]), tensor([1]))
    with pytest.raises(TypeError, match=r"observed_ratings must be a torch\.Tensor, got list"):
        loss([1], tensor([1.0]))
    with pytest.raises(ValueError, match=r"observed_ratings has shape \[2\] beside predicted_ratings \[2, 1\]"):
        loss(torch.ones(2), torch.ones(2, 1))
