"""Generation by a folder's generation_config.json: the tokens of transformers' generate, and how much the reference checks."""

import json
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from wsekern.inference.execution import execute
from wsekern.inference.sampling import Sampler
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

WSE3 = load_machine("wse3")
PROMPT = [0, 17, 33, 50, 51, 7]
SETTINGS = {
    "plain": {},
    "penalty": {"repetition_penalty": 1.3},
    "less penalty": {"repetition_penalty": 0.8},
    "n-grams": {"no_repeat_ngram_size": 2},
    "suppressed": {"suppress_tokens": [3, 17, 40, 92], "begin_suppress_tokens": list(range(50))},
    "words": {"bad_words_ids": [[30], [41, 9], [77, 2, 3]], "min_new_tokens": 30, "eos_token_id": [17, 60]},
    "all": {"repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "suppress_tokens": [5], "min_length": 20, "eos_token_id": 60,
            "do_sample": False, "temperature": 0.5, "top_k": 2},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(folder, transformers model) of a tiny random Llama."""
    torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
    transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")
    torch.manual_seed(3)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, bos_token_id=0, eos_token_id=1)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(6)
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({chr(33 + i): i for i in range(96)}, unk_token="!"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model


@pytest.mark.parametrize("name", SETTINGS)
def test_greedy_tokens_are_those_of_generate(tiny, name):
    import torch
    import transformers

    folder, model = tiny
    data = {"bos_token_id": 0, "eos_token_id": 95} | SETTINGS[name]
    (folder / "generation_config.json").write_text(json.dumps(data))
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    ids = torch.tensor([PROMPT])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, pad_token_id=0)
    checkpoint = load_checkpoint(folder)
    done = execute(checkpoint, WSE3, "", 40, precision="fp32", grid=(5, 3), prompt_tokens=PROMPT, check="every",
                   sampler=Sampler.of(checkpoint.settings))
    assert done.generation.tokens == expected[0, len(PROMPT):].tolist() and done.same_as_reference


@pytest.fixture(scope="module")
def sample():
    return load_checkpoint(sample_path())


@pytest.mark.parametrize(("which", "tokens"), [("every", 3), ("first", 1), ("none", 0)])
def test_the_reference_checks_what_it_is_asked_to(sample, which, tokens):
    done = execute(sample, WSE3, "The fox", 3, precision="fp32", check=which).to_dict()
    assert done["tokens_checked"] == tokens and done["same_tokens_as_reference"] == (True if tokens else None)
    assert done["largest_logit_difference"] is None if which == "none" else done["largest_logit_difference"] < 1e-3


def test_the_reference_reads_weights_once_and_keeps_them_only_for_every_token(sample):
    from wsekern.inference.reference import ReferenceModel

    reading, keeping = (ReferenceModel(sample.config, sample.weights, kept=kept) for kept in (False, True))
    for tokens in ([5, 6, 7], [8]):
        assert (reading.forward(tokens) == keeping.forward(tokens)).all()


def test_another_first_token_is_noticed(sample, monkeypatch):
    from wsekern.inference.generate import ReferenceModel

    forward = ReferenceModel.forward
    monkeypatch.setattr(ReferenceModel, "forward", lambda self, tokens: -forward(self, tokens))
    done = execute(sample, WSE3, "The fox", 2)
    assert done.check.same is False and done.check.logit_difference > 1


def test_text_comes_in_pieces_and_stops_where_it_is_told(sample):
    pieces, tokens = [], []
    done = execute(sample, WSE3, "The fox", 5, on_text=pieces.append, on_token=tokens.append)
    assert "".join(pieces) == done.text and tokens == done.generation.tokens
    ended = execute(replace(sample, settings=replace(sample.settings, eos_tokens=(tokens[2],))), WSE3, "The fox", 5)
    assert ended.generation.tokens == tokens[:3]
