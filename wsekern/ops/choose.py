"""Which algorithm, with which parameters, is fastest for a line of PEs: asked of the flow engine's clocks."""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

from wsekern.machine import Machine, load_machine
from wsekern.ops.allreduce import AllReduce
from wsekern.ops.flow import FlowEngine
from wsekern.ops.line import Axis, check_line
from wsekern.ops.reduce import Reduce, TwoPhaseReduce


@dataclass(frozen=True)
class Choice:
    """The fastest operation found, its time, why it wins, and everything that was tried (name, cycles), fastest first."""

    operation: AllReduce | Reduce | TwoPhaseReduce
    cycles: int
    reason: str
    tried: tuple[tuple[str, int], ...]


def _time(operation: AllReduce | Reduce | TwoPhaseReduce, machine: Machine, pes: int, profile: str, dtype: str) -> FlowEngine:
    width, height = (pes, 1) if operation.axis == "x" else (1, pes)
    engine = FlowEngine(machine, width, height, profile, dtype)
    engine.time(operation)
    return engine


def _choose(candidates: dict[str, AllReduce | Reduce | TwoPhaseReduce], machine: Machine, pes: int, profile: str,
            dtype: str) -> Choice:
    engines = {name: _time(operation, machine, pes, profile, dtype) for name, operation in candidates.items()}
    tried = sorted(((name, engine.cycles) for name, engine in engines.items()), key=lambda item: item[1])
    best, cycles = tried[0]
    parts = {cause: value for cause, value in engines[best].breakdown.items() if value}
    share = max(parts, key=lambda cause: parts[cause]) if parts else "nothing"
    reason = (f"{best}: {cycles} cycles on {pes} PEs, most of it {share} ({parts.get(share, 0)} cycles)"
              + (f"; the slowest of {len(tried)} tried is {tried[-1][0]}: {tried[-1][1]}" if len(tried) > 1 else ""))
    return Choice(candidates[best], cycles, reason, tuple(tried))


def _some_sizes(pes: int) -> list[int]:
    """Sizes worth trying around the root: all up to 16, then about eight for each doubling."""
    sizes, size = [], 1
    while size <= pes:
        sizes.append(size)
        size = max(size + 1, size * 9 // 8) if size >= 16 else size + 1
    return sizes


def best_allreduce(pes: int, words: int, machine: Machine | str, profile: str = "silicon", dtype: str = "fp16",
                   axis: Axis = "x", op: str = "sum") -> Choice:
    """The number of groups with which an all-reduce of ``words`` elements on a line of ``pes`` PEs is fastest."""
    check_line(words, axis, 0, pes=pes)
    machine = load_machine(machine) if isinstance(machine, str) else machine
    return _best_allreduce(pes, words, machine, profile, dtype, axis, op)


@lru_cache(maxsize=1024)
def _best_allreduce(pes: int, words: int, machine: Machine, profile: str, dtype: str, axis: Axis, op: str) -> Choice:
    most = min(pes, 4 * isqrt(pes) + 4)
    candidates = {f"{g} groups": AllReduce(words, axis, g, op) for g in _some_sizes(most)}
    return _choose(candidates, machine, pes, profile, dtype)


def best_reduce(pes: int, words: int, machine: Machine | str, profile: str = "silicon", dtype: str = "fp32",
                axis: Axis = "x", op: str = "sum") -> Choice:
    """The fastest way to reduce ``words`` elements on a line of ``pes`` PEs to its first PE: chain, or two phases with
    which size of group."""
    check_line(words, axis, 0, pes=pes)
    machine = load_machine(machine) if isinstance(machine, str) else machine
    return _best_reduce(pes, words, machine, profile, dtype, axis, op)


@lru_cache(maxsize=1024)
def _best_reduce(pes: int, words: int, machine: Machine, profile: str, dtype: str, axis: Axis, op: str) -> Choice:
    candidates: dict[str, AllReduce | Reduce | TwoPhaseReduce] = {"chain": Reduce(words, axis, op=op)}
    for group in _some_sizes(pes)[1:-1]:
        candidates[f"two phases, groups of {group} PEs"] = TwoPhaseReduce(words, axis, group, op)
    return _choose(candidates, machine, pes, profile, dtype)
