"""Choosing negatives: which of the K sampled ones does each positive meet?

Every function takes one column per pair and gives, for each, the row of the chosen negative. The
choice carries no gradient; :func:`~pairloss.take_negatives` takes the scores, or the ids, at the chosen
rows. Where [B] is written any shape will do, the same for all, and [K, *shape] for [K, B].
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor

from pairloss import checks
from pairloss.interactions import Interactions
from pairloss.tensors import at, extremes, rows_in_a_piece, usable

Scores = Tensor | Sequence[Tensor] | Callable[[Tensor], Tensor]


class Candidates(NamedTuple):
    """The K negatives that a loss chooses from: their scores, or the function that scores their ids; which are real."""

    many: Scores
    items: Tensor | None
    real: Tensor | None

    def check(self, positive_scores: Tensor) -> Tensor:
        """Raise unless the arguments fit each other; give the scores [K, B], or the ids that are yet to be scored."""
        checks.positive_scores(positive_scores)
        if callable(self.many):
            rows = checks.items_to_score(self.items, positive_scores)
        else:
            rows = checks.many_negative_scores(positive_scores, self.many)
        checks.negative_mask(self.real, rows)
        return rows

    def scores(self, rows: Tensor) -> Tensor:
        """The scores [K, B] to choose by, from what ``check`` gave."""
        if not callable(self.many):
            return rows
        with torch.no_grad(), _uncached_autocast(rows.device.type):
            # What a model makes of an id, dim numbers, is the largest thing in a step, and exists only to be reduced.
            # So it is asked for a few rows at a time.
            parts = torch.split(rows, rows_in_a_piece(rows, 2**15))
            pieces = [checks.scored(self.many(part), part) for part in parts]
            return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def hardest(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The scores [B], with gradients, and the rows of the negatives that score highest."""
        if callable(self.many) or self.real is not None or _collides(scores):
            chosen = hardest_negatives(scores, self.real)
            return self.take(scores, chosen), chosen
        best = scores.max(0)  # both in one pass
        return best.values, best.indices

    def take(self, scores: Tensor, chosen: Tensor) -> Tensor:
        """The scores [B] of the chosen negatives, with gradients."""
        if not callable(self.many) or self.items is None:
            return at(scores, chosen)
        items = at(usable(self.items), chosen)
        return checks.scored(self.many(items), items)


def _uncached_autocast(device: str) -> AbstractContextManager[object]:
    # In older versions of torch autocast keeps the weights that it cast without gradients, also for scoring with them.
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, cache_enabled=False)


@overload
def sample_negatives(
    positive_users: Tensor,
    interactions: Tensor | Interactions,
    num_negatives: int,
    *,
    weights: Tensor | None = None,
    return_mask: Literal[False] = False,
    generator: torch.Generator | None = None,
) -> Tensor: ...


@overload
def sample_negatives(
    positive_users: Tensor,
    interactions: Tensor | Interactions,
    num_negatives: int,
    *,
    weights: Tensor | None = None,
    return_mask: Literal[True],
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]: ...


