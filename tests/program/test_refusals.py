"""What the builder refuses because no core could do it, or because it would not do what was meant."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.program import Layout, Mem, Program, Ring


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
