"""How a model lies on a cluster (degrees of parallelism), a deployment of it, and the memory that takes."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from wsekern.cluster.constants import constants
from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Cluster, Gpu
from wsekern.cluster.parts import common_heads, parts_of
from wsekern.cluster.precision import Precision
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.errors import BudgetError, InputError
from wsekern.hashed import HashedOnce
from wsekern.shown import Shown, Tabled
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import LatentAttention
from wsekern.workload.speculation import Speculation


@dataclass(frozen=True)
class Layout(Tabled):
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
        heads = common_heads(model)
        if heads % self.tp:
            raise InputError(f"tp {self.tp} does not divide the {heads} heads of {model.name}")
        if self.pp > model.layers:
            raise InputError(f"pp {self.pp} is more than the {model.layers} layers of {model.name}")
        if self.ep > 1 and model.mixture is None:
            raise InputError(f"ep {self.ep}: {model.name} has no experts; use ep 1")
        if self.ep > self.tp * self.dp or (self.tp * self.dp) % self.ep:
            raise InputError(f"ep {self.ep} must divide tp x dp = {self.tp * self.dp}")


@dataclass(frozen=True, repr=False)
class Deployment(HashedOnce, Shown):
    """A model on GPUs, ready to be timed: every name resolved, every degree chosen (:func:`wsekern.cluster.deploy`).

    ``precision`` becomes what the GPU can compute (:meth:`wsekern.cluster.precision.Precision.on`), ``engine`` what stands in
    for it on a machine of another mechanism (:meth:`wsekern.cluster.engine.Engine.on`), whoever makes a deployment.
    """

    model: ModelConfig
    cluster: Cluster
    layout: Layout
    precision: Precision
    engine: Engine
    speculation: Speculation | None = None  # drafted tokens that every decode step checks beside its own

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", self.precision.on(self.gpu.arithmetics))
        object.__setattr__(self, "engine", self.engine.on(self.gpu.mechanism))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Reckoned once, because deployments are keys of many caches."""
        return hash((self.model, self.cluster, self.layout, self.precision, self.engine, self.speculation))

    @property
    def gpu(self) -> Gpu:
        """The kind of GPU."""
        return self.cluster.gpu


@lru_cache(maxsize=256)
def weight_bytes(model: ModelConfig, precision: Precision) -> tuple[float, float]:
    """(bytes of all routed experts, bytes of everything else) of the whole model."""
    mixtures = parts_of(model).mixtures
    experts = sum(count * feed.experts * feed.expert.parameters(feed.latent or model.hidden) for feed, count in mixtures)
    wide = model.embedding_parameters * (1 if model.tied_embeddings else 2) + model.extra_tables
    rest = model.parameters - experts - wide
    width = precision.part(experts=False)[0]
    kept = sum((form[0] - width) * parts_of(model).weights(part, model.hidden) for part, form in precision.kept)
    return experts * precision.weight, rest * width + kept + wide * max(2.0, width)


