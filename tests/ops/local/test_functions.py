"""Functions in vector instructions: one sequence of rounded steps, the same in numpy, on the cores and in exact arithmetic, and
its errors over every number of 16 bits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import PRECISIONS, CycleEngine, FlowEngine, Local
from wsekern.ops.engines.programs import ColorAllocator, place_operations, run_on_cycle_engine
from wsekern.ops.local.accuracy import MEASURED, measure
from wsekern.ops.local.arithmetic import evaluate, fma, load
from wsekern.ops.local.functions import DIFFERENCES, FUNCTIONS, recipe
from wsekern.ops.local.recipe import Recipe
from wsekern.ops.local.vector import PIECE, apply, pieces, room_bytes
from wsekern.ops.operation import ELEMENT_TYPES
from wsekern.ops.predict import predict_op
from wsekern.program import Layout, Program
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.reference import math as exact

FORMS = ("vector", "vector-fp32")
MACHINES = [(machine, profile) for machine in ("wse1", "wse2", "wse3") for profile in ("vendor-simulator", "silicon")]
TYPES = [("fp16", "fp16"), ("bf16", "bf16"), ("fp32", "fp32"), ("fp32", "fp16"), ("fp32", "bf16")]
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-7, -1e-7, -17.4, 11.1, 88.7, -104.5, 65504.0, -65504.0, 3e38)


def made(rng: np.random.Generator, precision: str, special: float, *shape: int) -> np.ndarray:
    values = rng.standard_normal(shape) * 2.0 ** rng.integers(-8, 5, shape)
    values = np.where(rng.random(shape) < special, rng.choice(SPECIAL, shape), values).astype(np.float32)
    with np.errstate(all="ignore"):
        return round_bf16(values) if precision == "bf16" else values.astype(NUMPY_DTYPES[precision])


def tiles_of(operation: Local, width: int, height: int, precision: str, seed: int, special: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [made(rng, precision, special, height, width, *shape) for shape in operation.tiles()]


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal bits; any NaN is as good as any other."""
    found, expected = found.reshape(-1), expected.reshape(-1)
    assert found.dtype == expected.dtype and found.size == expected.size
    nan = [(part & 0x7FFF) > 0x7F80 if part.dtype == np.uint16 else np.isnan(part) for part in (found, expected)]
    np.testing.assert_array_equal(nan[0], nan[1])
    assert found[~nan[0]].tobytes() == expected[~nan[1]].tobytes()


@settings(max_examples=150, deadline=None)
@given(machine=st.sampled_from(MACHINES), kind=st.sampled_from(FUNCTIONS), precision=st.sampled_from(PRECISIONS),
       form=st.sampled_from(FORMS), grid=st.sampled_from([(1, 1), (3, 2)]), special=st.sampled_from([0.0, 0.2]),
       n=st.one_of(st.integers(0, 20), st.sampled_from([64, 128, 131, 300])), count=st.integers(0, 5), seed=st.integers(0, 99))
def test_every_function_is_the_same_on_both_engines(machine, kind, precision, form, grid, special, n, count, seed):
    operation = Local(kind, n, count, form=form)
    flow = FlowEngine(machine[0], *grid, machine[1], precision)
    tiles = tiles_of(operation, *grid, precision, seed, special)
    expected = flow.run(operation, *tiles)
    done = run_on_cycle_engine(operation, machine[0], *grid, machine[1], precision, *tiles)
    same(done.values, expected)
    np.testing.assert_array_equal(done.clock, flow.clock)
    assert flow.cycles == sum(operation.cycles(flow.timing))


@settings(max_examples=80, deadline=None)
@given(machine=st.sampled_from(MACHINES), kind=st.sampled_from(["add", "sub", "mul", "max", "rope"]),
       precision=st.sampled_from(PRECISIONS), form=st.sampled_from(FORMS), n=st.integers(0, 12),
       count=st.sampled_from([0, 1, 2, 6]), heads=st.sampled_from([1, 2]),
       special=st.sampled_from([0.0, 0.2]), seed=st.integers(0, 99))
