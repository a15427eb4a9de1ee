"""Which algorithm, with which parameters, is fastest: asked of the flow engine's clocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, log2
from typing import Any

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.grid.gemm import Cannon, MeshGemm, Summa
from wsekern.ops.grid.plane import Broadcast2D, Reduce2D
from wsekern.ops.lines.allreduce import AllReduce
from wsekern.ops.lines.broadcast import Broadcast
from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.lines.ring import RingAllReduce
from wsekern.ops.lines.tree_reduce import KTreeAllReduce, ReduceTree, TreeAllReduce
from wsekern.ops.local.gemv import Gemv
from wsekern.ops.operation import Axis, check_line
from wsekern.ops.registry import algorithms
from wsekern.output import write_figure
from wsekern.shown import Shown


@dataclass(frozen=True, repr=False)
class Choice(Shown):
    """The fastest operation found, its time, why it wins, and everything that was tried (name, cycles), fastest first.

    ``operation`` is a tuple where several run one after the other.
    """

    operation: Any
    cycles: int
    reason: str
    tried: tuple[tuple[str, int], ...]


def _time(operation: Any, machine: Machine, width: int, height: int, profile: str, precision: str) -> FlowEngine:
    engine = FlowEngine(machine, width, height, profile, precision)
    for step in operation if isinstance(operation, tuple) else (operation,):
        engine.time(step)
    return engine


def _choose(candidates: dict[str, Any], machine: Machine, width: int, height: int, profile: str, precision: str) -> Choice:
    engines = {}
    for name, operation in candidates.items():
        try:
            engines[name] = _time(operation, machine, width, height, profile, precision)
        except BudgetError:
            continue  # more queues or colors than the machine has: not a candidate
    tried = sorted(((name, engine.cycles) for name, engine in engines.items()), key=lambda item: item[1])
    best, cycles = tried[0]
    parts = {cause: value for cause, value in engines[best].breakdown.items() if value}
    share = max(parts, key=lambda cause: parts[cause]) if parts else "nothing"
    where = f"{width * height} PEs" if min(width, height) == 1 else f"{width}x{height} PEs"
    reason = (f"{best}: {cycles} cycles on {where}, most of it {share} ({parts.get(share, 0)} cycles)"
              + (f"; the slowest of {len(tried)} tried is {tried[-1][0]}: {tried[-1][1]}" if len(tried) > 1 else ""))
    return Choice(candidates[best], cycles, reason, tuple(tried))


def _some_sizes(pes: int) -> list[int]:
    """Sizes worth trying around the root: all up to 16, then about eight for each doubling."""
    sizes, size = [], 1
    while size <= pes:
        sizes.append(size)
        size = max(size + 1, size * 9 // 8) if size >= 16 else size + 1
    return sizes


def _loaded(machine: Machine | str) -> Machine:
    return load_machine(machine)


def _line(axis: Axis, pes: int) -> tuple[int, int]:
    return (pes, 1) if axis == "x" else (1, pes)


def best_groups(pes: int, elements: int, machine: Machine | str, profile: str = "silicon", precision: str = "fp16",
                axis: Axis = "x", op: str = "sum") -> Choice:
    """The number of groups with which the two-level all-reduce of ``elements`` elements on ``pes`` PEs is fastest."""
    check_line(elements, axis, 0, pes=pes)
    return _best_groups(pes, elements, _loaded(machine), profile, precision, axis, op)


@lru_cache(maxsize=1024)
def _best_groups(pes: int, elements: int, machine: Machine, profile: str, precision: str, axis: Axis, op: str) -> Choice:
    most = min(pes, 4 * isqrt(pes) + 4)
    candidates = {f"{g} groups": AllReduce(elements, axis, g, op) for g in _some_sizes(most)}
    return _choose(candidates, machine, *_line(axis, pes), profile, precision)


def best_allreduce(pes: int, elements: int, machine: Machine | str, profile: str = "silicon", precision: str = "fp16",
                   axis: Axis = "x", op: str = "sum") -> Choice:
    """The fastest all-reduce of ``elements`` elements on a line of ``pes`` PEs: the two-level one with the best number of
    groups, a K-tree of three levels, reduce over the generated tree and multicast, or the ring."""
    check_line(elements, axis, 0, pes=pes)
    return _best_allreduce(pes, elements, _loaded(machine), profile, precision, axis, op)


@lru_cache(maxsize=1024)
def _best_allreduce(pes: int, elements: int, machine: Machine, profile: str, precision: str, axis: Axis, op: str) -> Choice:
    groups = _best_groups(pes, elements, machine, profile, precision, axis, op)
    cube = max(1, round(pes ** (1 / 3)))
    candidates = {groups.tried[0][0]: groups.operation, f"K-tree of {cube * cube} and {cube} groups":
                  KTreeAllReduce(elements, axis, (cube * cube, cube), op),
                  "generated tree and multicast": TreeAllReduce(elements, axis, "auto", None, op),
                  "chains and multicast": TreeAllReduce(elements, axis, "chain", None, op)}
    if _ring_floor(pes, elements, Timing(machine, profile, precision)) <= groups.cycles:
        candidates["ring"] = RingAllReduce(elements, axis, op, overlapped=True)
    return _choose(candidates, machine, *_line(axis, pes), profile, precision)


def _ring_floor(pes: int, elements: int, timing: Timing) -> int:
    """What a ring takes at least: its rounds."""
    return 2 * (pes - 1) * (timing.stage + timing.hop + timing.wavelets(elements) // pes)


def best_reduce(pes: int, elements: int, machine: Machine | str, profile: str = "silicon", precision: str = "fp32",
                axis: Axis = "x", op: str = "sum") -> Choice:
    """The fastest way to reduce ``elements`` elements on a line of ``pes`` PEs to its first PE: chain, star, tree, two phases
    with which size of group, or the generated tree."""
    check_line(elements, axis, 0, pes=pes)
    return _best_reduce(pes, elements, _loaded(machine), profile, precision, axis, op)


@lru_cache(maxsize=1024)
def _best_reduce(pes: int, elements: int, machine: Machine, profile: str, precision: str, axis: Axis, op: str) -> Choice:
    candidates: dict[str, Any] = {"chain": Reduce(elements, axis, op=op)}
    for group in _some_sizes(pes)[1:-1]:
        candidates[f"two phases, groups of {group} PEs"] = TwoPhaseReduce(elements, axis, group, op)
    for name in ("tree", "star", "auto"):
        candidates[name] = ReduceTree(elements, axis, name, 0, op)
    return _choose(candidates, machine, *_line(axis, pes), profile, precision)


def best_reduce_2d(width: int, height: int, elements: int, machine: Machine | str, profile: str = "silicon",
                   precision: str = "fp32", op: str = "sum") -> Choice:
    """The fastest way to reduce ``elements`` elements of all PEs of a grid to its first one: rows then column, by which line
    algorithm, or a snake."""
    check_line(elements, "x", 0, width=width, height=height)
    candidates: dict[str, Any] = {f"x then y, {name}": Reduce2D(elements, "xy", name, op)
                                  for name in ("chain", "two-phase", "auto")}
    candidates["snake"] = Reduce2D(elements, "snake", op=op)
    return _choose(candidates, _loaded(machine), width, height, profile, precision)


def best_broadcast(width: int, height: int, elements: int, machine: Machine | str, profile: str = "silicon",
                   precision: str = "fp16") -> Choice:
    """The fastest way to bring ``elements`` elements from the first PE of a grid to all: one multicast over both axes, or one
    along the row, then one along every column."""
    check_line(elements, "x", 0, width=width, height=height)
    candidates: dict[str, Any] = {"one multicast": Broadcast2D(elements)}
    if min(width, height) > 1:
        candidates["rows, then columns"] = (Broadcast(elements, "x"), Broadcast(elements, "y"))
    return _choose(candidates, _loaded(machine), width, height, profile, precision)


def best_gemv(pes: int, rows: int, cols: int, machine: Machine | str, profile: str = "silicon", precision: str = "fp16",
              height: int | None = None) -> Choice:
    """The fastest product of a vector and a matrix on ``pes`` x ``pes`` PEs (or x ``height``), tiles of rows x cols: MeshGEMV
    with the best number of groups, or the pipeline of chains that the vendor's examples use."""
    height = pes if height is None else height
    check_line(cols, "y", 0, pes=pes, height=height)
    product, machine = Gemv(rows, cols), _loaded(machine)
    groups = _best_groups(height, cols, machine, profile, precision, "y", "sum")
    candidates = {f"MeshGEMV, {groups.tried[0][0]}": (product, groups.operation),
                  "pipeline": (product, TreeAllReduce(cols, "y", "chain", 0))}
    return _choose(candidates, machine, pes, height, profile, precision)


