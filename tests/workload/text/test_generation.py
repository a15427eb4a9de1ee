"""generation_config.json: what is read, what is told to be ignored, and what has no meaning."""

import json

import pytest

from wsekern.errors import InputError
from wsekern.workload.text.generation import GenerationSettings, load_settings


def settings(folder, data=None, config=None, vocab=100):
    (folder / "config.json").write_text(json.dumps(config or {}))
    if data is not None:
        (folder / "generation_config.json").write_text(json.dumps(data))
    return load_settings(folder, vocab)


def test_what_is_read(tmp_path):
    data = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.1, "repetition_penalty": 1.05,
            "no_repeat_ngram_size": 3, "bad_words_ids": [[1], [2, 3]], "min_length": 4, "min_new_tokens": 5,
            "suppress_tokens": [6, 7], "begin_suppress_tokens": [8]}
    found = settings(tmp_path, data | {"eos_token_id": [9, 400], "bos_token_id": 1, "max_length": 20, "num_beams": 1})
    wanted = data | {"suppress_tokens": (6, 7), "begin_suppress_tokens": (8,), "bad_words_ids": ((1,), (2, 3))}
    assert found == GenerationSettings(**wanted, eos_tokens=(9,))


def test_nulls_and_an_empty_file_ask_for_nothing(tmp_path):
    assert settings(tmp_path, {}) == settings(tmp_path, dict.fromkeys(("top_k", "do_sample", "suppress_tokens", "num_beams"))) \
        == GenerationSettings()


def test_older_folders_have_their_settings_in_the_configuration(tmp_path):
    config = {"repetition_penalty": 1.2, "eos_token_id": 7}
    assert settings(tmp_path, None, config).repetition_penalty == 1.2
    found = settings(tmp_path, {"top_k": 3}, config)
    assert found.repetition_penalty == 1 and found.top_k == 3 and found.eos_tokens == (7,)
    assert settings(tmp_path, {"eos_token_id": 8}, config).eos_tokens == (8,)
    assert settings(tmp_path, {}, {"text_config": {"eos_token_id": [5, 6]}}).eos_tokens == (5, 6)


def test_what_is_ignored_is_told_in_one_note(tmp_path):
    notes = settings(tmp_path, {"num_beams": 4, "typical_p": 0.9, "top_h": None, "guidance_scale": 1}).notes
    assert len(notes) == 1 and "num_beams, typical_p are ignored" in notes[0] and "generation_config.json" in notes[0]


@pytest.mark.parametrize("bad", [
    {"do_sample": "yes"}, {"temperature": 0}, {"temperature": "hot"}, {"top_k": -1}, {"top_k": 1.5}, {"top_k": True},
    {"top_p": 2}, {"min_p": -0.1}, {"repetition_penalty": 0}, {"no_repeat_ngram_size": [1]}, {"bad_words_ids": [1]},
    {"bad_words_ids": [[]]},
    {"suppress_tokens": 3}, {"begin_suppress_tokens": ["a"]}, {"eos_token_id": "end"}, {"eos_token_id": [True]},
    {"min_length": 1e9}, {"temperature": float("nan")}])
def test_values_without_meaning_are_refused_by_name(tmp_path, bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        settings(tmp_path, bad)
