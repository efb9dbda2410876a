"""The lines of the page "Use it in your stack" run, against each library that is there, and give what it promises."""

import copy
import os
import re
import socket
import sys
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
    """What the code of these sections defines, after the code of the first one."""
    torch.manual_seed(0)
    names = {"__name__": "stacks"}
    for section in ("Use it in your stack", *sections):
        for block in SECTIONS[section]:
            exec(block, names)
    return names


def by_hand(names, batches):
    """The model of the page after a loop over these batches, of each the rows that its mask leaves."""
    torch.manual_seed(0)
    model = names["TwoTables"]()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in batches:
        mask = batch.get("mask", slice(None))
        optimizer.zero_grad()
        model(**{name: values[mask] for name, values in batch.items() if name != "mask"})["loss"].backward()
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


def test_sampling_compiles():
    with torch.compiler.set_stance("force_eager"):  # test_negatives.py compiles it, here its lines only run
        names = names_of("torch.compile, export and ONNX")
        assert names["value"] > 0
        data, model = names["data"], names["TwoTables"]()
        assert names["draw_and_judge"](model, data.users[:64], data.items[:64])["loss"] > 0


# Two processes with a part of each batch each, against one that has the whole.


def batches_with_a_mask(names, number=5):
    """Whole batches, of whose first half every pair counts and of whose other half one in eight."""
    torch.manual_seed(1)
    mask = (torch.arange(128) < 64) | (torch.arange(128) % 8 == 0)
    rows = (range(at, at + 128) for at in range(0, 128 * number, 128))
    return [names["collate"]([names["pairs"][row] for row in some]) | {"mask": mask} for some in rows]


def on_rank(rank, port, work, path):
    """One of two processes: its parameters, whole, in a file."""
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "GLOO_SOCKET_IFNAME": "lo", "NODE_RANK": "0"}
    torch.set_num_threads(1)
    parameters = work(rank)
    torch.save([parameter.detach().clone() for parameter in parameters], f"{path}.{rank}")
    torch.distributed.destroy_process_group()


