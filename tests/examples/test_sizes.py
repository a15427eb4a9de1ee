"""Example programs at other sizes, down to a single PE; what they leave behind; stencils on several threads."""

import numpy as np
import pytest

from wsekern.errors import BudgetError, InputError
from wsekern.examples import EXAMPLES
from wsekern.examples.conjugate_gradient import MATRIX, conjugate_gradient_layout
from wsekern.examples.stencil_7pt import seven_points_of, stencil_layout

SIZES = {
    "stencil-7pt": ({"size": 1, "steps": 1}, {"size": 4, "steps": 6}),
    "stencil-25pt": ({"width": 1, "height": 1, "depth": 1}, {"width": 5, "height": 11, "depth": 3, "steps": 3},
                     {"width": 13, "height": 1, "depth": 9, "steps": 4}),
    "conjugate-gradient": ({"size": 1}, {"size": 4}),
    "all-reduce-rewritten": ({"width": 1, "height": 3}, {"width": 2, "height": 1}, {"width": 7, "height": 5, "words": 20}),
    "power-method": ({"width": 1, "height": 1}, {"width": 1, "height": 4}, {"width": 6, "height": 5}),
    "teardown": ({"width": 2, "words": 1}, {"width": 9, "words": 20}),
    "sparse-matrix-vector": ({"width": 2, "height": 1}, {"width": 8, "height": 4}),
    "gemv-demultiplexed": ({"pes": 1}, {"pes": 9}), "sentinels": ({"rows": 1}, {"rows": 7}),
    "range-filter": ({"receivers": 1}, {"receivers": 8}), "color-swap": ({"width": 2}, {"width": 9}),
    "switch-ring": ({"words": 1}, {"words": 20}), "switch-entry-points": ({"words": 1}, {"words": 9}),
    "cholesky": ({"pes": 1, "tile": 1}, {"pes": 7, "tile": 2}), "regions": ({"words": 40},),
    "fft": ({"pes": 1, "length": 2}, {"pes": 8, "length": 8}, {"pes": 2, "length": 16}), "fft-fp16": ({"pes": 2},),
    "ring-all-reduce": ({"size": 2}, {"size": 8, "words": 1}),
    "mesh-gemm": ({"size": 2, "m": 1, "k": 1, "n": 1}, {"size": 3, "m": 5}, {"size": 8, "k": 1}),
}
CASES = [(name, machine, sizes) for name, all_sizes in SIZES.items() for machine in EXAMPLES[name].machines
         for sizes in all_sizes]


@pytest.mark.parametrize(("name", "machine", "sizes"), CASES)
def test_programs_compute_what_numpy_computes_at_other_sizes(name, machine, sizes):
    outcome = EXAMPLES[name].run(machine, "silicon", **sizes)
    assert outcome.correct, f"largest error {outcome.error}"


@pytest.mark.parametrize("name", SIZES)
def test_programs_leave_no_word_behind(name):
    simulation = EXAMPLES[name].run(EXAMPLES[name].machines[0], "vendor-simulator").simulation
    layout = simulation.layout
    for y, x in np.argwhere(layout.program_of >= 0):
        state = simulation.state(int(x), int(y))
        assert not any(state["inputs"].values()) and not any(state["outputs"].values()), (x, y)
        assert not state["live"]


@pytest.mark.parametrize("make", [stencil_layout, conjugate_gradient_layout])
def test_stencils_run_the_same_on_two_threads(make):
    """130 rows are three strips, which threads share."""
    symbol, function, result = ("u", "run", "u") if make is stencil_layout else ("b", "solve", "x")
    found = []
    for threads in (1, 2):
        simulation = make("wse3", "silicon", 2, 130, 3, 2).compile(threads)
        simulation.memcpy_h2d(symbol, np.random.default_rng(1).standard_normal((130, 2, 3)).astype(np.float32))
        simulation.launch(function)
        simulation.run()
        found.append((simulation.memcpy_d2h(result), simulation.clock))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_conjugate_gradient_takes_as_many_iterations_as_numpy():
    b = np.random.default_rng(2).standard_normal((4, 5, 6)).astype(np.float32)
    simulation = conjugate_gradient_layout("wse2", "vendor-simulator", 5, 4, 6, tolerance=1e-4).compile()
    simulation.memcpy_h2d("b", b)
    simulation.launch("solve")
    simulation.run()
    taken = simulation.memcpy_d2h("iterations")
    r, count = b.astype(np.float64), 0
    d, x, rho = r, np.zeros_like(r), (r * r).sum()
    limit = rho * 1e-8
    while rho > limit:
        q = seven_points_of(d, *MATRIX)
        alpha = rho / (d * q).sum()
        x, r = x + alpha * d, r - alpha * q
        rho, before = (r * r).sum(), rho
        d, count = r + rho / before * d, count + 1
    assert np.all(taken == count)
    np.testing.assert_allclose(simulation.memcpy_d2h("x"), x, atol=1e-5)


@pytest.mark.parametrize(("make", "sizes", "message"), [
    (stencil_layout, {"width": 4000}, "4000"), (stencil_layout, {"width": 0}, "0"), (stencil_layout, {"depth": 0}, "depth 0"),
    (stencil_layout, {"steps": -1}, "-1 steps"), (conjugate_gradient_layout, {"depth": 0}, "depth 0"),
    (conjugate_gradient_layout, {"iterations": -1}, "-1 iterations"),
])
def test_layouts_refuse_sizes_that_cannot_be(make, sizes, message):
    with pytest.raises((InputError, BudgetError), match=message):
        make("wse3", "silicon", **sizes)


@pytest.mark.parametrize(("name", "sizes", "error", "message"), [
    ("fft", {"pes": 3}, InputError, "8 x 8 points on 3 PEs"), ("fft", {"length": 12}, InputError, "power of two"),
    ("ring-all-reduce", {"size": 1}, InputError, "a ring of 1 PEs: expected at least 2"),
    ("mesh-gemm", {"m": 120, "k": 120, "n": 120}, BudgetError, "use smaller tiles"),
])
def test_programs_refuse_sizes_that_cannot_be(name, sizes, error, message):
    with pytest.raises(error, match=message):
        EXAMPLES[name].run("wse3", "silicon", **sizes)
