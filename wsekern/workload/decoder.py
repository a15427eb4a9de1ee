"""What a decoder is made of: blocks, each of stated kinds. One description for both sides and for execution.

A block is a mixer (attention
                    or a recurrent one), a feed-forward part, or both, with the norms around them. All sizes are element
counts. Every class counts the weights of its matrices (``parameters``: norm gains and biases are left out,
                                                        under 0.1 %) and those
that one token uses (``active_parameters``), for residual streams of ``hidden`` elements.
"""

from dataclasses import dataclass
from typing import Any, Literal

Activation = Literal["silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "relu2", "xielu", "clamped_silu"]
"""Of feed-forward parts: GELU by the error function, by tanh (``gelu_new``, ``gelu_pytorch_tanh``), or as x sigmoid(1.702 x);
ReLU squared; xIELU (arXiv 2411.13010) has numbers that are learned; ``clamped_silu`` is that of gpt-oss, both halves limited
and the plain one plus 1."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Root-mean-square norm or layer norm; ``offset`` is added to the stored gain (Gemma: 1)."""

    kind: Literal["rms", "layer"] = "rms"
    eps: float = 1e-6
    gain: bool = True
    bias: bool = False
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary embedding of the first ``size`` features of a head; ``scaling``: the items of a ``rope_parameters`` table.

    ``neighbors``: feature 2 d turns with 2 d + 1 (GPT-J, Cohere, GLM, DeepSeek) instead of d with d + size / 2. ``backwards``:
    by the negative angle (NanoChat). ``context`` is ``max_position_embeddings``, which some kinds of scaling start from.
    """

    size: int
    theta: float = 10_000.0
    scaling: tuple[tuple[str, Any], ...] = ()
    neighbors: bool = False
    backwards: bool = False
    context: int = 0


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """A light attention of its own that chooses the ``chosen`` tokens which the main one reads (DeepSeek sparse attention).

    ``shared``: there is none in this layer, which reads the choice of the nearest one before it (GLM-5.2).
    """

    heads: int
    head_dim: int
    chosen: int
    query_rank: int = 0  # width of the compressed queries that it reads; 0: the residual stream
    shared: bool = False

    @property
    def cached(self) -> int:
        """Elements kept of every token."""
        return 0 if self.shared else self.head_dim

    def parameters(self, hidden: int) -> int:
        """Weights of queries, the one key, and the weight of each head."""
        if self.shared:
            return 0
        return self.heads * self.head_dim * (self.query_rank or hidden) + hidden * (self.head_dim + self.heads)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Grouped-query attention.

    ``window``: tokens, itself included, that a token looks back over (0: all); ``chunk``: it sees those of its own chunk only.
    ``biases``: which of q, k, v, o have one. ``norm``: of queries and keys, of each head (``norm_apart``: with gains of its
    own) or (``norm_whole``) of all heads together, before the rotation unless ``norm_late``. ``scale``: of scores, 0 for 1 /
    sqrt(head_dim). ``gate``: outputs are multiplied by the sigmoid of a projection as wide as the queries. ``cache_of``: the
    layer (its distance back) whose keys and values are read; 0: its own. ``alibi``: what ALiBi's slopes are multiplied by, 0:
    there is none. ``temperature``: (strength, positions, first): queries of far positions grow with the logarithm of their
    position, counted from ``first`` on: 1 (Llama 4) or 0 (Ministral 3). ``clip``: queries, keys and values are limited to it.
    ``q_rank``: queries are compressed to it first; ``o_rank``: so is the output, each of ``o_groups`` by itself.
    ``compression``: beyond the window, keys and values of that many tokens become one (DeepSeek-V4); 1: none.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int = 0  # features of a value head; 0: as many as a key head
    rotary: Rotary | None = None
    window: int = 0
    chunk: int = 0
    biases: str = ""
    norm: Norm | None = None
    norm_whole: bool = False
    norm_late: bool = False
    norm_apart: bool = False
    value_norm: Norm | None = None
    scale: float = 0.0
    softcap: float = 0.0
    sinks: bool = False
    gate: bool = False
    alibi: float = 0.0
    values_are_keys: bool = False
    cache_of: int = 0
    temperature: tuple[float, int, int] | None = None
    clip: float = 0.0
    q_rank: int = 0
    o_rank: int = 0
    o_groups: int = 1
    compression: int = 1
    indexer: Indexer | None = None

    @property
    def q_size(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key heads."""
        return self.kv_heads * self.head_dim

    @property
    def value_size(self) -> int:
        """Width of all value heads."""
        return self.kv_heads * (self.value_dim or self.head_dim)

    @property
    def output_size(self) -> int:
        """Width of what the output projection reads."""
        return self.heads * (self.value_dim or self.head_dim)

    @property
    def cached(self) -> int:
        """Elements kept of every token."""
        own = self.kv_size + (0 if self.values_are_keys and self.compression > 1 else self.value_size)
        own += self.indexer.cached if self.indexer else 0
        return 0 if self.cache_of else own // self.compression

    @property
    def reach(self) -> int:
        """Tokens that one looks back over at most; 0: all."""
        return min((size for size in (self.window, self.chunk) if size), default=0)

    def parameters(self, hidden: int) -> int:
        """Weights of the projections."""
        own = 0 if self.cache_of else self.kv_size + (0 if self.values_are_keys else self.value_size)
        gate = self.output_size if self.gate else 0
        indexer = self.indexer.parameters(hidden) if self.indexer else 0
        query = self.q_rank * (hidden + self.q_size) if self.q_rank else hidden * self.q_size
        output = self.o_rank * (self.output_size + self.o_groups * hidden) if self.o_rank else self.output_size * hidden
        return query + hidden * (own + gate) + output + indexer


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek): all heads read one compressed cache of ``kv_rank`` + ``rope_dim`` elements."""

    heads: int
    q_rank: int  # 0: queries are not compressed
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    rotary: Rotary | None = None
    norm: Norm | None = None  # of the compressed queries, keys and values
    scale: float = 0.0  # 0 for 1 / sqrt(nope_dim + rope_dim)
    biases: str = ""
    window: int = 0
    indexer: Indexer | None = None

    @property
    def query_dim(self) -> int:
        """Features of a query head."""
        return self.nope_dim + self.rope_dim

    @property
    def latent(self) -> int:
        """Width of the compressed keys and values with the rotated part."""
        return self.kv_rank + self.rope_dim

    @property
    def cached(self) -> int:
        """Elements kept of every token."""
        return self.latent + (self.indexer.cached if self.indexer else 0)

    @property
    def reach(self) -> int:
        """Tokens that one looks back over at most; 0: all."""
        return self.window

    def parameters(self, hidden: int) -> int:
        """Weights of the projections."""
        queries = self.heads * self.query_dim
        query = hidden * self.q_rank + self.q_rank * queries if self.q_rank else hidden * queries
        expand = self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
        indexer = self.indexer.parameters(hidden) if self.indexer else 0
        return query + hidden * self.latent + expand + self.heads * self.value_dim * hidden + indexer


@dataclass(frozen=True, kw_only=True)
class Recurrent:
    """A mixer that keeps a state of fixed size instead of a cache.

    ``kind``: ``gated_delta`` (Qwen3-Next), ``kimi_delta`` (a decay for each feature), ``lightning`` (MiniMax-01), ``mamba2``,
    ``mamba``, ``short_convolution`` (LFM2), ``rg_lru`` (RecurrentGemma), ``rwkv``. The state is ``value_heads`` x ``key_dim`` x
    ``value_dim``; ``kernel`` tokens are convolved over ``convolved`` elements; ``matrices`` are its weights, ``(inputs,
                                                                                                                 outputs)``
    each, with the residual stream as 0.
    """

    kind: str
    key_heads: int
    key_dim: int
    value_heads: int
    value_dim: int
    matrices: tuple[tuple[int, int], ...]
    kernel: int = 0
    convolved: int = 0
    norm: Norm | None = None
    bias: bool = False

    @property
    def key_size(self) -> int:
        """Width of all key heads."""
        return self.key_heads * self.key_dim

    @property
    def value_size(self) -> int:
        """Width of all value heads."""
        return self.value_heads * self.value_dim

    @property
    def state(self) -> int:
        """Elements of the state of one sequence, the convolution's tail left out."""
        return self.value_heads * self.key_dim * self.value_dim

    @property
    def cached(self) -> int:
        """Elements kept of every token: none."""
        return 0

    def parameters(self, hidden: int) -> int:
        """Weights of the projections and of the convolution."""
        return sum((inputs or hidden) * (outputs or hidden) for inputs, outputs in self.matrices) + self.kernel * self.convolved


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Two matrices, or three where it is ``gated``: the gate's activation times the other one. ``limit`` as in gpt-oss."""

    width: int
    gated: bool = True
    activation: Activation = "silu"
    bias: bool = False
    limit: float = 0.0

    def parameters(self, hidden: int) -> int:
        """Weights of all matrices."""
        return (3 if self.gated else 2) * hidden * self.width

    def active_parameters(self, hidden: int) -> int:
        """Weights used for one token."""
        return self.parameters(hidden)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of ``experts``, of which each token takes ``chosen``; all tokens take ``shared``, and ``dense`` runs beside.

    ``scores``: ``softmax`` over all experts, ``softmax_chosen`` over those chosen, or ``sigmoid``; ``sparse_mixer`` (Phi-MoE):
    the share of each chosen one is the softmax over those left that are within ``nearness`` of it, as a part of the larger of
    its score and theirs without sign. The shares are divided by their sum (``normalized``) and multiplied by ``scale``.
    ``correction``: a bias that takes part in choosing only.
    Experts in ``groups``: only the ``groups_chosen`` best groups are looked at, judged by their best (``group_best``) experts.
    ``latent``: experts work on a projection of the residual stream of that width. ``shared_gate``: the shared expert's output
    is multiplied by the sigmoid of a score. ``early``: shares multiply the inputs of experts, not their outputs (Llama 4).
    """

    experts: int
    chosen: int
    expert: FeedForward
    shared: FeedForward | None = None
    dense: FeedForward | None = None
    shared_gate: bool = False
    scores: Literal["softmax", "softmax_chosen", "sigmoid", "sqrt_softplus", "sparse_mixer"] = "softmax"
    normalized: bool = False
    nearness: float = 0.0
    scale: float = 1.0
    correction: bool = False
    groups: int = 1
    groups_chosen: int = 1
    group_best: int = 2
    router_bias: bool = False
    latent: int = 0
    early: bool = False

    def _beside(self, hidden: int) -> int:
        """Weights that every token uses: router, shared and dense parts, and the projections around experts."""
        parts = sum(part.parameters(hidden) for part in (self.shared, self.dense) if part is not None)
        return parts + hidden * self.experts + (hidden if self.shared_gate else 0) + 2 * hidden * self.latent

    def parameters(self, hidden: int) -> int:
        """Weights of the router and of all experts."""
        return self._beside(hidden) + self.experts * self.expert.parameters(self.latent or hidden)

    def active_parameters(self, hidden: int) -> int:
        """Weights used for one token."""
        return self._beside(hidden) + self.chosen * self.expert.parameters(self.latent or hidden)


Mixer = Attention | LatentAttention | Recurrent


@dataclass(frozen=True, kw_only=True)
class Block:
    """One layer: ``x`` + mixer(norm(x)), then ``x`` + feed(norm(x)); either part may be missing.

    Norms stand before a part, behind it (before its sum with ``x``; ``behind_sum``: behind that), or both. ``parallel``: both
    parts read the ``x`` of the start; without a norm of its own the feed-forward part shares the mixer's. ``beside``: a second
    mixer whose output is added to the first one's (Falcon-H1). ``residual`` multiplies what is added to ``x`` (Granite).
    ``extra``: weights of the rest. ``repeats``: its matrices are those of an earlier block (Zamba 2). ``multipliers``: what
    else is scaled, by the names of ``config.json`` (Falcon-H1).
    """

    mixer: Mixer | None = None
    feed: FeedForward | Mixture | None = None
    beside: Recurrent | None = None
    before_mixer: Norm | None = None
    after_mixer: Norm | None = None
    before_feed: Norm | None = None
    after_feed: Norm | None = None
    behind_sum: bool = False
    parallel: bool = False
    residual: float = 1.0
    extra: int = 0
    repeats: bool = False
    multipliers: tuple[tuple[str, Any], ...] = ()
    scaled: bool = False  # behind it ``x`` is multiplied by a number that is learned (Gemma 4)

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The mixer, and what runs beside it."""
        return tuple(part for part in (self.mixer, self.beside) if part is not None)

    @property
    def mixture(self) -> Mixture | None:
        """The feed-forward part, if it is a mixture of experts."""
        return self.feed if isinstance(self.feed, Mixture) else None

    @property
    def cached(self) -> int:
        """Elements kept of every token."""
        return sum(mixer.cached for mixer in self.mixers)

    def parameters(self, hidden: int) -> int:
        """Weights of the block's matrices."""
        if self.repeats:
            return self.extra
        parts = sum(mixer.parameters(hidden) for mixer in self.mixers) + self.extra
        return parts + (self.feed.parameters(hidden) if self.feed else 0)

    def active_parameters(self, hidden: int) -> int:
        """Weights used for one token."""
        parts = sum(mixer.parameters(hidden) for mixer in self.mixers) + self.extra
        return parts + (self.feed.active_parameters(hidden) if self.feed else 0)
