"""Mixtures of experts and latent attention that `transformers` wrote give the same tokens and logits here."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from tests.inference.test_transformers import greedy, transformers_greedy  # noqa: E402
from wsekern.inference.mapping import Mapping  # noqa: E402
from wsekern.inference.reference import ReferenceModel  # noqa: E402
from wsekern.inference.wafer import WaferModel  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.workload import load_config  # noqa: E402
from wsekern.workload.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1, num_experts_per_tok=2,
             pad_token_id=0)
LATENT = dict(q_lora_rank=12, kv_lora_rank=14, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=7, num_key_value_heads=4)
SIGMOID = dict(n_routed_experts=8, moe_intermediate_size=12, n_group=4, topk_group=2, n_shared_experts=1,
               routed_scaling_factor=2.5, first_k_dense_replace=1, norm_topk_prob=True)
CASES = {
    "mixtral": ("Mixtral", dict(num_local_experts=6, sliding_window=None)),
    "qwen3-moe": ("Qwen3Moe", dict(num_experts=8, moe_intermediate_size=12, head_dim=8, norm_topk_prob=True)),
    "olmoe": ("Olmoe", dict(num_experts=8, num_key_value_heads=4)),
    "gpt-oss": ("GptOss", dict(num_local_experts=6, head_dim=8, sliding_window=8)),
    "glm4-moe": ("Glm4Moe", SIGMOID | dict(head_dim=8, use_qk_norm=True, attention_bias=True)),
    "deepseek-v3": ("DeepseekV3", SIGMOID | LATENT),
}


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(folder, transformers model) of a tiny random model."""
    family, extra = CASES[request.param]
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **extra})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if "correction_bias" in name or (tensor.ndim == 1 and "inv_freq" not in name):
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif tensor.ndim > 1 and "embed" not in name and "lm_head" not in name:
                tensor.copy_(0.15 * torch.randn_like(tensor))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return folder, model


def test_reference_and_wafer_give_the_tokens_of_transformers(tiny):
    folder, model = tiny
    config = load_config(folder)
    weights, prompt = StoredWeights(Safetensors(folder), config), [0, 17, 33, 50, 51, 7]
    expected, expected_logits = transformers_greedy(model, prompt, 64)
    reference = ReferenceModel(config, weights)
    tokens, logits = greedy(lambda t: reference.forward(t)[-1], prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 4, 4, "fp32", 80, 4))
    tokens, logits = greedy(lambda t: wafer.decode(t[0]) if len(t) == 1 else wafer.prefill(t), prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