def test_all_rows_in_one_instruction_give_what_each_alone_gives(machine, kind, precision, form, n, count, heads, special, seed):
    n, heads = n - n % 2 if kind == "rope" else n, heads if kind == "rope" and count % heads == 0 else 1
    together, apart = (Local(kind, n, count, heads=heads, form=each) for each in (form, "scalar"))
    flow, rows = (FlowEngine(machine[0], 2, 1, machine[1], precision) for _ in range(2))
    rng = np.random.default_rng(seed)
    tiles = [made(rng, type, special, 1, 2, *shape) for shape, type in
             zip(together.tiles(), together.tile_types(ELEMENT_TYPES[precision]), strict=True)]
    if kind == "rope":
        tiles[0] = tiles[0].reshape(1, 2, count // heads, heads, n)
    with np.errstate(all="ignore"):
        expected, found = rows.run(apart, *tiles), flow.run(together, *tiles)
    same(found, expected)
    done = run_on_cycle_engine(together, machine[0], 2, 1, machine[1], precision, *tiles)
    same(done.values, expected)
    np.testing.assert_array_equal(done.clock, flow.clock)
    assert flow.cycles <= rows.cycles and (count < 2 or not n or flow.cycles < rows.cycles)


@settings(max_examples=60, deadline=None)
@given(machine=st.sampled_from(MACHINES), precision=st.sampled_from(PRECISIONS), form=st.sampled_from(FORMS),
       n=st.integers(0, 12), count=st.sampled_from([0, 1, 2, 6, 130]), seed=st.integers(0, 99))
def test_quotients_of_rows_are_the_same_on_both_engines_and_near_those_of_divisions(machine, precision, form, n, count, seed):
    together, apart = (Local("rowdiv", n, count, form=each) for each in (form, "scalar"))
    flow, rows = (FlowEngine(machine[0], 2, 1, machine[1], precision) for _ in range(2))
    rng = np.random.default_rng(seed)
    tiles = [made(rng, precision, 0, 1, 2, count, n), np.exp2(rng.uniform(-100, 100, (1, 2, count))).astype(np.float32)]
    expected, found = rows.run(apart, *tiles), flow.run(together, *tiles)
    done = run_on_cycle_engine(together, machine[0], 2, 1, machine[1], precision, *tiles)
    same(done.values, found)
    np.testing.assert_array_equal(done.clock, flow.clock)
    stored = {"fp16_fp32": "fp16"}.get(precision, precision)
    last = {"fp32": 2.0**-22, "fp16": 2.0**-10, "bf16": 2.0**-7}[stored]
    np.testing.assert_allclose(load(stored, found), load(stored, expected), rtol=last, atol=2.0**-24 if stored == "fp16" else 0)


def test_one_over_a_number_is_within_a_unit_of_fp32():
    rng = np.random.default_rng(5)
    x = (rng.uniform(1, 2, 100_000) * 2.0 ** rng.integers(-126, 125, 100_000)).astype(np.float32)
    found = evaluate(recipe("one_over", "fp32", "fp32"), x).astype(np.float64)
    assert np.abs(found * x.astype(np.float64) - 1).max() < 1.01 * 2.0**-24


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("kind", MEASURED)
def test_every_number_of_16_bits_is_the_same_on_both_engines(kind, precision, form):
    every = np.arange(1 << 16, dtype=np.uint16).reshape(8, 8, 1024)
    x = every if precision == "bf16" else every.view(np.float16)
    tiles = [x, np.zeros((8, 8, 1), x.dtype)] if kind in DIFFERENCES else [x]
    operation = Local(kind, 1024, form=form)
    expected = FlowEngine("wse3", 8, 8, "silicon", precision).run(operation, *tiles)
    same(run_on_cycle_engine(operation, "wse3", 8, 8, "silicon", precision, *tiles).values, expected)


def plainly(plan: Recipe, **inputs: int) -> int:
    """Bits of the result of a recipe on the bits of one element, in exact fractions rounded once a step."""
    memory, types = dict(inputs), plan.type_of

    def bits(name):
        base, _, part = name.partition(".")
        return memory.get(base, 0) >> 16 if part == "top" and types(base) == "fp32" else memory.get(base, 0) & 0xFFFF

    for step in plan.steps:
        base, _, part = step.target.partition(".")
        if step.on_bits:
            operation = {"sll": "shl", "slr": "shr"}.get(step.operation[:-2], step.operation[:-2])
            result = exact.apply(operation, "u16", *(bits(s) if isinstance(s, str) else int(s) for s in step.sources)) & 0xFFFF
            wide = part and types(base) == "fp32"
            memory[base] = memory.get(base, 0) & 0xFFFF | result << 16 if wide else result
            continue
        arithmetic = "fp32" if step.operation == "fma" and plan.work == "bf16" else plan.work
        values = [exact.decode(types(source), memory[source]) if isinstance(source, str) else exact.round_to(plan.work, source)
                  for source in step.sources]
        memory[base] = exact.encode(types(base), exact.apply(step.operation, arithmetic, *values))
    return memory["out"]


@settings(max_examples=300, deadline=None)
@given(function=st.sampled_from(FUNCTIONS), types=st.sampled_from(TYPES), x=st.floats(-20, 20), y=st.floats(-3, 3))
def test_values_are_those_of_exact_arithmetic_rounded_at_each_step(function, types, x, y):
    plan, (_, stored) = recipe(function, *types), types
    given_bits = [exact.encode(stored, exact.round_to(stored, value)) for value in (x, y)][:len(plan.inputs)]
    arrays = [np.array([bits], np.uint32 if stored == "fp32" else np.uint16) for bits in given_bits]
    arrays = arrays if stored == "bf16" else [array.view(NUMPY_DTYPES[stored]) for array in arrays]
    found = evaluate(plan, *arrays)
    found_bits, bits = int(found.view(f"u{found.itemsize}")[0]), plainly(plan, **dict(zip("xy", given_bits, strict=False)))
    numbers = [exact.decode(stored, word) for word in (found_bits, bits)]
    assert found_bits == bits or all(map(math.isnan, numbers))


@settings(max_examples=200, deadline=None)
@given(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3)
def test_a_multiply_add_of_fp32_is_rounded_once(a, b, c):
    with np.errstate(all="ignore"):
        found = fma(*(np.array([number], np.float32) for number in (a, b, c))).astype(np.float32)[0]
    assert float(found) == exact.apply("fma", "fp32", a, b, c)


LARGEST_ULP = {
    ("exp", "fp16"): 2.7, ("expsub", "fp16"): 1.0, ("exp2sub", "fp16"): 1.0, ("exp2sub", "bf16"): 0.9,
    ("reciprocal", "fp16"): 0.7, ("rsqrt", "fp16"): 1.8, ("silu", "fp16"): 6.7,
    ("gelu", "fp16"): 15.0, ("sigmoid", "fp16"): 1.7, ("softplus", "fp16"): 2.2, ("sigmoid", "bf16"): 1.7,
    ("softplus", "bf16"): 1.5, ("exp", "bf16"): 2.5, ("expsub", "bf16"): 0.9, ("reciprocal", "bf16"): 0.6,
    ("rsqrt", "bf16"): 1.3, ("silu", "bf16"): 2.1, ("gelu", "bf16"): 43.0,
}
"""In steps of the type itself; the large ones are the tails of SiLU and GELU, where the result is below 1e-3."""


@pytest.mark.parametrize("stored", ["fp16", "bf16"])
@pytest.mark.parametrize("function", MEASURED)
def test_errors_over_every_number_are_as_stated(function, stored):
    own, wide = measure(function, stored, stored), measure(function, "fp32", stored)
    assert own.max_ulp < LARGEST_ULP[function, stored] and own.mean_ulp < 0.5
    assert wide.max_ulp < 0.51 and wide.mean_ulp < (0.29 if function == "softplus" else 0.26)  # log 2 of all small numbers
    below = {"fp16": 2.0**-20, "bf16": 2.0**-132}[stored]
    assert max(own.largest_below_normal, wide.largest_below_normal) < below
    zero, minus_zero, infinity, minus_infinity, nan = own.special
    if function in ("exp", *DIFFERENCES):
        assert (zero, minus_zero, infinity, minus_infinity) == (1, 1, math.inf, 0) and math.isnan(nan)
    elif function == "sigmoid":
        assert (zero, minus_zero, infinity, minus_infinity) == (0.5, 0.5, 1, 0) and math.isnan(nan)
    elif function == "softplus":
        assert zero == minus_zero == pytest.approx(math.log(2), rel=0.004) and (infinity, minus_infinity) == (math.inf, 0)
        assert math.isnan(nan)
    elif function in ("silu", "gelu"):
        assert (zero, minus_zero, infinity, minus_infinity) == (0, 0, math.inf, 0) and math.isnan(nan)
    elif function == "reciprocal":
        assert own.special[:4] == (math.inf, -math.inf, 0, 0) and math.isnan(nan)
    else:
        assert math.isnan(nan)          # of positive normal numbers alone


@pytest.mark.parametrize("function", MEASURED)
def test_fp32_itself_is_within_a_few_units(function):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(20000) * 2.0 ** rng.integers(-10, 4, 20000)).astype(np.float32)
    x = np.abs(x) if function == "rsqrt" else -np.abs(x) if function in DIFFERENCES else x
    found = evaluate(recipe(function, "fp32", "fp32"), x, *([np.zeros_like(x)] * (function in DIFFERENCES))).astype(np.float64)
    wide, gate = x.astype(np.float64), 2 * math.sqrt(2 / math.pi)
    expected = {"exp": lambda: np.exp(wide), "expsub": lambda: np.exp(wide), "exp2sub": lambda: np.exp2(wide),
                "reciprocal": lambda: 1 / wide,
                "rsqrt": lambda: wide**-0.5, "silu": lambda: wide / (1 + np.exp(-wide)),
                "sigmoid": lambda: 1 / (1 + np.exp(-wide)), "softplus": lambda: np.logaddexp(0, wide),
                "gelu": lambda: wide / (1 + np.exp(-gate * (wide + 0.044715 * wide**3)))}
    with np.errstate(over="ignore"):
        exactly = expected[function]()
    normal = np.abs(exactly) > 1e-37
    assert np.max(np.abs(found - exactly)[normal] / np.abs(exactly)[normal]) < (3e-5 if function == "gelu" else 1e-6)


