"""Hybrids of attention and recurrent layers that `transformers` wrote give the same tokens and logits here."""

import pytest

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from tests.inference.test_transformers import compare_greedily  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.workload import load_config  # noqa: E402
from wsekern.workload.weights.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=0)
DELTA = dict(head_dim=8, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
             linear_value_head_dim=6)
CASES = {
    "qwen3-next": ("Qwen3Next", DELTA | dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=12,
                                             shared_expert_intermediate_size=12, partial_rotary_factor=0.5,
                                             norm_topk_prob=True)),
    "lfm2": ("Lfm2", dict(num_hidden_layers=3, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False)),
    "bamba": ("Bamba", dict(num_hidden_layers=3, attn_layer_indices=[1], mamba_n_heads=8, mamba_d_head=8, mamba_n_groups=2,
                            mamba_d_state=8, mamba_expand=2)),
    "nemotron-h": ("NemotronH", dict(layers_block_type=["mamba", "attention", "mlp"], mamba_num_heads=8, mamba_head_dim=8,
                                     n_groups=2, ssm_state_size=8, head_dim=8)),
}


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(description, its weights, transformers model, how many tokens) of a tiny random model."""
    family, extra = CASES[request.param]
    torch.manual_seed(1)
    model = getattr(transformers, f"{family}ForCausalLM")(getattr(transformers, f"{family}Config")(**SHAPE, **extra)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("dt_bias"):  # far from the least step, to which transformers limits prompts and not what follows
                tensor.copy_(1 + 0.1 * torch.randn_like(tensor))
            elif tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn_like(tensor))
            else:
                tensor.copy_((1 if "embed" in name else 0.25) * torch.randn_like(tensor))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    config = load_config(str(folder))
    return config, StoredWeights(Safetensors(folder), config), model, 64 if family == "Qwen3Next" else 24


def test_reference_and_wafer_give_the_tokens_of_transformers(tiny):
    compare_greedily(*tiny, grid=(6, 4))
