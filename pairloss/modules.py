"""The losses as modules: hyper-parameters and metadata are given once, scores and items at every step.

A module computes nothing of its own. It holds the metadata tables as buffers, so that ``.to(device)``
moves them with the model and ``state_dict`` keeps them, and calls the function that bears its name.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from pairloss import checks, pairs
from pairloss.batch import Scores
from pairloss.pairs import HARDEST_BY, RANK_WEIGHTS, HardestBy, RankWeight
from pairloss.partial_credit import Metadata, MetadataWeights
from pairloss.reduction import REDUCTIONS, Reduction


class _PairLoss(torch.nn.Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, metadata: Metadata | None, metadata_weights: MetadataWeights | None, **options: Any) -> None:
        super().__init__()
        checks.metadata(metadata, metadata_weights)
        for flag in options.keys() & {"squared", "batch_first"}:
            checks.flag(flag, options[flag])
        checks.choice("reduction", options["reduction"], REDUCTIONS)
        for name, table in (metadata or {}).items():
            if "." in name:
                raise ValueError(f"metadata has the key {name!r}; expected one without a dot, since it names a buffer")
            self.register_buffer(f"table_{name}", _as_labels(name, table))
        self.metadata_weights = dict(metadata_weights or {})
        self._options = tuple(options)
        for option, value in options.items():
            setattr(self, option, value)

    @property
    def metadata(self) -> Metadata:
        """The tables by their names."""
        return {name: self.get_buffer(f"table_{name}") for name in self.metadata_weights}

    def forward(
        self,
        positive_scores: Tensor,
        negative_scores: Scores,
        positive_items: Tensor | None = None,
        negative_items: Tensor | None = None,
        **masks: Tensor | None,
    ) -> Tensor:
        """The loss of a batch; arguments as in :mod:`pairloss.pairs`, and so are mask, weights and negative_mask."""
        return type(self).function(
            positive_scores,
            negative_scores,
            positive_items=positive_items,
            negative_items=negative_items,
            metadata=self.metadata,
            metadata_weights=self.metadata_weights,
            **masks,
            **{option: getattr(self, option) for option in self._options},
        )

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        weights = [f"metadata_weights={self.metadata_weights}"] if self.metadata_weights else []
        return ", ".join(weights + [f"{option}={getattr(self, option)!r}" for option in self._options])


def _as_labels(name: str, table: Tensor) -> Tensor:
    """A copy of a metadata table, floats as integer codes or bool: ``module.half()`` must not round them."""
    table = table.detach().clone()
    if table.ndim == 2 and table.shape[1] > 1:
        return table != 0
    if not table.is_floating_point():
        return table
    if table.is_meta:
        raise ValueError(
            f"metadata[{name!r}] is on the meta device, where it has no values; expected them, or integers"
        )
    codes: Tensor = torch.unique(table, return_inverse=True)[1]
    return codes.masked_fill(~(table >= 0), -1)  # what was missing stays missing


class _Squared(_PairLoss):
    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(metadata, metadata_weights, squared=squared, reduction=reduction)


class BPRLoss(_Squared):
    """:func:`~pairloss.bpr_loss` as a module, with the square of Collie unless ``squared`` is False.

    >>> BPRLoss(metadata={"genre": torch.tensor([0, 0, 1])}, metadata_weights={"genre": 0.25})
    BPRLoss(metadata_weights={'genre': 0.25}, squared=True, reduction='mean')
    """

    function = staticmethod(pairs.bpr_loss)


class HingeLoss(_Squared):
    """:func:`~pairloss.hinge_loss` as a module, with the square of Collie unless ``squared`` is False.

    >>> loss = HingeLoss(squared=False)(torch.tensor([1.5]), torch.tensor([3.0]))
    >>> f"{loss:.4f}"
    '2.5000'
    """

    function = staticmethod(pairs.hinge_loss)


class LogBPRLoss(_PairLoss):
    """:func:`~pairloss.log_bpr_loss` as a module.

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


class _Adaptive(_PairLoss):
    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        batch_first: bool = False,
        hardest_by: HardestBy = "score",
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        checks.choice("hardest_by", hardest_by, HARDEST_BY)
        options = {"batch_first": batch_first, "hardest_by": hardest_by, "squared": squared, "reduction": reduction}
        super().__init__(metadata, metadata_weights, **options)


class AdaptiveBPRLoss(_Adaptive):
    """:func:`~pairloss.adaptive_bpr_loss` as a module, with the square of Collie unless ``squared`` is False.

    >>> loss = AdaptiveBPRLoss()(torch.tensor([1.5]), torch.tensor([[2.0], [3.0], [2.5]]))
    >>> f"{loss:.4f}"
    '1.4860'
    """

    function = staticmethod(pairs.adaptive_bpr_loss)


class AdaptiveHingeLoss(_Adaptive):
    """:func:`~pairloss.adaptive_hinge_loss` as a module, with the square of Collie unless ``squared`` is False.

    >>> AdaptiveHingeLoss(hardest_by="violation")
    AdaptiveHingeLoss(batch_first=False, hardest_by='violation', squared=True, reduction='mean')
    """

    function = staticmethod(pairs.adaptive_hinge_loss)


class SoftmaxLoss(_PairLoss):
    """:func:`~pairloss.softmax_loss` as a module.

    >>> SoftmaxLoss(temperature=0.5)
    SoftmaxLoss(batch_first=False, temperature=0.5, reduction='mean')
    """

    function = staticmethod(pairs.softmax_loss)

    def __init__(
        self,
        metadata: Metadata | None = None,
        metadata_weights: MetadataWeights | None = None,
        *,
        batch_first: bool = False,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        checks.temperature(temperature)
        options = {"batch_first": batch_first, "temperature": temperature, "reduction": reduction}
        super().__init__(metadata, metadata_weights, **options)


class WARPLoss(_PairLoss):
    """:func:`~pairloss.warp_loss` as a module for a catalogue of ``num_items``, squared unless ``squared`` is False.

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
        batch_first: bool = False,
        rank_weight: RankWeight = "log",
        squared: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        checks.num_items(num_items, needed=True)
        checks.choice("rank_weight", rank_weight, RANK_WEIGHTS)
        options = {"batch_first": batch_first, "rank_weight": rank_weight, "squared": squared, "reduction": reduction}
        super().__init__(metadata, metadata_weights, num_items=num_items, **options)