@given(rows=st.integers(0, 9), n=st.integers(0, 400))
def test_pieces_hold_every_element_once(rows, n):
    seen = np.zeros((rows, n), int)
    for piece in pieces(rows, n):
        assert 0 < piece.elements <= PIECE and (piece.rows == 1 or piece.columns == n)
        seen[piece.row:piece.row + piece.rows, piece.column:piece.column + piece.columns] += 1
    assert (seen == 1).all()


def test_what_they_take_beside_the_library():
    """WSE-3 silicon, fp16, sizes of an 8B layer: the law, and what memory banks and long vectors would add to it."""
    timing = Timing(load_machine("wse3"), "silicon", "fp16")
    for scalar, most in ((Local("silu_mul", 39), 521), (Local("expsub", 9, 4), 288)):
        vector = Local(scalar.kind, scalar.n, scalar.count, form="vector")
        wide = Local(scalar.kind, scalar.n, scalar.count, form="vector-fp32")
        law = sum(vector.cycles(timing))
        assert 9 * law < sum(scalar.cycles(timing)) and law < sum(wide.cycles(timing)) < sum(scalar.cycles(timing)) / 3
        layout = Layout("wse3", 1, 1, "silicon", banks=True)
        place_operations(layout, timing, [vector], ColorAllocator(layout.machine))
        assert law <= layout.compile().run() <= most < 1.04 * law


