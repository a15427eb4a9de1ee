"""The plain mixtures and latent attention against the modules of transformers, tiny and random."""

import numpy as np
import pytest

from wsekern.inference.reference import Activations
from wsekern.inference.reference.latent import ReferenceLatentAttention
from wsekern.inference.reference.mixture import ReferenceMixture, choose_experts
from wsekern.workload.decoder import FeedForward, LatentAttention, Mixture, Norm, Rotary

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
HIDDEN, WIDTH, EXPERTS, TOKENS = 16, 12, 8, 7
EXACT = Activations.of("scalar", "fp32")
GATED, PLAIN = FeedForward(width=WIDTH), FeedForward(width=WIDTH, gated=False, activation="relu2")
CLAMPED = FeedForward(width=WIDTH, activation="clamped_silu", bias=True, limit=7.0)


def _module(path: str, name: str) -> type:
    return getattr(__import__(f"transformers.models.{path}", fromlist=[name]), name)


def _random(module, seed=0):
    """``module`` with random weights and buffers, which spread the scores of the router."""
    torch.manual_seed(seed)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            torch.nn.init.normal_(tensor, std=0.5)
    return module.eval()


def _arrays(module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().astype(np.float32) for name, tensor in module.state_dict().items()}


def _turned(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(-1, -2))


def mixture_weights(state: dict[str, np.ndarray], router="gate") -> dict[str, np.ndarray]:
    """Weights by our names of a mixture's tensors, experts stored together, (outputs, inputs)."""
    names = {f"{router}.weight": "router", f"{router}.bias": "router_bias", f"{router}.e_score_correction_bias": "correction",
             "experts.up_proj": "experts_up", "experts.down_proj": "experts_down", "fc1_latent_proj.weight": "latent_in",
             "fc2_latent_proj.weight": "latent_out", "shared_expert_gate.weight": "shared_router"}
    for part in ("gate", "up", "down"):
        names |= {f"shared_expert.{part}_proj.weight": f"shared_{part}", f"shared_experts.{part}_proj.weight": f"shared_{part}"}
    weights = {names[name]: array if array.ndim == 1 else _turned(array) for name, array in state.items() if name in names}
    if "experts.gate_up_proj" in state:
        weights["experts_gate"], weights["experts_up"] = np.split(_turned(state["experts.gate_up_proj"]), 2, axis=-1)
    return weights


