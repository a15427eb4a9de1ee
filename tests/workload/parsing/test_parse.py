"""What keys of a ``config.json`` mean, as ``transformers`` 5.24 takes them: expected values were read off its classes."""

import json
import math

import pytest

from wsekern.errors import InputError
from wsekern.workload import load_config
from wsekern.workload.decoder import Attention, FeedForward, LatentAttention, Mixture
from wsekern.workload.parsing.parse import parse_config

TINY = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
        "vocab_size": 100, "max_position_embeddings": 512}


def parsed(model_type, **keys):
    keys = {"rotary_dim": 8, **keys} if model_type == "gptj" else keys
    return parse_config({"model_type": model_type, **TINY, **keys}, "tiny", "here")


def reaches(config):
    return [block.mixer.reach for block in config.blocks]


@pytest.mark.parametrize(("model_type", "keys", "theta"), [
    ("llama", {}, 1e4), ("mixtral", {}, 1e6), ("ernie4_5", {}, 5e5), ("llama", {"rope_theta": 5e5}, 5e5),
    ("llama", {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 1e6),  # the table decides
    ("llama", {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default"}}, 5e5),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 1e6}}, 1e4),
    ("gpt_neox", {"rotary_emb_base": 2e4}, 2e4),
])
def test_rotary_base(model_type, keys, theta):
    assert parsed(model_type, **keys).attention.rotary.theta == theta


@pytest.mark.parametrize(("model_type", "keys", "size"), [
    ("llama", {}, 16), ("glm4", {"head_dim": 16}, 8), ("phi", {}, 8), ("stablelm", {}, 4), ("stablelm",
                                                                                            {"partial_rotary_factor": 0.5}, 8),
    ("gpt_neox", {}, 4), ("gpt_neox", {"rotary_pct": 0.5}, 8), ("gptj", {"rotary_dim": 12}, 12),
    ("qwen3_next", {"head_dim": 32, "full_attention_interval": 1}, 8),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}, "partial_rotary_factor": 0.25}, 8),
])
def test_rotated_part_of_a_head(model_type, keys, size):
    assert parsed(model_type, **keys).attention.rotary.size == size


def test_the_original_context_beside_the_table_decides():
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32}
    beside = parsed("llama", rope_scaling=yarn, original_max_position_embeddings=64).attention.rotary
    assert dict(beside.scaling)["original_max_position_embeddings"] == 64
    whole = parsed("llama", rope_scaling={"rope_type": "yarn", "factor": 2.0}).attention.rotary
    assert dict(whole.scaling)["original_max_position_embeddings"] == 512


@pytest.mark.parametrize(("model_type", "tied"), [
    ("llama", False), ("gemma", True), ("gemma3_text", True), ("gpt2", True), ("gptj", False), ("falcon", True), ("cohere2",
                                                                                                                  True),
    ("opt", True), ("smollm3", True), ("qwen3", False)])
def test_tied_embeddings_by_default(model_type, tied):
    assert parsed(model_type).tied_embeddings is tied
    assert parsed(model_type, tie_word_embeddings=not tied).tied_embeddings is not tied


