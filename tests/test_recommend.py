"""``python -m pairloss.recommend``: from a file to a table of quality and ten names."""

import re
import sys
from pathlib import Path

import pytest
import torch

from pairloss import Interactions, datasets, metrics, recommend


@pytest.fixture
def clicks(tmp_path):
    """A file of clicks with names, and the interactions that it holds."""
    pandas = pytest.importorskip("pandas")
    data = datasets.generate(num_users=60, num_items=80)
    names = [f"person {user}" for user in range(60)], data.titles
    who, what = ([part[n] for n in ids.tolist()] for part, ids in zip(names, (data.users, data.items), strict=True))
    frame = pandas.DataFrame({"who": who, "what": what, "when": pandas.to_datetime("2024-01-01")})
    frame["when"] += pandas.to_timedelta(range(len(frame)), unit="h")
    frame.to_csv(tmp_path / "clicks.csv", index=False)
    return str(tmp_path / "clicks.csv"), frame


COLUMNS = "--user=who", "--item=what", "--size=8", "--seed=3"


def said(capsys, *arguments):
    assert recommend.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_what_is_printed_is_measured(clicks, capsys):
    file, frame = clicks
    out = said(capsys, file, *COLUMNS, "--time=when")
    data = Interactions.from_pandas(frame, "who", "what", "when")
    torch.manual_seed(3)
    rest, test = data.split(by_time=True)
    train, _ = rest.split(by_time=True)
    popular = train.items.bincount(minlength=data.num_items).double().expand(data.num_users, -1)
    found = [measure(popular, test, exclude=rest) for measure in (metrics.ndcg, metrics.recall, metrics.auc)]
    assert [f"{value:.3f}" for value in found] == re.search("popularity +(.*)", out)[1].split()


@pytest.mark.parametrize("loss", recommend.LOSSES)
def test_every_loss_ranks_better_than_chance(loss):
    torch.manual_seed(0)
    data = datasets.generate(num_users=80, num_items=80)
    train, valid = data.split()
    model, curve = recommend.learn(recommend.Cosine(80, 80, 8), train, valid, loss, negatives=3, epochs=8)
    assert max(curve) == metrics.ndcg(recommend.scores_of(model), valid, exclude=train).item()
    assert metrics.auc(recommend.scores_of(model), train) > 0.7


def test_training_stops_when_nothing_is_gained(monkeypatch):
    qualities = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    monkeypatch.setattr(metrics, "ndcg", lambda *arguments, **words: torch.tensor(next(qualities)))
    data = datasets.generate(num_users=20, num_items=30)
    _, curve = recommend.learn(recommend.Cosine(20, 30, 4), data, data, patience=3)
    assert curve == pytest.approx([0.1, 0.3, 0.2, 0.3, 0.1])


def test_a_file_becomes_ten_names_and_a_table_and_a_saved_model_the_same(clicks, capsys, tmp_path):
    file, frame = clicks
    asked = file, *COLUMNS, "--person=person 7"
    out = said(capsys, *asked, f"--save={tmp_path}/model.pt", f"--plot={tmp_path}/curve.png")
    assert re.search(r"clicks: 60 people, \d+ items, [\d,]+ choices", out)
    rows = dict(re.findall(r"^(popularity|EASE|cosine, all_items) +(\.?0\.\d{3} .*)$", out, re.MULTILINE))
    assert list(rows) == ["popularity", "EASE", "cosine, all_items"]
    names = re.findall(r"^ *\d+\. (.*)$", out.partition("for person 7:")[2], re.MULTILINE)
    assert len(names) == len(set(names)) == 10
    assert set(names) <= set(frame.what)
    assert not set(names) & set(frame.what[frame.who == "person 7"])
    assert said(capsys, *asked, f"--load={tmp_path}/model.pt") == out
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_shows_what_is_printed(capsys):
    readme = Path(__file__).parent.parent / "README.md"
    if not readme.exists():
        pytest.skip("no README here")
    shown = re.search(r"```text\n(generated films.*?)\n```", readme.read_text(), re.DOTALL)[1]
    found = said(capsys).rstrip()
    number = re.compile(r"\b0\.\d{3}\b")
    assert number.sub("", found.partition("\nfor")[0]) == number.sub("", shown.partition("\nfor")[0])
    for ours, theirs in zip(number.findall(found), number.findall(shown), strict=True):  # in float32
        assert float(ours) == pytest.approx(float(theirs), abs=0.01)


def test_what_is_wrong_is_one_sentence(clicks, capsys, tmp_path, monkeypatch):
    file, _ = clicks
    (tmp_path / "empty.csv").write_text("who,what\n")
    (tmp_path / "nothing.csv").write_text("")
    for arguments, message in (
        ([f"{tmp_path}/missing.csv"], "missing.csv cannot be read as a table: .*No such file"),
        ([f"{tmp_path}/nothing.csv"], "nothing.csv cannot be read as a table: No columns"),
        ([f"{tmp_path}/empty.csv", *COLUMNS], "empty has no rows; expected one for each choice"),
        ([file], "user was 'user'; expected one of the columns 'who', 'what', 'when'"),
        ([file, *COLUMNS, "--person=nobody"], "--person was 'nobody', who is not in the data; 'person"),
        ([file, *COLUMNS, "--time=what"], "clicks.csv cannot be read as a table: .*ISO8601"),
        ([file, *COLUMNS, f"--load={tmp_path}/missing.pt"], "No such file"),
        ([file, *COLUMNS, "--loss=worst"], "argument --loss: invalid choice: 'worst'"),
    ):
        with pytest.raises(SystemExit) as ended:
            recommend.main(arguments)
        assert ended.value.code == 2
        assert re.search(message, capsys.readouterr().err), message
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SystemExit):
        recommend.main([file])
    assert "clicks.csv needs pandas: pip install pandas" in capsys.readouterr().err
