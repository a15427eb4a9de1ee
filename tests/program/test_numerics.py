"""What instructions compute, against numpy float64 and exact fractions rounded once, and against whole numbers."""

import math

import numpy as np
import pytest

from wsekern.program import INSTRUCTIONS, Layout, Program
from wsekern.program.operands import INTEGERS, TYPE_BYTES
from wsekern.program.reference import math as exact

CHUNK = 2048
FLOATS, WHOLE = ("fp16", "bf16", "fp32"), ("u16", "i16", "u32", "i32")
H_TYPES = ("fp16", "bf16")
UNARY = {"neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "exp": np.exp, "log": np.log, "sin": np.sin,
         "cos": np.cos}
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
          "max": lambda a, b: np.where(a > b, a, b), "min": lambda a, b: np.where(a < b, a, b)}
COMPARISONS = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal}
SPECIAL = {
    # zeros, subnormals, the border to normal numbers, around 1 and 1.5, where spacing is 1 and 2, the largest, inf, NaN
    "fp16": (0, 1, 2, 3, 0x200, 0x3FE, 0x3FF, 0x400, 0x401, 0x1000, 0x1001, 0x3800, 0x3BFF, 0x3C00, 0x3C01, 0x3E00, 0x3E01,
             0x5BFF, 0x6400, 0x6401, 0x6800, 0x7800, 0x7BFE, 0x7BFF, 0x7C00, 0x7E00),
    "bf16": (0, 1, 2, 3, 0x40, 0x7E, 0x7F, 0x80, 0x81, 0x2000, 0x2F80, 0x3F00, 0x3F7F, 0x3F80, 0x3F81, 0x3FC0, 0x4300, 0x4301,
             0x5F80, 0x7F00, 0x7F7E, 0x7F7F, 0x7F80, 0x7FC0),
    "fp32": (0, 1, 2, 0x400000, 0x7FFFFF, 0x800000, 0x800001, 0x33800000, 0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001,
             0x3FC00000, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x4B000000, 0x4B800001, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF,
             0x7F800000, 0x7FC00000),
}
WHOLE_SPECIAL = (0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 255, 0x5555, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF, 0x10000,
                 0x12345678, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF)


@pytest.fixture(autouse=True)
def _quiet():
    """Infinities and NaNs are meant."""
    with np.errstate(all="ignore"):
        yield


def word_type(type: str) -> type:
    return np.uint32 if TYPE_BYTES[type] == 4 else np.uint16


def numbers(type: str, bits: np.ndarray) -> np.ndarray:
    """The numbers that bits stand for: float64, or int64 of whole ones."""
    if type == "fp16":
        return bits.view(np.float16).astype(np.float64)
    if type == "bf16":
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if type == "fp32":
        return bits.view(np.float32).astype(np.float64)
    return (bits if type[0] == "u" else bits.view({2: np.int16, 4: np.int32}[TYPE_BYTES[type]])).astype(np.int64)


def rounded(type: str, x: np.ndarray) -> np.ndarray:
    """Bits of float64 numbers rounded once to a type, ties to even; of whole ones modulo its width."""
    if type in INTEGERS:
        return (x & ((1 << 8 * TYPE_BYTES[type]) - 1)).astype(word_type(type))
    precision, least, largest = exact.FORMATS[type]
    exponent = np.maximum(np.frexp(np.where(np.isfinite(x), x, 1.0))[1] - 1, least)
    near = np.ldexp(np.rint(np.ldexp(x, precision - 1 - exponent)), exponent - precision + 1)
    near = np.where(np.abs(near) >= 2.0 ** (largest + 1), np.copysign(np.inf, x), near)
    near = np.where(np.isfinite(x), near, x)
    if type == "fp16":
        return near.astype(np.float16).view(np.uint16)
    words = near.astype(np.float32).view(np.uint32)
    return words if type == "fp32" else (words >> 16).astype(np.uint16)


