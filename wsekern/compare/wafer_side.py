"""The wafers in the words of the comparison."""

from dataclasses import asdict, replace
from functools import lru_cache

from wsekern.compare.serving import Serving
from wsekern.compare.side import Side
from wsekern.errors import InputError
from wsekern.inference.blocks.folding import folding_assumptions
from wsekern.inference.layer import parts_on_grid
from wsekern.machine import Machine, System
from wsekern.planning.drafting import check_speculation
from wsekern.planning.load import WaferServed, serve_on_wafers
from wsekern.planning.placement import Placement, place_draft, place_model
from wsekern.planning.stated import speculation_assumptions
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


def placed(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, profile: str, serving: Serving,
           cached: int | None = None) -> Placement:
    """Where ``config`` lies on ``wafers`` (None: the fewest that hold the request) of ``machine``; with a plan, where that
    says. :class:`InputError` if they cannot hold the request. ``cached`` tokens of every prompt need not be read: the request's
    shared ones unless given."""
    chosen = serving.wafers
    check_cache(chosen.cache_precision or request.precision, serving.kv_precision, machine)
    if chosen.plan is not None:
        check_speculation(config, serving.speculation)
        draft = place_draft(serving.speculation, request, machine, profile)
        return replace(chosen.plan, think_seconds=serving.think_seconds, speculation=serving.speculation, cached=cached,
                       draft=draft).serving(request)
    return _known(config, request, machine, wafers, profile, serving.think_seconds, serving.speculation, cached,
                  programs=chosen.programs, weight_precision=chosen.weight_precision,
                  cache_precision=chosen.cache_precision, expert_law=chosen.expert_law)


_known = lru_cache(maxsize=256)(place_model)
"""Placements that were searched before."""


def wafer_side(placement: Placement, system: System) -> Side:
    """How ``placement`` serves its request, with the power and prices of ``system``."""
    side, before, behind = _unpriced(placement)
    count = placement.all_wafers
    return replace(
        side, watts=count * system.watts(side.facts["active_share_of_pes"]), rated_watts=count * float(system.power),
        usd_per_hour=count * float(system.price_per_hour), facts=dict(side.facts), shares=dict(side.shares),
        assumptions=[*before, *_of_system(system), *behind])


@lru_cache(maxsize=1024)
def _unpriced(placement: Placement) -> tuple[Side, tuple[str, ...], tuple[str, ...]]:
    """The side whatever it draws and costs, and the assumptions that come before those of the system and behind them."""
    served, decode = serve_on_wafers(placement), placement.decode()
    side = Side(
        name=f"{placement.all_wafers} x {placement.machine.title}", measure=served.measure,
        lone_time_to_first_token_seconds=served.lone_time_to_first_token_seconds,
        lone_time_per_output_token_seconds=served.lone_time_per_output_token_seconds,
        watts=0.0, rated_watts=0.0, usd_per_hour=0.0,
        memory_used_bytes=placement.memory_used(), memory_available_bytes=placement.memory_there(),
        shares=_shares(served),
        facts={"wafers": placement.all_wafers, "grid": f"{placement.width}x{placement.height}", "regions": placement.regions,
               "layers_per_region": placement.layers,
               "head_grid": f"{placement.head_mapping.width}x{placement.head_mapping.height}",
               "prompt_chunk_tokens": placement.chunk, "tokens_per_region": served.tokens_together,
               "users_inside": served.users_inside, "decoding_users": served.decoding_users, "busy_share": served.busy,
               "active_share_of_pes": served.activity,
               "cycles_per_token": decode.cycles, "cycles_per_layer": decode.cycles / placement.config.layers,
               "profile": placement.profile, "breakdown_cycles": decode.breakdown, "breakdown_seconds": served.breakdown})
    return side, tuple(_before(placement)), tuple(_behind(placement, placement.request))


def check_cache(precision: str, cache: str | None, machine: Machine) -> None:
    """Refuse a cache in another format than that of the weights, which the cores' programs do not convert."""
    held = precision.removesuffix("_fp32")
    if cache is not None and cache != held:
        raise InputError(f"{machine.title} keeps its cache in the format of its weights, here {held}: it cannot hold one in "
                         f"{cache}")


def _formats_and_programs(placement: Placement) -> list[str]:
    """In which formats a model lies, and which programs its layers run."""
    precision, weights, cache = placement.request.precision, placement.weight_precision, placement.cache_precision
    if not weights and not cache:
        lies = f"weights and cache in {precision} on the wafers"
    else:
        lies = (f"matrices of layers in {weights or precision} and the cache in {cache or precision} on the wafers, all else "
                f"in {precision}")
    chosen = {name.replace("_", " "): value for name, value in asdict(placement.programs).items() if value != 1}
    programs = ", ".join(f"{name} {value}" for name, value in chosen.items())
    return [lies, f"layers run programs with {programs}, activations {placement.mapping.form}"]


def _shares(served: WaferServed) -> dict[str, float]:
    """Parts of the time per output token."""
    seconds = served.breakdown
    shares = {
        "compute": seconds["compute"],
        "memory": 0.0,
        "communication": seconds["fabric"] + seconds["stages"] + seconds["stream"] + seconds["crossing"],
        "overhead": seconds["overhead"] + seconds["waiting"],
    }
    whole = sum(shares.values()) or 1.0
    return {name: value / whole for name, value in shares.items()}


def wafer_assumptions(placement: Placement, request: Request) -> list[str]:
    """What the figures of the wafers take for granted, a sentence each."""
    return [*_before(placement), *_of_system(placement.machine.system), *_behind(placement, request)]


def _before(placement: Placement) -> list[str]:
    """Formats, programs and the clock."""
    clock = placement.machine.clock
    return [*_formats_and_programs(placement), f"clock {float(clock) / 1e9:.2f} GHz: {clock.source}"]


def _of_system(system: System) -> list[str]:
    """Power, price and links."""
    return [*system.describe_power(),
            f"{float(system.price_per_hour):.2f} USD an hour a system: {system.price_per_hour.source}",
            f"{float(system.io_latency) * 1e6:.0f} us from wafer to wafer: {system.io_latency.source}"]


def _behind(placement: Placement, request: Request) -> list[str]:
    """All others."""
    assumptions = ["weights and cache stay in SRAM, read at the cores' own speed: memory time is inside compute",
                   "host, tokenizer and sampling take no time on either side"]
    if placement.inside is not None:
        assumptions.append(f"{placement.users_inside} of {request.batch} users are read or answered at once, the others wait: "
                           "regions with room for the caches of all would serve them later")
    if placement.idle_wafers:
        assumptions.append(f"{placement.idle_wafers} of {placement.wafers} wafers stay empty, but are paid for: spread over "
                           "all, the model would answer later")
    assumptions += speculation_assumptions(placement)
    known = placement.config.max_context
    if request.context > known:
        assumptions.append(f"{request.context:,} positions, although {placement.config.name} knows {known:,}")
    assumptions += folding_assumptions(placement.mapping)
    parts = (part for block, _ in placement.config.kinds for part in parts_on_grid(placement.mapping, block))
    assumptions += dict.fromkeys(line for part in parts for line in part.assumptions())
    return assumptions
