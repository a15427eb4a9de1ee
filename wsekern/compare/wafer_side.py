"""The wafers in the words of the comparison."""

from wsekern.compare.side import Side
from wsekern.inference.load import serve_on_wafers
from wsekern.inference.placement import Placement
from wsekern.workload.request import Request


def wafer_side(placement: Placement) -> Side:
    """How ``placement`` serves its request."""
    request, system, served = placement.request, placement.machine.system, serve_on_wafers(placement)
    decode, measure, seconds = placement.decode(), served.measure, served.breakdown
    shares = {
        "compute": seconds["compute"],
        "memory": 0.0,
        "communication": seconds["fabric"] + seconds["stages"] + seconds["stream"] + seconds["crossing"],
        "overhead": seconds["overhead"] + seconds["waiting"],
    }
    whole = sum(shares.values())
    return Side(
        name=f"{placement.wafers} x {placement.machine.title}",
        time_to_first_token_seconds=measure.time_to_first_token_seconds,
        time_per_output_token_seconds=measure.time_per_output_token_seconds,
        tokens_per_second_per_user=measure.tokens_per_second_per_user, tokens_per_second=measure.tokens_per_second,
        watts=served.watts, joules_per_token=measure.joules_per_token(served.watts),
        usd_per_million_tokens=measure.usd_per_million_tokens(placement.wafers * float(system.price_per_hour)),
        memory_used_bytes=placement.memory_used(), memory_available_bytes=placement.memory_there(),
        shares={name: value / whole for name, value in shares.items()},
        facts={"wafers": placement.wafers, "grid": f"{placement.width}x{placement.height}", "regions": placement.regions,
               "layers_per_region": placement.layers,
               "head_grid": f"{placement.head_mapping.width}x{placement.head_mapping.height}",
               "prompt_chunk_tokens": placement.chunk, "tokens_per_region": served.tokens_together,
               "decoding_users": served.decoding_users, "busy_share": served.busy, "active_share_of_pes": served.activity,
               "cycles_per_token": decode.cycles, "cycles_per_layer": decode.cycles / placement.config.layers,
               "profile": placement.profile, "breakdown_cycles": decode.breakdown, "breakdown_seconds": served.breakdown},
        assumptions=_assumptions(placement, request))


def _assumptions(placement: Placement, request: Request) -> list[str]:
    """What the figures of the wafers take for granted, a sentence each."""
    clock, system = placement.machine.clock, placement.machine.system
    assumptions = [
        f"clock {float(clock) / 1e9:.2f} GHz: {clock.source}",
        *system.describe_power(),
        f"{float(system.price_per_hour):.2f} USD an hour a system: {system.price_per_hour.source}",
        f"{float(system.io_latency) * 1e6:.0f} us from wafer to wafer: {system.io_latency.source}",
        "weights and cache stay in SRAM, read at the cores' own speed: memory time is inside compute",
        "host, tokenizer and sampling take no time on either side",
    ]
    known = placement.config.max_context
    if request.context > known:
        assumptions.append(f"{request.context:,} positions, although {placement.config.name} knows {known:,}")
    if placement.config.experts:
        assumptions.append("every expert is spread over all columns of its region: no choice of experts is slower than another")
    if placement.config.sliding_layers:
        assumptions.append("layers with a sliding window keep and read the whole context, as the others do")
    return assumptions
