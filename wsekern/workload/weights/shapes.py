"""Which weights a described model has, and the shape of each: what a checkpoint must hold and a test may make up.

Matrices are (inputs, outputs); those of experts have the expert in front. Biases and norm gains are vectors. The sigmoid gate
on attention's outputs is ``attention_gate``; ``gate`` is that of the feed-forward part. The weights of a second mixer begin
with ``beside.``.
"""

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import (
    Attention,
    Block,
    FeedForward,
    Indexer,
    LatentAttention,
    Mixer,
    Mixture,
    Norm,
    Recurrent,
)

Shapes = dict[str, tuple[int, ...]]
"""Name of a weight -> its shape."""

OPTIONAL = ("index_k_norm_bias", "conv_bias", "in_z_bias", "in_x_bias", "in_B_bias", "in_C_bias", "in_dt_bias", "beta",
            "eps")
"""Vectors that the description does not settle: read where the checkpoint has them."""

NORMS = ("before_mixer", "after_mixer", "before_feed", "after_feed")
"""Norms around the parts of a block: fields of it, and names of weights."""


def block_shapes(block: Block, hidden: int) -> Shapes:
    """Weights of one block."""
    shapes: Shapes = {}
    for name in NORMS:
        shapes |= _norm(name, getattr(block, name), hidden)
    if block.scaled:
        shapes["scalar"] = (1,)
    if block.mixer is not None:
        shapes |= mixer_shapes(block.mixer, hidden)
    if block.beside is not None:
        shapes |= {f"beside.{name}": shape for name, shape in mixer_shapes(block.beside, hidden).items()}
    if isinstance(block.feed, Mixture):
        shapes |= _mixture(block.feed, hidden)
    elif block.feed is not None:
        shapes |= _feed(block.feed, hidden)
    return shapes


def outer_shapes(config: ModelConfig) -> Shapes:
    """Weights outside the blocks; of a tied model without its head."""
    hidden, width = config.hidden, config.embedding_size or config.hidden
    shapes: Shapes = {"embedding": (config.vocab, width), **_norm("norm", config.final_norm, hidden),
                      **_norm("embedding_norm", config.embedding_norm, hidden)}
    if config.learned_positions:
        shapes["positions"] = (config.learned_positions, hidden)
    if config.embedding_size and config.embedding_size != hidden:
        shapes |= {"project_in": (width, hidden), "project_out": (hidden, width)}
    if config.head_bias:
        shapes["head_bias"] = (config.vocab,)
    return shapes if config.tied_embeddings else {**shapes, "head": (width, config.vocab)}


def mixer_shapes(mixer: Mixer, hidden: int) -> Shapes:
    """Weights of one mixer."""
    if isinstance(mixer, Recurrent):
        return _recurrent(mixer, hidden)
    return _latent(mixer, hidden) if isinstance(mixer, LatentAttention) else _attention(mixer, hidden)


def _norm(name: str, norm: Norm | None, size: int) -> Shapes:
    """Gain and bias of a norm over ``size`` elements."""
    if norm is None:
        return {}
    return ({name: (size,)} if norm.gain else {}) | ({f"{name}_bias": (size,)} if norm.bias else {})


def _attention(mixer: Attention, hidden: int) -> Shapes:
    shapes: Shapes = {"q": (hidden, mixer.q_size), "o": (mixer.output_size, hidden)}
    if not mixer.cache_of:
        shapes["k"] = (hidden, mixer.kv_size)
        if not mixer.values_are_keys:
            shapes["v"] = (hidden, mixer.value_size)
    shapes |= {f"{name}_bias": shapes[name][1:] for name in mixer.biases if name in shapes}
    shapes |= _head_norm(mixer, "q_norm", mixer.heads)
    if not mixer.cache_of:
        shapes |= _head_norm(mixer, "k_norm", mixer.kv_heads)
        shapes |= _norm("v_norm", mixer.value_norm, mixer.value_dim or mixer.head_dim)
    if mixer.sinks:
        shapes["sinks"] = (mixer.heads,)
    if mixer.gate:
        shapes["attention_gate"] = (hidden, mixer.output_size)
    return shapes | _indexer(mixer.indexer, hidden)


def _head_norm(mixer: Attention, name: str, heads: int) -> Shapes:
    """Gain and bias of the norm of heads: of all together, one for each, or one that all have."""
    size = heads * mixer.head_dim if mixer.norm_whole else mixer.head_dim
    shapes = _norm(name, mixer.norm, size)
    return {part: (heads, size) for part in shapes} if mixer.norm_apart else shapes