@pytest.mark.parametrize(("model_type", "keys", "expected"), [
    ("llama", {"sliding_window": 8}, [0] * 4), ("llama", {"sliding_window": 8, "layer_types": ["sliding_attention"] * 4},
                                                [0] * 4),
    ("mistral", {}, [4096] * 4), ("mistral", {"sliding_window": None}, [0] * 4),
    ("mistral", {"use_sliding_window": False, "sliding_window": 8}, [8] * 4),
    ("qwen2", {"sliding_window": 8}, [0] * 4), ("qwen2", {"sliding_window": 8, "use_sliding_window": True}, [0] * 4),
    ("qwen3", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 3}, [0, 0, 0, 8]),
    ("qwen3_moe", {"sliding_window": 8, "use_sliding_window": True}, [8] * 4),
    ("gemma2", {"sliding_window": 8}, [8, 0, 8, 0]), ("gemma3_text", {"sliding_window": 8}, [8] * 4),
    ("gemma3_text", {"sliding_window": 8, "sliding_window_pattern": 3}, [8, 8, 0, 8]),
    ("cohere2", {"sliding_window": 8}, [8, 8, 8, 0]), ("olmo3", {"sliding_window": 8}, [8, 8, 8, 0]),
    ("cwm", {"sliding_window": 8}, [0, 8, 8, 8]), ("gpt_oss", {"sliding_window": 8}, [8, 0, 8, 0]),
    ("gpt_oss", {"sliding_window": 8, "layer_types": ["full_attention"] * 3 + ["sliding_attention"]}, [0, 0, 0, 8]),
    ("exaone4", {"sliding_window": None}, [0] * 4), ("gpt_neo", {"window_size": 8}, [0, 8, 0, 8]),
    ("llama4_text", {"attention_chunk_size": 8}, [8, 8, 8, 0]), ("llama4_text", {"attention_chunk_size": None}, [0] * 4),
    ("mimo_v2_flash", {"sliding_window_size": 8, "head_dim": 16}, [0, 9, 9, 9]),
])
def test_windows(model_type, keys, expected):
    assert reaches(parsed(model_type, **keys)) == expected


def test_bundled_llama_4_looks_at_chunks():
    assert sorted(reaches(load_config("llama4-scout"))) == [0] * 12 + [8192] * 36
    mixers = [block.mixer for block in load_config("llama4-scout").blocks[2:4]]
    assert [mixer.rotary is None for mixer in mixers] == [False, True] and mixers[1].temperature == (0.1, 8192, 1)


@pytest.mark.parametrize(("model_type", "keys", "rotated"), [
    ("smollm3", {}, [1, 1, 1, 0]), ("smollm3", {"no_rope_layers": [0, 1, 0, 1]}, [0, 1, 0, 1]), ("cohere2", {}, [1, 1, 1, 0]),
    ("exaone4", {"sliding_window": None}, [1] * 4), ("exaone4", {}, [1, 1, 1, 0]), ("gpt2", {}, [0] * 4)])
def test_layers_without_rotary_embedding(model_type, keys, rotated):
    assert [block.mixer.rotary is not None for block in parsed(model_type, **keys).blocks] == [bool(turns) for turns in rotated]


def test_rotary_bases_of_local_and_global_layers():
    model = parsed("gemma3_text", sliding_window_pattern=2, rope_scaling={"rope_type": "linear", "factor": 8.0})
    local, whole = (block.mixer.rotary for block in model.blocks[:2])
    assert (local.theta, whole.theta, local.scaling) == (1e4, 1e6, ()) and dict(whole.scaling)["factor"] == 8.0
    given = parsed("gemma3_text", sliding_window_pattern=2, rope_local_base_freq=2e4, rope_theta=3e6)
    assert [block.mixer.rotary.theta for block in given.blocks[:2]] == [2e4, 3e6]


