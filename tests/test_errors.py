"""Every wrong argument, the error it raises and what the message says."""

import math
import re

import numpy
import pytest
import torch
from torch import tensor

import pairloss
from pairloss import choose_first_violation, choose_hardest, choose_semi_hard, pair_loss, terms
from pairloss.tensors import INTEGERS
from tests.cases import COLLIES, LISTS, PAIRS, entry, itself, negatives_of, quietly

P, MANY, TABLE = torch.zeros(4), torch.zeros(3, 4), torch.zeros(4, 6)
ITEMS, MANY_ITEMS, ROWS = torch.arange(4), torch.arange(12).reshape(3, 4), torch.zeros(4, dtype=torch.int64)
GENRE, WEIGHT = {"genre": torch.arange(12) % 3}, {"genre": 0.25}
KNOWN = torch.eye(7, 9)


def bpr(positive=P, negative=P, items=ITEMS, negative_items=ITEMS, metadata=None, weights=None, **options):
    return pairloss.bpr_loss(positive, negative, None, items, negative_items, metadata, weights, **options)


def warp(positive=P, many=MANY, num_items=12, items=ITEMS, negative_items=MANY_ITEMS, **options):
    return pairloss.warp_loss(positive, many, num_items, items, negative_items, **options)


def in_batch(scores=TABLE, **options):
    return pairloss.in_batch_softmax_loss(scores, **options)


def credit(metadata=GENRE, metadata_weights=WEIGHT, items=ITEMS, negative_items=ITEMS, **options):
    return pairloss.ideal_difference_from_metadata(items, negative_items, metadata, metadata_weights, **options)


def choosing(negatives, choose=choose_hardest, **options):
    return pair_loss(terms.hinge, P, negatives, choose=choose, **options)


def of_term(returned, negatives=P):
    return pair_loss(lambda positive, negative, d: returned, P, negatives)


def of_choice(returned):
    return choosing(MANY, lambda scores: returned)


def sample(users=ROWS, known=KNOWN, k=1, **options):
    return pairloss.sample_negatives(users, known, k, **options)


def interactions(users=ITEMS % 2, items=ITEMS, num_users=2, num_items=4, **options):
    return pairloss.Interactions(users, items, num_users, num_items, **options)


def never(*arguments):
    raise AssertionError("called")


def nested(layout=torch.jagged):
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=layout)


def masked():
    return torch.masked.MaskedTensor(P, P == 0)


