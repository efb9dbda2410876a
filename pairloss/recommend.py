"""From a table of clicks to ten recommendations: ``python -m pairloss.recommend clicks.csv``.

The table is a CSV or Parquet file with a column for who and one for what, or, without a file, generated films. A tenth
of the choices of each person is held out to test by. What is printed is how well their places are found, next to
popularity and EASE, and the ten things that one person should see.
"""

import argparse
import sys
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

import pairloss
from pairloss import metrics
from pairloss.figures import print_table
from pairloss.interactions import Interactions

ONE = "log_bpr", "bpr", "hinge"
MANY = "softmax", "adaptive_bpr", "adaptive_hinge", "warp"
LOSSES = "all_items", *ONE, *MANY


class Cosine(torch.nn.Module):
    """Scores of all items for some users, cos(u, i) / τ + b: vectors from N(0, 0.1²), and a bias for each item."""

    def __init__(self, num_users: int, num_items: int, size: int = 64, temperature: float = 1 / 6):
        super().__init__()
        self.users, self.items = (torch.nn.Parameter(0.1 * torch.randn(rows, size)) for rows in (num_users, num_items))
        self.bias = torch.nn.Parameter(torch.zeros(num_items))
        self.temperature = temperature

    def forward(self, users: Tensor) -> Tensor:
        """Scores of all items, [u, N], for ``users`` [u]."""
        return normalize(self.users[users]) @ normalize(self.items).T / self.temperature + self.bias


def loss_of(name: str, scores: Tensor, known: Tensor, negatives: int = 100) -> Tensor:
    """The loss of some users with all their choices, from their scores [u, N] and what they chose [u, N] bool."""
    rows, items = known.nonzero(as_tuple=True)
    positive = scores[rows, items]
    if name == "all_items":
        others = scores.masked_fill(known, -torch.inf).logsumexp(1)
        return pairloss.log_bpr_loss(positive, others[rows])
    loss: Callable[..., Tensor] = getattr(pairloss, f"{name}_loss")
    num_items = scores.shape[1]
    drawn = torch.randint(num_items, (1 if name in ONE else negatives, len(rows)), device=scores.device)
    many, real = scores[rows, drawn], ~known[rows, drawn]
    if name in ONE:
        return loss(positive, many[0], mask=real[0])
    return loss(positive, many, **({"num_items": num_items} if name == "warp" else {}), negative_mask=real)