@pytest.mark.parametrize(("model_type", "keys", "sparse"), [
    ("qwen3_moe", {"decoder_sparse_step": 2}, [0, 1, 0, 1]), ("qwen3_moe", {"mlp_only_layers": [1]}, [1, 0, 1, 1]),
    ("deepseek_v3", {"first_k_dense_replace": 2}, [0, 0, 1, 1]),
    ("deepseek_v3", {"first_k_dense_replace": 0, "moe_layer_freq": 2}, [1, 0, 1, 0]),
    ("llama4_text", {"interleave_moe_layer_step": 2}, [0, 1, 0, 1]), ("jamba",
                                                                      {"attn_layer_period": 1, "attn_layer_offset": 0}, [0, 1,
                                                                                                                         0, 1]),
    ("ernie4_5_moe", {}, [0, 1, 1, 1]), ("minimax_m3_vl_text", {"moe_layer_freq": [0, 0, 1, 1]}, [0, 0, 1, 1]),
    ("glm_moe_dsa", {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"]}, [0, 1, 0, 1])])
def test_layers_with_experts(model_type, keys, sparse):
    assert [isinstance(block.feed, Mixture) for block in parsed(model_type, **keys).blocks] == [bool(has) for has in sparse]


@pytest.mark.parametrize(("model_type", "keys"), [
    ("gpt2", {"n_embd": 48, "n_head": 3, "n_layer": 5, "n_positions": 40}), ("gptj",
                                                                             {"n_embd": 48, "n_head": 3, "n_layer": 5,
                                                                              "rotary_dim": 4}),
    ("bloom", {"hidden_size": 48, "n_head": 3, "n_layer": 5}), ("mpt", {"d_model": 48, "n_heads": 3, "n_layers": 5}),
    ("falcon", {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 5}),
    ("opt", {"hidden_size": 48, "word_embed_proj_dim": 48, "num_attention_heads": 3, "num_hidden_layers": 5, "ffn_dim": 192})])
def test_earlier_names_of_keys(model_type, keys):
    model = parse_config({"model_type": model_type, "vocab_size": 50, **keys}, "x", "here")
    mixer, feed = model.blocks[0].mixer, model.blocks[0].feed
    assert (model.hidden, model.layers, mixer.heads, feed.width) == (48, 5, 3, 192)
    assert (model.learned_positions, mixer.alibi) == ({"gpt2": 40, "opt": 2050}.get(model_type, 0),
                                                      model_type in ("bloom", "mpt"))
    with pytest.raises(InputError, match=r"'(n_head|n_heads|num_attention_heads)' is -1"):
        parse_config({"model_type": model_type, **{key: -1 if "head" in key else value for key, value in keys.items()}}, "x",
                     "h")


@pytest.mark.parametrize(("model_type", "keys", "expected"), [
    ("llama", {"attention_bias": True}, "qkvo"), ("mistral", {"attention_bias": True}, ""), ("qwen2",
                                                                                             {"attention_bias": False}, "qkv"),
    ("qwen3", {"attention_bias": True}, "qkvo"), ("gpt_neo", {}, "o"), ("glm4", {}, "qkv"), ("seed_oss", {}, "qkv"),
    ("seed_oss", {"attention_out_bias": True}, "qkvo"), ("ernie4_5", {"use_bias": True}, "qkvo"), ("phi", {}, "qkvo"),
    ("stablelm", {"use_qkv_bias": True}, "qkv"), ("starcoder2", {}, "qkvo")])
def test_biases(model_type, keys, expected):
    assert parsed(model_type, **keys).attention.biases == expected


def test_heads_are_as_wide_as_the_class_says():
    assert parsed("qwen3").attention.head_dim == 128 and parsed("llama").attention.head_dim == 16
    assert parsed("qwen3", head_dim=None).attention.head_dim == 16  # transformers: 64 / 4 for a null


@pytest.mark.parametrize(("model_type", "norms"), [
    ("llama", (1, 0, 1, 0)), ("olmo2", (0, 1, 0, 1)), ("gemma2", (1, 1, 1, 1)), ("glm4", (1, 1, 1, 1)), ("cohere",
                                                                                                         (1, 0, 0, 0)),
    ("gpt_neox", (1, 0, 1, 0)), ("exaone4", (0, 1, 0, 1)), ("vaultgemma", (1, 0, 1, 0)), ("phi", (1, 0, 0, 0))])
def test_places_of_norms(model_type, norms):
    block = parsed(model_type).blocks[0]
    found = (block.before_mixer, block.after_mixer, block.before_feed, block.after_feed)
    assert tuple(int(norm is not None) for norm in found) == norms
    assert block.parallel is (model_type in ("cohere", "gpt_neox", "phi"))


def test_what_architectures_scale():
    gemma = parsed("gemma2", query_pre_attn_scalar=64)
    assert (gemma.embedding_scale, gemma.logits_softcap, gemma.attention.softcap, gemma.attention.scale) == (8, 30, 50, 1 / 8)
    assert gemma.blocks[0].before_mixer.offset == 1 and gemma.blocks[0].feed.activation == "gelu_tanh"
    granite = parsed("granite", embedding_multiplier=12, logits_scaling=8, residual_multiplier=0.22, attention_multiplier=0.01)
    assert (granite.embedding_scale, granite.logits_scale, granite.blocks[0].residual) == (12, 1 / 8, 0.22)
    assert granite.attention.scale == 0.01 and parsed("cohere").logits_scale == 0.0625


def test_queries_and_keys():
    assert parsed("olmo2").attention.norm_whole and not parsed("qwen3").attention.norm_whole
    assert parsed("hunyuan_v1_dense").attention.norm_late and parsed("llama").attention.norm is None
    assert [parsed(kind).attention.rotary.neighbors for kind in ("cohere", "glm4", "gptj", "helium", "llama", "glm4_moe")] == [
        True, True, True, True, False, False]


def test_latent_attention_and_its_mixture():
    yarn = {"type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096}
    model = parse_config({"architectures": ["DeepseekV3ForCausalLM"], "rope_scaling": yarn}, "x", "here")
    mixer, experts = model.attention, model.mixture
    assert isinstance(mixer, LatentAttention) and mixer.rotary.neighbors and mixer.cached == 576
    assert mixer.scale == pytest.approx((0.1 * math.log(40) + 1) ** 2 / math.sqrt(192))
    assert (experts.scores, experts.groups, experts.groups_chosen, experts.scale, experts.correction) == ("sigmoid", 8, 4,
                                                                                                          2.5, True)
    assert experts.normalized and experts.shared.width == 2048
    plain = parse_config({"model_type": "deepseek_v3"}, "x", "here")
    assert plain.attention.scale == 0.0


def test_layers_that_share_the_choice_of_tokens():
    model = parse_config({"model_type": "glm_moe_dsa", "index_topk_freq": 4, "index_skip_topk_offset": 3}, "x", "here")
    shared = [block.mixer.indexer.shared for block in model.blocks]
    assert shared[:8] == [False, False, False, True, True, True, False, True] and sum(shared) == 57


def test_both_layouts_of_nemotron_3():
    sizes = {"architectures": ["NemotronHForCausalLM"], "hidden_size": 2688, "intermediate_size": 1856, "mamba_num_heads": 64,
             "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "head_dim": 128, "num_attention_heads": 32,
             "num_key_value_heads": 2, "moe_intermediate_size": 1856, "moe_shared_expert_intermediate_size": 3712,
             "n_routed_experts": 128, "num_experts_per_tok": 6, "num_hidden_layers": 52, "vocab_size": 131072}
    pattern = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
    names = {"M": "mamba", "E": "moe", "*": "attention"}
    first = parse_config({**sizes, "hybrid_override_pattern": pattern}, "x", "here")
    second = parse_config({**sizes, "layers_block_type": [names[letter] for letter in pattern]}, "x", "here")
    assert first.blocks == second.blocks and first.kv_elements_per_token == 6 * 2 * 2 * 128
    assert first.parameters == pytest.approx(31.58e9, rel=1e-3) and first.active_parameters == pytest.approx(3.23e9, rel=1e-2)


def test_keys_of_a_multimodal_model_around_its_text():
    inner = {**TINY, "model_type": "mistral", "num_hidden_layers": 2}
    model = parse_config({"architectures": ["SomeNewForConditionalGeneration"], "text_config": inner, "dtype": "bfloat16",
                          "quantization_config": {"quant_method": "fp8"}}, "x", "here")
    assert (model.layers, model.weight_format, model.tied_embeddings) == (2, "fp8", False)
    tied = parse_config({"architectures": ["Qwen3VLForConditionalGeneration"], "tie_word_embeddings": True,
                         "text_config": TINY}, "x", "h")
    assert tied.tied_embeddings and tied.attention.head_dim == 128


def test_modelopt_says_how_weights_are_stored(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **TINY}))
    assert load_config(tmp_path).weight_format == ""
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4",
                                                                                "exclude_modules": ["lm_head"]}}))
    stored = load_config(tmp_path)
    assert (stored.quantization, stored.weight_format) == ("modelopt", "fp4")