# In a message … stands for any words.
TYPES = [
    (lambda: bpr([1.0]), "positive_scores must be a torch.Tensor, got list"),
    (lambda: bpr(P.long()), "positive_scores must be floating …, got torch.int64"),
    (lambda: bpr(negative=P + 1j), "negative_scores must be floating …complex64"),
    (lambda: bpr(items=P), "positive_items must be integer ids, got torch.float32"),
    (lambda: bpr(items="junk", negative_items=None), "positive_items must be a torch"),
    (lambda: bpr(mask=P), "mask must be bool, got torch.float32"),
    (lambda: bpr(squared="False"), "squared must be a bool, got str"),
    (lambda: pairloss.BPRLoss(squared=0), "squared must be a bool, got int"),
    (lambda: pairloss.bpr_loss(P, P, weights=P.bool()), "weights must be numbers (bool is for a mask), got torch.bool"),
    (lambda: pairloss.WARPLoss("3"), "num_items must be an int, got str"),
    (lambda: warp(many=[1.0, 2.0]), "many_negative_scores[0] must be a torch.Tensor"),
    (lambda: pairloss.SoftmaxLoss(temperature="1"), "temperature must be a float"),
    # metadata
    (lambda: bpr(metadata=P), "metadata must be a dict, got Tensor"),
    (lambda: bpr(weights=P), "metadata_weights must be a dict, got Tensor"),
    (lambda: credit({"genre": [0, 1]}), "metadata['genre'] must be a torch.Tensor, got list"),
    (lambda: credit(metadata_weights={"genre": "1"}), "metadata_weights['genre'] must be a float, got str"),
    (lambda: credit({1: P}, {1: 0.5}), "metadata has the key 1; expected a str"),
    # a function that scores
    (lambda: warp(many=lambda ids: MANY, negative_items=MANY), "negative_items must be integer ids, got torch.float32"),
    (lambda: warp(many=lambda ids: None), "many_negative_scores(ids) must be a torch.Tensor, got NoneType"),
    (lambda: warp(many=lambda ids: MANY if ids.ndim == 2 else ids), "(ids) must be floating …, got torch.int64"),
    (lambda: warp(many=lambda ids: [1.0], negative_items=MANY_ITEMS.T, batch_first=True), "a torch.Tensor, got list"),
    (lambda: pairloss.softmax_loss(P, lambda ids: MANY, negative_items=MANY_ITEMS), "was a function; expected scores"),
    # what a term and a choice return
    (lambda: pair_loss("hinge", P, P), "term must be a function, got str"),
    (lambda: pair_loss(terms.hinge, P, MANY, choose="hardest"), "choose must be a function, got str"),
    (lambda: pair_loss(terms.softmax, P, lambda ids: MANY, negative_items=MANY_ITEMS), "negatives was a function"),
    (lambda: of_term(1.0), "term(positive, negative, d) must be a torch.Tensor, got float"),
    (lambda: of_term(P.to_sparse()), "term(positive, negative, d) must be a dense tensor, got torch.sparse_coo"),
    (lambda: of_term(P.double()), "d) must be torch.float32 like the scores, got torch.float64"),
    (lambda: of_term(ROWS), "d) must be torch.float32 like the scores, got torch.int64"),
    (lambda: of_choice([0] * 4), "choose(scores) must be a torch.Tensor, got list"),
    (lambda: of_choice(choose_first_violation(MANY)), "choose(scores) must be a torch.Tensor, got tuple"),
    (lambda: of_choice(P), "choose(scores) must be integer rows, got torch.float32"),
    # choosing and sampling
    (lambda: pairloss.take_negatives(MANY, P), "index must be integer ids"),
    (lambda: pairloss.take_negatives([P], ITEMS), "rows must be a torch.Tensor, got list"),
    (lambda: choose_hardest(MANY, batch_first="False"), "batch_first must be a bool, got str"),
    (lambda: choose_semi_hard(P[:3], MANY, batch_first="False"), "batch_first must be a bool, got str"),
    (lambda: choose_first_violation(MANY, batch_first="False"), "batch_first must be a bool, got str"),
    (lambda: pairloss.take_negatives(MANY, ROWS[:3], batch_first="False"), "batch_first must be a bool, got str"),
    (lambda: credit({}, {}, ROWS[:3], MANY_ITEMS, batch_first="False"), "batch_first must be a bool, got str"),
    (lambda: pairloss.total_weight(P[:3], negative_mask=MANY > 0, batch_first="False"), "batch_first must be a bool"),
    (lambda: sample(torch.zeros(2)), "must be integer ids"),
    (lambda: sample(tensor([0]).to_sparse()), "positive_users must be a dense tensor, got torch.sparse_coo"),
    (lambda: sample(known=None), "interactions must be a torch.Tensor or pairloss.Interactions, got NoneType"),
    (lambda: sample(known=KNOWN + 0j), "interactions must be real numbers or bool, got torch.complex64"),
    (lambda: sample(known=quietly(KNOWN.to_sparse_csc)), "must be dense, sparse COO or sparse CSR, got …sparse_csc"),
    (lambda: sample(known=nested()), "interactions must be dense, sparse COO or sparse CSR, got a nested tensor"),
    (lambda: sample(k=1.0), "must be an int, got float"),
    (lambda: sample(weights=torch.ones(9).bool()), "weights must be numbers (bool is for a mask), got torch.bool"),
    (lambda: sample(return_mask=1), "return_mask must be a bool, got int"),
    # lists, ratings, totals
    (lambda: pairloss.pairwise_hinge_loss(P, ITEMS, margin=P), "margin must be a float, got Tensor"),
    (lambda: pairloss.lambdarank_loss(P, ITEMS, at=1.5), "at must be an int"),
    (lambda: pairloss.lambdarank_loss(P, ITEMS, at=True), "at must be an int"),
    (lambda: pairloss.total_weight(P[:3], negative_mask=torch.ones(2, 3)), "negative_mask must be bool"),
    (lambda: pairloss.distributed_mean(1.0, torch.ones(())), "loss_sum must be a torch.Tensor, got float"),
    (lambda: pairloss.distributed_mean(torch.ones(()), 3), "weight must be a torch.Tensor, got int"),
    # negatives of the batch
    (lambda: in_batch([[0.0]]), "scores must be a torch.Tensor, got list"),
    (lambda: in_batch(items=TABLE[0]), "items must be integer ids, got torch.float32"),
    (lambda: in_batch(negative_mask=TABLE), "negative_mask must be bool"),
    # interactions
    (lambda: interactions(users=[1, 0]), "users must be a torch.Tensor, got list"),
    (lambda: interactions(items=torch.zeros(4)), "items must be integer ids, got torch.float32"),
    (lambda: interactions(num_items=2.0), "num_items must be an int, got float"),
    (lambda: interactions(titles=5), "titles must be a list, got int"),
    (lambda: interactions(user_names={}), "user_names must be a list, got dict"),
    (lambda: interactions(item_names={}), "item_names must be a list, got dict"),
    (lambda: interactions(genres=torch.ones(4, 5).bool(), genre_names=5), "genre_names must be a list, got int"),
    (lambda: interactions(genres=torch.zeros(4, 2)), "genres must be bool"),
    (lambda: interactions(times=[1, 2, 3, 4]), "times must be a torch.Tensor, got list"),
    (lambda: interactions(times=torch.zeros(4)), "times must be int64, got torch.float32"),
]
VALUES = [
    # shapes
    (lambda: warp(torch.zeros(4, 5), torch.zeros(4, 5, 3)), "shape [4, 5, 3] …expected [3, 4, 5]"),
    (lambda: warp(torch.zeros(4, 5), torch.zeros(3, 4, 5), batch_first=True), "shape [3, 4, 5] …expected [4, 5, 3]"),
    (lambda: bpr(P[:, None]), "negative_scores has shape [4] …expected [4, 1]. …to [B, B]: use squeeze(-1) there"),
    (lambda: bpr(tensor(1.0)), "negative_scores has shape [4] beside positive_scores []; expected []"),
    (lambda: bpr(negative=P[:, None]), "negative_scores has shape [4, 1] …expected [4]…negative_scores.squeeze"),
    (lambda: bpr(negative=MANY), "negative_scores has shape [3, 4] …[4]; expected [4]. Many negatives"),
    (lambda: bpr(negative=P[:1]), "negative_scores has shape [1] …expected [4]"),
    (lambda: bpr(items=ITEMS[:2]), "positive_items has shape [2] beside positive_scores [4]; expected [4]"),
    (lambda: bpr(mask=P[:2].bool()), "mask has shape [2] beside positive_scores [4]; expected [4]"),
    (lambda: pairloss.bpr_loss(P, P, weights=P[:, None]), "weights has shape [4, 1] …use weights.squeeze(-1)"),
    (lambda: warp(many=MANY.T), "[4, 3] beside …[4]; expected [3, 4]. It looks transposed: use many_negative_scores.T"),
    (lambda: warp(many=P), "many_negative_scores has shape [4] …[4]; expected [K, 4], K negatives for each"),
    (lambda: warp(many=tensor(1.0)), "has shape []; expected [K, B] with K of at"),
    (lambda: warp(many=MANY[:0]), "has shape [0, 4]; expected [K, B] with K of at"),
    (lambda: warp(many=torch.zeros(2, 3, 4, 5)), "has shape [2, 3, 4, 5] beside positive_scores [4]; expected [2, 4]"),
    (lambda: warp(many=[]), "many_negative_scores is empty; expected K tensors"),
    (lambda: warp(many=[P, P[:2]]), "holds [4] on cpu, [2] on cpu; expected K"),
    (lambda: warp(many=[P, P.to("meta")]), "[4] on meta; expected K tensors"),
    (lambda: warp(mask=MANY.bool()), "mask has shape [3, 4] … To leave out single negatives use negative_mask"),
    (lambda: warp(negative_items=MANY_ITEMS.T), "negative_items has shape [4, 3] …[3, 4]; … looks transposed"),
    (lambda: warp(negative_mask=P.bool()), "negative_mask has shape [4] …[3, 4]; expected [3, 4]"),
    (lambda: credit(items=ITEMS[:, None]), "negative_items has shape [4] …expected [4, 1]. Beside a [B, 1]"),
    (lambda: credit(items=MANY_ITEMS), "negative_items has shape [4] beside positive_items [3, 4]; expected [3, 4]"),
    (lambda: credit(negative_items=ITEMS[:3]), "negative_items has shape [3] beside positive_items [4]; expected [4]"),
    (lambda: credit(negative_items=torch.zeros(4, 3).long()), "[4, 3] …[3, 4]. It looks transposed: …negative_items.T"),
    # metadata
    (lambda: credit({"genre": torch.zeros(2, 2, 2)}), "['genre'] has shape [2, 2, 2]; expected [N], [N, 1] or [N, C]"),
    (lambda: credit(GENRE | {"year": torch.arange(5)}, {"genre": 0.5, "year": 0.5}), "['year'] has 5 rows"),
    (lambda: credit({}, {}, None, None), "positive_items was None"),
    (lambda: bpr(items=None, metadata=GENRE, weights=WEIGHT), "positive_items was None; metadata needs the ids"),
    (lambda: bpr(negative_items=None, metadata=GENRE, weights=WEIGHT), "negative_items was None; metadata needs"),
    (lambda: bpr(metadata=GENRE), "metadata has the keys ['genre'] but metadata_weights []; expected the same"),
    (lambda: pairloss.HingeLoss(GENRE), "metadata has the keys"),
    (lambda: credit(metadata_weights={"genre": 0.1, "year": 0.2}), "keys ['genre'] but …weights ['genre', 'year']"),
    (lambda: credit(GENRE | {"b": GENRE["genre"]}, {"genre": 0.2, "b": 0.9}), "sum of metadata weights was 1.1, must"),
    (lambda: credit(metadata_weights={"genre": -0.1}), "was -0.1; expected a finite number"),
    (lambda: credit(metadata_weights={"genre": math.nan}), "was nan; expected a finite"),
    (lambda: bpr(items=ITEMS - 1, metadata=GENRE, weights=WEIGHT), "positive_items holds ids from -1 to 2; …0 to 11"),
    (lambda: credit(negative_items=ITEMS + 9), "negative_items holds ids from 9 to 12; expected 0 to 11"),
    (lambda: pairloss.BPRLoss({"a.b": P}, {"a.b": 0.1}), "without a dot"),
    # devices
    (lambda: bpr(negative=P.to("meta")), "negative_scores is on meta but positive_scores on cpu"),
    (lambda: bpr(mask=P.bool().to("meta")), "mask is on meta but"),
    (lambda: bpr(items=ITEMS.to("meta")), "positive_items is on meta but"),
    (lambda: credit({"genre": GENRE["genre"].to("meta")}), "['genre'] is on meta but …on cpu; move one"),
    # words and numbers
    (lambda: bpr(reduction="avg"), "reduction was 'avg'; expected one of 'mean', 'sum', 'none'"),
    (lambda: pairloss.BPRLoss(reduction="avg"), "reduction was 'avg'"),
    (lambda: warp(rank_weight="linear"), "rank_weight was 'linear'; expected one of 'log', 'harmonic'"),
    (lambda: pairloss.WARPLoss(3, rank_weight="x"), "rank_weight was 'x'"),
    (lambda: pairloss.adaptive_bpr_loss(P, MANY, hardest_by="loss"), "hardest_by was 'loss'; …'score', 'violation'"),
    (lambda: pairloss.AdaptiveBPRLoss(hardest_by="x"), "hardest_by was 'x'"),
    (
        lambda: pairloss.hinge_loss(P, P, weights=tensor([1.0, -2.0, 0.0, 1.0])),
        "weights holds -2; expected finite numbers of at least 0",
    ),
    (lambda: pairloss.softmax_loss(P, MANY, temperature=0), "temperature was 0; expected a finite number above 0"),
    # a function that scores
    (lambda: warp(many=lambda ids: MANY, negative_items=None), "negative_items was None; …give their ids, [K, B]"),
    (lambda: warp(many=lambda ids: MANY, negative_items=ITEMS), "[4] beside …[4]; expected [K, 4], K negatives"),
    (lambda: warp(many=lambda ids: MANY, negative_items=MANY_ITEMS.T), "[4, 3] …use negative_items.T"),
    (lambda: warp(P[:, None], many=lambda ids: MANY), "negative_items has …expected [K, 4, 1], …squeeze"),
    (lambda: warp(many=lambda ids: P), "many_negative_scores(ids) has shape [4] beside ids [3, 4]; expected [3, 4]"),
    (lambda: warp(many=lambda ids: MANY[:2], items=None), "has shape [2, 4] beside ids [3, 4]; expected [3, 4]"),
    (lambda: warp(many=lambda ids: MANY), "many_negative_scores(ids) has shape [3, 4] beside ids [4]; expected [4]"),
    (lambda: choosing(lambda ids: MANY), "negative_items was None; to score negatives by a function, give …[K, B]"),
    (lambda: choosing(lambda ids: MANY, negative_items=ROWS), "negative_items has shape [4] …expected [K, 4]"),
    # one negative each, where K are expected
    *(
        (
            lambda choose=choose: choosing(P, choose),
            "negatives has shape [4] beside positive_scores [4]; expected [K, 4]",
        )
        for choose in (choose_hardest, choose_semi_hard, choose_first_violation, lambda scores: ROWS)
    ),
    (lambda: pair_loss(terms.hinge, P, P, negative_mask=P.bool()), "negative_mask has shape [4] …expected [K, 4]"),
    # what a term and a choice return
    (lambda: of_term(P.sum()), "d) has shape [] beside positive_scores [4]; expected [4]"),
    (lambda: of_term(P[:, None]), "d) has shape [4, 1] …expected [4]. …use term(positive, negative, d).squeeze(-1)"),
    (lambda: of_term(MANY[:2], MANY), "d) has shape [2, 4] …expected [4]"),
    (lambda: of_term(P.to("meta")), "d) is on meta but positive_scores on cpu"),
    (lambda: pair_loss(terms.hinge, P, MANY), "d) has shape [3, 4] …expected [4]. …needs choose="),
    (lambda: of_choice(ROWS[None]), "choose(scores) has shape [1, 4] …expected [4]"),
    (lambda: of_choice(ROWS + 3), "choose(scores) holds rows from 3 to 3; expected 0 to 2"),
    (lambda: of_choice(ROWS - 1), "choose(scores) holds rows from -1 to -1; expected 0 to 2"),
    (lambda: of_choice(ROWS.to("meta")), "choose(scores) is on meta but …on cpu"),
    # choosing and sampling
    (lambda: choose_hardest(MANY[:0]), "many_negative_scores has shape [0, 4]; expected [K, B]"),
    (lambda: choose_hardest(MANY, MANY.T.bool()), "negative_mask has shape [4, 3] …[3, 4]"),
    (lambda: choose_semi_hard(P[:3], torch.zeros(3, 2)), "has shape [3, 2] beside positive_scores [3]"),
    (lambda: choose_first_violation(tensor(1.0)), "margins has shape []; expected [K, B]"),
    (lambda: choose_first_violation(MANY, MANY.T.bool()), "negative_mask has shape [4, 3] beside margins [3, 4]"),
    (lambda: pairloss.take_negatives(MANY, ITEMS[:3]), "index has shape [3] beside rows [3, 4]; expected [4]"),
    (lambda: pairloss.take_negatives(MANY, ITEMS), "index holds rows from 0 to 3; expected 0 to 2"),
    (lambda: pairloss.take_negatives(MANY, ITEMS - 3), "index holds rows from -3 to 0; expected 0 to 2"),
    (lambda: sample(tensor([1, 0]), torch.eye(2, 1).bool()), "holds 0, who has interacted with every item;"),
    (lambda: sample(tensor([0, 7])), "positive_users holds ids from 0 to 7; expected 0 to 6, the rows of interactions"),
    (lambda: sample(tensor([[0]])), "positive_users has shape [1, 1] and interactions [7, 9]; expected [B] and [U, N]"),
    (lambda: sample(known=torch.full((7, 9), math.nan)), "interactions holds nan; expected 0 where there was none"),
    (lambda: sample(known=KNOWN.to("meta")), "interactions is on meta but positive_users on cpu"),
    (lambda: sample(known=KNOWN.to_sparse(1)), "has 1 dense dimensions; expected none, which to_sparse() gives"),
    (lambda: sample(known=KNOWN.to_sparse(1), weights=torch.ones(9)), "has 1 dense dimensions; expected none"),
    (lambda: sample(k=0), "num_negatives was 0; expected at"),
    (lambda: sample(weights=torch.ones(7)), "weights has shape [7] beside interactions [7, 9]; expected [9]"),
    (lambda: sample(weights=torch.arange(9) - 1), "weights go from -1 to 7; expected finite numbers of at least 0"),
    (lambda: sample(weights=torch.full((9,), math.nan)), "weights go from nan to nan; expected finite"),
    # lists, ratings, totals
    (lambda: pairloss.pairwise_hinge_loss(P, ITEMS, margin=-1), "margin was -1; expected a finite number of"),
    (lambda: pairloss.pairwise_hinge_loss(P, ITEMS, power=3), "power was 3"),
    (lambda: pairloss.lambdarank_loss(P, ITEMS, sigma=0.0), "sigma was 0.0; expected a finite number above 0"),
    (lambda: pairloss.lambdarank_loss(P, ITEMS, sigma=math.inf), "sigma was inf; expected a finite number above 0"),
    (lambda: pairloss.lambdarank_loss(P, ITEMS, at=0), "at was 0"),
    (lambda: pairloss.total_weight(P[:3], mask=torch.ones(2).bool()), "mask has shape [2] beside positive_scores [3]"),
    (lambda: pairloss.total_weight(P[:3], negative_mask=torch.ones(3).bool()), "[3] …[3]; expected [K, 3]"),
    (lambda: pairloss.total_weight(P[:3], weights=tensor([1.0, -1.0, 1.0])), "weights holds -1; expected finite"),
    (lambda: pairloss.logistic_loss(P + 5, P), "observed_ratings holds 5; expected only -1, 0 and 1"),
    (lambda: pairloss.logistic_loss((P + 255).byte(), P), "observed_ratings holds 255; expected only -1, 0 and 1"),
    (lambda: pairloss.poisson_loss(P - 2, P + 1), "observed_ratings holds -2; expected counts of at least 0"),
    (lambda: pairloss.poisson_loss(P, P), "predicted_ratings holds 0; expected all above 0: give exp"),
    # negatives of the batch
    (lambda: in_batch(TABLE[0]), "scores has shape [6]; expected [B, B + M]"),
    (lambda: in_batch(TABLE.T), "scores has shape [6, 4]; expected [B, B + M]"),
    (lambda: in_batch(TABLE[:0, :0]), "scores has shape [0, 0]"),
    (lambda: in_batch(users=torch.arange(6)), "users has shape [6] beside scores [4, 6]; expected [4]"),
    (lambda: in_batch(items=ITEMS), "items has shape [4] beside scores [4, 6]; expected [6]"),
    (lambda: in_batch(log_q=torch.full((6,), 0.2)), "log_q goes from 0.2… to 0.2…; expected logs of prob"),
    (lambda: in_batch(log_q=torch.zeros(6).log()), "log_q goes from -inf to -inf; expected"),
    (lambda: in_batch(log_q=TABLE[:, 0]), "log_q has shape [4]"),
    (lambda: in_batch(metadata=GENRE, metadata_weights=WEIGHT), "items was None"),
    (lambda: in_batch(temperature=0.0), "temperature was 0.0; expected a finite number ab"),
    (lambda: in_batch(reduction="max"), "reduction was 'max'"),
    (lambda: in_batch(users=ITEMS.to("meta")), "users is on meta but scores on cpu"),
    # interactions
    (lambda: interactions(items=tensor([0])), "items has shape [1] beside users [4]; expected [4]"),
    (lambda: interactions(users=ROWS[:, None]), "users has shape [4, 1]; expected one dimension, [n]"),
    (lambda: interactions(items=ITEMS.to("meta")), "items is on meta but users on cpu"),
    (lambda: interactions(num_users=1), "users holds ids from 0 to 1; expected 0 to 0"),
    (lambda: interactions(items=ITEMS - 1), "items holds ids from -1 to 2; expected 0 to 3"),
    (lambda: interactions(titles=["one"]), "titles has 1 entries; expected 4, one per item"),
    (lambda: interactions(item_names=["one"]), "item_names has 1 entries; expected 4, one per item"),
    (lambda: interactions(user_names=["one"]), "user_names has 1 entries; expected 2, one per user"),
    (lambda: interactions(genres=torch.zeros(4, 2).bool()), "genres has shape [4, 2] …expected [4, 0]"),
    (lambda: interactions(utilities=torch.zeros(4, 2)), "utilities has shape [4, 2] …expected [2, 4]"),
    (lambda: interactions(times=ROWS[:3]), "times has shape [3] beside items [4]; expected [4]"),
    (lambda: interactions(times=ROWS.to("meta")), "times is on meta but items on cpu"),
    (lambda: interactions(num_users=2**40, num_items=2**40), "too large"),
    (lambda: pairloss.sample_negatives(ITEMS, interactions(num_users=2**32, num_items=2**32), 2), "too large"),
]


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [(error, *row) for error, rows in ((TypeError, TYPES), (ValueError, VALUES)) for row in rows],
)
def test_what_is_wrong_is_said(error, call, message):
    with pytest.raises(error, match=re.escape(message).replace("…", ".*")):
        call()


