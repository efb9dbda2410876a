"""The losses once more, as plain loops over Python floats: what the tensors are held against."""

import math

import pairloss

STANDARD = ["bpr_loss", "hinge_loss", "log_bpr_loss"]
ADAPTIVE = ["adaptive_bpr_loss", "adaptive_hinge_loss"]
MANY = [*ADAPTIVE, "warp_loss"]
LOSSES = [*STANDARD, *MANY]
NUM_ITEMS = 40


def function(name):
    """The loss of that name as f(positive_scores, negative_scores, positive_items, negative_items, …)."""

    def loss(positive_scores, negative_scores, positive_items=None, negative_items=None, *rest, **options):
        return getattr(pairloss, name)(
            positive_scores, negative_scores, NUM_ITEMS, positive_items, negative_items, *rest, **options
        )

    return loss


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def term(name, x, d):
    if "log_bpr" in name:
        t = (1 + d) / 2
        return -t * math.log(sigmoid(x)) - (1 - t) * math.log(sigmoid(-x))
    return d - sigmoid(x) if "bpr" in name else max(0.0, d - x)


def ideal_difference(positive_item, negative_item, metadata, metadata_weights):
    if not metadata:
        return 1.0
    if positive_item == negative_item:
        return 0.0
    d = 1.0
    for name, table in metadata.items():
        a, b = table[positive_item].tolist(), table[negative_item].tolist()
        if table.ndim == 1 or table.shape[1] == 1:
            match = float(a == b)
        else:
            a, b = ({i for i, on in enumerate(row) if on} for row in (a, b))
            match = len(a & b) / len(a | b) if a | b else 0.0
        d -= metadata_weights[name] * match
    return max(d, 0.0)


def pair_loss(name, positive, negatives, ds, rank_weight, hardest_by):
    """ℓ of one positive against its real negatives, with their ideal differences."""
    if name in STANDARD:
        return term(name, positive - negatives[0], ds[0])
    if name in ADAPTIVE:
        hardness = [n + d * (hardest_by == "violation") for n, d in zip(negatives, ds, strict=True)]
        k = hardness.index(max(hardness))
        return term(name, positive - negatives[k], ds[k])
    for t, (n, d) in enumerate(zip(negatives, ds, strict=True), start=1):
        if d - positive + n > 0:
            if rank_weight == "log":
                return math.log(NUM_ITEMS / t) * (d - positive + n)
            return sum(1 / i for i in range(1, (NUM_ITEMS - 1) // t + 1)) * (d - positive + n)
    return 0.0


def oracle(
    name,
    positive_scores,
    negative_scores,
    positive_items=None,
    negative_items=None,
    metadata=None,
    metadata_weights=None,
    *,
    mask=None,
    weights=None,
    negative_mask=None,
    rank_weight="log",
    hardest_by="score",
    squared=None,
    reduction="mean",
):
    """The value of the loss ``name`` for tensors like those that the function takes."""
    squared = name != "log_bpr_loss" if squared is None else squared
    rows = negative_scores if negative_scores.ndim == 2 else negative_scores[None]
    losses, total_weight = [], 0.0
    for b, positive in enumerate(positive_scores.tolist()):
        real = [k for k in range(len(rows)) if negative_mask is None or negative_mask[k, b]]
        weight = 1.0 if weights is None else float(weights[b])
        if not real or weight == 0 or (mask is not None and not mask[b]):
            losses.append(0.0)
            continue
        ds = [1.0] * len(real)
        if metadata:
            item_rows = negative_items if negative_items.ndim == 2 else negative_items[None]
            ds = [
                ideal_difference(int(positive_items[b]), int(item_rows[k, b]), metadata, metadata_weights) for k in real
            ]
        loss = pair_loss(name, positive, [float(rows[k, b]) for k in real], ds, rank_weight, hardest_by)
        losses.append(weight * (loss + loss**2 if squared else loss))
        total_weight += weight
    if reduction == "none":
        return losses
    total = math.fsum(losses)
    return total if reduction == "sum" else total / (total_weight or 1.0)
