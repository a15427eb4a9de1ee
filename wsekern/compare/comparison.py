"""What one request costs on either side, in the same words."""

from dataclasses import asdict, dataclass, replace

from wsekern.cluster import Cluster, best_cluster, load_cluster
from wsekern.compare.cluster_side import gpu_precision
from wsekern.compare.forced import with_note
from wsekern.compare.pairing import Pairing
from wsekern.compare.side import Side
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


def compare(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, cluster: str | Cluster,
            profile: str = "silicon", engine_level: str = "stock") -> Comparison:
    """Serve ``request`` on ``machine`` (the fewest wafers that hold it, or ``wafers``) and on a GPU ``cluster``.

    ``cluster`` may be a name such as ``h100x8``, or ``auto``: the usual system, and the layout on it, with the least time per
    output token.
    """
    layout: dict[str, int] = {}
    if cluster == "auto":
        described, served = best_cluster(config, request, engine_level=engine_level, precision=gpu_precision(request))
        layout = asdict(served.layout)
    else:
        described = load_cluster(cluster)
    pairing = Pairing(config, machine, described, wafers, profile, engine_level)
    wafer = pairing.wafer(request)
    if wafers is not None:
        wafer = with_note(wafer, replace(pairing, wafers=None).wafer(request), request, machine)
    return Comparison(config.name, request, wafer, pairing.gpus(request, **layout),
                      pairing.ideal_gpus(request, **layout))
