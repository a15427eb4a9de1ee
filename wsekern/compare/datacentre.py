"""A whole datacentre: how many systems a power budget feeds, how many users they serve, how many tokens a second."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from wsekern.compare.beside import Beside, Named, SideBySide, attempt, clusters_of, reason_of, served
from wsekern.compare.front import fronts
from wsekern.compare.pairing import IDEAL, Pairing, check_all
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side, copies_of
from wsekern.errors import InputError
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

BATCHES = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)
"""Users per system that are tried."""
OVERHEAD = 1.25
"""Power of the whole site over that of its computers (PUE): assumed, a usual figure of liquid-cooled sites."""
NETWORK = 0.05
"""Share of the computers' power for network, storage and hosts that no system counts: assumed."""

_REQUEST = Request()
_UNITS = {"W": 1.0, "KW": 1e3, "MW": 1e6, "GW": 1e9}


def parse_power(text: str) -> float:
    """Watts of ``"750MW"``, ``"20 kW"`` or ``"5e6 W"``."""
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([kKmMgG]?[wW])\s*", text)
    try:
        watts = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    except (ValueError, KeyError):
        watts = 0.0
    if not 0.0 < watts < float("inf"):
        raise InputError(f"power is {text!r}, expected a number with W, kW, MW or GW behind it, such as 750MW")
    return watts


