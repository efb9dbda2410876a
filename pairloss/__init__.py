"""Pairwise ranking losses for implicit feedback, in PyTorch."""

from pairloss.losses import (
    adaptive_bpr_loss,
    adaptive_hinge_loss,
    bpr_loss,
    hinge_loss,
    log_bpr_loss,
    warp_loss,
)
from pairloss.modules import (
    AdaptiveBPRLoss,
    AdaptiveHingeLoss,
    BPRLoss,
    HingeLoss,
    LogBPRLoss,
    WARPLoss,
)
from pairloss.negatives import first_violation, hardest_negatives
from pairloss.partial_credit import ideal_difference_from_metadata

__version__ = "0.1.0"

__all__ = [
    "bpr_loss",
    "hinge_loss",
    "log_bpr_loss",
    "adaptive_bpr_loss",
    "adaptive_hinge_loss",
    "warp_loss",
    "ideal_difference_from_metadata",
    "hardest_negatives",
    "first_violation",
    "BPRLoss",
    "HingeLoss",
    "LogBPRLoss",
    "AdaptiveBPRLoss",
    "AdaptiveHingeLoss",
    "WARPLoss",
]
