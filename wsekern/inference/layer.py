"""The steps of a forward pass, in order, with their sizes: executed with values or for their time alone.

A chunk of ``tokens`` (one in decode) passes through every layer; weights stay where they are. Operations follow the
published wafer decode (WaferLLM, OSDI'25: ten all-reduces per layer, axes alternating), with real heads, grouped
queries, a causal mask and a cache that grows.
"""

from wsekern.inference.blocks.attention import attention_cache, attention_steps, attention_tiles
from wsekern.inference.blocks.common import all_reduce, rms_norm
from wsekern.inference.blocks.experts import expert_steps
from wsekern.inference.blocks.feed_forward import feed_forward_steps, feed_forward_tiles
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Steps, Values, last, pick, stack
from wsekern.inference.weights import TileCutter
from wsekern.ops import Broadcast, Gemm
from wsekern.workload.checkpoint import LayerWeights


def layer_steps(mapping: Mapping, tokens: int, slots: int, experts: bool = False) -> Steps:
    """One layer for a chunk of ``tokens`` while every row keeps ``slots`` positions of the cache; ``experts``: a MoE layer.

    It takes ``x`` (tokens, hidden) along y, and leaves it.
    """
    feed_forward = expert_steps(mapping, tokens) if experts else feed_forward_steps(mapping, tokens)
    return [*rms_norm(mapping, "attention", tokens, "weights.attention_norm"), *attention_steps(mapping, tokens, slots),
            *rms_norm(mapping, "ffn", tokens, "weights.ffn_norm"), *feed_forward]


def layer_tiles(mapping: Mapping, weights: LayerWeights, index: int) -> Values:
    """The weights of layer ``index`` on the grid, by the names that its steps read; norms (hidden) lie along y."""
    where = f"layer {index}"
    cutter, hidden = TileCutter(mapping, where), mapping.index_y(mapping.config.hidden)
    return {"weights.attention_norm": cutter.along_y(weights.attention_norm, hidden),
            **attention_tiles(mapping, weights, where),
            "weights.ffn_norm": cutter.along_y(weights.ffn_norm, hidden),
            **feed_forward_tiles(mapping, weights, where)}


def layer_cache(mapping: Mapping) -> dict[str, tuple[int, ...]]:
    """What a layer keeps between tokens: name -> shape of its tile."""
    return attention_cache(mapping)


def embedding_steps(mapping: Mapping, tokens: list[int]) -> Steps:
    """Fetch one embedding per token: the column that keeps it sends its pieces along the rows. Leaves ``x``."""
    names = [f"embedded_{index}" for index in range(len(tokens))]
    fetch = [LayerStep("embedding", "embed", Broadcast(mapping.hidden, "x", root=token // mapping.vocab), (name,), name)
             for name, token in zip(names, tokens, strict=True)]
    return [pick("model.embedding", names, 1, [token % mapping.vocab for token in tokens]), *fetch, stack(names, "x", 0)]


def head_steps(mapping: Mapping) -> Steps:
    """Final norm and LM head of the last token of ``x``. Leaves ``logits`` (1, vocab) along x."""
    return [last("x", "x", 0), *rms_norm(mapping, "head", 1, "model.norm"),
            LayerStep("head", "logits", Gemm(1, mapping.hidden, mapping.vocab), ("h", "model.head"), "logits"),
            LayerStep("head", "logits_reduce", all_reduce(mapping, mapping.vocab, "y"), ("logits",), "logits")]