def gpt_oss_weights(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of gpt-oss, whose experts are (inputs, outputs), gate and up in turn."""
    gate_up, bias = state["experts.gate_up_proj"], state["experts.gate_up_proj_bias"]
    return {"router": state["router.weight"].T, "router_bias": state["router.bias"], "experts_gate": gate_up[..., ::2],
            "experts_up": gate_up[..., 1::2], "experts_gate_bias": bias[..., ::2], "experts_up_bias": bias[..., 1::2],
            "experts_down": state["experts.down_proj"], "experts_down_bias": state["experts.down_proj_bias"]}


def llama4_weights(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of Llama 4, whose experts are (inputs, outputs)."""
    weights = mixture_weights(state, "router")
    weights["experts_gate"], weights["experts_up"] = np.split(state["experts.gate_up_proj"], 2, axis=-1)
    return weights | {"experts_down": state["experts.down_proj"]}


SIZES = dict(hidden_size=HIDDEN, num_experts_per_tok=3, num_attention_heads=2, num_key_value_heads=2, vocab_size=8)
LOCAL = SIZES | dict(num_local_experts=EXPERTS, intermediate_size=WIDTH)
QWEN = SIZES | dict(num_experts=EXPERTS, moe_intermediate_size=WIDTH)
SIGMOID = SIZES | dict(n_routed_experts=EXPERTS, moe_intermediate_size=WIDTH, n_group=4, topk_group=2, n_shared_experts=2,
                       routed_scaling_factor=2.5)
MIXTURES = {
    "mixtral": ("mixtral", "Mixtral", "SparseMoeBlock", LOCAL, mixture_weights,
                Mixture(experts=EXPERTS, chosen=3, expert=GATED, normalized=True)),
    "qwen2_moe": ("qwen2_moe", "Qwen2Moe", "SparseMoeBlock", QWEN | dict(shared_expert_intermediate_size=20), mixture_weights,
                  Mixture(experts=EXPERTS, chosen=3, expert=GATED, shared=FeedForward(width=20), shared_gate=True)),
    "qwen3_moe": ("qwen3_moe", "Qwen3Moe", "SparseMoeBlock", QWEN | dict(norm_topk_prob=True), mixture_weights,
                  Mixture(experts=EXPERTS, chosen=3, expert=GATED, normalized=True)),
    "olmoe": ("olmoe", "Olmoe", "SparseMoeBlock", SIZES | dict(num_experts=EXPERTS, intermediate_size=WIDTH), mixture_weights,
              Mixture(experts=EXPERTS, chosen=3, expert=GATED)),
    "gpt_oss": ("gpt_oss", "GptOss", "MLP", LOCAL, gpt_oss_weights,
                Mixture(experts=EXPERTS, chosen=3, expert=CLAMPED, scores="softmax_chosen", router_bias=True)),
    "glm4_moe": ("glm4_moe", "Glm4Moe", "MoE", SIGMOID | dict(norm_topk_prob=False), mixture_weights,
                 Mixture(experts=EXPERTS, chosen=3, expert=GATED, shared=FeedForward(width=2 * WIDTH), scores="sigmoid",
                         scale=2.5, correction=True, groups=4, groups_chosen=2)),
    "deepseek_v3": ("deepseek_v3", "DeepseekV3", "MoE", SIGMOID, mixture_weights,
                    Mixture(experts=EXPERTS, chosen=3, expert=GATED, shared=FeedForward(width=2 * WIDTH), scores="sigmoid",
                            normalized=True, scale=2.5, correction=True, groups=4, groups_chosen=2)),
    "deepseek_v2": ("deepseek_v2", "DeepseekV2", "Moe", SIGMOID | dict(topk_method="group_limited_greedy"), mixture_weights,
                    Mixture(experts=EXPERTS, chosen=3, expert=GATED, shared=FeedForward(width=2 * WIDTH), scale=2.5, groups=4,
                            groups_chosen=2, group_best=1)),
    "llama4": ("llama4", "Llama4Text", "Moe", LOCAL | dict(num_experts_per_tok=2), llama4_weights,
               Mixture(experts=EXPERTS, chosen=2, expert=GATED, shared=GATED, scores="sigmoid", early=True)),
    "granitemoe": ("granitemoe", "GraniteMoe", "MoE", LOCAL, lambda state: mixture_weights(state, "router"),
                   Mixture(experts=EXPERTS, chosen=3, expert=GATED, scores="softmax_chosen")),
    "nemotron_h": ("nemotron_h", "NemotronH", "MoE",
                   SIGMOID | dict(moe_latent_size=10, moe_shared_expert_intermediate_size=20, mlp_hidden_act="relu2"),
                   mixture_weights,
                   Mixture(experts=EXPERTS, chosen=3, expert=PLAIN, latent=10, scores="sigmoid", normalized=True, scale=2.5,
                           shared=FeedForward(width=20, gated=False, activation="relu2"), correction=True, groups=4,
                           groups_chosen=2)),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_what_transformers_computes(name):
    path, prefix, block, sizes, weights, part = MIXTURES[name]
    config = _module(f"{path}.configuration_{path}", f"{prefix}Config")(**sizes)
    module = _random(_module(f"{path}.modeling_{path}", prefix + block)(config))
    x = np.random.default_rng(0).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x[None]))
    expected = (expected[0] if isinstance(expected, tuple) else expected).numpy().reshape(TOKENS, HIDDEN)
    found = ReferenceMixture(part, EXACT).forward(x, weights(_arrays(module)), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


def test_of_equal_scores_the_expert_with_the_lower_index_is_chosen():
    part = Mixture(experts=5, chosen=2, expert=GATED)
    weights = {"router": np.zeros((3, 5), np.float32)}
    chosen, shares = choose_experts(part, weights, np.ones((2, 3), np.float32), EXACT)
    assert chosen.tolist() == [[0, 1]] * 2
    np.testing.assert_allclose(shares, 0.2)


YARN = dict(rope_type="yarn", rope_theta=10_000.0, factor=4.0, mscale=0.8, mscale_all_dim=1.2,
            original_max_position_embeddings=32)
LATENT = dict(hidden_size=HIDDEN, num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=10, qk_nope_head_dim=6,
              qk_rope_head_dim=4, v_head_dim=5, max_position_embeddings=128, attn_implementation="eager", vocab_size=8)


def latent_weights(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights by our names of a latent attention's tensors."""
    names = {"q_proj.weight": "q", "q_a_proj.weight": "q_a", "q_a_layernorm.weight": "q_a_norm", "q_b_proj.weight": "q_b",
             "kv_a_proj_with_mqa.weight": "kv_a", "kv_a_layernorm.weight": "kv_a_norm", "kv_b_proj.weight": "kv_b",
             "o_proj.weight": "o", "q_a_proj.bias": "q_a_bias", "kv_a_proj_with_mqa.bias": "kv_a_bias", "o_proj.bias": "o_bias"}
    return {names[name]: array if array.ndim == 1 else _turned(array) for name, array in state.items()}


@pytest.mark.parametrize("family", ["deepseek_v3", "deepseek_v2"])
@pytest.mark.parametrize(("q_rank", "bias", "scaling"), [(9, False, None), (None, False, None), (9, True, None),
                                                         (9, False, YARN)])
def test_latent_attention_is_what_transformers_computes(family, q_rank, bias, scaling):
    prefix = {"deepseek_v3": "DeepseekV3", "deepseek_v2": "DeepseekV2"}[family]
    rope = scaling or dict(rope_type="default", rope_theta=10_000.0)
    config = _module(f"{family}.configuration_{family}", f"{prefix}Config")(
        **LATENT, q_lora_rank=q_rank, attention_bias=bias, rope_parameters=rope)
    module = _random(_module(f"{family}.modeling_{family}", f"{prefix}Attention")(config, 0))
    turn = _module(f"{family}.modeling_{family}", f"{prefix}RotaryEmbedding")(config)
    x = np.random.default_rng(0).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    mask = torch.full((TOKENS, TOKENS), float("-inf")).triu(1)[None, None]
    with torch.no_grad():
        given = torch.from_numpy(x[None])
        expected = module(given, position_embeddings=turn(given, torch.arange(TOKENS)[None]), attention_mask=mask)[0][0].numpy()
    part = LatentAttention(heads=4, q_rank=q_rank or 0, kv_rank=10, nope_dim=6, rope_dim=4, value_dim=5, norm=Norm(eps=1e-6),
                           scale=module.scaling, biases="qko" if bias else "",
                           rotary=Rotary(size=4, scaling=tuple(rope.items()), neighbors=True, context=128))
    weights, plain = latent_weights(_arrays(module)), ReferenceLatentAttention(part, EXACT)
    found = [plain.forward(x[start:end], weights, start) for start, end in ((0, 3), (3, 4), (4, TOKENS))]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=2e-5)
