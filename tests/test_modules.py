"""The modules compute what their functions compute, and carry their tables along."""

import pickle

import pytest
import torch

import pairloss
from tests.oracles import LOSSES, MANY, NUM_ITEMS, STANDARD
from tests.test_losses import case, choices, extra, tables

MODULES = dict(
    zip(
        LOSSES,
        [
            pairloss.BPRLoss,
            pairloss.HingeLoss,
            pairloss.LogBPRLoss,
            pairloss.AdaptiveBPRLoss,
            pairloss.AdaptiveHingeLoss,
            pairloss.WARPLoss,
        ],
        strict=True,
    )
)


def make(name, *arguments, **options):
    return MODULES[name](*([NUM_ITEMS] if name == "warp_loss" else []), *arguments, **options)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_equals_the_function(name, kind):
    arguments, credit = case(name), tables(kind)
    which = ["mask", "weights", "negative_mask"] if name in MANY else ["mask", "weights"]
    options = extra(name, which)
    scores_and_items = list(arguments.values())
    for choice in choices(name):
        for fixed in ({}, {"squared": False}, {"squared": True, "reduction": "sum"}, {"reduction": "none"}):
            module = make(name, *credit.values(), **fixed, **choice)
            expected = getattr(pairloss, name)(
                *scores_and_items[:2], NUM_ITEMS, *scores_and_items[2:], **credit, **fixed, **choice, **options
            )
            assert torch.equal(module(*scores_and_items, **options), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_tables_are_buffers(name):
    module = make(name, *tables("three").values())
    assert module.metadata.keys() == tables("three")["metadata"].keys()
    assert set(module.state_dict()) == {"table_genre", "table_labels", "table_decade"}
    assert not list(module.parameters())
    other = make(
        name,
        {k: torch.zeros_like(v) for k, v in tables("three")["metadata"].items()},
        {"genre": 0.3, "labels": 0.5, "decade": 0.2},
    )
    other.load_state_dict(module.state_dict())
    arguments = list(case(name).values())
    assert torch.equal(other(*arguments), module(*arguments))
    moved = make(name, *tables("three").values()).to("meta")
    assert {buffer.device.type for buffer in moved.buffers()} == {"meta"}


@pytest.mark.parametrize("name", LOSSES)
def test_can_be_pickled_and_compiled(name):
    module = make(name, *tables("three").values())
    arguments = list(case(name).values())
    expected = module(*arguments)
    assert torch.equal(pickle.loads(pickle.dumps(module))(*arguments), expected)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend="eager")(*arguments), expected)


def test_weights_may_be_a_table_of_that_name():
    module = pairloss.BPRLoss({"weights": torch.zeros(3)}, {"weights": 0.5})
    items = torch.tensor([0]), torch.tensor([1])
    assert module(torch.zeros(1), torch.zeros(1), *items).item() == 0.0  # d = σ(0) = ½


def test_repr_says_the_options():
    assert "num_items=40, rank_weight='log'" in repr(pairloss.WARPLoss(40))
    assert all(name in repr(pairloss.BPRLoss()) for name in ("squared=True", "reduction='mean'"))


def test_the_caller_keeps_its_weights():
    weights = {"genre": 0.5}
    module = pairloss.BPRLoss({"genre": torch.zeros(3)}, weights)
    weights["genre"] = 2.0
    assert module.metadata_weights == {"genre": 0.5}


def test_tables_are_copies_that_half_does_not_round():
    codes = torch.tensor([2048.0, 2049.0, 2049.0])
    module = pairloss.HingeLoss({"year": codes}, {"year": 0.5}, squared=False, reduction="none").half()
    items = torch.tensor([0, 1]), torch.tensor([1, 2])
    assert module(torch.zeros(2), torch.zeros(2), *items).tolist() == [1.0, 0.5]
    module.load_state_dict({"table_year": torch.zeros(3, dtype=torch.int64)})
    assert codes.tolist() == [2048.0, 2049.0, 2049.0]
    assert module.squared is False
    assert module.reduction == "none"


def test_standard_losses_are_all_here():
    public = {n for n in pairloss.__all__ if n.endswith("Loss")}
    assert public == {cls.__name__ for cls in MODULES.values()}
    assert len(STANDARD) == 3