def test_no_multiply_add_reads_two_vectors_from_one_bank_but_of_itself():
    for function in FUNCTIONS:
        plan = recipe(function, "fp16", "fp16")
        for step in plan.steps:
            names = {source for source in step.sources if source in plan.rooms} if step.operation == "fma" else set()
            assert len({plan.rooms[name] for name in names}) == len(names)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_program_takes_the_room_that_is_counted(function, form, precision):
    for elements in (1, 7, 39, 128, 300):
        operation = Local(function, elements, form=form)
        layout = Layout("wse3", 1, 1)
        timing = Timing(layout.machine, "silicon", precision)
        place_operations(layout, timing, [operation], ColorAllocator(layout.machine))
        type = ELEMENT_TYPES[precision]
        held = [*operation.tiles(), (1, elements)]
        tiles = sum(-(-math.prod(shape) * TYPE_BYTES[type] // 4) * 4 for shape in held)
        assert layout.programs[0].data_bytes - tiles == room_bytes(function, form, precision, elements)


def test_the_program_reads_back_and_runs_again():
    operation = Local("silu_mul", 7, 2, form="vector-fp32")
    layout = Layout("wse3", 1, 1)
    place_operations(layout, Timing(layout.machine, "silicon", "bf16"), [operation], ColorAllocator(layout.machine))
    program = layout.programs[0]
    assert Program.parse(program.text()) == program and "type=u16" in program.text()
    flow, cycle = (engine("wse3", 2, 1, "silicon", "bf16") for engine in (FlowEngine, CycleEngine))
    for seed in range(2):
        tiles = tiles_of(operation, 2, 1, "bf16", seed)
        same(cycle.run(operation, *tiles), flow.run(operation, *tiles))
    np.testing.assert_array_equal(cycle.clock, flow.clock)


@pytest.mark.parametrize("name", ["local-vector-gelu", "local-vector-fp32-silu_mul", "local-vector-expsub"])
def test_forms_are_known_by_name(name):
    flow, cycle = (predict_op(name, "wse3", "silicon", grid=(2, 2), words=10, engine=engine) for engine in ("flow", "cycle"))
    assert flow["cycles"] == cycle["cycles"] > 0


def test_functions_of_feed_forward_parts_are_the_exact_ones():
    """GELU in its forms, sigmoid, ReLU squared, soft caps: within 6 units of fp32 of the range, in each form."""
    x = np.concatenate([np.linspace(-20, 20, 1001), [0.0, 100.0, -100.0, 1e-3]]).astype(np.float32)
    wide, sigmoid = x.astype(np.float64), lambda z: 1 / (1 + np.exp(-np.clip(z, -500, 500)))
    exact = {"gelu_erf": wide * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in wide]),
             "gelu": wide * sigmoid(2 * math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)),
             "quick_gelu": wide * sigmoid(1.702 * wide), "sigmoid": sigmoid(wide), "relu": np.maximum(wide, 0),
             "relu2": np.maximum(wide, 0)**2, "softcap": 30 * np.tanh(wide / 30), "clip": np.clip(wide, -30, 30)}
    for name, expected in exact.items():
        for form in ("scalar", *FORMS):
            found = apply(name, form, "fp32", x, 30.0)
            np.testing.assert_allclose(found, expected, rtol=4e-7, atol=8e-6 if name == "softcap" else 4e-7, err_msg=name)


