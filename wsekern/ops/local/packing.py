"""Weights of 8 and 4 bits as they lie on a PE, and the vector instructions that unpack them.

Cores have no arithmetic in such formats. Two or four elements lie in one 16-bit word, so that few shifts and masks bring each
to where a 16-bit float has its bits: an element and the one half (a quarter) of the piece later, so that what comes out is
contiguous. Whole numbers lie from 0 on and need no conversion: a small one is the bits of a subnormal number. What comes out is
the element (of int8 128, of int4 8 more) times a power of two, exactly; sums are fp32, and what is too much or too little is
put right in the sums, with the scales.

========  ===================  ==============================  ============================  ============================
format    element              a scale for                     instructions an element       stored bits of a scale
========  ===================  ==============================  ============================  ============================
fp8       e4m3, largest 448    an output                       2.5                           16
int8      -127 to 127          an output                       1                             16
int4      -7 to 7              32 inputs of an output          1.5                           16
mxfp4     e2m1, largest 6      32 inputs, a power of two       2.25                          8
========  ===================  ==============================  ============================  ============================

Those are the fewest that shifts and masks can do. In bf16, whose subnormal numbers are too small for sums, there is a multiply
or multiply-add more: 3.5, 2, 2.5, 3.25.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from wsekern.errors import InputError
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import fma, load, store
from wsekern.program.operands import ElementType

PIECE = 1024
"""Elements that are unpacked at a time, at most, but for a single longer row: where set-ups are about a tenth of the time."""

Instruction = tuple[str, tuple[float, ...]]
"""An operation and its constants: ``sll16``, ``slr16``, ``sar16``, ``and16`` on bits; ``mul``, ``fma`` (a + element * c)."""


@dataclass(frozen=True)
class Lane:
    """Where one of the elements of a word lies, and the instructions that bring it out; the first one reads the word."""

    places: tuple[int, ...]
    """Bit of the word of each bit of the code, its lowest first."""
    steps: tuple[Instruction, ...]


@dataclass(frozen=True)
class Packing:
    """A format: ``group`` inputs share a scale (0: all of an output)."""

    name: str
    bits: int
    group: int
    title: str

    def lanes(self, type: ElementType) -> tuple[Lane, ...]:
        """The elements of a word where they are unpacked into fp16 or bf16."""
        return _LANES[self.name](type)

    def instructions(self, type: ElementType) -> float:
        """Vector instructions for an element."""
        lanes = self.lanes(type)
        return sum(len(lane.steps) for lane in lanes) / len(lanes)

    def exponent(self, type: ElementType) -> int:
        """What is unpacked is 2^this times the element, whole numbers counted from 0 on."""
        if self.whole:
            return _LAST[type] if type == "fp16" else -9
        return -8 if self.bits == 8 else 1 - _BIAS[type] if type == "fp16" else 0

    def zero(self, type: ElementType) -> float:
        """What is to be added to every element that is unpacked."""
        return -(2.0 ** (self.bits - 1 + self.exponent(type))) if self.whole and type == "fp16" else 0.0

    def lift(self, type: ElementType) -> int:
        """Scales are stored as 2^-this of what sums are multiplied by: fp16 does not reach that far."""
        return 15 if self.whole and type == "fp16" else 0

    @property
    def whole(self) -> bool:
        """Whether elements are whole numbers."""
        return self.name.startswith("int")

    @property
    def byte_scales(self) -> bool:
        """Whether scales are powers of two, of which two lie in a word."""
        return self.name == "mxfp4"


# ---- lanes

_EXPONENT_AT: dict[str, int] = {"fp16": 10, "bf16": 7}
"""Lowest bit of the exponent in a 16-bit float."""
_BIAS: dict[str, int] = {"fp16": 15, "bf16": 127}
_LAST: dict[str, int] = {"fp16": -24, "bf16": -133}
"""Exponent of the least number that is not 0."""


def _float_lane(type: ElementType, left: int, right: int, magnitude: int, fraction: int, then: tuple[Instruction, ...]) -> Lane:
    """A float of sign and ``magnitude`` bits, ``fraction`` of these behind the exponent: shifted to the left, back to the right
    with its sign, and masked."""
    low = _EXPONENT_AT[type] - fraction
    mask = 0x8000 | ((1 << magnitude) - 1) << low
    shifts = [("sll16", (left,))] * bool(left) + [("sar16", (right,))] * bool(right)
    places = [low + right - left + bit for bit in range(magnitude)]
    return Lane((*places, 15 - left), (*shifts, ("and16", (mask,)), *then))


def _fp8_lanes(type: ElementType) -> tuple[Lane, ...]:
    right = 11 - _EXPONENT_AT[type]
    more: tuple[Instruction, ...] = (("mul", (2.0**112,)),) if type == "bf16" else ()
    return tuple(_float_lane(type, left, right, 7, 3, more) for left in (0, 8))


def _mxfp4_lanes(type: ElementType) -> tuple[Lane, ...]:
    shifts = {"fp16": ((0, 2), (1, 0), (8, 2), (9, 0)), "bf16": ((0, 0), (1, 6), (5, 2), (6, 0))}[type]
    scale = (("mul", (2.0**126,)),) if type == "bf16" else ()
    return tuple(_float_lane(type, left, right, 3, 1, scale) for left, right in shifts)


def _whole_lane(type: ElementType, low: int, bits: int) -> Lane:
    """A whole number from 0 on at bits ``low`` and up, brought down: the bits of a subnormal number."""
    shift: tuple[Instruction, ...] = (("slr16", (low,)),) if low else ()
    mask: tuple[Instruction, ...] = (("and16", ((1 << bits) - 1,)),) if low + bits < 16 else ()
    zero = 2.0 ** (bits - 1 - 9)
    more: tuple[Instruction, ...] = (("fma", (-zero, 2.0 ** (-9 - _LAST[type]))),) if type == "bf16" else ()
    return Lane(tuple(range(low, low + bits)), (*shift, *mask, *more))


_LANES: dict[str, Callable[[ElementType], tuple[Lane, ...]]] = {
    "fp8": lru_cache(_fp8_lanes), "mxfp4": lru_cache(_mxfp4_lanes),
    "int8": lru_cache(lambda type: tuple(_whole_lane(type, low, 8) for low in (8, 0))),
    "int4": lru_cache(lambda type: tuple(_whole_lane(type, low, 4) for low in (12, 8, 4, 0))),
}

PACKINGS = {
    "fp8": Packing("fp8", 8, 0, "e4m3, a scale for each output"),
    "int8": Packing("int8", 8, 0, "whole numbers to 127, a scale for each output"),
    "int4": Packing("int4", 4, 32, "whole numbers to 7, a scale for up to 32 inputs of an output on a PE"),
    "mxfp4": Packing("mxfp4", 4, 32, "e2m1, a power of two for up to 32 inputs of an output on a PE"),
}
"""By name."""


def packing(name: str) -> Packing:
    """The format of that name; :class:`InputError` if there is none."""
    if name not in PACKINGS:
        raise InputError(f"no format {name!r} of packed weights: use one of {', '.join(PACKINGS)}")
    return PACKINGS[name]


# ---- how a tile lies

@dataclass(frozen=True)
class PackedLayout:
    """Where elements and scales of a tile (``k`` inputs, ``n`` outputs) lie: words of elements piece by piece, then scales."""

    packing: Packing
    k: int
    n: int

    @property
    def lanes(self) -> int:
        """Elements of a word."""
        return 16 // self.packing.bits

    def pieces_of(self, start: int, rows: int) -> list[tuple[int, int]]:
        """First row and rows of each piece of some rows, as equal as may be."""
        count = -(-rows // max(1, PIECE // self.n))
        edges = [start + rows * index // count for index in range(count + 1)]
        return [(start, end - start) for start, end in pairwise(edges)]

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """First row and rows of each piece, none of which goes beyond a group."""
        return [piece for group in self.groups for piece in self.pieces_of(*group)]

    def piece_words(self, rows: int) -> int:
        """Words of so many rows."""
        return -(-rows * self.n // self.lanes)

    @property
    def buffer(self) -> int:
        """Elements of room for what is unpacked at a time, padding included."""
        return max((self.lanes * self.piece_words(rows) for _, rows in self.pieces), default=0)

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First row and rows of each group that shares scales."""
        size = self.packing.group or max(1, self.k)
        return [(start, min(size, self.k - start)) for start in range(0, self.k, size)] if self.n else []

    @property
    def element_words(self) -> int:
        """Words of all elements."""
        return sum(self.piece_words(rows) for _, rows in self.pieces)

    @property
    def scale_words(self) -> int:
        """Words of all scales."""
        count = len(self.groups) * self.n
        return -(-count // 2) if self.packing.byte_scales else count

    @property
    def words(self) -> int:
        """16-bit words of a tile."""
        return self.element_words + self.scale_words


# ---- values

def quantise(form: Packing, type: ElementType, tile: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (..., inputs, outputs) and scales (..., 1, outputs), bits of ``type``, of a float32 ``tile`` all of whose inputs
    share a scale; ``largest`` (..., 1, outputs): the magnitude that the scale must reach. To the nearest, ties to even."""
    if not np.isfinite(tile).all():
        raise InputError(f"weights that are no finite numbers cannot be kept in {form.name}")
    if form.name == "mxfp4":
        return _mxfp4_codes(type, tile, largest)
    most = {"fp8": 448, "int8": 127, "int4": 7}[form.name]
    stored = form.exponent(type) + form.lift(type)
    kept = store(type, largest / np.float32(most) * np.float32(2.0**-stored))
    scale = load(type, kept) * np.float32(2.0**stored)
    found = np.clip(tile / np.where(scale > 0, scale, np.float32(1)), -most, most)
    if form.name == "fp8":
        from ml_dtypes import float8_e4m3fn

        return found.astype(float8_e4m3fn).view(np.uint8), kept.view(np.uint16)
    return (np.rint(found) + (1 << form.bits - 1)).astype(np.uint8), kept.view(np.uint16)


def _mxfp4_codes(type: ElementType, tile: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A scale is the power of two of the largest magnitude, less two (OCP MX 1.0), within the exponents of ``type``."""
    from ml_dtypes import float4_e2m1fn

    exponent = np.frexp(np.where(largest > 0, largest, np.float32(1)))[1] - 3
    unpacked = packing("mxfp4").exponent(type)
    if (exponent > _BIAS[type] + unpacked).any():
        raise InputError(f"weights up to {largest.max():.3g} are beyond mxfp4 unpacked into {type}: use bf16 or another format")
    exponent = np.clip(np.where(largest > 0, exponent, 0), 1 - _BIAS[type] + unpacked, _BIAS[type] + unpacked)
    codes = np.clip(np.ldexp(tile, -exponent), -6, 6).astype(float4_e2m1fn).view(np.uint8)
    return codes, (exponent - unpacked + _BIAS[type] << _EXPONENT_AT[type]).astype(np.uint16)


def pack(form: Packing, type: ElementType, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Words (..., words) of codes (..., k, n) and scales (..., groups, n) as bits of ``type``."""
    layout = PackedLayout(form, *codes.shape[-2:])
    around = codes.shape[:-2]
    out = np.zeros((*around, layout.words), np.uint16)
    start = 0
    for row, rows in layout.pieces:
        words, flat = layout.piece_words(rows), codes[..., row:row + rows, :].reshape(*around, rows * layout.n)
        for index, lane in enumerate(form.lanes(type)):
            part = flat[..., index * words:(index + 1) * words].astype(np.uint16)
            out[..., start:start + part.shape[-1]] |= _spread(part, lane.places)
        start += words
    kept = scales.reshape(*around, -1)
    if not form.byte_scales:
        out[..., start:] = kept
        return out
    top = kept >> (8 if type == "fp16" else 7) & 0xFF
    half = layout.scale_words
    out[..., start:] = top[..., :half] << 8
    out[..., start:start + top.shape[-1] - half] |= top[..., half:]
    return out


def _spread(codes: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Bits of codes at their places in a word."""
    found = np.zeros_like(codes)
    for bit, place in enumerate(places):
        found |= (codes >> np.uint16(bit) & np.uint16(1)) << np.uint16(place)
    return found


def scale_steps(type: ElementType) -> tuple[tuple[Instruction, ...], ...]:
    """Instructions that bring out the two scales of a word, powers of two: the upper byte and the lower one."""
    if type == "fp16":
        return (("and16", (0xFF00,)),), (("sll16", (8,)),)
    return (("slr16", (1,)), ("and16", (0x7F80,))), (("sll16", (7,)), ("and16", (0x7F80,)))


_ON_BITS: dict[str, Callable[..., np.ndarray]] = {
    "and16": np.bitwise_and, "sll16": np.left_shift, "slr16": np.right_shift,
    "sar16": lambda a, places: (a.view(np.int16) >> np.int16(places)).view(np.uint16),
}


def run_steps(type: ElementType, steps: tuple[Instruction, ...], words: np.ndarray) -> np.ndarray:
    """Bits of what instructions make of ``words``, each rounded once as on the core."""
    bits = words
    for operation, constants in steps:
        if operation in _ON_BITS:
            bits = _ON_BITS[operation](bits, np.uint16(constants[0]))
            continue
        value = load(type, bits.view(NUMPY_DTYPES[type]))
        factor = np.float32(constants[-1])
        exact = value * factor if operation == "mul" else fma(np.float32(constants[0]), value, factor)
        bits = store(type, exact).view(np.uint16)
    return bits


@lru_cache(maxsize=16)
def _table(form: Packing, type: ElementType, lane: int) -> np.ndarray:
    """Bits of the element of a lane for every word."""
    return run_steps(type, form.lanes(type)[lane].steps, np.arange(1 << 16, dtype=np.uint16))


def unpack_lane(form: Packing, type: ElementType, lane: int, words: np.ndarray) -> np.ndarray:
    """The element at one place of every word, of ``type``."""
    return _table(form, type, lane)[words].view(NUMPY_DTYPES[type])


def unpacked_weights(form: Packing, type: ElementType, words: np.ndarray, k: int, n: int) -> np.ndarray:
    """The weights (..., k, n) that ``words`` (..., words) stand for, float32: elements times scales."""
    elements, scales = unpack(form, type, words, k, n)
    groups = [count for _, count in PackedLayout(form, k, n).groups]
    spread = np.repeat(load(type, scales), groups, axis=-2) * np.float32(2.0 ** form.lift(type))
    return (load(type, elements) + np.float32(form.zero(type))) * spread


def unpack(form: Packing, type: ElementType, words: np.ndarray, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Elements (..., k, n) and scales (..., groups, n) of ``type`` as the instructions bring them out of ``words``."""
    layout, around = PackedLayout(form, k, n), words.shape[:-1]
    out = np.empty((*around, k, n), NUMPY_DTYPES[type])
    start = 0
    for row, rows in layout.pieces:
        count = layout.piece_words(rows)
        piece = words[..., start:start + count]
        lanes = [_table(form, type, lane)[piece] for lane in range(layout.lanes)]
        flat = np.concatenate(lanes, axis=-1)[..., :rows * n]
        out[..., row:row + rows, :] = flat.view(out.dtype).reshape(*around, rows, n)
        start += count
    kept = np.ascontiguousarray(words[..., start:])
    if form.byte_scales:
        kept = np.concatenate([run_steps(type, steps, kept) for steps in scale_steps(type)], axis=-1)
    count = len(layout.groups)
    return out, np.ascontiguousarray(kept[..., :count * n]).view(out.dtype).reshape(*around, count, n)
