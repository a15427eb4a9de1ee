"""Multi-head latent attention in plain numpy, float32, in its written form: keys and values of all heads are expanded."""

import numpy as np

from wsekern.inference.reference.attention import biased, norm, rotate
from wsekern.inference.reference.feed_forward import Activations
from wsekern.workload.decoder import LatentAttention
from wsekern.workload.rope import rotation

Weights = dict[str, np.ndarray]


def latent_attention(part: LatentAttention, weights: Weights, x: np.ndarray, cache: Weights, start: int,
                     activations: Activations) -> np.ndarray:
    """What the block adds for tokens ``x`` (tokens, hidden) from position ``start`` on. ``cache`` keeps ``latent``
    (positions, kv_rank) and ``rotated`` (positions, rope_dim), and grows."""
    now = start + np.arange(len(x))
    cos, sin = rotation(part.rotary, now) if part.rotary else (np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))
    q_nope, q_rope = np.split(_queries(part, weights, x), [part.nope_dim], axis=-1)
    latent, rotated = np.split(biased(x @ weights["kv_a"], weights.get("kv_a_bias")), [part.kv_rank], axis=-1)
    latent = norm(part.norm, latent, weights["kv_a_norm"])
    rotated = rotate(part.rotary, rotated[None], cos, sin)[0]
    latent, rotated = (np.concatenate([cache[name], new]) if name in cache else new
                       for name, new in (("latent", latent), ("rotated", rotated)))
    cache.update(latent=latent, rotated=rotated)
    k_nope, values = np.split((latent @ weights["kv_b"]).reshape(len(latent), part.heads, -1).swapaxes(0, 1),
                              [part.nope_dim], axis=-1)
    scores = q_nope @ k_nope.swapaxes(-1, -2) + rotate(part.rotary, q_rope, cos, sin) @ rotated.T
    position = np.arange(len(latent))
    seen = (position <= now[:, None]) & (position > now[:, None] - (part.window or len(latent)))
    scores = np.where(seen, scores * np.float32(part.scale or part.query_dim**-0.5), -np.inf)
    shares = activations.exp(scores - scores.max(-1, keepdims=True))
    out = (shares / shares.sum(-1, keepdims=True)) @ values
    return biased(out.swapaxes(0, 1).reshape(len(x), -1) @ weights["o"], weights.get("o_bias"))


def _queries(part: LatentAttention, weights: Weights, x: np.ndarray) -> np.ndarray:
    """Queries (heads, tokens, nope_dim + rope_dim), through the compressed ones where there are any."""
    if part.q_rank:
        compressed = norm(part.norm, biased(x @ weights["q_a"], weights.get("q_a_bias")), weights["q_a_norm"])
        queries = compressed @ weights["q_b"]
    else:
        queries = biased(x @ weights["q"], weights.get("q_bias"))
    return queries.reshape(len(x), part.heads, part.query_dim).swapaxes(0, 1)
