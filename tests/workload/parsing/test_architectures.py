"""Counts of weights of every architecture, and what a missing key of a ``config.json`` means, against ``transformers`` 5.24."""

import json
import os
from importlib.resources import files

import pytest

from tests.workload.parsing.class_defaults import raw
from wsekern.errors import InputError
from wsekern.workload.parsing.layouts import architectures
from wsekern.workload.parsing.parse import parse_config

OF_CLASSES = {
    "llama": 6_738_415_616, "mistral": 7_241_732_096, "ministral3": 8_489_553_920, "qwen2": 12_049_846_272,
    "qwen3": 12_049_461_248, "qwen2_moe": 14_315_784_192, "qwen3_moe": 15_350_731_776, "qwen3_next": 79_674_391_296,
    "qwen3_5_text": 8_953_803_264, "qwen3_5_moe_text": 34_660_610_688, "gpt_oss": 116_829_156_672,
    "deepseek_v2": 38_612_307_968, "deepseek_v3": 671_026_404_352, "deepseek_v32": 671_877_929_216,
    "deepseek_v4": 284_325_869_015, "glm": 9_399_951_360, "glm4": 9_400_279_040, "glm4_moe": 103_481_200_640,
    "glm4_moe_lite": 29_943_390_976, "glm_moe_dsa": 743_911_199_232, "gemma": 8_537_680_896, "gemma2": 2_614_341_888,
    "gemma3_text": 2_628_658_432, "gemma3n_text": 6_835_235_568, "gemma4_text": 5_077_177_856, "phi": 1_418_270_720,
    "phi3": 3_821_079_552, "phimoe": 41_872_793_600, "cohere": 34_980_831_232, "cohere2": 34_980_831_232,
    "olmo": 6_888_095_744, "olmo2": 6_888_624_128, "olmo3": 6_888_624_128, "olmoe": 13_361_612_800,
    "olmo_hybrid": 7_430_870_688, "granite": 6_738_415_616, "granitemoe": 37_039_116_288, "granitemoeshared": 37_039_116_288,
    "granitemoehybrid": 38_601_064_448, "mixtral": 46_702_792_704, "llama4_text": 107_769_861_120,
    "nemotron_h": 1_968_355_712, "minimax": 47_373_946_880, "minimax_m2": 228_689_748_992, "ernie4_5": 360_748_032,
    "ernie4_5_moe": 21_825_437_888, "smollm3": 3_075_098_624, "exaone4": 9_429_069_824, "exaone_moe": 28_550_639_616,
    "starcoder2": 3_030_371_328, "stablelm": 2_795_443_200, "falcon": 6_921_720_704, "falcon_h1": 8_514_961_408,
    "falcon_mamba": 159_308_544, "mpt": 1_311_213_568, "gpt2": 124_439_808, "gpt_neox": 20_554_567_680,
    "gpt_neo": 1_315_575_808, "gptj": 6_050_882_784, "gpt_bigcode": 111_446_784, "bloom": 16_156_544, "opt": 125_239_296,
    "jamba": 51_570_323_328, "mamba": 159_308_544, "mamba2": 7_285_403_648, "bamba": 9_992_765_440, "zamba2": 2_481_848_336,
    "lfm2": 2_705_497_600, "seed_oss": 28_921_040_896, "arcee": 4_022_766_080, "apertus": 6_979_596_352,
    "flex_olmo": 33_270_665_216, "helium": 2_172_643_840, "jetmoe": 4_293_888_000, "codegen": 6_050_882_784,
    "persimmon": 9_397_175_296, "recurrent_gemma": 2_010_263_040, "rwkv": 7_392_649_216, "xglm": 564_463_616,
    "afmoe": 19_232_600_000, "bitnet": 2_741_155_840, "diffllama": 1_204_885_504, "doge": 403_055_872, "cwm": 32_581_097_472,
    "hyperclovax": 6_738_677_760, "minimax_m3_vl_text": 447_186_441_216, "mistral4": 118_972_826_624,
    "laguna": 33_189_975_808, "youtu": 1_961_560_064, "solar_open": 102_651_793_408, "nanochat": 256_573_440,
    "vaultgemma": 2_614_222_080, "kimi_linear": 49_133_074_464, "hy_v3": 295_033_528_320,
}
"""Model type -> parameters of the class in transformers 5.24.0 without any key, made on torch's meta device."""

