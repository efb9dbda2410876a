"""examples/train_ddp.py: two processes, killed half way or begun by one, end where one does."""

import os
import re
import signal

import pytest
import torch
from torch.testing import assert_close

import pairloss
from examples import train_ddp
from tests.conftest import torchrun

pytestmark = pytest.mark.slow

if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("torch was built without gloo", allow_module_level=True)

USERS, EPOCHS, SEED = 100, 10, 3
TRAIN, _ = train_ddp.split(pairloss.datasets.generate(SEED, num_users=USERS, num_items=USERS), SEED)
# Odd, so that two parts are never equal, and the last batch is a single choice: one part is empty.
BATCH = next(size for size in range(101, len(TRAIN.users), 2) if len(TRAIN.users) % size == 1)


def command(loss, path, *more):
    sizes = f"--users {USERS} --epochs {EPOCHS} --seed {SEED} --batch {BATCH} --loss {loss}".split()
    return [*sizes, "--checkpoint", str(path), *more]


def alone(loss, path, *more):
    train_ddp.main(command(loss, path, *more))
    return torch.load(path)


def together(loss, path, *more):
    return torchrun("train_ddp.py", *command(loss, path, *more))


def as_in_the_chapter(loss):
    """Losses and parameters of the loop in one process, by means over whole batches."""
    known = TRAIN.matrix.to_dense() > 0
    log_q = (known.sum(0).clamp(min=1).double() / known.sum()).log()
    model = train_ddp.MatrixFactorisation(USERS, USERS, 16, torch.Generator().manual_seed(SEED))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
    losses = []
    for epoch in range(1, EPOCHS + 1):
        told = []
        for u, i, j in train_ddp.batches(TRAIN, 10 if loss == "warp" else 1, BATCH, SEED, epoch):
            if loss == "warp":
                value = pairloss.warp_loss(model.score(u, i), model.score(u, j), USERS)
            else:
                table = model.items[i] @ model.users[u].T + (model.bias[i] - log_q[i]).unsqueeze(1)
                value = pairloss.softmax_loss(table.diagonal(), table, negative_mask=~known[u, i.unsqueeze(1)])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            told.append(value.item())
        losses.append(sum(told) / len(told))
    return {"losses": losses, "model": {name: x.detach() for name, x in model.named_parameters()}}


def assert_like_one(loss, several, tmp_path):
    for one in (alone(loss, tmp_path / "one.pt"), as_in_the_chapter(loss)):
        for name in ("losses", "model"):
            assert_close(several[name], one[name], rtol=1e-12, atol=1e-12)


def test_two_processes_one_of_which_was_killed_and_then_one_alone_train_like_one(tmp_path):
    path = tmp_path / "state.pt"
    run = together("warp", path)
    told = ""
    while "epoch 2:" not in told:
        line = run.stdout.readline()
        assert line, "the run ended before its second epoch"
        told += line
    os.kill(int(re.search(r"rank 0 of 2: process (\d+)", told)[1]), signal.SIGKILL)
    run.communicate(timeout=60)
    assert run.returncode != 0
    assert 2 <= len(torch.load(path)["losses"]) < EPOCHS
    assert_like_one("warp", alone("warp", path, "--resume"), tmp_path)


def test_one_process_and_then_two_train_like_one_too(tmp_path):
    path = tmp_path / "state.pt"
    assert len(alone("softmax", path, "--epochs", "3")["losses"]) == 3
    run = together("softmax", path, "--resume")
    told, _ = run.communicate(timeout=120)
    assert run.returncode == 0
    assert told.count("NDCG@10") == 1
    assert "epoch 3:" not in told
    assert_like_one("softmax", torch.load(path), tmp_path)


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    train_ddp.save(path, {"losses": [1.0]})

    def killed(state, path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train_ddp.save(path, {"losses": [1.0, 2.0]})
    assert torch.load(path) == {"losses": [1.0]}