def best_gemm(pes: int, tile: tuple[int, int, int], machine: Machine | str, profile: str = "silicon",
              precision: str = "fp16", height: int | None = None) -> Choice:
    """The fastest product of matrices on ``pes`` x ``pes`` PEs (or x ``height``), blocks of m x k x n: MeshGEMM, Cannon's, or
    SUMMA."""
    height = pes if height is None else height
    check_line(0, "x", 0, pes=pes, height=height)
    candidates = {"MeshGEMM": MeshGemm(*tile), "Cannon": Cannon(*tile), "SUMMA": Summa(*tile)}
    return _choose(candidates, _loaded(machine), pes, height, profile, precision)


@dataclass(frozen=True, repr=False)
class Crossover(Shown):
    """Cycles of every algorithm on lines of ``pes`` PEs (None where it does not fit), and where the fastest changes."""

    kind: str
    elements: int
    machine: str
    pes: tuple[int, ...]
    cycles: dict[str, tuple[int | None, ...]]

    @property
    def fastest(self) -> tuple[str, ...]:
        """The fastest algorithm at each number of PEs; the first of equals."""
        return tuple(min((name for name in self.cycles if self.cycles[name][k] is not None),
                         key=lambda name: self.cycles[name][k]) for k in range(len(self.pes)))

    @property
    def changes(self) -> tuple[tuple[int, str], ...]:
        """(PEs, algorithm) from which on that algorithm is the fastest, of those tried."""
        best = self.fastest
        return tuple((self.pes[k], best[k]) for k in range(len(best)) if k == 0 or best[k - 1] != best[k])

    def picture(self, height: int = 12) -> str:
        """Cycles (up, on a scale of factors) against PEs (to the right), each algorithm by a letter of its name, in text;
        where several fall together, the first of them."""
        letters: dict[str, str] = {}
        for name in self.cycles:
            letters[name] = next(letter for letter in name if letter not in letters.values())
        known = [cycles for row in self.cycles.values() for cycles in row if cycles]
        low, high = log2(min(known, default=1)), log2(max(known, default=1))
        lines = [["." for _ in self.pes] for _ in range(height)]
        for name, row in reversed(self.cycles.items()):
            for k, cycles in enumerate(row):
                if cycles:
                    lines[round((log2(cycles) - low) / ((high - low) or 1) * (height - 1))][k] = letters[name]
        scale = [round(2 ** (low + (high - low) * at / (height - 1))) for at in range(height)]
        drawn = [f"{cycles:7} {''.join(f'{letter:>5}' for letter in line)}" for cycles, line in zip(scale, lines, strict=True)]
        legend = ", ".join(f"{letter} {name}" for name, letter in letters.items())
        return "\n".join(["cycles", *drawn[::-1], "    PEs " + "".join(f"{count:5}" for count in self.pes), legend])


