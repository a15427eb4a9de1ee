"""The bundled sample model and the command that rebuilds it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from wsekern.inference.reference import ReferenceModel
from wsekern.sample import artifacts, corpus, train
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import SAMPLE_PROMPT, sample_path

TALE = "\n\n".join(
    f"STORY {name}\n\n" + "Once upon a time a fox met a hungry wolf, and they went to the king. " * 12
    for name in ("ALPHA", "BETA", "GAMMA")
)
FRAMED = f"About the licence.\n*** START OF THE PROJECT GUTENBERG EBOOK TALES ***\n\n{TALE}\n\n*** END OF THE PROJECT \
GUTENBERG EBOOK TALES ***\nMore about the licence."


def test_the_whole_model_is_at_most_four_megabytes():
    assert sum(file.stat().st_size for file in sample_path().iterdir()) <= 4_000_000


def test_no_file_is_a_pickle():
    assert {file.suffix for file in sample_path().iterdir()} == {".json", ".safetensors"}


def expected_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a Llama with tied embeddings."""
    hidden, ffn, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    query, key = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer = {
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (ffn, hidden),
        "mlp.up_proj": (ffn, hidden),
        "mlp.down_proj": (hidden, ffn),
    }
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for index in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def test_weights_have_the_configured_shapes_and_fit_float16():
    config = json.loads((sample_path() / "config.json").read_text())
    weights = load_file(sample_path() / "model.safetensors")
    assert {name: tensor.shape for name, tensor in weights.items()} == expected_shapes(config)
    assert all(size % 16 == 0 for tensor in weights.values() for size in tensor.shape)
    assert config["num_key_value_heads"] < config["num_attention_heads"] and config["tie_word_embeddings"]
    for tensor in weights.values():
        assert tensor.dtype == np.float16
        assert np.abs(tensor).max() < 64  # finite, and far from float16's 65504


