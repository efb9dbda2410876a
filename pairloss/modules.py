"""The losses as modules: hyper-parameters and metadata are given once, scores and items at every step.

A module computes nothing of its own. It holds the metadata tables as buffers, so that ``.to(device)``
moves them with the model and ``state_dict`` keeps them, and calls the function that bears its name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pairloss import checks, pairs
from pairloss.negatives import Scores
from pairloss.pairs import HARDEST_BY, RANK_WEIGHTS, HardestBy, RankWeight
from pairloss.partial_credit import Metadata, MetadataWeights
from pairloss.reduction import REDUCTIONS, Reduction


class _PairLoss(torch.nn.Module):
    function: Callable[..., Tensor]

    def __init__(self, metadata: Metadata | None, metadata_weights: MetadataWeights | None, **options: Any) -> None:
        super().__init__()
        checks.metadata(metadata, metadata_weights)
        checks.flag("squared", options.get("squared", False))
        checks.choice("reduction", options["reduction"], REDUCTIONS)
        for name, table in (metadata or {}).items():
            if "." in name:
                raise ValueError(f"metadata has the key {name!r}; expected one without a dot, since it names a buffer")
            self.register_buffer(f"table_{name}", _as_labels(table))
        self.metadata_weights = dict(metadata_weights or {})
        self._options = tuple(options)
        for option, value in options.items():
            setattr(self, option, value)

    @property
    def metadata(self) -> Metadata:
        """The tables by their names."""
        return {name: self.get_buffer(f"table_{name}") for name in self.metadata_weights}

    def _loss(self, *arguments: Any, **options: Any) -> Tensor:
        options |= {option: getattr(self, option) for option in self._options}
        return type(self).function(*arguments, self.metadata, self.metadata_weights, **options)

    def extra_repr(self) -> str:
        weights = [f"metadata_weights={self.metadata_weights}"] if self.metadata_weights else []
        return ", ".join(weights + [f"{option}={getattr(self, option)!r}" for option in self._options])


def _as_labels(table: Tensor) -> Tensor:
    """A copy of a metadata table, floats as integer codes or bool: ``module.half()`` must not round them."""
    table = table.detach().clone()
    if not table.is_floating_point():
        return table
    if table.ndim == 2 and table.shape[1] > 1:
        return table != 0
    codes: Tensor = torch.unique(table, return_inverse=True)[1]
    return codes.masked_fill(~(table >= 0), -1)  # what was missing stays missing


class _OneNegative(_PairLoss):
    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(metadata, metadata_weights, squared=squared, reduction=reduction)

    def forward(
        self,
        positive_scores: Tensor,
        negative_scores: Tensor,
        positive_items: Tensor | None = None,
        negative_items: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; arguments as in :mod:`pairloss.pairs`."""
        return self._loss(
            positive_scores, negative_scores, None, positive_items, negative_items, mask=mask, weights=weights
        )


class BPRLoss(_OneNegative):
    """:func:`~pairloss.bpr_loss` as a module.

    >>> BPRLoss(metadata={"genre": torch.tensor([0, 0, 1])}, metadata_weights={"genre": 0.25})
    BPRLoss(metadata_weights={'genre': 0.25}, squared=True, reduction='mean')
    """

    function = staticmethod(pairs.bpr_loss)


class HingeLoss(_OneNegative):
    """:func:`~pairloss.hinge_loss` as a module.

    >>> loss = HingeLoss(squared=False)(torch.tensor([1.5]), torch.tensor([3.0]))
    >>> f"{loss:.4f}"
    '2.5000'
    """

    function = staticmethod(pairs.hinge_loss)


class LogBPRLoss(_OneNegative):
    """:func:`~pairloss.log_bpr_loss` as a module; ``squared`` is False unless asked for.

    >>> LogBPRLoss()
    LogBPRLoss(squared=False, reduction='mean')
    """

    function = staticmethod(pairs.log_bpr_loss)

    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        squared: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(metadata, metadata_weights, squared=squared, reduction=reduction)


class _ManyNegatives(_PairLoss):
    num_items: int | None = None

    def forward(
        self,
        positive_scores: Tensor,
        many_negative_scores: Scores,
        positive_items: Tensor | None = None,
        negative_items: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        negative_mask: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; arguments as in :mod:`pairloss.pairs`."""
        return self._loss(
            positive_scores,
            many_negative_scores,
            self.num_items,
            positive_items,
            negative_items,
            mask=mask,
            weights=weights,
            negative_mask=negative_mask,
        )


class _Adaptive(_ManyNegatives):
    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        hardest_by: HardestBy = "score",
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        checks.choice("hardest_by", hardest_by, HARDEST_BY)
        super().__init__(metadata, metadata_weights, hardest_by=hardest_by, squared=squared, reduction=reduction)


class AdaptiveBPRLoss(_Adaptive):
    """:func:`~pairloss.adaptive_bpr_loss` as a module.

    >>> loss = AdaptiveBPRLoss()(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '1.4860'
    """

    function = staticmethod(pairs.adaptive_bpr_loss)


class AdaptiveHingeLoss(_Adaptive):
    """:func:`~pairloss.adaptive_hinge_loss` as a module.

    >>> AdaptiveHingeLoss(hardest_by="violation")
    AdaptiveHingeLoss(hardest_by='violation', squared=True, reduction='mean')
    """

    function = staticmethod(pairs.adaptive_hinge_loss)


class SoftmaxLoss(_ManyNegatives):
    """:func:`~pairloss.softmax_loss` as a module.

    >>> SoftmaxLoss(temperature=0.5)
    SoftmaxLoss(temperature=0.5, reduction='mean')
    """

    function = staticmethod(pairs.softmax_loss)

    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        temperature = checks.number("temperature", temperature, above_0=True)
        super().__init__(metadata, metadata_weights, temperature=temperature, reduction=reduction)


class WARPLoss(_ManyNegatives):
    """:func:`~pairloss.warp_loss` as a module, for a catalogue of ``num_items`` items.

    >>> loss = WARPLoss(num_items=30)(torch.tensor([1.5]), torch.tensor([[1.0], [4.0], [1.49]]))
    >>> f"{loss:.4f}"
    '4.5926'
    """

    function = staticmethod(pairs.warp_loss)

    def __init__(
        self,
        num_items: int,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        rank_weight: RankWeight = "log",
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        checks.num_items(num_items, 1)
        checks.choice("rank_weight", rank_weight, RANK_WEIGHTS)
        super().__init__(metadata, metadata_weights, rank_weight=rank_weight, squared=squared, reduction=reduction)
        self.num_items = num_items

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return f"num_items={self.num_items}, {super().extra_repr()}"
