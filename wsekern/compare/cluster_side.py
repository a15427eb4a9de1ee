"""A cluster in the words of the comparison."""

from dataclasses import asdict, dataclass, replace

from wsekern.cluster import Cluster, Deployment, Layout, Served, best_deployment, deploy, serve_on
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.engine import Engine, load_engine, without_chunks
from wsekern.compare.serving import Serving
from wsekern.compare.side import Side, bounded
from wsekern.workload.config import ModelConfig
from wsekern.workload.measure import Measure
from wsekern.workload.request import Request

_SHARE_OF = {"weights": "memory", "kv": "memory", "compute": "compute", "fixed": "overhead", "engine": "overhead"}
"""Parts of a step; whatever is not named is communication between chips."""


def engine_of(engine_level: str, serving: Serving) -> Engine:
    """The serving software, which reads prompts whole where ``serving`` asks for that."""
    engine = load_engine(engine_level)
    return engine if serving.chunked_prefill else without_chunks(engine)


@dataclass(frozen=True)
class Deployed:
    """``copies`` of ``deployment`` that share the users of ``request``; ``cached`` tokens of every prompt need not be read:
    those of the request that are shared, unless given."""

    deployment: Deployment
    copies: int
    request: Request
    engine_level: str
    serving: Serving
    cached: int | None = None

    @property
    def gpus(self) -> int:
        """Of all copies."""
        return self.copies * self.deployment.layout.gpus

    @property
    def usd_per_hour(self) -> float:
        """Of the GPUs in use."""
        return self.gpus * float(self.deployment.gpu.price.per_hour)

    def served(self, think_seconds: float) -> Served:
        """The copy with the most users."""
        each = replace(self.request, batch=-(-self.request.batch // self.copies))
        return serve_on(self.deployment, each, think_seconds=think_seconds, cached=self.cached)

    def side(self, think_seconds: float) -> Side:
        """How the users are served who send the next request ``think_seconds`` after the answer."""
        served, request, cluster = self.served(think_seconds), self.request, self.deployment.cluster
        measure = Measure(users=request.batch, prompt=request.prompt, output=request.output,
                          time_to_first_token_seconds=served.time_to_first_token_seconds,
                          time_per_output_token_seconds=served.time_per_output_token_seconds, think_seconds=think_seconds)
        side = Side(
            name=f"{cluster.name} ({self.engine_level})", measure=measure,
            lone_time_to_first_token_seconds=served.lone_time_to_first_token_seconds,
            lone_time_per_output_token_seconds=served.lone_time_per_output_token_seconds,
            watts=self.copies * served.watts, rated_watts=cluster.power_max, usd_per_hour=self.usd_per_hour,
            memory_used_bytes=self.gpus * served.memory_used_bytes,
            memory_available_bytes=self.gpus * served.memory_available_bytes, shares=_shares(served),
            facts={"gpus": self.gpus, "copies": self.copies, **asdict(served.layout),
                   "gpu_precision": self.deployment.precision.name,
                   "cache_bytes_per_element": self.deployment.precision.cache,
                   "engine_level": served.engine_level, "confidence": served.confidence, "nearest": served.nearest,
                   "not_measured": served.not_measured, "time_factors": served.time_factors,
                   "prefill_seconds": served.prefill_seconds, "queueing_seconds": served.queueing_seconds,
                   "decoding_users": self.copies * served.decoding_users, "breakdown_seconds": served.breakdown},
            assumptions=[self._laid_out(), stored_in_words(self.deployment, self.serving), *self._speculated(),
                         *served.assumptions])
        return bounded(side, served.time_factors)

    def _speculated(self) -> list[str]:
        """What is stated of drafts, a sentence each."""
        speculation = self.serving.speculation
        if speculation is None:
            return []
        draft = speculation.draft
        made = draft.drafting_model(self.deployment.model) is not None
        takes = ": a step of these for each drafted token, one after the other" if made else ""
        return [speculation.assumption(), f"a draft {draft.describe()}{takes}"]

    def _laid_out(self) -> str:
        """The layout in words."""
        users = self.request.batch
        where = f"{users} user{'s' if users > 1 else ''} at once on {self.copies} x {chips_in_words(self.deployment)}"
        why = "as asked" if self.serving.degrees else "the layout that answers a request soonest"
        return f"{where} ({degrees_in_words(self.deployment.layout)}), {why}"


def deployed(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str, serving: Serving,
             cached: int | None = None) -> Deployed:
    """``config`` on ``cluster`` with software of ``engine_level`` (stock, tuned, ideal): in the layout of ``serving``, or in
    that which answers these users soonest; as many copies of it as the cluster holds."""
    precision = served_precision(config, engine_level, serving.gpu_precision, serving.kv_precision)
    engine = engine_of(engine_level, serving)
    if not serving.degrees:
        best, copies = best_deployment(
            config, request, cluster, engine_level=engine, precision=precision, think_seconds=serving.think_seconds,
            speculation=serving.speculation, cached=cached)
        return Deployed(best, copies, request, engine_level, serving, cached)
    laid_out = replace(deploy(config, cluster, context=request.context, batch=request.batch, engine_level=engine,
                              precision=precision, **serving.degrees), speculation=serving.speculation)
    copies = max(1, min(cluster.count // laid_out.layout.gpus, request.batch)) if serving.dp is None else 1
    return Deployed(laid_out, copies, request, engine_level, serving, cached)


def chips_in_words(deployment: Deployment) -> str:
    """The chips of one copy."""
    return f"{deployment.layout.gpus} {_kind(deployment)}"


def _kind(deployment: Deployment) -> str:
    """What the chips are called."""
    return "GPUs" if deployment.gpu.mechanism == "gpu" else "chips"


def stored_in_words(deployment: Deployment, serving: Serving) -> str:
    """Where the precision of the cluster comes from."""
    asked, used, kind = serving.gpu_precision, deployment.precision.name, _kind(deployment)
    if asked is not None and asked != used:
        return f"weights in {used} on the {kind}, where {asked} is asked for"
    return f"weights in {used} on the {kind}, {'as the checkpoint is stored' if asked is None else 'as asked'}"


def _shares(served: Served) -> dict[str, float]:
    """Parts of the time per output token."""
    shares = dict.fromkeys(("compute", "memory", "communication", "overhead"), 0.0)
    for part, seconds in served.breakdown.items():
        shares[_SHARE_OF.get(part, "communication")] += seconds
    whole = sum(shares.values())
    return {name: seconds / whole for name, seconds in shares.items()}


def degrees_in_words(layout: Layout) -> str:
    """Degrees of parallelism above 1."""
    return ", ".join(f"{name} {degree}" for name, degree in asdict(layout).items() if degree > 1) or "tp 1"
