"""Wafers under load: users who take turns in steady state, and requests that arrive at their own times, event by event."""

from dataclasses import dataclass
from functools import cached_property

from wsekern.errors import InputError
from wsekern.planning.layout import Placement
from wsekern.queueing import LineCosts, Outcome, SteadyLine, Traffic, simulate_line
from wsekern.workload.measure import Measure


@dataclass(frozen=True, kw_only=True)
class WaferServed:
    """How the users of a placement's request are served in steady state. Seconds, watts of all wafers together."""

    time_to_first_token_seconds: float
    """Under the load of all users."""
    time_per_output_token_seconds: float
    """Under the load of all users."""
    lone_time_to_first_token_seconds: float
    """Of a user who is alone on the same regions."""
    lone_time_per_output_token_seconds: float
    """Of a user who is alone on the same regions."""
    measure: Measure
    watts: float
    decoding_users: float
    """Whose answer grows, of all users; the others wait, are read or think."""
    busy: float
    """Share of the time in which a region works."""
    activity: float
    """Share of the wafers' PEs that work, on average over the time."""
    users_inside: int
    """Who are read or answered at once at most: for whom the cache has room."""
    tokens_together: float
    """Output tokens of different users that travel together."""
    breakdown: dict[str, float]
    """Seconds of the time per output token by cause: those of a lone token, and waiting for others."""


def serve_on_wafers(placement: Placement) -> WaferServed:
    """The steady state of the users of ``placement``, who take turns."""
    request, steady, lone = placement.request, placement.steady, placement.lone
    measure = _measure(placement, steady)
    activity = active_share(placement, steady.busy, measure.tokens_per_second)
    return WaferServed(
        time_to_first_token_seconds=steady.time_to_first_token_seconds,
        time_per_output_token_seconds=steady.time_per_output_token_seconds,
        lone_time_to_first_token_seconds=lone.time_to_first_token_seconds,
        lone_time_per_output_token_seconds=lone.time_per_output_token_seconds,
        measure=measure, watts=placement.all_wafers * placement.machine.system.watts(activity),
        decoding_users=steady.decoding_users if request.output > 1 else 0.0, busy=steady.busy, activity=activity,
        users_inside=placement.users_inside, tokens_together=steady.tokens_together, breakdown=_breakdown(placement))


def _measure(placement: Placement, steady: SteadyLine) -> Measure:
    request = placement.request
    return Measure(users=request.batch, prompt=request.prompt, output=request.output,
                   time_to_first_token_seconds=steady.time_to_first_token_seconds,
                   time_per_output_token_seconds=steady.time_per_output_token_seconds, think_seconds=placement.think_seconds)


def _breakdown(placement: Placement) -> dict[str, float]:
    clock = float(placement.machine.clock)
    parts = {cause: cycles / clock for cause, cycles in placement.decode().breakdown.items()}
    parts["crossing"] = placement.crossing_seconds(1)
    parts["waiting"] = placement.steady.time_per_output_token_seconds - placement.lone.time_per_output_token_seconds
    return parts


def active_share(placement: Placement, busy: float, tokens_per_second: float) -> float:
    """Share of the wafers' PEs that work where regions are ``busy`` for a share of the time and the head makes
    ``tokens_per_second``. PEs outside all regions never do."""
    fabric, head, line = placement.machine.fabric, placement.head_mapping, placement.line
    regions = busy * placement.working_pes
    heads = tokens_per_second * line.checked / line.kept * line.head_seconds * head.width * head.height
    drafts = tokens_per_second * line.checked / line.kept * placement.drafting.pe_seconds
    return (regions + heads + drafts) / (placement.all_wafers * int(fabric.user_width) * int(fabric.user_height))


@dataclass(frozen=True)
class WaferSystem:
    """The wafers of ``placement`` before requests of any lengths that its cache holds."""

    placement: Placement

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.placement.all_wafers} x {self.placement.machine.title}"

    @property
    def usd_per_hour(self) -> float:
        """Of all wafers, whatever the load."""
        return self.placement.all_wafers * float(self.placement.machine.system.price_per_hour)

    @cached_property
    def costs(self) -> LineCosts:
        """What the regions take."""
        return self.placement.general_line()

    def simulate(self, traffic: Traffic) -> Outcome:
        """Serve ``traffic`` event by event; :class:`InputError` if a request is longer than any the regions are cut for."""
        longest, room = int((traffic.prompt + traffic.output).max()), self.placement.mapping.slots * self.placement.height
        if longest > room:
            raise InputError(f"a request has {longest:,} tokens in all, but {self.name} is placed for up to {room:,}: place "
                             "the model for the longest request")
        return simulate_line(self.costs, traffic)

    def watts(self, outcome: Outcome) -> float:
        """Mean power of all wafers over :attr:`Outcome.seconds`."""
        busy, tokens = outcome.busy_seconds / outcome.seconds, outcome.output_tokens / outcome.seconds
        return self.placement.all_wafers * self.placement.machine.system.watts(active_share(self.placement, busy, tokens))
