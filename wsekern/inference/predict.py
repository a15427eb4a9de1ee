"""``predict wafer``: how long a phase of a model takes on one grid of PEs, from what its operations take.

``mapping="waferllm"`` composes a layer as the released WaferLLM kernels do (OSDI'25), so that their measurements can be
predicted: one head of the model's width, key and value projections as wide as the query's, no causal mask, every size
padded to a multiple of P, no cache append. ``mapping="ours"`` is what :mod:`wsekern.inference.wafer` executes.

Constants come from micro-operations and from MeshGEMV, MeshGEMM and Shift (the machine's description names the rows);
none is set on the decode or prefill measurements.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from wsekern.description import check_clock
from wsekern.errors import InputError
from wsekern.inference.grid import Grid
from wsekern.inference.layer import check_formats
from wsekern.inference.layer_memory import Kept, MemoryAt, TileSizes, check_layer, grids_needed, layer_layout
from wsekern.inference.mapping import DEFAULT_ACTIVATIONS, Mapping
from wsekern.inference.operation_times import layer_operations
from wsekern.inference.programs import Programs, program_set
from wsekern.inference.step_times import CHUNKS, StepCycles, time_layers
from wsekern.machine import Machine, load_machine
from wsekern.ops import AllReduce, FlowEngine, Gemv, MeshGemm, MeshGemmTransposed, Operation
from wsekern.ops.lines.allreduce import default_groups
from wsekern.ops.local.rows import Form
from wsekern.ops.operation import Axis, Clocks
from wsekern.workload import ModelConfig, load_config
from wsekern.workload.decoder import FeedForward

PHASES = ("decode", "prefill")
Choices = tuple[Form | None, Programs, Kept]
"""How SiLU and exponentials are computed, which programs run, and in which formats weights and cache are kept."""


@dataclass(frozen=True)
class Software(Operation):
    """Local work as a kernel's source spells it, ``times`` over: vector instructions (operation, elements), scalar code.

    ``scalar`` counts by keys of the profile's latencies (``divide``, ``exp``, ``loop``, ...). Each vector instruction
    takes its set-up, its elements at the instruction's rate, and one cycle to the next issue.
    """

    vector: tuple[tuple[str, int], ...] = ()
    scalar: tuple[tuple[str, int], ...] = ()
    times: int = 1
    axis: ClassVar[None] = None
    elements: ClassVar[None] = None

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this work."""
        timing = engine.timing
        names = [(timing.instruction(operation), count) for operation, count in self.vector if count]
        compute = sum(timing.elements(name, count) for name, count in names)
        overhead = sum(timing.setup(name) + 1 for name, _ in names)
        overhead += sum(timing.latency(key) * count for key, count in self.scalar)
        engine.spend(compute=self.times * compute, overhead=self.times * overhead)

    def flow(self, engine: Clocks, *tiles: Any) -> Any:
        """Clocks only: the released kernels' arithmetic is a timing reference, not a numerical one."""
        raise InputError("this work has a time but no values")


