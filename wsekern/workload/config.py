"""The shape of a model, and the counts of weights and cached elements that follow from it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a decoder-only transformer. All sizes are element counts.

    Dense models leave the expert fields at zero; models without latent attention leave the MLA ranks at zero.
    """

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    max_context: int
    tied_embeddings: bool = False
    rms_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = field(default=None, hash=False)
    activation: str = "silu"  # of the gate of the feed-forward part
    attention_bias: bool = False  # of queries, keys and values
    output_bias: bool = False  # of the attention's output projection
    mlp_bias: bool = False  # of all three feed-forward projections
    qk_norm: bool = False
    sliding_window: int = 0
    sliding_layers: int = 0  # layers that look back over sliding_window tokens only
    layer_windows: tuple[int, ...] = ()  # of each layer: tokens that it looks back over, 0 for all; empty if all see all
    attention_gate: bool = False  # a gate of the width of the queries
    # linear attention (gated delta rule): some layers keep a state instead of a cache
    linear_layers: int = 0
    linear_key_size: int = 0
    linear_value_size: int = 0
    linear_state: int = 0
    # mixture of experts
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_expert_ffn: int = 0
    dense_layers: int = 0
    # multi-head latent attention (DeepSeek)
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    sorted_sampling: bool = True  # its generation_config truncates by top-p or top-k, which sorts the logits
    draft_layers: int = 0  # layers that predict tokens ahead (multi-token prediction), not counted in layers
    quantization: str = ""  # how the checkpoint is stored, where config.json says so (fp8, mxfp4, ...)
    weight_format: str = ""  # number format of the stored weights (bf16, fp8, int4, ...), where config.json says so

    @property
    def q_size(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key (or value) heads."""
        return self.kv_heads * self.head_dim

    def window(self, layer: int) -> int:
        """Tokens, itself included, that ``layer`` looks back over."""
        return (self.layer_windows[layer] if self.layer_windows else 0) or self.max_context

    @property
    def moe_layers(self) -> int:
        """Number of layers whose feed-forward part is a mixture of experts."""
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def kv_elements_per_token(self) -> int:
        """Cached elements per token over all layers."""
        per_layer = self.kv_lora_rank + self.qk_rope_head_dim if self.kv_lora_rank else 2 * self.kv_size
        return (self.layers - self.linear_layers) * per_layer

    @property
    def attention_parameters(self) -> int:
        """Weights of the attention projections of one layer."""
        if not self.kv_lora_rank:
            query = self.q_size * (2 if self.attention_gate else 1)
            return self.hidden * (query + 2 * self.kv_size) + self.q_size * self.hidden
        qk = self.qk_nope_head_dim + self.qk_rope_head_dim
        query = (self.hidden * self.q_lora_rank + self.q_lora_rank * self.heads * qk if self.q_lora_rank
                 else self.hidden * self.heads * qk)
        latent = self.hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
        expand = self.kv_lora_rank * self.heads * (self.qk_nope_head_dim + self.v_head_dim)
        return query + latent + expand + self.heads * self.v_head_dim * self.hidden

    @property
    def linear_parameters(self) -> int:
        """Weights of the projections of one layer with linear attention: queries, keys, values, gate, and the output."""
        return self.hidden * (2 * self.linear_key_size + 3 * self.linear_value_size)

    @property
    def mixer_parameters(self) -> int:
        """Weights of all layers' attention, linear or not."""
        full = self.layers - self.linear_layers
        return full * self.attention_parameters + self.linear_layers * self.linear_parameters

    def ffn_parameters(self, moe: bool) -> int:
        """Weights of the feed-forward part of one layer, all experts included."""
        if not moe:
            return 3 * self.hidden * self.ffn
        router = self.hidden * self.experts
        return router + 3 * self.hidden * (self.experts * self.expert_ffn + self.shared_expert_ffn)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the token embedding (and of the LM head, which has the same shape)."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All matrix weights (norm gains and biases left out: under 0.1 %)."""
        dense = self.layers - self.moe_layers
        total = self.mixer_parameters
        total += dense * self.ffn_parameters(False) + self.moe_layers * self.ffn_parameters(True)
        return total + self.embedding_parameters * (1 if self.tied_embeddings else 2)

    @property
    def active_parameters(self) -> int:
        """Weights used for one token (chosen and shared experts only; the LM head, not the embedding)."""
        dense = self.layers - self.moe_layers
        expert = 3 * self.hidden * (self.experts_per_token * self.expert_ffn + self.shared_expert_ffn)
        total = self.mixer_parameters + dense * self.ffn_parameters(False)
        return total + self.moe_layers * (expert + self.hidden * self.experts) + self.embedding_parameters
