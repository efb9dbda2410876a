"""One of several processes that train together: python -m tests.ranks RANK RANKS FOLDER (see test_ranks.py).

Each takes its part of every batch, of uneven size and with uneven masks, and writes losses and parameters.
"""

import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed

import pairloss

STEPS, PAIRS, NEGATIVES, USERS, ITEMS = 5, 31, 6, 20, 40
LOSSES = {  # what makes the loss, and whether it takes many negatives
    "hinge": (pairloss.HingeLoss, False),
    "WARP": (partial(pairloss.WARPLoss, ITEMS), True),
    "softmax": (pairloss.SoftmaxLoss, True),
}


class Factors(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = (USERS, 4), (ITEMS, 4)
        self.users, self.items = (
            torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes
        )

    def forward(self, users, items):
        return (self.users[users] * self.items[items]).sum(-1)


def batch(step):
    """Users, positives, negatives, mask, weights and negative_mask, uneven on purpose: few count at the front."""
    generator = torch.Generator().manual_seed(step)
    u, i = torch.randint(USERS, (PAIRS,), generator=generator), torch.randint(ITEMS, (PAIRS,), generator=generator)
    j = torch.randint(ITEMS, (NEGATIVES, PAIRS), generator=generator)
    often = torch.linspace(0.1, 1, PAIRS)
    mask = torch.rand(PAIRS, generator=generator) < often
    weights = torch.rand(PAIRS, generator=generator, dtype=torch.float64) * often
    real = torch.rand(NEGATIVES, PAIRS, generator=generator) < 0.5 * often
    return u, i, j, mask, weights, real


def train(name, part, ranks, naive=False):
    """Losses of all steps, and the parameters at the end. One process alone takes the whole batch, by its mean."""
    make, many = LOSSES[name]
    model = Factors()
    parallel = torch.nn.parallel.DistributedDataParallel(model) if ranks > 1 else model
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    told = []
    for step in range(STEPS):
        u, i, j, mask, weights, real = (x[..., part] for x in batch(step))
        j, real = (j, real) if many else (j[0], None)
        options = {"mask": mask, "weights": weights} | ({"negative_mask": real} if many else {})
        scores = parallel(u.repeat(1 + (len(j) if many else 1)), torch.cat([i, j.flatten()])).split(len(u))
        negatives = torch.stack(scores[1:]) if many else scores[1]
        if ranks == 1 or naive:
            value = make()(scores[0], negatives, **options)
        else:
            whole = pairloss.total_weight(scores[0], **options)
            torch.distributed.all_reduce(whole)
            value = make(reduction="sum")(scores[0], negatives, **options) * ranks / whole
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        told.append(value.detach())
    told = torch.stack(told)
    if ranks > 1:
        torch.distributed.all_reduce(told)
        told /= ranks
    return told, [parameter.detach() for parameter in model.parameters()]


if __name__ == "__main__":
    rank, ranks, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    part = (slice(0, 9), slice(9, PAIRS))[rank]
    results = {(name, naive): train(name, part, ranks, naive) for name in LOSSES for naive in (False, True)}
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
