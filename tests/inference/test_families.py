"""Tiny random models of every dense family, as `transformers` writes them: the same logits and tokens here.

``WSEKERN_FAMILIES_TOKENS=64`` makes the greedy answers that long, and runs them on the wafer too.
"""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from wsekern.inference.mapping import Mapping  # noqa: E402
from wsekern.inference.reference import ReferenceModel  # noqa: E402
from wsekern.inference.wafer import WaferModel  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.ops import CycleEngine, FlowEngine  # noqa: E402
from wsekern.workload import load_config  # noqa: E402
from wsekern.workload.weights.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
TOKENS = int(os.environ.get("WSEKERN_FAMILIES_TOKENS", "4"))
PROMPT = [3, 17, 33, 50, 51, 7, 21, 88, 13]
SHAPE = dict(vocab_size=96, hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2)
HEADS = {"head_dim": 12}
WINDOW = dict(sliding_window=5, layer_types=["sliding_attention", "full_attention"])
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
FAMILIES = {
    "llama": ("Llama", dict(attention_bias=True, mlp_bias=True)),
    "mistral": ("Mistral", dict(**HEADS, sliding_window=5)),
    "ministral3": ("Ministral3", dict(**HEADS, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=8, llama_4_scaling_beta=0.2,
        max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0))),
    "qwen2": ("Qwen2", dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3": ("Qwen3", HEADS),
    "gemma2": ("Gemma2", dict(**HEADS, **WINDOW, query_pre_attn_scalar=20, attn_logit_softcapping=5.0,
                              final_logit_softcapping=3.0)),
    "gemma3": ("Gemma3", dict(**HEADS, **WINDOW, query_pre_attn_scalar=20)),
    "gemma4": ("Gemma4", dict(**WINDOW, head_dim=8, global_head_dim=16, num_global_key_value_heads=1, attention_k_eq_v=True,
                              hidden_size_per_layer_input=0, num_kv_shared_layers=0)),
    "phi": ("Phi", dict(partial_rotary_factor=0.4, num_key_value_heads=4)),
    "phi3": ("Phi3", dict(sliding_window=5)),
    "phi4-partial": ("Phi3", dict(partial_rotary_factor=0.75, hidden_size=32, tie_word_embeddings=True)),
    "olmo2": ("Olmo2", {}),
    "olmo3": ("Olmo3", WINDOW),
    "smollm3": ("SmolLM3", dict(no_rope_layers=[1, 0], no_rope_layer_interval=2)),
    "granite": ("Granite", dict(embedding_multiplier=6.0, residual_multiplier=0.5, attention_multiplier=0.2,
                                logits_scaling=4.0)),
    "cohere2": ("Cohere2", dict(**HEADS, **WINDOW, logit_scale=0.25)),
    "glm4": ("Glm4", dict(**HEADS, partial_rotary_factor=0.5)),
    "llama4-dense": ("Llama4", dict(
        **HEADS, layer_types=["chunked_attention", "full_attention"], no_rope_layers=[1, 0], attention_chunk_size=5,
        moe_layers=[], interleave_moe_layer_step=5, intermediate_size_mlp=52, floor_scale=4, attn_scale=0.5)),
    "bloom": ("Bloom", dict(num_key_value_heads=4, intermediate_size=160)),
    "codegen": ("CodeGen", dict(num_key_value_heads=4, rotary_dim=4, n_inner=52)),
    "falcon-alibi": ("Falcon", dict(alibi=True, multi_query=False, parallel_attn=False, bias=True, ffn_hidden_size=52,
                                    attn_implementation="sdpa")),
    "falcon": ("Falcon", dict(alibi=False, multi_query=True, parallel_attn=True, bias=False, ffn_hidden_size=52)),
    "nanochat": ("NanoChat", {}),
    "apertus": ("Apertus", dict(rope_parameters=ROPE)),
    "phimoe": ("Phimoe", dict(num_local_experts=6, num_experts_per_tok=2, router_jitter_noise=0.15, sliding_window=5,
                              attention_bias=True, lm_head_bias=True, rope_parameters=dict(
                                  rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=64,
                                  short_factor=[1.0, 1.1, 1.3, 1.5, 2.0], long_factor=[4.0] * 5, short_mscale=1.2,
                                  long_mscale=1.3))),
    "cohere-head-gains": ("Cohere", dict(use_qk_norm=True, logit_scale=0.25)),
    "stablelm-head-gains": ("StableLm", dict(qk_layernorm=True, use_qkv_bias=True)),
    "opt": ("OPT", dict(ffn_dim=52, word_embed_proj_dim=40, num_key_value_heads=4)),
    "opt-350m": ("OPT", dict(ffn_dim=52, word_embed_proj_dim=24, num_key_value_heads=4, do_layer_norm_before=False)),
    "gpt2": ("GPT2", dict(vocab_size=96, n_positions=128, n_embd=40, n_layer=2, n_head=4)),
    "gpt-neox": ("GPTNeoX", dict(rotary_pct=0.4, num_key_value_heads=4)),
    "gpt-neox-sequential": ("GPTNeoX", dict(use_parallel_residual=False, hidden_act="gelu_fast", hidden_size=32,
                                            num_key_value_heads=4)),
}


