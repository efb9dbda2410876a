"""The study: its splits, losses, models, tuning and measures are what they say, and its table comes out again."""

import itertools
import math
import re
from dataclasses import replace
from functools import partial

import pytest
import tables
import torch
from study import chapters, data, models, protocol, report
from study.__main__ import QUESTIONS
from study.losses import LOSSES, RULES, Batch, at, in_batch
from torch.testing import assert_close

import pairloss
from pairloss import Interactions, metrics
from tests import oracles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

FILMS = "generated films"


def some_choices(num_users=30, num_items=40, share=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.rand(num_users, num_items, generator=generator) < share).nonzero(as_tuple=True)
    return Interactions(users, items, num_users, num_items)


def pairs(*parts):
    return sorted((u, i) for part in parts for u, i in zip(part.users.tolist(), part.items.tolist(), strict=True))


def test_a_split_is_a_tenth_and_a_tenth():
    films, _ = data.load(FILMS)
    one, other = data.split(FILMS, 0), data.split(FILMS, 1)
    assert pairs(one.train, one.valid, one.test) == pairs(films)
    tenth = len(films.users) // 10
    assert (len(one.valid.users), len(one.test.users), one.k) == (tenth, tenth, 10)
    assert pairs(one.test) != pairs(other.test)
    assert pairs(data.split(FILMS, 0).valid) == pairs(one.valid)


