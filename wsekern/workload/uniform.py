"""Numbers of a model whose blocks are alike, as if it had one kind only. On its way out: callers are to look at the blocks."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from wsekern.workload.decoder import Attention, FeedForward, LatentAttention, Mixture, Recurrent, Rotary

if TYPE_CHECKING:
    from wsekern.workload.decoder import Block


class Uniform:
    """What the first block that has a part says of it."""

    blocks: "tuple[Block, ...]"
    max_context: int

    @cached_property
    def _attention(self) -> Attention:
        found = (block.mixer for block in self.blocks if isinstance(block.mixer, Attention))
        return next(found, Attention(heads=1, kv_heads=1, head_dim=2))

    @cached_property
    def _feed(self) -> FeedForward:
        return next((block.feed for block in self.blocks if isinstance(block.feed, FeedForward)), FeedForward(width=0))

    @cached_property
    def _mixture(self) -> Mixture:
        none = FeedForward(width=0)
        return next((block.mixture for block in self.blocks if block.mixture), Mixture(experts=0, chosen=0, expert=none))

    @property
    def head_dim(self) -> int:
        return self._attention.head_dim

    @property
    def q_size(self) -> int:
        return self._attention.q_size

    @property
    def kv_size(self) -> int:
        return self._attention.kv_size

    @property
    def ffn(self) -> int:
        return self._feed.width if self._feed.gated else round(self._feed.width * 2 / 3)

    @property
    def activation(self) -> str:
        return self._feed.activation

    @property
    def mlp_bias(self) -> bool:
        return self._feed.bias

    @property
    def attention_bias(self) -> bool:
        return "q" in self._attention.biases

    @property
    def output_bias(self) -> bool:
        return "o" in self._attention.biases

    @property
    def qk_norm(self) -> bool:
        return self._attention.norm is not None

    @property
    def rms_eps(self) -> float:
        norm = self.blocks[0].before_mixer
        return norm.eps if norm else 1e-6

    @property
    def rotary(self) -> Rotary:
        return self._attention.rotary or Rotary(size=self.head_dim)

    def window(self, layer: int) -> int:
        """Tokens, itself included, that ``layer`` looks back over."""
        mixer: Any = self.blocks[layer].mixer
        return mixer.reach or self.max_context

    @cached_property
    def sliding_layers(self) -> int:
        return sum(1 for block in self.blocks if getattr(block.mixer, "reach", 0))

    @property
    def experts(self) -> int:
        return self._mixture.experts

    @property
    def experts_per_token(self) -> int:
        return self._mixture.chosen

    @property
    def expert_ffn(self) -> int:
        return self._mixture.expert.width

    @property
    def shared_expert_ffn(self) -> int:
        return self._mixture.shared.width if self._mixture.shared else 0

    @cached_property
    def moe_layers(self) -> int:
        return sum(1 for block in self.blocks if block.mixture)

    @property
    def dense_layers(self) -> int:
        return len(self.blocks) - self.moe_layers

    @property
    def sliding_window(self) -> int:
        return max((getattr(block.mixer, "reach", 0) for block in self.blocks), default=0)

    @property
    def attention_gate(self) -> bool:
        return self._attention.gate

    @cached_property
    def _latent(self) -> LatentAttention:
        none = LatentAttention(heads=1, q_rank=0, kv_rank=0, nope_dim=0, rope_dim=0, value_dim=0)
        return next((block.mixer for block in self.blocks if isinstance(block.mixer, LatentAttention)), none)

    @property
    def q_lora_rank(self) -> int:
        return self._latent.q_rank

    @property
    def kv_lora_rank(self) -> int:
        return self._latent.kv_rank

    @property
    def qk_nope_head_dim(self) -> int:
        return self._latent.nope_dim

    @property
    def qk_rope_head_dim(self) -> int:
        return self._latent.rope_dim

    @property
    def v_head_dim(self) -> int:
        return self._latent.value_dim

    @cached_property
    def _recurrent(self) -> Recurrent:
        none = Recurrent(kind="", key_heads=0, key_dim=0, value_heads=0, value_dim=0, matrices=())
        return next((block.mixer for block in self.blocks if isinstance(block.mixer, Recurrent)), none)

    @cached_property
    def linear_layers(self) -> int:
        return sum(1 for block in self.blocks if isinstance(block.mixer, Recurrent))

    @property
    def linear_key_size(self) -> int:
        return self._recurrent.key_size

    @property
    def linear_value_size(self) -> int:
        return self._recurrent.value_size

    @property
    def linear_state(self) -> int:
        return self._recurrent.state
