"""Every wrong argument, the error it raises and what the message says."""

import re

import numpy
import pytest
import torch
from torch import tensor

import pairloss
from pairloss.tensors import INTEGERS
from tests.cases import COLLIES, LISTS, PAIRS, entry, itself, negatives_of

P, N = torch.zeros(4), torch.zeros(4)
MANY = torch.zeros(3, 4)
ITEMS, MANY_ITEMS = torch.arange(4), torch.arange(12).reshape(3, 4)
GENRE, WEIGHT = {"genre": torch.arange(12) % 3}, {"genre": 0.25}


def bpr(positive=P, negative=N, items=ITEMS, negative_items=ITEMS, metadata=None, weights=None, **options):
    return pairloss.bpr_loss(positive, negative, None, items, negative_items, metadata, weights, **options)


def warp(positive=P, many=MANY, num_items=12, items=ITEMS, negative_items=MANY_ITEMS, **options):
    return pairloss.warp_loss(positive, many, num_items, items, negative_items, **options)


def credit(metadata=GENRE, metadata_weights=WEIGHT, items=ITEMS, negative_items=ITEMS):
    return pairloss.ideal_difference_from_metadata(items, negative_items, metadata, metadata_weights)


ERRORS = {
    # types and dtypes
    "positive is a list": (lambda: bpr([1.0]), TypeError, "positive_scores must be a torch.Tensor, got list"),
    "negative is a float": (lambda: bpr(negative=1.0), TypeError, "negative_scores must be a torch.Tensor, got float"),
    "integer scores": (lambda: bpr(P.long()), TypeError, "positive_scores must be floating .*, got torch.int64"),
    "complex scores": (lambda: bpr(negative=N + 1j), TypeError, "negative_scores must be floating .*complex64"),
    "float ids": (lambda: bpr(items=P), TypeError, "positive_items must be integer ids, got torch.float32"),
    "float mask": (lambda: bpr(mask=P), TypeError, "mask must be bool, got torch.float32"),
    "bool weights": (lambda: bpr(weights=P), TypeError, "metadata_weights must be a dict, got Tensor"),
    "mask as weights": (
        lambda: pairloss.bpr_loss(P, N, weights=P.bool()),
        TypeError,
        r"weights must be numbers \(to leave pairs out, use mask\), got torch.bool",
    ),
    "metadata is a tensor": (lambda: bpr(metadata=P), TypeError, "metadata must be a dict, got Tensor"),
    "a table is a list": (
        lambda: credit({"genre": [0, 1]}),
        TypeError,
        r"metadata\['genre'\] must be a torch.Tensor, got list",
    ),
    "a weight is a string": (
        lambda: credit(metadata_weights={"genre": "1"}),
        TypeError,
        r"metadata_weights\['genre'\] must be a float, got str",
    ),
    "num_items missing": (lambda: warp(num_items=None), TypeError, "num_items must be an int, got NoneType"),
    "num_items is a float": (lambda: warp(num_items=12.0), TypeError, "num_items must be an int, got float"),
    # a scoring function
    "function without ids": (
        lambda: warp(many=lambda ids: MANY, negative_items=None),
        ValueError,
        r"negative_items was None; to score many_negative_scores by a function, give their ids, \[K, B\]",
    ),
    "function with ids [B]": (
        lambda: warp(many=lambda ids: MANY, negative_items=ITEMS),
        ValueError,
        r"negative_items has shape \[4\] beside positive_scores \[4\]; expected \[K, 4\], K negatives for each",
    ),
    "function with ids [B, K]": (
        lambda: warp(many=lambda ids: MANY, negative_items=MANY_ITEMS.T),
        ValueError,
        r"negative_items has shape \[4, 3\] beside positive_scores \[4\]; .*use negative_items.T",
    ),
    "function with float ids": (
        lambda: warp(many=lambda ids: MANY, negative_items=MANY),
        TypeError,
        "negative_items must be integer ids, got torch.float32",
    ),
    "function with float ids and no positives": (
        lambda: warp(many=lambda ids: MANY, items=None, negative_items=MANY),
        TypeError,
        "negative_items must be integer ids, got torch.float32",
    ),
    "function and positives [B, 1]": (
        lambda: warp(P[:, None], many=lambda ids: MANY),
        ValueError,
        r"negative_items has shape \[3, 4\] beside positive_scores \[4, 1\]; expected \[K, 4, 1\], .*squeeze",
    ),
    "function that scores one per pair": (
        lambda: warp(many=lambda ids: P),
        ValueError,
        r"many_negative_scores\(ids\) has shape \[4\] beside ids \[3, 4\]; expected \[3, 4\]",
    ),
    "function that scores too few": (
        lambda: warp(many=lambda ids: MANY[:2], items=None),
        ValueError,
        r"many_negative_scores\(ids\) has shape \[2, 4\] beside ids \[3, 4\]; expected \[3, 4\]",
    ),
    "function that always scores all": (
        lambda: warp(many=lambda ids: MANY),
        ValueError,
        r"many_negative_scores\(ids\) has shape \[3, 4\] beside ids \[4\]; expected \[4\]",
    ),
    "function that gives no tensor": (
        lambda: warp(many=lambda ids: None),
        TypeError,
        r"many_negative_scores\(ids\) must be a torch.Tensor, got NoneType",
    ),
    "function that gives ids back the second time": (
        lambda: warp(many=lambda ids: MANY if ids.ndim == 2 else ids),
        TypeError,
        r"many_negative_scores\(ids\) must be floating .*, got torch.int64",
    ),
    "a function for one negative": (
        lambda: bpr(negative=lambda ids: P),
        TypeError,
        "negative_scores must be a torch.Tensor, got function",
    ),
    # shapes
    "positive [B, 1]": (
        lambda: bpr(P[:, None]),
        ValueError,
        r"negative_scores has shape \[4\] beside positive_scores \[4, 1\]; expected \[4, 1\]\. .*to \[B, B\]: "
        r"use squeeze\(-1\) there",
    ),
    "positive a scalar": (
        lambda: bpr(tensor(1.0)),
        ValueError,
        r"negative_scores has shape \[4\] beside positive_scores \[\]; expected \[\]",
    ),
    "negative [B, 1]": (
        lambda: bpr(negative=N[:, None]),
        ValueError,
        r"negative_scores has shape \[4, 1\] beside positive_scores \[4\]; expected \[4\].*negative_scores.squeeze",
    ),
    "many for one": (
        lambda: bpr(negative=MANY),
        ValueError,
        r"negative_scores has shape \[3, 4\] beside positive_scores \[4\]; expected \[4\]\. Many negatives",
    ),
    "other length": (lambda: bpr(negative=N[:1]), ValueError, r"negative_scores has shape \[1\] .*expected \[4\]"),
    "many [B, K]": (
        lambda: warp(many=MANY.T),
        ValueError,
        r"many_negative_scores has shape \[4, 3\] beside positive_scores \[4\]; expected \[3, 4\]\. "
        r"It looks transposed: use many_negative_scores.T",
    ),
    "many [B]": (
        lambda: warp(many=N),
        ValueError,
        r"many_negative_scores has shape \[4\] beside positive_scores \[4\]; expected \[K, 4\], K negatives for each",
    ),
    "many a scalar": (lambda: warp(many=tensor(1.0)), ValueError, r"has shape \[\]; expected \[K, B\] with K of at"),
    "many of four dimensions": (
        lambda: warp(many=torch.zeros(2, 3, 4, 5)),
        ValueError,
        r"many_negative_scores has shape \[2, 3, 4, 5\] beside positive_scores \[4\]; expected \[2, 4\]",
    ),
    "no negatives": (lambda: warp(many=MANY[:0]), ValueError, r"has shape \[0, 4\]; expected \[K, B\] with K of at"),
    "empty sequence": (lambda: warp(many=[]), ValueError, "many_negative_scores is empty; expected K tensors"),
    "ragged sequence": (lambda: warp(many=[N, N[:2]]), ValueError, r"holds \[4\] on cpu, \[2\] on cpu; expected K"),
    "a sequence on two devices": (
        lambda: warp(many=[N, N.to("meta")]),
        ValueError,
        r"\[4\] on meta; expected K tensors",
    ),
    "softmax: a function": (
        lambda: pairloss.softmax_loss(P, lambda ids: MANY, negative_items=MANY_ITEMS),
        TypeError,
        r"was a function; expected scores, \[K, B\], which score\(negative_items\) gives: every negative has",
    ),
    "softmax: no temperature": (
        lambda: pairloss.softmax_loss(P, MANY, temperature=0),
        ValueError,
        "temperature was 0; expected a finite number above 0",
    ),
    "module: temperature": (lambda: pairloss.SoftmaxLoss(temperature="1"), TypeError, "temperature must be a float"),
    "squared is a word": (lambda: bpr(squared="False"), TypeError, "squared must be a bool, got str"),
    "module: squared": (lambda: pairloss.BPRLoss(squared=0), TypeError, "squared must be a bool, got int"),
    "one side of the items": (
        lambda: bpr(items="junk", negative_items=None),
        TypeError,
        "positive_items must be a torch",
    ),
    "keys that are no names": (lambda: credit({1: P}, {1: 0.5}), TypeError, "metadata has the key 1; expected a str"),
    "no ids at all": (lambda: credit({}, {}, None, None), ValueError, "positive_items was None"),
    "mask [K, B]": (
        lambda: warp(mask=MANY.bool()),
        ValueError,
        r"mask has shape \[3, 4\] .* To leave out single negatives use negative_mask",
    ),
    "ids [B, K] alone": (
        lambda: credit(negative_items=torch.zeros(4, 3).long()),
        ValueError,
        r"negative_items has shape \[4, 3\] .*expected \[3, 4\]\. It looks transposed: use negative_items.T",
    ),
    "ids [B, 1] alone": (
        lambda: credit(items=ITEMS[:, None]),
        ValueError,
        r"negative_items has shape \[4\] beside positive_items \[4, 1\]; expected \[4, 1\]\. Beside a \[B, 1\]",
    ),
    "list of numbers": (lambda: warp(many=[1.0, 2.0]), TypeError, r"many_negative_scores\[0\] must be a torch.Tensor"),
    "items [B, K]": (
        lambda: warp(negative_items=MANY_ITEMS.T),
        ValueError,
        r"negative_items has shape \[4, 3\] beside many_negative_scores \[3, 4\]; .* looks transposed",
    ),
    "items of other length": (
        lambda: bpr(items=ITEMS[:2]),
        ValueError,
        r"positive_items has shape \[2\] beside positive_scores \[4\]; expected \[4\]",
    ),
    "mask of other length": (
        lambda: bpr(mask=P[:2].bool()),
        ValueError,
        r"mask has shape \[2\] beside positive_scores \[4\]; expected \[4\]",
    ),
    "weights [B, 1]": (
        lambda: pairloss.bpr_loss(P, N, weights=P[:, None]),
        ValueError,
        r"weights has shape \[4, 1\] .*use weights.squeeze\(-1\)",
    ),
    "negative_mask [B]": (
        lambda: warp(negative_mask=N.bool()),
        ValueError,
        r"negative_mask has shape \[4\] beside many_negative_scores \[3, 4\]; expected \[3, 4\]",
    ),
    "ids [K, B] for the positives alone": (
        lambda: credit(items=MANY_ITEMS),
        ValueError,
        r"negative_items has shape \[4\] beside positive_items \[3, 4\]; expected \[3, 4\]",
    ),
    "ids that do not fit": (
        lambda: credit(negative_items=ITEMS[:3]),
        ValueError,
        r"negative_items has shape \[3\] beside positive_items \[4\]; expected \[4\]",
    ),
    "a table with three dimensions": (
        lambda: credit({"genre": torch.zeros(2, 2, 2)}),
        ValueError,
        r"metadata\['genre'\] has shape \[2, 2, 2\]; expected \[N\], \[N, 1\] or \[N, C\]",
    ),
    "tables of two lengths": (
        lambda: credit({"genre": GENRE["genre"], "year": torch.arange(5)}, {"genre": 0.5, "year": 0.5}),
        ValueError,
        r"metadata\['year'\] has 5 rows and another table 12",
    ),
    # metadata
    "metadata without items": (
        lambda: bpr(items=None, metadata=GENRE, weights=WEIGHT),
        ValueError,
        "positive_items was None; metadata needs the ids",
    ),
    "metadata without negative items": (
        lambda: bpr(negative_items=None, metadata=GENRE, weights=WEIGHT),
        ValueError,
        "negative_items was None; metadata needs the ids",
    ),
    "no weight for a table": (
        lambda: bpr(metadata=GENRE),
        ValueError,
        r"metadata has the keys \['genre'\] but metadata_weights \[\]; expected the same",
    ),
    "no table for a weight": (
        lambda: credit(metadata_weights={"genre": 0.1, "year": 0.2}),
        ValueError,
        r"metadata has the keys \['genre'\] but metadata_weights \['genre', 'year'\]",
    ),
    "weights above 1": (
        lambda: credit({"a": GENRE["genre"], "b": GENRE["genre"]}, {"a": 0.2, "b": 0.9}),
        ValueError,
        re.escape("sum of metadata weights was 1.1, must be <=1"),
    ),
    "a weight below 0": (
        lambda: credit(metadata_weights={"genre": -0.1}),
        ValueError,
        "was -0.1; expected a finite number",
    ),
    "a weight of NaN": (
        lambda: credit(metadata_weights={"genre": float("nan")}),
        ValueError,
        "was nan; expected a finite",
    ),
    "id −1": (
        lambda: bpr(items=ITEMS - 1, metadata=GENRE, weights=WEIGHT),
        ValueError,
        "positive_items holds ids from -1 to 2; expected 0 to 11, the rows of the metadata",
    ),
    "id too large": (
        lambda: credit(negative_items=ITEMS + 9),
        ValueError,
        "negative_items holds ids from 9 to 12; expected 0 to 11",
    ),
    # devices
    "scores on two devices": (
        lambda: bpr(negative=N.to("meta")),
        ValueError,
        "negative_scores is on meta but positive_scores on cpu",
    ),
    "mask on another device": (lambda: bpr(mask=P.bool().to("meta")), ValueError, "mask is on meta but"),
    "items on another device": (lambda: bpr(items=ITEMS.to("meta")), ValueError, "positive_items is on meta but"),
    "a table on another device": (
        lambda: credit({"genre": GENRE["genre"].to("meta")}),
        ValueError,
        r"metadata\['genre'\] is on meta but positive_items on cpu; move the table",
    ),
    # words and numbers
    "unknown reduction": (
        lambda: bpr(reduction="avg"),
        ValueError,
        "reduction was 'avg'; expected one of 'mean', 'sum', 'none'",
    ),
    "unknown rank_weight": (
        lambda: warp(rank_weight="linear"),
        ValueError,
        "rank_weight was 'linear'; expected one of 'log', 'harmonic'",
    ),
    "unknown hardest_by": (
        lambda: pairloss.adaptive_bpr_loss(P, MANY, hardest_by="loss"),
        ValueError,
        "hardest_by was 'loss'; expected one of 'score', 'violation'",
    ),
    "a weight below zero": (
        lambda: pairloss.hinge_loss(P, N, weights=tensor([1.0, -2.0, 0.0, 1.0])),
        ValueError,
        "weights must be ≥ 0; the smallest is -2",
    ),
    # modules, when they are made
    "module: reduction": (lambda: pairloss.BPRLoss(reduction="avg"), ValueError, "reduction was 'avg'"),
    "module: hardest_by": (lambda: pairloss.AdaptiveBPRLoss(hardest_by="x"), ValueError, "hardest_by was 'x'"),
    "module: rank_weight": (lambda: pairloss.WARPLoss(3, rank_weight="x"), ValueError, "rank_weight was 'x'"),
    "module: num_items": (lambda: pairloss.WARPLoss("3"), TypeError, "num_items must be an int, got str"),
    "module: weights": (lambda: pairloss.HingeLoss(GENRE), ValueError, "metadata has the keys"),
    "module: dots": (lambda: pairloss.BPRLoss({"a.b": P}, {"a.b": 0.1}), ValueError, "without a dot"),
    # index functions
    "hardest: shape": (
        lambda: pairloss.choose_hardest(MANY[:0]),
        ValueError,
        r"many_negative_scores has shape \[0, 4\]; expected \[K, B\]",
    ),
    "violation: shape": (
        lambda: pairloss.choose_first_violation(tensor(1.0)),
        ValueError,
        r"margins has shape \[\]; expected \[K, B\]",
    ),
    "take: shape": (
        lambda: pairloss.take_negatives(MANY, ITEMS[:3]),
        ValueError,
        r"index has shape \[3\] beside rows \[3, 4\]; expected \[4\]",
    ),
    "take: a row that is not there": (
        lambda: pairloss.take_negatives(MANY, ITEMS),
        ValueError,
        "index holds rows from 0 to 3; expected 0 to 2",
    ),
    "take: a row below 0": (
        lambda: pairloss.take_negatives(MANY, ITEMS - 3),
        ValueError,
        "index holds rows from -3 to 0; expected 0 to 2",
    ),
    "take: float rows": (lambda: pairloss.take_negatives(MANY, P), TypeError, "index must be integer ids"),
    "take: a list": (lambda: pairloss.take_negatives([P], ITEMS), TypeError, "rows must be a torch.Tensor, got list"),
    "violation: mask": (
        lambda: pairloss.choose_first_violation(MANY, MANY.T.bool()),
        ValueError,
        r"negative_mask has shape \[4, 3\] beside margins \[3, 4\]",
    ),
}