def assert_two_are_one(work, names, path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(on_rank, (port, work, path), nprocs=2)
    whole = by_hand(names, batches_with_a_mask(names))
    for rank in range(2):
        for ours, theirs in zip(torch.load(f"{path}.{rank}"), whole.parameters(), strict=True):
            assert_close(ours, theirs, rtol=0, atol=1e-6)


def part(batch, rank):
    return {name: values.chunk(2)[rank] for name, values in batch.items()}


def with_fsdp(rank):
    torch.distributed.init_process_group("gloo")
    names = names_of("Several processes")
    batches = batches_with_a_mask(names)
    torch.manual_seed(0)
    model, optimizer = names["sharded"]()
    for batch in batches:
        optimizer.zero_grad()
        model(**part(batch, rank))["loss"].backward()
        optimizer.step()
    assert all(parameter.to_local().numel() < parameter.numel() for parameter in model.parameters())
    return [parameter.full_tensor() for parameter in model.parameters()]


def test_two_processes_with_fsdp_train_as_one(tmp_path):
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("torch was built without gloo")
    if not hasattr(torch.cpu.Stream, "record_event"):
        pytest.skip("FSDP2 of this torch, 2.6 for one, has no way to run on a CPU")
    assert_two_are_one(with_fsdp, names_of("Several processes"), tmp_path / "fsdp")


def with_lightning(rank):
    import lightning

    names = names_of("PyTorch Lightning", "Several processes", "Several processes in Lightning")
    parts = [part(batch, rank) for batch in batches_with_a_mask(names)]
    torch.manual_seed(0)
    recommender = names["Recommender"](names["InParts"]())
    options = names["quiet"] | names["parallel"] | {"max_epochs": 1, "enable_model_summary": False}
    trainer = lightning.Trainer(use_distributed_sampler=False, **options)
    trainer.fit(recommender, torch.utils.data.DataLoader(parts, batch_size=None))
    assert trainer.world_size == 2
    return list(recommender.parameters())


def test_two_processes_with_lightning_train_as_one(tmp_path):
    pytest.importorskip("lightning")
    assert_two_are_one(with_lightning, names_of("Several processes"), tmp_path / "lightning")


def test_dislikes_are_the_negatives_and_weights_count_choices():
    names = names_of("Dislikes, and choices that count more")
    losses = []
    for row, (one, many) in enumerate(zip(names["chosen"].tolist(), names["disliked"].tolist(), strict=True)):
        s = names["scores"][row]
        losses.append(torch.stack([s[one], *(s[j] for j in many if j >= 0)]).logsumexp(0) - s[one])
    assert_close(names["loss"], torch.stack(losses).mean())
    each = torch.nn.functional.softplus(names["negative"] - names["positive"])
    for loss, w in ((names["recent"], 0.5 ** (names["days"] / 30)), (names["often"], names["plays"].log1p())):
        assert_close(loss, (w * each).sum() / w.sum())


def test_padding_does_not_count():
    names = names_of("Padded lists")
    scores, labels, mask = (names[name] for name in ("scores", "labels", "mask"))
    for more in (0, 3):
        padded, y, empty = (torch.cat([t, torch.ones(4, more, dtype=t.dtype)], 1) for t in (scores, labels, ~mask))
        for name in ("pairwise_hinge_loss", "lambdarank_loss"):
            loss = getattr(pairloss, name)
            value = loss(padded.masked_fill(empty, torch.nan), y, mask=~empty, reduction="sum")
            alone = [loss(scores[row][mask[row]], labels[row][mask[row]], reduction="sum") for row in range(4)]
            assert_close(value, sum(alone))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning_trains_as_a_loop_does(precision):
    lightning = pytest.importorskip("lightning")
    names = names_of("PyTorch Lightning")
    batches = list(names["loader"])
    kept = torch.utils.data.DataLoader(batches, batch_size=None)
    torch.manual_seed(0)
    recommender = names["Recommender"](names["TwoTables"]())
    options = names["quiet"] | {"max_epochs": 1, "enable_model_summary": False, "accelerator": "cpu"}
    lightning.Trainer(precision=precision, **options).fit(recommender, kept)
    expected = by_hand(names, batches)
    close = {"rtol": 0, "atol": 0} if precision == "32-true" else {"rtol": 0, "atol": 0.05}
    assert_close(list(recommender.model.parameters()), list(expected.parameters()), **close)


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
    trainer = transformers.Trainer(
        model, arguments, train_dataset=range(5), data_collator=lambda rows: batches[rows[0]],
        optimizers=(torch.optim.Adam(model.parameters(), lr=0.01), None),
    )  # fmt: skip
    seen = []
    model.register_forward_pre_hook(lambda module, given, words: seen.append(copy.deepcopy(words)), with_kwargs=True)
    trainer.train()
    assert len(seen) == 5
    model_of = by_hand(names, seen)
    assert_close(list(model.parameters()), list(model_of.parameters()), rtol=0, atol=1e-6)


def test_several_passes_of_the_trainer_train_as_one_pass(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    monkeypatch.chdir(tmp_path)
    names = names_of(
        "Hugging Face Trainer and accelerate", "Several processes", "Several passes of the Hugging Face Trainer"
    )
    batches = batches_with_a_mask(names)
    passes = [part(batch, half) for batch in batches for half in range(2)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), remove_unused_columns=False, per_device_train_batch_size=1, num_train_epochs=1,
        gradient_accumulation_steps=2, max_grad_norm=0, report_to=[], save_strategy="no", logging_strategy="no",
        disable_tqdm=True, use_cpu=True, train_sampling_strategy="sequential",
    )  # fmt: skip
    torch.manual_seed(0)
    model = names["Passes"]()
    rate = torch.optim.Adam(model.parameters(), lr=0.01)
    constant = torch.optim.lr_scheduler.ConstantLR(rate, factor=1)
    names["InPasses"](
        model, arguments, train_dataset=range(len(passes)), data_collator=lambda rows: passes[rows[0]],
        optimizers=(rate, constant),
    ).train()  # fmt: skip
    for ours, theirs in zip(model.parameters(), by_hand(names, batches).parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.fixture
def recbole(tmp_path, monkeypatch):
    """The names of its section, run on a file of clicks."""
    pytest.importorskip("recbole")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stacks"])  # which RecBole reads
    data = names_of()["data"]
    rows = [f"{user}\t{item}\n" for user, item in zip(data.users.tolist(), data.items.tolist(), strict=True)]
    Path("clicks").mkdir()
    Path("clicks/clicks.inter").write_text("user_id:token\titem_id:token\n" + "".join(rows))
    return names_of("RecBole")


def test_recbole_lays_negatives_out_as_the_page_says(recbole):
    batch = next(iter(recbole["train"]))
    many = batch["neg_item_id"].view(10, -1)
    number = many.shape[1]
    assert number == 2048 // 10
    users, items = batch["user_id"][:number], batch["item_id"][:number]
    assert torch.equal(batch["user_id"].view(10, -1), users.expand(10, -1))
    assert torch.equal(batch["item_id"].view(10, -1), items.expand(10, -1))
    chosen = recbole["train"].dataset.inter_matrix().toarray() > 0
    assert chosen[users, items].all()
    assert not chosen[users.expand(10, -1), many].any()
    assert recbole["train"].dataset.item_num == 301  # with the padding

    # The loss of the page, against a loop over the pairs.
    model = recbole["model"]
    for table in model.parameters():
        table.data *= 10  # so that it matters which negatives stand against which positive
    scores = model.predict(batch), model.predict({"user_id": batch["user_id"], "item_id": batch["neg_item_id"]})
    loss = 0
    for b in range(number):
        own = torch.stack([scores[0][b], *(scores[1][k * number + b] for k in range(10))])
        loss = loss - own.log_softmax(0)[0] / number
    assert_close(model.calculate_loss(batch), loss)


@pytest.mark.parametrize(("name", "attribute"), [("BPR", "loss"), ("LightGCN", "mf_loss")])
def test_recbole_trains_equally_with_our_loss(recbole, name, attribute):
    kind = getattr(pytest.importorskip("recbole.model.general_recommender"), name)
    seed = pytest.importorskip("recbole.utils").init_seed
    found = []
    for ours in (False, True):
        config = recbole["Config"](
            kind, "clicks", config_dict=recbole["options"] | {"epochs": 5, "learning_rate": 0.01}
        )
        seed(0, True)
        train, _, _ = recbole["data_preparation"](config, recbole["create_dataset"](config))
        model = kind(config, train.dataset)
        start = copy.deepcopy(list(model.parameters()))
        if ours:
            setattr(model, attribute, pairloss.LogBPRLoss())
        recbole["Trainer"](config, model).fit(train, saved=False, show_progress=False)
        found.append(list(model.parameters()))
    for theirs, ours, first in zip(*found, start, strict=True):
        assert_close(ours, theirs, rtol=0, atol=1e-5)
        assert (ours - first).abs().max() > 0.1  # it did learn


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
    assert_close(*found, rtol=1e-5, atol=1e-6)


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
