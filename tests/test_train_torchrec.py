"""examples/train_torchrec.py: tables in parts on two processes learn what whole ones do in one. Needs torchrec."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

import pairloss
from examples import train_ddp
from tests.conftest import torchrun

pytestmark = pytest.mark.slow

USERS, BATCH = 100, 101  # odd: two parts are never equal


def whole(loss, optimizer):
    """The tables after two epochs of plain torch."""
    train, _ = train_ddp.split(pairloss.datasets.generate(num_users=USERS, num_items=USERS), 0)
    generator = torch.Generator().manual_seed(0)
    people, films = (torch.nn.Parameter(torch.randn(USERS, 16, generator=generator) / 16) for _ in range(2))
    optimizer = optimizer([people, films])
    for epoch in (1, 2):
        for u, i, j in train_ddp.batches(train, 10, BATCH, 0, epoch):
            optimizer.zero_grad()
            loss((people[u] * films[i]).sum(-1), (people[u] * films[j]).sum(-1)).backward()
            optimizer.step()
    return {"people": people.detach(), "films": films.detach()}


# Steps of Adagrad do not change with the scale of the loss, steps of SGD do.
@pytest.mark.parametrize(("loss", "optimizer"), [("warp", "adagrad"), ("softmax", "sgd")])
def test_tables_in_parts_learn_what_whole_ones_do(loss, optimizer, tmp_path):
    optim = pytest.importorskip("torchrec.optim")
    make = {"adagrad": partial(optim.RowWiseAdagrad, lr=0.05), "sgd": partial(torch.optim.SGD, lr=20.0)}[optimizer]
    module = {"warp": pairloss.WARPLoss(USERS), "softmax": pairloss.SoftmaxLoss()}[loss]
    path = tmp_path / "tables.pt"
    options = (
        f"--loss {loss} --optimizer {optimizer} --epochs 2 --users {USERS} --batch {BATCH} --tables {path}".split()
    )
    run = torchrun("train_torchrec.py", *options)
    run.communicate(timeout=120)
    assert run.returncode == 0
    tables = torch.load(path)
    assert_close(tables, whole(module, make), rtol=0, atol=1e-5)  # in float32, which is what TorchRec has
    assert (tables["films"] ** 2).mean() > 0.01  # they did learn: at the start it is 1 / 256
