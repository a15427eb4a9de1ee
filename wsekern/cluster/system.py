"""A cluster that serves traffic, request by request: every engine of it with a queue of its own."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.cluster.evidence import assumptions
from wsekern.cluster.layout import Deployment
from wsekern.cluster.load import engines_of, ranks_of, step_costs
from wsekern.cluster.power import activity, cluster_watts
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.trust import confidence
from wsekern.queueing import Outcome, StepCosts, Traffic, simulate_batching
from wsekern.queueing.batching import require_room


@dataclass(frozen=True)
class ClusterSystem:
    """``copies`` of a deployment that take requests in turn; step costs are those near requests of ``prompt`` and ``output``
    tokens."""

    deployment: Deployment
    prompt: float
    output: float
    copies: int = 1

    @classmethod
    def of(cls, deployment: Deployment, traffic: Traffic, copies: int = 1) -> "ClusterSystem":
        """For requests like those of ``traffic``, by their means."""
        return cls(deployment, float(traffic.prompt.mean()), float(traffic.output.mean()), copies)

    @cached_property
    def costs(self) -> StepCosts:
        """Steps of an engine."""
        return step_costs(self.deployment, self.prompt, self.output)

    @property
    def engines(self) -> int:
        """That have a queue of their own."""
        return self.copies * engines_of(self.deployment)

    @property
    def gpus(self) -> int:
        """Of all copies."""
        return self.copies * self.deployment.layout.gpus

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.deployment.cluster.name}, {self.deployment.engine.title}"

    @property
    def usd_per_hour(self) -> float:
        """Price of all GPUs, whatever the load."""
        return self.gpus * float(self.deployment.gpu.price.per_hour)

    @property
    def facts(self) -> dict[str, Any]:
        """The layout and its GPUs, the engine, and how sure its step times are."""
        return {"gpus": self.gpus, "copies": self.copies, **asdict(self.deployment.layout),
                "engine_level": self.deployment.engine.title, "chunked_prefill": self.costs.chunked,
                "confidence": confidence(self.deployment)}

    @property
    def assumptions(self) -> list[str]:
        """What the figures take for granted, a sentence each."""
        turn = [f"requests go to the {self.engines} engines in turn"] if self.engines > 1 else []
        return [*assumptions(self.deployment), *turn]

    def simulate(self, traffic: Traffic) -> Outcome:
        """Serve all requests; :class:`InputError` names one that the cache of an engine can never hold."""
        require_room(self.costs, traffic)
        owners = self._owners(traffic)
        parts = [simulate_batching(self.costs, traffic.part(owners == engine)) for engine in range(int(owners.max()) + 1)]
        whole = Outcome.joined(traffic, owners, parts)
        return replace(whole, busy_seconds=whole.busy_seconds / self.engines)

    def _owners(self, traffic: Traffic) -> NDArray[np.int64]:
        """[n] the engine of each request: in turn, in order of arrival; users who take turns stay with theirs."""
        requests = np.arange(len(traffic))
        return (requests if traffic.users is None else requests % traffic.users) % self.engines

    def watts(self, outcome: Outcome) -> float:
        """Mean power of all GPUs with their hosts over the seconds of ``outcome``, idle ones included."""
        deployment, pp, ranks = self.deployment, self.deployment.layout.pp, ranks_of(self.deployment)
        answers = outcome.output_tokens - len(outcome.traffic)  # tokens that steps decode
        written = float((outcome.finish_seconds - outcome.first_token_seconds).sum()) / self.engines
        together = max(1.0, written / outcome.busy_seconds)  # sequences in a step
        decode = decode_step(deployment, engines_of(deployment) * together, self.prompt + 0.5 * self.output)
        prefill = prefill_step(deployment, 1.0, self.prompt)
        steps, prompts = answers / self.engines / together, outcome.prompt_tokens / self.engines / self.prompt / ranks / pp
        stages = min(1.0, together / ranks / pp)
        peak = deployment.gpu.peak_flops(deployment.precision.arithmetic)
        doing = activity([(steps * stages, decode), (prompts, prefill)], outcome.seconds, peak)
        return cluster_watts(deployment.cluster, self.gpus, doing)

