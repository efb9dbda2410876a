"""On a GPU: the same values and gradients as on the CPU, and nothing waits."""

import pytest
import torch
from torch.testing import assert_close

from tests.cases import CHOOSING, PAIRS, case, embeddings, entry, extra, function, optional, tables

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def to_gpu(value):
    if isinstance(value, dict):
        return {key: to_gpu(entry) for key, entry in value.items()}
    return value.cuda() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "one", "three"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_equals_the_cpu_without_waiting(name, kind, dtype):
    for choice in entry(name).choices:
        for options in ({}, extra(optional(name), b=500)):
            arguments = case(name, b=500, dtype=dtype) | tables(kind) | options | choice
            on_gpu = to_gpu(arguments)
            outcomes = []
            for batch, mode in ((arguments, "default"), (on_gpu, "error")):
                scores = [batch[key].requires_grad_() for key in ("positive_scores", "negative_scores")]
                function(name)(**batch)  # first calls may load kernels
                torch.cuda.set_sync_debug_mode(mode)
                try:
                    loss = function(name)(**batch)
                    gradients = torch.autograd.grad(loss, scores)
                finally:
                    torch.cuda.set_sync_debug_mode("default")
                outcomes.append([loss, *gradients])
            for expected, actual in zip(*outcomes, strict=True):
                assert_close(actual.cpu(), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_autocast_on_the_gpu_changes_nothing(name):
    batch = to_gpu(case(name, dtype=torch.float32) | tables("three"))
    with torch.autocast("cuda", torch.float16):
        inside = function(name)(**batch)
    assert_close(inside, function(name)(**batch))


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_scoring_twice_equals_the_cpu_without_waiting(name, kind):
    options = tables(kind) | extra(["mask", "weights", "negative_mask"], b=500)
    ids = case(name, b=500)
    outcomes = []
    for move, mode in ((lambda value: value, "default"), (to_gpu, "error")):
        users, items = (move(vectors.detach()).requires_grad_() for vectors in embeddings(b=500)[0])
        i, j, batch = move(ids["positive_items"]), move(ids["negative_items"]), move(options)

        def score(ids, users=users, items=items):
            return (users * items[ids]).sum(-1)

        function(name)(score(i), score, i, j, **batch)  # first calls may load kernels
        torch.cuda.set_sync_debug_mode(mode)
        try:
            loss = function(name)(score(i), score, i, j, **batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        outcomes.append([loss, *torch.autograd.grad(loss, [users, items])])
    for expected, actual in zip(*outcomes, strict=True):
        assert_close(actual.cpu(), expected)
