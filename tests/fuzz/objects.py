"""Entrances for arrays and numbers: functions and objects of the API that are handed nearly what they expect."""

from collections.abc import Callable
from functools import cache, partial
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.changes import changed_bytes, odd_array, odd_value, read_or_refused
from wsekern import tiles
from wsekern.fabric import Fabric, FabricPlan, Route
from wsekern.ops import engines, registry
from wsekern.ops.grid.gemm import MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.lines.allreduce import AllReduce
from wsekern.ops.lines.broadcast import Broadcast
from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.lines.scan import Scan
from wsekern.ops.lines.shift import Shift
from wsekern.program import Layout, Program, Simulation

STORAGE = {"fp32": "f4", "fp16": "f2", "fp16_fp32": "f2", "bf16": "u2"}


FAR = (-1, 2.5, 2**31 - 1, 2**32, 2**40, -2**40, 2**63, 2**64, np.float32(1.5), np.int8(-1), np.uint64(2**63),
       True, None, "x", "")
"""Numbers that nobody expects, and what is none."""


def odd(random: Random, good: Any, most: int = 2000, wrong: float = 0.1) -> Any:
    """``good``, mostly, or any other number or text; none so large, but far too large, that work of its size takes long."""
    if random.random() >= wrong:
        return good
    value = odd_value(random)
    if isinstance(value, list | dict) or (type(value) in (int, float) and not -most <= value <= most):
        return random.choice(FAR) if random.random() < 0.4 else random.randrange(-3, 30)
    return value


def compiled(call: Callable[[], Any]) -> Any:
    """What a compiled method gives; None where Cython refuses the types of its arguments."""
    try:
        return call()
    except (TypeError, ValueError, OverflowError):
        return None


# ---- tiles

H, W, M, K, N = 2, 3, 2, 4, 5
ROWS, ROW = (H, W, M, K), (H, W, M)
TILES: dict[str, tuple[tuple[int, ...], ...]] = {
    "gemm": ((H, W, M, K), (H, W, K, N)), "gemm_transposed": ((H, W, M, K), (H, W, N, K)), "gemv": ((H, W, K), (H, W, K, N)),
    "mesh_gemm": ((H, 4, M, K), (4, W, K, N)), "mesh_gemm_transposed": ((H, W, M, K), (6, W, N, K)),
    "gemm_naive": ((H, W, M, K), (H, W, K, N)), "add": (ROWS, ROWS), "sub": (ROWS, ROWS), "mul": (ROWS, ROWS),
    "maximum": (ROWS, ROWS), "silu_mul": (ROWS, ROWS), "mov": (ROWS,), "exp": (ROWS,), "reciprocal": (ROWS,), "rsqrt": (ROWS,),
    "silu": (ROWS,), "scale": (ROWS, ()), "fma": (ROWS, ROWS, ROWS), "rope": ((H, W, M, 2, 6), (H, W, M, 3), (H, W, M, 3)),
    "rowsum": (ROWS,), "dot": (ROWS, ROWS), "sumsq": (ROWS,), "rowmax": (ROWS,), "expsub": (ROWS, ROW), "rowdiv": (ROWS, ROW),
    "rowsub": (ROWS, ROW, (H, W, K)), "rownorm": (ROWS, ROW, (H, W, K))}
"""Functions of :mod:`wsekern.tiles` and the shapes of what they take."""


def tile_functions(random: Random) -> Any:
    name = random.choice(sorted(TILES))
    precision = random.choice(sorted(STORAGE))
    arrays = [odd_array(random, shape, STORAGE[precision]) for shape in TILES[name]]
    if name == "scale":
        arrays[1] = odd(random, 0.5)
    precision, threads = odd(random, precision), odd(random, random.choice((1, 2, 4)), most=64)
    more = {} if name == "gemm_naive" else {"threads": threads}
    with np.errstate(all="ignore"):
        return read_or_refused(lambda: getattr(tiles, name)(*arrays, precision=precision, **more))


def kernels_alike(random: Random) -> Any:
    """Arrays in other steps give the values of their copies."""
    name = random.choice(sorted(set(TILES) - {"scale"}))
    precision = random.choice(sorted(STORAGE))
    generator = np.random.default_rng(random.randrange(2**32))
    arrays = []
    for shape in TILES[name]:
        wide = generator.random(tuple(2 * size for size in shape)).astype("f4")
        values = wide.view("u4") >> 16 if precision == "bf16" else wide
        values = values.astype(STORAGE[precision])
        steps = tuple(slice(random.randrange(2), None, 2) if random.random() < 0.5 else slice(None, size) for size in shape)
        arrays.append(values[steps] if random.random() < 0.7 else np.broadcast_to(values[steps][..., :1], shape))
    function = getattr(tiles, name)
    found, again = (read_or_refused(partial(function, *each, precision=precision))
                    for each in (arrays, [array.copy() for array in arrays]))
    assert (found is None) == (again is None) and (found is None or found.tobytes() == again.tobytes()), name
    return found