# --- arguments in another library's place, numbers beyond every range, tensors of other layouts ------------------


@pytest.mark.parametrize("name", COLLIES)
def test_a_mask_in_spotlights_place_is_named(name):
    scores = P, MANY if entry(name).takes_many else P
    for wrong, got in ((P.bool(), "Tensor"), (12.0, "float"), (True, "bool"), ("12", "str")):
        with pytest.raises(TypeError, match=f"num_items must be an int, got {got}") as caught:
            getattr(pairloss, name)(*scores, wrong)
        assert ("mask=" in str(caught.value)) == (got == "Tensor")
    for wrong in (0, -1, 2**63, 2**70, 10**400):
        with pytest.raises(ValueError, match=r"num_items was .*; expected at least 1"):
            getattr(pairloss, name)(*scores, wrong)
    assert getattr(pairloss, name)(*scores, 2**63 - 1).isfinite()


every_layout = pytest.mark.parametrize(
    "make", [nested, lambda: nested(torch.strided), P.to_sparse, masked], ids=["jagged", "nested", "sparse", "masked"]
)
quiet = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:.*MaskedTensor")


@quiet
@every_layout
@pytest.mark.parametrize("name", PAIRS)
def test_tensors_of_other_layouts_are_refused_by_name(name, make):
    many = entry(name).takes_many
    good = {
        "positive_scores": P,
        negatives_of(name): MANY if many else P,
        "positive_items": ITEMS,
        "negative_items": MANY_ITEMS if many else ITEMS,
        "mask": P.bool(),
        "weights": P,
    }
    good |= ({"negative_mask": MANY.bool()} if many else {}) | ({"num_items": 12} if name in COLLIES else {})
    for argument, value in good.items():
        if isinstance(value, torch.Tensor):
            with pytest.raises(TypeError, match=f"^{argument} must be a dense tensor"):
                itself(name)(**good | {argument: make()})
    with pytest.raises(TypeError, match="dense tensor"):
        itself(name)(**good | {"metadata": {"genre": make()}, "metadata_weights": WEIGHT})
    lists = [[P.tolist()], [[P, P]], *([[make()], [P, make()], [P, [0.0] * 4]] if many else [])]
    for scores in lists:
        with pytest.raises(TypeError, match=rf"^{negatives_of(name)}.* must be a "):
            itself(name)(**good | {negatives_of(name): scores})


