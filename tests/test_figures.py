"""The figures to play with: what they compute is what pairloss computes, and they answer those who play with them."""

import json
import re
import subprocess

import numpy
import pytest
import torch
from tables import definitions
from torch.utils._pytree import tree_leaves

import pairloss
from book import stills
from pairloss import figures
from tests.browser import node

NUMBERS = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def computed():
    """What the JavaScript makes of each case: a function of an expression, which is one of a case, and of cases."""
    code = figures._FILES.joinpath("maths.js").read_text("utf-8")
    code += """\nrequire('readline').createInterface({ input: process.stdin }).on('line', (line) => {
        const [expression, cases] = JSON.parse(line);
        console.log(JSON.stringify(cases.map(eval(expression))));
    });"""
    with subprocess.Popen([node(), "-e", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(expression, cases):
            print(json.dumps([expression, cases]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield answer


def drawn(*shape, ties=False):
    """Random scores. With ties some of them are equal, and some lie a margin of 1 apart."""
    values = 2 * torch.randn(*shape, generator=NUMBERS, dtype=torch.float64)
    return values.round() if ties else values


def close(actual, expected):
    torch.testing.assert_close(torch.as_tensor(actual, dtype=torch.float64), expected.double(), rtol=1e-6, atol=1e-6)


def value_and_slope(function, x):
    x = x.clone().requires_grad_()
    values = function(x)
    (slope,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), slope


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(
    ("name", "loss"), [("BPR", pairloss.bpr_loss), ("hinge", pairloss.hinge_loss), ("log BPR", pairloss.log_bpr_loss)]
)
def test_pair_losses_and_their_pulls(computed, name, loss, squared):
    x = torch.cat([torch.linspace(-30, 30, 241, dtype=torch.float64), drawn(40)])
    for d in (1.0, 0.75, 0.4, 0.0):
        item = torch.zeros(len(x), dtype=torch.int64)
        credit = {"positive_items": item, "negative_items": item + 1, "metadata": {"kind": torch.zeros(2).long()}}
        credit |= {"metadata_weights": {"kind": 1 - d}}
        values, slope = value_and_slope(
            lambda x, credit=credit: loss(x, torch.zeros_like(x), reduction="none", squared=squared, **credit), x
        )
        ours = computed(
            "([name, x, d, squared]) => pairLoss(name, x, d, squared)", [[name, v, d, squared] for v in x.tolist()]
        )
        close([each["value"] for each in ours], values)
        close([each["pull"] for each in ours], -slope)


def test_the_five_forms_of_bpr(computed):
    log_sigmoid = torch.nn.functional.logsigmoid
    forms = {
        "paper, LightFM": lambda x: -log_sigmoid(x),
        "RecBole": lambda x: -torch.log(torch.sigmoid(x) + 1e-10),
        "Spotlight": lambda x: torch.sigmoid(-x),
        "torchmf": lambda x: torch.sigmoid(-x) ** 2,
        "Collie": lambda x: torch.sigmoid(-x) + torch.sigmoid(-x) ** 2,
    }
    x = torch.linspace(-30, 10, 161, dtype=torch.float64)
    for name, form in forms.items():
        values, slope = value_and_slope(form, x)
        ours = torch.tensor(computed("([name, x]) => FORMS[name](x)", [[name, v] for v in x.tolist()]))
        close(ours[:, 0], values)
        close(ours[:, 1], -slope)
        # On a logarithmic axis the ratio counts, also where the pull is tiny and autograd itself loses digits.
        torch.testing.assert_close(ours[:, 1].double(), -slope, rtol=0.01, atol=0)
    assert list(forms) == computed("() => Object.keys(FORMS)", [0])[0]


@pytest.mark.parametrize("ties", [False, True])
def test_search_and_rules(computed, ties):
    p, many = drawn(60, ties=ties), drawn(5, 60, ties=ties)
    cases = [[positive, column] for positive, column in zip(p.tolist(), many.T.tolist(), strict=True)]
    _, tries, found = pairloss.choose_first_violation(1 - p + many)
    for kind in ("log", "harmonic"):
        for items in (5, 30, 1682):
            ours = computed(f"([p, many]) => warp(p, many, {items}, '{kind}')", cases)
            expected = pairloss.warp_loss(p, many, items, rank_weight=kind, reduction="none")
            close([each["value"] for each in ours], expected)
            assert [each["tries"] for each in ours] == tries.tolist()
            assert [each["found"] for each in ours] == found.tolist()
    ours = computed("([p, many]) => choices(p, many)", cases)
    assert [each["hardest"] for each in ours] == pairloss.choose_hardest(many).tolist()
    assert [each["semi-hard"] for each in ours] == pairloss.choose_semi_hard(p, many).tolist()
    first = torch.where(found, tries - 1, -1)
    assert [each["first violation"] for each in ours] == first.tolist()
    assert {each["uniform"] for each in ours} == {0}


def test_the_softmax_and_its_shares(computed):
    p, many = drawn(40), drawn(6, 40).requires_grad_()
    for temperature in (0.05, 0.25, 1.0, 10.0):
        loss = pairloss.softmax_loss(p, many, temperature=temperature, reduction="none")
        (pull,) = torch.autograd.grad(loss.sum(), many)
        cases = [[positive, column] for positive, column in zip(p.tolist(), many.T.tolist(), strict=True)]
        ours = computed(f"([p, many]) => softmax(p, many, {temperature})", cases)
        close([each["value"] for each in ours], loss.detach())
        close([each["shares"] for each in ours], temperature * pull.T)


@pytest.mark.parametrize("ties", [False, True])
def test_lists(computed, ties):
    metrics = pytest.importorskip("sklearn.metrics")
    for length, highest in ((5, 2), (5, 2), (7, 4), (2, 2), (9, 3)):
        labels = torch.randint(highest, (length,), generator=NUMBERS)
        labels[0], labels[-1] = 1, 0  # a pair at least
        scores = drawn(length, ties=ties).requires_grad_()
        case = [scores.tolist(), labels.tolist()]
        for name, loss in (("allPairs", pairloss.pairwise_hinge_loss), ("lambdaRank", pairloss.lambdarank_loss)):
            value = loss(scores, labels)
            (slope,) = torch.autograd.grad(value, scores)
            (ours,) = computed(f"([s, y]) => {name}(s, y)", [case])
            close(ours["value"], value.detach())
            close(ours["pulls"], -slope)
        found = computed("([s, y]) => [ndcg(s, y), auc(s, y.map((v) => (v > 0 ? 1 : 0)))]", [case])[0]
        s = scores.detach().numpy()[None]
        in_order = s - 1e-9 * numpy.arange(length)  # ties in the order given, as LambdaRank has them
        assert found[0] == pytest.approx(metrics.ndcg_score(2.0 ** labels.numpy()[None] - 1, in_order), abs=1e-6)
        assert found[1] == pytest.approx(metrics.roc_auc_score(labels.numpy() > 0, s[0]), abs=1e-6)


VIEWS = "view", "unsqueeze", "expand", "detach", "split", "squeeze", "alias", "select.int", "slice", "new_empty"


@pytest.fixture(scope="module")
def ledger():
    """What the chapter counts peaks with, which here adds up the bytes that operations read and write as well."""

    class Moved(definitions("speed", "def step(")["Ledger"]):
        moved = 0

        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            results = super().__torch_dispatch__(operation, types, args, kwargs)
            made, given = ([t for t in tree_leaves(part) if isinstance(t, torch.Tensor)] for part in (results, args))
            name = str(operation)
            if "embedding_dense_backward" in name:  # rows are read, and added to those of the table: read and written
                self.moved += 3 * given[0].nbytes
            elif "embedding" in name:  # of a table the rows that are looked up
                self.moved += 2 * made[0].nbytes
            elif not any(view in name for view in VIEWS):  # what is broadcast is read once
                self.moved += sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in (*made, *given))
            return results

    return Moved


@pytest.mark.parametrize(("k", "b", "dim"), [(64, 1024, 64), (16, 4096, 128), (256, 2048, 32), (2, 2048, 64)])
def test_the_cost_of_a_step_is_what_torch_holds_and_moves(computed, ledger, k, b, dim):
    way = "scored once", "scored twice", "scored twice, in pieces"
    costs = [computed(f"([k, b, d]) => stepCost(k, b, d, {name!r})", [[k, b, dim]])[0] for name in way]
    for cost, twice, all_at_once in zip(costs, (False, True, True), (True, True, False), strict=True):
        users, items = torch.randn(b, dim, requires_grad=True), torch.randn(500, dim, requires_grad=True)
        i, j = torch.randint(500, (b,)), torch.randint(500, (k, b))

        def score(ids, users=users, items=items):
            return (users * torch.nn.functional.embedding(ids, items)).sum(-1)

        with pytest.MonkeyPatch.context() as patch, ledger() as counted:
            if all_at_once:
                patch.setattr("pairloss.batch.rows_in_a_piece", lambda rows, *_: len(rows))
            pairloss.warp_loss(score(i), score if twice else score(j), 500, i, j).backward()
        of_the_pairs = 4 * b * dim  # what the positives and the chosen take is left out, once for each pair
        assert abs(cost["peak"] - counted.peak) < 0.1 * cost["peak"] + 4.5 * of_the_pairs
        if all_at_once:
            assert abs(cost["moved"] - counted.moved) < 0.1 * cost["moved"] + 35 * of_the_pairs
        else:  # the vectors come from memory once, however often a piece of them is read in the cache
            assert cost["moved"] == 4 * k * b * dim < counted.moved


def test_an_unknown_figure_is_named():
    for name, wanted in (("speed", {"loss": "triplet"}), ("../tables/none", {})):
        with pytest.raises(ValueError, match=f"no row of the table '{name}' has"):
            figures.table(name, **wanted)
    with pytest.raises(ValueError, match=r"name must be one of pull, search, .*; got 'push'"):
        figures.Figure("push")


@pytest.mark.parametrize("name", figures.NAMES)
def test_a_figure_says_the_same_in_every_run_and_asks_nobody(name):
    once, again = (figures.Figure(name, of="</script><b>")._repr_html_() for _ in range(2))
    assert once == again
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", figures.script(name) + figures.Figure(name)._still))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not an address that is asked
    assert once.count("</script>") == 1
    assert re.fullmatch(r"Figure to play with: [A-Z].{10,60}\.", repr(figures.Figure(name)))


@pytest.fixture(scope="module")
def page(browser):
    return browser.new_page()


def framed(page, name, script_runs=True):
    """The figure as Colab shows it: in a frame of its own that may run scripts and nothing else."""
    told = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    inner = (
        figures.Figure(name, **stills.of_the_chapter(name))._repr_html_().replace("&", "&amp;").replace('"', "&quot;")
    )
    sandbox = "allow-scripts" if script_runs else ""
    page.set_content(f'<iframe sandbox="{sandbox}" style="width:700px;height:700px" srcdoc="{inner}"></iframe>')
    frame = page.frame_locator("iframe")
    frame.locator(".says" if script_runs else "img").wait_for()
    return frame, told


@pytest.mark.slow
@pytest.mark.parametrize("name", figures.NAMES)
def test_a_drag_and_a_key_change_what_the_figure_says(page, name):
    page.set_viewport_size({"width": 800, "height": 800})
    frame, told = framed(page, name)
    says = frame.locator(".says")
    for handle in frame.locator(".handle").all()[:2]:
        seen = [says.text_content()]
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 35, y + 35, steps=4)
        page.mouse.up()
        seen.append(says.text_content())
        value = handle.get_attribute("aria-valuenow")
        handle.press("ArrowUp" if handle.get_attribute("aria-orientation") else "ArrowRight")
        assert float(handle.get_attribute("aria-valuenow")) > float(value)
        seen.append(says.text_content())
        handle.press("Home")
        assert handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemin")
        if name == "search":  # it says what was drawn, once something was
            frame.get_by_role("button", name="Next try").click()
        seen.append(says.text_content())
        if name != "search":
            assert len(set(seen)) == len(seen), seen
        assert seen[-1] != seen[0]
    assert told == []


@pytest.mark.slow
@pytest.mark.parametrize("name", figures.NAMES)
def test_the_still_picture_is_what_the_figure_starts_with(page, name):
    assert stills.still(page, name) == (figures._FILES / f"{name}.svg").read_text("utf-8"), "run python book/stills.py"
    frame, _ = framed(page, name, script_runs=False)
    image = frame.locator("img")
    assert len(image.get_attribute("alt")) > 60
    assert image.evaluate("(image) => image.naturalWidth") == 640


def test_the_numbers_of_the_chapters_stand_in_the_figures(page):
    """The published examples, by hand in the chapters, are what a reader meets first."""
    frame, _ = framed(page, "pull")
    # At x = −6: σ(6) and its square, 7 + 7², log(1 + e⁶).
    assert "BPR: loss 1.9926, pull 0.01; hinge: loss 56.0000, pull 15.00" in frame.locator(".says").text_content()
    frame, _ = framed(page, "search")
    for _ in range(4):
        frame.get_by_role("button", name="Next try").click()
    assert "with its square 2.4768" in frame.locator(".says").text_content()
    frame, _ = framed(page, "credit")
    assert "BPR: loss 1.0287" in frame.locator(".says").text_content()
    frame, _ = framed(page, "choice")
    assert "semi-hard takes Spaceballs, 1.1: pull 2.20" in frame.locator(".says").text_content()
    frame, _ = framed(page, "list")
    assert "all-pairs hinge 0.3333" in frame.locator(".says").text_content()


def test_less_motion_for_those_who_asked_for_it(page):
    says, button = page.locator(".says"), page.get_by_role("button", name="Let each loss train the pair")
    page.emulate_media(reduced_motion="reduce")
    page.set_content(figures.Figure("pull")._repr_html_())
    button.click()
    assert "After 150 of 150 steps" in says.text_content()  # at once
    page.emulate_media(reduced_motion="no-preference")
    page.set_content(figures.Figure("pull")._repr_html_())
    button.click()
    assert "After 150 of 150 steps" not in says.text_content()
    says.filter(has_text="After 150 of 150 steps").wait_for()  # a step a frame
