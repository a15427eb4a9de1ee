"""Bytes of code that operations take on a PE, counted from the programs that the cycle engine runs.

Programs are written without loops and with every call in line; a PE has room for neither. Counted is the same program as one
would keep it: what repeats but for addresses and lengths once, in a loop, and one kernel for operations that differ in their
sizes alone.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from wsekern.garbage import lasting
from wsekern.machine.timing import LIBRARY, Timing
from wsekern.ops.engines.programs import write_alone
from wsekern.ops.operation import Operation, WaferProgram
from wsekern.program import Program
from wsekern.program.instructions import Label, Scalar, Vector
from wsekern.program.operands import MEMORY, Fabric, Mem, Mem4d, Operand
from wsekern.program.program import SCALAR_BYTES, VECTOR_BYTES

DESCRIPTOR_BYTES = 8
"""Of a descriptor in memory: an address and a length of 16 bits each and a stride of 8, in whole words."""
LOOP_BYTES = 7 * SCALAR_BYTES
"""Of the loop over rows or pieces that every kernel of local work has: a count, a comparison, a branch, and the addresses of
three tiles and the result."""
LONGEST_LOOP = 64
"""Instructions of a loop's body that are looked for: more than any function has."""


@dataclass(frozen=True)
class CodeSize:
    """Bytes of one operation on the PE whose program is the largest."""

    kernel: Hashable
    """What operations that run the same instructions have alike: all but their sizes."""
    code: int
    """Of the kernel: instructions, constants, and the descriptors of streams and of room beside the tiles."""
    step: int
    """Of an operation that runs it: the descriptors of its tiles and of its result."""
    library: frozenset[str]
    """Functions of the software library that it calls."""
    shared: Hashable
    """What kernels have alike that differ in their routes alone: those along x and along y, of lines and of pieces of them."""
    instructions: int
    """Of ``code`` what such kernels have once: a call loads the descriptors of its streams, and runs the same instructions."""


def code_size(operation: Operation, timing: Timing, width: int, height: int) -> CodeSize:
    """Of ``operation`` on a grid; :class:`InputError` where it has no program for the cycle engine."""
    return _code_size(_few_words(operation), timing, width, height)


def _few_words(operation: Operation) -> Operation:
    """What sends words runs the same instructions however many these are."""
    sizes = vars(operation)
    few = {name: min(sizes[name], most) for name, most in (("elements", 4), ("tail", 2)) if name in sizes}
    return replace(operation, **few) if operation.sends and operation.elements and "elements" in few else operation


@lasting
@lru_cache(maxsize=4096)
def _code_size(operation: Operation, timing: Timing, width: int, height: int) -> CodeSize:
    costs = replace(timing, precision=operation.precision or timing.precision)
    largest, width, height = operation.in_engine_format().staged().largest(width, height)
    lowered = largest.lowered(costs, width, height)
    length = width if lowered.axis == "x" else height
    sides = (width, height) if lowered.knows_grid else (length,)
    (code, step, instructions), library = _of_programs(lowered, costs, timing, *sides)
    loop = 0 if operation.sends else LOOP_BYTES
    return CodeSize(_kernel(operation), loop + code, step, library, *_shared(operation, instructions))


@lasting
@lru_cache(maxsize=1024)
def _of_programs(lowered: WaferProgram, costs: Timing, timing: Timing, *sides: int) -> tuple[list[int], frozenset[str]]:
    """The most bytes (of the kernel, of a step, of instructions) that a PE takes, of lines as long as the one side or of a
    grid, and functions of the software library. Operations whose largest lines are alike share them."""
    programs = [write_alone(lowered, costs, role) for role in _roles(lowered, *sides)]
    sizes = [_size(*program, timing) for program in programs]
    library = {item.name for program, _ in programs for item in program.code if isinstance(item, Vector)} & set(LIBRARY)
    return [max(one[part] for one in sizes) for part in range(3)], frozenset(library)


