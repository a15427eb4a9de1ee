"""Description of a wafer-scale machine, loaded from TOML."""

import os
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

from wsekern.description import Listing, Quantity, Unit, load_description
from wsekern.errors import InputError, is_whole
from wsekern.garbage import lasting
from wsekern.shown import Shown

Cycles = Annotated[Quantity, Unit("cycles")]
WholeCycles = Annotated[Quantity, Unit("cycles", 1, whole=True)]
Latency = Annotated[Quantity, Unit("cycles", 1, 8, whole=True)]
"""Of a hop or a ramp: words that are under way are kept for so many cycles."""
Pes = Annotated[Quantity, Unit("PEs", 1, 100_000, whole=True)]
Count = Annotated[Quantity, Unit("count", whole=True)]
Some = Annotated[Quantity, Unit("count", 1, whole=True)]
Colors = Annotated[Listing, Unit("color")]
Depths = Annotated[Listing, Unit("wavelets", 1)]
TaskIds = Annotated[Listing, Unit("id")]
Bytes = Annotated[Quantity, Unit("B")]
Rate = Annotated[Quantity, Unit("elements/cycle", 1e-6)]


class Fabric(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mesh: its size and the rules of its routers."""

    width: Pes
    height: Pes
    user_width: Pes
    user_height: Pes
    colors: Some
    hop_latency: Latency
    ramp_latency: Latency
    buffer_depth: Annotated[Quantity, Unit("wavelets", 1, 7, whole=True)]
    switch_colors: Colors
    reserved_colors: Colors
    inputs_per_position: Some
    switch_replaces_both: bool
    color_swap: bool


class Core(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One processing element: memory, queues, threads, task ids, SIMD widths."""

    sram: Annotated[Quantity, Unit("B", 1, whole=True)]
    banks: Some
    stride_width: Listing
    full_rate: Annotated[Quantity, Unit("elements", 0, whole=True)]
    input_queues: Depths
    output_queues: Depths
    microthreads: Some
    local_task_ids: TaskIds
    data_task_ids: TaskIds
    control_tasks: Count
    reserved_task_ids: TaskIds
    filters: Count
    fabric_inputs_per_instruction: Some
    data_tasks_bind_to_queue: bool
    simd: dict[str, Rate]
    router_registers: Annotated[Listing, Unit("B")] | None = None
    """Byte addresses at which a program finds the registers of its router's routes, and of its switches: 16 bits a color."""


class Profile(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timing of one way to meet the machine: the vendor's simulator, or silicon.

    ``link_words`` wavelets cross a link in every ``link_frame`` consecutive cycles at most. ``rate`` and ``setup`` are
    per vector instruction; instructions that are not listed run at the core's SIMD width; ``stream_setup`` is that of
    instructions that take words from the fabric or send some, where it is not their ``setup``; ``<instruction>_conflict`` and
    ``<instruction>_long`` are rates of operands that meet in a bank, and of one long vector after its first
    ``core.full_rate`` elements. ``latency`` holds fixed costs:
    ``output`` and ``input`` of the core's pipelines, ``setup`` of instructions that are not listed, ``setup_loaded`` of
    those whose descriptors a program has loaded itself, ``map`` per mapped call, ``map_tile`` per tile of a mapped vector
    instruction, ``<operation>_call``, ``gemm_row``, ``gemm_map``, ``gemm_round`` and ``gemm_align`` of MeshGEMM, ``relay``
    and ``relay_*`` of the shift, ``ktree_stage`` of WaferLLM's all-reduce; and of scalar code ``divide``, ``rsqrt``,
    ``exp`` (per element), ``scalar`` (dependent operation),
    ``load_store``, ``loop``, ``address``.
    """

    link_words: Some
    link_frame: WholeCycles
    rate: dict[str, Rate]
    setup: dict[str, Cycles]
    latency: dict[str, Cycles]
    stream_setup: dict[str, Cycles] = {}


class System(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The box around the wafer: power, price, and the way in and out.

    ``power`` is drawn where all PEs work, ``idle_fraction`` of it where none does, ``half_load_fraction`` where half of them do
    (halfway between the two unless stated).
    """

    power: Annotated[Quantity, Unit("W", 1)]
    idle_fraction: Annotated[Quantity, Unit("ratio", 0, 1)]
    price: Annotated[Quantity, Unit("USD")]
    price_per_hour: Annotated[Quantity, Unit("USD/h")]
    io_bandwidth: Annotated[Quantity, Unit("B/s", 1)]
    io_latency: Annotated[Quantity, Unit("s")]
    half_load_fraction: Annotated[Quantity, Unit("ratio", 0, 1)] | None = None

    def io_seconds(self, size: float, messages: int = 1) -> float:
        """Time of ``messages`` that follow each other over a link to another wafer, of ``size`` bytes in all."""
        return messages * float(self.io_latency) + size / float(self.io_bandwidth)

    @property
    def half_load(self) -> float:
        """Share of ``power`` that is drawn where half of the PEs work."""
        stated = self.half_load_fraction
        return 0.5 * (float(self.idle_fraction) + 1.0) if stated is None else float(stated)

    def describe_power(self) -> list[str]:
        """The power at full, half and no load, a sentence each, with sources."""
        full, idle, half = float(self.power) / 1e3, float(self.idle_fraction), self.half_load
        source = "halfway, as nothing else is stated" if self.half_load_fraction is None else self.half_load_fraction.source
        return [f"power {full:.1f} kW a system where all PEs work: {self.power.source}",
                f"power {full * half:.1f} kW a system where half of the PEs work: {source}",
                f"power {full * idle:.1f} kW a system where none works: {self.idle_fraction.source}"]

    def watts(self, activity: float) -> float:
        """Mean power where ``activity``, from 0 to 1, is the share of the PEs that work, on average over the time: straight
        lines between idle, half load and full load."""
        idle, half = float(self.idle_fraction), self.half_load
        if activity < 0.5:
            return float(self.power) * (idle + 2.0 * activity * (half - idle))
        return float(self.power) * (half + (2.0 * activity - 1.0) * (1.0 - half))


class Machine(Shown, msgspec.Struct, frozen=True, eq=False, dict=True, forbid_unknown_fields=True):
    """A wafer-scale machine. Time is in cycles; ``clock`` turns cycles into seconds in reports only.

    Machines are equal if all that they hold is, so that one which was pickled, copied or loaded again finds what was kept for
    the first.
    """

    name: str
    title: str
    year: int
    clock: Annotated[Quantity, Unit("Hz", 1)]
    sram_total: Annotated[Quantity, Unit("B", 1)]
    memory_bandwidth: Annotated[Quantity, Unit("B/s", 1)]
    fabric_bandwidth: Annotated[Quantity, Unit("bit/s", 1)]
    fabric: Fabric
    core: Core
    system: System
    profiles: dict[str, Profile]

    @cached_property
    def _content(self) -> tuple[int, bytes]:
        """All that a machine holds, as bytes, and their hash: made once, as machines are the keys of many caches."""
        content = msgspec.msgpack.encode(self, order="deterministic")
        return hash(content), content

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self._content == other._content if isinstance(other, Machine) else NotImplemented

    def __hash__(self) -> int:
        return self._content[0]

    def profile(self, name: str) -> Profile:
        """Timing profile ``name``; :class:`InputError` lists the machine's profiles if there is none."""
        if not isinstance(name, str) or name not in self.profiles:
            raise InputError(f"machine {self.name} has no timing profile {name!r}; use one of "
                             f"{', '.join(self.profiles)}")
        return self.profiles[name]

    def check_grid(self, width: int, height: int) -> None:
        """Refuse a grid of PEs that is empty or larger than the user's part of the wafer."""
        most_wide, most_high = int(self.fabric.user_width), int(self.fabric.user_height)
        if not all(map(is_whole, (width, height))) or not (1 <= width <= most_wide and 1 <= height <= most_high):
            raise InputError(f"a grid of {width!r}x{height!r} PEs does not lie on {self.name}: expected 1x1 to "
                             f"{most_wide}x{most_high}")


@lasting
@lru_cache(maxsize=1024)
def in_seconds(machine: Machine) -> Machine:
    """``machine`` as far as times and memory go: prices and power, which change neither, are the same for all."""
    system = machine.system
    free = {"power": Quantity(1.0, "W", _LEFT_OUT), "idle_fraction": Quantity(1.0, "ratio", _LEFT_OUT),
            "half_load_fraction": None, "price": Quantity(0.0, "USD", _LEFT_OUT),
            "price_per_hour": Quantity(0.0, "USD/h", _LEFT_OUT)}
    return msgspec.structs.replace(machine, system=msgspec.structs.replace(system, **free))


@lasting
@lru_cache(maxsize=1024)
def in_cycles(machine: Machine) -> Machine:
    """``machine`` as far as cycles and memory go: :func:`in_seconds`, and with a clock and links to others that all share."""
    plain = in_seconds(machine)
    links = {"io_bandwidth": Quantity(1.0, "B/s", _LEFT_OUT), "io_latency": Quantity(0.0, "s", _LEFT_OUT)}
    return msgspec.structs.replace(plain, clock=Quantity(1e9, "Hz", _LEFT_OUT),
                                   system=msgspec.structs.replace(plain.system, **links))


def sides_of(machine: Machine) -> tuple[int, int]:
    """PEs of a row and of a column of a wafer that a program may use."""
    return int(machine.fabric.user_width), int(machine.fabric.user_height)


def turned(machine: Machine) -> Machine:
    """The wafer turned by a quarter: its sides exchanged."""
    fabric = machine.fabric
    return msgspec.structs.replace(machine, fabric=msgspec.structs.replace(
        fabric, width=fabric.height, height=fabric.width, user_width=fabric.user_height, user_height=fabric.user_width))


def upright(machine: Machine) -> Machine:
    """The wafer with its longer sides along y: links along x and y are alike, and so are cycles on it, turned or not."""
    return turned(machine) if int(machine.fabric.user_width) > int(machine.fabric.user_height) else machine


_LEFT_OUT = "left out"


def bundled_machines() -> list[str]:
    """Names of the wafers described in the package."""
    folder = files("wsekern.machine") / "data"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@lasting
@lru_cache(maxsize=32)
def _load(path: str, modified: int) -> Machine:
    machine = load_description(path, Machine)
    check_machine(machine, path)
    return machine


def check_machine(machine: Machine, path: str) -> None:
    """Refuse numbers that contradict each other; ``path`` says where they stand."""
    fabric, core = machine.fabric, machine.core
    if not machine.profiles:
        raise InputError(f"{path}: profiles is empty, expected at least one timing profile")
    for side in ("width", "height"):
        if getattr(fabric, f"user_{side}").value > getattr(fabric, side).value:
            raise InputError(f"{path}: fabric.user_{side} is larger than fabric.{side}")
    for name in ("switch_colors", "reserved_colors"):
        if max(getattr(fabric, name).values, default=0) >= fabric.colors.value:
            raise InputError(f"{path}: fabric: {name}: expected colors from 0 to {int(fabric.colors) - 1}")
    for name in ("input_queues", "output_queues"):
        if not getattr(core, name).values:
            raise InputError(f"{path}: core: {name} is empty, expected the depth of each queue")
    registers = core.router_registers
    if registers is not None and (len(registers.values) != 2 or any(at % 2 or at < core.sram.value for at in registers.values)):
        raise InputError(f"{path}: core: router_registers: expected two even byte addresses behind the {int(core.sram)} B of "
                         "memory, of the registers of routes and of switches")
    half = machine.system.half_load_fraction
    if half is not None and half.value < machine.system.idle_fraction.value:
        raise InputError(f"{path}: system.half_load_fraction is less than system.idle_fraction, but half load draws no less "
                         "than none")
    for name, profile in machine.profiles.items():
        if profile.link_words.value > profile.link_frame.value:
            raise InputError(f"{path}: profiles.{name}: link_words is more than link_frame, but a link carries a word a cycle "
                             "at most")


@lasting
@lru_cache(maxsize=1)
def _known_keys() -> tuple[set[str], set[str]]:
    """Instructions and latencies that a description may give a number for: those of the bundled ones, and of the code."""
    machines = [load_machine(name) for name in bundled_machines()]
    profiles = [profile for machine in machines for profile in machine.profiles.values()]
    instructions = {key for table in (machine.core.simd for machine in machines) for key in table}
    instructions |= {key for profile in profiles for table in (profile.rate, profile.setup, profile.stream_setup)
                     for key in table}
    latencies = {key for profile in profiles for key in profile.latency}
    calls = {"call", "setup", "exchange"} | {f"{name}_call" for name in ("local", "gemm", "broadcast", "reduce", "transpose")}
    return instructions | {"add32"}, latencies | calls


def _check_keys(machine: Machine, path: str) -> None:
    """Refuse a number that nothing would ever ask for: a typing error, most likely."""
    instructions, latencies = _known_keys()
    tables = [("core.simd", machine.core.simd, instructions)]
    for name, profile in machine.profiles.items():
        of_profile = (("rate", profile.rate, instructions), ("setup", profile.setup, instructions),
                      ("stream_setup", profile.stream_setup, instructions), ("latency", profile.latency, latencies))
        tables += [(f"profiles.{name}.{key}", table, known) for key, table, known in of_profile]
    for place, table, known in tables:
        for key in table:
            if key.removesuffix("_conflict").removesuffix("_long") not in known and key not in known:
                raise InputError(f"{path}: {place}: unknown key {key!r}, expected one of {', '.join(sorted(known))}")


def load_machine(machine: str | os.PathLike[str] | Machine) -> Machine:
    """The wafer ``machine``: a bundled name (``wse1``, ``wse2``, ``wse3``), the path of a TOML description, or one that is
    loaded already."""
    if isinstance(machine, Machine):
        return machine
    if not isinstance(machine, str | os.PathLike):
        raise InputError(f"{machine!r} is no machine: expected a name, a file or a Machine")
    if str(machine) in bundled_machines():
        path = Path(str(files("wsekern.machine") / "data" / f"{machine}.toml"))
        return _load(str(path), 0)
    path = Path(machine)
    if not os.path.isfile(path):
        raise InputError(f"no machine {str(machine)[:200]!r}: it is neither a TOML file nor one of "
                         f"{', '.join(bundled_machines())}")
    found = _load(str(path), path.stat().st_mtime_ns)
    _check_keys(found, str(path))
    return found
