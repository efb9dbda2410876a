r"""Choosing negatives: which of the K sampled ones does each positive meet?

Every choice takes one column per pair and gives, for each, the row of the chosen negative. It carries no gradient.
:func:`~pairloss.take_negatives` takes the scores, or the ids, at the chosen rows. Where [B] is written any shape
will do, the same for all, and [K, \*shape] for [K, B]. With ``batch_first=True`` tables are [B, K], as in torch.nn.
A wrong dtype is a TypeError. A wrong shape or device is a ValueError.
"""

import torch
from torch import Tensor

from pairloss import checks
from pairloss.tensors import at, large, read, readable, rows_first, usable


def take_negatives(rows: Tensor, index: Tensor, *, batch_first: bool = False) -> Tensor:
    """The chosen negatives: from each column of scores, ids or margins the entry at the chosen row.

    Args:
        rows: one row for each of K negatives, [K, B] of any dtype
        index: the row chosen for each pair, [B] integer, as the functions that choose give it
        batch_first: whether ``rows`` are [B, K]

    Returns: a tensor [B] like ``rows``, with gradients to the chosen entries.

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape or device and (on the CPU) a row not in 0 … K − 1.

    >>> scores = torch.tensor([[2.0, 0.5], [3.0, 0.1], [2.5, 0.4]])
    >>> take_negatives(scores, choose_hardest(scores))
    tensor([3.0000, 0.5000])
    """
    checks.flag("batch_first", batch_first)
    checks.reals("rows", rows)
    checks.rows("rows", rows, batch_first)
    checks.ids("index", index)
    checks.beside("index", index, rows, "rows", rows.shape[:-1] if batch_first else rows.shape[1:])
    checks.within("index holds rows", index, rows.shape[-1 if batch_first else 0])
    return at(rows_first(usable(rows), batch_first), index.long())


def choose_hardest(
    many_negative_scores: Tensor, negative_mask: Tensor | None = None, *, batch_first: bool = False
) -> Tensor:
    r"""The row of the highest-scoring negative of each pair: :math:`\arg\max_k n_k`.

    Args:
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool (the others are never chosen)
        batch_first: whether both are [B, K]

    Returns: row indices, [B] int64, and 0 where no negative is real. A NaN counts as the highest score.

    >>> choose_hardest(torch.tensor([[2.0, 0.5], [3.0, 0.1], [2.5, 0.4]]))
    tensor([1, 0])
    """
    return highest(*_checked("many_negative_scores", many_negative_scores, negative_mask, batch_first))


def choose_semi_hard(
    positive_scores: Tensor, many_negative_scores: Tensor, negative_mask: Tensor | None = None, *,
    batch_first: bool = False,
) -> Tensor:  # fmt: skip
    r"""The row of the highest-scoring negative below its positive, or of the lowest where none is below.

    Hard, but not so hard that it may well be a false negative.

    Args:
        positive_scores: scores of the positives, [B]
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool (the others are never chosen)
        batch_first: whether the last two are [B, K]

    Returns: row indices, [B] int64, and 0 where no negative is real.

    Source: Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, arXiv 1503.03832, section 3.2, in
    scores instead of distances and without its margin.

    >>> choose_semi_hard(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [1.5, 2.0], [4.0, 5.0]]))
    tensor([1, 1])
    """
    checks.scores("positive_scores", positive_scores)
    checked = _checked("many_negative_scores", many_negative_scores, negative_mask, batch_first, positive_scores)
    return semi_hard(positive_scores, *checked)


def choose_first_violation(
    margins: Tensor, negative_mask: Tensor | None = None, *, batch_first: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The row of the first negative of each pair, from the top, that violates its margin.

    This is the search of WARP (Weston, Bengio and Usunier, IJCAI 2011), for all pairs at once.

    Args:
        margins: margin :math:`d - p + n_k` of each negative, [K, B]. Above 0 is a violation.
        negative_mask: which negatives are real, [K, B] bool. Another is never chosen and is no try.
        batch_first: whether both are [B, K]

    Returns:
        ``(index, tries, found)``, each [B]. index is the row of the first violation (int64, K − 1 where there is none).
        tries is the number of draws it took (int64, all real negatives where there is none). found is whether there
        is one (bool). A NaN counts as a violation, so that it stays visible.

    >>> choose_first_violation(torch.tensor([[-1.0, -1.0], [0.5, -2.0], [2.0, -3.0]]))  # index, tries, found
    (tensor([1, 2]), tensor([2, 3]), tensor([ True, False]))
    """
    margins, negative_mask = _checked("margins", margins, negative_mask, batch_first)
    return first_hit((margins <= 0).logical_not_(), negative_mask)


def _checked(
    name: str, many: Tensor, negative_mask: Tensor | None, batch_first: bool, positive: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Scores and mask as [K, B], once they are checked."""
    checks.flag("batch_first", batch_first)
    checks.scores(name, many)
    if positive is None:
        checks.rows(name, many, batch_first)
    else:
        checks.columns(name, many, positive, batch_first=batch_first)
    checks.optional("negative_mask", negative_mask, checks.bools, many, name, many.shape)
    return rows_first(many, batch_first), rows_first(negative_mask, batch_first)


def highest(many: Tensor, real: Tensor | None) -> Tensor:
    """``choose_hardest`` of what is checked."""
    many = many.detach()
    if real is None:
        return _first_largest(many)
    row = _first_largest(many.masked_fill(~real, -torch.inf))
    is_real = at(real, row)
    if readable(is_real) and read(is_real.all()):
        return row
    # Where all real scores are −∞, a score that is not real may have come first.
    first, _, found = first_hit(real, None)
    return torch.where(found & ~is_real, first, row)


def semi_hard(positive: Tensor, many: Tensor, real: Tensor | None) -> Tensor:
    """``choose_semi_hard`` of what is checked."""
    below = many.detach() < positive.detach()
    if real is not None:
        below = below & real
    return torch.where(below.any(0), highest(many, below), highest(-many, real))


def violates(positive: Tensor, many: Tensor, d: Tensor | float) -> Tensor:
    """Which of the K margins n − p + d are above 0, [K, B], or NaN, which must stay visible."""
    return (many - positive <= -d).logical_not_()


def first_hit(hit: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``choose_first_violation`` for violations already found, ``hit`` [K, B] bool."""
    if real is not None:
        hit = hit & real
    # Count rows down, K … 1, and keep the largest count that is hit. An argmax over rows would walk through memory
    # with stride B, which takes several times as long. Small integers move fewer bytes, but ONNX has no amax of them.
    k = hit.shape[0]
    dtype = torch.int16 if k < 2**15 and not torch.compiler.is_compiling() else torch.int32
    countdown = torch.arange(k, 0, -1, dtype=dtype, device=hit.device).reshape(-1, *[1] * (hit.ndim - 1))
    best = (hit * countdown).amax(0).long()
    found = best > 0
    index = (k - best).clamp(max=k - 1)
    if real is None:
        return index, index + 1, found
    tried = (countdown >= best) & real
    return index, tried.sum(0), found


def _first_largest(many: Tensor) -> Tensor:
    """The row of the largest entry of each column, the first of equal ones. A NaN is larger than any number.

    On the CPU ``max`` with indices walks down the columns. Two passes along the rows take half the time at
    (50, 65536), and less than that at (500, 16384).
    """
    if large(many) and many.is_cpu:
        most = many.amax(0)
        if read(most.isnan().logical_not_().all()):
            return first_hit(many == most, None)[0]
    return many.max(0).indices
