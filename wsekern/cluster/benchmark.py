"""A benchmark that starts N users at once and lets them take turns, run request by request as its client runs it.

Its means are not those of the steady state: the first prompts of all users come together, and where lengths are equal, users go
in step for ever. What an engine is started with (:class:`Scheduling`) decides how long prompts wait.
"""

from dataclasses import dataclass, replace

import numpy as np

from wsekern.cluster.engine_cost import launched_prompts, routed_prompts, uncaptured_prompts
from wsekern.cluster.layout import Deployment
from wsekern.cluster.load import engines_of, turn_costs
from wsekern.cluster.parts import parts_of
from wsekern.cluster.work import Work
from wsekern.errors import InputError
from wsekern.queueing import Outcome, StepCosts, Traffic, simulate_batching

MOST_USERS = 100_000
"""Sanity limit of the users of a benchmark, all of whose requests are run."""

ROUNDS = 10
"""Requests of each user: clients of InferenceX and of aiconfigurator send 10 times as many prompts as there are users."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """``rounds`` requests for each of ``users``; lengths are even between a share ``shortest`` of ``prompt`` and ``output`` and
    these themselves (``shortest_output`` for the answers, where it is another)."""

    users: int
    prompt: int
    output: int
    shortest: float = 1.0
    shortest_output: float | None = None
    rounds: int = ROUNDS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("users", "prompt", "output", "rounds"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} of a benchmark is {getattr(self, name)}, expected at least 1")
        if self.users > MOST_USERS:
            raise InputError(f"users of a benchmark is {self.users}, expected at most {MOST_USERS}")
        if not (0.0 < self.shortest <= 1.0 and 0.0 < self.shares[1] <= 1.0):
            raise InputError(f"the shortest request is {self.shares} of the longest, expected shares above 0 and at most 1")

    @property
    def shares(self) -> tuple[float, float]:
        """The shortest over the longest, of prompts and of answers."""
        return self.shortest, self.shortest if self.shortest_output is None else self.shortest_output

    @property
    def means(self) -> tuple[float, float]:
        """Mean tokens of prompts and of answers."""
        return 0.5 * (1.0 + self.shares[0]) * self.prompt, 0.5 * (1.0 + self.shares[1]) * self.output

    def traffic(self, engines: int = 1) -> Traffic:
        """The requests to one of ``engines``."""
        users = max(1, round(self.users / engines))
        random, count = np.random.default_rng(self.seed), users * self.rounds
        lengths = [random.integers(max(1, int(share * longest)), longest + 1, count)
                   for share, longest in zip(self.shares, (self.prompt, self.output), strict=True)]
        return Traffic(np.zeros(count), lengths[0], lengths[1], users)


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """Options with which an engine is started; those left out are the engine level's."""

    step_tokens: int | None = None  # tokens of a step at most
    whole: bool = False  # prompts are never cut (TensorRT-LLM without enable_chunked_prefill)
    look_steps: int = 1  # decoding steps from one look for new requests to the next (SGLang: --scheduler-recv-interval)
    hold_steps: int = 0  # decoding steps at most for which few prompts wait (TensorRT-LLM: batch_wait_timeout_iters)
    hold_share: float = 0.0  # of the tokens of a step, below which prompts are few (batch_wait_max_tokens_ratio)
    ahead_steps: int = 1  # planned or running when a request comes, which goes without it: schedulers work ahead of the GPU
    captured_tokens: int = 0  # steps of at most so many run as pieces of CUDA graphs, prompts too
    layer_seconds: float | None = None  # host's work on a layer of a prompt if its user waits for it and others do not


def benchmark_costs(
    deployment: Deployment, prompt: float, output: float, users: float, scheduling: Scheduling, sampled: bool = False
) -> StepCosts:
    """Steps of one engine that serves ``users`` with requests of these mean lengths under ``scheduling``."""
    costs = turn_costs(deployment, prompt, output, users, sampled=sampled)
    work = Work(1.0, 1.0, 0.0, prefill=True)
    routed = routed_prompts(deployment, work)  # which the costs count outside the steps
    inside, outside = routed + launched_prompts(deployment, work), 0.0
    if prompt + users <= scheduling.captured_tokens:
        sorted_first = routed if deployment.precision.routed_inside else 0.0  # by kernels, for others of a 4-bit format
        inside = sorted_first + uncaptured_prompts(deployment)
    if scheduling.layer_seconds is not None:
        inside, outside = 0.0, scheduling.layer_seconds * parts_of(deployment.model).layers
    tokens = scheduling.step_tokens or costs.step_tokens
    ahead = scheduling.ahead_steps * costs.decode_seconds(users, prompt + 0.5 * output) if users > 1.0 else 0.0
    return replace(
        costs, step_tokens=tokens, beside_seconds=inside,
        alone=costs.alone + inside - launched_prompts(deployment, work),  # which the costs of a prompt alone contain
        request_seconds=costs.request_seconds - routed + outside + ahead, whole=scheduling.whole,
        look_steps=scheduling.look_steps, hold_steps=scheduling.hold_steps, hold_tokens=int(scheduling.hold_share * tokens))


def run_benchmark(
    deployment: Deployment, benchmark: Benchmark, scheduling: Scheduling | None = None, sampled: bool = False
) -> Outcome:
    """Every request of one engine of ``deployment``: where it has several, each serves its share of the users alike.

    Raises :class:`InputError` where the cache cannot hold a request.
    """
    engines = engines_of(deployment)
    costs = benchmark_costs(deployment, *benchmark.means, benchmark.users / engines, scheduling or Scheduling(), sampled)
    return simulate_batching(costs, benchmark.traffic(engines))
