"""How a model lies on a cluster: tensor, pipeline, expert and data parallel degrees, and the memory they need."""

from dataclasses import dataclass

from wsekern.cluster.hardware import Cluster
from wsekern.cluster.precision import Precision
from wsekern.errors import BudgetError, InputError
from wsekern.workload.config import ModelConfig

MEMORY_SHARE = 0.9
"""Part of the device memory that an engine fills (vLLM's and TensorRT-LLM's default), activations taken from it."""
ACTIVATION_BYTES = 2.0e9
"""Activations, CUDA context and workspaces per GPU (a round figure of engine logs)."""
STATE_BYTES = 4.0
"""Bytes per element of a linear-attention state: engines keep it in fp32."""
PAGE_TOKENS = 16
"""Tokens per page of the cache (vLLM's default block)."""


@dataclass(frozen=True)
class Layout:
    """Degrees of parallelism. ``dp`` copies of the attention (or of the whole model) share the batch.

    GPUs used: tp * pp * dp. Experts lie on ``ep`` of the tp * dp GPUs of a stage; the rest splits each expert.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def gpus(self) -> int:
        """GPUs that one deployment occupies."""
        return self.tp * self.pp * self.dp

    def check(self, model: ModelConfig, cluster: Cluster) -> None:
        """Refuse degrees that do not fit the model or the cluster."""
        for name in ("tp", "pp", "dp", "ep"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
        if self.gpus > cluster.count:
            raise InputError(
                f"tp {self.tp} x pp {self.pp} x dp {self.dp} needs {self.gpus} GPUs, but {cluster.name} has {cluster.count}"
            )
        if model.heads % self.tp:
            raise InputError(f"tp {self.tp} does not divide the {model.heads} heads of {model.name}")
        if self.pp > model.layers:
            raise InputError(f"pp {self.pp} is more than the {model.layers} layers of {model.name}")
        if self.ep > 1 and not model.experts:
            raise InputError(f"ep {self.ep}: {model.name} has no experts; use ep 1")
        if self.ep > self.tp * self.dp or (self.tp * self.dp) % self.ep:
            raise InputError(f"ep {self.ep} must divide tp x dp = {self.tp * self.dp}")


def weight_bytes(model: ModelConfig, precision: Precision) -> tuple[float, float]:
    """(bytes of all routed experts, bytes of everything else) of the whole model."""
    experts = model.moe_layers * 3.0 * model.hidden * model.experts * model.expert_ffn
    wide = model.embedding_parameters * (1 if model.tied_embeddings else 2)
    rest = model.parameters - experts - wide
    width = precision.part(experts=False)[0]
    return experts * precision.weight, rest * width + wide * max(2.0, width)


def cache_bytes(model: ModelConfig, precision: Precision, context: float, tp: int = 1) -> float:
    """Cached bytes of one sequence on one GPU of a tensor-parallel group, all layers of the model.

    Latent attention caches one vector for all heads, so each GPU holds all of it; grouped heads are split up to their
    number.
    """
    pages = -(-context // PAGE_TOKENS) * PAGE_TOKENS
    if model.kv_lora_rank:
        return model.layers * (model.kv_lora_rank + model.qk_rope_head_dim) * precision.cache * pages
    per_layer = 2.0 * model.head_dim * max(1.0, model.kv_heads / tp) * precision.cache
    sliding = model.sliding_layers
    full = model.layers - sliding - model.linear_layers
    state = model.linear_layers * model.linear_state * STATE_BYTES / tp
    return per_layer * (full * pages + sliding * min(pages, float(model.sliding_window or pages))) + state


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU (the fullest): weights, cache and what is there."""

    weights: float
    cache: float
    available: float
    sequences: int  # how many sequences of this length fit the whole deployment

    @property
    def used(self) -> float:
        """Weights, cache and activations."""
        return self.weights + self.cache + ACTIVATION_BYTES


def memory_of(model: ModelConfig, cluster: Cluster, layout: Layout, precision: Precision, context: float, batch: int) -> Memory:
    """Memory of one GPU for ``batch`` sequences of ``context`` tokens over the deployment."""
    experts, rest = weight_bytes(model, precision)
    weights = (experts / (layout.tp * layout.dp) + rest / layout.tp) / layout.pp
    each = cache_bytes(model, precision, context, layout.tp) / layout.pp
    available = float(cluster.gpu.memory.capacity) * MEMORY_SHARE
    room = available - weights - ACTIVATION_BYTES
    fits = max(0, int(room / each)) * layout.dp if each else batch
    return Memory(weights, each * -(-batch // layout.dp), available, fits)


def require_fit(model: ModelConfig, cluster: Cluster, layout: Layout, memory: Memory, context: float, batch: int) -> None:
    """Raise :class:`BudgetError` saying how much is missing and what to change."""
    if memory.sequences >= batch:
        return
    where = f"{model.name} on {cluster.name} with tp {layout.tp}, pp {layout.pp}, dp {layout.dp}"
    if memory.weights + ACTIVATION_BYTES > memory.available:
        raise BudgetError(
            f"{where}: weights take {memory.weights / 1e9:.0f} GB of {memory.available / 1e9:.0f} GB a GPU; "
            "use more GPUs, a higher tp or pp, or a narrower precision"
        )
    raise BudgetError(
        f"{where}: the cache holds {memory.sequences} sequences of {context:.0f} tokens, not {batch}; use a "
        "smaller batch, a shorter context or more GPUs"
    )


def default_layout(model: ModelConfig, cluster: Cluster, precision: Precision, context: float, batch: int) -> Layout:
    """Tensor parallel inside one NVLink domain, pipeline stages across domains; experts over the same GPUs.

    Of the degrees that hold the request, the largest tp that divides heads: least latency for one user.
    """
    inside = min(cluster.count, cluster.domain)
    widths = [tp for tp in range(inside, 0, -1) if inside % tp == 0 and _divides(model, tp)]
    for tp in widths or [1]:
        stages = max(1, cluster.count // inside)
        for pp in (1, stages):
            layout = Layout(tp=tp, pp=min(pp, model.layers), ep=_expert_degree(model, tp))
            if memory_of(model, cluster, layout, precision, context, batch).sequences >= batch:
                return layout
    tp = widths[0] if widths else 1
    return Layout(tp=tp, pp=min(max(1, cluster.count // inside), model.layers), ep=_expert_degree(model, tp))


def _divides(model: ModelConfig, tp: int) -> bool:
    return model.heads % tp == 0 and (model.kv_heads % tp == 0 or tp % model.kv_heads == 0)


def _expert_degree(model: ModelConfig, tp: int) -> int:
    return tp if model.experts and model.experts % tp == 0 and model.experts >= 64 and tp > 1 else 1