def library_bytes(function: str, timing: Timing) -> int:
    """At most so many bytes of a function of the software library: scalar operations that wait for each other."""
    return SCALAR_BYTES * -(-timing.call(function) // timing.latency("scalar", 1))


def _roles(lowered: WaferProgram, *sides: int) -> list[Any]:
    """Of a grid, or of a line."""
    if len(sides) > 1:
        width, height = sides
        return list(dict.fromkeys(lowered.role_at(x, y, width, height) for y in range(height) for x in range(width)))
    return list(dict.fromkeys(lowered.role(place, *sides) for place in range(*sides)))


def _kernel(operation: Operation) -> tuple[type, tuple[tuple[str, Any], ...], bool]:
    """Its class, and what of it is no number; whether lines are cut, which takes routes of their own."""
    held = vars(operation)
    values = [(field.name, held[field.name]) for field in fields(operation)]
    words = tuple((name, value) for name, value in values if isinstance(value, bool) or not isinstance(value, int | float))
    return type(operation), words, bool(held.get("segment"))


def _shared(operation: Operation, instructions: int) -> tuple[Hashable, int]:
    """Of an operation along lines: its kernel without the routes, and the bytes of its instructions."""
    if operation.axis is None or not operation.sends:
        return None, 0
    kind, words, _ = _kernel(operation)
    return (kind, tuple(word for word in words if word[0] != "axis")), instructions


def _size(program: Program, tiles: tuple[str, ...], timing: Timing) -> tuple[int, int, int]:
    """(kernel, step, instructions of the kernel) of one PE. The software of a call takes an instruction for each load of a
    descriptor, of which it consists (an all-reduce on WSE-3: 45 cycles), and a vector instruction those that
    :data:`VECTOR_BYTES` counts."""
    kept, depth = nested([item for item in program.code if not isinstance(item, Label)])
    software = sum(-(-item.imm // timing.latency("descriptor", 1)) if item.form == "spend" else 1
                   for item in kept if isinstance(item, Scalar))
    vectors = [item for item in kept if isinstance(item, Vector)]
    operands = {(isinstance(operand, Fabric) and operand is item.dst, operand) for item in vectors for operand in item.operands}
    own = sum(1 for _, operand in operands if not isinstance(operand, MEMORY) or operand.symbol not in tiles)
    constants = sum(1 for name in program.initial if program.symbols[name][1] == 1)
    instructions = VECTOR_BYTES * len(vectors) + SCALAR_BYTES * software
    instructions += LOOP_BYTES * max(0, depth - 1)      # of loops in loops; the outermost is counted with the operation
    kernel = instructions + SCALAR_BYTES * constants + DESCRIPTOR_BYTES * own
    return kernel, DESCRIPTOR_BYTES * (len(operands) - own), instructions


def folded(code: Sequence[Vector | Scalar]) -> list[Vector | Scalar]:
    """The instructions with what repeats but for addresses and lengths only once, loops in loops too."""
    return nested(code)[0]


def nested(code: Sequence[Vector | Scalar]) -> tuple[list[Vector | Scalar], int]:
    """What :func:`folded` gives, and how deep its loops are."""
    depth, kept = 0, _folded_once(code)
    while len(kept) < len(code):
        depth, code, kept = depth + 1, kept, _folded_once(kept)
    return kept, depth


def _folded_once(code: Sequence[Vector | Scalar]) -> list[Vector | Scalar]:
    """The innermost loops that there are."""
    numbers: dict[Hashable, int] = {}                       # quicker to compare than shapes are
    shapes, kept, at = [numbers.setdefault(_shape(item), len(numbers)) for item in code], [], 0
    while at < len(code):
        size = next((size for size in range(1, min(LONGEST_LOOP, (len(code) - at) // 2) + 1)
                     if shapes[at:at + size] == shapes[at + size:at + 2 * size]), 1)
        kept += code[at:at + size]
        body, at = shapes[at:at + size], at + size
        while shapes[at:at + size] == body:
            at += size
    return kept


def _shape(item: Vector | Scalar) -> Hashable:
    """What of an instruction a loop cannot change."""
    if isinstance(item, Scalar):        # whole numbers with a sign are places of rows, which a loop counts
        return item.form, item.op, item.type, 0 if item.type == "i32" else item.imm
    return item.name, item.microthread, tuple(_operand_shape(operand) for operand in item.operands)


def _operand_shape(operand: Operand) -> Hashable:
    """Of memory whose it is: a loop moves descriptors, and sets their lengths and strides."""
    if isinstance(operand, MEMORY):
        return operand.symbol, operand.type if isinstance(operand, Mem | Mem4d) else None
    return operand