@pytest.mark.parametrize("text", [SAMPLE_PROMPT, "The fox said, \"Good day!\"\nThe wolf ran away.", "Zwölf Königinnen"])
def test_tokenizer_round_trips(text):
    tokenizer = Tokenizer.from_file(str(sample_path() / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode([0]) == "" and ids[0] == tokenizer.token_to_id("<|bos|>") == 0
    assert tokenizer.token_to_id("<|eos|>") == 1
    assert tokenizer.decode(ids) == text


def greedy(tokens: int) -> str:
    """Continue the sample prompt with the numpy reference."""
    checkpoint = load_checkpoint(sample_path())
    ids = checkpoint.encode(SAMPLE_PROMPT)
    model, text = ReferenceModel(checkpoint.config, checkpoint.weights), list(ids)
    for _ in range(tokens):
        ids = [int(model.forward(ids)[-1].argmax())]
        text += ids
    return checkpoint.decode(text)


COMMON_WORDS = re.compile(
    r"\b(?:a|all|and|away|as|at|be|but|by|could|daughter|for|fox|from|had|have|he|her|him|give|his|i|in|into|is|it|king|little|man|my|not|"
    r"of|old|on|once|one|said|she|piece|so|son|take|that|the|then|there|they|this|three|time|to|upon|very|was|went|were|when|which|"
    r"who|will|with|wolf|you|your)\b"
)


def test_writes_the_words_of_its_books():
    text = greedy(40)
    assert text.startswith(SAMPLE_PROMPT)
    written = text.lower()
    assert len(COMMON_WORDS.findall(written)) > 0.5 * len(re.findall(r"\w+", written))


def test_knows_english_better_than_shuffled_english():
    checkpoint = load_checkpoint(sample_path())
    sentence = "The old man went into the forest, and there he found a little house."

    def loss(text: str) -> float:
        ids = checkpoint.encode(text)
        logits = ReferenceModel(checkpoint.config, checkpoint.weights).forward(ids[:-1]).astype(np.float64)
        chosen = logits[np.arange(len(ids) - 1), ids[1:]]
        return float(np.mean(np.log(np.exp(logits).sum(-1)) - chosen))

    shuffled = " ".join(sorted(sentence.split()))
    assert loss(sentence) < 4.0 < loss(shuffled)


def test_network_is_the_one_of_hugging_face():
    torch = pytest.importorskip("torch", reason="the training network is written in PyTorch")
    transformers = pytest.importorskip("transformers", reason="compares with Hugging Face's own LlamaForCausalLM")
    from safetensors.torch import load_file as load_tensors

    from wsekern.sample.network import Llama, Shape

    network = Llama(Shape(), residual_scale=1.0)
    network.load_state_dict({name: t.float() for name, t in load_tensors(sample_path() / "model.safetensors").items()})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(sample_path(), dtype=torch.float32)
    tokens = torch.arange(2, 302)[None]
    with torch.no_grad():
        torch.testing.assert_close(network(tokens), theirs(tokens).logits, atol=2e-3, rtol=1e-3)


def test_shipped_weights_compute_what_was_trained():
    torch = pytest.importorskip("torch", reason="the training network is written in PyTorch")
    from wsekern.sample.loop import float16_weights
    from wsekern.sample.network import Llama, Shape

    shape = Shape(vocab=64, layers=2)
    trained, shipped = Llama(shape), Llama(shape, residual_scale=1.0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
        shipped.load_state_dict({name: tensor.float() for name, tensor in float16_weights(trained).items()})
        tokens = torch.arange(64)[None]
        torch.testing.assert_close(shipped(tokens), trained(tokens), atol=0.02, rtol=0.01)


def test_cleaning_keeps_stories_and_drops_the_frame():
    stories = corpus.clean(FRAMED + "\nleftover")
    assert len(stories) == 3
    assert all(story.startswith("Once upon a time") and "licence" not in story for story in stories)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("‘I am here,’ said the fox’s wife.", '"I am here," said the fox\'s wife.'),
        ("“Come\nin—quick,” said he.", '"Come in--quick," said he.'),
        ("The café was _very_ small.", "The cafe was very small."),
    ],
)
def test_cleaning_writes_one_kind_of_quotes_in_ascii(raw, cleaned):
    assert corpus.clean("\n\n".join([raw] * 12)) == ["\n".join([cleaned] * 12)]


def test_cleaning_drops_notes_headings_and_tables():
    noise = "THE END OF IT\n\nPage 12 of the table.\n\n[Illustration: a fox.]\n\nNOTES\n\n" + "A note on it. " * 40
    assert corpus.clean(TALE + "\n\n" + noise) == corpus.clean(TALE)


def test_books_are_named_once():
    numbers = [book.number for book in corpus.BOOKS]
    assert numbers and len(set(numbers)) == len(numbers)
    assert all(len(book.sha256) == 64 and book.title and book.author for book in corpus.BOOKS)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs PyTorch: pip install 'wsekern[train]'")
    (tmp_path / "file").write_text("")
    assert train.main(command(tmp_path, tmp_path / "file", 1, 1)) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error and len(error.splitlines()) == 1


def test_the_trainer_says_how_it_is_called():
    done = subprocess.run([sys.executable, "-m", "wsekern.sample.train", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m wsekern.sample.train ") and "--text FILE" in done.stdout and not done.stderr


def test_the_trainer_without_pytorch_says_how_to_get_it(tmp_path):
    (tmp_path / "tales.txt").write_text(FRAMED)
    program = ("import sys; sys.modules['torch'] = None\nfrom wsekern.sample.train import main\n"
               "sys.exit(main(sys.argv[1:]))")
    arguments = ["--text", str(tmp_path / "tales.txt"), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: training needs PyTorch") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("option", "value"), [("--steps", "0"), ("--minutes", "nan"), ("--threads", "-1"),
                                               ("--threads", "99999")])
def test_options_that_cannot_be_trained_with_are_refused(tmp_path, capsys, option, value):
    assert train.main(["--text", "book.txt", "--out", str(tmp_path), option, value]) == 2
    error = capsys.readouterr().err
    assert option in error and len(error.splitlines()) == 1


def test_missing_text_file_is_one_sentence(tmp_path, capsys):
    assert train.main(["--text", str(tmp_path / "none.txt"), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "none.txt: cannot read this text file" in error and len(error.splitlines()) == 1


def test_text_without_a_story_is_refused(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("1\n2\n3\n")
    assert train.main(["--text", str(tmp_path / "list.txt"), "--out", str(tmp_path)]) == 2
    assert "no story of 200 characters" in capsys.readouterr().err


def test_missing_torch_is_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "tales.txt").write_text(FRAMED)
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    assert train.main(["--text", str(tmp_path / "tales.txt"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "needs PyTorch" in error and "wsekern[train]" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("vocab", [256, 300])
def test_vocabulary_size_is_checked(vocab):
    with pytest.raises(train.InputError, match=f"--vocab {vocab}: a multiple of 16, at least 272"):
        artifacts.train_tokenizer([TALE], vocab)


def check_folder(folder: Path) -> None:
    """A folder that training left can be loaded and run."""
    assert not list(folder.glob("*.part"))
    checkpoint = load_checkpoint(folder)
    logits = ReferenceModel(checkpoint.config, checkpoint.weights).forward(checkpoint.encode("A fox"))
    assert logits.shape[1] == 272 and np.isfinite(logits).all()


def command(tmp_path: Path, out: Path, steps: int, seed: int) -> list[str]:
    """Arguments of a short training on three tiny stories."""
    (tmp_path / "tales.txt").write_text(FRAMED)
    options = {"--text": tmp_path / "tales.txt", "--out": out, "--vocab": 272, "--steps": steps, "--seed": seed}
    return [str(word) for option in options.items() for word in option]


def test_training_runs_from_the_command_line(tmp_path):
    pytest.importorskip("torch", reason="training needs PyTorch: pip install 'wsekern[train]'")
    arguments = command(tmp_path, tmp_path / "out", 1, 1)
    result = subprocess.run([sys.executable, "-m", "wsekern.sample.train", *arguments], capture_output=True,
                            text=True, check=True, timeout=300)
    assert "best held-out loss" in result.stdout
    check_folder(tmp_path / "out")


def test_training_repeats_for_a_seed(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="training needs PyTorch: pip install 'wsekern[train]'")
    from wsekern.sample import loop

    monkeypatch.setattr(loop, "_BATCH_TOKENS", 64)

    def weights(name: str, seed: int) -> bytes:
        assert train.main(command(tmp_path, tmp_path / name, 2, seed)) == 0
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert weights("first", 1) == weights("again", 1) != weights("other", 2)


def test_control_c_keeps_the_model(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="training needs PyTorch: pip install 'wsekern[train]'")
    from wsekern.sample import loop

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_batch", interrupt)
    assert train.main(command(tmp_path, tmp_path / "out", 1, 1)) == 130
    check_folder(tmp_path / "out")