IN_BF16 = ("Llama", "Gemma2", "Gemma4", "Phimoe", "Apertus", "Cohere", "Llama4", "GPT2LMHeadModel", "OPT", "Bloom")
"""Families that are computed in bf16 too: together they have all kinds of work."""


def make_model(family, settings):
    """A model with weights that matter: larger matrices, gains and biases away from 1 and 0."""
    torch.manual_seed(1)
    kind = "TextConfig" if family in ("Gemma3", "Gemma4", "Llama4") else "Config"
    config_class = getattr(transformers, f"{family}{kind}")
    shape = {} if family == "GPT2" else SHAPE
    config = config_class(**{**shape, "attn_implementation": "eager", **settings})
    name = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        scalars = [(name, buffer) for name, buffer in model.named_buffers() if name.endswith("layer_scalar")]
        for parameter_name, parameter in (*model.named_parameters(), *scalars):
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "embed" not in parameter_name and "wte" not in parameter_name:
                parameter.mul_(5)
    return model


@pytest.fixture(params=FAMILIES, scope="module")
def tiny(request, tmp_path_factory):
    """(description, weights, transformers model)."""
    family, settings = FAMILIES[request.param]
    if not hasattr(transformers, f"{family}ForCausalLM") and family != "GPT2":
        pytest.skip(f"transformers {transformers.__version__} has no {family}")
    model, folder = make_model(family, settings), tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    config = load_config(folder)
    return config, StoredWeights(Safetensors(folder), config), model


def theirs(model, count):
    """Greedy tokens, and the logits of every position."""
    ids = list(PROMPT)
    with torch.no_grad():
        for _ in range(count):
            logits = model(torch.tensor([ids])).logits[0].numpy()
            ids.append(int(logits[-1].argmax()))
    return ids[len(PROMPT):], logits


def greedy(prefill, decode, count):
    """Greedy tokens, and the logits that they follow."""
    logits = [prefill(PROMPT)]
    while len(logits) < count:
        logits.append(decode(int(logits[-1].argmax())))
    return [int(one.argmax()) for one in logits], np.array(logits)


def test_the_reference_gives_the_logits_and_tokens_of_transformers(tiny):
    config, weights, model = tiny
    tokens, logits = theirs(model, TOKENS)
    reference = ReferenceModel(config, weights)
    whole = reference.forward(PROMPT)
    np.testing.assert_allclose(whole, logits[:len(PROMPT)], atol=1e-4)
    fresh = ReferenceModel(config, weights)
    found, found_logits = greedy(lambda ids: fresh.forward(ids)[-1], lambda token: fresh.forward([token])[-1], TOKENS)
    assert found == tokens
    np.testing.assert_allclose(found_logits, logits[len(PROMPT) - 1:], atol=1e-4)


def wafer_model(tiny, precision="fp32", grid=(5, 3), chunk=5, engine=FlowEngine, form=None):
    config, weights, _ = tiny
    return WaferModel(config, weights, WSE3, Mapping(config, *grid, precision, len(PROMPT) + TOKENS, chunk, activations=form),
                      engine=engine)


def test_the_wafer_gives_the_logits_and_tokens_of_transformers(tiny):
    tokens, logits = theirs(tiny[2], TOKENS)
    wafer = wafer_model(tiny)
    found, found_logits = greedy(wafer.prefill, wafer.decode, TOKENS)
    np.testing.assert_allclose(found_logits, logits[len(PROMPT) - 1:], atol=1e-4)
    assert found == tokens


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.06), ("bf16", 0.4)])
def test_small_floats_stay_close(tiny, precision, bound):
    config, weights, _ = tiny
    if precision == "bf16" and TOKENS < 64 and config.architecture.removesuffix("ForCausalLM") not in IN_BF16:
        pytest.skip("the operations of this family are among those of others")
    expected = ReferenceModel(config, weights).forward(PROMPT)[-1]
    found = wafer_model(tiny, precision).prefill(PROMPT)
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()


def test_both_engines_have_the_same_bits_and_clocks(tiny):
    """Of two tokens of the prompt and one more, on a grid on which words of reductions do not meet."""
    if TOKENS < 64 and tiny[0].architecture not in ("GPT2LMHeadModel", "Gemma2ForCausalLM", "Cohere2ForCausalLM"):
        pytest.skip("the operations of this family are among those of others")
    models = [wafer_model(tiny, "fp16", (4, 4), 2, engine) for engine in (FlowEngine, CycleEngine)]
    logits = [[model.prefill(PROMPT[:2]), model.decode(5)] for model in models]
    for flow, cycle in zip(*logits, strict=True):
        assert flow.tobytes() == cycle.tobytes()
    np.testing.assert_array_equal(models[0].engine.clock, models[1].engine.clock)
