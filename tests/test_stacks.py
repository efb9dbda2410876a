"""The lines of the page "Use it in your stack" run, against each library that is there, and give what it promises."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import pairloss

PAGE = Path(__file__).parent.parent / "book/stacks.md"
if not PAGE.exists():
    pytest.skip("no book here", allow_module_level=True)
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.+?)```", section, re.DOTALL)
    for section in re.split(r"^##? ", PAGE.read_text(), flags=re.MULTILINE)[1:]
}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # warnings of the libraries


def names_of(*sections):
    """What the code of these sections defines, after that of the first one."""
    torch.manual_seed(0)
    names = {"__name__": "stacks"}
    for section in ("Use it in your stack", *sections):
        for block in SECTIONS[section]:
            exec(block, names)
    return names


def by_hand(names, batches):
    """The parameters of the model of the page after a loop over these batches."""
    torch.manual_seed(0)
    model = names["TwoTables"]()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in batches:
        optimizer.zero_grad()
        model(**batch)["loss"].backward()
        optimizer.step()
    return model


def test_the_first_loss_is_the_logarithm_of_eleven():
    names = names_of()
    batch = names["collate"]([names["pairs"][row] for row in range(200)])
    assert names["TwoTables"]()(**batch)["loss"].item() == pytest.approx(2.40, abs=0.02)
    torch.manual_seed(0)
    wide = [torch.randn(rows, 32) for rows in (200, 300)]
    scores = wide[0] @ wide[1].T
    assert scores.abs().median() < 11 < scores.abs().max()
    loss = pairloss.warp_loss(scores[:, 0], scores[:, 1:11].T, num_items=300)
    assert 500 < loss < 2000


def test_the_other_blocks_run():
    names = names_of("Several processes, or several passes", "torch.compile, export and ONNX")
    assert names["loss"].item() == pytest.approx(
        pairloss.softmax_loss(names["positive"], names["negatives"], mask=names["mask"], batch_first=True).item()
    )
    assert names["value"] > 0


def test_padding_does_not_count():
    names = names_of("Padded lists")
    scores, labels, mask = (names[name] for name in ("scores", "labels", "mask"))
    for padded in (scores.masked_fill(~mask, torch.nan), torch.cat([scores, torch.randn(4, 3)], 1)):
        real = torch.cat([mask, torch.zeros(4, padded.shape[1] - 6, dtype=torch.bool)], 1)
        lists = torch.arange(4).unsqueeze(1).expand(padded.shape)[real]
        for name in ("pairwise_hinge_loss", "lambdarank_loss"):
            loss = getattr(pairloss, name)
            value = loss(padded[real], labels[mask], groups=lists, reduction="sum")
            alone = [loss(scores[row][mask[row]], labels[row][mask[row]], reduction="sum") for row in range(4)]
            assert_close(value, sum(alone))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning_trains_as_a_loop_does(precision):
    lightning = pytest.importorskip("lightning")
    names = names_of("PyTorch Lightning")
    batches = list(names["loader"])
    kept = torch.utils.data.DataLoader(batches, batch_size=None)
    torch.manual_seed(0)
    recommender = names["Recommender"]()
    options = names["quiet"] | {"max_epochs": 1, "enable_model_summary": False, "accelerator": "cpu"}
    lightning.Trainer(precision=precision, **options).fit(recommender, kept)
    expected = by_hand(names, batches)
    close = {"rtol": 0, "atol": 0} if precision == "32-true" else {"rtol": 0, "atol": 0.05}
    for ours, theirs in zip(recommender.model.parameters(), expected.parameters(), strict=True):
        assert_close(ours, theirs, **close)


def test_the_trainer_of_hugging_face_trains_as_a_loop_does(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    monkeypatch.chdir(tmp_path)
    names = names_of("Hugging Face Trainer and accelerate")
    first = names["model"](**names["collate"]([names["pairs"][row] for row in range(500)]))["loss"]
    assert first < 2.3  # it has learned
    # On batches that are known, with a constant rate and no clipping, it is the loop.
    batches = [names["collate"]([names["pairs"][row] for row in range(at, at + 64)]) for at in range(0, 320, 64)]
    torch.manual_seed(0)
    model = names["TwoTables"]()
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), remove_unused_columns=False, per_device_train_batch_size=1, max_steps=5,
        learning_rate=0.01, lr_scheduler_type="constant", max_grad_norm=0, weight_decay=0, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    model_of = by_hand(names, [])
    trainer = transformers.Trainer(
        model, arguments, train_dataset=range(5), data_collator=lambda rows: batches[rows[0]],
        optimizers=(torch.optim.Adam(model.parameters(), lr=0.01), None),
    )  # fmt: skip
    seen = []
    model.register_forward_pre_hook(lambda module, given, words: seen.append(copy.deepcopy(words)), with_kwargs=True)
    trainer.train()
    assert len(seen) == 5
    model_of = by_hand(names, seen)
    for ours, theirs in zip(model.parameters(), model_of.parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("hard", [0, 1, 2])
def test_sentence_transformers_has_the_same_loss(hard):
    library = pytest.importorskip("sentence_transformers")
    tokenizers = pytest.importorskip("tokenizers")
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    names = names_of("sentence-transformers")
    words = {word: number for number, word in enumerate("a b c d e f g h i j [UNK]".split())}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    table = modules.StaticEmbedding(tokenizer, embedding_dim=16)
    model = library.SentenceTransformer(modules=[table], device="cpu")
    texts = [["a b", "c", "d e f"], ["b", "c d", "e"], ["g", "h", "a i"], ["j", "a", "b b"]][: 2 + hard]
    features = [model.tokenize(column) for column in texts]
    found = []
    for loss in (names["RankingLoss"](model), losses.MultipleNegativesRankingLoss(model)):
        value = loss(copy.deepcopy(features), None)
        found.append([value, *torch.autograd.grad(value, list(model.parameters()))])
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_model_goes_to_onnx():
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")

    class Loss(torch.nn.Module):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

        def forward(self, positive, many):
            return self.loss(positive, many)

    positive, many = torch.randn(6), torch.randn(4, 6)
    for loss in (pairloss.AdaptiveHingeLoss(), pairloss.SoftmaxLoss(), pairloss.WARPLoss(num_items=300)):
        program = torch.onnx.export(Loss(loss), (positive, many), dynamo=True, verbose=False)
        session = runtime.InferenceSession(program.model_proto.SerializeToString())
        inputs = dict(zip((i.name for i in session.get_inputs()), (positive.numpy(), many.numpy()), strict=True))
        (value,) = session.run(None, inputs)
        assert value == pytest.approx(loss(positive, many).item(), rel=1e-5)
