"""Bundled shapes have the published numbers of parameters, and keys that shape them are read."""

import json

import pytest

from wsekern.errors import InputError
from wsekern.workload import bundled_models, load_config
from wsekern.workload.decoder import Recurrent
from wsekern.workload.parsing.parse import parse_config

PUBLISHED = {  # billions: all, active
    "mixtral-8x7b": (46.7, 12.9), "mixtral-8x22b": (141, 39), "qwen3-30b-a3b": (30.5, 3.3), "qwen3-235b-a22b": (235, 22),
    "qwen3-coder-480b-a35b": (480, 35), "deepseek-r1": (671, 37), "deepseek-v2": (236, 21), "gpt-oss-120b": (117, 5.1),
    "gpt-oss-20b": (21, 3.6), "llama4-scout": (109, 17), "llama4-maverick": (400, 17), "gemma3-27b": (27, 27),
    "qwen3.5-397b-a17b": (397, 17), "qwen3-next-80b-a3b": (80, 3.6), "yi-34b": (34.4, 34), "phi4": (14.7, 14.2),
    "kimi-k2": (1027, 32.6), "deepseek-v2-lite": (15.7, 2.6), "glm-4.5": (355, 32), "glm-4.5-air": (107, 12.5),
    "glm-5": (744, 40), "minimax-m2": (229, 10), "bloom-176b": (176, 176), "gpt-j-6b": (6.05, 5.8), "opt-66b": (65.7, 65.7),
    "gpt3-175b": (174.6, 174.6), "falcon-40b": (41.5, 41.5), "falcon-180b": (179, 179), "falcon-7b": (6.9, 6.9),
    "nemotron-nano-9b-v2": (8.89, 8.3), "nemotron-nano-12b-v2": (12.3, 11.6), "phi3-mini": (3.8, 3.7),
    "phi3-medium": (14.0, 13.8),
    "qwen2.5-3b": (3.09, 3.09), "qwen2.5-1.5b": (1.54, 1.54), "yi-6b": (6.06, 5.8), "llama-33b": (32.5, 32.3),
    "qwen2.5-72b": (72.7, 71.5), "mistral-nemo-12b": (12.2, 11.6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters(name):
    model = load_config(name)
    whole, active = PUBLISHED[name]
    assert model.parameters / 1e9 == pytest.approx(whole, rel=0.02)
    assert model.active_parameters / 1e9 == pytest.approx(active, rel=0.1)


def test_every_bundled_shape_loads():
    for name in bundled_models():
        model = load_config(name)
        assert 0 <= sliding(model) <= model.layers and 0 <= model.recurrents < model.layers


def sliding(model):
    return sum(bool(getattr(block.mixer, "reach", 0)) for block in model.blocks)


def state(model):
    return next(block.mixer.state for block in model.blocks if isinstance(block.mixer, Recurrent))


def raw(name):
    from importlib.resources import files

    return json.loads((files("wsekern.workload") / "models" / f"{name}.json").read_text())


def test_layer_kinds():
    hybrid = load_config("nemotron-nano-9b-v2")
    assert (hybrid.layers, hybrid.recurrents, state(hybrid)) == (56, 27, 128 * 128 * 80)
    assert sliding(load_config("gpt-oss-120b")) == 18
    assert sliding(load_config("gemma3-27b")) == 52
    assert sliding(load_config("mistral-7b")) == 0
    assert load_config("qwen3.5-397b-a17b").recurrents == 45
    named = raw("qwen3-next-80b-a3b") | {"layer_types": ["linear_attention"] * 40 + ["full_attention"] * 8}
    assert parse_config(named, "x", "x").recurrents == 40
    assert load_config("llama4-maverick").mixtures == 24 and load_config("llama4-scout").mixtures == 48


def test_nested_text_configuration_and_quantisation():
    inner = raw("llama3-8b")
    del inner["architectures"]
    outer = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": inner}
    assert parse_config(outer, "x", "x").layers == 32
    assert load_config("deepseek-r1").quantization == "fp8" and load_config("gpt-oss-20b").quantization == "mxfp4"
    assert not load_config("gpt-oss-20b").sorted_sampling and load_config("llama3-8b").sorted_sampling


def test_missing_linear_sizes_are_those_of_the_class():
    short = raw("qwen3-next-80b-a3b")
    del short["linear_num_key_heads"]
    assert parse_config(short, "x", "x").recurrents == 36 and parse_config(short, "x", "x").blocks[0].mixer.key_size == 16 * 128
    with pytest.raises(InputError, match="linear_num_key_heads"):
        parse_config(short | {"linear_num_key_heads": None}, "x", "x")


def test_hybrid_patterns_plain_feed_forwards_and_draft_layers():
    base = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "intermediate_size": 96}
    hybrid = {**base, "architectures": ["NemotronHForCausalLM"], "hybrid_override_pattern": "M-M*-M-", "n_groups": 2,
              "ssm_state_size": 8, "mamba_num_heads": 3, "mamba_head_dim": 5}
    model = parse_config(hybrid, "x", "x")
    assert (model.layers, model.recurrents, state(model), model.blocks[1].feed.width) == (7, 3, 8 * 3 * 5, 96)
    plain = parse_config({**base, "model_type": "opt", "num_hidden_layers": 2, "num_nextn_predict_layers": 1}, "x", "x")
    assert (plain.architecture, plain.blocks[0].feed.width, plain.draft_layers) == ("OPTForCausalLM", 96, 1)


@pytest.mark.parametrize(("key", "value"), [
    ("num_experts_per_tok", 0), ("num_experts_per_tok", 9), ("num_experts_per_tok", None),
    ("rope_theta", 10**400), ("rms_norm_eps", 10**400), ("rms_norm_eps", float("inf"))])
def test_numbers_that_no_model_has_are_named(key, value):
    with pytest.raises(InputError, match=key):
        parse_config({**raw("mixtral-8x7b"), key: value}, "x", "x")


@pytest.mark.parametrize(("keys", "stored"), [
    ({}, ""), ({"torch_dtype": "bfloat16"}, "bf16"), ({"dtype": "float16"}, "fp16"), ({"torch_dtype": "torch.float32"}, "fp32"),
    ({"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8"}}, "fp8"),
    ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
    ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
    ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "fp4"),
    ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
        "group_0": {"weights": {"num_bits": 8, "type": "float"}}}}}, "fp8"),
    ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
        "group_0": {"weights": {"num_bits": 4, "type": "int"}}}}}, "int4"),
    ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
        "group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}, "input_activations": None}}}}, "fp4wo"),
    ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
        "group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 32}}}}}, "mxfp4"),
    ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": {
        "weights": {"num_bits": 4, "type": "float"}, "input_activations": {"num_bits": 4, "type": "float"}}}}}, "fp4"),
    ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}}, "fp4wo"),
    ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "int8"),
    ({"quantization_config": {"quant_method": "quanto"}}, "quanto"),
])
def test_the_format_of_stored_weights_is_read(keys, stored):
    data = {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 4, "hidden_size": 64, "num_hidden_layers": 2,
            "vocab_size": 100, "intermediate_size": 128, **keys}
    assert parse_config(data, "tiny", "here").weight_format == stored
