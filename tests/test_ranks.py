"""A batch in parts: over several processes, and over several passes, the mean is that of the whole batch."""

import os
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

import pairloss
from tests import ranks
from tests.ranks import LOSSES, PAIRS, batch, train


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two processes has after training together, over gloo on this machine."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("torch was built without gloo")
    if sys.platform == "win32":
        pytest.skip("gloo finds no loopback by its name on Windows")
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.ranks"]
    environment = os.environ | {
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "OMP_NUM_THREADS": "1",
    }
    workers = [subprocess.Popen([*command, str(rank), "2", str(folder)], env=environment) for rank in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_train_like_one_on_the_whole_batch(two_processes, name):
    losses, parameters = train(name, slice(None), 1)
    for result in two_processes:
        assert_close(result[name, False][0], losses, rtol=1e-12, atol=1e-12)
        assert_close(result[name, False][1], parameters, rtol=1e-10, atol=1e-10)
        # The mean of each process's mean is something else: that is why there is total_weight.
        assert (result[name, True][0] - losses).abs().max() > 0.01


@pytest.mark.parametrize("which", ["", "mask", "weights", "negative_mask", "mask weights negative_mask"])
def test_total_weight_is_what_the_mean_divides_by(which):
    for step in range(5):
        u, i, j, mask, weights, real = batch(step)
        given = {"mask": mask, "weights": weights, "negative_mask": real}
        options = {name: given[name] for name in which.split()}
        p, many = ranks.Factors()(u, i), ranks.Factors()(u, j)
        mean, total = (pairloss.adaptive_bpr_loss(p, many, reduction=how, **options) for how in ("mean", "sum"))
        weight = pairloss.total_weight(p, **options)
        assert_close(total / weight, mean, rtol=1e-12, atol=0)
        # By hand, a pair at a time.
        count = 0.0
        for b in range(PAIRS):
            counts = mask[b] if "mask" in options else True
            counts = counts and (real[:, b].any() if "negative_mask" in options else True)
            count += (weights[b].item() if "weights" in options else 1.0) if counts else 0.0
        assert weight.item() == pytest.approx(count, rel=1e-12)
        assert (weight.dtype, weight.shape, weight.requires_grad) == (torch.float64, (), False)


def test_several_passes_have_the_gradient_of_one():
    u, i, j, mask, weights, real = batch(0)
    gradients = []
    for parts in ([slice(None)], [slice(0, 4), slice(4, 20), slice(20, None)]):
        model = ranks.Factors()
        whole = pairloss.total_weight(u.double(), mask=mask, weights=weights, negative_mask=real)
        for part in parts:
            options = {"mask": mask[part], "weights": weights[part], "negative_mask": real[:, part]}
            scores = model(u[part], i[part]), model(u[part], j[:, part])
            (pairloss.warp_loss(*scores, ranks.ITEMS, reduction="sum", **options) / whole).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-15)
    model = ranks.Factors()
    options = {"mask": mask, "weights": weights, "negative_mask": real}
    pairloss.warp_loss(model(u, i), model(u, j), ranks.ITEMS, **options).backward()
    assert_close([parameter.grad for parameter in model.parameters()], gradients[0], rtol=1e-12, atol=1e-15)


def test_bad_arguments_are_named():
    p = torch.zeros(3)
    with pytest.raises(ValueError, match=r"mask has shape \[2\] beside positive_scores \[3\]"):
        pairloss.total_weight(p, mask=torch.ones(2, dtype=torch.bool))
    with pytest.raises(
        ValueError, match=r"negative_mask has shape \[3\] beside positive_scores \[3\]; expected \[K, 3\]"
    ):
        pairloss.total_weight(p, negative_mask=torch.ones(3, dtype=torch.bool))
    with pytest.raises(TypeError, match="negative_mask"):
        pairloss.total_weight(p, negative_mask=torch.ones(2, 3))
    with pytest.raises(ValueError, match="weights"):
        pairloss.total_weight(p, weights=torch.tensor([1.0, -1.0, 1.0]))
