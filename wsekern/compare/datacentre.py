"""A whole datacentre: how many systems a power budget feeds, how many users they serve, how many tokens a second."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wsekern.cluster import load_cluster
from wsekern.compare.cluster_side import cluster_side
from wsekern.compare.comparison import wafer_side
from wsekern.compare.side import Side
from wsekern.errors import InputError
from wsekern.inference.placement import place_model
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

BATCHES = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)
"""Users per system that are tried."""
OVERHEAD = 1.25
"""Power of the whole site over that of its computers (PUE): assumed, a usual figure of liquid-cooled sites."""
NETWORK = 0.05
"""Share of the computers' power for network, storage and hosts that no system counts: assumed."""

_UNITS = {"": 1.0, "W": 1.0, "KW": 1e3, "MW": 1e6, "GW": 1e9}


def parse_power(text: str) -> float:
    """Watts of ``"750MW"``, ``"20 kW"`` or ``"5e6"``."""
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([kKmMgG]?[wW]?)\s*", text)
    try:
        watts = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    except (ValueError, KeyError):
        watts = 0.0
    if watts <= 0:
        raise InputError(f"power is {text!r}, expected a number with W, kW, MW or GW, such as 750MW")
    return watts


@dataclass(frozen=True, kw_only=True)
class Site:
    """One side filling the power budget."""

    system: str
    systems: int
    users: int
    users_per_system: int
    tokens_per_second: float
    tokens_per_second_per_user: float
    time_to_first_token_seconds: float
    joules_per_token: float
    system_watts: float
    usd_per_million_tokens: float
    assumptions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def datacentre(
    config: ModelConfig,
    machine: Machine,
    cluster: str,
    power: str | float,
    *,
    prompt: int = 1024,
    output: int = 256,
    precision: str = "fp16",
    least_tokens_per_second_per_user: float = 0.0,
    engine_level: str = "stock",
    wafers: int | None = None,
    profile: str = "silicon",
    batches: Sequence[int] = BATCHES,
    overhead: float = OVERHEAD,
    network: float = NETWORK,
) -> tuple[Site | None, Site | None, Site | None]:
    """(wafers, GPUs, GPUs with ideal software): each with the users per system that give it most tokens a second at no less
    than the asked speed per user; None where none reaches that speed or the model does not fit, and for the last where the
    engine level is the ideal one already."""
    watts = parse_power(power) if isinstance(power, str) else float(power)
    if overhead < 1.0 or not 0.0 <= network < 1.0:
        raise InputError(f"overhead is {overhead} and network {network}: expected at least 1, and a share from 0 to 1")
    usable = watts / overhead * (1.0 - network)
    described = load_cluster(cluster)
    rated = described.power_max

    def wafer_at(batch: int) -> tuple[Side, float]:
        side = wafer_side(place_model(config, Request(prompt, output, batch, precision), machine, wafers, profile))
        return side, side.watts

    def cluster_at(level: str) -> Callable[[int], tuple[Side, float]]:
        return lambda batch: (cluster_side(config, Request(prompt, output, batch, precision), described, level), rated)

    common = [
        f"{watts / 1e6:g} MW at the meter, {overhead:g} of it per watt of computers (PUE, assumed), {network:.0%} of the "
        "computers' share for network, storage and spare hosts (assumed)",
        "power is provisioned at each system's rating, energy per token at its load",
        f"prompt {prompt}, output {output}, {precision}; every system busy; "
        + (f"at least {least_tokens_per_second_per_user:g} tokens/s for each user" if least_tokens_per_second_per_user
           else "no bound on the speed of a user"),
    ]
    def best(make: Callable[[int], tuple[Side, float]]) -> Site | None:
        return _best(make, batches, usable, least_tokens_per_second_per_user, common)

    return best(wafer_at), best(cluster_at(engine_level)), None if engine_level == "ideal" else best(cluster_at("ideal"))


def _best(make: Callable[[int], tuple[Side, float]], batches: Sequence[int], usable: float, least: float,
          common: list[str]) -> Site | None:
    best: Site | None = None
    for batch in batches:
        try:
            side, rated = make(batch)
        except InputError:
            continue
        systems = int(usable / rated)
        if side.tokens_per_second_per_user < least or systems < 1:
            continue
        site = Site(
            system=side.name, systems=systems, users=systems * batch, users_per_system=batch,
            tokens_per_second=systems * side.tokens_per_second, tokens_per_second_per_user=side.tokens_per_second_per_user,
            time_to_first_token_seconds=side.time_to_first_token_seconds, joules_per_token=side.joules_per_token,
            system_watts=rated, usd_per_million_tokens=side.usd_per_million_tokens, assumptions=[*common, *side.assumptions])
        if best is None or site.tokens_per_second > best.tokens_per_second:
            best = site
    return best