def _latent(mixer: LatentAttention, hidden: int) -> Shapes:
    queries = mixer.heads * mixer.query_dim
    shapes: Shapes = {"kv_a": (hidden, mixer.latent), "o": (mixer.heads * mixer.value_dim, hidden),
                      "kv_b": (mixer.kv_rank, mixer.heads * (mixer.nope_dim + mixer.value_dim)),
                      **_norm("kv_a_norm", mixer.norm, mixer.kv_rank)}
    if mixer.q_rank:
        shapes |= {"q_a": (hidden, mixer.q_rank), "q_b": (mixer.q_rank, queries), **_norm("q_a_norm", mixer.norm, mixer.q_rank)}
    else:
        shapes["q"] = (hidden, queries)
    biased = [name for letter, name in (("q", "q_a"), ("k", "kv_a"), ("o", "o")) if letter in mixer.biases and name in shapes]
    return shapes | {f"{name}_bias": shapes[name][1:] for name in biased} | _indexer(mixer.indexer, hidden)


def _indexer(indexer: Indexer | None, hidden: int) -> Shapes:
    if indexer is None:
        return {}
    size = indexer.head_dim
    return {"index_q": (indexer.query_rank or hidden, indexer.heads * size), "index_k": (hidden, size),
            "index_k_norm": (size,), "index_k_norm_bias": (size,), "index_weights": (hidden, indexer.heads)}


def _recurrent(mixer: Recurrent, hidden: int) -> Shapes:
    """Weights of a gated delta rule, a Mamba-2 state or a short convolution; of other kinds none are known."""
    key, value, heads = mixer.key_size, mixer.value_size, mixer.value_heads
    shared: Shapes = {"conv": (mixer.convolved, mixer.kernel), "decay": (heads,), "dt_bias": (heads,), "o": (value, hidden)}
    if mixer.kind == "gated_delta":
        inputs = {"q": key, "k": key, "v": value, "z": value, "b": heads, "a": heads}
        rest: Shapes = {"state_norm": (mixer.value_dim,)}
    elif mixer.kind == "mamba2":
        inputs = {"z": value, "x": value, "B": key, "C": key, "dt": heads}
        rest = {"skip": (heads,), "conv_bias": (mixer.convolved,), **_norm("state_norm", mixer.norm, value)}
    elif mixer.kind == "short_convolution":
        inputs = dict.fromkeys(("B", "C", "x"), mixer.convolved)
        shared = {"conv": shared["conv"], "o": (mixer.convolved, hidden)}
        rest = {"conv_bias": (mixer.convolved,)} if mixer.bias else {}
    else:
        return {}
    if mixer.bias:
        rest |= {f"in_{name}_bias": (size,) for name, size in inputs.items()} | {"o_bias": (hidden,)}
    return {f"in_{name}": (hidden, size) for name, size in inputs.items()} | shared | rest


def _feed(feed: FeedForward, hidden: int, prefix: str = "") -> Shapes:
    shapes: Shapes = {f"{prefix}up": (hidden, feed.width), f"{prefix}down": (feed.width, hidden)}
    if feed.gated:
        shapes[f"{prefix}gate"] = (hidden, feed.width)
    learned = ("alpha_positive", "alpha_negative", "beta", "eps") if feed.activation == "xielu" else ()
    biases = {f"{name}_bias": shape[1:] for name, shape in shapes.items()} if feed.bias else {}
    return shapes | biases | {f"{prefix}{name}": (1,) for name in learned}


def _mixture(feed: Mixture, hidden: int) -> Shapes:
    experts = {name: (feed.experts, *shape) for name, shape in _feed(feed.expert, feed.latent or hidden, "experts_").items()}
    shapes: Shapes = {"router": (hidden, feed.experts), **experts}
    if feed.router_bias:
        shapes["router_bias"] = (feed.experts,)
    if feed.correction:
        shapes["correction"] = (feed.experts,)
    if feed.shared is not None:
        shapes |= _feed(feed.shared, hidden, "shared_")
    if feed.shared_gate:
        shapes["shared_router"] = (hidden, 1)
    if feed.dense is not None:
        shapes |= _feed(feed.dense, hidden, "dense_")
    if feed.latent:
        shapes |= {"latent_in": (hidden, feed.latent), "latent_out": (feed.latent, hidden)}
    return shapes
