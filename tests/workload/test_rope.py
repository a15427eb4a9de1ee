"""Angles of rotary embedding against those of ``transformers`` (ROPE_INIT_FUNCTIONS), for every kind of scaling."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.workload.decoder import Rotary
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.rope import frequencies, rotation

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"short_factor": [1.0 + d / 10 for d in range(8)], "long_factor": [2.0 + d for d in range(8)]}
TABLES = {
    "default": {"rope_type": "default"}, "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "llama3": {**LLAMA3, "original_max_position_embeddings": 32}, "llama3 of the whole context": LLAMA3,
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "yarn of the whole context": {"rope_type": "yarn", "factor": 4.0},
    "yarn as of DeepSeek": {"rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 0.7, "beta_fast": 16,
                            "original_max_position_embeddings": 32},
    "yarn as of gpt-oss": {"rope_type": "yarn", "factor": 32.0, "truncate": False, "original_max_position_embeddings": 16},
    "yarn with a factor": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5},
    "longrope": {"rope_type": "longrope", **LONG, "original_max_position_embeddings": 64},
    "longrope with a factor": {"rope_type": "longrope", **LONG, "factor": 4.0, "original_max_position_embeddings": 64},
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.25},
}


def theirs(table, length=None):
    """(frequencies, factor) of transformers, for Llama with heads of 16 features and a context of 128 tokens."""
    pytest.importorskip("transformers", reason="compares with Hugging Face's own angles")
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=128,
                         rope_parameters={"rope_theta": 5e5, **table})
    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        found = LlamaRotaryEmbedding(config)
        return found.inv_freq.double().numpy(), 1.0
    found, factor = ROPE_INIT_FUNCTIONS[kind](config, seq_len=length)
    return found.double().numpy(), factor


def ours(table):
    data = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 128,
            "rope_parameters": {"rope_theta": 5e5, **table}}
    return parse_config(data, "x", "x").attention.rotary


@pytest.mark.parametrize("length", [1, 1000])
@pytest.mark.parametrize("name", TABLES)
def test_frequencies(name, length):
    frequency, factor = frequencies(ours(TABLES[name]), length=length)
    expected, expected_factor = theirs(dict(TABLES[name]), length)
    np.testing.assert_allclose(frequency, expected, rtol=3e-7)
    assert factor == pytest.approx(expected_factor, rel=1e-12)


def test_rotation_grows_with_the_text():
    rotary = ours(TABLES["dynamic"])
    near, far = (rotation(rotary, np.arange(start, start + 4))[0] for start in (0, 500))
    assert near.shape == (4, 8) and near.dtype == far.dtype == np.float32
    plain = rotation(replace(rotary, scaling=()), np.arange(500, 504))[0]
    assert np.abs(far - plain).max() > 0.1
    assert np.array_equal(near, rotation(replace(rotary, scaling=()), np.arange(4))[0])


@pytest.mark.parametrize(("keys", "words"), [
    ({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}, "short_factor"),
    ({"rope_type": "yarn", "factor": -1}, "factor"), ({"rope_type": "llama3", "factor": 8.0}, "low_freq_factor")])
def test_incomplete_scaling_is_named(keys, words):
    with pytest.raises(InputError, match=words):
        frequencies(Rotary(size=16, context=64, scaling=tuple(keys.items())))
