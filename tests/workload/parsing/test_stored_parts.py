"""Parts of quantized checkpoints that are stored otherwise: lists of real checkpoints, shortened."""

import pytest

from wsekern.workload.decoder import Attention, Block, FeedForward, Mixture, Recurrent
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.parsing.stored_parts import kept_parts

FORMATS = {"FP8": "fp8", "NVFP4": "fp4", "MXFP8": "fp8"}
ATTENTION = Attention(heads=8, kv_heads=2, head_dim=64)
STATE = Recurrent(kind="mamba2", key_heads=2, key_dim=64, value_heads=8, value_dim=64, matrices=((0, 512), (512, 0)))
FEED = FeedForward(width=512)
MIXTURE = Mixture(experts=8, chosen=2, expert=FEED, shared=FEED)
ROUTED = (Block(mixer=ATTENTION, feed=FEED), *(Block(mixer=ATTENTION, feed=MIXTURE),) * 3)
DENSE = (Block(mixer=ATTENTION, feed=FEED),) * 4
HYBRID = (Block(mixer=STATE, feed=MIXTURE),) * 3 + (Block(mixer=ATTENTION, feed=MIXTURE),)
EVERY = [f"model.layers.{index}" for index in range(4)]


@pytest.mark.parametrize(("blocks", "stored", "main", "kept"), [
    pytest.param(ROUTED, {"ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                                     r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]},
                 "int4", (("attention", "bf16"), ("dense", "bf16"), ("shared", "bf16")), id="Kimi K2.5, compressed-tensors"),
    pytest.param(ROUTED, {"exclude_modules": ["lm_head", "model.layers.0*",
                                              *(f"{at}.mlp.shared_experts*" for at in EVERY[1:]),
                                              *(f"{at}.self_attn*" for at in EVERY[1:])]},
                 "fp4", (("attention", "bf16"), ("dense", "bf16"), ("shared", "bf16")), id="GLM 5.1, modelopt"),
    pytest.param(DENSE, {"ignore": ["lm_head", *(f"{at}.self_attn*" for at in EVERY)]}, "fp4", (("attention", "bf16"),),
                 id="Gemma 4 31B, modelopt"),
    pytest.param(ROUTED, {"modules_to_not_convert": ["lm_head", *(f"{at}.mlp.gate" for at in EVERY),
                                                     *(f"{at}.post_attention_layernorm" for at in EVERY),
                                                     *(f"{at}.self_attn.indexer.weights_proj" for at in EVERY)]},
                 "fp8", (), id="routers, norms and indexers weigh little"),
    pytest.param(HYBRID, {"ignore": ["*.mlp.shared_expert.*", *(f"{at}.linear_attn*" for at in EVERY[:3])]}, "fp4",
                 (("recurrent", "bf16"), ("shared", "bf16")), id="Qwen3.5, modelopt"),
    pytest.param(HYBRID, {"exclude_modules": ["backbone.layers.0.mixer.in_proj", "backbone.layers.3.mixer.q_proj"]}, "fp4",
                 (("attention", "bf16"),), id="one of three states is not most"),
    pytest.param(HYBRID, {"quantized_layers": {
        "backbone.layers.0.mixer.in_proj": {"quant_algo": "FP8"},
        "backbone.layers.0.mixer.experts.0.up_proj": {"quant_algo": "NVFP4"},
        "backbone.layers.0.mixer.shared_experts.up_proj": {"quant_algo": "NVFP4"}}},
                 "fp4", (("attention", "bf16"), ("recurrent", "fp8")), id="mixed: what is not listed is not quantized"),
    pytest.param(ROUTED, {"quant_method": "fp8", "quantized_layers": {"layers.0.ffn.experts": {"quant_algo": "NVFP4"}}},
                 "fp4", (("attention", "fp8"), ("dense", "fp8"), ("shared", "fp8")), id="NVFP4 experts in an FP8 checkpoint"),
    pytest.param(ROUTED, {"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp4",
                 (("attention", "fp8"), ("dense", "fp8"), ("shared", "fp8")), id="DeepSeek V4"),
    pytest.param(DENSE, {"ignore": [3, None], "quantized_layers": []}, "fp4", (), id="nonsense"),
])
def test_parts_are_known_by_the_names_of_modules(blocks, stored, main, kept):
    assert kept_parts(stored, blocks, main, FORMATS) == kept


SHAPE = {"architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
         "num_attention_heads": 4, "vocab_size": 256, "moe_intermediate_size": 32, "n_routed_experts": 8, "n_shared_experts": 1,
         "num_experts_per_tok": 2, "first_k_dense_replace": 1, "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8,
         "qk_nope_head_dim": 8, "v_head_dim": 8}


@pytest.mark.parametrize(("more", "stored", "form", "apart"), [
    ({}, {"quant_method": "compressed-tensors", "ignore": ["re:.*self_attn.*"],
          "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}}, "int4", {"attention": "bf16"}),
    ({"expert_dtype": "fp4"}, {"quant_method": "fp8"}, "fp4", {"attention": "fp8", "dense": "fp8", "shared": "fp8"}),
    ({}, {"quant_method": "fp8", "quant_algo": "MIXED_PRECISION",
          "quantized_layers": {"layers.1.ffn.experts": {"quant_algo": "NVFP4"}}},
     "fp4", {"attention": "fp8", "dense": "fp8", "shared": "fp8"}),
    ({}, {"quant_method": "fp8"}, "fp8", {}),
])
def test_a_configuration_says_what_is_kept_apart(more, stored, form, apart):
    config = parse_config({**SHAPE, **more, "quantization_config": stored}, "tiny", "tiny")
    assert (config.weight_format, dict(config.kept)) == (form, apart)
