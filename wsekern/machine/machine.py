"""Description of a wafer-scale machine, loaded from TOML."""

import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

from wsekern.describe import Quantity, Unit, load_description
from wsekern.errors import InputError

Cycles = Annotated[Quantity, Unit("cycles")]
Pes = Annotated[Quantity, Unit("PEs", 1)]
Count = Annotated[Quantity, Unit("count")]
Bytes = Annotated[Quantity, Unit("B")]
Rate = Annotated[Quantity, Unit("elements/cycle", 1e-6)]


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list of numbers with their unit and source, e.g. the depth of each queue."""

    values: tuple[int, ...]
    unit: str
    source: str
    confidence: str = "I"


class Fabric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mesh: its size and the rules of its routers."""

    width: Pes
    height: Pes
    user_width: Pes
    user_height: Pes
    colors: Count
    hop_latency: Cycles
    ramp_latency: Cycles
    buffer_depth: Annotated[Quantity, Unit("wavelets", 1)]
    switch_colors: Listing
    reserved_colors: Listing
    inputs_per_position: Count
    switch_replaces_both: bool
    color_swap: bool


class Core(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One processing element: memory, queues, threads, task ids, SIMD widths."""

    sram: Annotated[Quantity, Unit("B", 1)]
    banks: Count
    stride_width: Listing
    full_rate: Annotated[Quantity, Unit("elements")]
    input_queues: Listing
    output_queues: Listing
    microthreads: Count
    local_task_ids: Listing
    data_task_ids: Listing
    control_tasks: Count
    reserved_task_ids: Listing
    filters: Count
    fabric_inputs_per_instruction: Count
    data_tasks_bind_to_queue: bool
    simd: dict[str, Rate]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timing of one way to meet the machine: the vendor's simulator, or silicon.

    ``link_words`` wavelets cross a link in every ``link_frame`` consecutive cycles at most. ``rate`` and ``setup`` are
    per vector instruction; instructions that are not listed run at the core's SIMD width; ``<instruction>_conflict`` and
    ``<instruction>_long`` are rates of operands that meet in a bank, and of one long vector after its first
    ``core.full_rate`` elements. ``latency`` holds fixed costs:
    ``output`` and ``input`` of the core's pipelines, ``setup`` of instructions that are not listed, ``setup_loaded`` of
    those whose descriptors a program has loaded itself, ``map`` per mapped call, ``map_tile`` per tile of a mapped vector
    instruction, ``<operation>_call``, ``gemm_row``, ``gemm_map``, ``gemm_round`` and ``gemm_align`` of MeshGEMM, ``relay`` and ``relay_*`` of the shift, ``ktree_stage`` of WaferLLM's
    all-reduce; and of scalar code ``divide``, ``rsqrt``, ``exp`` (per element), ``scalar`` (dependent operation),
    ``load_store``, ``loop``, ``address``.
    """

    link_words: Count
    link_frame: Cycles
    rate: dict[str, Rate]
    setup: dict[str, Cycles]
    latency: dict[str, Cycles]


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The box around the wafer: power, price, and the way in and out."""

    power: Annotated[Quantity, Unit("W", 1)]
    idle_fraction: Annotated[Quantity, Unit("ratio")]
    price: Annotated[Quantity, Unit("USD")]
    price_per_hour: Annotated[Quantity, Unit("USD/h")]
    io_bandwidth: Annotated[Quantity, Unit("B/s", 1)]
    io_latency: Annotated[Quantity, Unit("s")]


class Machine(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """A wafer-scale machine. Time is in cycles; ``clock`` turns cycles into seconds in reports only."""

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

    def profile(self, name: str) -> Profile:
        """Timing profile ``name``; :class:`InputError` lists the machine's profiles if there is none."""
        if name not in self.profiles:
            raise InputError(f"machine {self.name} has no timing profile {name!r}; use one of "
                             f"{', '.join(self.profiles)}")
        return self.profiles[name]

    def check_grid(self, width: int, height: int) -> None:
        """Refuse a grid of PEs that is empty or larger than the user's part of the wafer."""
        most_wide, most_high = int(self.fabric.user_width), int(self.fabric.user_height)
        if not (1 <= width <= most_wide and 1 <= height <= most_high):
            raise InputError(f"a grid of {width}x{height} PEs does not lie on {self.name}: expected 1x1 to "
                             f"{most_wide}x{most_high}")


def bundled_machines() -> list[str]:
    """Names of the wafers described in the package."""
    folder = files("wsekern.machine") / "data"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@lru_cache(maxsize=32)
def _load(path: str, modified: int) -> Machine:
    machine = load_description(path, Machine)
    if not machine.profiles:
        raise InputError(f"{path}: profiles is empty, expected at least one timing profile")
    if machine.fabric.user_width.value > machine.fabric.width.value:
        raise InputError(f"{path}: fabric.user_width is larger than fabric.width")
    if machine.fabric.user_height.value > machine.fabric.height.value:
        raise InputError(f"{path}: fabric.user_height is larger than fabric.height")
    return machine


def load_machine(machine: str | os.PathLike[str]) -> Machine:
    """The wafer ``machine``: a bundled name (``wse1``, ``wse2``, ``wse3``) or the path of a TOML description."""
    if str(machine) in bundled_machines():
        path = Path(str(files("wsekern.machine") / "data" / f"{machine}.toml"))
    else:
        path = Path(machine)
        if not path.is_file():
            raise InputError(f"no machine {str(machine)!r}: it is neither a TOML file nor one of "
                             f"{', '.join(bundled_machines())}")
    return _load(str(path), path.stat().st_mtime_ns)
