"""Pairwise ranking losses for implicit feedback, in PyTorch."""

from pairloss import datasets as datasets
from pairloss import metrics as metrics
from pairloss.interactions import Interactions
from pairloss.lists import ListReduction, lambdarank_loss, pairwise_hinge_loss
from pairloss.modules import (
    AdaptiveBPRLoss,
    AdaptiveHingeLoss,
    BPRLoss,
    HingeLoss,
    LogBPRLoss,
    SoftmaxLoss,
    WARPLoss,
)
from pairloss.negatives import (
    first_violation,
    hardest_negatives,
    sample_negatives,
    semi_hard_negatives,
    take_negatives,
)
from pairloss.pairs import (
    adaptive_bpr_loss,
    adaptive_hinge_loss,
    bpr_loss,
    hinge_loss,
    log_bpr_loss,
    pointwise_loss,
    softmax_loss,
    warp_loss,
)
from pairloss.partial_credit import ideal_difference_from_metadata
from pairloss.ratings import logistic_loss, poisson_loss, regression_loss
from pairloss.reduction import Reduction, total_weight

__version__ = "0.1.0"

__all__ = [
    "bpr_loss",
    "hinge_loss",
    "log_bpr_loss",
    "adaptive_bpr_loss",
    "adaptive_hinge_loss",
    "warp_loss",
    "softmax_loss",
    "ideal_difference_from_metadata",
    "pointwise_loss",
    "pairwise_hinge_loss",
    "lambdarank_loss",
    "logistic_loss",
    "poisson_loss",
    "regression_loss",
    "sample_negatives",
    "hardest_negatives",
    "semi_hard_negatives",
    "first_violation",
    "take_negatives",
    "total_weight",
    "Interactions",
    "BPRLoss",
    "HingeLoss",
    "LogBPRLoss",
    "AdaptiveBPRLoss",
    "AdaptiveHingeLoss",
    "WARPLoss",
    "SoftmaxLoss",
    "Reduction",
    "ListReduction",
]
