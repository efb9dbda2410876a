"""The losses as modules: options and metadata are given once, scores and items at every step.

A module calls the function that bears its name, with the options of that function. It holds the metadata tables as
buffers, so ``.to(device)`` moves them with the model and ``state_dict`` keeps them.

>>> HingeLoss(squared=False)(torch.tensor([1.5]), torch.tensor([3.0]))
tensor(2.5000)
>>> BPRLoss(metadata={"genre": torch.tensor([0, 0, 1])}, metadata_weights={"genre": 0.25})
BPRLoss(metadata_weights={'genre': 0.25}, squared=True, reduction='mean')
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from pairloss import checks, pairs
from pairloss.batch import Scores
from pairloss.partial_credit import Metadata, MetadataWeights
from pairloss.tensors import extremes, usable

SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)
OPTIONS = ("num_items", "batch_first", "hardest_by", "rank_weight", "temperature", "squared", "reduction")


class _PairLoss(torch.nn.Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None, **options: Any
    ) -> None:
        super().__init__()
        checks.metadata(metadata, metadata_weights)
        known = inspect.signature(self.function).parameters
        defaults = {name: known[name].default for name in OPTIONS if name in known and known[name].default is not None}
        if unknown := options.keys() - defaults.keys():
            names = ", ".join(("metadata", "metadata_weights", *defaults))
            raise TypeError(f"{type(self).__name__} takes no {', '.join(sorted(unknown))}; expected some of {names}")
        for name, value in (defaults | options).items():
            setattr(self, name, value)
        self._options = tuple(defaults)
        self.metadata_weights: MetadataWeights = {}
        tried = torch.zeros(1, 1, device="cpu")
        self(tried[0], tried)  # raises where an option is wrong
        for name, table in (metadata or {}).items():
            if "." in name:
                raise ValueError(f"metadata has the key {name!r}; expected one without a dot, since it names a buffer")
            self.register_buffer(f"table_{name}", _as_labels(name, table))
        self.metadata_weights = dict(metadata_weights or {})

    @property
    def metadata(self) -> Metadata:
        """The tables by their names."""
        return {name: getattr(self, f"table_{name}") for name in self.metadata_weights}

    def forward(
        self, positive_scores: Tensor, negative_scores: Scores, positive_items: Tensor | None = None,
        negative_items: Tensor | None = None, **masks: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """The loss of a batch. All arguments, masks and weights included, are as in :mod:`pairloss.pairs`."""
        fixed = {name: getattr(self, name) for name in ("metadata", "metadata_weights", *self._options)}
        items = {"positive_items": positive_items, "negative_items": negative_items}
        return type(self).function(positive_scores, negative_scores, **items, **masks, **fixed)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, table in self.metadata.items():  # codes that are copied into a narrower dtype would wrap
            given = usable(state_dict.get(f"{prefix}table_{name}", table))
            setattr(self, f"table_{name}", table.to(torch.promote_types(table.dtype, given.dtype)))
        super()._load_from_state_dict(state_dict, prefix, *others)

    def extra_repr(self) -> str:
        names = ("metadata_weights", *self._options) if self.metadata_weights else self._options
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


def _as_labels(name: str, table: Tensor) -> Tensor:
    """A copy of a metadata table: labels as bool, codes in the narrowest signed dtype, which is looked up quickest.

    ``module.half()`` would round floats, so they become integer codes.
    """
    table = table.detach().clone()
    if table.ndim == 2 and table.shape[1] > 1:
        return table != 0
    if table.is_meta and table.is_floating_point():
        raise ValueError(f"metadata[{name!r}] is on the meta device, without values; expected them, or integers")
    if table.is_floating_point():
        codes: Tensor = torch.unique(table, return_inverse=True)[1]
        table = codes.masked_fill(~(table >= 0), -1)  # what was missing stays missing
    table = usable(table)
    if (ends := extremes(table)) is None:  # on another device, where a look would wait
        return table
    fits = [dtype for dtype in SIGNED if torch.iinfo(dtype).min <= ends[0] and ends[1] <= torch.iinfo(dtype).max]
    return table.to(fits[0])


class BPRLoss(_PairLoss):
    """:func:`~pairloss.bpr_loss` as a module, with the square of Collie unless ``squared`` is False."""

    function = staticmethod(pairs.bpr_loss)


class HingeLoss(_PairLoss):
    """:func:`~pairloss.hinge_loss` as a module, with the square of Collie unless ``squared`` is False."""

    function = staticmethod(pairs.hinge_loss)


class LogBPRLoss(_PairLoss):
    """:func:`~pairloss.log_bpr_loss` as a module."""

    function = staticmethod(pairs.log_bpr_loss)


class AdaptiveBPRLoss(_PairLoss):
    """:func:`~pairloss.adaptive_bpr_loss` as a module, with the square of Collie unless ``squared`` is False."""

    function = staticmethod(pairs.adaptive_bpr_loss)


class AdaptiveHingeLoss(_PairLoss):
    """:func:`~pairloss.adaptive_hinge_loss` as a module, with the square of Collie unless ``squared`` is False."""

    function = staticmethod(pairs.adaptive_hinge_loss)


class SoftmaxLoss(_PairLoss):
    """:func:`~pairloss.softmax_loss` as a module."""

    function = staticmethod(pairs.softmax_loss)


class WARPLoss(_PairLoss):
    """:func:`~pairloss.warp_loss` as a module for a catalogue of ``num_items``, squared unless ``squared`` is False."""

    function = staticmethod(pairs.warp_loss)

    def __init__(
        self, num_items: int, metadata: Metadata | None = None, metadata_weights: MetadataWeights | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(metadata, metadata_weights, num_items=num_items, **options)
