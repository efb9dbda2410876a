"""The loop of train_ddp.py on tables of which each process holds a part: TorchRec looks up, the loss is the same.

pip install "torch==2.13.*" pytest hypothesis numpy --editable .  # first: another torch cannot load fbgemm
pip install --no-deps torchrec==1.8.0 fbgemm-gpu-cpu==1.8.0  # those of torch 2.13, without CUDA
pip install tensordict torchmetrics==1.0.3 tqdm pyre-extensions iopath
torchrun --nproc-per-node 2 examples/train_torchrec.py
pytest tests/test_train_torchrec.py
"""

import argparse
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import pad
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
from torchrec.distributed.types import ShardingEnv, ShardingPlan
from torchrec.optim import RowWiseAdagrad
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from train_ddp import batches, join, ndcg, split

import pairloss

K, DIM = 10, 16
OPTIMIZERS = {"adagrad": (RowWiseAdagrad, 0.05), "sgd": (torch.optim.SGD, 20.0)}  # and learning rate
FEATURES = ["user", "positive", *(f"negative {k}" for k in range(K))]


def sharded(start, optimizer, device):
    """Tables by name, each rank with a share of the rows of each. Their optimizer steps within backward."""
    features = {"people": FEATURES[:1], "films": FEATURES[1:]}
    tables = EmbeddingBagCollection(
        device=torch.device("meta"),  # a whole table is nowhere
        tables=[
            EmbeddingBagConfig(
                name=name, num_embeddings=len(start[name]), embedding_dim=DIM, feature_names=features[name]
            )
            for name in start
        ],
    )
    kind, rate = OPTIMIZERS[optimizer]
    apply_optimizer_in_backward(kind, tables.parameters(), {"lr": rate})
    ranks = dist.get_world_size()
    plan = construct_module_sharding_plan(
        tables, {name: row_wise() for name in start}, local_size=ranks, world_size=ranks, device_type=device.type
    )
    model = DistributedModelParallel(
        tables,
        env=ShardingEnv.from_process_group(dist.group.WORLD),
        device=device,
        plan=ShardingPlan({"": plan}),
        sharders=[EmbeddingBagCollectionSharder()],
    )
    for name, whole in start.items():  # so that any number of ranks starts alike
        for shard in shards(model, name).local_shards():
            first, rows = shard.metadata.shard_offsets[0], shard.metadata.shard_sizes[0]
            shard.tensor.copy_(whole[first : first + rows])
    return model


def shards(model, name):
    return model.state_dict()[f"embedding_bags.{name}.weight"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", choices=["warp", "softmax"], default="warp")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adagrad")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1024, help="choices in a batch of all ranks together")
    parser.add_argument("--users", type=int, default=1000, help="how many users, and as many films, are made")
    parser.add_argument("--tables", type=Path, help="where to write the whole tables at the end")
    options = parser.parse_args()

    device = join()
    rank, ranks = dist.get_rank(), dist.get_world_size()
    data = pairloss.datasets.generate(num_users=options.users, num_items=options.users)
    train, held_out = split(data, 0)
    loss = {
        "warp": pairloss.WARPLoss(data.num_items, reduction="sum"),
        "softmax": pairloss.SoftmaxLoss(reduction="sum"),
    }
    generator = torch.Generator().manual_seed(0)
    start = {name: torch.randn(options.users, DIM, generator=generator) / DIM for name in ("people", "films")}
    model = sharded(start, options.optimizer, device)
    for epoch in range(1, options.epochs + 1):
        for batch in batches(train, K, options.batch, 0, epoch):
            # Shares by rows want as many pairs on each rank: pairs of user 0 and item 0 fill up, hidden by the mask.
            part = [whole.tensor_split(ranks, -1)[rank].to(device) for whole in batch]
            more = -(-len(batch[0]) // ranks) - len(part[0])
            mask = pad(torch.ones(len(part[0]), dtype=torch.bool, device=device), (0, more))
            ids = torch.cat([pad(ids, (0, more)).reshape(-1) for ids in part])
            vectors = model(KeyedJaggedTensor(FEATURES, ids, lengths=torch.ones_like(ids)))
            users, *items = (vectors[name] for name in FEATURES)
            positive, *negatives = ((users * item).sum(-1) for item in items)
            value = loss[options.loss](positive, torch.stack(negatives), mask=mask)
            # TorchRec divides gradients by the number of ranks.
            pairloss.distributed_mean(value, pairloss.total_weight(positive, mask=mask)).backward()
    tables = {}
    for name, table in start.items():
        tables[name] = torch.empty_like(table, device=device) if rank == 0 else None
        shards(model, name).gather(0, tables[name])
    if rank == 0:
        people, films = (table.cpu() for table in tables.values())
        print(f"NDCG@10 of what was held out: {ndcg(people @ films.T, train.matrix.to_dense() > 0, held_out):.3f}")
        if options.tables:
            torch.save({"people": people, "films": films}, options.tables)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