@quiet
@every_layout
@pytest.mark.parametrize("name", LISTS)
def test_lists_refuse_tensors_of_other_layouts(name, make):
    for place, argument in enumerate(("scores", "labels", "groups")):
        arguments = [P, P, ITEMS]
        arguments[place] = make()
        with pytest.raises(TypeError, match=f"^{argument} must be a dense tensor"):
            getattr(pairloss, name)(*arguments[:2], groups=arguments[2])


OF_LISTS = [
    (TypeError, {"scores": [1.0]}, "scores must be a torch.Tensor, got list"),
    (TypeError, {"scores": ITEMS}, "scores must be floating .* got torch.int64"),
    (TypeError, {"groups": P}, "groups must be integer ids, got torch.float32"),
    (ValueError, {"scores": P[:, None]}, r"scores has shape \[4, 1\]; expected one dimension"),
    (ValueError, {"labels": ITEMS[:2]}, r"labels has shape \[2\] beside scores \[4\]; expected \[4\]"),
    (ValueError, {"labels": ITEMS - 1}, "labels go from -1 to 2; expected finite numbers of at least 0"),
    (ValueError, {"labels": ITEMS.to("meta")}, "labels is on meta but scores on cpu"),
    (ValueError, {"groups": ITEMS[:3]}, r"groups has shape \[3\] beside scores"),
    (ValueError, {"reduction": "none"}, "reduction was 'none'; expected one of 'mean', 'sum'"),
    (ValueError, {"scores": torch.zeros(4, 1), "labels": torch.zeros(4, 1)}, r"scores has shape \[4, 1\].*squeeze"),
    (ValueError, {"scores": torch.zeros(2, 3, 4), "labels": torch.zeros(2, 3, 4)}, "scores has shape .*groups"),
    (ValueError, {"scores": MANY, "labels": MANY, "groups": MANY_ITEMS}, "scores has shape .*groups"),
    (TypeError, {"mask": P}, "mask must be bool, got torch.float32"),
    (ValueError, {"mask": P[:2] > 0}, r"mask has shape \[2\] beside scores \[4\]"),
    (TypeError, {"weights": P > 0}, r"weights must be numbers \(bool is for a mask\), got"),
    (
        ValueError,
        {"scores": MANY, "labels": MANY, "weights": P},
        r"weights has shape \[4\] beside scores .*expected \[3\]",
    ),
    (ValueError, {"weights": P - 9}, "weights holds -.*; expected finite numbers of at least 0"),
    (ValueError, {"weights": P + math.nan}, "weights holds nan; expected finite numbers of at least 0"),
]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(("error", "wrong", "message"), OF_LISTS)
def test_what_is_wrong_with_a_list_is_said(name, error, wrong, message):
    with pytest.raises(error, match=message):
        getattr(pairloss, name)(**{"scores": P, "labels": ITEMS} | wrong)


