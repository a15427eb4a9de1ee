"""Random expressions of every number type, compiled and run, against plain Python: integers wrap, floats round once."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INTEGERS = {f"{sign}{bits}": (sign == "i", bits) for sign in "iu" for bits in (8, 16, 32, 64)}
NARROW = [kind for kind, (_, bits) in INTEGERS.items() if bits < 64]
"""Those that floats are made of and made into at run time."""


class Bf16(float):
    """A number of the format bf16: each operation rounds once, to nearest even."""

    def __new__(cls, value: float) -> "Bf16":
        """The nearest one to a number, which is exact in double."""
        value = float(value)
        if value == 0 or value - value != 0:
            return super().__new__(cls, value)
        bits = 8 - max(math.frexp(value)[1], -125)  # eight of significand; fewer below the smallest normal number
        rounded = math.ldexp(round(math.ldexp(value, bits)), -bits)
        return super().__new__(cls, rounded if abs(rounded) < 2.0 ** 128 else math.copysign(math.inf, value))

    def __add__(self, other: float) -> "Bf16":
        return Bf16(float(self) + float(other))

    def __sub__(self, other: float) -> "Bf16":
        return Bf16(float(self) - float(other))

    def __mul__(self, other: float) -> "Bf16":
        return Bf16(float(self) * float(other))

    def __neg__(self) -> "Bf16":
        return Bf16(-float(self))


FLOATS = {"f16": np.float16, "f32": np.float32, "bf16": Bf16}
COUNT = 6
"""Results of a program."""


def wrapped(value: int, kind: str) -> int:
    signed, bits = INTEGERS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


# ---- expressions: (type, text, value), where the value is computed as the text is written ----


def number(kind: str, value: int) -> tuple:
    return kind, f"@as({kind}, {value})", value


@st.composite
def leaf(draw, kind: str, known: bool) -> tuple:
    """A known number, or one that the host has written."""
    if kind in FLOATS:
        k = draw(st.integers(0, 3))
        if known and draw(st.booleans()):
            value = draw(st.integers(-64, 64)) / 4
            return kind, f"@as({kind}, {value})", FLOATS[kind](value)
        return kind, f"@as({kind}, given[{k}])", lambda host: FLOATS[kind](host[1][k])
    if known and draw(st.booleans()):
        signed, bits = INTEGERS[kind]
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return number(kind, draw(st.sampled_from([low, high, 0, 1, 3]) | st.integers(low, high)))
    k = draw(st.integers(0, 7))
    return kind, f"@as({kind}, in[{k}])", lambda host: wrapped(int(host[0][k]), kind)


def value_of(node: tuple, host: tuple):
    return node[2](host) if callable(node[2]) else node[2]


def quotient(a: int, b: int) -> int:
    found = abs(a) // abs(b)
    return found if (a < 0) == (b < 0) else -found


WHOLE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "&": lambda a, b: a & b,
         "|": lambda a, b: a | b, "^": lambda a, b: a ^ b, "/": quotient, "%": lambda a, b: a - quotient(a, b) * b,
         "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b}
COMPARED = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}
ROUNDED = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}


@st.composite
def expression(draw, kind: str, depth: int) -> tuple:
    """An expression of a type."""
    if depth == 0:
        return draw(leaf(kind, True))
    form = draw(st.sampled_from(["operation", "operation", "cast", "choice", "negative"]))
    if form == "cast":
        return draw(cast(kind, depth))
    a = draw(expression(kind, depth - 1))
    if form == "negative":
        if kind in FLOATS:
            return kind, f"-({a[1]})", lambda host: -value_of(a, host)
        sign = draw(st.sampled_from("-~"))
        return kind, f"{sign}({a[1]})", lambda host: wrapped(-value_of(a, host) if sign == "-" else ~value_of(a, host), kind)
    b = draw(expression(kind, depth - 1))
    if form == "choice":
        other = draw(st.sampled_from([*INTEGERS, "f32", "bf16"]))
        left, right, compare = draw(leaf(other, False)), draw(leaf(other, True)), draw(st.sampled_from(list(COMPARED)))
        return kind, f"(if ({left[1]} {compare} {right[1]}) {a[1]} else {b[1]})", lambda host: value_of(
            a if COMPARED[compare](value_of(left, host), value_of(right, host)) else b, host)
    return draw(operation(kind, a, b))


@st.composite
def operation(draw, kind: str, a: tuple, b: tuple) -> tuple:
    if kind in FLOATS:
        operator = draw(st.sampled_from("+-*"))
        return kind, f"({a[1]} {operator} {b[1]})", lambda host: ROUNDED[operator](value_of(a, host), value_of(b, host))
    operator = draw(st.sampled_from(list(WHOLE)))
    right, of = b[1], lambda host: value_of(b, host)
    if operator in "/%":
        right, of = f"({b[1]} | 1)", lambda host: value_of(b, host) | 1
    if operator in ("<<", ">>"):
        most = INTEGERS[kind][1] - 1
        right, of = f"(@as(u16, {b[1]}) & {most})", lambda host: wrapped(value_of(b, host), "u16") & most
    return kind, f"({a[1]} {operator} {right})", lambda host: wrapped(WHOLE[operator](value_of(a, host), of(host)), kind)


@st.composite
def cast(draw, kind: str, depth: int) -> tuple:
    """From another type, where the result is defined."""
    if kind in FLOATS:
        wide = NARROW if kind == "f32" else ["i8", "u8", "i16"] if kind == "f16" else ["i8", "u8"]
        source = draw(st.sampled_from(["f32", kind, *wide]))
        a = draw(expression(source, depth - 1))
        return kind, f"@as({kind}, {a[1]})", lambda host: FLOATS[kind](value_of(a, host))
    if draw(st.integers(0, 4)) == 0 and kind in ("i16", "i32"):
        a = draw(leaf("f32", False))
        return kind, f"@as({kind}, {a[1]})", lambda host: int(value_of(a, host))
    a = draw(expression(draw(st.sampled_from(list(INTEGERS))), depth - 1))
    return kind, f"@as({kind}, {a[1]})", lambda host: wrapped(value_of(a, host), kind)


PROGRAMS = st.lists(st.sampled_from([*INTEGERS, *FLOATS]).flatmap(lambda kind: expression(kind, 3)), min_size=COUNT,
                    max_size=COUNT)
HOST = st.tuples(st.lists(st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-9, 9), min_size=8, max_size=8),
                 st.lists(st.integers(-400, 400).map(lambda k: k / 8), min_size=4, max_size=4))


def check(run, arch, nodes, host):
    """Compile, run, compare every result bit for bit."""
    from tests.csl.test_programs import words
    lines = [f"  floats[{k}] = @as(f32, {node[1]});" if node[0] in FLOATS
             else f"  out[{k}] = @as(i32, {node[1]});" if node[0] in NARROW
             else f"  const n{k}: {node[0]} = {node[1]};\n  out[{k}] = @as(i32, n{k} ^ (n{k} >> @as(u16, 32)));"
             for k, node in enumerate(nodes)]
    values = ", ".join(str(value) for value in host[0]), ", ".join(str(float(value)) for value in host[1])
    code = (f"var numbers = [8]i32 {{ {values[0]} }};\nvar given = [4]f32 {{ {values[1]} }};\nfn compute() void {{\n"
            "  for (@range(i16, 8)) |k| { in[k] = numbers[k]; numbers[k] += 0; }\n  given[0] += 0.0;\n"
            + "\n".join(lines) + "\n  sys.unblock_cmd_stream();\n}\n")
    runtime = run(code, arch=arch)
    whole, real = words(runtime, "out")[0], words(runtime, "floats", dtype=np.float32)[0]
    for k, node in enumerate(nodes):
        with np.errstate(all="ignore"):
            expected = value_of(node, host)
            if node[0] in INTEGERS and node[0] not in NARROW:
                expected ^= expected >> 32
            wanted = np.float32(expected) if node[0] in FLOATS else wrapped(expected, "i32")
        found = real[k] if node[0] in FLOATS else whole[k]
        assert found == wanted or (wanted != wanted and found != found), (node[0], node[1], found, wanted, code)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(PROGRAMS, HOST)
def test_random_expressions_give_what_plain_python_says(run_csl, nodes, host):
    check(run_csl, "wse2", nodes, host)


@pytest.mark.by_hand
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(PROGRAMS, HOST, st.sampled_from(["wse2", "wse3"]))
def test_many_random_expressions(run_csl, nodes, host, arch):
    check(run_csl, arch, nodes, host)
