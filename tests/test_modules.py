"""The modules compute what their functions compute, and carry their tables along."""

import itertools
import pickle

import pytest
import torch

import pairloss
from tests.cases import NUM_ITEMS, PAIRS, case, entry, extra, function, module, optional, squares, tables


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["none", "three"])
def test_equals_the_function(name, kind):
    batch, credit = case(name), tables(kind)
    options = extra(optional(name))
    squared_sums = [squared | {"reduction": "sum"} for squared in squares(name)]
    for choice, fixed in itertools.product(entry(name).choices, [*squares(name), *squared_sums, {"reduction": "none"}]):
        made = module(name, *credit.values(), **fixed, **choice)
        expected = function(name)(**batch, **credit, **fixed, **choice, **options)
        assert torch.equal(made(*batch.values(), **options), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_tables_are_buffers(name):
    metadata, weights = tables("three").values()
    made = module(name, metadata, weights)
    assert made.metadata.keys() == metadata.keys()
    assert set(made.state_dict()) == {"table_brand", "table_labels", "table_decade"}
    assert not list(made.parameters())
    other = module(name, {key: torch.zeros_like(table) for key, table in metadata.items()}, weights)
    other.load_state_dict(made.state_dict())
    arguments = list(case(name).values())
    assert torch.equal(other(*arguments), made(*arguments))
    assert {buffer.device.type for buffer in made.to("meta").buffers()} == {"meta"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_can_be_pickled_and_compiled(name):
    made = module(name, *tables("three").values())
    arguments = list(case(name).values())
    expected = made(*arguments)
    assert torch.equal(pickle.loads(pickle.dumps(made))(*arguments), expected)
    torch.testing.assert_close(torch.compile(made, fullgraph=True, backend="eager")(*arguments), expected)
    torch._dynamo.reset()  # all modules share one forward, of which torch keeps eight


def test_weights_may_be_a_table_of_that_name():
    made = pairloss.BPRLoss({"weights": torch.zeros(3)}, {"weights": 0.5})
    items = torch.tensor([0]), torch.tensor([1])
    assert made(torch.zeros(1), torch.zeros(1), *items).item() == 0.0  # d = σ(0) = ½


def test_repr_says_the_options():
    assert "num_items=40, batch_first=False, rank_weight='log'" in repr(pairloss.WARPLoss(40))
    assert all(name in repr(pairloss.BPRLoss()) for name in ("squared=True", "reduction='mean'"))


def test_the_caller_keeps_its_weights():
    weights = {"genre": 0.5}
    made = pairloss.BPRLoss({"genre": torch.zeros(3)}, weights)
    weights["genre"] = 2.0
    assert made.metadata_weights == {"genre": 0.5}


def test_tables_are_copies_that_half_does_not_round():
    codes = torch.tensor([2048.0, 2049.0, 2049.0])
    made = pairloss.HingeLoss({"year": codes}, {"year": 0.5}, squared=False, reduction="none").half()
    items = torch.tensor([0, 1]), torch.tensor([1, 2])
    assert made(torch.zeros(2), torch.zeros(2), *items).tolist() == [1.0, 0.5]
    made.load_state_dict({"table_year": torch.zeros(3, dtype=torch.int64)})
    assert codes.tolist() == [2048.0, 2049.0, 2049.0]
    assert made.squared is False
    assert made.reduction == "none"


def test_codes_are_narrow_and_never_wrap():
    made = pairloss.HingeLoss({"brand": torch.tensor([0, 44, 1])}, {"brand": 0.5}, squared=False, reduction="none")
    assert made.table_brand.dtype == torch.int8
    items = torch.tensor([0, 0]), torch.tensor([1, 2])
    for codes, dtype in (([300, 44, 300], torch.int64), ([300, 44, 300], torch.uint16), ([1, 2, 1], torch.int8)):
        made.load_state_dict({"table_brand": torch.tensor(codes, dtype=dtype)})
        assert made.table_brand.tolist() == codes  # 300 - 256 is 44
        assert made(torch.zeros(2), torch.zeros(2), *items).tolist() == [1.0, 0.5]
    for codes, dtype in (
        ([-1, 127], torch.int8),
        ([-1, 128], torch.int16),
        ([2**15, 0], torch.int32),
        ([2**31, 0], torch.int64),
    ):
        assert pairloss.HingeLoss({"x": torch.tensor(codes)}, {"x": 0.5}).table_x.dtype == dtype


def kinds_of_tables():
    """One table for each kind that a module takes, as integers, bool and floats, with what is missing."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-2, 3, (NUM_ITEMS,), generator=generator)
    labels = torch.rand(NUM_ITEMS, 4, generator=generator) < 0.6
    return {
        "int": codes,
        "column": codes[:, None],
        "float": codes / 2,
        "float column": codes[:, None].half(),
        "NaN": (codes / 2).masked_fill(codes == -1, float("nan")),
        "bool labels": labels,
        "int labels": labels.int(),
        "float labels": labels.half(),
    }


@pytest.mark.parametrize("kind", kinds_of_tables())
def test_a_table_of_any_kind_means_what_it_means_to_the_function(kind):
    table = {kind: kinds_of_tables()[kind]}
    arguments = list(case("hinge_loss", b=200).values())
    expected = pairloss.hinge_loss(*arguments[:2], None, *arguments[2:], table, {kind: 0.5}, reduction="none")
    made = pairloss.HingeLoss(table, {kind: 0.5}, reduction="none")
    assert torch.equal(made(*arguments), expected)
    assert torch.equal(made.half()(*arguments), expected)
    assert len(expected.unique()) > 20
    # The caller's table and the module's are two.
    table[kind].zero_()
    assert torch.equal(made(*arguments), expected)


def test_a_table_stays_on_its_device_whatever_the_default_is():
    for table in kinds_of_tables().values():
        with torch.device("meta"):
            made = pairloss.BPRLoss({"genre": table}, {"genre": 0.5})
        assert {buffer.device.type for buffer in made.buffers()} == {"cpu"}
