"""The wafers in the words of the comparison."""

from wsekern.compare.side import Side
from wsekern.inference.placement import Placement


def wafer_side(placement: Placement) -> Side:
    """How ``placement`` serves its request."""
    request, system = placement.request, placement.machine.system
    per_token, first = placement.token_seconds(), placement.first_token_seconds()
    decode = placement.decode()
    crossing = placement.crossing_seconds(placement.tokens_per_stage)
    total = request.batch / per_token
    watts = placement.wafers * float(system.power)
    clock = float(placement.machine.clock)
    seconds = {cause: cycles / clock for cause, cycles in decode.breakdown.items()}
    shares = {
        "compute": seconds["compute"],
        "memory": 0.0,
        "communication": seconds["fabric"] + seconds["stages"] + seconds["stream"] + crossing,
        "overhead": seconds["overhead"],
    }
    whole = sum(shares.values()) or 1.0
    return Side(
        name=f"{placement.wafers} x {placement.machine.title}",
        time_to_first_token_seconds=first, time_per_output_token_seconds=per_token,
        tokens_per_second_per_user=1 / per_token, tokens_per_second=total, watts=watts, joules_per_token=watts / total,
        usd_per_million_tokens=placement.wafers * float(system.price_per_hour) / 3600 / total * 1e6,
        memory_used_bytes=placement.memory_used(), memory_available_bytes=placement.memory_there(),
        shares={name: value / whole for name, value in shares.items()},
        facts={"wafers": placement.wafers, "grid": f"{placement.width}x{placement.height}", "regions": placement.regions,
               "layers_per_region": placement.layers,
               "head_grid": f"{placement.head_mapping.width}x{placement.head_mapping.height}",
               "prompt_chunk_tokens": placement.chunk, "tokens_per_region": placement.tokens_per_stage,
               "cycles_per_token": decode.cycles, "cycles_per_layer": decode.cycles / placement.config.layers,
               "profile": placement.profile, "breakdown_cycles": decode.breakdown},
        assumptions=_assumptions(placement))


def _assumptions(placement: Placement) -> list[str]:
    """What the figures of the wafers take for granted, a sentence each."""
    clock, system, request = placement.machine.clock, placement.machine.system, placement.request
    assumptions = [
        f"clock {float(clock) / 1e9:.2f} GHz: {clock.source}",
        f"power {float(system.power) / 1e3:.0f} kW a system whatever the load: {system.power.source}",
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