NUMBERS = {
    "margin": lambda n: pairloss.pairwise_hinge_loss(P, ITEMS, margin=n),
    "sigma": lambda n: pairloss.lambdarank_loss(P, ITEMS, sigma=n),
    "power": lambda n: pairloss.pairwise_hinge_loss(P, ITEMS, power=n),
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
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_beyond_every_range_are_refused_by_name(name, sign):
    for size in (400, 6000):
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


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_every_integer_dtype(dtype):
    items, others = ITEMS.to(dtype), (ITEMS + 3).to(dtype)
    assert credit(items=items, negative_items=others).tolist() == [0.75] * 4
    assert credit(items=items, negative_items=items).tolist() == [0.0] * 4
    # A table with more rows than the ids can count, and sums of weights a little above 1.
    many_rows = {"a": torch.zeros(70_000), "b": torch.zeros(70_000)}
    assert credit(many_rows, {"a": 0.5, "b": 0.5 + 4e-16}, items, others).tolist() == [0.0] * 4


WRONG = {"num_items": 0, "mask": P, "weights": MANY, "negative_mask": MANY, "squared": 1, "reduction": "max"}
WRONG |= {"rank_weight": "linear", "metadata": GENRE, "items": P}


@pytest.mark.parametrize("argument", WRONG)
def test_nothing_is_scored_before_all_arguments_are_checked(argument):
    with pytest.raises((TypeError, ValueError)):
        warp(many=never, **{argument: WRONG[argument]})


@pytest.mark.parametrize("wrong", [{"term": "hinge"}, {"choose": "hardest"}, {"mask": P}, {"squared": 1}])
def test_nothing_is_scored_or_chosen_before_all_words_are_checked(wrong):
    words = {"term": never, "choose": never, "negative_items": MANY_ITEMS} | wrong
    with pytest.raises((TypeError, ValueError)):
        pair_loss(words.pop("term"), P, never, **words)