OF_KEYS = [
    ("ministral", {"head_dim": 128}, 7_241_732_096),
    ("nemotron", {"num_key_value_heads": 8}, 15_628_775_424),
    ("hunyuan_v1_dense", {"head_dim": 128}, 8_859_684_864),
    ("hunyuan_v1_moe", {"head_dim": 128, "num_experts": 8, "moe_topk": 2}, 43_488_907_264),
    ("lfm2_moe", {"layer_types": ["conv", "conv", "full_attention"] * 8, "num_hidden_layers": 24}, 8_327_334_912),
    ("dots1", {"n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2, "first_k_dense_replace": 1},
              85_200_080_832),
    ("deepseek_v2", {"num_experts_per_tok": 6}, 38_612_307_968),
    ("minicpm3", {}, 4_073_875_968),
    ("exaone", {}, 7_818_448_896),
    ("jais2", {}, 8_090_401_280),
    ("mimo_v2_flash", {}, 308_778_768_832),
    ("granite_swa", {}, 2_144_463_840),
    ("internlm3", {}, 8_804_241_408),
    ("sarvam_mla", {}, 106_031_763_456),
    ("sarvam_moe", {}, 32_152_648_064),
    ("iquestcoder", {}, 39_794_283_520),
    ("llama", {"num_key_value_heads": 8, "attention_bias": True, "mlp_bias": True}, 5_934_272_512),
    ("stablelm", {"num_key_value_heads": 8, "use_parallel_residual": True}, 2_480_706_560),
    ("gemma4_text", {"enable_moe_block": True, "num_experts": 16, "top_k_experts": 2, "moe_intermediate_size": 512,
                    "attention_k_eq_v": True, "num_global_key_value_heads": 2, "hidden_size_per_layer_input": 0},
                    4_675_444_960),
    ("falcon", {"new_decoder_architecture": True, "num_attention_heads": 64, "num_kv_heads": 8, "hidden_size": 4096},
               5_769_797_632),
    ("falcon_h1", {"mamba_rms_norm": True}, 8_514_994_176),
    ("gpt_oss", {"num_hidden_layers": 24, "num_local_experts": 32}, 20_914_757_184),
    ("nemotron_h", {"hybrid_override_pattern": "MEM*-E", "moe_latent_size": 512}, 1_771_520_768),
    ("qwen3_moe", {"decoder_sparse_step": 2, "mlp_only_layers": [3]}, 7_986_320_384),
    ("jamba", {}, 51_570_323_328),
    ("granitemoehybrid", {"layer_types": ["mamba", "attention"] * 16}, 38_021_416_960),
    ("opt", {"word_embed_proj_dim": 512, "hidden_size": 1024, "num_attention_heads": 16, "do_layer_norm_before": False},
            154_863_616),
    ("bamba", {"attn_layer_indices": [9, 18, 27]}, 9_808_584_064),
    ("laguna", {"num_attention_heads_per_layer": [48, 64] * 20}, 33_358_403_328),
    ("qwen3_next", {"full_attention_interval": 2}, 79_596_931_584),
    ("zamba2", {"num_mem_blocks": 2, "use_shared_attention_adapter": False}, 2_652_249_616),
    ("olmo_hybrid", {}, 7_430_870_688),
    ("deepseek_v4", {"compress_ratios": [0, 0, *([4, 128] * 20), 4]}, 284_332_230_231),
    ("mpt", {"attn_config": {"alibi": True}}, 1_311_213_568),
    ("dbrx", {"ffn_config": {"moe_num_experts": 8, "moe_top_k": 2, "ffn_hidden_size": 1024}, "attn_config": {"kv_n_heads": 4,
             "rope_theta": 10000.0}}, 1_591_183_360),
]
"""(model type, keys, parameters of the class in transformers 5.24.0 with them), made likewise."""


COMMON = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "gpt2", "deepseek_v3", "qwen3_next", "gpt_oss")
"""Model types that CI asks the installed transformers for; with WSEKERN_META_MODELS in the environment all are."""


def counted(model_type, **keys):
    return parse_config({"model_type": model_type, **keys}, model_type, "here").parameters


@pytest.mark.parametrize("model_type", OF_CLASSES)
def test_a_configuration_without_keys_is_that_of_the_class(model_type):
    """Norm gains and biases are left out: under 0.2 % of these."""
    keys = {"num_experts_per_tok": 6} if model_type == "deepseek_v2" else {}  # which has no default there
    assert counted(model_type, **keys) == pytest.approx(OF_CLASSES[model_type], rel=2e-3)


@pytest.mark.parametrize(("model_type", "keys", "expected"), OF_KEYS)
def test_keys_change_what_they_change_in_transformers(model_type, keys, expected):
    assert counted(model_type, **keys) == pytest.approx(expected, rel=2e-3)


def test_the_text_part_of_a_multimodal_class_is_counted():
    assert counted("phi4_multimodal") == pytest.approx(5_308_268_992 - 908e6, rel=2e-3)  # its images take 0.908 billion
    assert counted("longcat_flash") == pytest.approx(741_053_585_408 - 28 * 256 * 4096 * 6144, rel=2e-3)  # 256 experts are none


def stored_classes():
    return json.loads((files("wsekern.workload.parsing") / "class_defaults.json").read_text())


@pytest.mark.parametrize("model_type", stored_classes() if "WSEKERN_META_MODELS" in os.environ else COMMON)
def test_class_defaults_are_those_of_the_installed_transformers(model_type):
    pytest.importorskip("transformers", reason="compares with the classes of Hugging Face")
    assert json.loads(json.dumps(raw(model_type))) in (stored_classes()[model_type], None)


def test_unknown_architectures_are_refused_by_the_nearest():
    with pytest.raises(InputError) as error:
        parse_config({"architectures": ["Qwen4ForCausalLM"]}, "x", "here")
    assert "Qwen4ForCausalLM" in str(error.value) and "Qwen3ForCausalLM" in str(error.value) and len(str(error.value)) < 130
    assert len(architectures()) > 140


@pytest.mark.skipif("WSEKERN_META_MODELS" not in os.environ,
                    reason="a minute: set WSEKERN_META_MODELS to count every class anew")
@pytest.mark.parametrize("model_type", OF_CLASSES)
def test_counts_are_those_of_the_installed_transformers(model_type):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        try:
            model = AutoModelForCausalLM.from_config(config)
        except ValueError:
            model = AutoModelForImageTextToText.from_config(config)
    assert sum(part.numel() for part in model.parameters()) == OF_CLASSES[model_type]