def crossover(kind: str, elements: int, machine: Machine | str, profile: str = "silicon", precision: str = "fp32",
              pes: Sequence[int] = (2, 4, 8, 16, 32, 64, 128, 256, 512, 750)) -> Crossover:
    """Cycles of all algorithms of ``kind`` ("reduce" or "allreduce") against PEs."""
    candidates, machine = algorithms(kind), _loaded(machine)
    cycles: dict[str, tuple[int | None, ...]] = {}
    for name, make in candidates.items():
        row: list[int | None] = []
        for count in pes:
            try:
                row.append(_time(make(count, elements), machine, count, 1, profile, precision).cycles)
            except BudgetError:
                row.append(None)
        cycles[name] = tuple(row)
    return Crossover(kind, elements, machine.name, tuple(pes), cycles)


def plot_crossover(found: Crossover, path: str) -> None:
    """Draw time against PEs, a line for each algorithm, to a file (.png, .svg or .pdf); needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plots need matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, row in found.cycles.items():
        points = [(pes, cycles) for pes, cycles in zip(found.pes, row, strict=True) if cycles is not None]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    for pes, name in found.changes[1:]:
        axes.axvline(pes, color="0.8", linewidth=1, zorder=0)
        axes.text(pes, 0.98, f"{name} from {pes}", rotation=90, fontsize=7, va="top", ha="right", backgroundcolor="white",
                  transform=axes.get_xaxis_transform())
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="PEs of the line", ylabel="cycles",
             title=f"{found.kind} of {found.elements} words on {found.machine}")
    figure.legend(loc="outside right upper", frameon=False)
    write_figure(path, figure)
