"""The sample model in PyTorch, for training only: module names and arithmetic of Hugging Face's LlamaForCausalLM."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. Every one is a multiple of 16, so that it tiles evenly over a mesh of PEs."""

    vocab: int = 2048
    hidden: int = 128
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 16
    intermediate: int = 384
    positions: int = 512
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5  # as shipped


RESIDUAL_SCALE = 0.25
"""The shipped residual stream over the trained one, see `wsekern.sample.loop.float16_weights`."""


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding, each [positions, head_dim]."""
    frequency = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    angle = torch.outer(torch.arange(shape.positions), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate x [batch, heads, length, head_dim]; element i pairs with element i + head_dim / 2."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head_dim, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.hidden, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """x [batch, length, hidden] -> [batch, length, hidden]."""
        query, key, value = (
            projection(x).unflatten(-1, (-1, self.shape.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(-2))


class GatedMlp(nn.Module):
    """SwiGLU feed-forward network."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, length, hidden] -> [batch, length, hidden]."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One transformer layer: normalised attention and feed-forward, each added to the residual stream."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.norm_eps)
        self.mlp = GatedMlp(shape)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """x [batch, length, hidden] -> [batch, length, hidden]."""
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embedding, layers and last norm."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.norm_eps)


class Llama(nn.Module):
    """The whole model; the embedding is also the output matrix. Its state_dict has Hugging Face's tensor names.

    ``residual_scale`` 1 gives the shipped model; in training the residual stream is larger, and so is the norms' eps.
    """

    def __init__(self, shape: Shape, residual_scale: float = RESIDUAL_SCALE):
        super().__init__()
        self.model = Trunk(replace(shape, norm_eps=shape.norm_eps / residual_scale**2))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.05 if "embed" in name else shape.hidden**-0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
        cosine, sine = rotary_table(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [batch, length] -> logits [batch, length, vocab]."""
        cosine, sine = self.cosine[: tokens.shape[1]], self.sine[: tokens.shape[1]]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, cosine, sine)
        return functional.linear(self.model.norm(x), self.model.embed_tokens.weight)

    def loss(self, window: Tensor) -> Tensor:
        """Mean cross-entropy (nats per token) of window [batch, length + 1]."""
        logits = self(window[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
