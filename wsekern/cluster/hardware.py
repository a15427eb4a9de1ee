"""GPUs and clusters of them: about twenty sourced numbers each, loaded from TOML."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

from wsekern.description import Quantity, Unit, load_description
from wsekern.errors import InputError

Flops = Annotated[Quantity, Unit("FLOP/s", 1)]
Rate = Annotated[Quantity, Unit("B/s", 1)]
Bytes = Annotated[Quantity, Unit("B", 1)]
Watts = Annotated[Quantity, Unit("W")]
Ratio = Annotated[Quantity, Unit("ratio")]


class Peak(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dense tensor peaks. A missing precision is computed at the next wider one (weights stay small)."""

    bf16: Flops
    fp16: Flops
    fp8: Flops | None = None
    int8: Flops | None = None
    fp4: Flops | None = None


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Device memory and the last-level cache."""

    capacity: Bytes
    bandwidth: Rate
    l2: Bytes


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wires out of one GPU, per direction: to its NVLink (or PCIe) domain, and to other nodes."""

    bandwidth: Rate
    domain: Annotated[Quantity, Unit("GPUs", 1)]
    network_bandwidth: Rate
    network_latency: Annotated[Quantity, Unit("s")]
    network_efficiency: Ratio
    host_bandwidth: Rate | None = None  # PCIe (or C2C) to host memory


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Power of one GPU as fractions of TDP (waiting for work, streaming memory, busy tensor cores), and the host's share."""

    tdp: Annotated[Quantity, Unit("W", 1)]
    low_fraction: Ratio
    high_fraction: Ratio
    host: Watts
    waiting_fraction: Ratio | None = None

    @property
    def waiting(self) -> float:
        """Fraction of TDP while nothing runs between kernels; that of Hopper over its streaming one where none is given."""
        return 0.67 * float(self.low_fraction) if self.waiting_fraction is None else float(self.waiting_fraction)


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per GPU, with its share of the system around it."""

    purchase: Annotated[Quantity, Unit("USD")]
    per_hour: Annotated[Quantity, Unit("USD/h")]


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One GPU. ``kernels`` names the measured system whose fitted efficiencies it uses ("" for its family's)."""

    name: str
    title: str
    family: str
    multiprocessors: Annotated[Quantity, Unit("SMs", 1)]
    clock: Annotated[Quantity, Unit("Hz", 1)]
    peak: Peak
    memory: Memory
    link: Link
    power: Power
    price: Price
    kernels: str = ""

    def peak_flops(self, precision: str) -> float:
        """FLOP/s at ``precision``; the nearest wider one where the tensor cores lack it."""
        for name in _WIDER[precision]:
            quantity = getattr(self.peak, name)
            if quantity is not None:
                return float(quantity)
        raise InputError(f"{self.name} has no tensor peak for {precision}")


_WIDER = {
    "fp4": ("fp4", "fp8", "bf16"),
    "fp8": ("fp8", "bf16"),
    "int8": ("int8", "bf16"),
    "bf16": ("bf16",),
    "fp16": ("fp16",),
    "fp32": ("bf16",),
}


MOST_GPUS = 1_000_000
"""GPUs of the largest cluster that is taken: several times the largest site that was announced."""


@dataclass(frozen=True)
class Cluster:
    """``count`` equal GPUs in domains of ``domain`` (NVLink inside, network between)."""

    gpu: Gpu
    count: int

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise InputError(f"cluster of {self.gpu.name}: count is {self.count!r}, expected a whole number of at least 1")
        if self.count > MOST_GPUS:
            raise InputError(f"cluster of {self.gpu.name}: count is {self.count}, expected at most {MOST_GPUS} GPUs")

    @property
    def name(self) -> str:
        """Short name, as :func:`load_cluster` takes it."""
        return f"{self.gpu.name}x{self.count}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.count}x {self.gpu.title}"

    @property
    def domain(self) -> int:
        """GPUs that reach each other over NVLink."""
        return int(self.gpu.link.domain)

    @property
    def nodes(self) -> int:
        """Number of NVLink domains."""
        return -(-self.count // self.domain)

    @property
    def power_max(self) -> float:
        """Watts at TDP, hosts included."""
        return self.count * (float(self.gpu.power.tdp) + float(self.gpu.power.host))

    @property
    def price(self) -> float:
        """USD to buy it."""
        return self.count * float(self.gpu.price.purchase)

    @property
    def price_per_hour(self) -> float:
        """USD per hour to rent it."""
        return self.count * float(self.gpu.price.per_hour)


ALIASES = {
    "a100": "a100-80",
    "a100-80gb": "a100-80",
    "a100-40gb": "a100-40",
    "gb200-nvl72": "gb200",
    "gb300-nvl72": "gb300",
}
_RACKS = {"gb200-nvl72": 72, "nvl72": 72, "gb300-nvl72": 72}


def bundled_gpus() -> list[str]:
    """Names of the GPUs described in the package."""
    return sorted(_bundled())


@lru_cache(maxsize=1)
def _bundled() -> dict[str, Gpu]:
    folder = files("wsekern.cluster") / "data" / "gpus"
    return {
        entry.name.removesuffix(".toml"): load_description(str(entry), Gpu)
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


def load_gpu(name: str | os.PathLike[str]) -> Gpu:
    """A bundled GPU by name, or the user's own by the path of its TOML file."""
    known = _bundled()
    key = ALIASES.get(str(name).lower(), str(name).lower())
    if key in known:
        return known[key]
    if Path(name).exists() and str(name).endswith(".toml"):
        return load_description(name, Gpu)
    raise InputError(f"no GPU {str(name)!r}: expected a TOML file or one of {', '.join(sorted(known))}")


def load_cluster(name: str | os.PathLike[str] | Cluster, count: int | None = None) -> Cluster:
    """``"h100x8"``, ``"8xh100"``, ``"gb200-nvl72"``, or a GPU (name or own TOML file) with ``count``."""
    if isinstance(name, Cluster):
        return name if count is None else Cluster(name.gpu, count)
    text = str(name)
    lower = text.lower()
    if lower in _RACKS:
        return Cluster(load_gpu("gb200" if lower == "nvl72" else ALIASES[lower]), count or _RACKS[lower])
    if count is not None:
        return Cluster(load_gpu(text), count)
    for pattern in (r"(?P<gpu>.+?)x(?P<count>\d+)", r"(?P<count>\d+)x(?P<gpu>.+)"):
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match and _is_gpu(match["gpu"]):
            return Cluster(load_gpu(match["gpu"]), int(match["count"]))
    if _is_gpu(text):
        return Cluster(load_gpu(text), 1)
    raise InputError(
        f"no cluster {text!r}: expected a GPU and how many, such as h100x8 or gb200-nvl72; GPUs are "
        f"{', '.join(bundled_gpus())}, or the path of a TOML file followed by x8"
    )


def _is_gpu(name: str) -> bool:
    key = ALIASES.get(name.lower(), name.lower())
    return key in _bundled() or (name.endswith(".toml") and Path(name).exists())


def bundled_clusters() -> list[str]:
    """The clusters that a listing shows: each GPU as its usual system."""
    racks = {"gb200": "gb200-nvl72", "gb300": "gb300-nvl72"}
    return [racks.get(name, f"{name}x{min(8, int(load_gpu(name).link.domain))}") for name in bundled_gpus()]
