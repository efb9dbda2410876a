"""The five losses of the chapter "Training a recommender", each with its own step size and weight decay.

The code is that of the chapter, and so are the five splits. For each loss a grid is tried on the
validation choices of two splits: of another generated world, or, since there is no other MovieLens, of
two other splits of the same. Twice the chapter's epochs, since small steps need more. The best of the grid is
then measured on the test choices of the chapter's splits.

python benchmarks/training.py                     generated films
python benchmarks/training.py ml-100k.zip         an archive in the format of MovieLens 100K
"""

import itertools
import sys
from typing import Any

import torch
from tables import definitions

STEP_SIZES = (3e-3, 1e-2, 3e-2)
DECAYS = (0.0, 1e-5, 1e-4, 3e-4, 1e-3)


def main() -> None:
    archive = f"pairloss.datasets.read_movielens_100k({sys.argv[1]!r})" if len(sys.argv) > 1 else None
    judge = definitions("training", "plain = ", archive)
    tune = definitions("training", "plain = ", archive or "pairloss.datasets.generate(seed=1)")
    splits = [tune["split"](seed) for seed in (100, 101)]
    print("\n| loss | step size | decay | NDCG@10 | Recall@10 | AUC | epoch |\n|---|---|---|---|---|---|---|")
    for name, (module, k, epochs) in judge["LOSSES"].items():

        def quality(lr: float, decay: float, module: Any = module, k: int = k, epochs: int = 2 * epochs) -> float:
            curves = [
                tune["learn"](module(), k, epochs, train, valid, seed, lr=lr, weight_decay=decay)[1]
                for seed, (train, valid, _) in enumerate(splits)
            ]
            return sum(max(curve) for curve in curves)

        lr, decay = max(itertools.product(STEP_SIZES, DECAYS), key=lambda setting: quality(*setting))
        results = judge["run"](judge["no_credit"](module), k, 2 * epochs, name, lr=lr, weight_decay=decay)
        values = torch.tensor([[*measures, curve.index(max(curve)) + 1] for measures, curve, _ in results])
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(0), values.std(0), strict=True)]
        cells[-1] = f"{values[:, -1].mean():.0f} of {2 * epochs}"
        print(f"| {name} | {lr:g} | {decay:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
