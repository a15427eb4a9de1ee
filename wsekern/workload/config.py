"""The shape of a model, and the counts of weights and cached elements that follow from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from wsekern.errors import check_flag, check_flags
from wsekern.hashed import HashedOnce
from wsekern.shown import Shown
from wsekern.workload.decoder import Attention, Block, FeedForward, LatentAttention, Mixture, Norm, Recurrent, Rotary


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelConfig(HashedOnce, Shown):
    """A decoder: ``blocks`` between an embedding and an LM head. All sizes are element counts.

    ``embedding_size``: width of the embedding where a projection stands behind it; 0: ``hidden``. ``learned_positions``: rows
    of a table that is added to the embedding. ``embedding_scale`` multiplies embeddings, ``logits_scale`` logits, and a cap of
    c turns a logit into c tanh(logit / c).
    """

    name: str
    architecture: str
    hidden: int
    vocab: int
    max_context: int
    blocks: tuple[Block, ...]
    final_norm: Norm | None = field(default_factory=Norm)
    tied_embeddings: bool = False
    embedding_size: int = 0
    embedding_norm: Norm | None = None
    embedding_scale: float = 1.0
    learned_positions: int = 0
    head_bias: bool = False
    logits_scale: float = 1.0
    logits_softcap: float = 0.0
    extra: int = 0  # weights of anything else outside the blocks
    extra_tables: int = 0  # weights of further tables, of which a token reads one row each (Gemma 3n)
    sorted_sampling: bool = True  # its generation_config truncates by top-p or top-k, which sorts the logits
    draft_layers: int = 0  # layers that predict tokens ahead (multi-token prediction), not counted in layers
    quantization: str = ""  # how the checkpoint is stored, where config.json says so (fp8, mxfp4, ...)
    weight_format: str = ""  # number format of the stored weights (bf16, fp8, int4, ...), where config.json says so
    kept: tuple[tuple[str, str], ...] = ()  # parts in another (attention, recurrent, shared, dense), and which

    def __post_init__(self) -> None:
        check_flags(self)

    def _facts(self) -> dict[str, Any]:
        return {"name": self.name, "architecture": self.architecture, "layers": self.layers, "hidden": self.hidden,
                "heads": self.heads, "kv_heads": self.kv_heads, "vocab": self.vocab, "max_context": self.max_context,
                "parameters": self.parameters, "weight_format": self.weight_format or "not stated"}

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of what tells models apart; reckoned once, because models are keys of many caches."""
        return hash((self.name, self.architecture, self.hidden, self.vocab, self.blocks))

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @cached_property
    def kinds(self) -> tuple[tuple[Block, int], ...]:
        """Blocks that differ, and how many there are of each, in the order of their first one."""
        counts: dict[Block, int] = {}
        for block in self.blocks:
            counts[block] = counts.get(block, 0) + 1
        return tuple(counts.items())

    def _mixers(self) -> Iterator[tuple[Attention | LatentAttention | Recurrent, int]]:
        for block, count in self.kinds:
            for mixer in block.mixers:
                yield mixer, count

    @cached_property
    def attention(self) -> Attention | LatentAttention | None:
        """The first block's attention that has one."""
        return next((mixer for mixer, _ in self._mixers() if not isinstance(mixer, Recurrent)), None)

    @cached_property
    def latent(self) -> bool:
        """Whether it has latent attention."""
        return isinstance(self.attention, LatentAttention)

    @cached_property
    def heads(self) -> int:
        """Query heads of a layer; of the state, where no layer has attention; 1 where there are no heads."""
        return max((mixer.value_heads if isinstance(mixer, Recurrent) else mixer.heads for mixer, _ in self._mixers()),
                   default=1)

    @cached_property
    def kv_heads(self) -> int:
        """Heads that the cache can be split by: fewest key-value heads of a layer; 1 with latent attention."""
        return min((mixer.kv_heads for mixer, _ in self._mixers() if isinstance(mixer, Attention)), default=1)

    @cached_property
    def mixture(self) -> Mixture | None:
        """The first mixture of experts, if there is one."""
        return next((block.mixture for block, _ in self.kinds if block.mixture), None)

    @cached_property
    def mixtures(self) -> int:
        """Number of blocks with a mixture of experts."""
        return sum(count for block, count in self.kinds if block.mixture)

    @cached_property
    def recurrents(self) -> int:
        """Number of blocks that keep a state."""
        return sum(count for mixer, count in self._mixers() if isinstance(mixer, Recurrent))

    @property
    def kv_elements_per_token(self) -> int:
        """Cached elements per token over all layers."""
        return sum(block.cached * count for block, count in self.kinds)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the token embedding."""
        return self.vocab * (self.embedding_size or self.hidden)

    @property
    def head_parameters(self) -> int:
        """Weights of the LM head."""
        return self.embedding_parameters

    @property
    def _outer(self) -> int:
        """Weights outside the blocks that every token uses, the LM head left out."""
        projections = 2 * self.embedding_size * self.hidden
        return projections + self.extra

    @property
    def parameters(self) -> int:
        """All matrix weights (norm gains and biases left out: under 0.1 %)."""
        blocks = sum(block.parameters(self.hidden) * count for block, count in self.kinds)
        tables = self.embedding_parameters * (1 if self.tied_embeddings else 2)
        return blocks + tables + self.extra_tables + self.learned_positions * self.hidden + self._outer

    @property
    def active_parameters(self) -> int:
        """Weights used for one token (chosen and shared experts only; the LM head, not the embedding)."""
        blocks = sum(block.active_parameters(self.hidden) * count for block, count in self.kinds)
        return blocks + self.head_parameters + self._outer


def uniform(*, name: str = "model", architecture: str = "LlamaForCausalLM", layers: int, hidden: int, heads: int,
            kv_heads: int, head_dim: int, ffn: int, vocab: int, max_context: int, biases: str = "", mlp_bias: bool = False,
            qk_norm: bool = False, windows: tuple[int, ...] = (), eps: float = 1e-5, theta: float = 10_000.0,
            tied_embeddings: bool = False) -> ModelConfig:
    """A model of Llama's shape: equal blocks of grouped-query attention and a gated feed-forward part of width ``ffn``, with a
    root-mean-square norm before each. ``windows``: of each layer, tokens that it looks back over, 0 for all."""
    norm, qk_norm = Norm(eps=eps), check_flag(qk_norm, "qk_norm of a model")
    feed = FeedForward(width=ffn, bias=check_flag(mlp_bias, "mlp_bias of a model"))

    def block(window: int) -> Block:
        mixer = Attention(heads=heads, kv_heads=kv_heads, head_dim=head_dim, biases=biases, norm=norm if qk_norm else None,
                          window=window, rotary=Rotary(size=head_dim, theta=theta, context=max_context))
        return Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm)

    return ModelConfig(name=name, architecture=architecture, hidden=hidden, vocab=vocab, max_context=max_context,
                       blocks=tuple(block(window) for window in windows or (0,) * layers), final_norm=norm,
                       tied_embeddings=tied_embeddings)