# ---- engines


def operations(random: Random) -> Any:
    """An operation on either engine, some of whose numbers or tiles are wrong."""
    elements, axis = odd(random, 6, 40), odd(random, random.choice("xy"))
    precision = random.choice(sorted(STORAGE))
    shape = (3, 4, 6)

    def make() -> Any:
        number = lambda good: odd(random, good, 12)  # noqa: E731
        kinds = (lambda: AllReduce(elements, axis, number(2)), lambda: Reduce(elements, axis, number(1)),
                 lambda: TwoPhaseReduce(elements, axis, number(2)), lambda: Broadcast(elements, axis, number(0)),
                 lambda: Scan(elements, axis), lambda: Shift(elements, axis, number(0)))
        return random.choice(kinds)()

    def products() -> Any:
        sizes = [odd(random, size, 8) for size in (2, 3, 4)]
        return random.choice((MeshGemm, Summa, MeshGemmTransposed))(*sizes)

    def run() -> Any:
        product = random.random() < 0.3
        operation = products() if product else make()
        grid = (4, 4) if product else (4, 3)
        cls = engines.cycle.CycleEngine if random.random() < 0.3 else engines.flow.FlowEngine
        engine = cls(odd(random, "wse3"), odd(random, grid[0], 9), odd(random, grid[1], 9), odd(random, "silicon"),
                     odd(random, precision))
        if product:
            keys = (4, 4, 4, 3) if isinstance(operation, MeshGemmTransposed) else (4, 4, 3, 4)
            given = [odd_array(random, (4, 4, 2, 3), STORAGE[precision]), odd_array(random, keys, STORAGE[precision])]
        else:
            given = [odd_array(random, shape, STORAGE[precision])]
        with np.errstate(all="ignore"):
            return engine.run(operation, *given)

    return read_or_refused(run)


def operations_by_name(random: Random) -> Any:
    """``predict op`` in Python."""
    from wsekern.ops.predict import predict_op

    name = random.choice([spec.name for spec in registry.SPECS])
    grid, tile = (odd(random, 4, 30), odd(random, 4, 30)), random.choice((None, (2, 2), (2, 2, 2), (odd(random, 2), 2)))
    return read_or_refused(lambda: predict_op(
        odd(random, name), odd(random, "wse3"), odd(random, "silicon"), grid=odd(random, grid), tile=tile,
        words=odd(random, random.choice((None, 8)), 60), groups=random.choice((None, None, None, (odd(random, 2),))),
        relays=odd(random, None), precision=odd(random, random.choice((None, "fp32"))),
        engine=odd(random, random.choice(("flow", "cycle")))))


# ---- fabric


def row_plan() -> FabricPlan:
    plan = FabricPlan(4, 3, "wse3")
    plan.paint(0, "RAMP", "E", height=3)
    plan.paint(0, "W", ("E", "RAMP"), x=1, width=2, height=3)
    plan.paint(0, "W", "RAMP", x=3, height=3)
    plan.paint(1, "RAMP", "RAMP", width=4, height=3)
    return plan


@cache
def built() -> Any:
    return row_plan().build()


