"""A small random model, made without any library but numpy."""

import numpy as np
import pytest

from wsekern.workload import ModelConfig, uniform
from wsekern.workload.weights.weights import Weights


def random_model(heads=4, kv_heads=2, head_dim=8, hidden=32, ffn=48, vocab=96, layers=2, bias=False, qk_norm=False,
                 tied=False, every_bias=False, windows=(), seed=0) -> tuple[ModelConfig, Weights]:
    """Shape and random weights of a Llama-like model."""
    random = np.random.default_rng(seed)
    config = uniform(name="tiny", layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=ffn,
                     vocab=vocab, max_context=128, biases="qkvo" if every_bias else "qkv" if bias else "", mlp_bias=every_bias,
                     qk_norm=qk_norm, tied_embeddings=tied, windows=windows)

    def matrix(inputs: int, outputs: int, scale: float = 1.0) -> np.ndarray:
        return (scale * random.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)

    def vector(size: int) -> np.ndarray:
        return (1 + 0.1 * random.standard_normal(size)).astype(np.float32)

    def layer() -> dict[str, np.ndarray]:
        extra = {}
        attention = config.attention
        q, kv = attention.q_size, attention.kv_size
        if bias or every_bias:
            extra |= dict(q_bias=vector(q), k_bias=vector(kv), v_bias=vector(kv))
        if every_bias:
            extra |= dict(o_bias=vector(hidden), gate_bias=vector(ffn), up_bias=vector(ffn), down_bias=vector(hidden))
        if qk_norm:
            extra |= dict(q_norm=vector(head_dim), k_norm=vector(head_dim))
        return dict(
            before_mixer=vector(hidden), q=matrix(hidden, q, 3), k=matrix(hidden, kv, 3), v=matrix(hidden, kv),
            o=matrix(q, hidden), before_feed=vector(hidden), gate=matrix(hidden, ffn), up=matrix(hidden, ffn),
            down=matrix(ffn, hidden), **extra)

    embedding = matrix(vocab, hidden, 5)
    head = embedding.T if tied else matrix(hidden, vocab)
    blocks = [layer() for _ in range(layers)]
    return config, Weights(blocks, dict(embedding=embedding, norm=vector(hidden), head=head))


@pytest.fixture
def make_model():
    """The maker of random models."""
    return random_model
