"""The losses of this book beside recommenders that people use: popularity, EASE, implicit and LightFM.

Splits and measures are those of the chapter "Training a recommender". Each model is given the one of nine settings
that validates best on a split of its own, and with it learns from the five splits of the chapter. It counts at the
epoch that validates best, looked at every third epoch. Vectors have 16 numbers, and a bias where a model has one.
By time there is one split, whose last tenth of all choices is the test, and three starts in place of five splits.
On Last.fm, which is the largest, every model has less than a third of the epochs, and three of the splits.

python benchmarks/peers.py                                          generated films
python benchmarks/peers.py ml-100k.zip hetrec2011-lastfm-2k.zip     what the archives hold, too

fills benchmarks/tables/peers.csv and then, one model at a time, peers_seconds.csv, and prints both as Markdown.
``make peers`` installs what it needs, apart from the environment of the tests.
"""

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tables import Row, definitions, fill, interval, read
from torch import Tensor
from torch.nn.functional import embedding

import pairloss

DIM, K, IN_ONE_BATCH = 16, 10, 256
BATCH, EPOCHS = {"Last.fm 2K": 2048}, {"Last.fm 2K": 18}  # elsewhere 1024 and 60; peers have twice as many epochs
EVERY, LEAST, PATIENCE = 3, 30, 12  # epochs from one validation to the next; of our losses in any case, without a gain
VALIDATED = 1000  # users, the first ones, whose choices validate
TUNED_ON, JUDGED_ON, SOME, STARTS = 100, range(5), {"Last.fm 2K": range(3)}, range(3)

Setting = tuple[float, ...]
Parts = tuple[Tensor, ...]  # users [U, D], items [N, D] and bias [N]; or the scores [U, N] themselves


# --- data and splits ------------------------------------------------------------------------------------

DATA: dict[str, tuple[str, int | None]] = {  # the reader, and which archive it reads
    "generated films": ("generate", None),
    "MovieLens 100K": ("read_movielens_100k", 0),
    "MovieLens 100K, by time": ("read_movielens_100k", 0),
    "Last.fm 2K": ("read_lastfm_2k", 1),
}


@functools.cache
def chapter() -> dict[str, Any]:
    return definitions("training", "MEASURES = ")


@functools.cache
def load(name: str, archives: tuple[str, ...]) -> Any:
    reader, which = DATA[name]
    return getattr(pairloss.datasets, reader)(*(() if which is None else archives[which : which + 1]))


def split(name: str, data: Any, seed: int) -> list[Tensor]:
    """Choices to train on, to validate with and to test by, each a table [U, N]."""
    if not name.endswith("by time"):
        chapter()["data"] = data
        return chapter()["split"](seed)
    tables, tenth = [], len(data.users) // 10
    order = data.times.argsort(stable=True)
    for rows in order.split([len(order) - 2 * tenth, tenth, tenth]):
        tables.append(torch.zeros(data.num_users, data.num_items, dtype=torch.bool))
        tables[-1][data.users[rows], data.items[rows]] = True
    known = tables[0].any(1, keepdim=True)  # who came later cannot be served by any of these models
    return [table & known for table in tables]


# --- the losses of this book, for G settings at once --------------------------------------------------------