@pytest.mark.parametrize(("keys", "words"), [
    ({"model_type": "llama", "num_hidden_layers": 10**6}, "num_hidden_layers"), ({"model_type": "llama", "head_dim": 10**6},
                                                                                 "head_dim"),
    ({"model_type": "gemma3_text", "layer_types": ["sliding"] * 26}, "layer_types"),
    ({"model_type": "llama", "layer_types": ["full_attention"]}, "layer_types"),
    ({"model_type": "nemotron_h", "hybrid_override_pattern": "MXM"}, "letters M, E"),
    ({"model_type": "qwen3_moe", "num_experts_per_tok": 500}, "num_experts_per_tok"),
    ({"model_type": "deepseek_v3", "n_group": 7}, "n_group"), ({"model_type": "llama", "hidden_act": "sine"}, "sine"),
    ({"model_type": "nemotron-nas"}, "block_configs"), ({"model_type": "gemma4_text", "num_kv_shared_layers": 30},
                                                        "num_kv_shared"),
    ({"model_type": "qwen3_moe", "mlp_only_layers": "all"}, "mlp_only_layers"), ({"model_type": "gptj", "rotary_dim": 512},
                                                                                 "rotary_dim"),
    ({"model_type": "glm_moe_dsa", "mlp_layer_types": ["x"]}, "mlp_layer_types")])
