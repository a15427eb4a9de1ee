"""The arithmetic of the cores in plain Python: exact fractions, rounded once. What the kernel's numerics are compared with.

A value is an int, or a float that holds a number of its type exactly; registers and memory hold bits.
"""

import math
import struct
from fractions import Fraction

FORMATS = {"fp32": (24, -126, 127), "fp16": (11, -14, 15), "bf16": (8, -126, 127)}
"""Bits of the significand, least and largest exponent of normal numbers."""
WIDTHS = {"u32": 32, "i32": 32, "u16": 16, "i16": 16}
COMPARISONS = ("lt", "le", "eq", "ne")
Number = int | float


def is_float(type: str) -> bool:
    """Whether a type is one of floating point."""
    return type in FORMATS


def to_int(type: str, bits: int) -> int:
    """An integer modulo 2^16 or 2^32, in the range of its type."""
    width = WIDTHS[type]
    bits &= (1 << width) - 1
    return bits - (1 << width) if type[0] == "i" and bits >> (width - 1) else bits


def rounded(type: str, exact: Fraction) -> float:
    """The number of a float type nearest to ``exact`` (not zero), ties to even; beyond the largest, infinity."""
    precision, least, largest = FORMATS[type]
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, least) - precision + 1)
    size = round(size / quantum) * quantum
    value = math.inf if size >= Fraction(2) ** (largest + 1) else float(size)
    return -value if exact < 0 else value


def round_to(type: str, value: float) -> float:
    """A float rounded once to a type."""
    return value if value == 0 or not math.isfinite(value) else rounded(type, Fraction(value))


def decode(type: str, bits: int) -> Number:
    """The number that bits stand for."""
    if type == "fp16":
        return struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0]
    if is_float(type):
        return struct.unpack("<f", struct.pack("<I", (bits << 16 if type == "bf16" else bits) & 0xFFFFFFFF))[0]
    return to_int(type, bits)


def encode(type: str, value: Number) -> int:
    """The bits of a number that the type holds; of any other one, rounded to it."""
    if not is_float(type):
        return int(value) & (1 << WIDTHS[type]) - 1
    value = round_to(type, value)
    if type == "fp16":
        return struct.unpack("<H", struct.pack("<e", value))[0]
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits >> 16 if type == "bf16" else bits