class Laid(NamedTuple):
    """How a machine lays out caches: elements to which a row of one head is filled up, and devices of a chip, each of which
    holds a head of its own at least."""

    lanes: int = 1
    devices: int = 1

    @classmethod
    def on(cls, gpu: Gpu) -> "Laid":
        """As ``gpu`` does."""
        return cls(int(gpu.memory.lanes or 1), int(gpu.devices or 1))

    def row(self, width: int) -> int:
        """Elements that ``width`` of them take."""
        return -(-width // self.lanes) * self.lanes


PLAIN = Laid()
"""Nothing filled up, one device a chip."""


@kept_while_shipped(maxsize=4096)
def cache_bytes(model: ModelConfig, precision: Precision, context: float, tp: int = 1, laid: Laid = PLAIN) -> float:
    """Cached bytes of one sequence on one chip of a tensor-parallel group, all layers of the model: of the tokens that each
    looks back over, compressed ones, and states.

    Latent attention caches one vector for all heads, and an indexer one key, so each device holds all of it; grouped heads are
    split up to their number.
    """
    page = int(constants().page_tokens)
    pages = -(-context // page) * page
    parts, total = parts_of(model), 0.0
    for mixer, count in parts.caches:
        kept, every = min(pages, float(mixer.reach or pages)), 1
        if isinstance(mixer, LatentAttention):
            total += count * laid.devices * laid.row(mixer.latent) * precision.cache * kept
        elif mixer.cache_of:
            continue
        else:
            every = mixer.compression
            once = mixer.values_are_keys and every > 1
            width = laid.row(mixer.head_dim) + (0 if once else laid.row(mixer.value_dim or mixer.head_dim))
            kept += pages / every if every > 1 else 0.0
            total += count * width * max(float(laid.devices), mixer.kv_heads / tp) * precision.cache * kept
        if mixer.indexer is not None:
            total += count * laid.devices * mixer.indexer.cached * constants().index_bytes.value * pages / every
    for recurrent, count in parts.recurrents:
        state = recurrent.state * constants().state_bytes.value + recurrent.kernel * recurrent.convolved * 2.0
        total += count * state / tp
    return total


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU (the fullest): weights, cache, activations, and what the engine may fill."""

    weights: float
    cache: float
    activations: float
    available: float
    sequences: int  # how many sequences of this length fit the whole deployment

    @property
    def used(self) -> float:
        """Weights, cache and activations."""
        return self.weights + self.cache + self.activations


def memory_of(deployment: Deployment, context: float, batch: int, shared: float = 0.0) -> Memory:
    """Memory of one GPU for ``batch`` sequences of ``context`` tokens over the deployment, of which the first ``shared`` are
    kept once."""
    model, layout, precision, laid = deployment.model, deployment.layout, deployment.precision, Laid.on(deployment.gpu)
    experts, rest = weight_bytes(model, precision)
    weights = (experts / (layout.tp * layout.dp) + rest / layout.tp) / layout.pp
    once = cache_bytes(model, precision, shared, layout.tp, laid) / layout.pp if shared else 0.0
    each = cache_bytes(model, precision, context - shared, layout.tp, laid) / layout.pp
    draft = deployment.speculation.draft.model if deployment.speculation else None
    if draft is not None:  # on every tensor-parallel group
        weights += sum(weight_bytes(draft, precision)) / layout.tp
        once += cache_bytes(draft, precision, shared, layout.tp, laid) if shared else 0.0
        each += cache_bytes(draft, precision, context - shared, layout.tp, laid)
    share, chip = constants().memory_share.value, deployment.gpu.memory
    activations = constants().activation_bytes.value if chip.program is None else float(chip.program)
    available = chip.whole * (share if chip.shared is None else min(share, float(chip.shared)))
    room = available - weights - activations - once
    fits = max(0, int(room / each)) * layout.dp if each else batch
    return Memory(weights, once + each * -(-batch // layout.dp), activations, available, fits)


def require_fit(deployment: Deployment, memory: Memory, context: float, batch: int) -> None:
    """Raise :class:`BudgetError` saying how much is missing and what to change."""
    if memory.sequences >= batch:
        return
    layout = deployment.layout
    where = f"{deployment.model.name} on {deployment.cluster.name} with tp {layout.tp}, pp {layout.pp}, dp {layout.dp}"
    if memory.weights + memory.activations > memory.available:
        raise BudgetError(
            f"{where}: weights take {memory.weights / 1e9:.0f} GB of {memory.available / 1e9:.0f} GB a GPU; "
            "use more GPUs, a higher tp or pp, or a narrower precision"
        )
    raise BudgetError(
        f"{where}: the cache holds {memory.sequences} sequences of {context:.0f} tokens, not {batch}; use a "
        "smaller batch, a shorter context or more GPUs"
    )
