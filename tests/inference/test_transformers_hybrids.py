"""Hybrids of attention and recurrent layers that `transformers` wrote give the same tokens and logits here."""

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
from wsekern.workload.decoder import Attention, Block, FeedForward, Mixture, Norm, Recurrent, Rotary  # noqa: E402
from wsekern.workload.tensors import Safetensors  # noqa: E402
from wsekern.workload.weights import StoredWeights  # noqa: E402

WSE3 = load_machine("wse3")
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=0)
QWEN = dict(head_dim=8, num_hidden_layers=4, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=12,
            shared_expert_intermediate_size=12, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
            linear_value_head_dim=6, partial_rotary_factor=0.5, norm_topk_prob=True)
CASES = {
    "qwen3-next": ("Qwen3Next", QWEN),
    "lfm2": ("Lfm2", dict(num_hidden_layers=3, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False)),
}


def qwen3_next() -> list[Block]:
    """Three layers of the delta rule and one of attention, each with a mixture of experts."""
    norm = Norm(offset=1.0)
    mixture = Mixture(experts=8, chosen=2, expert=FeedForward(width=12), shared=FeedForward(width=12), shared_gate=True,
                      normalized=True)
    delta = Recurrent(kind="gated_delta", key_heads=2, key_dim=8, value_heads=4, value_dim=6, kernel=4, convolved=56,
                      matrices=((0, 80), (0, 8), (24, 0)), norm=Norm())
    attention = Attention(heads=4, kv_heads=2, head_dim=8, norm=norm, gate=True, rotary=Rotary(size=4, context=128))
    return [Block(mixer=mixer, feed=mixture, before_mixer=norm, before_feed=norm) for mixer in (delta, delta, delta, attention)]


def lfm2() -> list[Block]:
    """Short convolutions around one layer of attention."""
    norm = Norm(eps=1e-5)
    convolution = Recurrent(kind="short_convolution", key_heads=1, key_dim=0, value_heads=1, value_dim=32, kernel=3,
                            convolved=32, matrices=((0, 96), (32, 0)))
    attention = Attention(heads=4, kv_heads=2, head_dim=8, norm=norm, rotary=Rotary(size=8, theta=1e6, context=128))
    feed = FeedForward(width=24)
    return [Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm)
            for mixer in (convolution, attention, convolution)]


DESCRIBED = {"Qwen3Next": (qwen3_next, False), "Lfm2": (lfm2, True)}


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(description, its weights, transformers model) of a tiny random model."""
    family, extra = CASES[request.param]
    torch.manual_seed(1)
    model = getattr(transformers, f"{family}ForCausalLM")(getattr(transformers, f"{family}Config")(**SHAPE, **extra)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif "embed" in name:
                tensor.copy_(torch.randn_like(tensor))
            else:
                tensor.copy_(0.25 * torch.randn_like(tensor))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    described, tied = DESCRIBED[family]
    blocks = tuple(described())
    config = ModelConfig(name=family, architecture=f"{family}ForCausalLM", hidden=32, vocab=96, max_context=128,
                         final_norm=blocks[0].before_mixer, blocks=blocks, tied_embeddings=tied)
    return config, StoredWeights(Safetensors(folder), config), model


def test_reference_and_wafer_give_the_tokens_of_transformers(tiny):
    (config, weights, model), prompt = tiny, [0, 17, 33, 50, 51, 7]
    expected, expected_logits = transformers_greedy(model, prompt, 64)
    reference = ReferenceModel(config, weights)
    tokens, logits = greedy(lambda t: reference.forward(t)[-1], prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 6, 4, "fp32", 80, 4))
    tokens, logits = greedy(lambda t: wafer.decode(t[0]) if len(t) == 1 else wafer.prefill(t), prompt, 64)
    assert tokens == expected
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