@dataclass(frozen=True, kw_only=True)
class Site:
    """One side filling the power budget."""

    system: str
    systems: int
    users: int
    users_per_system: int
    requests_per_second: float
    tokens_per_second: float
    prompt_tokens_per_second: float
    tokens_per_second_per_user: float
    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    request_seconds: float
    think_seconds: float
    joules_per_token: float
    joules_per_request: float
    system_watts: float
    usd_per_hour: float
    usd_per_million_tokens: float
    usd_per_request: float
    assumptions: list[str] = field(default_factory=list)
    bounds: "tuple[Site, Site] | None" = None
    """The site with the least and the largest times that it may have, where its machine was not measured."""

    def ranges(self) -> dict[str, list[float]]:
        """The least and the largest value of every figure that is not known better than between them."""
        found = {}
        for each in fields(self):
            values = [getattr(site, each.name) for site in self.bounds or ()]
            if values and isinstance(values[0], float) and values[0] != values[1]:
                found[each.name] = sorted(values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data = asdict(replace(self, bounds=None))
        del data["bounds"]
        return {**data, "ranges": self.ranges()}


@dataclass(frozen=True, kw_only=True, repr=False)
class Sites(SideBySide[Site]):
    """The same power given to wafers and to one cluster or several; None where a side cannot use it, and ``not_served`` says
    why, or where ideal software was asked for anyway."""

    NAMES = ("wafers", "gpus", "gpus_ideal")

    def to_dict(self) -> dict[str, Any]:
        """Plain data by side. Several clusters are a list."""
        return {**self.data(Site.to_dict), "not_served": self.not_served, "front": fronts(self.chosen())}


@dataclass(frozen=True)
class Budget:
    """Power at the meter in watts, how much of it reaches the systems, and the least speed that it must buy for each user."""

    watts: float
    least_tokens_per_second_per_user: float = 0.0
    overhead: float = OVERHEAD
    network: float = NETWORK

    def __post_init__(self) -> None:
        if self.overhead < 1.0 or not 0.0 <= self.network < 1.0:
            raise InputError(f"overhead is {self.overhead} and network {self.network}: expected at least 1, and a share from 0 "
                             "to 1")

    @property
    def usable_watts(self) -> float:
        """What the systems themselves may draw."""
        return self.watts / self.overhead * (1.0 - self.network)

    def assumptions(self, request: Request) -> list[str]:
        """What a site inside this budget takes for granted when its users ask for ``request``, a sentence each."""
        least = self.least_tokens_per_second_per_user
        return [
            f"{self.watts / 1e6:g} MW at the meter, {self.overhead:g} of it per watt of computers (PUE, assumed), "
            f"{self.network:.0%} of the computers' share for network, storage and spare hosts (assumed)",
            "power is provisioned at each system's rating, energy per token at its load",
            f"prompt {request.prompt}, output {request.output}, {request.precision}; every system busy; "
            + (f"at least {least:g} tokens/s for each user" if least else "no bound on the speed of a user"),
        ]


def datacentre(
    config: ModelConfig,
    machine: Machine,
    cluster: Named,
    budget: Budget,
    *,
    request: Request = _REQUEST,
    wafers: int | None = None,
    profile: str = "silicon",
    engine_level: str = "stock",
    serving: Serving = PLAIN,
    batches: Sequence[int] = BATCHES,
) -> Sites:
    """Fill ``budget`` with wafers and with each ``cluster``, each system with the users of ``batches`` that give it most tokens
    a second.

    ``request`` is what each user asks for; its batch is not used. A side is None where no batch reaches the speed that the
    budget asks for each user or the model does not fit, and ideal software where ``engine_level`` is that already.
    """
    pairings = [Pairing(config, machine, one, wafers, profile, engine_level, serving) for one in clusters_of(cluster)]
    check_all(pairings)

    def best(serve: Callable[[Request], Side]) -> Site | InputError:
        return attempt(_best, serve, request, batches, budget)

    first = best(pairings[0].wafer)
    clusters = []
    for pairing in pairings:
        ideal = {} if engine_level == IDEAL else {"cluster_ideal": best(pairing.ideal_gpus)}
        clusters.append(Beside.of(pairing.cluster.name, cluster=best(pairing.gpus), **ideal))
    return Sites(wafer=served(first), clusters=tuple(clusters), why_no_wafers=reason_of(first))


def _best(serve: Callable[[Request], Side], request: Request, batches: Sequence[int], budget: Budget) -> Site:
    """The site with most tokens a second; ``serve`` gives one system under the load of a batch. :class:`InputError` says why no
    batch gives one."""
    sites, reasons = [], []
    for batch in batches:
        side = attempt(serve, replace(request, batch=batch))
        if isinstance(side, InputError):
            reasons.append(str(side))
            continue
        systems = int(budget.usable_watts / side.rated_watts)
        if systems < 1:
            reasons.append(f"{side.name} is rated at {side.rated_watts / 1e3:.3g} kW, of the power at the meter "
                           f"{budget.usable_watts / 1e3:.3g} kW are left for systems")
        elif side.tokens_per_second_per_user < budget.least_tokens_per_second_per_user:
            reasons.append(f"{side.name} gives each user {side.tokens_per_second_per_user:,.0f} tokens/s where {batch:,} at "
                           f"once use it, expected at least {budget.least_tokens_per_second_per_user:,g}")
        else:
            sites.append(_site(side, systems, batch, budget.assumptions(request)))
    if not sites:
        raise InputError(reasons[0])
    return max(sites, key=lambda site: site.tokens_per_second)


def _site(side: Side, systems: int, batch: int, common: list[str]) -> Site:
    """``systems`` such as ``side``, each under the load of ``batch`` users."""
    whole = copies_of(side, systems)
    return Site(
        system=side.name, systems=systems, users=systems * batch, users_per_system=batch,
        requests_per_second=whole.requests_per_second, tokens_per_second=whole.tokens_per_second,
        prompt_tokens_per_second=whole.prompt_tokens_per_second, tokens_per_second_per_user=side.tokens_per_second_per_user,
        time_to_first_token_seconds=side.time_to_first_token_seconds,
        time_per_output_token_seconds=side.time_per_output_token_seconds, request_seconds=side.request_seconds,
        think_seconds=side.think_seconds,
        joules_per_token=side.joules_per_token, joules_per_request=side.joules_per_request, system_watts=side.rated_watts,
        usd_per_hour=whole.usd_per_hour, usd_per_million_tokens=side.usd_per_million_tokens,
        usd_per_request=side.usd_per_request, assumptions=[*common, *side.assumptions],
        bounds=side.bounds and (_site(side.bounds[0], systems, batch, []), _site(side.bounds[1], systems, batch, [])))