def learn(
    model: Cosine, train: Interactions, valid: Interactions, loss: str = "all_items", negatives: int = 100,
    lr: float = 0.01, epochs: int = 200, patience: int = 6,
) -> tuple[Cosine, list[float]]:  # fmt: skip
    """The model of the epoch that validates best, and NDCG@10 by epoch. It stops when ``patience`` epochs gain none.

    A batch is 64 people with all their choices, or fewer, so that an epoch has a dozen steps at least.
    """
    batch = min(64, -(-train.num_users // 12))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    device, best, curve = model.bias.device, model, [-1.0]  # nothing is worse
    shown = sys.stderr.isatty()
    while len(curve) <= epochs and len(curve) - curve.index(max(curve)) <= patience:
        for users in torch.randperm(train.num_users).split(batch):
            known = train.matrix.index_select(0, users).to_dense().bool()
            if known.any():
                value = loss_of(loss, model(users.to(device)), known.to(device), negatives)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
        curve.append(metrics.ndcg(scores_of(model), valid, exclude=train).item())
        if curve[-1] > max(curve[:-1]):
            best = deepcopy(model)
        if shown:
            print(f"\repoch {len(curve) - 1}: NDCG@10 {curve[-1]:.3f} of what validates ", end="", file=sys.stderr)
    if shown:
        print(file=sys.stderr)
    return best, curve[1:]


def scores_of(model: Cosine) -> Callable[[Tensor], Tensor]:
    """The function from user ids to scores that the measures take, on the CPU."""
    return lambda users: model(users.to(model.bias.device)).cpu()


def ease(train: Interactions, ridge: float = 300.0) -> Tensor:
    """Scores [U, N] of EASE (Steck, WWW 2019), by one inverse of a table of items by items."""
    chosen = train.matrix.to_dense().clamp(max=1).double()
    inverse = torch.linalg.inv(chosen.T @ chosen + ridge * torch.eye(train.num_items, dtype=torch.float64))
    weights: Tensor = (-inverse / inverse.diagonal()).fill_diagonal_(0)
    return chosen @ weights


def read(path: Path, user: str, item: str, time: str | None) -> Interactions:
    """The interactions of a CSV or Parquet file."""
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ValueError(f"reading {path} needs pandas: pip install pandas") from error
    try:
        frame = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
        if time in frame.columns and not pandas.api.types.is_numeric_dtype(frame[time]):
            frame[time] = pandas.to_datetime(frame[time], format="ISO8601")
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    return Interactions.from_pandas(frame, user, item, time, name=path.stem)


def main(arguments: list[str] | None = None) -> int:
    """What the command does. Bad arguments and files end in one sentence and exit status 2."""
    shown = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser("python -m pairloss.recommend", description=__doc__, formatter_class=shown)
    parser.add_argument("file", nargs="?", type=Path, help="a CSV or Parquet file; without one, generated films")
    parser.add_argument("--user", default="user", help="the column that says who")
    parser.add_argument("--item", default="item", help="the column that says what")
    parser.add_argument("--time", help="the column that says when; then the latest choices are held out")
    parser.add_argument("--person", help="who gets the ten items; the one with the most choices if not given")
    parser.add_argument("--loss", choices=LOSSES, default=LOSSES[0], help="the softmax over all items, or another loss")
    parser.add_argument("--negatives", type=int, default=100, help="drawn for a choice, where a loss takes many")
    parser.add_argument("--size", type=int, default=64, help="numbers in a vector")
    parser.add_argument("--temperature", type=float, default=1 / 6, help="what the cosine is divided by")
    parser.add_argument("--lr", type=float, default=0.01, help="the learning rate of Adam")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the starts and the draws")
    parser.add_argument("--save", type=Path, help="where to write the model")
    parser.add_argument("--load", type=Path, help="a model that was saved, in the place of training")
    parser.add_argument("--plot", type=Path, help="where to draw NDCG@10 by epoch (needs matplotlib)")
    asked = parser.parse_args(arguments)
    torch.manual_seed(asked.seed)
    try:
        data = read(asked.file, asked.user, asked.item, asked.time) if asked.file else pairloss.datasets.generate()
        report(data, asked)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        parser.error(str(error))
    return 0


def report(data: Interactions, asked: argparse.Namespace) -> None:
    """Train or load a model, and print what it reaches and what one person should see."""
    if len(data.users) == 0:
        raise ValueError(f"{data.name} has no rows; expected one for each choice")
    names: Any = data.user_names or range(data.num_users)
    titles: Any = data.item_names or data.titles
    by_name = {str(name): number for number, name in enumerate(names)}
    person = int(data.users.bincount().argmax()) if asked.person is None else by_name.get(asked.person)
    if person is None:
        raise ValueError(f"--person was {asked.person!r}, who is not in the data; {names[0]!r} is, for example")
    rest, test = data.split(by_time=asked.time is not None)
    train, valid = rest.split(by_time=asked.time is not None)
    model = Cosine(data.num_users, data.num_items, asked.size, asked.temperature).to(asked.device)
    if asked.load:
        model.load_state_dict(torch.load(asked.load, map_location=asked.device, weights_only=True))
    else:
        model, curve = learn(model, train, valid, asked.loss, asked.negatives, asked.lr)
        if asked.plot:
            import matplotlib.pyplot as plt

            figure, axes = plt.subplots()
            axes.plot(range(1, len(curve) + 1), curve)
            axes.set(xlabel="epoch", ylabel="NDCG@10 on the choices that validate")
            figure.savefig(asked.plot)
    if asked.save:
        torch.save(model.state_dict(), asked.save)
    popular = train.items.bincount(minlength=data.num_items).double()
    tables: dict[str, Any] = {"popularity": popular.expand(data.num_users, -1)}
    if data.num_items <= 10_000:
        tables["EASE"] = ease(train)
    tables[f"cosine, {asked.loss}"] = scores_of(model)
    print(f"{data.name}: {data.num_users:,} people, {data.num_items:,} items, {len(data.users):,} choices\n")
    measures = metrics.ndcg, metrics.recall, metrics.auc
    rows = [[name, *(measure(scores, test, exclude=rest) for measure in measures)] for name, scores in tables.items()]
    print_table(("", "NDCG@10", "Recall@10", "AUC"), rows)
    print(f"\nfor {names[person]}:")
    scores = scores_of(model)(torch.tensor([person]))
    seen = data.matrix.index_select(0, torch.tensor([person])).to_dense().bool()
    for place, number in enumerate(metrics.top_k(scores.detach(), 10, exclude=seen)[0].tolist(), 1):
        if number >= 0:
            print(f"{place:>3}. {titles[number] if titles else number}")


if __name__ == "__main__":
    sys.exit(main())