def sample_negatives(
    positive_users: Tensor,
    interactions: Tensor | Interactions,
    num_negatives: int,
    *,
    weights: Tensor | None = None,
    return_mask: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""K items for each user, drawn independently from those without an interaction: uniformly, or by ``weights``.

    The r-th item that a user has *not* chosen is found by bisection in the sorted list of those that
    they have: exact, without rejected draws, and with no memory beyond a few tensors [K, B]. With weights, r is
    a place in their cumulative sum, in whole numbers, so that nothing is lost to rounding.

    Args:
        positive_users: user ids, [B] integer
        interactions: what is not to be drawn: :class:`~pairloss.Interactions`, or a matrix [U, N], which
            may be sparse COO or CSR, whose stored entries are the interactions, or dense and not 0 there.
            Interactions and coalesced COO tensors cost nothing per interaction. Anything else is brought
            into that form at each call, and a dense matrix waits for a GPU to do so.
        num_negatives: K, at least 1
        weights: draw in proportion to these, [N] numbers of at least 0, finite: popularity to some power, for
            example. An item of weight 0 is never drawn. They count to one part in :math:`2^{52}` of their sum.
        return_mask: whether to say which draws are real, for ``negative_mask``: all but those for a user
            who has interacted with everything, who gets item 0
        generator: source of randomness, on the device of the users

    Returns:
        Item ids, [K, B] int64, on the device of the users; with ``return_mask`` also the mask, [K, B] bool.

    Raises:
        TypeError: for a wrong type, dtype or layout
        ValueError: for shapes or devices that do not fit and, on the CPU, for NaN, for weights below 0 or
            infinite, for a user without a row and, without ``return_mask``, for a user without an item left (of
            a weight above 0); on a GPU such a user gets N, the id of no item

    From scipy, pandas and polars::

        csr = scipy_matrix.tocsr()  # any scipy sparse matrix or array [U, N]
        size = csr.shape
        parts = [torch.from_numpy(part) for part in (csr.indptr, csr.indices, csr.data)]
        interactions = torch.sparse_csr_tensor(*parts, size=size)

        users, names = pandas.factorize(frame["user"])  # a pandas.DataFrame; the same for the items
        items, titles = pandas.factorize(frame["item"])
        pair = torch.from_numpy(users), torch.from_numpy(items)
        interactions = pairloss.Interactions(*pair, len(names), len(titles))

        codes = frame.select(polars.col("user", "item").rank("dense") - 1)  # a polars.DataFrame
        users, items = codes.to_torch().T
        num_users, num_items = codes.max().row(0)
        interactions = pairloss.Interactions(users, items, num_users + 1, num_items + 1)

    >>> interactions = torch.tensor([[True, False, True, True]])
    >>> sample_negatives(torch.tensor([0, 0]), interactions, 3)
    tensor([[1, 1],
            [1, 1],
            [1, 1]])
    """
    longest = interactions.most_of_a_user if isinstance(interactions, Interactions) else None
    if isinstance(interactions, Interactions):
        interactions = interactions.matrix
    checks.sampling(positive_users, interactions, num_negatives, weights)
    checks.flag("return_mask", return_mask)
    rows, items = _coalesced(interactions)
    num_items = interactions.shape[1]
    users = positive_users.long()
    first = torch.searchsorted(rows, users)
    known = torch.searchsorted(rows, users, right=True) - first
    if longest is None:
        ends = extremes(known)
        longest = int(ends[1]) if ends else num_items
    if weights is None:
        start, left = first, num_items - known
    else:  # as above, with the weight of items in the place of their number
        whole = _whole(weights)
        before_item, before_known = (torch.nn.functional.pad(w.cumsum(0), (1, 0)) for w in (whole, whole[items]))
        unknown_before = before_item[items] - before_known[:-1]
        start = before_known[first]
        left = before_item[-1] - (before_known[first + known] - start)
    if not return_mask:
        checks.not_everything(users, left)
    shape = num_negatives, len(users)
    uniform = torch.rand(shape, dtype=torch.float64, device=users.device, generator=generator)
    r = (uniform * left).long().minimum(left - 1).clamp(min=0)
    # The draw stands behind those known items that have at most r unknown ones (or r of their weight) before them.
    # Bisect for the last of them, from the highest power of 2 down. A probe beyond a user's last item stops there.
    last, end, most = (first - 1).expand(shape), first + known - 1, r - start
    step = 1 << max(longest.bit_length() - 1, 0) if len(items) else 0
    while step > 0:
        probe = (last + step).minimum(end)
        unknown = items[probe] - probe if weights is None else unknown_before[probe]
        last = torch.where(unknown <= most, probe, last)
        step >>= 1
    behind = last + 1 - first
    if weights is None:
        drawn = r + behind
    else:
        drawn = torch.searchsorted(before_item[1:], r + before_known[first + behind] - start, right=True)
    if not return_mask:
        return drawn
    real = (left > 0).expand(shape)
    return drawn.masked_fill(~real, 0), real


def _whole(weights: Tensor) -> Tensor:
    """Weights as whole numbers, which add up to about 2⁵² and whose sums are exact; none above 0 becomes 0."""
    weights = usable(weights).double()
    if not len(weights):
        return weights.long()
    weights = weights / weights.amax().clamp(min=torch.finfo(weights.dtype).tiny)  # whose sum is finite
    return (weights / weights.sum() * 2**52).round().clamp(min=1).where(weights > 0, 0).long()


def _coalesced(interactions: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the interactions, in order, each pair once."""
    if interactions.layout == torch.strided:
        sparse = (interactions != 0).to_sparse()
    elif interactions.layout == torch.sparse_csr:
        counts = interactions.crow_indices().diff()
        rows = torch.arange(len(counts), device=counts.device).repeat_interleave(
            counts, output_size=interactions.col_indices().shape[0]
        )
        # What scipy hands over need be neither sorted nor free of duplicates.
        sparse = _once(torch.stack([rows, interactions.col_indices().long()]), interactions.shape)
    elif interactions.is_coalesced():
        sparse = interactions
    else:
        sparse = _once(interactions._indices(), interactions.shape)
    rows, items = sparse.indices()
    return rows, items


def _once(indices: Tensor, size: torch.Size) -> Tensor:
    entries = torch.ones(indices.shape[1], dtype=torch.float32, device=indices.device)
    return torch.sparse_coo_tensor(indices, entries, size, check_invariants=True).coalesce()


def take_negatives(rows: Tensor, index: Tensor) -> Tensor:
    """The chosen negatives: from each column of scores, ids or margins the entry at the chosen row.

    Args:
        rows: one row for each of K negatives, [K, B] of any dtype
        index: the row chosen for each pair, [B] integer, as the functions that choose give it

    Returns:
        A tensor [B] like ``rows``, with gradients to the chosen entries.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for a wrong shape or device and (on the CPU) a row below 0 or above K − 1

    >>> scores = torch.tensor([[2.0, 0.5], [3.0, 0.1], [2.5, 0.4]])
    >>> take_negatives(scores, hardest_negatives(scores))
    tensor([3.0000, 0.5000])
    """
    checks.chosen(rows, index)
    return at(usable(rows), index.long())


def hardest_negatives(many_negative_scores: Tensor, negative_mask: Tensor | None = None) -> Tensor:
    r"""The highest-scoring negative of each pair: :math:`\arg\max_k n_k`.

    Args:
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool; the others are never chosen

    Returns:
        Row indices, [B] int64; 0 where no negative is real. A NaN counts as the highest score, so that
        it stays visible.

    Raises:
        TypeError: for a wrong type or dtype
        ValueError: for a wrong shape or device

    See Also:
        :func:`~pairloss.take_negatives`, which takes the scores at these rows.

    >>> hardest_negatives(torch.tensor([[2.0, 0.5], [3.0, 0.1], [2.5, 0.4]]))
    tensor([1, 0])
    """
    many = checks.rows(many_negative_scores)
    checks.negative_mask(negative_mask, many)
    many = many.detach()
    if negative_mask is not None:
        # A real negative that scores −inf must still beat one that is not real.
        lowest = torch.finfo(many.dtype).min
        many = many.clamp(min=lowest).masked_fill(~negative_mask, -torch.inf)
    if _collides(many):
        best = many.amax(0)
        if checks.true(best.isnan().logical_not_().all()):
            return first_hit(many == best, None)[0]
    return many.max(0).indices


def _collides(many: Tensor) -> bool:
    """Whether a walk down a column, which is what ``max`` with indices does, meets the same few lines of the cache.

    They are 4096 bytes apart, for B = 16,384 as for other powers of 2, and two passes along the rows are up to four
    times faster.
    """
    if torch.compiler.is_compiling() or many.device.type != "cpu" or many.numel() < 2**17:
        return False
    return many[0].numel() * many.element_size() % 4096 == 0


def semi_hard_negatives(
    positive_scores: Tensor, many_negative_scores: Tensor, negative_mask: Tensor | None = None
) -> Tensor:
    r"""The highest-scoring negative below its positive; where none is below, the lowest of all.

    Hard, but not so hard that it may well be a false negative.

    Args:
        positive_scores: scores of the positives, [B]
        many_negative_scores: scores of the sampled negatives, [K, B]
        negative_mask: which of them are real, [K, B] bool; the others are never chosen

    Returns:
        Row indices, [B] int64; 0 where no negative is real.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for a wrong shape or device

    Source: Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, arXiv 1503.03832, section 3.2, in
    scores instead of distances and without its margin.

    >>> semi_hard_negatives(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [1.5, 2.0], [4.0, 5.0]]))
    tensor([1, 1])
    """
    checks.positive_scores(positive_scores)
    many = checks.many_negative_scores(positive_scores, many_negative_scores)
    checks.negative_mask(negative_mask, many)
    below = many.detach() < positive_scores.detach()
    if negative_mask is not None:
        below = below & negative_mask
    lowest = hardest_negatives(-many, negative_mask)
    return torch.where(below.any(0), hardest_negatives(many, below), lowest)


def first_violation(margins: Tensor, negative_mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    r"""The first negative of each pair, from the top, that violates its margin.

    This is the search of WARP (Weston, Bengio and Usunier, IJCAI 2011), for all pairs at once.

    Args:
        margins: margin :math:`d - p + n_k` of each negative, [K, B]; above 0 is a violation
        negative_mask: which negatives are real, [K, B] bool; one that is not does not count as a try

    Returns:
        ``(index, tries, found)``, each [B]. index is the row of the first violation (int64; K − 1 where
        there is none), tries the number of draws it took (int64; where there is none, all real
        negatives), found whether there is one (bool). A NaN counts as a violation, so that it stays
        visible.

    Raises:
        TypeError: for a wrong dtype
        ValueError: for a wrong shape or device

    >>> index, tries, found = first_violation(torch.tensor([[-1.0, -1.0], [0.5, -2.0], [2.0, -3.0]]))
    >>> index, tries, found
    (tensor([1, 2]), tensor([2, 3]), tensor([ True, False]))
    """
    margins = checks.rows(margins, "margins")
    checks.negative_mask(negative_mask, margins, "margins")
    return first_hit((margins <= 0).logical_not_(), negative_mask)


def first_hit(hit: Tensor, negative_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``first_violation`` for violations already found, ``hit`` [K, B] bool."""
    if negative_mask is not None:
        hit = hit & negative_mask
    # Count rows down, K … 1, and keep the largest count that is hit: argmax over rows would walk
    # through memory with stride B, several times slower. Small integers move fewer bytes.
    k = hit.shape[0]
    dtype = torch.int16 if k < 2**15 else torch.int32
    countdown = torch.arange(k, 0, -1, dtype=dtype, device=hit.device).reshape(-1, *[1] * (hit.ndim - 1))
    best = hit.to(dtype).mul_(countdown).amax(0).long()
    found = best > 0
    index = (k - best).clamp(max=k - 1)
    if negative_mask is None:
        return index, index + 1, found
    tried = (countdown >= best) & negative_mask
    return index, tried.sum(0), found
