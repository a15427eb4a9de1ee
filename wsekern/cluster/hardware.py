"""Machines beside the wafer and clusters of them: about twenty sourced numbers a chip, loaded from TOML.

One file describes a chip whole: its numbers, how its kernels are priced, the names it answers to, and whose kernels stand in
for its own. A chip is what a layout counts, whatever its devices; :class:`Gpu` is any of them.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec

from wsekern.cluster.constants import constants
from wsekern.description import Listing, Quantity, Unit, load_description
from wsekern.errors import InputError
from wsekern.garbage import lasting
from wsekern.shown import Shown

Flops = Annotated[Quantity, Unit("FLOP/s", 1)]
Rate = Annotated[Quantity, Unit("B/s", 1)]
Bytes = Annotated[Quantity, Unit("B", 1)]
Watts = Annotated[Quantity, Unit("W")]
Ratio = Annotated[Quantity, Unit("ratio", 0.001, 1)]


class Peak(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dense peaks by the arithmetic of a product, which is that of its wider side: weights in 4 bit beside activations in 8 go
    at the 8-bit rate. Weights made for a missing arithmetic are unpacked to bf16 (:meth:`Precision.on`)."""

    bf16: Flops
    fp16: Flops | None = None
    fp8: Flops | None = None
    int8: Flops | None = None
    fp4: Flops | None = None


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A memory of one chip behind or before its main one."""

    name: str
    capacity: Bytes
    bandwidth: Rate


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory of one chip that holds weights and caches, and its last-level cache.

    ``tiers`` are further memories, quickest first (SRAM before HBM, DDR behind it). ``lanes``: elements to which a cached row
    of one head is filled up. ``program``: what lies beside weights and caches (activations, instructions), a usual figure where
    none is given. ``shared``: the processor of the box lives in the same memory, and leaves so much of it.
    """

    capacity: Bytes
    bandwidth: Rate
    l2: Bytes | None = None
    tiers: tuple[Tier, ...] = ()
    lanes: Annotated[Quantity, Unit("elements", 1, whole=True)] | None = None
    program: Annotated[Quantity, Unit("B")] | None = None
    shared: Ratio | None = None

    @property
    def behind(self) -> tuple[Tier, ...]:
        """Tiers slower than the main memory, which hold what it does not, quickest first."""
        slower = (tier for tier in self.tiers if float(tier.bandwidth) < float(self.bandwidth))
        return tuple(sorted(slower, key=lambda tier: -float(tier.bandwidth)))

    @property
    def whole(self) -> float:
        """Bytes for weights and caches: of the main memory and of those behind it."""
        return float(self.capacity) + sum(float(tier.capacity) for tier in self.behind)


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wires out of one GPU, per direction: to its NVLink (or PCIe) domain, and to other nodes."""

    bandwidth: Rate
    domain: Annotated[Quantity, Unit("GPUs", 1)]
    network_bandwidth: Rate
    network_latency: Annotated[Quantity, Unit("s")]
    network_efficiency: Ratio
    host_bandwidth: Rate | None = None  # PCIe (or C2C) to host memory


KINDS = ("switch", "torus", "mesh", "network")
"""Wires inside a domain: all to all through switches, a torus of rings, a wire between each two chips, or adapters alone."""


class Interconnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the wires of a domain lie; :class:`Link` says how much they carry, all wires of a chip together.

    Of a torus: ``axes`` are the chips along each axis of a whole domain, ``shapes`` the usual slices of it, one string such as
    "4x4" each; an axis wraps around in slices that are as long as it, or that ``cube`` chips divide (optical switches join
    cubes into rings). ``hop``: latency of one wire.
    """

    kind: str = "switch"
    axes: Annotated[Listing, Unit("chips", 1)] | None = None
    shapes: tuple[str, ...] = ()
    cube: Annotated[Quantity, Unit("chips", 1, whole=True)] | None = None
    hop: Annotated[Quantity, Unit("s")] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"interconnect: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind == "torus" and self.axes is None:
            raise InputError("interconnect: kind is 'torus', which needs axes: the chips along each axis of a whole domain")
        axes = None if self.axes is None else len(self.axes.values)
        if axes == 0:
            raise InputError("axes is empty, expected the chips along each axis of a whole domain")
        for shape in self.shapes:
            if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})*", shape) or shape.count("x") >= (axes or 1):
                raise InputError(f"shape {shape[:40]!r}, expected chips along at most {axes or 1} axes, such as 2x4")

    @staticmethod
    def needs(data: dict[str, Any]) -> list[str]:
        """Keys that ``data`` lacks although none is required of all."""
        return ["axes"] if data.get("kind") == "torus" and "axes" not in data else []


class Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Compute of a compiled machine: products run on arrays of ``rows`` x ``columns``, to which shapes are filled up, in steps
    of compiled buckets of at least ``bucket`` sequences and ``tokens`` tokens; what a program costs beside its work."""

    rows: Annotated[Quantity, Unit("elements", 1, whole=True)]
    columns: Annotated[Quantity, Unit("elements", 1, whole=True)]
    bucket: Annotated[Quantity, Unit("tokens", 1, whole=True)]
    dispatch: Annotated[Quantity, Unit("s")] | None = None


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Power of one GPU as fractions of TDP (waiting for work, kernels that wait for latencies, streaming memory, busy tensor
    cores: each at least the one before, none above 1), and the host's share."""

    tdp: Annotated[Quantity, Unit("W", 1)]
    low_fraction: Ratio
    high_fraction: Ratio
    host: Watts
    waiting_fraction: Ratio | None = None
    latency_fraction: Ratio | None = None

    def __post_init__(self) -> None:
        stated = (self.waiting, self.latency, float(self.low_fraction), float(self.high_fraction))
        if not 0.0 <= stated[0] <= stated[1] <= stated[2] <= stated[3] <= 1.0:
            raise InputError(
                "power: waiting, latency, low and high fraction are "
                f"{', '.join(f'{value:g}' for value in stated)}, expected each at least the one before and none above 1"
            )

    @property
    def waiting(self) -> float:
        """Fraction of TDP while nothing runs between kernels; a usual part of the streaming one where none is given."""
        if self.waiting_fraction is None:
            return constants().waiting_power.value * float(self.low_fraction)
        return float(self.waiting_fraction)

    @property
    def latency(self) -> float:
        """Fraction of TDP while kernels wait for latencies; a usual way from waiting to streaming where none is given."""
        if self.latency_fraction is None:
            return self.waiting + constants().latency_power.value * (float(self.low_fraction) - self.waiting)
        return float(self.latency_fraction)


class Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A power mode of a box: its power, and shares of its cores' clock and of its memory's bandwidth that are left."""

    name: str
    tdp: Annotated[Quantity, Unit("W", 1)]
    clock: Ratio
    bandwidth: Ratio


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per GPU, with its share of the system around it."""

    purchase: Annotated[Quantity, Unit("USD")]
    per_hour: Annotated[Quantity, Unit("USD/h")]


MECHANISMS = ("gpu", "systolic", "pipeline")
"""Kinds of kernel cost: kernels measured on GPUs, compiled systolic arrays, pipelines of chips that keep weights in SRAM."""