def fabric_calls(random: Random) -> Any:
    """Some calls of a fabric with odd arguments; it can still be stepped to the end."""
    made = read_or_refused(lambda: Fabric(built(), odd(random, random.choice(("log", "count", "core"))),
                                          threads=odd(random, 1, 64), patience=odd(random, 50)))
    fabric = Fabric(built()) if made is None else made
    state = fabric.state
    number = lambda good, most=2000: odd(random, good, most)  # noqa: E731
    words = lambda: odd_array(random, (2, 5), "u4")  # noqa: E731
    of_state: list[Callable[[], Any]] = [
        lambda: state.inject(odd_array(random, (2,), "u4"), number(4), number(0), words(), odd_array(random, (2, 5), "u1")),
        lambda: state.offer(number(0), number(0), number(4), number(0), number(1), number(0)),
        lambda: state.credit(number(0), number(0), number(0), number(1)),
        lambda: state.run(number(3), number(False), number(0)), lambda: state.advance(number(3), number(0), number(0)),
        lambda: state.log(number(True)), lambda: state.rewrite(number(0), number(0), number(0), number(None)),
        lambda: state.set_position(number(0), number(0), number(0), number(0)), lambda: state.copy_from(number(state)),
        lambda: state.position(number(0), number(0), number(0)), lambda: state.torn_down(number(0), number(0), number(0)),
        lambda: state.link_counts(number(1), number(-1)), lambda: state.occupancy(number(0)), lambda: state.moves()]
    calls: list[Callable[[], Any]] = [
        lambda: fabric.inject(odd_array(random, (2,), "i8"), odd_array(random, (2,), "i8"), number(0), words(),
                              control=odd_array(random, (2, 5), "?"), port=number("RAMP")),
        lambda: fabric.inject(number(0), number(0), number(0), odd_array(random, (7,), "u4")),
        lambda: fabric.offer(number(0), number(0), number(0), number(7), control=number(False), port=number("RAMP")),
        lambda: fabric.credit(number(1), number(0), number(0), number(2)), lambda: fabric.step(number(3)),
        lambda: fabric.run(until=number(fabric.cycle + 5), stop=number("idle"), patience=number(None)),
        lambda: fabric.push(number(0), number(0), number(0), number(1)), lambda: fabric.room(number(0), number(0), number(0)),
        lambda: fabric.top(number(1), number(0), number(0)), lambda: fabric.pop(number(1), number(0), number(0)),
        lambda: fabric.port(number(1), number(0), number(0), number(3)), lambda: fabric.link_counts(number("E"), number(0)),
        lambda: fabric.stall_counts(number(0)), lambda: fabric.occupancy(number(0)),
        lambda: fabric.position(number(0), number(0), number(0)),
        lambda: fabric.set_position(number(0), number(0), number(0), number(0)),
        lambda: fabric.rewrite(number(0), number(0), number(0), number(Route((4,), (1,)))),
        lambda: fabric.teardown(number(0), number(0), number(0), number(False)), lambda: fabric.load(number(fabric.to_bytes())),
        lambda: fabric.restore(number(fabric)), lambda: fabric.on_room(number(None)), lambda: fabric.on_delivery(number(None)),
        lambda: compiled(random.choice(of_state))]
    for _ in range(random.randrange(1, 6)):
        read_or_refused(random.choice(calls))
    read_or_refused(lambda: fabric.step(20))
    return made


def plans(random: Random) -> Any:
    """A plan of routes, some of whose numbers are wrong."""
    number = lambda good: odd(random, good, 40)  # noqa: E731

    def make() -> Any:
        plan = FabricPlan(number(4), number(3), number("wse3"), number("silicon"), open_edges=number(False))
        for _ in range(random.randrange(1, 4)):
            random.choice((
                lambda: plan.paint(number(0), number("RAMP"), number("E"), x=number(0), y=number(0), width=number(1),
                                   height=number(1), switches=number(())),
                lambda: plan.paint_route(number(1), Route(number((4,)), number((4,)), number(())), width=number(2)),
                lambda: plan.connect(number((0, 0)), number((2, 0, 1, number(1))), colors=number([4])),
                lambda: plan.filter(number(0), number(None)), lambda: plan.erase(number(0), width=number(2)),
                lambda: plan.route_at(number(0), number(0), number(0))))()
        return Fabric(plan, number("log"))

    return read_or_refused(make)


def resealed(data: bytes, random: Random) -> bytes:
    """Changed bytes, their checksum set anew half the time: what is inside is believed then."""
    data = changed_bytes(random, data, whole=True)
    if random.random() < 0.5:
        return data
    total = 0xcbf29ce484222325
    for byte in data[:-8]:
        total = (total ^ byte) * 0x100000001b3 & 0xFFFFFFFFFFFFFFFF
    return data[:-8] + total.to_bytes(8, "little")


@cache
def saved_fabric() -> bytes:
    fabric = Fabric(built())
    fabric.inject(0, 0, 0, list(range(9)))
    fabric.step(4)
    return fabric.to_bytes()


def fabric_bytes(random: Random) -> Any:
    data = resealed(saved_fabric(), random)
    found = read_or_refused(lambda: Fabric.from_bytes(data))
    if found is not None:
        read_or_refused(lambda: found.step(30))
        read_or_refused(found.drain)
    return found


# ---- programs


