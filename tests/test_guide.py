"""The experiment behind the guide: its worlds, its measures and its training are what they say, and its table holds."""

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import pairloss

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import guide
import tables

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", ["as it comes", "30 % wrong, whatever the gap", "30 % wrong, close calls", "60 % hidden"]
)
def test_worlds(kind):
    given = guide.KINDS[kind]
    world = guide.make_world(given, 3)
    parts = torch.stack(world[:4])
    assert parts.sum(0).max() == 1 or given.wrong  # a mistake may fall on a choice of another part
    data = pairloss.datasets.generate(3, num_users=guide.USERS, num_items=given.items)
    truth = data.matrix.to_dense() > 0
    assert (truth | ~world.test).all()  # tested by what was chosen
    mistakes = (world.train | world.valid) & ~truth
    noted = (world.train | world.valid).sum()
    assert abs(mistakes.sum() / noted - given.wrong) < 0.02
    assert abs(world.hidden.sum() / (world.hidden | world.train).sum() - given.hidden) < 0.03
    assert world.train.sum() / truth.sum() == pytest.approx(0.75 * (1 - given.hidden), abs=0.03)
    if given.wrong:  # a close call falls on items that are liked almost as much
        liked = (world.utilities - world.utilities.mean(1, keepdim=True))[mistakes].mean()
        assert (liked > 1) == given.close
    popular = truth.sum(0)[~world.rare]
    assert popular.min() >= truth.sum(0)[world.rare].max()
    assert 0.5 <= popular.sum() / truth.sum() < 0.52


def test_measures_are_those_of_the_chapter():
    chapter = tables.definitions("training", "plain = ")
    world = guide.make_world(guide.KINDS["250 items"], 0)
    scores = torch.randn(world.test.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = world.train | world.valid
    ndcg, auc, rare = guide.measures(scores, world)
    assert ndcg == pytest.approx(chapter["top"](scores, seen, world.test)[0], abs=1e-12)
    assert auc == pytest.approx(chapter["auc"](scores, seen, world.test), abs=1e-12)
    shown = scores.masked_fill(seen, -torch.inf).topk(10).indices
    assert rare == pytest.approx(sum(world.rare[item].item() for item in shown.flatten()) / shown.numel())


def test_settings_side_by_side_are_adam_one_by_one():
    settings = [(1e-3, 1e-2), (3e-2, 0.0), (1e-2, 1e-4)]
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, guide.DIM, generator=generator)
    gradients = torch.randn(8, 5, 3 * guide.DIM, generator=generator)
    wide = [start.repeat(1, 3)] * 2 + [torch.zeros(5, 3)]
    wide = [part.clone() for part in wide]
    rates = [torch.tensor(column).repeat_interleave(guide.DIM) for column in zip(*settings, strict=True)]
    rates += [rate[:: guide.DIM] for rate in rates]
    moments = [(torch.zeros_like(part), torch.zeros_like(part)) for part in wide]
    alone = [start.clone().requires_grad_() for _ in settings]
    optimizers = [
        torch.optim.Adam([part], lr=lr, weight_decay=decay) for part, (lr, decay) in zip(alone, settings, strict=True)
    ]
    for step, gradient in enumerate(gradients, 1):
        guide._adam(wide, [gradient, gradient, gradient[:, :: guide.DIM]], moments, rates, step)
        for part, optimizer, own in zip(alone, optimizers, gradient.split(guide.DIM, 1), strict=True):
            part.grad = own.clone()
            optimizer.step()
    assert_close(wide[0], torch.cat([part.detach() for part in alone], 1))
    assert_close(wide[2].shape, torch.Size([5, 3]))


@pytest.mark.parametrize("name", [*guide.LOSSES, *guide.IN_BATCH])
def test_worlds_and_settings_side_by_side_are_each_their_own(name):
    """The sum over two worlds and three settings, beside the loss of each alone, from scores gathered one by one."""
    kind = guide.Kind(items=40)
    worlds = [guide.make_world(kind, seed) for seed in (0, 1)]
    generator = torch.Generator().manual_seed(0)
    g, b, k = 3, guide.IN_ONE_BATCH, 4
    users, vectors = (
        torch.randn(2 * rows, g * guide.DIM, generator=generator).div(4).double().requires_grad_()
        for rows in (guide.USERS, 40)
    )
    bias = torch.randn(80, g, generator=generator).double().requires_grad_()
    u, i = (torch.randint(rows, (2, b), generator=generator) for rows in (guide.USERS, 40))
    j = torch.randint(40, (k, 2, b), generator=generator)
    offset = torch.arange(2).unsqueeze(1)
    train = torch.stack([world.train for world in worlds])
    log_q = torch.randn(80, generator=generator)
    genres = torch.cat([world.genres for world in worlds])
    value, _ = guide._loss(
        name, [users, vectors, bias], u + offset * guide.USERS, i + offset * 40, j + offset * 40,
        worlds, train, log_q, genres, 40, False,
    )  # fmt: skip
    expected = torch.zeros((), dtype=torch.float64)
    for w in range(2):
        for s in range(g):
            columns = slice(s * guide.DIM, (s + 1) * guide.DIM)
            own = users[w * guide.USERS :, columns][u[w]]
            items = slice(40 * w, 40 * w + 40)
            table = own @ vectors[items, columns].T + bias[items, s]  # [B, N]
            positive, many = table.gather(1, i[w, :, None]).squeeze(1), table.gather(1, j[:, w].T).T
            if name in guide.IN_BATCH:
                taken = table - log_q[items] if "log q" in name else table
                logits = taken[:, i[w]].masked_fill(worlds[w].train[u[w]][:, i[w]], -torch.inf)
                positive = taken.gather(1, i[w, :, None])
                expected += torch.cat([positive, logits], 1).logsumexp(1).sub(positive.squeeze(1)).sum()
                continue
            given = guide.Given(i[w], j[:, w], worlds[w].genres, 40)
            expected += guide.LOSSES[name][0](positive, many, given)
    assert_close(value, expected.to(value.dtype), rtol=1e-6, atol=0)


def test_ease_is_the_best_linear_model_without_a_diagonal():
    chosen = torch.rand(30, 8, generator=torch.Generator().manual_seed(0)) < 0.4
    x, regulariser = chosen.double(), 3.0
    weights = torch.zeros(8, 8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")
    off = 1 - torch.eye(8, dtype=torch.float64)

    def error():
        optimizer.zero_grad()
        loss = (x - x @ (weights * off)).square().sum() + regulariser * (weights * off).square().sum()
        loss.backward()
        return loss

    optimizer.step(error)
    assert_close(guide.ease(chosen, regulariser), (x @ (weights * off)).detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("loss", ["popularity", "EASE", "BPR"])
def test_a_row_of_the_table_run_again(loss):
    job = {"world": "250 items", "loss": loss}
    (stored,) = [row for row in tables.read("guide") if row.items() >= job.items()]
    assert guide.work(job) == stored


def test_the_table_is_whole():
    assert [{key: row[key] for key in ("world", "loss")} for row in tables.read("guide")] == guide.jobs()