# --- arguments in another library's place, numbers beyond every range, tensors of other layouts ------------------


def nested():
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)


@pytest.mark.parametrize("name", COLLIES)
def test_a_mask_in_spotlights_place_is_named(name):
    many = entry(name).takes_many
    scores = P, MANY if many else N
    for wrong, got in ((P.bool(), "Tensor"), (12.0, "float"), (True, "bool"), ("12", "str")):
        with pytest.raises(TypeError, match=f"num_items must be an int, got {got}") as caught:
            getattr(pairloss, name)(*scores, wrong)
        assert ("mask=" in str(caught.value)) == (got == "Tensor")
    for wrong in (0, -1, 2**63, 2**70, 10**400):
        with pytest.raises(ValueError, match=r"num_items was .*; expected at least 1"):
            getattr(pairloss, name)(*scores, wrong)
    assert getattr(pairloss, name)(*scores, 2**63 - 1).isfinite()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("make", [nested, lambda: torch.zeros(4).to_sparse()], ids=["nested", "sparse"])
def test_sparse_and_nested_tensors_are_refused_by_name(name, make):
    many = entry(name).takes_many
    good = {
        "positive_scores": P,
        negatives_of(name): MANY if many else N,
        "positive_items": ITEMS,
        "negative_items": MANY_ITEMS if many else ITEMS,
        "mask": P.bool(),
        "weights": P,
    }
    good |= ({"negative_mask": MANY.bool()} if many else {}) | ({"num_items": 12} if name in COLLIES else {})
    for argument, value in good.items():
        if isinstance(value, torch.Tensor):
            with pytest.raises(TypeError, match=f"{argument} must be a dense tensor"):
                itself(name)(**good | {argument: make()})
    with pytest.raises(TypeError, match="dense tensor"):
        itself(name)(**good | {"metadata": {"genre": make()}, "metadata_weights": WEIGHT})


