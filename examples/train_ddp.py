"""The loop of the chapter "A fair comparison" in several processes, which together do what one would.

    python examples/train_ddp.py
    torchrun --nproc-per-node 2 examples/train_ddp.py --loss softmax
    torchrun --nproc-per-node 2 examples/train_ddp.py --loss softmax --resume

Losses and parameters are, up to rounding, the same for any number of processes, also for one that goes on, by
--resume, with what another number of them began. On several machines the checkpoint must lie where all can read it.
"""

import argparse
import functools
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import pad
from torch.nn.parallel import DistributedDataParallel

import pairloss


class MatrixFactorisation(torch.nn.Module):
    def __init__(self, num_users, num_items, dim, generator):
        super().__init__()

        def vectors(rows):
            start = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
            return torch.nn.Parameter(start / (2.5 * dim))

        self.users, self.items = vectors(num_users), vectors(num_items)
        self.bias = torch.nn.Parameter(torch.zeros(num_items, dtype=torch.float64))

    def score(self, users, items):
        return (self.users[users] * self.items[items]).sum(-1) + self.bias[items]

    def forward(self, loss, *batch):
        """A whole step, since DistributedDataParallel wants one call of this before each backward."""
        return loss(self, *batch)


class Gather(torch.autograd.Function):
    """The rows of all ranks in one tensor. Backward, each rank gets the sum of what all make of its rows."""

    @staticmethod
    def forward(ctx, rows):
        every = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(every, rows)
        return torch.cat(every)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def gather(rows, size, value=0):
    """The rows of all ranks, those of each filled up to ``size`` with ``value``: all must send as much."""
    beside = [0] * (2 * rows.dim() - 1)
    return Gather.apply(pad(rows, (*beside, size - len(rows)), value=value))


def warp(model, u, i, j, largest, known, log_q):
    """The loss of this rank's pairs against their negatives j, a sum, and the weight of the pairs."""
    score = functools.partial(model.score, u)
    positive = score(i)
    loss = pairloss.warp_loss(positive, score, known.shape[1], i, j, reduction="sum")
    return loss, pairloss.total_weight(positive)


def softmax(model, u, i, j, largest, known, log_q):
    """The same against the positives of all ranks, with log q taken out.

    Each rank looks up its own items, and those of the others come through ``gather``. Where every rank has the whole
    table it could look them up itself. Where each has a part of it, or a network makes the vectors, it could not.
    """
    own = torch.cat([model.items[i], model.bias[i].unsqueeze(1)], 1)
    vectors, items = gather(own, largest), gather(i, largest, value=-1)
    table = vectors[:, :-1] @ model.users[u].T + (vectors[:, -1] - log_q[items]).unsqueeze(1)
    real = (items >= 0).unsqueeze(1) & ~known[u, items.unsqueeze(1)]  # neither what filled up nor what the user chose
    positive = model.score(u, i) - log_q[i]
    loss = pairloss.softmax_loss(positive, table, negative_mask=real, reduction="sum")
    return loss, pairloss.total_weight(positive, negative_mask=real)


LOSSES = {"warp": (warp, 10, 1024), "softmax": (softmax, 1, 256)}  # function, negatives to draw, choices in a batch


def batches(train, k, size, seed, epoch):
    """The choices of an epoch and k negatives for each, [size] and [k, size] at a time: the same on every rank.

    What is drawn depends on seed and epoch alone, so nothing needs to be sent or stored, and the number of ranks does
    not matter. The price: each rank draws the negatives of the whole batch to use its share, and has the order of
    the whole epoch in memory. With (seed, epoch, rank) for a seed drawing would be shared out as well, and each number
    of ranks would be another run.
    """
    generator = torch.Generator().manual_seed(2**20 * seed + epoch)
    for batch in torch.randperm(len(train.users), generator=generator).split(size):
        users = train.users[batch]
        yield users, train.items[batch], pairloss.sample_negatives(users, train, k, generator=generator)


def split(data, seed):
    """Nine tenths of the choices to train on, and a table [U, N] of the rest."""
    order = torch.randperm(len(data.users), generator=torch.Generator().manual_seed(seed))
    test, train = order.tensor_split([len(order) // 10])
    held_out = torch.zeros(data.num_users, data.num_items, dtype=torch.bool)
    held_out[data.users[test], data.items[test]] = True
    return pairloss.Interactions(data.users[train], data.items[train], data.num_users, data.num_items), held_out


def ndcg(scores, known, held_out, k=10):
    """NDCG@k over the users who have something held out."""
    hits = held_out.gather(1, scores.masked_fill(known, -torch.inf).topk(k).indices).double()
    discount = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    liked = held_out.sum(1)
    best = discount.cumsum(0)[liked.clamp(1, k) - 1]
    return ((hits * discount).sum(1) / best)[liked > 0].mean().item()


def join():
    """Meet the other processes, or be the only one, and give the device: a GPU for each where there are enough."""
    local, here = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = torch.device("cuda", local) if torch.cuda.device_count() >= here else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", **alone)
    return device


def save(path, state):
    """Write another file and rename it: whoever is killed in between leaves the old file whole."""
    unfinished = path.with_name(path.name + ".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", choices=LOSSES, default="warp")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, help="choices in a batch of all ranks together")
    parser.add_argument("--users", type=int, default=1000, help="how many users, and as many films, are made")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, default=Path("train_ddp.pt"), help="written after each epoch")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    options = parser.parse_args(arguments)

    device = join()
    rank, ranks = dist.get_rank(), dist.get_world_size()
    print(f"rank {rank} of {ranks}: process {os.getpid()}", flush=True)
    data = pairloss.datasets.generate(options.seed, num_users=options.users, num_items=options.users)
    train, held_out = split(data, options.seed)
    known = train.matrix.to_dense().to(device) > 0
    log_q = (known.sum(0).clamp(min=1).double() / known.sum()).log()
    loss, k, size = LOSSES[options.loss]

    model = MatrixFactorisation(*known.shape, 16, torch.Generator().manual_seed(options.seed)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
    losses = []
    if options.resume and options.checkpoint.exists():
        state = torch.load(options.checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
    parallel = DistributedDataParallel(model)
    for epoch in range(len(losses) + 1, options.epochs + 1):
        told = []
        for batch in batches(train, k, options.batch or size, options.seed, epoch):
            # Parts differ by a choice, and some are empty where choices are fewer than ranks: these step along.
            part = [whole.tensor_split(ranks, -1)[rank].to(device) for whole in batch]
            largest = -(-len(batch[0]) // ranks)
            value, weight = parallel(loss, *part, largest, known, log_q)
            mean = pairloss.distributed_mean(value, weight)
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
            mean = mean.detach().clone()
            dist.all_reduce(mean)
            told.append(mean / ranks)
        losses.append(torch.stack(told).mean().item())
        if rank == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
            save(options.checkpoint, state)
            print(f"epoch {epoch}: loss {losses[-1]:.4f}", flush=True)
    if rank == 0:
        with torch.no_grad():
            scores = model.users @ model.items.T + model.bias
        print(f"NDCG@10 of what was held out: {ndcg(scores.cpu(), known.cpu(), held_out):.3f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
