"""The largest numbers of rows, by place: 16 bits of a number and its place are one fp32 number, and a round is one maximum."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsekern.errors import InputError
from wsekern.formulas import opaque
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.numbers import scalar_cycles
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated
from wsekern.program import Mem, Program
from wsekern.program.instructions import Vector
from wsekern.program.operands import Array

LEAST = float("-inf")
PLACES = 1 << 16
"""Numbers of a row, at most: places have the low half of a key."""
BITS = ("fp16", "fp16_fp32", "bf16")
"""Number formats whose numbers are the high half of a key."""


@dataclass(frozen=True)
class Largest(LocalOperation):
    """Rows (count, n) -> places (count, chosen) of the largest numbers of each, the largest first, the lower place first of
    equal ones.

    A key is an fp32 number: its high half the number's 16 bits, whose order is that of floats, its low half 65,535 minus the
    place, or of a negative number the place. So the largest key says the largest number, and of equal ones the first. A round
    is one maximum over all keys, and scalar code that reads number and place out of it and makes that key minus infinity.
    Numbers of bf16 that are not finite are larger than none. Cost: ``local_call``, three vector instructions a row that make
    keys, and in each round one more and some ten scalar ones.
    """

    n: int
    chosen: int
    count: int = 1

    def __post_init__(self) -> None:
        for name, number in (("n", self.n), ("chosen", self.chosen)):
            check_count(name, number, 1)
        check_count("the elements of a tile", self.n * self.count)
        if not self.chosen <= self.n < PLACES:
            raise InputError(f"the {self.chosen} largest of {self.n} numbers: expected no more than there are, and those below "
                             f"{PLACES:,}")

    def __str__(self) -> str:
        return f"{self.chosen} largest of {self.count} rows of {self.n}"

    @property
    def label(self) -> str:
        """Its sizes."""
        return str(self)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        compute, setups = _of_a_row(self.n, self.chosen, timing)
        return self.count * compute, self.count * setups + timing.latency("local_call", timing.latency("call"))

    def emit(self, out: Emission, role: None) -> str:
        """Row by row."""
        result = out.program.memory(f"places.{out.serial}", "u16", self.count * self.chosen)
        out.program.spend(out.timing.latency("local_call", out.timing.latency("call")))
        for row in range(self.count):
            _write(out.program, out.inputs[0], result, row, self.n, self.chosen, out.timing, out.serial)
        return result

    def flow(self, engine: Clocks, rows: np.ndarray) -> np.ndarray:
        """Tiles (height, width, count, n) -> places (height, width, count, chosen)."""
        check_operands(self, self.tiles(), [rows])
        self.time(engine)
        return self.reference(rows, engine.timing)

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone, once for PEs that hold the same."""
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        rows, = tiles
        return rows.with_tiles(self.reference(rows.tiles, engine.timing))

    def reference(self, rows: np.ndarray, timing: Timing) -> np.ndarray:
        """The same keys and rounds in plain numpy, for tiles of any PEs."""
        keys = _keys(rows.reshape(*rows.shape[:2], self.count, self.n), timing.precision)
        found = np.empty((*keys.shape[:-1], self.chosen), np.uint16)
        with np.errstate(invalid="ignore"):
            for turn in range(self.chosen):
                best = np.where(np.isnan(keys), np.float32(LEAST), keys).max(axis=-1)
                bits = best.view(np.uint32)
                low, high = (bits & 0xFFFF).astype(np.uint16), (bits >> 16).astype(np.uint16)
                found[..., turn] = low ^ ((high >> np.uint16(15)) - np.uint16(1))
                np.put_along_axis(keys, found[..., turn, None].astype(np.int64), np.float32(LEAST), axis=-1)
        return found

    def tiles(self) -> Shapes:
        """Shape of the rows on each PE."""
        return ((self.count, self.n),)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the places."""
        return engine.height, engine.width, self.count, self.chosen

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the rows, the places and the room that a PE holds."""
        taken = np.dtype(NUMPY_DTYPES[ELEMENT_TYPES[engine.precision]]).itemsize * self.count * self.n
        return taken + 4 * self.count * self.chosen + key_bytes(self.n)


def key_bytes(n: int) -> int:
    """Bytes of the keys of a row and of the places that they are made with."""
    return 4 * n + 2 * n


def _keys(rows: np.ndarray, precision: str) -> np.ndarray:
    """Keys of rows (..., n) of 16 bits, float32."""
    if precision not in BITS:
        raise InputError(f"keys are of numbers of 16 bits, not of {precision}")
    bits = np.ascontiguousarray(rows).view(np.uint16).astype(np.uint32)
    places = np.arange(rows.shape[-1], dtype=np.uint32)
    return (bits << 16 | np.where(bits >> 15, places, 0xFFFF - places)).view(np.float32)


def _write(program: Program, rows: str, result: str, row: int, n: int, chosen: int, timing: Timing, serial: str) -> None:
    """The instructions of one row."""
    keys, best = program.memory(f"keys.{serial}", "fp32", n), program.memory(f"best.{serial}", "fp32", 1)
    halves, backwards = keys.as_type("u16"), np.arange(n, dtype=np.uint16) ^ np.uint16(0xFFFF)
    places = program.memory(f"backwards.{serial}", "u16", n, backwards)
    shift = program.memory(f"fifteen.{serial}", "u16", 1, np.uint16(15))
    own, low, high = Mem(rows, n, row * n, type="u16"), Mem(halves, n, 0, 2), Mem(halves, n, 1, 2)
    program.emit("sar16", low, own, Mem(shift, 1, 0, 0))
    program.emit("xor16", low, low, Mem(places, n))
    program.emit("mov16", high, own)
    code = program.main()
    least, one, fifteen = code.constant(LEAST, "fp32"), code.constant(1, "u16"), code.constant(15, "u16")
    taken = program.memory(f"largest.{serial}", "u16", program.symbols[str(result)][1])
    found, total = Array(result, "u16", taken.elements), Mem(best, n, 0, 0)
    for turn in range(row * chosen, (row + 1) * chosen):
        code.write(best, 0, least)
        program.emit(timing.instruction("max", "fp32"), total, Mem(keys, n), total)
        top, bottom = code.read(best.as_type("u16"), 1), code.read(best.as_type("u16"), 0)
        place = bottom ^ ((top >> fifteen) - one)
        code.write(taken, turn, top)
        code.write(found, turn, place)
        code.write(keys, place, least)


@opaque
@lru_cache(maxsize=1024)
def _of_a_row(n: int, chosen: int, timing: Timing) -> tuple[int, int]:
    """(compute, overhead) cycles of one row: of vector instructions and of scalar code."""
    program = Program("count")
    program.memory("rows", "fp16", n)
    program.memory("result", "u16", chosen)
    _write(program, "rows", "result", 0, n, chosen, timing, "0")
    vectors = [item for item in program.code if isinstance(item, Vector)]
    scalars = scalar_cycles(timing, program.code)
    return (scalars + sum(timing.elements(item.name, n) for item in vectors), sum(timing.setup(item.name) for item in vectors))
