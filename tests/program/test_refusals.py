"""What the builder refuses because no core could do it, or because it would not do what was meant."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.program import Layout, Mem, Program, Ring, Simulation


def refuses(message: str, write) -> None:
    program = Program("refused")
    arrays = {type: program.array(type, type, 8) for type in ("fp32", "fp16", "bf16", "u32", "u16", "i16")}
    with program.task("main") as t, pytest.raises(InputError, match=message):
        write(program, t, arrays)


@pytest.mark.parametrize(("name", "types"), [
    ("faddh", ["fp16", "fp32", "fp16"]), ("faddh", ["fp16", "fp16", "u16"]), ("add16", ["u16", "u32", "u16"]),
    ("mov16", ["fp16", "fp32"]), ("fmovs", ["fp32", "u16"]), ("sar16", ["u32", "u16", "u16"])])
def test_operands_that_the_arithmetic_cannot_take(name, types):
    refuses("does not fit", lambda p, t, a: t.vector(name, *(a[type] for type in types)))


def test_two_half_formats_in_one_sum():
    refuses("fp16 and bf16", lambda p, t, a: t.faddh(a["fp16"], a["fp16"], a["bf16"]))


def test_one_queue_or_fifo_as_both_sources():
    def twice(p, t, a):
        word = p.fabin(1, 8, "fp32")
        t.fadds(a["fp32"], word, word)

    def fifo_twice(p, t, a):
        fifo = p.fifo("f", "fp32", 4)
        t.fadds(a["fp32"], fifo, fifo)

    refuses("same queue", twice)
    refuses("same queue or FIFO", fifo_twice)


def test_software_on_a_microthread():
    refuses("lib_exp is software", lambda p, t, a: t.lib_exp(a["fp32"], p.fabin(1, 8, "fp32"), asynchronous=True))


@pytest.mark.parametrize(("type", "packing"), [("fp32", 2), ("fp16", 3), ("u16", 0)])
def test_words_that_hold_no_whole_elements(type, packing):
    name = {"fp32": "fmovs", "fp16": "fmovh", "u16": "mov16"}[type]
    refuses("elements of .* in a word", lambda p, t, a: t.vector(name, a[type], p.fabin(1, 8, type, packing)))


def test_single_elements_of_a_fifo():
    refuses("take and give", lambda p, t, a: t.take(p.fifo("f", "u16", 4)))
    refuses("take and give", lambda p, t, a: t.give(p.fifo("f", "u16", 4), 1))


def test_a_descriptor_cannot_become_one_of_another_kind():
    def other_type(p, t, a):
        t.load_descriptor(p.descriptor("x", a["fp32"].view()), p.descriptor("y", a["fp16"].view()))

    def other_kind(p, t, a):
        t.load_descriptor(p.descriptor("x", Mem("u16", 2)), p.descriptor("y", Ring("u16", 2)))

    refuses("cannot become", other_type)
    refuses("cannot become", other_kind)


def test_a_view_as_another_type_of_what_does_not_fit():
    refuses("does not fit", lambda p, t, a: t.faddh(a["fp16"], a["fp16"], a["fp32"].as_type("u16").view(8)))
    refuses("reaches elements 0 to 8 of symbol u16, which has 4",
            lambda p, t, a: t.mov32(a["u16"].as_type("u32").view(9), p.array("long", "u32", 9)))
    refuses("a ring in fp32, viewed as another type", lambda p, t, a: Ring(a["fp32"].as_type("u16"), 2))
    refuses("no element type 'u8'", lambda p, t, a: a["fp32"].as_type("u8"))


def test_a_symbol_that_is_not_the_same_everywhere_is_copied_apart():
    layout = Layout("wse3", 2, 1)
    for x in range(2):
        program = Program(f"p{x}")
        program.array("a", "u16", x + 1)
        program.spend(1)
        layout.set_program(program, x)
    simulation = layout.compile()
    with pytest.raises(InputError, match="copy them apart"):
        simulation.memcpy_d2h("a")
    assert simulation.memcpy_d2h("a", 1).shape == (1, 1, 2)


def test_a_teardown_where_no_program_is():
    """A command that freezes a router without a program troubles nobody."""
    layout = Layout("wse3", 2, 1, open_edges=True)
    program = Program("p")
    program.spend(1)
    layout.set_program(program)
    layout.set_route(3, ["W"], ["E"])
    layout.set_route(3, ["W"], ["E"], 1)
    simulation = layout.compile()
    simulation.send(3, np.array([3 << 22], np.uint32), 0, 0, "W", control=True)
    simulation.step(60)
    assert len(simulation.receive(3)) == 1


def simulation(**more):
    layout, program = Layout("wse3", 2, 1, **more), Program("stamped")
    program.array("a", "fp32", 2)
    program.array("stamp", "u16", 4)
    with program.task("main") as t:
        t.put(program.variable("v", "u16"), 1)
    layout.set_program(program, width=2)
    return layout.compile()


@pytest.mark.parametrize("call", [
    lambda s: s.step(1.5), lambda s: s.step(-1), lambda s: s.step(True), lambda s: s.step(1 << 63),
    lambda s: s.run(deadline=2.5), lambda s: s.run(deadline=None), lambda s: s.launch("f", x=1.5),
    lambda s: s.launch("f", x=None), lambda s: s.launch("f", 0, 0, "1"),
    lambda s: s.memcpy_h2d("a", [1, 2, 3, 4]), lambda s: s.memcpy_h2d("a", None), lambda s: s.memcpy_d2h("a", y=0.0),
    lambda s: s.timestamps("a"), lambda s: s.timestamps("stamp", offset=10**9), lambda s: s.timestamps("stamp", offset=-1),
    lambda s: s.timestamps("stamp", offset=2), lambda s: s.send(0, [1], 0.5, 0), lambda s: s.state(0, 1.0),
    lambda s: s.memory_of(None, 0)])
def test_the_host_asks_for_what_is_not_whole_or_not_there(call):
    with pytest.raises(InputError):
        call(simulation())


@pytest.mark.parametrize("threads", [None, 0, 1.5, "2", 10**6])
def test_threads_that_cannot_be(threads):
    with pytest.raises(InputError, match="threads"):
        Layout("wse3", 1, 1).compile(threads)


@pytest.mark.parametrize("write", [
    lambda: Layout("wse3", 1.5, 1), lambda: Layout("wse3", "2", 1), lambda: Layout("wse3", True, 1),
    lambda: Layout("wse3", 2, 2).set_route(0, 5, None, 0), lambda: Layout("wse3", 2, 2).set_route(0, "W", "RAMP", 0.0),
    lambda: Layout("wse3", 2, 2).set_program(Program("p"), x=None),
    lambda: Layout("wse3", 2, 2).set_programs([Program("p")], np.full((2, 2), 1)),
    lambda: Layout("wse3", 2, 2).set_programs([Program("p")], np.zeros((2, 2))),
    lambda: Layout("wse3", 2, 2).set_programs([Program("p")], [[0], [0]])])
def test_layouts_that_cannot_be(write):
    with pytest.raises(InputError):
        write()


def test_a_parameter_that_is_no_number_of_32_bits():
    layout, program = Layout("wse3", 2, 2), Program("p")
    program.parameter("n")
    layout.set_program(program, width=2, height=2)
    for values in ("x", [1, 2, 3], None, 1 << 40):
        with pytest.raises(InputError, match="parameter n"):
            layout.set_parameter(program, "n", values)


def test_rows_that_do_not_match_the_pes_are_not_copied():
    running = simulation()
    pes = np.array([0, 1], np.int32)
    for copy in (running._cores.copy_in, running._cores.copy_out):
        assert copy(0, pes, np.zeros((1, 4), np.uint8)) < 0


WRONG_TYPES = [None, 1.5, "x", -1, 10**30, float("nan"), [1]]
"""Each call refuses those that are not among the ones behind it."""


def calls_of_a_program() -> dict[str, tuple[Callable[[Any], object], list]]:
    """Methods of a layout, a program and a simulation by what is passed to them; and which values they take."""
    layout, program = Layout("wse3", 2, 1), Program("p")
    data = program.array("data", "u16", 8)
    with program.function("go") as t:
        t.write(data, 0, 5)
    layout.set_program(program, 0, 0, 2)
    s, big = layout.compile(), 10**30

    def fresh(method: str, *before: object, **more: object) -> Callable[[Any], object]:
        return lambda bad: getattr(Program("q"), method)(*before, bad, **more)

    return {
        "machine": (lambda bad: Layout(bad, 1, 1), []), "width": (lambda bad: Layout("wse3", bad, 1), []),
        "profile": (lambda bad: Layout("wse3", 1, 1, bad), []), "threads": (layout.compile, []),
        "taps": (lambda bad: layout.compile(1, bad), [[1]]), "values": (lambda bad: s.memcpy_h2d("data", bad), []),
        "symbol": (s.memcpy_d2h, []), "order": (lambda bad: s.memcpy_d2h("data", order=bad), [None]),
        "function": (s.launch, []), "stamp": (lambda bad: s.timestamps("data", offset=bad), []),
        "step": (s.step, []), "deadline": (s.run, [10**30]), "until": (lambda bad: s.run(until=bad, stop="idle"), [None]),
        "stop": (lambda bad: s.run(until=5, stop=bad), []), "color": (lambda bad: s.send(bad, [1], 0, 0), []),
        "words": (lambda bad: s.send(0, bad, 0, 0), []), "port": (lambda bad: s.send(0, [1], 0, 0, bad), []),
        "received": (s.receive, [None]), "x": (lambda bad: s.state(bad, 0), []), "place": (lambda bad: s.place_of(bad, 0), []),
        "at": (lambda bad: s.place_of(0, bad), [big]), "bytes": (s.load, []),
        "layout": (lambda bad: Simulation.from_bytes(s.to_bytes(), bad), []), "call": (s.on_delivery, [None]),
        "route": (lambda bad: layout.set_route(bad, "W", "E"), []), "rx": (lambda bad: layout.set_route(0, bad, "E"), []),
        "program": (layout.set_program, []), "programs": (lambda bad: layout.set_programs(bad, np.zeros((1, 2), int)), []),
        "parameter": (lambda bad: layout.set_parameter(bad, "n", 1), []),
        "of": (lambda bad: layout.set_parameter(program, bad, 1), []),
        "name": (Program, ["x"]), "memory": (lambda bad: Program("q").memory(bad, "u16", 3), ["x"]),
        "type": (lambda bad: Program("q").memory("z", bad, 3), []), "elements": (fresh("memory", "z", "u16"), []),
        "initial": (fresh("memory", "z", "u16", 3), [None, [1], -1]),
        "fabin": (lambda bad: Program("q").fabin(bad, 3, "u16"), []),
        "queue": (fresh("input_queue", 3), [None, big]), "descriptor": (fresh("descriptor", "d"), []),
        "fifo": (fresh("fifo", "f", "u16"), []), "switches": (fresh("route", "r", "W", "E"), []),
        "task": (fresh("task"), ["x"]), "number": (lambda bad: Program("q").task("t", number=bad), [None]),
        "entry": (fresh("control_task", "t"), []), "data task": (fresh("data_task", "t"), []), "spend": (fresh("spend"), []),
        "operand": (lambda bad: Program("q").emit("mov16", bad, bad), []), "text": (Program.parse, []),
        "extent": (lambda bad: program.emit("mov16", data.view(2), program.fabin(0, bad, "u16")), []),
        "offset": (lambda bad: program.emit("mov16", Mem("data", 2, bad), data.view(2)), []),
    }


@pytest.mark.parametrize("name", calls_of_a_program())
def test_values_of_wrong_types_are_refused_in_a_sentence(name):
    call, taken = calls_of_a_program()[name]
    for bad in WRONG_TYPES:
        if not any(type(bad) is type(other) and bad == other for other in taken):
            with pytest.raises(InputError):
                call(bad)