@cache
def layout() -> Layout:
    made, program = Layout("wse3", 2, 2, open_edges=True), Program("adds")
    x, stamps = program.array("x", "f32", 4), program.array("stamps", "u16", 3)
    program.array("halves", "bf16", 3)
    program.parameter("who")
    with program.function("go") as code:
        code.timestamp(stamps)
        code.fadds(x, x, 1.0)
        code.fmovs(x, program.fabin(3, 4, "fp32"))
    made.set_program(program, 0, 0, 2, 2)
    made.set_route(3, "W", ("RAMP", "E"), 0, 0, 1, 2)
    made.set_route(3, "W", "RAMP", 1, 0, 1, 2)
    return made


def simulation_calls(random: Random) -> Any:
    """Some calls of a simulation with odd arguments; it still runs."""
    number = lambda good, most=2000: odd(random, good, most)  # noqa: E731
    simulation = layout().compile(threads=random.choice((1, 2)))
    calls: list[Callable[[], Any]] = [
        lambda: simulation.memcpy_h2d(number("x"), odd_array(random, (2, 2, 4), "f4"), number(0), number(0), number(None),
                                      number(None), number("row")),
        lambda: simulation.memcpy_h2d("halves", odd_array(random, (12,), "u2"), order=number("column")),
        lambda: simulation.memcpy_d2h(number("x"), number(0), number(0), number(2), number(2), number("row")),
        lambda: simulation.timestamps(number("stamps"), number(0)),
        lambda: simulation.launch(number("go"), number(0), number(0)),
        lambda: simulation.run(number(300)), lambda: simulation.run(until=number(simulation.cycle + 9), stop=number("idle")),
        lambda: simulation.step(number(4)), lambda: simulation.load(number(simulation.to_bytes())),
        lambda: simulation.send(number(3), odd_array(random, (4,), "u4"), number(0), number(0), number("W"),
                                control=odd_array(random, (4,), "?")),
        lambda: simulation.receive(number(None)), lambda: simulation.state(number(0), number(0)),
        lambda: simulation.memory_of(number(0), number(0)), lambda: simulation.place_of(number(0), number(0)),
        lambda: simulation.on_delivery(number(None)), lambda: compiled(lambda: simulation.fabric.inject(
            odd_array(random, (1,), "u4"), number(4), number(3), odd_array(random, (1, 3), "u4")))]
    for _ in range(random.randrange(1, 6)):
        read_or_refused(random.choice(calls))
    read_or_refused(lambda: simulation.step(20))
    simulation.wait_report()
    return simulation


@cache
def saved_simulation() -> bytes:
    simulation = layout().compile()
    simulation.launch("go")
    simulation.send(3, np.arange(4, dtype=np.uint32), 0, 0, "W")
    simulation.step(6)
    return simulation.to_bytes()


def simulation_bytes(random: Random) -> Any:
    data = resealed(saved_simulation(), random)
    found = read_or_refused(lambda: Simulation.from_bytes(data, layout()))
    if found is not None:
        read_or_refused(lambda: found.step(50))
        read_or_refused(found.wait_report)
    return found


def layouts(random: Random) -> Any:
    """A layout, some of whose numbers are wrong."""
    number = lambda good: odd(random, good, 40)  # noqa: E731

    def make() -> Any:
        made, program = Layout(number("wse3"), number(2), number(2), number("silicon")), Program(number("p"))
        x = program.array(number("x"), number("f32"), number(4), number(None))
        with program.function(number("go")) as code:
            random.choice((lambda: code.fadds(number(x), number(x), number(1.0)), lambda: code.let(number("u16"), number(1)),
                           lambda: code.fmovs(number(x), program.fabin(number(3), number(4), number("fp32"))),
                           lambda: code.timestamp(number(x)), lambda: code.activate(number("go"))))()
        random.choice((lambda: made.set_program(number(program), number(0), number(0), number(1), number(1)),
                       lambda: made.set_programs(number([program]), odd_array(random, (2, 2), "i8"))))()
        made.set_route(number(3), number("W"), number("RAMP"), number(0), number(0), number(1), number(1), number(None))
        return made.compile(threads=number(1))

    return read_or_refused(make)


ENTRANCES: dict[str, Callable[[Random], Any]] = {
    "arrays to tiles": tile_functions,
    "arrays in any steps": kernels_alike,
    "operations": operations,
    "operations by name": operations_by_name,
    "plans of routes": plans,
    "fabrics": fabric_calls,
    "bytes of fabrics": fabric_bytes,
    "layouts": layouts,
    "simulations": simulation_calls,
    "bytes of simulations": simulation_bytes,
}
"""What takes numbers, arrays and saved bytes, by name: made of a Random, None where the input is refused."""
