"""Pairwise ranking losses for implicit feedback, in PyTorch."""

import warnings as _warnings
from typing import Any as _Any

from pairloss import datasets as datasets
from pairloss import metrics as metrics
from pairloss import terms as terms
from pairloss.all_pairs import pairwise_hinge_loss
from pairloss.choosing import choose_first_violation, choose_hardest, choose_semi_hard, take_negatives
from pairloss.in_batch import in_batch_softmax_loss
from pairloss.interactions import Interactions
from pairloss.lambdarank import lambdarank_loss
from pairloss.modules import AdaptiveBPRLoss, AdaptiveHingeLoss, BPRLoss, HingeLoss, LogBPRLoss, SoftmaxLoss, WARPLoss
from pairloss.pairs import (
    adaptive_bpr_loss,
    adaptive_hinge_loss,
    bpr_loss,
    hinge_loss,
    log_bpr_loss,
    pair_loss,
    pointwise_loss,
    softmax_loss,
    warp_loss,
)  # fmt: skip
from pairloss.partial_credit import ideal_difference_from_metadata
from pairloss.ratings import logistic_loss, poisson_loss, regression_loss
from pairloss.reduction import distributed_mean, total_weight
from pairloss.sampling import sample_negatives

__version__ = "0.1.0"

__all__ = [
    "pair_loss", "bpr_loss", "hinge_loss", "log_bpr_loss", "adaptive_bpr_loss", "adaptive_hinge_loss", "warp_loss",
    "softmax_loss", "in_batch_softmax_loss", "ideal_difference_from_metadata", "pointwise_loss",
    "pairwise_hinge_loss", "lambdarank_loss", "logistic_loss", "poisson_loss", "regression_loss",
    "sample_negatives", "choose_hardest", "choose_semi_hard", "choose_first_violation", "take_negatives",
    "total_weight", "distributed_mean", "Interactions",
    "BPRLoss", "HingeLoss", "LogBPRLoss", "AdaptiveBPRLoss", "AdaptiveHingeLoss", "WARPLoss", "SoftmaxLoss",
]  # fmt: skip

_RENAMED = {
    "hardest_negatives": choose_hardest,
    "semi_hard_negatives": choose_semi_hard,
    "first_violation": choose_first_violation,
}


def __getattr__(name: str) -> _Any:
    if not (new := _RENAMED.get(name)):
        raise AttributeError(f"module 'pairloss' has no attribute {name!r}")
    _warnings.warn(f"pairloss.{name} is now pairloss.{new.__name__}", DeprecationWarning, stacklevel=2)
    return new
