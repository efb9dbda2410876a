"""Losses on explicit ratings, thin wrappers of ``torch.nn.functional`` with the names that Spotlight uses.

All three take observed and predicted ratings of one shape, any shape, and average over all entries.
An empty batch costs 0. Predictions are floating, and observed ratings may have any real dtype.
"""

import torch
from torch.nn import functional

from pairloss import checks
from pairloss.tensors import computed_in, usable


def logistic_loss(observed_ratings: torch.Tensor, predicted_ratings: torch.Tensor) -> torch.Tensor:
    r"""Logistic loss of likes and dislikes: the cross entropy of :math:`\sigma(r)`.

    .. math:: \ell = -\log \sigma(r) \text{ if observed} = 1, \qquad -\log \sigma(-r) \text{ otherwise}

    Args:
        observed_ratings: +1 for a like, −1 or 0 for a dislike, any dtype
        predicted_ratings: scores r, floating, of the same shape, unbounded

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape or device and (on the CPU) other observed values.

    See Also: :func:`~pairloss.log_bpr_loss` (the same function of the difference of two scores).

    Source: Spotlight, ``spotlight.losses.logistic_loss``.

    >>> logistic_loss(torch.tensor([1, -1]), torch.tensor([2.0, -2.0]))
    tensor(0.1269)
    """
    observed, predicted = _ratings(observed_ratings, predicted_ratings)
    checks.none("observed_ratings", observed, lambda y: (y != 0) & (y.abs() != 1), "only -1, 0 and 1")
    # softplus(−r) for a like, softplus(r) for a dislike: exact on either side, where a form with r·y cancels.
    return _mean(functional.softplus(predicted.where(observed <= 0, -predicted), threshold=40))


def poisson_loss(observed_ratings: torch.Tensor, predicted_ratings: torch.Tensor) -> torch.Tensor:
    r"""Poisson loss of counts, up to a term that does not depend on the prediction.

    .. math:: \ell = r - y \log r

    A predicted rating is a mean count and must be above 0: give ``scores.exp()`` or ``softplus(scores)``, not raw
    scores. On the CPU anything else is an error. On a GPU the loss is then infinite or NaN.

    Args:
        observed_ratings, predicted_ratings: counts y ≥ 0 of any real dtype, and means r > 0, floating, of one shape

    Raises: TypeError for a wrong dtype, ValueError for a wrong shape or device and (on the CPU) r ≤ 0 or y < 0.

    See Also: :func:`~pairloss.regression_loss` (for ratings that are no counts).

    Source: Spotlight, ``spotlight.losses.poisson_loss``.

    >>> poisson_loss(torch.tensor([3, 0]), torch.tensor([1.0, 2.0]))
    tensor(1.5000)
    """
    observed, predicted = _ratings(observed_ratings, predicted_ratings)
    checks.none("observed_ratings", observed, lambda y: y < 0, "counts of at least 0")
    checks.none("predicted_ratings", predicted, lambda r: r <= 0, "all above 0: give exp or softplus of a score")
    loss = functional.poisson_nll_loss(predicted, observed, log_input=False, eps=0.0, reduction="none")
    return _mean(loss)


def regression_loss(observed_ratings: torch.Tensor, predicted_ratings: torch.Tensor) -> torch.Tensor:
    r"""Mean squared error.

    .. math:: \ell = (y - r)^2

    Args:
        observed_ratings, predicted_ratings: y of any real dtype, and r, floating, of one shape

    Raises: TypeError for a wrong type or dtype, ValueError for shapes or devices that differ.

    See Also: :func:`~pairloss.poisson_loss` (for counts).

    Source: Spotlight, ``spotlight.losses.regression_loss``.

    >>> regression_loss(torch.tensor([5, 3]), torch.tensor([4.0, 3.0]))
    tensor(0.5000)
    """
    observed, predicted = _ratings(observed_ratings, predicted_ratings)
    return _mean(functional.mse_loss(predicted, observed, reduction="none"))


def _ratings(observed: torch.Tensor, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    checks.scores("predicted_ratings", predicted)
    checks.reals("observed_ratings", observed)
    checks.beside("observed_ratings", observed, predicted, "predicted_ratings", predicted.shape)
    dtype = computed_in(predicted)
    return usable(observed).to(dtype), predicted.to(dtype)


def _mean(loss: torch.Tensor) -> torch.Tensor:
    return loss.sum() / max(loss.numel(), 1)