@pytest.mark.parametrize("form", ["scalar", *FORMS])
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-6), ("fp16", 4e-3), ("bf16", 3e-2)])
def test_the_gate_of_gpt_oss_limits_both_numbers(form, precision, bound):
    rng = np.random.default_rng(0)
    operation = Local("clamped_silu", 64, 8, factor=7.0, form=form)
    gate, up = (made(rng, precision, 0.0, 2, 2, 8, 64) for _ in range(2))
    x, y = (load(ELEMENT_TYPES[precision], tile).astype(np.float64) for tile in (gate, up))
    x, y = np.minimum(x, 7.0), np.clip(y, -7.0, 7.0)
    found = load(ELEMENT_TYPES[precision], FlowEngine("wse3", 2, 2, precision=precision).run(operation, gate, up))
    expected = x / (1 + np.exp(-1.702 * x)) * (1 + y)
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize(("make", "says"), [
    (lambda: recipe("softcap", "fp32", "fp16", 0.0), "expected a positive number"),
    (lambda: Local("mov", 4, form="vector"), "no form 'vector'"),
    (lambda: Local("exp", 4, form="fast"), "no form 'fast'"), (lambda: recipe("tan", "fp16", "fp16"), "no function 'tan'"),
    (lambda: recipe("exp", "fp16", "bf16"), "expected fp32, or bf16 itself"),
])
def test_what_there_is_not_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