def _divided(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _taken(function: str, a: float) -> float:
    """A function of <math.h> in double precision."""
    if function == "log" and a == 0:
        return -math.inf
    try:
        return getattr(math, function)(a)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


_MAGIC = 1.5 * 2.0**23
"""Added to a small number in fp32 and taken off again it leaves the nearest whole number."""


def _single(x: float) -> float:
    """A double rounded to fp32: one operation on fp32 numbers, if it is exact or rounded in double before."""
    return round_to("fp32", x)


def library_exp(a: float) -> float:
    """e ^ a by the steps of ``src/tiles/tiles_functions.h``, each rounded to fp32; 0 below -104, infinity above 89."""
    if math.isnan(a):
        return a
    a = max(-104.0, min(89.0, a))
    n = _single(_single(_single(a * _single(1.44269504088896341)) + _MAGIC) - _MAGIC)
    r = _single(_single(a - _single(n * _single(0.693359375))) - _single(n * _single(-2.12194440e-4)))
    p = _single(1.9875691500e-4)
    for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = _single(_single(p * r) + _single(factor))
    p = _single(_single(_single(p * _single(r * r)) + r) + 1.0)
    half = _single(_single(_single(n * 0.5) + _MAGIC) - _MAGIC)
    return _single(_single(p * 2.0**half) * 2.0**(n - half))


def _library(op: str, a: float) -> float:
    """A function of the software library, in fp32."""
    if op == "library_exp":
        return library_exp(a)
    if op == "library_silu":
        return _divided(a, _single(1.0 + library_exp(0.0 - a)))
    return _divided(1.0, a if a == 0 else _single(_taken("sqrt", a)))


def _special(op: str, a: float, b: float, c: float) -> float:
    """What an operation gives in double precision: right for infinities, NaNs and the signs of zeros."""
    if op == "fma":
        return a + b * c
    return {"add": a + b, "sub": a - b, "mul": a * b}[op] if op != "div" else _divided(a, b)


def _exact(op: str, a: Fraction, b: Fraction, c: Fraction) -> Fraction:
    if op == "fma":
        return a + b * c
    return a + b if op == "add" else a - b if op == "sub" else a * b if op == "mul" else a / b


def apply_float(op: str, type: str, a: float, b: float = 0.0, c: float = 0.0) -> Number:
    """One operation on floats: the exact result rounded once. ``max`` and ``min`` give ``a`` where it is larger (smaller),
    else ``b``; comparisons give 1 or 0."""
    if op in COMPARISONS:
        return int({"lt": a < b, "le": a <= b, "eq": a == b, "ne": a != b}[op])
    if op == "max":
        return round_to(type, a if a > b else b)
    if op == "min":
        return round_to(type, a if a < b else b)
    if op in ("mov", "neg", "abs"):
        return round_to(type, {"mov": a, "neg": -a, "abs": math.copysign(a, 1.0)}[op])
    if op in ("exp", "log", "sin", "cos", "sqrt"):
        return a if op == "sqrt" and a == 0 else round_to(type, _taken(op, a))
    if op.startswith("library_"):
        return round_to(type, _single(_library(op, a)))
    if op == "from_integer":
        return convert("i16", type, a)
    if op == "floor":
        return round_to(type, math.copysign(float(math.floor(a)), a) if math.isfinite(a) else a)
    special = _special(op, a, b, c)
    operands = {"fma": (a, b, c)}.get(op, (a, b, 0.0))
    if not all(map(math.isfinite, operands)) or (op == "div" and b == 0):
        return special
    exact = _exact(op, *map(Fraction, operands))
    return rounded(type, exact) if exact else special


def _shift(op: str, type: str, a: int, b: int) -> int:
    places = b & 31
    return a << places if op == "shl" else a >> places


def _quotient(op: str, a: int, b: int) -> int:
    """Toward zero, remainders with the sign of ``a``; all ones where ``b`` is zero."""
    if b == 0:
        return -1
    whole = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return whole if op == "div" else a - whole * b


def _count(op: str, type: str, a: int) -> int:
    """Zeros before the first one, behind the last one, or ones among the bits of a type."""
    bits = format(a & (1 << WIDTHS[type]) - 1, f"0{WIDTHS[type]}b")
    if op == "popcnt":
        return bits.count("1")
    return len(bits) - len(bits.lstrip("0") if op == "clz" else bits.rstrip("0"))


def apply_int(op: str, type: str, a: int, b: int = 0, c: int = 0) -> int:
    """One operation on integers, modulo the width of the type."""
    if op in ("div", "mod"):
        result = _quotient(op, a, b)
    elif op in ("shl", "shr"):
        result = _shift(op, type, a, b)
    elif op in COMPARISONS:
        return int({"lt": a < b, "le": a <= b, "eq": a == b, "ne": a != b}[op])
    elif op in ("clz", "ctz", "popcnt"):
        result = _count(op, type, a)
    elif op == "to_integer":
        return convert("fp32", type, a)
    else:
        result = {"mov": a, "add": a + b, "sub": a - b, "mul": a * b, "fma": a + b * c, "neg": -a, "abs": abs(a),
                  "and": a & b, "or": a | b, "xor": a ^ b, "max": max(a, b), "min": min(a, b)}[op]
    return to_int(type, result)


def apply(op: str, type: str, a: Number, b: Number = 0, c: Number = 0) -> Number:
    """One operation of vector and scalar instructions in the arithmetic of ``type``."""
    return apply_float(op, type, a, b, c) if is_float(type) else apply_int(op, type, a, b, c)


def convert(source: str, target: str, value: Number) -> Number:
    """A number of one type as another: floats to integers toward zero within the range, NaN to 0; integers to floats rounded
    once; integers to integers modulo the width."""
    if is_float(target):
        return round_to(target, value) if is_float(source) else rounded(target, Fraction(value)) if value else 0.0
    if not is_float(source):
        return to_int(target, value)
    width = WIDTHS[target]
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if target[0] == "i" else (0, (1 << width) - 1)
    if math.isnan(value):
        return 0
    return low if value < low else high if value > high else int(value)
