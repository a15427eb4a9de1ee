"""What one request costs on either side, in the same words."""

from dataclasses import asdict, dataclass

from wsekern.cluster import best_cluster
from wsekern.compare.cluster_side import cluster_side, gpu_precision
from wsekern.compare.side import Side
from wsekern.inference.placement import Placement, place_model
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


@dataclass(frozen=True)
class Comparison:
    """One request on both sides; a second cluster side shows the bound that perfect software would reach."""

    model: str
    request: Request
    wafer: Side
    cluster: Side
    cluster_ideal: Side

    def ratios(self) -> dict[str, float]:
        """How many times better the wafer is than the cluster (below 1: worse)."""
        wafer, cluster = self.wafer, self.cluster
        return {
            "time_to_first_token": cluster.time_to_first_token_seconds / wafer.time_to_first_token_seconds,
            "tokens_per_second_per_user": wafer.tokens_per_second_per_user / cluster.tokens_per_second_per_user,
            "tokens_per_second": wafer.tokens_per_second / cluster.tokens_per_second,
            "tokens_per_joule": cluster.joules_per_token / wafer.joules_per_token,
            "tokens_per_usd": cluster.usd_per_million_tokens / wafer.usd_per_million_tokens,
        }

    def to_dict(self) -> dict:
        """Plain data for JSON; keys carry units."""
        return {"model": self.model, "request": asdict(self.request), "wafer": asdict(self.wafer),
                "cluster": asdict(self.cluster), "cluster_ideal": asdict(self.cluster_ideal),
                "wafer_better_by": self.ratios(), "reasons": self.reasons()}

    def reasons(self) -> list[str]:
        """The comparison in sentences."""
        speeds = {"tokens_per_second_per_user": "answers one user {} times {} than",
                  "tokens_per_second": "serves all users together {} times {} than"}
        amounts = {"tokens_per_joule": "per joule", "tokens_per_usd": "per dollar"}
        sentences = []
        for key, factor in self.ratios().items():
            times = f"{max(factor, 1 / factor):.1f}"
            if key in speeds:
                words = speeds[key].format(times, "faster" if factor >= 1 else "slower")
                sentences.append(f"{self.wafer.name} {words} {self.cluster.name}")
            elif key in amounts:
                better, worse = (self.wafer, self.cluster) if factor >= 1 else (self.cluster, self.wafer)
                sentences.append(f"{amounts[key]}, {better.name} gives {times} times the tokens of {worse.name}")
        for side in (self.wafer, self.cluster):
            cause = max(side.shares, key=side.shares.get)
            sentences.append(f"the largest part of a token on {side.name} is {cause}: {100 * side.shares[cause]:.0f} %")
        return sentences


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
    assumptions = [
        f"clock {clock / 1e9:.2f} GHz: {placement.machine.clock.source}",
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
        assumptions=assumptions)


def compare(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, cluster: str,
            profile: str = "silicon", engine_level: str = "stock") -> Comparison:
    """Serve ``request`` on ``machine`` (the fewest wafers that hold it, or ``wafers``) and on the named GPU cluster.

    ``cluster`` may be ``auto``: the usual system, and the layout on it, with the least time per output token.
    """
    wafer = wafer_side(place_model(config, request, machine, wafers, profile))
    layout: dict[str, int] = {}
    if cluster == "auto":
        best, served = best_cluster(config, request, engine_level=engine_level, precision=gpu_precision(request))
        cluster, layout = best.name, {"tp": served.tp, "pp": served.pp, "dp": served.dp, "ep": served.ep}
    sides = (cluster_side(config, request, cluster, level, **layout) for level in (engine_level, "ideal"))
    return Comparison(config.name, request, wafer, *sides)
