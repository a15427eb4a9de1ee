"""Rotary embedding with a divisor for every pair (LongRoPE), as transformers has it."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.workload.parse import parse_config
from wsekern.workload.rope import frequencies, rotation

PHI = {"architectures": ["Phi3ForCausalLM"], "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1,
       "intermediate_size": 48, "vocab_size": 96, "max_position_embeddings": 64, "original_max_position_embeddings": 16,
       "rope_theta": 10000.0, "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3],
                                               "long_factor": [1.5, 2.0, 3.0, 9.0]}}


def rotary(**changes):
    return parse_config({**PHI, **changes}, "phi", "config.json").blocks[0].mixer.rotary


@pytest.mark.parametrize("length", [8, 16, 17, 60])
def test_frequencies_as_transformers(length):
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    settings = {key: value for key, value in PHI.items() if key != "architectures"}
    expected, factor = ROPE_INIT_FUNCTIONS["longrope"](
        transformers.Phi3Config(**settings, pad_token_id=0), device="cpu", seq_len=length)
    found, found_factor = frequencies(rotary(), length=length)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
    assert found_factor == pytest.approx(factor) and factor > 1
    cosine, _ = rotation(rotary(), np.arange(length))
    np.testing.assert_allclose(cosine[-1], np.cos((length - 1) * found) * factor, atol=1e-5)


def test_divisors_that_do_not_fit():
    scaling = {**PHI["rope_scaling"], "short_factor": [1.0, 2.0]}
    with pytest.raises(InputError, match="expected 4 positive numbers"):
        frequencies(rotary(rope_scaling=scaling))
