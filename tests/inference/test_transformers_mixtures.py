"""Mixtures of experts and latent attention that `transformers` wrote give the same tokens and logits here."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from tests.inference.test_transformers import greedy, transformers_greedy  # noqa: E402
from wsekern.inference.mapping import Mapping  # noqa: E402
from wsekern.inference.reference import ReferenceModel  # noqa: E402
from wsekern.inference.wafer import WaferModel  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.workload import ModelConfig  # noqa: E402
from wsekern.workload.decoder import Attention, Block, FeedForward, LatentAttention, Mixture, Norm, Rotary  # noqa: E402
from wsekern.workload.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1, num_experts_per_tok=2,
             pad_token_id=0)
LATENT = dict(q_lora_rank=12, kv_lora_rank=14, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=7, num_key_value_heads=4)
YARN = dict(rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False, rope_theta=150_000.0,
            original_max_position_embeddings=4096)
SIGMOID = dict(n_routed_experts=8, moe_intermediate_size=12, n_group=4, topk_group=2, n_shared_experts=1,
               routed_scaling_factor=2.5, first_k_dense_replace=1, norm_topk_prob=True)
CASES = {
    "mixtral": ("Mixtral", dict(num_local_experts=6, sliding_window=None)),
    "qwen3-moe": ("Qwen3Moe", dict(num_experts=8, moe_intermediate_size=12, head_dim=8, norm_topk_prob=True)),
    "olmoe": ("Olmoe", dict(num_experts=8, num_key_value_heads=4)),
    "gpt-oss": ("GptOss", dict(num_local_experts=6, head_dim=8, sliding_window=8, rope_parameters=YARN)),
    "glm4-moe": ("Glm4Moe", SIGMOID | dict(head_dim=8, use_qk_norm=True, attention_bias=True)),
    "deepseek-v3": ("DeepseekV3", SIGMOID | LATENT),
}


def described(family: str) -> ModelConfig:
    """The description of a tiny model, by hand."""
    norm = Norm(eps={"Glm4Moe": 1e-5, "Mixtral": 1e-5, "Olmoe": 1e-5, "GptOss": 1e-5}.get(family, 1e-6))
    expert = FeedForward(width=24 if family in ("Mixtral", "Olmoe", "GptOss") else 12)
    heads = dict(heads=4, kv_heads=2, head_dim=8)
    rotary = Rotary(size=8, theta={"Mixtral": 1e6, "GptOss": 150_000.0}.get(family, 10_000.0), context=128)
    sigmoid = dict(experts=8, chosen=2, shared=FeedForward(width=12), scores="sigmoid", normalized=True, scale=2.5,
                   correction=True, groups=4, groups_chosen=2)
    parts = {
        "Mixtral": (Attention(**heads, rotary=rotary), dict(experts=6, chosen=2, normalized=True)),
        "Qwen3Moe": (Attention(**heads, rotary=rotary, norm=norm), dict(experts=8, chosen=2, normalized=True)),
        "Olmoe": (Attention(**heads | dict(kv_heads=4), rotary=rotary, norm=norm, norm_whole=True), dict(experts=8, chosen=2)),
        "GptOss": (Attention(**heads, rotary=dataclasses.replace(rotary, scaling=tuple(YARN.items())), sinks=True,
                             biases="qkvo"), dict(experts=6, chosen=2, scores="softmax_chosen", router_bias=True)),
        "Glm4Moe": (Attention(**heads, rotary=dataclasses.replace(rotary, size=4), norm=norm, biases="qkv"), sigmoid),
        "DeepseekV3": (LatentAttention(heads=4, q_rank=12, kv_rank=14, nope_dim=6, rope_dim=4, value_dim=7, norm=Norm(),
                                       rotary=dataclasses.replace(rotary, size=4, neighbors=True)), sigmoid),
    }
    mixer, fields = parts[family]
    if family == "GptOss":
        expert = dataclasses.replace(expert, activation="clamped_silu", bias=True, limit=7.0)
    mixers = [dataclasses.replace(mixer, window=8), mixer] if family == "GptOss" else [mixer, mixer]
    mixture = Mixture(expert=expert, **fields)
    feeds = [FeedForward(width=24) if mixture.shared else mixture, mixture]
    return ModelConfig(name=family, architecture=f"{family}ForCausalLM", hidden=32, vocab=96, max_context=128, final_norm=norm,
                       blocks=tuple(Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm)
                                    for mixer, feed in zip(mixers, feeds, strict=True)))


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(description, its weights, transformers model) of a tiny random model."""
    family, extra = CASES[request.param]
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **extra})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if "correction_bias" in name or (tensor.ndim == 1 and "inv_freq" not in name):
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif tensor.ndim > 1 and "embed" not in name and "lm_head" not in name:
                tensor.copy_(0.25 * torch.randn_like(tensor))
            elif tensor.ndim > 1:
                tensor.copy_(torch.randn_like(tensor))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    config = described(family)
    return config, StoredWeights(Safetensors(folder), config), model


def test_reference_and_wafer_give_the_tokens_of_transformers(tiny):
    (config, weights, model), prompt = tiny, [0, 17, 33, 50, 51, 7]
    expected, expected_logits = transformers_greedy(model, prompt, 64)
    reference = ReferenceModel(config, weights)
    tokens, logits = greedy(lambda t: reference.forward(t)[-1], prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 4, 4, "fp32", 80, 4))
    tokens, logits = greedy(lambda t: wafer.decode(t[0]) if len(t) == 1 else wafer.prefill(t), prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