@dataclass(frozen=True)
class KTree(Operation):
    """All-reduce of the MeshGEMV kernel: :class:`AllReduce`, each chained stage ``ktree_stage`` cycles longer where the
    machine's in-stream figure is not that of the kernel."""

    elements: int
    axis: Axis
    op: str = "sum"

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        pes = engine.length(self.axis)
        groups = default_groups(pes)
        engine.time(AllReduce(self.elements, self.axis, groups, self.op))
        engine.spend(stages=engine.timing.latency("ktree_stage") * (pes // groups // 2 + groups // 2))

    def flow(self, engine: Clocks, *tiles: Any) -> Any:
        """Clocks only."""
        raise InputError("this work has a time but no values")


def _width(config: ModelConfig) -> int:
    """Width of the first dense feed-forward part; 0 where there is none."""
    return next((block.feed.width for block, _ in config.kinds if isinstance(block.feed, FeedForward)), 0)


def _matvec(t: TileSizes, rows: int, cols: int) -> list[Operation]:
    """Zero the result, set addresses, then one mapped multiply-add per row; for every sequence."""
    clear = Software((("mov", t.batch * cols),), (("address", t.batch),))
    return [clear, *[Gemv(rows, cols)] * t.batch]


def _rmsnorm(t: TileSizes) -> list[Operation]:
    """Squares, their sum, the all-reduce, weights, and one root and two divisions for each sequence."""
    width = t.batch * t.dim
    return [Software((("mul", width),), (("scalar", width), ("loop", t.batch))), KTree(t.batch, "y"),
            Software((("mul", width), ("mul", width)), (("divide", t.batch), ("rsqrt", t.batch)))]


def _rope(t: TileSizes) -> Software:
    """Rotation of queries and keys: four products, a difference and a sum of half the length each, for both."""
    half = t.dim // 2
    return Software((("mul", half),) * (8 * t.batch) + (("sub", half), ("add", half)) * (2 * t.batch))


def _softmax(t: TileSizes) -> list[Operation]:
    """Scale, maximum, exponentials (a division and a short polynomial each), sum, and one reciprocal per sequence."""
    scores = t.batch * t.seq
    return [Software((("mul", scores),), (("scalar", scores), ("loop", t.batch))), KTree(t.batch, "y", "max"),
            Software((("sub", scores),), (("divide", scores), ("scalar", 5 * scores), ("load_store", scores))),
            Software((), (("loop", t.batch),)), KTree(t.batch, "y"), Software((("mul", scores),), (("divide", t.batch),))]


def _silu(t: TileSizes) -> Software:
    """SiLU of one value after the other, two divisions each; as released, over batch x dim of the fused buffer."""
    count = t.batch * t.dim
    return Software((), (("divide", 2 * count), ("scalar", 6 * count), ("load_store", 2 * count), ("loop", count)))


def decode_steps(t: TileSizes) -> dict[str, list[Operation]]:
    """One layer for one token of each sequence: ten all-reduces, axes alternating."""
    width, wide = t.batch * t.dim, t.batch * t.ffn
    qkv = [operation for _ in range(3) for operation in _matvec(t, t.dim, t.dim)]
    return {
        "attention_norm": _rmsnorm(t),
        "qkv": [*qkv, KTree(3 * width, "y")],
        "rope": [_rope(t)],
        "scores": [*_matvec(t, t.dim, t.seq), KTree(t.batch * t.seq, "x")],
        "softmax": _softmax(t),
        "values": [*_matvec(t, t.seq, t.dim), KTree(width, "y")],
        "o": [*_matvec(t, t.dim, t.dim), KTree(width, "x"), Software((("add", width),))],
        "ffn_norm": _rmsnorm(t),
        "up_gate": [*_matvec(t, t.dim, t.ffn), *_matvec(t, t.dim, t.ffn), KTree(2 * wide, "y")],
        "silu": [_silu(t), Software((("mul", wide),))],
        "down": [*_matvec(t, t.ffn, t.dim), KTree(width, "x"), Software((("add", width),))],
    }


def _norm_rows(t: TileSizes) -> list[Operation]:
    """RMSNorm of the prompt's rows: sums over the row of PEs by plain chains."""
    rows = (("mul", t.seq),) * (2 * t.dim)
    return [Software((("mul", t.seq * t.dim), *(("add", t.seq),) * t.dim)), AllReduce(t.seq, "x"),
            Software(rows, (("divide", t.seq), ("rsqrt", t.seq), ("loop", 2 * t.dim)))]


def _softmax_rows(t: TileSizes) -> list[Operation]:
    """Softmax of the prompt's scores, one exponential after the other."""
    rows = (("mul", t.seq),) * t.seq
    return [Software((("mul", t.seq**2), *(("max", t.seq),) * t.seq)), AllReduce(t.seq, "x", op="max"),
            Software(rows, (("exp", t.seq**2), ("loop", t.seq**2))), Software((("add", t.seq),) * t.seq),
            AllReduce(t.seq, "x"), Software(rows, (("divide", t.seq),))]


def _next_roots(t: TileSizes, rounds: int) -> Software:
    """Software of transposed rounds beside the products: which PE is the root (a division, modulo P), a clear tile."""
    return Software((("mov", t.seq**2),), (("divide", 1), ("load_store", 6), ("address", 1)), rounds)


def prefill_steps(t: TileSizes, grid: int) -> dict[str, list[Operation]]:
    """One layer for the whole prompt: eight MeshGEMMs and the transposed one. K, V and gate reuse an X skewed before."""
    square = MeshGemm(t.seq, t.dim, t.dim)
    again = MeshGemm(t.seq, t.dim, t.dim, skewed=True)
    silu = Software((("mul", t.seq * t.ffn),), (("exp", t.seq * t.ffn), ("divide", t.seq * t.ffn),
                                                 ("load_store", t.seq * t.ffn)))
    rope = Software((("mul", t.seq),) * (4 * t.dim) + (("sub", t.seq), ("add", t.seq)) * t.dim, (("address", 2 * t.dim),))
    return {
        "attention_norm": _norm_rows(t),
        "qkv": [square, again, again],
        "rope": [rope],
        "scores": [MeshGemmTransposed(t.seq, t.seq, t.dim), _next_roots(t, grid)],
        "softmax": _softmax_rows(t),
        "values": [MeshGemm(t.seq, t.seq, t.dim)],
        "o": [square, Software((("add", t.seq * t.dim),))],
        "ffn_norm": _norm_rows(t),
        "up_gate": [MeshGemm(t.seq, t.dim, t.ffn), MeshGemm(t.seq, t.dim, t.ffn, skewed=True)],
        "silu": [silu],
        "down": [MeshGemm(t.seq, t.ffn, t.dim), Software((("add", t.seq * t.dim),))],
    }


def _head_steps(t: TileSizes, config: ModelConfig, grid: int) -> list[Operation]:
    """Final norm and LM head of the last token of each sequence."""
    vocab = -(-config.vocab // grid)
    return [*_rmsnorm(t), *_matvec(t, t.dim, vocab), KTree(t.batch * vocab, "y")]


def _clocks(machine: Machine, grid: int, profile: str, precision: str) -> FlowEngine:
    return FlowEngine(machine, grid, grid, profile=profile, precision=precision)


def _waferllm(config: ModelConfig, phase: str, engine: FlowEngine, context: int, batch: int,
              choices: Choices) -> tuple[StepCycles, dict[str, float], int]:
    """(one layer, its parts, the head) for one token of each sequence, or the whole prompt of each."""
    t = TileSizes.of(config, _width(config), engine.width, context, batch if phase == "decode" else 1)
    parts: dict[str, float] = {}
    for part, operations in (decode_steps(t) if phase == "decode" else prefill_steps(t, engine.width)).items():
        before = engine.cycles
        for operation in operations:
            engine.time(operation)
        parts[part] = engine.cycles - before
    layer = StepCycles(engine.cycles, dict(engine.breakdown)).times(1 if phase == "decode" else batch)
    engine.reset()
    for operation in _head_steps(TileSizes(t.dim, t.ffn, t.seq, batch), config, engine.width):
        engine.time(operation)
    return layer, parts, engine.cycles


def _ours(config: ModelConfig, phase: str, engine: FlowEngine, context: int, batch: int,
          choices: Choices) -> tuple[StepCycles, dict[str, float], int]:
    """The executed mapping: decode at the full context; prefill in chunks, each against half of the prompt on average."""
    machine, grid, precision, profile = engine.machine, engine.width, engine.precision, engine.profile

    def layout(chunk: int) -> Mapping:
        return layer_layout(config, grid, precision, context, batch, chunk, *choices)

    def layer_of(chunk: int, slots: int, times: int) -> StepCycles:
        return time_layers(machine, layout(chunk), chunk, slots, profile).times(1 / config.layers).times(times)

    if phase == "decode":
        chunk, slots, times = batch, -(-context // grid), 1
    else:
        slots = -(-(context // 2 + 1) // grid)
        counts = {one: batch * -(-context // one) for one in CHUNKS if one <= context and layout(one).fits(machine)}
        chunk = min(counts, key=lambda one: layer_of(one, slots, counts[one]).cycles)
        times = counts[chunk]
    layer = layer_of(chunk, slots, times)
    parts = _mean_parts(machine, layout(chunk), chunk, slots, profile, times)
    for operation in _head_steps(TileSizes.of(config, _width(config), grid, context, batch), config, grid):
        engine.time(operation)
    return layer, parts, engine.cycles


def _mean_parts(machine: Machine, mapping: Mapping, tokens: int, slots: int, profile: str, times: float) -> dict[str, float]:
    """Cycles of the operations of a layer, the mean of all layers, ``times`` over."""
    sums: dict[str, float] = {}
    for one, (block, count) in zip(mapping.single_layers, mapping.config.kinds, strict=True):
        for operation in layer_operations(machine, one, tokens, slots, profile, block):
            name = f"{operation.part} {operation.name}"
            sums[name] = sums.get(name, 0.0) + operation.cycles * count * times / mapping.config.layers
    return sums


_MAPPINGS: dict[str, Callable[..., tuple[StepCycles, dict[str, float], int]]] = {"waferllm": _waferllm, "ours": _ours}


def predict_layer(model: str | ModelConfig, phase: str, machine: str | Machine, grid: int, context: int,
                  profile: str = "silicon", clock: float | None = None, mapping: str = "waferllm", batch: int = 1,
                  precision: str = "fp16", activations: Form | None = None,
                  programs: str = "default", weight_precision: str = "",
                  cache_precision: str = "") -> dict[str, Any]:
    """Cycles of ``phase`` of ``model`` on ``grid`` x ``grid`` PEs with ``context`` tokens, seconds at ``clock`` (Hz).

    ``cycles_per_layer`` is one layer for one token of each of ``batch`` sequences (decode) or for their whole prompts
    (prefill); ``cycles`` all layers, as the publications count: the LM head comes separately as ``head_cycles``.
    A layer that does not fit the grid is refused (:class:`BudgetError`); ``memory_bytes`` are those of its fullest PE, and
    ``layers_per_grid``, ``grids`` and ``wafers`` say what holds all layers: the way between grids is not in the time.
    ``breakdown`` has cycles of one layer by cause, ``parts`` by part of the layer. ``activations``: how SiLU and exponentials
    of ``mapping="ours"`` are computed, as in :class:`Mapping`, and ``programs``: the set of programs that its layers run, by
    name; the published kernels have their own. ``weight_precision`` and ``cache_precision``: what PEs keep, as in
    :class:`Grid`.
    """
    config = load_config(model) if isinstance(model, str) else model
    machine = load_machine(machine)
    _check(config, phase, context, batch, clock, mapping)
    if activations is not None and mapping == "waferllm":
        raise InputError("activations go with mapping=ours: the published kernels have their own")
    kept = Kept(weight_precision, cache_precision)
    if kept != Kept() and mapping == "waferllm":
        raise InputError("weights and cache of few bits go with mapping=ours: the published kernels keep both in fp16")
    if programs != "default" and mapping == "waferllm":
        raise InputError("a program set goes with mapping=ours: the published kernels have their own programs")
    chosen = program_set(programs)
    choices = activations or chosen.activations, chosen.programs, kept
    check_formats(Grid(config, 1, 1, precision, weight_precision=weight_precision, cache_precision=cache_precision))
    engine = _clocks(machine, grid, profile, precision)
    memory = check_layer(config, machine, grid, _memory_at(config, phase, mapping, precision, context, batch, choices))
    layer, parts, head = _MAPPINGS[mapping](config, phase, engine, context, batch, choices)
    rate = float(machine.clock) if clock is None else clock
    cycles = layer.cycles * config.layers
    tokens = batch * (1 if phase == "decode" else context)
    return {"model": config.name, "phase": phase, "machine": machine.name, "profile": profile, "mapping": mapping,
            "grid": f"{grid}x{grid}", "context": context, "batch": batch, "precision": precision,
            "activations": (choices[0] or DEFAULT_ACTIVATIONS[precision]) if mapping == "ours" else None,
            "weight_precision": weight_precision or precision, "cache_precision": cache_precision or precision,
            "cycles_per_layer": layer.cycles, "layers": config.layers, "cycles": cycles, "head_cycles": head,
            "clock_hertz": rate, "seconds": cycles / rate, "tokens_per_second": tokens * rate / cycles,
            "breakdown": layer.breakdown, "parts": parts, "memory_bytes": memory,
            **grids_needed(config, machine, grid, memory)}


def _memory_at(config: ModelConfig, phase: str, mapping: str, precision: str, context: int, batch: int,
               choices: Choices) -> MemoryAt:
    """What one layer takes on a square grid under ``mapping``."""
    if mapping == "ours":
        chunk = batch if phase == "decode" else 1
        return lambda side: layer_layout(config, side, precision, context, batch, chunk, *choices).memory
    return lambda side: TileSizes.of(config, _width(config), side, context, batch).memory(phase, batch, precision)


def _check(config: ModelConfig, phase: str, context: int, batch: int, clock: float | None, mapping: str) -> None:
    if phase not in PHASES:
        raise InputError(f"no phase {phase!r}: use one of {', '.join(PHASES)}")
    if mapping not in _MAPPINGS:
        raise InputError(f"no mapping {mapping!r}: use one of {', '.join(_MAPPINGS)}")
    if context < 1 or batch < 1:
        raise InputError(f"context is {context} and batch {batch}: expected at least 1")
    check_clock(clock)
    if config.mixture and mapping == "waferllm":
        raise InputError(f"{config.name} is a mixture of experts, which the published kernels do not have; use mapping=ours")