def test_of_a_public_split_a_tenth_of_each_user_validates(monkeypatch):
    train, test = some_choices(share=0.6), some_choices(seed=1)
    monkeypatch.setattr(data, "load", lambda name: (train, test))
    found = data.split.__wrapped__("Health", 3)  # which no cache keeps for other tests
    assert pairs(found.train, found.valid) == pairs(train)
    assert (pairs(found.test), found.k) == (pairs(test), 20)
    counts, valid = (part.users.bincount(minlength=30).tolist() for part in (train, found.valid))
    assert valid == [max(count // 10, 1) for count in counts]


@pytest.mark.parametrize("k", [3, 10])
def test_the_head_of_the_list_is_that_of_the_package(k):
    held_out, seen = some_choices(seed=1, share=0.1), some_choices()
    scores = torch.randn(30, 40, generator=torch.Generator().manual_seed(2))
    judged = pairs(held_out)
    kept = [pair for pair in judged if pair not in set(pairs(seen))]
    users, items = torch.tensor(kept).T
    held_out = Interactions(users, items, 30, 40)
    found = protocol.head(scores.__getitem__, protocol.lists(held_out, seen), k)
    expected = [measure(scores, held_out, k, exclude=seen).item() for measure in (metrics.ndcg, metrics.recall)]
    assert found == pytest.approx(expected, abs=1e-12)


def a_batch(temperature=1.0):
    """Four users, seven items, the scores of a cosine over its temperature."""
    generator = torch.Generator().manual_seed(5)
    scores = (2 * torch.rand(4, 7, generator=generator, dtype=torch.float64) - 1) / temperature
    known = torch.rand(4, 7, generator=generator) < 0.4
    rows, items = known.nonzero(as_tuple=True)
    drawn = torch.randint(7, (10, len(rows)), generator=generator)
    met = at(scores, rows, items), at(scores, rows, drawn), ~at(known, rows, drawn), drawn
    return Batch(scores, known, rows, items, *met, temperature, weight=3.0)


def test_of_all_is_over_what_a_user_has_not_chosen():
    batch = a_batch()
    for place, row in enumerate(batch.rows.tolist()):
        others = [batch.scores[row, j].exp().item() for j in range(7) if not batch.known[row, j]]
        assert batch.of_all[place].item() == pytest.approx(math.log(sum(others)))


@pytest.mark.parametrize("scoring", ["cosine", "dot"])
@pytest.mark.parametrize(("pool", "k"), [("", 10), (models.IN_A_POOL, 1), (models.IN_A_POOL, 100)])
def test_a_batch_has_the_scores_of_its_users(pool, k, scoring, monkeypatch):
    train, seen = some_choices(), []
    monkeypatch.setitem(LOSSES, "softmax", (lambda batch: seen.append(batch) or batch.scores.sum(), k))
    factors = models.Factors

    def biased(*words):
        model = factors(*words)
        model.bias.requires_grad_(False).copy_(torch.arange(40.0).sqrt())
        return model

    monkeypatch.setattr(models, "Factors", biased)
    next(models.factors(f"softmax{pool}", scoring, 16, (0.0, 5.0), train, 0, 8))
    model = biased((30, 40), 16, 0.2 if scoring == "cosine" else None, torch.Generator().manual_seed(0))
    every, chosen, users = model(torch.arange(30)), train.matrix.to_dense() > 0, []
    for batch in seen:
        for row in range(len(batch.scores)):
            its = batch.rows == row
            (user,) = (u for u in range(30) if batch.items[its].tolist() == chosen[u].nonzero().flatten().tolist())
            users.append(user)
            assert_close(batch.positive[its], every[user, chosen[user]])
            columns = [(every[user] - score).abs().argmin() for score in batch.scores[row]]
            assert_close(every[user, columns], batch.scores[row])
            assert batch.known[row].tolist() == chosen[user, columns].tolist()
            assert_close(batch.negatives[:, its], every[user, batch.drawn[:, its]])
            assert batch.real[:, its].tolist() == (~chosen[user, batch.drawn[:, its]]).tolist()
        assert len(batch.drawn) == k
        assert batch.scores.shape[1] == (1000 if pool else 40)
    assert sorted(users) == [*range(30)]


def plain_softmax(p, negatives, t):
    return -p / t + math.log(math.exp(p / t) + sum(math.exp(n / t) for n in negatives))


def plain_decoupled(p, negatives, t):
    return math.log(sum(math.exp((n - p) / t) for n in negatives))


def plain_psl(p, negatives, t):
    half = t / 2  # the paper's score is half the cosine, and its temperature is half of ours
    return math.log(sum((1 + math.tanh((n - p) / 2)) ** (1 / half) for n in negatives)) - math.log(2) / half


def plain_bsl(p, negatives, t):
    return math.log(sum(math.exp(n / (t / 2)) for n in negatives) ** (t / 2 / t)) - p / t


def plain_ccl(p, negatives, t):  # the paper's, with the temperature as its margin, over the temperature, minus 1
    return (1 - p + 3 * sum(max(0, n - t) for n in negatives) / len(negatives)) / t - 1 / t


def plain_bce(p, negatives, t, of_positive=1.0):  # −log σ(p) to that power, and −log(1 − σ(n))
    unlike = sum(math.log(1 + math.exp(n / t)) for n in negatives)
    return of_positive * math.log(1 + math.exp(-p / t)) + unlike


def plain_gbce(p, negatives, t):  # ten draws of the six other items
    return plain_bce(p, negatives, t, 10 / 6 * (0.75 * (1 - 6 / 10) + 6 / 10))


PLAIN = {
    **dict.fromkeys(("softmax", "softmax by root", "SL@20, fixed weights", "softmax of 10"), plain_softmax),
    **dict.fromkeys(("decoupled softmax", "SL@20"), plain_decoupled),
    "PSL of 100": plain_psl,
    "BSL of 100": plain_bsl,
    "CCL of 100": plain_ccl,
    "BCE of 10": plain_bce,
    "gBCE of 10": plain_gbce,
}


@pytest.mark.parametrize(("temperature", "in_pool"), [(1.0, False), (0.25, False), (0.25, True)])
@pytest.mark.parametrize("name", PLAIN)
def test_losses_over_many_negatives_are_their_formulas(name, temperature, in_pool):
    batch = a_batch(temperature)
    if in_pool:  # the choices are not among its items
        batch = batch._replace(positive=batch.positive.flip(0))
    loss, k = LOSSES[name]
    cosine, own = (batch.scores * temperature).tolist(), (batch.positive * temperature).tolist()
    total, weights = 0.0, 0.0
    for place, row in enumerate(batch.rows.tolist()):
        all_negatives = [cosine[row][j] for j in range(7) if not batch.known[row, j]]
        drawn = [cosine[row][j] for j in batch.drawn[:, place] if not batch.known[row, j]]
        weight = 1.0
        if name.startswith("SL@20"):  # here with the third best score
            of_user = [p for p, its in zip(own, batch.rows.tolist(), strict=True) if its == row]
            width = 3.0 if name == "SL@20" else 1.0
            weight = 1 / (1 + math.exp((sorted(all_negatives + of_user)[-3] - own[place]) / width))
        if name == "softmax by root":
            weight = batch.rows.tolist().count(row) ** -0.5
        negatives = all_negatives if k == 0 else drawn
        total += weight * PLAIN[name](own[place], negatives, temperature)
        weights += 1.0 if name == "SL@20" else weight
    value = loss(batch, k=3) if name.startswith("SL@20") else loss(batch)
    assert value.item() == pytest.approx(total / weights)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must:DeprecationWarning")  # a chapter's bars
def test_a_chapter_writes_losses_of_papers_as_their_formulas():
    names = tables.definitions("softly", 'print(f"CCL')
    one, negatives = 1.5, [1.0, 4.0, 1.49, 0.2]
    expected = {
        "psl": oracles.psl(one, negatives, []),
        "bsl": oracles.bsl(one, negatives, []),
        "ccl": plain_ccl(one, negatives, 0.5) * 0.5,
        "gbce": plain_gbce(one, negatives, 1.0),
    }
    words = {"bsl": dict(zip(("tau", "tau_negative"), oracles.BSL_TEMPERATURES, strict=True))}
    words |= {"ccl": {"margin": 0.5, "weight": 3.0}, "gbce": {"alpha": 10 / 6}}
    table = torch.tensor([*negatives, 9.0], dtype=torch.float64).unsqueeze(1)
    known = table == 9
    for name, value in expected.items():
        term = partial(names[name], **words.get(name, {}))
        found = pairloss.pair_loss(term, table.new_tensor([one]), table, negative_mask=~known)
        assert found.item() == pytest.approx(value)


@pytest.mark.parametrize(("name", "through"), [("SL@20", True), ("SL@20, fixed weights", False)])
def test_the_gradient_goes_through_weights_that_are_not_fixed(name, through):
    batch, loss = a_batch(), LOSSES[name][0]
    positive = (batch.positive - 2).requires_grad_()  # lower than the best score, which counts as given
    by_steps = torch.autograd.gradcheck
    assert through == by_steps(lambda own: loss(batch._replace(positive=own), k=1), positive, raise_exception=False)


def test_the_hinge_meets_the_negative_that_each_rule_takes():
    batch, found = a_batch(), dict.fromkeys(RULES, 0.0)
    for place, (row, item) in enumerate(zip(batch.rows.tolist(), batch.items.tolist(), strict=True)):
        scores, p = batch.scores[row].tolist(), batch.scores[row, item].item()
        drawn = [scores[j] for j in batch.drawn[:, place].tolist() if not batch.known[row, j]]
        others = [scores[j] for j in batch.items.tolist() if not batch.known[row, j]]
        below = [n for n in drawn if n < p]
        taken = {name: max(drawn) for name in RULES} | {"hinge, hardest in the batch": max(others)}
        taken["hinge, first violation of 10"] = next((n for n in drawn if 1 - p + n > 0), -torch.inf)
        taken["hinge, semi-hard of 10"] = max(below) if below else min(drawn)
        for name, n in taken.items():
            lack = max(0, 1 - p + n)
            found[name] += (lack + lack**2) / len(batch.rows)
    for name, (loss, _) in RULES.items():
        assert loss(batch).item() == pytest.approx(found[name]), name


@pytest.mark.parametrize("rule", ["", "log q", "hardest"])
def test_in_a_batch_of_600_choices_each_meets_those_of_its_third(rule):
    batch = a_batch()
    generator = torch.Generator().manual_seed(6)
    scores = torch.randn(60, 40, generator=generator, dtype=torch.float64)
    rows, items = torch.arange(60).repeat_interleave(10), torch.randint(40, (600,), generator=generator)
    known = torch.zeros(60, 40, dtype=torch.bool)
    known[rows, items] = True
    log_q = torch.rand(40, generator=generator, dtype=torch.float64).log()
    batch = batch._replace(scores=scores, known=known, rows=rows, items=items, log_q=log_q)
    total = 0.0
    for place, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
        others = items[place % 3 :: 3].tolist()  # 200 of them
        negatives = [(scores[row, j].item(), log_q[j].item()) for j in others if not known[row, j]]
        p = scores[row, item].item()
        if rule == "hardest":
            lack = max(0, 1 - p + max(n for n, _ in negatives))
            total += lack + lack**2
        else:
            shifts = [n - q - math.log(199) if rule else n for n, q in negatives]
            total += math.log(math.exp(p) + sum(map(math.exp, shifts))) - p
    assert in_batch(batch, rule).item() == pytest.approx(total / 600)


@pytest.mark.parametrize("name", [*LOSSES, *(f"{name}, in a pool" for name in ("log BPR", "softmax", "SL@20"))])
def test_every_loss_puts_choices_above_the_other_items(name):
    train = some_choices(share=0.2)
    row = {"data": FILMS, "scores": "cosine", "dimension": "16", "loss": name}
    for _, scores in zip(range(25), models.learn(row, (0.02, 6, 3), train, 0, 8), strict=False):
        found = scores
    assert metrics.auc(found, train).item() > 0.85


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_a_graph_sums_up_to_two_steps_of_shares(weight):
    train = some_choices(6, 5)
    tagged = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) < 0.6
    users, items = torch.eye(11).split([6, 5])  # each with a number of its own
    found = torch.cat(models.graph(replace(train, genres=tagged, genre_names=[*"abcd"]), weight)(users, items)).double()
    chosen, tags = train.matrix.to_dense().tolist(), tagged.double().tolist()

    def share(table, row, column):
        ends = sum(table[row]) * sum(line[column] for line in table)
        return table[row][column] / math.sqrt(ends) if ends else 0.0

    of_tags = [[sum(share(tags, i, t) * share(tags, j, t) for t in range(4)) for j in range(5)] for i in range(5)]
    own = torch.eye(11, dtype=torch.float64)
    own[6:, 6:] += weight * torch.tensor(of_tags, dtype=torch.float64)
    step = torch.zeros(11, 11, dtype=torch.float64)
    for u in range(6):
        for i in range(5):
            step[u, 6 + i] = step[6 + i, u] = share(chosen, u, i)
    assert_close(found, own + step @ own + step @ step @ own, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_vectors_in_a_graph_put_choices_above_the_other_items():
    tagged = torch.rand(40, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    train = replace(some_choices(share=0.2), genres=tagged, genre_names=[*"abcd"])
    for scores, setting in (("graph", (0.02, 6)), ("graph with tags", (0.02, 6, 0.5))):
        row = {"data": FILMS, "scores": scores, "dimension": "16", "loss": "softmax"}
        for _, model in zip(range(25), models.learn(row, setting, train, 0, 8), strict=False):
            found = model
        assert metrics.auc(found, train).item() > 0.85


def test_scores_are_products_or_cosines():
    generator = torch.Generator().manual_seed(0)
    model = models.Factors((3, 4), 5, 0.2, generator)
    model.bias.data = torch.randn(4, generator=generator)
    users, items, bias = (part.double().tolist() for part in (model.users.data, model.items.data, model.bias.data))
    for cosine in (True, False):
        model.temperature = 0.2 if cosine else None
        table = model(torch.tensor([2, 0]))
        for place, u in enumerate((2, 0)):
            for i in range(4):
                product = sum(a * b for a, b in zip(users[u], items[i], strict=True))
                lengths = math.hypot(*users[u]) * math.hypot(*items[i])
                expected = (product / lengths / 0.2 if cosine else product) + bias[i]
                assert table[place, i].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scoring", ["dot", "dot, no bias", "cosine", "cosine, no bias"])
def test_only_a_model_with_a_bias_learns_one(scoring):
    model = next(models.factors("softmax", scoring, 4, (0.01, 5.0), some_choices(), 0, 8))
    assert model.bias.any() == ("no bias" not in scoring)
    assert (model.temperature is None) == scoring.startswith("dot")


@pytest.mark.parametrize("size", [(30, 40), (40, 30)])
def test_ease_is_the_best_linear_model_without_a_diagonal(size):
    train, ridge = some_choices(*size), 7.0
    (scores,) = models.ease((ridge,), train, 0, 0)
    x, number = train.matrix.to_dense().double(), size[1]
    weights = torch.zeros(number, number, dtype=torch.float64)
    for item in range(number):  # each column is a ridge regression on the others
        others = [i for i in range(number) if i != item]
        a = x[:, others]
        weights[others, item] = torch.linalg.solve(
            a.T @ a + ridge * torch.eye(number - 1, dtype=torch.float64), a.T @ x[:, item]
        )
    assert_close(scores(torch.arange(size[0])), (x @ weights).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("of", "scores", "step", "qualities", "best", "learned"),
    [
        (FILMS, "dot", 1, [0.1, 0.3, *20 * [0.2]], 2, 8),  # six epochs without a gain
        (FILMS, "dot", 1, [*20 * [0.001], 0.1, *20 * [0.05]], 21, 27),  # those before it rises do not count
        (FILMS, "dot", 1, [1 + epoch for epoch in range(120)], 100, 100),
        (FILMS, "dot", 1, [0.3, math.nan, 0.4], 1, 2),
        ("Gowalla", "dot", 7, [0.1, 0.3, *20 * [0.2]], 2, 14),
        ("Electronic", "", 6, [0.1, 0.3, *50 * [0.2]], 2, 8),  # not a model of ours
        ("Electronic", "cosine", 6, [0.1, 0.3, *50 * [0.2]], 2, 8),
        ("Electronic", "cosine, no bias", 6, [0.1, 0.3, *50 * [0.2]], 2, 32),
        ("Electronic", "dot", 6, [0.1, 0.3, *50 * [0.2]], 2, 32),
    ],
)
def test_a_fit_ends_after_some_epochs_without_a_gain(of, scores, step, qualities, best, learned, monkeypatch):
    epochs, choices = iter(qualities), some_choices()
    validate = [user for user in choices.users.unique().tolist() if user % step == 0]

    def head(quality, judged, k):
        assert [user for users, *_ in judged for user in users.tolist()] == validate
        return quality, 0.0

    monkeypatch.setattr(protocol, "learn", lambda *_: epochs)
    monkeypatch.setattr(protocol, "head", head)
    found = protocol.fit({"data": of, "scores": scores}, (), data.Split(choices, choices, choices, 10), 0)
    assert found == (qualities[best - 1], best, qualities[best - 1])
    assert len([*epochs]) == len(qualities) - learned


def test_the_search_ends_inside_and_tries_nothing_twice():
    def quality(setting):
        return -((math.log(setting[0]) - math.log(0.2)) ** 2) - (math.log(setting[1]) - math.log(40)) ** 2

    tried = protocol.search(quality, (0.01, 6), 12)
    assert len(tried) == len({setting for setting, *_ in tried}) == 12
    best = max(tried, key=lambda one: one[1])[0]
    assert best == (pytest.approx(0.2, rel=0.4), pytest.approx(40, rel=0.4))
    assert min(step for *_, step in tried) < 4  # in steps of three it was surrounded
    assert protocol.search(lambda setting: 0.5, (), 12) == [((), 0.5, 4)]
    far = protocol.search(lambda setting: setting[0], (1.0,), 12)
    assert min(step for *_, step in far) == 4  # the best lies at the edge of what was tried
    assert far[-1][0] == (float(f"{3.0**11:.3g}"),)


TABLE = tables.read("study")
MEASURES = [name for name in TABLE[0] if name == "epochs" or "ndcg" in name or "recall" in name or "auc" in name]


def test_the_search_begins_at_a_setting_for_its_row(monkeypatch):
    row = {"data": FILMS, "scores": "cosine", "dimension": "64", "loss": "hinge, true genres", "tuned on": "100"}
    plain = row | {"loss": "hinge", "setting": "0.02 3"}
    in_a_pool = {"loss": "hinge, in a pool", "setting": "0.01 9"}
    monkeypatch.setattr(protocol, "read", lambda name: [plain | {"data": "Health"}, plain | in_a_pool, plain])
    assert protocol.start_of(row) == (0.02, 3, 0.5)
    assert protocol.start_of(row | {"loss": "hinge, true genres, in a pool"}) == (0.01, 9, 0.5)
    assert protocol.start_of(plain | in_a_pool) == protocol.start_of(plain) == (0.01, 1)
    monkeypatch.setattr(protocol, "read", lambda name: [])
    with pytest.raises(ValueError, match=f"no row for .*{FILMS}.*'hinge'"):  # StopIteration would end the study
        protocol.start_of(row)


def test_no_world_serves_two_questions():
    firsts = sorted([*map(data.SEEDS.get, data.MADE), chapters.SEED])
    assert min(high - low for low, high in itertools.pairwise(firsts)) > 300  # one tunes again from 200 on


def test_what_a_search_needs_to_begin_comes_from_an_earlier_question(monkeypatch):
    done = []
    monkeypatch.setattr(protocol, "read", lambda name: done)
    for some in QUESTIONS.values():  # the rows of one run at the same time
        for row in some:
            protocol.start_of(row)  # or there is no row for it
        done += [row | {"setting": "0.01 6"} for row in some]


def test_the_page_says_where_each_search_begins():
    begins = re.findall(r"^\| [^|]+ \| ([\d., ]+) \| [^|]+ \|$", (report.BOOK / "study.md").read_text(), re.MULTILINE)
    assert {tuple(map(float, one.split(", "))) for one in begins} == set(models.STARTS.values())


def test_each_row_answers_a_question():
    keys = ("data", "scores", "dimension", "loss", "tuned on")
    asked = {tuple(row.values()) for some in QUESTIONS.values() for row in some}
    found = [tuple(row[key] for key in keys) for row in TABLE]
    assert set(found) == asked  # the study has run to its end
    assert len(found) == len(set(found))
    for row in TABLE:
        trials, start = row["tried"].split("; "), protocol.start_of(row)
        assert trials[0].split()[:-1] == [f"{part:g}" for part in start]
        assert len(trials) == (protocol.TRIALS[row["data"]] if start else 1) or row["inside"] == "True"
        expected = data.SIZES[row["data"]][2]
        missing = {"epochs", "recall"} if row["data"] in chapters.TUNED_FOR else set()
        missing |= {"ndcg"} if row["data"] in chapters.KINDS else set()
        for name in ("epochs", "ndcg", "recall", "auc"):
            assert len(row[name].split()) == (0 if name in missing else expected)


@pytest.mark.parametrize(
    ("of", "loss"),
    [
        (FILMS, "popularity"),
        (FILMS, "EASE"),
        (FILMS, "softmax"),
        (data.RULED, "hinge, semi-hard of 10"),
        (data.CREDITED, "softmax of 10, true genres"),
        (data.FRESH, "log BPR"),
        ("lists for NDCG", "softmax"),
        ("clean pairs", "Collie"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # a chapter's heat map
def test_a_row_run_again_is_the_stored_one(of, loss):
    row = next(row for row in TABLE if (row["data"], row["loss"]) == (of, loss))
    setting, tuning = tuple(map(float, row["setting"].split())), data.SIZES[of][1]
    tuned = [protocol.validated(row, setting, seed) for seed in range(100, 100 + tuning)]
    assert f"{sum(tuned) / tuning:.4f}" == row["validates"]
    again = {name: f"{value:.4g}" for name, value in protocol.outcome(row, setting, 0).items()}
    assert again == {name: row[name].split()[0] for name in MEASURES if row[name]}


def test_a_page_gets_means_and_differences(monkeypatch):
    def row(ndcg, auc, inside="True"):
        return {"setting": "1", "inside": inside, "ndcg": ndcg, "auc": auc}

    worlds, people = "made worlds", "Health"
    found = {
        (worlds, "A"): row(".2 .4", ".5 .5"), (worlds, "B"): row(".1 .1", ".9 .9", "False"),
        (people, "A"): row(".1 .2 .3", ""), (people, "B"): row(".2 .1 .1", ".4 .4 .4"),
        (people, "C"): row(".3", ""),
    }  # fmt: skip
    monkeypatch.setattr(report, "ROWS", found)
    assert report.lines(["A", "second = B"], ["made worlds NDCG", "AUC = Health AUC"]).splitlines() == [
        "|  | made worlds NDCG | AUC |", "| --- | --- | --- |",
        "| A | **.300** |  |", "| second | .100\\* | **.400** |", "",
    ]  # fmt: skip
    half = 12.7062 * math.sqrt(0.02) / math.sqrt(2)  # of two differences, .1 and .3
    expected = f"+0.200 [{0.2 - half:+.3f}, {0.2 + half:+.3f}]".replace("-", "−")
    assert report.phrase("A − B", ["made worlds NDCG"]) == f"{expected}\\*"
    assert report.phrase("A − B", ["Health NDCG"]) == "+0.067 (2\xa0of\xa03)"
    assert report.phrase("C", ["made worlds NDCG", "Health NDCG"]) == "0.300 on Health"
    for name, columns in (("D", ["Health NDCG"]), ("A", ["Health NDGC"]), ("A − D", ["Health NDCG"])):
        for write in (report.phrase, lambda one, wanted: report.lines([one], wanted)):
            with pytest.raises(ValueError, match="the study has nothing of"):
                write(name, columns)
    for name in ("A − C", "A − B − A"):  # as many splits, and two rows
        with pytest.raises(ValueError, match=r"zip|unpack"):
            report.phrase(name, ["Health NDCG"])


def test_a_page_keeps_what_it_says_itself(tmp_path, monkeypatch):
    row = {"setting": "1", "inside": "True", "ndcg": ".25"}
    monkeypatch.setattr(report, "ROWS", {("Health", "A"): row})
    page = tmp_path / "page.md"
    page.write_text("<!-- study: A | Health NDCG -->\n\nOwn words.\nIt is <!-- study: A | Health NDCG -->9<!-- -->.\n")
    table = "|  | Health NDCG |\n| --- | --- |\n| A | **.250** |\n\n"
    own = "Own words.\nIt is <!-- study: A | Health NDCG -->0.250<!-- -->.\n"
    expected = f"<!-- study: A | Health NDCG -->\n\n{table}{own}"
    for _ in range(2):
        assert report.update(page) == expected
        page.write_text(expected)
