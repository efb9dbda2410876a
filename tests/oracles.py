"""The losses once more, as plain loops over Python numbers: what the tensors are held against."""

import itertools
import math
from fractions import Fraction


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


# --- pairs: ℓ of a positive p against its real negatives ns, with their ideal differences ds --------------


def bpr(x, d):
    return d - sigmoid(x)


def hinge(x, d):
    return max(0.0, d - x)


def log_bpr(x, d):
    t = (1 + d) / 2
    return -t * math.log(sigmoid(x)) - (1 - t) * math.log(sigmoid(-x))


def sampled(term):
    return lambda p, ns, ds: term(p - ns[0], ds[0])


def hardest(term):
    def loss(p, ns, ds, hardest_by="score"):
        hardness = [n + d * (hardest_by == "violation") for n, d in zip(ns, ds, strict=True)]
        k = hardness.index(max(hardness))
        return term(p - ns[k], ds[k])

    return loss


def warp(p, ns, ds, rank_weight="log", num_items=40):
    for t, (n, d) in enumerate(zip(ns, ds, strict=True), start=1):
        if d - p + n > 0:
            if rank_weight == "log":
                return math.log(num_items / t) * (d - p + n)
            return sum(1 / i for i in range(1, (num_items - 1) // t + 1)) * (d - p + n)
    return 0.0


def softmax(p, ns, ds, temperature=1.0):
    """Σ over all K + 1 of target · −log softmax, the targets in proportion 1 : (1 − d)/(1 + d)."""
    scores = [p, *ns]
    losses = []
    for i, score in enumerate(scores):  # −log softmax of i = log(1 + Σ exp of the others' leads)
        leads = [(other - score) / temperature for j, other in enumerate(scores) if j != i]
        highest = max(leads)
        if highest > 0:
            losses.append(highest + math.log(math.exp(-highest) + math.fsum(math.exp(x - highest) for x in leads)))
        else:
            losses.append(math.log1p(math.fsum(map(math.exp, leads))))
    shares = [1.0, *((1 - d) / (1 + d) for d in ds)]
    return math.fsum(s * loss for s, loss in zip(shares, losses, strict=True) if s) / math.fsum(shares)


def psl(p, ns, ds):
    return math.log(math.fsum(2 * sigmoid(2 * (n - p)) for n in ns))


BSL_TEMPERATURES = 2.0, 0.5  # of the positive and of the negatives


def bsl(p, ns, ds):
    t1, t2 = BSL_TEMPERATURES
    highest = max(ns)
    return (highest - p) / t1 + t2 / t1 * math.log(math.fsum(math.exp((n - highest) / t2) for n in ns))


def ideal_difference(positive_item, negative_item, metadata, metadata_weights):
    if not metadata:
        return 1.0
    if positive_item == negative_item:
        return 0.0
    d = 1.0
    for name, table in metadata.items():
        a, b = table[positive_item], table[negative_item]
        a, b = (a, b) if isinstance(a, list) else ([a], [b])
        if len(a) == 1:
            match = float(a == b and a[0] >= 0)
        else:
            a, b = ({i for i, on in enumerate(row) if on} for row in (a, b))
            match = len(a & b) / len(a | b) if a | b else 0.0
        d -= metadata_weights[name] * match
    return max(d, 0.0)


def over_pairs(
    pair_loss,
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
    squared=True,
    reduction="mean",
    **choice,
):
    """The value of a loss for tensors like those that the function takes, ``pair_loss`` judging each positive."""
    # Plain lists from here on: a number of a tensor takes a hundred times as long to read.
    given = negative_scores, negative_items, positive_items, mask, weights, negative_mask
    rows, item_rows, *given = (part if part is None else part.tolist() for part in given)
    positive_items, mask, weights, negative_mask = given
    rows, item_rows = (part if negative_scores.ndim == 2 else [part] for part in (rows, item_rows))
    metadata = {name: table.tolist() for name, table in (metadata or {}).items()}
    losses, total_weight = [], 0.0
    for b, positive in enumerate(positive_scores.tolist()):
        real = [k for k in range(len(rows)) if negative_mask is None or negative_mask[k][b]]
        weight = 1.0 if weights is None else float(weights[b])
        if not real or weight == 0 or (mask is not None and not mask[b]):
            losses.append(0.0)
            continue
        ds = [1.0] * len(real)
        if metadata:
            ds = [ideal_difference(positive_items[b], item_rows[k][b], metadata, metadata_weights) for k in real]
        loss = pair_loss(positive, [rows[k][b] for k in real], ds, **choice)
        losses.append(weight * (loss + loss**2 if squared else loss))
        total_weight += weight
    total = math.fsum(losses)
    every = {"none": losses, "sum": total, "mean": total / (total_weight or 1.0)}
    return every if reduction == "every" else every[reduction]


# --- lists ------------------------------------------------------------------------------------------------


def pairwise_hinge(scores, labels, groups=None, margin=1.0, power=1, reduction="mean", weights=None):
    groups, weights = groups or [0] * len(scores), weights or [1] * len(scores)
    terms = [
        (weights[i], weights[i] * max(0.0, margin - scores[i] + scores[j]) ** power)
        for i, j in itertools.product(range(len(scores)), repeat=2)
        if groups[i] == groups[j] and labels[i] > labels[j]
    ]
    weight, total = (math.fsum(column) for column in zip(*terms, strict=True)) if terms else (0, 0)
    return total / (weight or 1) if reduction == "mean" else total


def exact_pairwise_hinge(scores, labels, groups, margin, power, reduction):
    """Value and gradient over the table of all pairs in rational arithmetic, both inf where a pair costs infinity.

    The third result is what the gradient of each item is a sum of, in size: rounding is measured against it.
    """
    length, inf = len(scores), math.inf
    value, gradient, size, pairs = Fraction(0), [Fraction(0)] * length, [Fraction(0)] * length, 0
    for i, j in itertools.product(range(length), repeat=2):
        if groups[i] != groups[j] or labels[i] <= labels[j]:
            continue
        pairs += 1
        high, low = scores[i], scores[j]
        if high == low:
            short = Fraction(margin)
        elif high == inf or low == -inf:
            continue
        elif low == inf or high == -inf:
            value = inf
            size[i] = size[j] = inf
            continue
        else:
            short = max(Fraction(margin) - Fraction(high) + Fraction(low), Fraction(0))
        value += short**power
        slope = power * short ** (power - 1) if short > 0 else Fraction(0)
        gradient[i], gradient[j] = gradient[i] - slope, gradient[j] + slope
        size[i], size[j] = size[i] + slope, size[j] + slope
    count = max(pairs, 1) if reduction == "mean" else 1
    return value / count, [entry / count for entry in gradient], [entry / count for entry in size]


def _dcg(labels):
    return math.fsum((2**y - 1) / math.log2(2 + place) for place, y in enumerate(labels))


def lambdarank(scores, labels, groups=None, sigma=1.0, at=None, reduction="mean", weights=None):
    """ΔNDCG, or ΔNDCG@at, from the list before and after the swap."""
    groups, weights = groups or [0] * len(scores), weights or [1] * len(scores)
    totals, weight = [], []
    for group in sorted(set(groups)):
        members = [i for i in range(len(scores)) if groups[i] == group]
        ranked = sorted(members, key=lambda i: -scores[i])
        ideal = _dcg(sorted((labels[i] for i in members), reverse=True)[:at]) or 1.0
        total = 0.0
        for i, j in itertools.product(members, repeat=2):
            if labels[i] > labels[j]:
                swapped = [{i: j, j: i}.get(k, k) for k in ranked]
                delta = abs(_dcg([labels[k] for k in ranked[:at]]) - _dcg([labels[k] for k in swapped[:at]])) / ideal
                z = -sigma * (scores[i] - scores[j])
                total += weights[i] * delta * (max(z, 0) + math.log1p(math.exp(-abs(z))))
        totals.append(total)
        weight.append(sum(weights[i] for i in members) / len(members))
    return math.fsum(totals) / (sum(weight) or 1 if reduction == "mean" else 1)
