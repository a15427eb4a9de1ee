"""Files about text that are nearly right: each is read, or refused in one sentence, and what was read can be used."""

import importlib.util
import json
import tempfile
from pathlib import Path

from hypothesis import given
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from wsekern.inference.sampling import Sampler
from wsekern.workload.text.chat import load_template
from wsekern.workload.text.generation import load_settings
from wsekern.workload.text.tokenizers import load_text

_spec = importlib.util.spec_from_file_location("test_files", Path(__file__).with_name("test_files.py"))
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)

GENERATION = {"eos_token_id": [1, 2], "do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.1,
              "repetition_penalty": 1.1, "no_repeat_ngram_size": 2, "bad_words_ids": [[1], [2, 3]], "min_length": 1,
              "min_new_tokens": 1, "suppress_tokens": [3], "begin_suppress_tokens": [4], "num_beams": 1}
SETTINGS = {"tokenizer_class": "Qwen2Tokenizer", "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False},
            "add_bos_token": True, "extra_special_tokens": ["<a>"], "image_token": "<i>", "add_prefix_space": False,
            "added_tokens_decoder": {"0": {"content": "<s>", "special": True}, "258": {"content": "<x>", "rstrip": True}},
            "chat_template": [{"name": "default", "template": "{{ messages[0].content }}"}, {"name": "rag", "template": ""}]}


def byte_level() -> Tokenizer:
    """All bytes and two more tokens."""
    vocab = {"<s>": 0, "</s>": 1} | {letter: 2 + i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


TOKENIZER = byte_level().to_str()
MODEL = json.loads(TOKENIZER)["model"]


@fuzz.thorough
@given(fuzz.changed_data(GENERATION))
def test_generation_settings(data):
    found = fuzz.in_file(json.dumps(data).encode(), "generation_config.json", lambda path: load_settings(path.parent, 50))
    if found is not None:
        sampler = fuzz.read_or_refused(lambda: Sampler.of(found))
        assert sampler is None or all(0 <= token < 50 for token in sampler.eos_tokens)


@fuzz.thorough
@given(fuzz.changed_data(SETTINGS))
def test_settings_of_tokenizers(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokenizer_config.json").write_text(json.dumps(data))
        (folder / "tokenizer.json").write_text(TOKENIZER)
        text = fuzz.read_or_refused(lambda: load_text(folder, 300))
        if text is not None:
            ids = fuzz.read_or_refused(lambda: text.encode("a <x>é</s>"))
            assert ids is None or isinstance(text.continuation(ids, ids), str)
            fuzz.read_or_refused(lambda: load_template(folder, text.special))
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(MODEL["vocab"]))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        fuzz.read_or_refused(lambda: load_text(folder, 300))
