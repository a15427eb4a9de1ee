"""The kinds of system that may serve a load: wafers placed, and GPUs laid out, for more and more users at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wsekern.cluster import Cluster, Deployment
from wsekern.cluster.layout import memory_of, require_fit
from wsekern.cluster.system import ClusterSystem
from wsekern.cluster.trust import trust_of
from wsekern.compare.beside import Named, clusters_of, names_of
from wsekern.compare.cluster_side import chips_in_words, degrees_in_words, deployed, stored_in_words
from wsekern.compare.comparison import chosen_cluster
from wsekern.compare.load import Kind, Maker
from wsekern.compare.pairing import Pairing, check_all
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.wafer_side import placed, wafer_assumptions
from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.planning.load import WaferSystem
from wsekern.planning.placement import Placement
from wsekern.queueing import Traffic
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

MOST_USERS = 1024
"""Users at once for which systems are made at most; more may be served."""
WAFERS = 2
"""Times the fewest wafers that hold one user, up to which more wafers are tried where a load needs them."""


@dataclass(frozen=True, kw_only=True)
class LoadSides:
    """What a user asks of wafers and of one ``cluster`` or several; ``wafers`` and ``users`` are None where they are to be
    chosen."""

    config: ModelConfig
    machine: Machine
    cluster: Named
    wafers: int | None = None
    precision: str = "fp16"
    profile: str = "silicon"
    engine_level: str = "stock"
    serving: Serving = PLAIN
    users: int | None = None

    def check(self) -> None:
        """Refuse with :class:`InputError` what no load could change, and choices that requests one by one do not obey yet."""
        serving = self.serving
        stated = {"--think": serving.think_seconds, "--speculate": serving.speculation,
                  "--shared-prefix": serving.shared_prefix, "--prefill-cluster": serving.prefill_cluster}
        for name, value in stated.items():
            if value:
                raise InputError(f"{name} goes with neither --rate nor --trace")
        Request(precision=self.precision)
        check_all([Pairing(self.config, self.machine, cluster, self.wafers, self.profile, self.engine_level, self.serving)
                   for cluster in clusters_of("h100x8" if self._auto else self.cluster)])

    @property
    def _auto(self) -> bool:
        """Whether the cluster is to be chosen."""
        return names_of(self.cluster) == ["auto"]

    def makers(self) -> dict[str, Maker]:
        """What makes the kinds of system of each cluster, by its name."""
        if self._auto:
            return {"auto": self.gpus_for}
        return {cluster.name: replace(self, cluster=cluster).gpus_for for cluster in clusters_of(self.cluster)}

    @property
    def forced(self) -> list[str]:
        """Sides whose size the user has fixed."""
        return [*(["wafer"] if self.wafers is not None else []), *(["cluster"] if self.serving.degrees else [])]

    def wafers_for(self, traffic: Traffic) -> Iterator[Kind]:
        """Wafers on which the longest request fits, once for each number of users at once, as many as twice the fewest wafers
        hold; in order of price. Cuts that only differ in the users are one kind, that with room for the most."""
        before: Placement | None = None
        fewest = 0
        for users in self._numbers_of_users(traffic):
            try:
                placement = self._placed(traffic, users)
            except BudgetError:
                if before is None:
                    raise
                break
            fewest = fewest or placement.wafers
            if placement.wafers > WAFERS * fewest:
                break
            if before is not None and replace(before, request=placement.request) != placement:
                yield _wafers(before)
            before = placement
        if before is not None:
            yield _wafers(before)

    def _placed(self, traffic: Traffic, users: int) -> Placement:
        """Wafers for ``users`` requests as long as the longest, whose answers are of the mean length."""
        longest = _longest(traffic)
        output = min(longest - 1, _mean(traffic)[1])
        request = Request(longest - output, output, users, self.precision)
        return placed(self.config, request, self.machine, self.wafers, self.profile, self.serving)

    def gpus_for(self, traffic: Traffic) -> Iterator[Kind]:
        """The cluster in the layout asked for, or in each that answers some number of users at once soonest, in
        order of price; only layouts whose cache holds the longest request."""
        kinds = [self._gpus(*found, traffic) for found in self._layouts(traffic)]
        yield from sorted(kinds, key=lambda kind: kind.system.usd_per_hour)

    def _layouts(self, traffic: Traffic) -> Iterator[tuple[Deployment, int]]:
        """Deployments and the users at once that they are for."""
        longest = _longest(traffic)
        seen: list[Deployment] = []
        numbers = self._numbers_of_users(traffic)
        cluster = self._cluster(traffic, numbers[0])
        for users in numbers:
            request = self._mean_request(traffic, users)
            deployment = deployed(self.config, request, cluster, self.engine_level, self.serving).deployment
            if deployment in seen:
                continue
            try:
                require_fit(deployment, memory_of(deployment, longest, 1), longest, 1)
            except BudgetError:
                if users == numbers[-1] and not seen:
                    raise
                continue
            seen.append(deployment)
            yield deployment, users

    def _cluster(self, traffic: Traffic, users: int) -> Cluster:
        """The cluster, or for ``auto`` that which answers ``users`` at once soonest."""
        if not self._auto:
            return clusters_of(self.cluster)[0]
        return chosen_cluster(self.config, self._mean_request(traffic, users), self.engine_level, self.serving)

    def _mean_request(self, traffic: Traffic, users: int) -> Request:
        """``users`` requests of the mean lengths."""
        return Request(*_mean(traffic), users, self.precision)

    def _gpus(self, deployment: Deployment, users: int, traffic: Traffic) -> Kind:
        """As many copies of ``deployment`` as the cluster holds, unless the user says how many (dp)."""
        copies = deployment.cluster.count // deployment.layout.gpus if self.serving.dp is None else 1
        system = ClusterSystem.of(deployment, traffic, copies)
        why = "as asked" if self.serving.degrees else f"the layout that answers {users} at once soonest"
        laid_out = f"{copies} x {chips_in_words(deployment)} ({degrees_in_words(deployment.layout)}), {why}"
        stored, trust = stored_in_words(deployment, self.serving), trust_of(deployment)
        facts = {**system.facts, "not_measured": list(trust.lacking), "time_factors": trust.factors}
        return Kind(system, facts, [*trust.sentences, laid_out, stored, *system.assumptions])

    def _numbers_of_users(self, traffic: Traffic) -> list[int]:
        """What the user asks for, or 1, 4, 16, ... up to the number of requests."""
        most = min(MOST_USERS, len(traffic))
        return [4**exponent for exponent in range((most.bit_length() + 1) // 2)] if self.users is None else [self.users]


def _wafers(placement: Placement) -> Kind:
    request = placement.request
    facts = {"wafers": placement.wafers, "grid": f"{placement.width}x{placement.height}", "regions": placement.regions,
             "layers_per_region": placement.layers, "prompt_chunk_tokens": placement.chunk, "profile": placement.profile,
             "cache_tokens": request.context * request.batch, "users_placed_for": request.batch}
    room = (f"room for {request.batch:,} request{'s' if request.batch > 1 else ''} as long as the longest ({request.context:,} "
            "tokens), or more that are shorter")
    return Kind(WaferSystem(placement), facts, [room, *wafer_assumptions(placement, request)])


def _longest(traffic: Traffic) -> int:
    """Tokens of the longest request, answer included."""
    return int((traffic.prompt + traffic.output).max())


def _mean(traffic: Traffic) -> tuple[int, int]:
    """Mean tokens of prompts and answers."""
    return round(float(traffic.prompt.mean())), round(float(traffic.output.mean()))
