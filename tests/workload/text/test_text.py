"""Tokenizers of folders: ids and text as transformers gives them, streaming, and what can be wrong with the files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from wsekern.errors import InputError
from wsekern.workload.text.text import Text
from wsekern.workload.text.tokenizers import QWEN_PATTERN, load_text

TEXTS = ["a fox and a wolf", " ab  ab", "Schöne 狼 🐺!", "<s>ab</s> <tool>x", "1234 don't\n\nab\t"]


def byte_level():
    """All bytes, a few merges, and <s>."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<s>": 0, "</s>": 1} | {letter: 2 + i for i, letter in enumerate(letters)}
    merges = [("a", "b"), ("Ġ", "a"), ("o", "x"), ("Ġ", "ab")]
    for pair in merges:
        vocab["".join(pair)] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


def sentencepiece():
    """As converted from Llama 2: bytes as a fallback, a space in front that the decoder takes away."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "n", "d", "▁a", "▁ab", "▁an"]
    merges = [("▁", "a"), ("▁a", "b"), ("▁a", "n")]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(names[:3])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


KINDS = {"byte-level": byte_level, "sentencepiece": sentencepiece}


def write(folder, tokenizer, **config):
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def theirs(folder):
    transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")
    (folder / "config.json").write_text('{"model_type": "mpt"}')  # a type without a tokenizer class of its own
    return transformers.AutoTokenizer.from_pretrained(folder)


def same_as_transformers(folder, texts=TEXTS):
    text, other = load_text(folder, 10**6), theirs(folder)
    for one in texts:
        assert text.encode(one) == other(one)["input_ids"], one
        assert text.decode(text.encode(one)) == other.decode(text.encode(one), skip_special_tokens=True), one
    return text


@pytest.mark.parametrize("added", [None, True, False])
@pytest.mark.parametrize("template", [False, True])
def test_tokenizer_json_decides_how_a_text_starts_and_a_conflict_is_told(tmp_path, added, template):
    tokenizer = byte_level()
    if template:
        tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(1)
    settings = {"bos_token": {"content": "<s>"}} | ({} if added is None else {"add_bos_token": added})
    text = load_text(write(tmp_path, tokenizer, **settings), 300)
    assert (text.encode("ab ab")[0] == 0) == template and len(text.encode("ab ab")) == 2 + template
    assert bool(text.notes) == (added is not None and added != template)
    assert all("add_bos_token" in note and "decides" in note for note in text.notes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [
    {}, {"add_bos_token": True, "bos_token": "<s>"}, {"add_bos_token": False, "add_eos_token": True, "eos_token": "</s>"},
    {"added_tokens_decoder": {"400": {"content": "<tool>", "special": True}, "401": {"content": "wolf", "special": False}}},
    {"added_tokens_decoder": {"1": {"content": "</s>", "special": True, "lstrip": True}}},
    {"pad_token": "<pad>", "additional_special_tokens": ["<tool>", "ab"]}, {"image_token": "<tool>", "sep_token": "b"},
    {"extra_special_tokens": {"tool": "<tool>"}, "unk_token": None,
     "mask_token": {"content": "wolf", "lstrip": True, "__type": "AddedToken"}},
], ids=lambda config: ",".join(config) or "plain")
def test_ids_and_text_are_those_of_transformers(tmp_path, kind, config):
    same_as_transformers(write(tmp_path, KINDS[kind](), tokenizer_class="PreTrainedTokenizerFast", **config))


def test_added_tokens_with_other_ids_are_told(tmp_path):
    table = {"0": {"content": "<s>", "special": True}, "400": {"content": "<tool>"}}
    notes = load_text(write(tmp_path, byte_level(), added_tokens_decoder=table), 300).notes
    assert len(notes) == 1 and "<tool> is 262 instead of 400" in notes[0]


@pytest.mark.parametrize("pattern", [QWEN_PATTERN, r"\p{N}"])
def test_a_class_with_another_rule_is_told(tmp_path, pattern):
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    notes = load_text(write(tmp_path, tokenizer, tokenizer_class="Qwen2TokenizerFast"), 300).notes
    assert ["Qwen2Tokenizer" in note for note in notes] == ([] if pattern == QWEN_PATTERN else [True])


def test_older_files_of_added_tokens(tmp_path):
    write(tmp_path, byte_level())
    (tmp_path / "added_tokens.json").write_text('{"<tool>": 400, "wolf": 401}')
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "<pad>", "eos_token": {"content": "<tool>"}}')
    assert same_as_transformers(tmp_path).special == {"pad_token": "<pad>", "eos_token": "<tool>"}


@pytest.mark.parametrize("config", [{}, {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "add_bos_token": True},
                                    {"tokenizer_class": "Qwen2TokenizerFast", "eos_token": "</s>"},
                                    {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}])
def test_vocabulary_and_merges_are_read_as_by_transformers(tmp_path, config):
    data = json.loads(byte_level().to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(data["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in data["merges"]))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"} | config))
    same_as_transformers(tmp_path)


def test_the_space_between_prompt_and_answer_stays(tmp_path):
    text = load_text(write(tmp_path, sentencepiece()), 300)
    prompt, answer = text.encode("ab"), text.encode("and ab", special=False)
    assert text.decode(answer) == "and ab" and text.continuation(prompt, answer) == " and ab"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.text(min_size=1), st.text(min_size=1))
def test_pieces_are_the_whole_text_and_no_character_is_broken(kind, start, end):
    text = Text(tokenizer=KINDS[kind](), vocab=300, where="here")
    prompt, answer = text.encode(start), text.encode(end, special=False)
    stream = text.stream(prompt)
    pieces = [stream.push(token) for token in answer]
    assert "�" in start + end or not any("�" in piece for piece in pieces)
    assert text.decode(prompt) + "".join(pieces) + stream.finish() == text.decode(prompt + answer)


def test_bytes_that_nothing_completes_come_last(tmp_path):
    text = load_text(write(tmp_path, byte_level()), 300)
    ids = text.encode("狼")
    stream = text.stream([])
    assert [stream.push(token) for token in ids[:2]] == ["", ""] and stream.finish() == "�"


def test_more_tokens_than_the_embedding_has_rows(tmp_path):
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("[PAD]")])
    text = load_text(write(tmp_path, tokenizer), tokenizer.get_vocab_size() - 1)
    assert text.encode("ab") == byte_level().encode("ab").ids
    with pytest.raises(InputError, match=r"'\[PAD\]'.*vocab_size"):
        text.encode("a [PAD]")


@pytest.mark.parametrize("name", ["tokenizer.model", "tekken.json", "vocab.json"])
def test_other_tokenizers_are_refused_with_the_command_that_converts_them(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=rf"has {name} but no tokenizer\.json: .*save_pretrained"):
        load_text(tmp_path, 300)
    with pytest.raises(InputError, match=r"has no tokenizer\.json$"):
        load_text(tmp_path / "nowhere", 300)


@pytest.mark.parametrize("config", [
    "{", "[]", '{"added_tokens_decoder": 3}', '{"added_tokens_decoder": {"x": {"content": "y"}}}',
    '{"added_tokens_decoder": {"5": {"special": true}}}', '{"added_tokens_decoder": {"5": "y", "6": [1]}}'])
def test_broken_settings_are_refused_in_one_sentence(tmp_path, config):
    write(tmp_path, byte_level())
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(InputError, match=r"tokenizer_config\.json") as error:
        load_text(tmp_path, 300)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("files", [{"vocab.json": "{", "merges.txt": ""}, {"vocab.json": '{"a": 0}', "merges.txt": "x y z"}])
def test_broken_merges_are_refused_in_one_sentence(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=r"vocab\.json and merges\.txt cannot be read"):
        load_text(tmp_path, 300)


def test_a_class_whose_merges_are_not_known_is_refused(tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    with pytest.raises(InputError, match=r"of class RobertaTokenizer.*GPT2Tokenizer and Qwen2Tokenizer"):
        load_text(tmp_path, 300)


def test_a_prompt_without_tokens_is_refused(tmp_path):
    with pytest.raises(InputError, match="the prompt is empty"):
        load_text(write(tmp_path, byte_level()), 300).encode("")