def test_wrong_keys_are_named(keys, words):
    with pytest.raises(InputError, match=words) as error:
        parse_config(keys, "x", "here")
    assert "\n" not in str(error.value)


def test_parts_are_of_stated_kinds():
    model = parsed("gpt2")
    assert isinstance(model.attention, Attention) and isinstance(model.blocks[0].feed,
                                                                 FeedForward) and not model.blocks[0].feed.gated
    assert (parsed("bloom").blocks[0].feed.activation, parsed("mpt").blocks[0].feed.activation) == ("gelu_tanh", "gelu")
    assert (parsed("arcee").blocks[0].feed.activation, parsed("phi").blocks[0].feed.bias) == ("relu2", True)


def test_a_table_of_rotary_embeddings_that_is_none_is_refused():
    tables = {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}, "full_attention": True}
    with pytest.raises(InputError, match="full_attention"):
        parse_config({"model_type": "gemma3_text", "rope_parameters": tables}, "x", "config.json")


@pytest.mark.parametrize(("given", "warm"), [(4, True), (True, True), (None, True), (0, False), (False, False)])
def test_flags_may_be_numbers_as_in_the_published_file_of_llama_4(given, warm):
    config = parsed("llama4_text", num_hidden_layers=4, attn_temperature_tuning=given)
    assert [block.mixer.temperature is not None for block in config.blocks] == [False] * 3 + [warm]
    with pytest.raises(InputError, match="'attn_temperature_tuning' is 'yes', expected true or false"):
        parsed("llama4_text", attn_temperature_tuning="yes")


def test_windows_by_letters_as_the_class_of_exaone_4_documents_them():
    for letters, reach in (("LLLG", [8, 8, 8, 0, 8, 8, 0]), ("LG", [8, 0, 8, 0, 8, 0, 0]), ("G", [0] * 7)):
        config = parsed("exaone4", num_hidden_layers=7, sliding_window=8, sliding_window_pattern=letters)
        assert reaches(config) == reach
    for bad in ("", "LLX", "4"):
        with pytest.raises(InputError, match="expected a whole number, or letters L for local and G for global layers"):
            parsed("exaone4", sliding_window=8, sliding_window_pattern=bad)