def same(type: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Equal bits; of floats, any NaN is as good as any other."""
    wrong = found != expected
    if type not in INTEGERS:
        wrong &= ~(np.isnan(numbers(type, found)) & np.isnan(numbers(type, expected)))
    where = np.flatnonzero(wrong)[:5]
    assert not len(where), [(int(k), hex(found[k]), hex(expected[k])) for k in where]


def run(build, result: str, *sources: tuple[str, np.ndarray]) -> np.ndarray:
    """Bits of ``build(code, d, *sources)`` on PEs of ``CHUNK`` elements each."""
    count = len(sources[0][1])
    pes = -(-count // CHUNK)
    program = Program("numerics")
    d = program.array("d", result, CHUNK)
    arrays = [program.array("abc"[k], type, CHUNK) for k, (type, _) in enumerate(sources)]
    with program.function("go") as t:
        build(t, d, *arrays)
    layout = Layout("wse3", pes, 1)
    layout.set_program(program, 0, 0, pes, 1)
    simulation = layout.compile()
    for array, (type, bits) in zip(arrays, sources, strict=True):
        padded = np.zeros(pes * CHUNK, word_type(type))
        padded[:count] = bits
        padded = padded.view({"fp16": np.float16, "fp32": np.float32, "i16": np.int16, "i32": np.int32}.get(type, padded.dtype))
        simulation.memcpy_h2d(str(array), padded)
    simulation.launch("go")
    simulation.run()
    return simulation.memcpy_d2h("d").reshape(-1).view(word_type(result))[:count]


def vector(name: str):
    return lambda t, *operands: t.vector(name, *operands)


def scalar(op: str):
    """A loop that does one scalar operation on each element."""
    def build(t, d, *arrays):
        with t.range(CHUNK) as i:
            t.write(d, i, t.scalar(op, *(t.read(array, i) for array in arrays)))
    return build


def bits_of(type: str, count: int, seed: int = 0) -> np.ndarray:
    """All special values with both signs, then random bits: 16-bit types have every value."""
    mask = (1 << 8 * TYPE_BYTES[type]) - 1
    if TYPE_BYTES[type] == 2 and count == 1 << 16:
        return np.arange(1 << 16, dtype=np.uint16)
    special = SPECIAL[type] if type in FLOATS else [value & mask for value in WHOLE_SPECIAL]
    sign = 1 << 8 * TYPE_BYTES[type] - 1 if type in FLOATS else 0
    chosen = [value | with_sign for value in special for with_sign in {0, sign}]
    random = np.random.default_rng(seed).integers(0, mask + 1, count, np.uint32)
    return np.concatenate([np.array(chosen, np.uint32), random]).astype(word_type(type))


def products(types: list[str], random: int = 4000) -> list[np.ndarray]:
    """All combinations of special values, then random bits and random numbers near each other."""
    special = [bits_of(type, 0) for type in types]
    grids = [grid.reshape(-1) for grid in np.meshgrid(*special, indexing="ij")]
    rng, out = np.random.default_rng(1), []
    for type, grid in zip(types, grids, strict=True):
        mask = (1 << 8 * TYPE_BYTES[type]) - 1
        bits = rng.integers(0, mask + 1, random, np.uint32)
        near = rng.integers(0, 40, random)
        if type in FLOATS:
            near = rng.standard_normal(random) * np.exp2(near - 34.0)
        out.append(np.concatenate([grid, bits.astype(word_type(type)), rounded(type, near)]))
    return out


def half(name: str) -> bool:
    return INSTRUCTIONS[name][1] == "fp16"


# ---- floats -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("type", FLOATS)
def test_operations_on_one_float(type):
    bits = bits_of(type, 1 << 16)
    x = numbers(type, bits)
    names = {"neg": "fneg", "abs": "fabs", "mov": "fmov"}
    for op, function in UNARY.items():
        expected = rounded(type, function(x))
        same(type, run(scalar(op), type, (type, bits)), expected)
        if op in names:
            same(type, run(vector(names[op] + ("s" if type == "fp32" else "h")), type, (type, bits)), expected)


@pytest.mark.parametrize("type", TYPE_BYTES)
def test_moves_keep_every_bit(type):
    bits = bits_of(type, 1 << 16)
    for name in ("mov32", "fmovs") if TYPE_BYTES[type] == 4 else ("mov16", "fmovh"):
        np.testing.assert_array_equal(run(vector(name), type, (type, bits)), bits)
    other = {"fp32": "u32", "fp16": "i16", "bf16": "u16", "u32": "fp32", "u16": "fp16", "i32": "u32", "i16": "u16"}[type]
    np.testing.assert_array_equal(run(vector(name), other, (type, bits)), bits)


@pytest.mark.parametrize("type", FLOATS)
def test_operations_on_two_floats(type):
    bits = products([type, type])
    a, b = (numbers(type, word) for word in bits)
    for op, function in BINARY.items():
        expected = rounded(type, function(a, b))
        same(type, run(scalar(op), type, *((type, word) for word in bits)), expected)
        name = f"f{op}{'s' if type == 'fp32' else 'h'}"
        if name in INSTRUCTIONS:
            same(type, run(vector(name), type, *((type, word) for word in bits)), expected)
    for op, function in COMPARISONS.items():
        np.testing.assert_array_equal(run(scalar(op), "u16", *((type, word) for word in bits)), function(a, b))


@pytest.mark.parametrize("type", FLOATS)
def test_functions_of_the_software_library_are_those_of_the_tile_kernels(type):
    """Every 16-bit number, and many of fp32, against :mod:`wsekern.tiles` and against the steps in plain Python."""
    from wsekern import tiles

    bits = bits_of(type, 1 << 16)
    held = bits if type == "bf16" else bits.view(np.float16 if type == "fp16" else np.float32)
    for name, kernel in (("lib_exp", tiles.exp), ("lib_rsqrt", tiles.rsqrt), ("lib_silu", tiles.silu)):
        found = run(vector(name), type, (type, bits))
        same(type, found, kernel(held.reshape(1, 1, -1), type).reshape(-1).view(word_type(type)))
        same(type, run(scalar(INSTRUCTIONS[name][0]), type, (type, bits)), found)
        few = np.r_[0:60, 60:len(bits):61]
        operation = INSTRUCTIONS[name][0]
        plain = [exact.encode(type, exact.apply(operation, type, x)) for x in numbers(type, bits[few]).tolist()]
        same(type, found[few], np.array(plain, word_type(type)))
    a, b = products([type, type])
    same(type, run(vector("lib_div"), type, (type, a), (type, b)), rounded(type, numbers(type, a) / numbers(type, b)))


def exact_fma(result: str, types: list[str], bits: list[np.ndarray]) -> np.ndarray:
    values = (numbers(type, word).tolist() for type, word in zip(types, bits, strict=True))
    return np.array([exact.encode(result, exact.apply("fma", result, *three)) for three in zip(*values, strict=True)],
                    word_type(result))


def thinned(bits: list[np.ndarray], most: int = 12_000) -> list[np.ndarray]:
    """Some of the combinations, the same in all operands, with the random ones at the end."""
    keep = np.r_[np.random.default_rng(2).permutation(len(bits[0]) - 4000)[:most], len(bits[0]) - 4000:len(bits[0])]
    return [word[keep] for word in bits]


@pytest.mark.parametrize(("name", "types"), [("fmach", ["fp16"] * 3), ("fmach", ["bf16"] * 3), ("fmacs", ["fp32"] * 3),
                                             ("fmachs", ["fp32", "fp16", "fp16"]), ("fmachs", ["fp32", "bf16", "bf16"])])
def test_multiply_add_is_exact_before_its_one_rounding(name, types):
    bits = thinned(products(types, 2000), most=8_000)
    expected = exact_fma(types[0], types, bits)
    same(types[0], run(vector(name), types[0], *zip(types, bits, strict=True)), expected)
    if len(set(types)) == 1:
        same(types[0], run(scalar("fma"), types[0], *zip(types, bits, strict=True)), expected)


@pytest.mark.parametrize(("type", "b", "c"), [("fp16", 48.0, 683.0), ("bf16", 7.0, 37.0)])
def test_the_smallest_number_decides_a_tie(type, b, c):
    """b * c lies in the middle between two numbers, and a is the smallest there is: fp32, and for bf16 even fp64, loses it."""
    tiny = np.array([0x0001, 0x8001, 0x0000], np.uint16)
    words = [tiny, *(np.full(3, rounded(type, np.float64(x))) for x in (b, c))]
    expected = exact_fma(type, [type] * 3, words)
    assert expected[0] == expected[1] + 1
    same(type, run(vector("fmach"), type, *((type, word) for word in words)), expected)


@pytest.mark.parametrize("narrow", H_TYPES)
def test_mixed_precision_sums_and_conversions(narrow):
    a, b = products(["fp32", narrow])
    expected = rounded("fp32", numbers("fp32", a) + numbers(narrow, b))
    same("fp32", run(vector("faddhs"), "fp32", ("fp32", a), (narrow, b)), expected)
    every = np.arange(1 << 16, dtype=np.uint16)
    same("fp32", run(vector("fh2s"), "fp32", (narrow, every)), rounded("fp32", numbers(narrow, every)))
    wide = bits_of("fp32", 1 << 16)
    ties = (numbers(narrow, every) + np.diff(numbers(narrow, every), append=0) / 2).astype(np.float32).view(np.uint32)
    for words in (wide, ties, ties + 1, ties - 1):
        same(narrow, run(vector("fs2h"), narrow, ("fp32", words)), rounded(narrow, numbers("fp32", words)))


@pytest.mark.parametrize("name", [name for name in INSTRUCTIONS
                                  if half(name) and name not in ("fmach", "fmovh", "fs2h", "xp162fh")])
def test_reductions_round_each_step(name):
    """A register as target: as many roundings as elements."""
    operation = INSTRUCTIONS[name][0]
    words = rounded("fp16", np.random.default_rng(3).standard_normal(CHUNK))

    def build(t, d, a):
        total = t.let("fp16", 1.0)
        sources = (total, a) if operation in BINARY else (a,)
        t.vector(name, total, *sources)
        t.write(d, 0, total)

    total, values = 1.0, numbers("fp16", words)
    for value in values:
        total = exact.apply(operation, "fp16", total, float(value)) if operation in BINARY else exact.apply(
            operation, "fp16", float(value))
    assert run(build, "fp16", ("fp16", words))[0] == exact.encode("fp16", total)


# ---- whole numbers ----------------------------------------------------------------------------------------------------

def whole(op: str, type: str, *values: np.ndarray) -> np.ndarray:
    """Bits of an operation on whole numbers, by Python's own."""
    rows = zip(*(value.tolist() for value in values), strict=True)
    found = np.array([exact.apply_int(op, type, *row) for row in rows], np.int64)
    return found.astype(np.uint16) if op in COMPARISONS else rounded(type, found)


def by_numpy(op: str, type: str, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """The same by int64 of numpy, where that knows the operation."""
    safe = np.where(b == 0, 1, b)
    quotient = np.sign(a) * np.sign(safe) * (np.abs(a) // np.abs(safe))
    return rounded(type, {
        "add": a + b, "sub": a - b, "mul": a * b, "and": a & b, "or": a | b, "xor": a ^ b, "max": np.maximum(a, b),
        "min": np.minimum(a, b), "shl": a << (b & 31), "shr": a >> (b & 31), "div": np.where(b == 0, -1, quotient),
        "mod": np.where(b == 0, -1, a - quotient * safe)}[op])


WHOLE_OPS = ("add", "sub", "mul", "and", "or", "xor", "max", "min", "shl", "shr", "div", "mod")


@pytest.mark.parametrize("type", WHOLE)
def test_scalars_of_whole_numbers(type):
    """Wrapping, division toward zero and by zero, the least number by -1, shifts by more than the width."""
    bits = products([type, type], 2000)
    a, b = (numbers(type, word) for word in bits)
    for op in WHOLE_OPS:
        expected = by_numpy(op, type, a, b)
        np.testing.assert_array_equal(whole(op, type, a, b), expected)
        np.testing.assert_array_equal(run(scalar(op), type, *((type, word) for word in bits)), expected, op)
    for op, function in COMPARISONS.items():
        np.testing.assert_array_equal(run(scalar(op), "u16", *((type, word) for word in bits)), function(a, b), op)
    for op in ("neg", "abs"):
        np.testing.assert_array_equal(run(scalar(op), type, (type, bits[0])), whole(op, type, a), op)


@pytest.mark.parametrize("name", [name for name, (op, type) in INSTRUCTIONS.items()
                                  if type in INTEGERS and op not in ("mov", "to_integer")])
@pytest.mark.parametrize("is_signed", [False, True])
def test_vectors_of_whole_numbers(name, is_signed):
    """Instructions of 16 and 32 bits, on memory of either sign: they are signed or not by their own name."""
    op, arithmetic = INSTRUCTIONS[name]
    type = "ui"[is_signed] + arithmetic[1:]
    sources = {"fma": 3, "neg": 1, "abs": 1, "clz": 1, "ctz": 1, "popcnt": 1}.get(op, 2)
    bits = [word[-6000:] if sources == 3 else word for word in products([type] * sources, 2000)]
    expected = whole(op, arithmetic, *(numbers(arithmetic, word) for word in bits))
    np.testing.assert_array_equal(run(vector(name), type, *((type, word) for word in bits)), expected)


def test_bits_are_counted():
    """Of every 16-bit number, from its digits: zeros before the first one, behind the last one, and ones."""
    bits = bits_of("u16", 1 << 16)
    digits = [f"{number:016b}" for number in bits.tolist()]
    for name, counts in (("clz16", [16 - len(each.lstrip("0")) for each in digits]),
                         ("ctz16", [16 - len(each.rstrip("0")) for each in digits]),
                         ("popcnt16", [each.count("1") for each in digits])):
        np.testing.assert_array_equal(run(vector(name), "u16", ("u16", bits)), counts, name)


# ---- conversions ------------------------------------------------------------------------------------------------------

def converted(source: str, target: str, bits: np.ndarray) -> np.ndarray:
    x = numbers(source, bits)
    if target not in INTEGERS:
        return rounded(target, x.astype(np.float64))
    if source in INTEGERS:
        return rounded(target, x)
    width = 8 * TYPE_BYTES[target]
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if target[0] == "i" else (0, (1 << width) - 1)
    within = np.clip(np.nan_to_num(x, nan=0.0, posinf=1e300, neginf=-1e300), low, high)
    return rounded(target, np.trunc(within).astype(np.int64))


@pytest.mark.parametrize("source", TYPE_BYTES)
def test_conversions_in_all_directions(source):
    bits = bits_of(source, 1 << 16)
    if source in ("u32", "i32"):        # around the ties of every float type, too
        bits = np.concatenate([bits, (1 << np.arange(32)[:, None]).astype(np.uint32).repeat(9, 1).reshape(-1)
                               + np.tile(np.arange(-4, 5), 32).astype(np.uint32)])
    if source == "fp32":
        whole_ones = np.random.default_rng(4).integers(-70_000, 70_000, 4000) / 2
        bits = np.concatenate([bits, whole_ones.astype(np.float32).view(np.uint32)])
    for target in TYPE_BYTES:
        def build(t, d, a, target=target):
            with t.range(CHUNK) as i:
                t.write(d, i, t.read(a, i).to(target))
        same(target, run(build, target, (source, bits)), converted(source, target, bits))


@pytest.mark.parametrize(("name", "source", "target"), [
    ("xp162fh", "i16", "fp16"), ("xp162fs", "i16", "fp32"), ("fh2xp16", "fp16", "i16"), ("fs2xp16", "fp32", "i16")])
def test_vectors_of_conversions(name, source, target):
    bits = bits_of(source, 1 << 16)
    same(target, run(vector(name), target, (source, bits)), converted(source, target, bits))


def test_a_negative_16_bit_number_stays_negative_among_32_bits():
    def build(t, d, a):
        with t.range(CHUNK) as i:
            t.write(d, i, t.let("i32", 5) + t.read(a, i))
    bits = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(run(build, "i32", ("i16", bits)), rounded("i32", numbers("i16", bits) + 5))


def test_division_by_zero_is_that_of_ieee_754():
    for a in (0.0, 1.0, -2.0, math.inf, math.nan):
        for b in (0.0, -0.0):
            with np.errstate(all="ignore"):
                want = np.float32(a) / np.float32(b)
            np.testing.assert_array_equal(exact.apply("div", "fp32", a, b, 0.0), want)