def one(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda p, score, j, n: loss(p, score(j[:1])[0])


def chosen(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda p, score, j, n: loss(p, score, n, negative_items=j)


def all_at_once(p: Tensor, score: Callable[[Tensor], Tensor], j: Tensor, n: int) -> Tensor:
    return pairloss.softmax_loss(p, score(j))


def mean_of_all(p: Tensor, score: Callable[[Tensor], Tensor], j: Tensor, n: int) -> Tensor:
    return pairloss.hinge_loss(p.expand(j.shape), score(j))


def no_comparison(p: Tensor, score: Callable[[Tensor], Tensor], j: Tensor, n: int) -> Tensor:
    scores = torch.cat([p[None], score(j)])
    labels = torch.zeros_like(scores)
    labels[0] = 1
    return pairloss.logistic_loss(labels, scores)


# The loss, the negatives drawn for each positive, the scores computed for it.
LOSSES: dict[str, tuple[Callable[..., Tensor] | None, int, int]] = {
    "log BPR": (one(pairloss.log_bpr_loss), 1, 2),
    "BPR": (one(pairloss.bpr_loss), 1, 2),
    "hinge": (one(pairloss.hinge_loss), 1, 2),
    "hinge, mean of ten": (mean_of_all, K, 1 + K),
    "adaptive BPR": (chosen(pairloss.adaptive_bpr_loss), K, 2 + K),
    "adaptive hinge": (chosen(pairloss.adaptive_hinge_loss), K, 2 + K),
    "WARP": (chosen(pairloss.warp_loss), K, 2 + K),
    "BCE with ten": (no_comparison, K, 1 + K),
    "softmax with ten": (all_at_once, K, 1 + K),
    "softmax in the batch": (None, 0, IN_ONE_BATCH),
    "softmax in the batch, − log q": (None, 0, IN_ONE_BATCH),
}


def ours(name: str, dim: int, settings: list[Setting], train: Tensor, seed: int, batch: int) -> Iterator[list[Parts]]:
    """The loop of the chapter in float32, with step size and decay of each setting, one beside the other."""
    generator = torch.Generator().manual_seed(seed)
    (loss, k, _), g = LOSSES[name], len(settings)
    (u, i), seen = train.nonzero(as_tuple=True), train.to_sparse()
    num_users, num_items = train.shape
    log_q = (train.sum(0).clamp(min=1) / len(u)).log() if "log q" in name else torch.zeros(num_items)

    def vectors(rows: int) -> Tensor:
        start = torch.randn(rows, 1, dim, generator=generator, dtype=torch.float64) / (2.5 * dim)
        return start.float().repeat(1, g, 1)

    tables = [vectors(num_users), vectors(num_items), torch.zeros(num_items, g, 1)]
    users, items, bias = (table.requires_grad_() for table in tables)
    step = adam(tables, settings)

    def shared(table: Tensor, ids: Tensor) -> Tensor:
        """[..., G, D] for ids that are the same for all settings."""
        return embedding(ids, table.flatten(1)).unflatten(-1, table.shape[1:])

    def own(table: Tensor, ids: Tensor) -> Tensor:
        """[..., G, D] for ids [..., G]."""
        return embedding(ids * g + torch.arange(g), table.flatten(0, 1))

    def value_of(rows: Tensor) -> Tensor:
        person, item, level = shared(users, u[rows]), shared(items, i[rows]), shared(bias, i[rows]).squeeze(-1)
        if loss is None:
            return in_the_batch(person, item, level - log_q[i[rows], None], rows)

        def score(ids: Tensor) -> Tensor:
            """[..., B, G]: of candidates [K, B, G], the same for all settings, or of what each has chosen, [B, G]."""
            rows_of, ids = (shared, ids[..., 0]) if ids.ndim == 3 else (own, ids)
            return (person * rows_of(items, ids)).sum(-1) + rows_of(bias, ids).squeeze(-1)

        candidates = negatives[:, rows, None].expand(-1, -1, g)
        return loss((person * item).sum(-1) + level, score, candidates, num_items)

    def in_the_batch(person: Tensor, item: Tensor, level: Tensor, rows: Tensor) -> Tensor:
        """Each positive against those of the other 255 rows that its user has not chosen."""
        person, item, level = (part.unflatten(0, (-1, IN_ONE_BATCH)).transpose(1, 2) for part in (person, item, level))
        table = (item @ person.transpose(2, 3) + level.unsqueeze(3)).movedim(2, 0)  # [K, W, G, B], K = B = 256
        u_, i_ = (ids[rows].view(-1, IN_ONE_BATCH) for ids in (u, i))
        real = ~train[u_.unsqueeze(1), i_.unsqueeze(2)].transpose(0, 1)  # [K, W, B]
        return pairloss.softmax_loss(table.diagonal(0, 0, 3), table, negative_mask=real.unsqueeze(2).expand_as(table))

    for epoch in itertools.count(1):
        negatives = pairloss.sample_negatives(u, seen, k, generator=generator) if k else None
        for rows in torch.randperm(len(u), generator=generator).split(batch):
            if loss is None:  # what does not fill a batch of its own waits for the next epoch
                rows = rows[: len(rows) // IN_ONE_BATCH * IN_ONE_BATCH]
            if len(rows):
                step(torch.autograd.grad(g * value_of(rows), tables))  # of the sum of the settings' own means
        if epoch % EVERY == 0:
            users_, items_, bias_ = (table.detach() for table in tables)
            yield [(users_[:, number], items_[:, number], bias_[:, number, 0]) for number in range(g)]


def adam(tables: list[Tensor], settings: list[Setting]) -> Callable[[tuple[Tensor, ...]], None]:
    """A step of torch's Adam for one setting; for several, side by side in tables [rows, G, D], the same by hand."""
    if len(settings) == 1:
        [(lr, weight_decay)] = settings
        optimizer = torch.optim.Adam(tables, lr=lr, weight_decay=weight_decay, fused=True)

        def step(gradients: tuple[Tensor, ...]) -> None:
            for table, gradient in zip(tables, gradients, strict=True):
                table.grad = gradient
            optimizer.step()

        return step
    rate, decay = torch.tensor(settings).T.unsqueeze(2)
    moments = [(torch.zeros_like(table), torch.zeros_like(table)) for table in tables]
    count = itertools.count(1)

    @torch.no_grad()
    def steps(gradients: tuple[Tensor, ...]) -> None:
        t = next(count)
        for table, gradient, (first, second) in zip(tables, gradients, moments, strict=True):
            gradient = gradient.addcmul(decay, table)
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            size = (second / (1 - 0.999**t)).sqrt_().add_(1e-8)
            table.addcdiv_(first * (-rate / (1 - 0.9**t)), size)

    return steps


# --- what other people's packages make of the same ------------------------------------------------------


def matrix(train: Tensor) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(train.float().numpy())


def implicit_als(dim: int, setting: Setting, train: Tensor, seed: int) -> Iterator[Parts]:
    from implicit.cpu.als import AlternatingLeastSquares
    from numpy.random import default_rng

    regularization, alpha = setting
    options = {"regularization": regularization, "alpha": alpha, "iterations": EVERY}
    model = AlternatingLeastSquares(dim, num_threads=1, random_state=default_rng(seed), **options)
    while True:
        model.fit(matrix(train), show_progress=False)
        yield torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors), torch.zeros(train.shape[1])


def implicit_bpr(dim: int, setting: Setting, train: Tensor, seed: int) -> Iterator[Parts]:
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from numpy.random import default_rng

    learning_rate, regularization = setting
    options = {"learning_rate": learning_rate, "regularization": regularization, "iterations": EVERY}
    model = BayesianPersonalizedRanking(dim, num_threads=1, random_state=default_rng(seed), **options)
    while True:
        model.fit(matrix(train), show_progress=False)
        users, items = torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors)
        yield users[:, :dim], items[:, :dim], items[:, dim]  # the last column is the bias


def lightfm(loss: str, dim: int, setting: Setting, train: Tensor, seed: int) -> Iterator[Parts]:
    from lightfm import LightFM

    learning_rate, alpha = setting
    options = {"learning_rate": learning_rate, "item_alpha": alpha, "user_alpha": alpha, "max_sampled": K}
    model = LightFM(dim, loss=loss, random_state=seed, **options)
    while True:
        model.fit_partial(matrix(train).tocoo(), epochs=EVERY, num_threads=1)
        yield tuple(map(torch.from_numpy, (model.user_embeddings, model.item_embeddings, model.item_biases)))


def ease(dim: int, setting: Setting, train: Tensor, seed: int) -> Iterator[Parts]:
    """EASE (Steck, WWW 2019), a linear model of items on items without a diagonal, by way of the users.

    With G = X Xᵀ and A = (G + λI)⁻¹, [U, U], the inverse P of Xᵀ X + λI has X P = A X and λ P = I - Xᵀ A X.
    """
    (regulariser,) = setting
    x = train.double()
    sparse = x.to_sparse()
    gram = sparse @ x.T + regulariser * torch.eye(len(x), dtype=torch.float64)
    product = (sparse.T @ torch.linalg.inv(gram)).T  # A X
    diagonal = (1 - (x * product).sum(0)) / regulariser
    yield (x - product / diagonal,)


def popularity(dim: int, setting: Setting, train: Tensor, seed: int) -> Iterator[Parts]:
    yield (train.sum(0).double().expand(train.shape),)


PEERS: dict[str, tuple[Callable[..., Iterator[Parts]], str]] = {  # and the scores computed for a positive
    "popularity": (popularity, "–"),
    "EASE": (ease, "all"),
    "implicit ALS": (implicit_als, "all"),
    "implicit BPR": (implicit_bpr, "2"),
    "LightFM BPR": (functools.partial(lightfm, "bpr"), "2"),
    "LightFM WARP": (functools.partial(lightfm, "warp"), f"2 to {1 + K}"),
}
MODELS = [*PEERS, *LOSSES]
WITHOUT_A_START = "popularity", "EASE"


# --- nine settings each -----------------------------------------------------------------------------------

# The grids lie around what did best in a first look at the validation choices of the generated films.
SIZE = {  # of the decays of a loss beside those of the softmax
    "log BPR": 0.3,
    "BPR": 0.3,
    "hinge": 3,
    "hinge, mean of ten": 3,
    "adaptive BPR": 0.3,
    "adaptive hinge": 3,
    "WARP": 100,
    "BCE with ten": 0.1,
    "softmax in the batch": 3,
    "softmax in the batch, − log q": 3,
}
GRIDS: dict[str, tuple[tuple[float, ...], ...]] = {
    "popularity": (),
    "EASE": ((10, 30, 60, 100, 150, 200, 300, 500, 1000),),
    "implicit ALS": ((5, 15, 50), (1, 4, 16)),  # regularisation, alpha
    "implicit BPR": ((0.005, 0.01, 0.03), (0.003, 0.01, 0.03)),  # step size, regularisation
    "LightFM BPR": ((0.05, 0.1, 0.2), (1e-4, 3e-4, 6e-4)),  # step size, alpha of users and items
    "LightFM WARP": ((0.03, 0.05, 0.1), (3e-4, 1e-3, 3e-3)),
}
for name in LOSSES:
    decays = (float(f"{SIZE.get(name, 1) * decay:g}") for decay in (3e-5, 1e-4, 3e-4))
    GRIDS[name] = (3e-3, 6e-3, 1.5e-2), tuple(decays)


def models(name: str, dim: int, settings: list[Setting], train: Tensor, seed: int, batch: int) -> Iterator[Any]:
    """Every third epoch the parts of each setting's model."""
    if name in LOSSES:
        return ours(name, dim, settings, train, seed, batch)
    return zip(*(PEERS[name][0](dim, setting, train, seed) for setting in settings), strict=True)


def scores(parts: Parts, users: slice = slice(None)) -> Tensor:
    return parts[0][users] if len(parts) == 1 else parts[0][users] @ parts[1].T + parts[2]


def fit(job: Row, settings: list[Setting], tables: list[Tensor], seed: int) -> list[tuple[float, int, Parts]]:
    """For each setting the best NDCG@10 on validation choices, its epoch and its model."""
    some, data = slice(VALIDATED), job["data"]
    train, valid = (table[some] for table in tables[:2])
    best: list[tuple[float, int, Parts]] = [(-1.0, 0, ())] * len(settings)
    epochs = range(EVERY, EPOCHS.get(data, 60) * (1 if job["model"] in LOSSES else 2) + 1, EVERY)
    tried = models(job["model"], int(job["dimension"]), settings, tables[0], seed, BATCH.get(data, 1024))
    for epoch, every in zip(epochs, tried, strict=False):
        for number, parts in enumerate(every):
            quality = chapter()["top"](scores(parts, some), train, valid)[0]
            if quality > best[number][0]:
                best[number] = quality, epoch, tuple(part.clone() for part in parts)
        if job["model"] in LOSSES and epoch >= LEAST and epoch - max(best, key=lambda one: one[0])[1] >= PATIENCE:
            break  # of several settings the leader decides
    return best


def measures(parts: Parts, tables: list[Tensor], ties_by_id: bool = False) -> list[float]:
    """NDCG@10, Recall@10 and AUC, as in the chapter, on some users at a time."""
    total, count = torch.zeros(3, dtype=torch.float64), 0
    for first in range(0, len(tables[0]), 1000):
        train, valid, test = (table[first : first + 1000] for table in tables)
        seen, users = train | valid, int(test.any(1).sum())
        table = scores(parts, slice(first, first + 1000)).double()
        # In the first ten of popularity equals stand in the order of their ids, as in the chapter.
        ordered = table - torch.arange(table.shape[1]) / 1e6 if ties_by_id else table
        if users:
            values = *chapter()["top"](ordered, seen, test), chapter()["auc"](table, seen, test)
            total, count = total + users * torch.tensor(values, dtype=torch.float64), count + users
    return (total / count).tolist()


# --- the tables ---------------------------------------------------------------------------------------------


def work(job: Row, archives: tuple[str, ...]) -> Row:
    """One model on one data set: tuned, then judged."""
    name, model = job["data"], job["model"]
    data, settings = load(name, archives), list(itertools.product(*GRIDS[model]))
    tables = split(name, data, TUNED_ON)
    tried = [quality for quality, _, _ in fit(job, settings, tables, TUNED_ON)]
    own = settings[tried.index(max(tried))]
    seeds = SOME.get(name, JUDGED_ON)
    if name.endswith("by time"):
        seeds = range(1) if model in WITHOUT_A_START else STARTS
    values, epochs = [], []
    for seed in seeds:
        tables = split(name, data, seed)
        [(_, epoch, parts)] = fit(job, [own], tables, seed)
        values.append(measures(parts, tables, ties_by_id=model == "popularity"))
        epochs.append(epoch)
    columns = zip(("ndcg", "recall", "auc"), zip(*values, strict=True), strict=True)
    return job | {
        "setting": " ".join(f"{part:g}" for part in own),
        "tried": " ".join(f"{value:.4f}" for value in tried),
        "epochs": " ".join(map(str, epochs)),
        **{measure: " ".join(f"{value:.4f}" for value in column) for measure, column in columns},
    }


def seconds(job: Row, archives: tuple[str, ...], settings: dict[tuple[str, str], Setting]) -> Row:
    """Processor time of an epoch on one thread, the least of three times three epochs; of EASE that of all."""
    name, model = job["data"], job["model"]
    train, _, _ = split(name, load(name, archives), 0)
    batch, times = BATCH.get(name, 1024), [time.process_time()]
    tried = models(model, int(job["dimension"]), [settings[name, model]], train, 0, batch)
    for _ in itertools.islice(tried, 3):
        times.append(time.process_time())
    least = min(end - begin for begin, end in itertools.pairwise(times))
    return job | {"seconds": f"{least / (1 if model in WITHOUT_A_START else EVERY):.3g}"}


def jobs(archives: tuple[str, ...], table: str) -> list[Row]:
    """Of every data set that is there, and what the table has of the others."""
    there = {(row["data"], row["model"]) for row in read(table)}
    return [
        {"data": name, "dimension": f"{DIM}", "model": model}
        for name, (_, which) in DATA.items()
        for model in MODELS
        if which is None or which < len(archives) or (name, model) in there
    ]


MEASURES = {"ndcg": "NDCG@10", "recall": "Recall@10", "auc": "AUC"}


def values(row: Row, measure: str) -> Tensor:
    return torch.tensor([float(value) for value in row[measure].split()], dtype=torch.float64)


def at_an_edge(row: Row) -> list[bool]:
    """For each knob of the setting whether it is the least or the largest of its grid."""
    own = map(float, row["setting"].split())
    return [value in (min(grid), max(grid)) for value, grid in zip(own, GRIDS[row["model"]], strict=True)]


def report(rows: list[Row], spent: dict[tuple[str, str], str]) -> Iterator[str]:
    """The tables as Markdown, and by how much the best loss of this book leads the best of the others."""
    for name in dict.fromkeys(row["data"] for row in rows):
        some = [row for row in rows if row["data"] == name]
        head = [name, "setting", "best epoch", *MEASURES.values(), "seconds an epoch", "scores for a positive"]
        yield f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}"
        for row in some:
            model = row["model"]
            own = zip(row["setting"].split(), at_an_edge(row), strict=True)
            epoch = "" if model in WITHOUT_A_START else f"{values(row, 'epochs').mean():.0f}"
            cells = [model, ", ".join(value + "*" * edge for value, edge in own), epoch]
            for measure in MEASURES:
                column = values(row, measure)
                cells.append(f"{column.mean():.3f}" + (f" ± {column.std():.3f}" if len(column) > 1 else ""))
            cells.append(spent.get((name, model), ""))
            cells.append(PEERS[model][1] if model in PEERS else f"{LOSSES[model][2]}")
            yield f"| {' | '.join(cells)} |"
        yield "\n(* the least or the largest of its grid)\n"
        for measure, title in MEASURES.items():
            best = sorted(some, key=lambda row, measure=measure: values(row, measure).mean(), reverse=True)
            mine, other = (next(row for row in best if row["model"] in kind) for kind in (LOSSES, PEERS))
            difference = values(mine, measure) - values(other, measure)
            mean, low, high = interval(difference)
            ahead = f"ahead in {int((difference > 0).sum())} of {len(difference)}"
            yield f"{title}: {mine['model']} - {other['model']}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], {ahead}"


def main() -> None:
    archives = tuple(sys.argv[1:])
    rows = fill("peers", jobs(archives, "peers"), functools.partial(work, archives=archives))
    settings = {(row["data"], row["model"]): tuple(map(float, row["setting"].split())) for row in rows}
    timed = [job for job in jobs(archives, "peers_seconds") if not job["data"].endswith("by time")]
    spent = fill("peers_seconds", timed, functools.partial(seconds, archives=archives, settings=settings), processes=1)
    print(*report(rows, {(row["data"], row["model"]): row["seconds"] for row in spent}), sep="\n")


if __name__ == "__main__":
    main()