@pytest.mark.parametrize("name", LISTS)
def test_lists_refuse_sparse_and_nested_tensors(name):
    for place, argument in enumerate(("scores", "labels", "groups")):
        arguments = [P, P, ITEMS]
        arguments[place] = nested()
        with pytest.raises(TypeError, match=f"{argument} must be a dense tensor, got a nested one"):
            getattr(pairloss, name)(*arguments[:2], groups=arguments[2])


NUMBERS = {
    "margin": lambda n: pairloss.pairwise_hinge_loss(P, ITEMS, margin=n),
    "sigma": lambda n: pairloss.lambdarank_loss(P, ITEMS, sigma=n),
    "num_negatives": lambda n: pairloss.sample_negatives(ITEMS, torch.eye(4), n),
    "metadata_weights": lambda n: credit(metadata_weights={"genre": n}),
    "num_users": lambda n: pairloss.datasets.generate(num_users=n),
    "num_items": lambda n: pairloss.datasets.generate(num_items=n),
    "seed": lambda n: pairloss.datasets.generate(n),
    "skew": lambda n: pairloss.datasets.generate(skew=n),
    "genre_share": lambda n: pairloss.datasets.generate(genre_share=n),
    "minimum_rating": lambda n: pairloss.datasets.movielens_100k(minimum_rating=n),
    "most_tags": lambda n: pairloss.datasets.lastfm_2k(most_tags=n),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("size", [400, 6000])
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_beyond_every_range_are_refused_by_name(name, size, sign):
    with pytest.raises(ValueError, match=name) as caught:
        NUMBERS[name](sign * 10**size)
    assert len(str(caught.value)) < 200
    if name not in ("margin", "sigma"):  # a float can hold it
        with pytest.raises(ValueError, match="metadata weights" if name == "metadata_weights" and sign > 0 else name):
            NUMBERS[name](sign * 2**70)


OPTIONS = {
    "reduction": lambda word: bpr(reduction=word),
    "hardest_by": lambda word: pairloss.adaptive_bpr_loss(P, MANY, hardest_by=word),
    "rank_weight": lambda word: warp(rank_weight=word),
    "list reduction": lambda word: pairloss.pairwise_hinge_loss(P, ITEMS, reduction=word),
    "power": lambda word: pairloss.pairwise_hinge_loss(P, ITEMS, power=word),
    "module": lambda word: pairloss.BPRLoss(reduction=word),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("wrong", [numpy.array(["mean", "sum"]), None, True, ["mean"], 2.0])
def test_an_option_of_a_wrong_type_is_a_type_error(name, wrong):
    with pytest.raises(TypeError, match=r"(reduction|hardest_by|rank_weight|power) must be one of "):
        OPTIONS[name](wrong)


@pytest.mark.parametrize("case", ERRORS)
def test_error(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()


def test_a_sum_of_weights_that_rounds_above_1_is_fine():
    names = [str(i) for i in range(10)]
    weights = dict.fromkeys(names, 0.1) | {"0": 0.1 + 4e-16}
    tables = dict.fromkeys(names, torch.zeros(12))
    assert sum(weights.values()) != 1
    assert credit(tables, weights, ITEMS, ITEMS + 1).tolist() == pytest.approx([0, 0, 0, 0], abs=1e-7)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_every_integer_dtype(dtype):
    items, others = ITEMS.to(dtype), (ITEMS + 3).to(dtype)
    assert credit(items=items, negative_items=others).tolist() == [0.75] * 4
    assert credit(items=items, negative_items=items).tolist() == [0.0] * 4
    # A table with more rows than the ids can count, and sums of weights a little above 1.
    many_rows = {"a": torch.zeros(70_000), "b": torch.zeros(70_000)}
    assert credit(many_rows, {"a": 0.5, "b": 0.5 + 4e-16}, items, others).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_items": 0},
        {"mask": P},
        {"weights": MANY},
        {"negative_mask": MANY},
        {"squared": 1},
        {"reduction": "max"},
        {"rank_weight": "linear"},
        {"metadata": GENRE},
        {"items": P},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_nothing_is_scored_before_all_arguments_are_checked(wrong):
    def score(ids):
        raise AssertionError("scored")

    with pytest.raises((TypeError, ValueError)):
        warp(many=score, **wrong)
