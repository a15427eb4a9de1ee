"""T0: programs of single PEs. y = A x + b, four ways, from scalar loops to vector instructions."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Array, Layout, Mem4d, Program, Ring, Simulation


def _system(rows: int, columns: int, pes: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (1, pes, rows, columns), x (1, pes, columns) and b (1, pes, rows)."""
    rng = np.random.default_rng(1)
    shapes = ((1, pes, rows, columns), (1, pes, columns), (1, pes, rows))
    return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def _arrays(program: Program, rows: int, columns: int) -> tuple[Array, Array, Array]:
    return program.array("A", "f32", rows * columns), program.array("x", "f32", columns), program.array("y", "f32", rows)


def _solve(layout: Layout, A: np.ndarray, x: np.ndarray, b: np.ndarray, used: np.ndarray | float = 1.0) -> Outcome:
    """Run ``compute`` on every PE; y holds b at the start. ``used``: 1 for the elements of x that count, 0 for others."""
    expected = np.einsum("hwrc,hwc->hwr", A.astype(np.float64), x * used) + b

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        simulation.memcpy_h2d("x", x)
        simulation.memcpy_h2d("y", b)
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("y")

    return measure(layout.compile(), host, expected, 1e-5)


@example("gemv-scalar", tier="T0", features="host copy")
def gemv_scalar(machine: str, profile: str, rows: int = 4, columns: int = 6) -> Outcome:
    """Dense matrix-vector product on one PE, in scalar loops."""
    program = Program("gemv")
    A, x, y = _arrays(program, rows, columns)
    with program.function("compute") as t, t.range(rows) as i:
        total = t.let("f32", t.read(y, i))
        with t.range(columns) as j:
            total += t.read(A, i * columns + j) * t.read(x, j)
        t.write(y, i, total)
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    return _solve(layout, *_system(rows, columns))


@example("gemv-descriptors", tier="T0", features="host copy, explicit descriptors")
def gemv_descriptors(machine: str, profile: str, rows: int = 4, columns: int = 6) -> Outcome:
    """The same with one fmacs for each column: a descriptor walks down the columns of A."""
    program = Program("gemv")
    A, x, y = _arrays(program, rows, columns)
    column = program.descriptor("column", A.view(rows, stride=columns))
    with program.function("compute") as t, t.range(columns) as j:
        t.set_base(column, A, j)
        t.fmacs(y, y, column, t.read(x, j))
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    return _solve(layout, *_system(rows, columns))


@example("gemv-parameters", tier="T0", features="host copy, explicit descriptors")
def gemv_parameters(machine: str, profile: str, pes: int = 4, rows: int = 4) -> Outcome:
    """A row of independent PEs with one program; a parameter tells each how many columns it has."""
    program = Program("gemv")
    A, x, y = _arrays(program, rows, pes)
    column = program.descriptor("column", A.view(rows, stride=pes))
    with program.function("compute") as t, t.range(t.get_parameter("columns")) as j:
        t.set_base(column, A, j)
        t.fmacs(y, y, column, t.read(x, j))
    layout = Layout(machine, pes, 1, profile)
    layout.set_program(program, width=pes)
    columns = np.arange(1, pes + 1)
    layout.set_parameter(program, "columns", columns)
    return _solve(layout, *_system(rows, pes, pes), used=np.arange(pes) < columns[:, None])


@example("map-lengths", tier="T0", features="host copy, map")
def map_lengths(machine: str, profile: str, count: int = 12) -> Outcome:
    """Lengths of vectors in the plane: a function of two elements mapped over two arrays."""
    program = Program("lengths")
    a, b, length = (program.array(name, "f32", count) for name in ("a", "b", "length"))
    with program.function("compute") as t:
        t.map(lambda p, q: t.sqrt(p * p + q * q), length.view(), a.view(), b.view())
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    vectors = np.random.default_rng(2).standard_normal((2, 1, 1, count), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("a", vectors[0])
        simulation.memcpy_h2d("b", vectors[1])
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("length")

    return measure(layout.compile(), host, np.sqrt(vectors[0] ** 2 + vectors[1] ** 2))


@example("periodic-curl", tier="T0", features="host copy, mem4d, circular, explicit descriptors")
def periodic_curl(machine: str, profile: str, size: int = 6) -> Outcome:
    """A transposed matrix through a four-dimensional descriptor, less each row's right neighbors through a circular one."""
    program = Program("curl")
    u, out = (program.array(name, "f32", size * size) for name in ("u", "out"))
    turned = Mem4d(u, (size, size), (1, size))
    row = program.descriptor("row", out.view(size))
    wheel = program.array("wheel", "f32", size)
    around = program.descriptor("around", Ring(wheel, size, save=False))
    with program.function("compute") as t:
        t.fmovs(out, turned)
        with t.range(size) as k:
            t.set_base(row, out, k * size)
            t.fmovs(wheel, row)
            t.move_base(around, 1)                      # begins at element 1, and takes element 0 last
            t.fsubs(row, row, around)
            t.move_base(around, -1)
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    field = np.random.default_rng(3).standard_normal((size, size), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("u", field.reshape(1, 1, -1))
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("out").reshape(size, size)

    return measure(layout.compile(), host, field.T - np.roll(field.T, -1, axis=1))
