"""Mixtures of experts and latent attention that `transformers` wrote give the same tokens and logits here."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from tests.inference.test_transformers import compare_greedily  # noqa: E402
from wsekern.inference.kept_weights import KeptWeights  # noqa: E402
from wsekern.inference.mapping import Mapping  # noqa: E402
from wsekern.inference.programs import PROGRAM_SETS, Programs  # noqa: E402
from wsekern.inference.reference import ReferenceModel  # noqa: E402
from wsekern.inference.wafer import WaferModel  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.ops.engines.both import BothEngines  # noqa: E402
from wsekern.workload import load_config  # noqa: E402
from wsekern.workload.weights.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1, num_experts_per_tok=2,
             pad_token_id=0)
LATENT = dict(q_lora_rank=12, kv_lora_rank=14, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=7, num_key_value_heads=4)
YARN = dict(rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False, rope_theta=150_000.0,
            original_max_position_embeddings=4096)
MSCALE = dict(rope_type="yarn", rope_theta=10_000.0, factor=4.0, mscale=0.8, mscale_all_dim=1.2,
              original_max_position_embeddings=32)
SIGMOID = dict(n_routed_experts=8, moe_intermediate_size=12, n_group=4, topk_group=2, n_shared_experts=1,
               routed_scaling_factor=2.5, first_k_dense_replace=1, norm_topk_prob=True)
CASES = {
    "mixtral": ("Mixtral", dict(num_local_experts=6, sliding_window=None)),
    "qwen3-moe": ("Qwen3Moe", dict(num_experts=8, moe_intermediate_size=12, head_dim=8, norm_topk_prob=True)),
    "olmoe": ("Olmoe", dict(num_experts=8, num_key_value_heads=4)),
    "gpt-oss": ("GptOss", dict(num_local_experts=6, head_dim=8, sliding_window=8, rope_parameters=YARN)),
    "glm4-moe": ("Glm4Moe", SIGMOID | dict(head_dim=8, use_qk_norm=True, attention_bias=True)),
    "deepseek-v3": ("DeepseekV3", SIGMOID | LATENT),
    "deepseek-v3-yarn": ("DeepseekV3", SIGMOID | LATENT | dict(rope_parameters=MSCALE)),
    "deepseek-v2": ("DeepseekV2", SIGMOID | LATENT | dict(q_lora_rank=None, topk_method="group_limited_greedy")),
    "glm4-moe-lite": ("Glm4MoeLite", SIGMOID | LATENT),
    "qwen2-moe": ("Qwen2Moe", dict(num_experts=8, moe_intermediate_size=12, shared_expert_intermediate_size=20)),
    "granite-moe": ("GraniteMoe", dict(num_local_experts=6)),
    "llama4": ("Llama4Text", dict(num_local_experts=4, head_dim=8, intermediate_size_mlp=20, num_experts_per_tok=1,
                                  interleave_moe_layer_step=1)),
    "ernie": ("Ernie4_5_Moe", dict(moe_num_experts=6, moe_k=2, moe_intermediate_size=12, moe_num_shared_experts=1,
                                   moe_layer_start_index=1)),
    "minimax-m2": ("MiniMaxM2", dict(num_local_experts=6, head_dim=8)),
    "dots1": ("Dots1", SIGMOID | dict(head_dim=8)),
}


LONG = ("mixtral", "qwen3-moe", "olmoe", "gpt-oss", "glm4-moe", "deepseek-v3")
"""Cases of 64 tokens; a few will do for the others."""


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(description, its weights, transformers model, tokens to generate) of a tiny random model."""
    family, extra = CASES[request.param]
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **extra})
    model = getattr(transformers, f"{family.removesuffix('Text')}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if "correction_bias" in name or (tensor.ndim == 1 and "inv_freq" not in name):
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif tensor.ndim > 1 and "embed" not in name and "lm_head" not in name:
                tensor.copy_(0.25 * torch.randn_like(tensor))
            elif tensor.ndim > 1:
                tensor.copy_((0.4 if "lm_head" in name else 1) * torch.randn_like(tensor))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    config = load_config(folder)
    return config, StoredWeights(Safetensors(folder), config), model, 64 if request.param in LONG else 8


def test_reference_and_wafer_give_the_tokens_of_transformers(tiny):
    compare_greedily(*tiny, grid=(4, 4))


@pytest.mark.parametrize("tiny", ["gpt-oss", "deepseek-v3", "llama4"], indirect=True)
@pytest.mark.parametrize("options", [dict(programs=Programs(expert_blocks=2, router_copies=3)),
                                     dict(programs=Programs(expert_blocks=2), expert_wafers=2),
                                     dict(programs=replace(PROGRAM_SETS["default"].programs, expert_blocks=2, router_copies=2),
                                          expert_wafers=3)], ids=["blocks", "wafers", "wafers and today's programs"])
def test_experts_on_blocks_and_on_several_wafers_give_the_tokens_of_transformers(tiny, options):
    compare_greedily(*tiny[:3], 8, (5, 4), **options)


@pytest.mark.parametrize("tiny", ["gpt-oss"], indirect=True)
def test_both_engines_agree_on_every_step_of_experts_on_two_wafers(tiny):
    programs = replace(PROGRAM_SETS["default"].programs, expert_blocks=2, router_copies=2)
    compare_greedily(*tiny[:3], 1, (4, 3), BothEngines, programs=programs, expert_wafers=2)


@pytest.mark.parametrize("tiny", ["gpt-oss", "deepseek-v3"], indirect=True)
@pytest.mark.parametrize("form", ["int8", "mxfp4"])
def test_packed_experts_on_several_wafers_are_those_of_the_reference(tiny, form):
    config, weights = tiny[:2]
    programs = replace(PROGRAM_SETS["default"].programs, expert_blocks=2, router_copies=2)
    mapping = Mapping(config, 5, 4, "fp16", 16, 4, weight_precision=form, programs=programs, expert_wafers=2)
    found = WaferModel(config, weights, WSE3, mapping).prefill([0, 17, 33, 50, 51, 7])
    expected = ReferenceModel(config, KeptWeights(weights, mapping)).forward([0, 17, 33, 50, 51, 7])[-1]
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