class Gpu(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """One chip of a machine beside the wafer.

    ``mechanism`` is how its kernels are priced (:data:`MECHANISMS`), ``family`` the chips whose measurements stand in for each
    other. All numbers are of a chip, whose ``devices`` programs see apart, with ``between`` them a wire each way.

    ``kernels`` names the measured system whose fitted efficiencies it uses. Where it is empty, those of the ``typical`` GPU of
    its ``family`` stand in, or of the ``fallback`` family where the own one has none; the same for ``small_kernel``, the
    smallest kernel in a CUDA graph. ``aliases`` are other names of the GPU, ``racks`` names of one whole NVLink domain of it.
    """

    name: str
    title: str
    family: str
    peak: Peak
    memory: Memory
    link: Link
    power: Power
    price: Price
    multiprocessors: Annotated[Quantity, Unit("SMs", 1)] | None = None
    clock: Annotated[Quantity, Unit("Hz", 1)] | None = None
    mechanism: str = "gpu"
    interconnect: Interconnect = Interconnect()
    array: Array | None = None
    devices: Annotated[Quantity, Unit("count", 1, whole=True)] | None = None
    between: Rate | None = None
    kernels: str = ""
    modes: tuple[Mode, ...] = ()
    typical: bool = False
    fallback: str = ""
    small_kernel: Annotated[Quantity, Unit("s")] | None = None
    aliases: tuple[str, ...] = ()
    racks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise InputError(f"{self.name}: mechanism is {self.mechanism!r}, expected one of {', '.join(MECHANISMS)}")
        if self.mechanism == "systolic" and self.array is None:
            raise InputError(f"{self.name}: mechanism is 'systolic', which needs a table array: rows, columns and bucket")

    @staticmethod
    def needs(data: dict[str, Any]) -> list[str]:
        """Keys that ``data`` lacks although none is required of all."""
        compiled = data.get("mechanism") == "systolic" and "array" not in data
        return [f"array.{key}" for key in ("rows", "columns", "bucket")] if compiled else []

    @property
    def arithmetics(self) -> frozenset[str]:
        """What the tensor cores compute in: every format with a peak."""
        return _arithmetics(self.peak)

    def peak_flops(self, precision: str) -> float:
        """FLOP/s at ``precision``; the nearest wider one where the tensor cores lack it."""
        for name in _WIDER[precision]:
            quantity = getattr(self.peak, name)
            if quantity is not None:
                return float(quantity)
        raise InputError(f"{self.name} has no tensor peak for {precision}")


@lasting
@lru_cache(maxsize=256)
def _arithmetics(peak: Peak) -> frozenset[str]:
    return frozenset(name for name, value in msgspec.structs.asdict(peak).items() if value is not None)


_WIDER = {
    "fp4": ("fp4", "fp8", "bf16"),
    "fp8": ("fp8", "bf16"),
    "int8": ("int8", "bf16"),
    "bf16": ("bf16",),
    "fp16": ("fp16", "bf16"),
    "fp32": ("bf16",),
}


MAX_GPUS = 1_000_000
"""Sanity limit: several times the largest announced site."""


@dataclass(frozen=True, repr=False)
class Cluster(Shown):
    """``count`` equal GPUs in domains of ``domain`` (NVLink inside, network between)."""

    gpu: Gpu
    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InputError(f"cluster of {self.gpu.name}: count is {self.count!r}, expected a whole number of at least 1")
        if self.count > MAX_GPUS:
            raise InputError(f"cluster of {self.gpu.name}: count is {self.count}, expected at most {MAX_GPUS} GPUs")

    @property
    def name(self) -> str:
        """Short name, as :func:`load_cluster` takes it."""
        return f"{self.gpu.name}{_mark(self.gpu.name)}{self.count}"

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


@lasting
@lru_cache(maxsize=1024)
def timed(cluster: Cluster) -> Cluster:
    """``cluster`` as far as times and memory go: prices and power, which change neither, are the same for all."""
    nothing = Quantity(0.0, "USD", "left out")
    watts, share = Quantity(1.0, "W", "left out"), Quantity(1.0, "ratio", "left out")
    power = Power(watts, share, share, watts, share, share)
    return Cluster(msgspec.structs.replace(cluster.gpu, price=Price(nothing, nothing), power=power), cluster.count)


def _mark(name: str) -> str:
    """What stands between a name and a count: h100x8, but mi355x-8."""
    return "-" if name.endswith("x") else "x"


def bundled_gpus() -> list[str]:
    """Names of the GPUs described in the package."""
    return sorted(_bundled())


@lasting
@lru_cache(maxsize=1)
def _bundled() -> dict[str, Gpu]:
    folder = files("wsekern.cluster") / "data" / "machines"
    known = [load_description(str(entry), Gpu) for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {gpu.name: gpu for gpu in known}


@lasting
@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Bundled GPU of every name and alias."""
    return {name: key for key, gpu in _bundled().items() for name in (key, *gpu.aliases)}


@lasting
@lru_cache(maxsize=1)
def _undescribed() -> dict[str, str]:
    """Why machines known by name are not here."""
    return msgspec.toml.decode((files("wsekern.cluster") / "data" / "undescribed.toml").read_text(), type=dict[str, str])


@lasting
@lru_cache(maxsize=1)
def _racks() -> dict[str, Gpu]:
    return {name: gpu for gpu in _bundled().values() for name in gpu.racks}


def family_gpu(gpu: Gpu) -> Gpu | None:
    """The bundled GPU whose measured kernels stand in for ``gpu``: the typical one of its family, else of the family that the
    file of ``gpu``, or of a bundled GPU of the same family, names as ``fallback``; None where no file says."""
    return _family_gpu(gpu.family, gpu.fallback)


@lasting
@lru_cache(maxsize=256)
def _family_gpu(family: str, fallback: str) -> Gpu | None:
    typical = {known.family: known for known in _bundled().values() if known.typical}
    fallbacks = [known.fallback for known in _bundled().values() if known.family == family]
    return next((typical[name] for name in (family, fallback, *fallbacks) if name in typical), None)


def typical_families() -> list[str]:
    """Families that have measured kernels, so that others can fall back on them."""
    return sorted(gpu.family for gpu in _bundled().values() if gpu.typical)


def load_gpu(name: str | os.PathLike[str]) -> Gpu:
    """A bundled GPU by name, or the user's own by the path of its TOML file."""
    known = _named(str(name).lower())
    if known is not None:
        return known
    if Path(name).exists() and str(name).endswith(".toml"):
        return load_description(name, Gpu)
    reason = _undescribed().get(str(name).lower())
    if reason is not None:
        raise InputError(f"no machine {str(name)!r} here: {reason}")
    raise InputError(f"no GPU {str(name)!r}: expected a TOML file or one of {', '.join(bundled_gpus())}")


def _named(name: str) -> Gpu | None:
    """A bundled machine by name or alias, in one of its power modes where that stands behind it (thor-70w)."""
    if name in _names():
        return _bundled()[_names()[name]]
    base, _, mode = name.rpartition("-")
    known = _bundled()[_names()[base]] if base in _names() else None
    return next((_in_mode(known, each) for each in known.modes if each.name == mode), None) if known else None


@lasting
@lru_cache(maxsize=64)
def _in_mode(gpu: Gpu, mode: Mode) -> Gpu:
    """``gpu`` with slower cores and memory, and less power."""
    def share(quantity: Quantity, ratio: Quantity) -> Quantity:
        return Quantity(float(quantity) * float(ratio), quantity.unit, f"{quantity.source}; {ratio.source}", ratio.confidence)

    rates = {name: share(rate, mode.clock) for name, rate in msgspec.structs.asdict(gpu.peak).items() if rate is not None}
    replace = msgspec.structs.replace
    return replace(
        gpu, name=f"{gpu.name}-{mode.name}", title=f"{gpu.title}, {float(mode.tdp):g} W", modes=(), aliases=(),
        peak=replace(gpu.peak, **rates), power=replace(gpu.power, tdp=mode.tdp),
        memory=replace(gpu.memory, bandwidth=share(gpu.memory.bandwidth, mode.bandwidth)))


def load_cluster(name: str | os.PathLike[str] | Cluster, count: int | None = None) -> Cluster:
    """``"h100x8"``, ``"8xh100"``, ``"gb200-nvl72"``, or a GPU (name or own TOML file) with ``count``."""
    if isinstance(name, Cluster):
        return name if count is None else Cluster(name.gpu, count)
    text = str(name)
    rack = _racks().get(text.lower())
    if rack is not None:
        return Cluster(rack, count or int(rack.link.domain))
    if count is not None:
        return Cluster(load_gpu(text), count)
    if _is_gpu(text):
        return Cluster(load_gpu(text), 1)
    counted = _counted(text)
    if counted is not None:
        return Cluster(load_gpu(counted[0]), counted[1])
    if text.lower() in _undescribed():
        load_gpu(text)
    raise InputError(
        f"no cluster {text!r}: expected a machine and how many chips, such as h100x8, tpu7x-64 or gb200-nvl72; machines are "
        f"{', '.join(bundled_gpus())}, or the path of a TOML file followed by :8"
    )


def _counted(text: str) -> tuple[str, int] | None:
    """A machine and how many of it: h100x8, 8xh100, tpu7x-64, own.toml:8; thor2 where the name ends in a letter."""
    for pattern in (r"(?P<gpu>.+?)[x:-](?P<count>\d{1,9})", r"(?P<count>\d{1,9})x(?P<gpu>.+)",
                    r"(?P<gpu>.*?[a-z])(?P<count>\d{1,9})"):
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match and _is_gpu(match["gpu"]):
            return match["gpu"], int(match["count"])
    return None


def _is_gpu(name: str) -> bool:
    return _named(name.lower()) is not None or (name.endswith(".toml") and Path(name).exists())


def bundled_clusters() -> list[str]:
    """The clusters that a listing shows: each GPU as its usual system."""
    known = _bundled()
    return [known[name].racks[0] if known[name].racks else _usual(known[name]) for name in bundled_gpus()]


def _usual(gpu: Gpu) -> str:
    return Cluster(gpu, min(8, int(gpu.link.domain))).name
