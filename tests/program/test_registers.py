"""Registers of the router at their addresses in memory (WSE-2): what programs read there, and what they make of routes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import WsekernError
from wsekern.fabric import Port, Position
from wsekern.fabric.reference import BrokenRule, Word
from wsekern.machine import load_machine
from wsekern.program import Layout, Program
from wsekern.program.reference.parts import BrokenProgram
from wsekern.program.reference.simulation import ReferenceSimulation
from wsekern.soak.programs import compare

ROUTES, SWITCHES = load_machine("wse2").core.router_registers.values
COLOR, OTHER = 3, 5
WEST, EAST, SOUTH, NORTH, RAMP = (1 << k for k in range(5))


def program_of(steps: list[tuple[int, int | None, int]], taken: int) -> Program:
    """A PE that reads registers (address, None, place of the result), writes them (address, number, 0), then takes words."""
    lines = [".program p", ".symbol memory u32 0", f".symbol out u16 {len(steps) + 1}", f".symbol words u32 {max(1, taken)}",
             f".input 2 color {COLOR}", ".task main local active", "task main:"]
    for address, number, place in steps:
        if number is None:
            lines += [f"    load.u16 r1, memory imm={address}", f"    constant.i32 r2, {place}", "    store.u16 out[r2], r1"]
        else:
            lines += [f"    constant.u16 r1, {number}", f"    store.u16 memory, r1 imm={address}"]
    lines += [f"    mov32 words[{taken}], fabin 2 u32[{taken}]"] * (taken > 0) + ["    end"]
    return Program.parse("\n".join(lines))


def layout_of(steps: list[tuple[int, int | None, int]], taken: int = 0, **paint) -> Layout:
    """The PE in the middle of three; color 3 comes to it from the west unless said otherwise."""
    layout = Layout("wse2", 3, 1, open_edges=True)
    layout.set_program(program_of(steps, taken), 1)
    layout.fabric.paint(COLOR, "W", "E", x=0)
    layout.fabric.paint(COLOR, paint.pop("rx", "W"), paint.pop("tx", "RAMP"), x=1, **paint)
    layout.fabric.paint(COLOR, "W", "E", x=2)
    return layout


def read_all(**paint) -> list[int]:
    """Both registers of color 3 as painted, and of a color without a route."""
    addresses = [first + 2 * color for color in (COLOR, OTHER) for first in (ROUTES, SWITCHES)]
    simulation = layout_of([(address, None, k) for k, address in enumerate(addresses)], **paint).compile()
    simulation.run()
    return simulation.memcpy_d2h("out", 1)[0, 0, :4].tolist()


def test_the_bits_are_those_that_public_programs_state():
    routes, switch, *other = read_all(rx="W", tx="E RAMP", pop_mode="pop_on_advance", ring_mode=True,
                                      switches=(Position(rx="RAMP"), Position(tx="S")), initial=1, teardown=True)
    assert routes == EAST | RAMP | WEST << 5 | 2 << 12 | 1 << 14
    assert switch == 1 << 13 | 1 << 12 | 5 << 8 | 2 << 4 | (8 | 4)
    assert other == [0, 0x555]


def test_a_write_makes_a_route_and_leaves_teardown():
    """As the all-reduce of a public program: position 1 is made invalid, then valid again; its bit of the way in stays."""
    register, switch = ROUTES + 2 * COLOR, SWITCHES + 2 * COLOR
    steps = [(switch, 8 | 5 | 0x550, 0), (switch, None, 0), (register, RAMP | WEST << 5 | 1 << 14, 0), (register, None, 1),
             (register, RAMP | WEST << 5, 0), (register, None, 2), (switch, None, 3)]
    layout = layout_of(steps, 4, rx="W", tx="E", switches=(Position(rx="RAMP"),), teardown=True)
    simulation = layout.compile()
    simulation.send(COLOR, np.arange(4), 0, 0, "W")
    simulation.run()
    assert simulation.memcpy_d2h("words", 1)[0, 0].tolist() == [0, 1, 2, 3]
    assert simulation.memcpy_d2h("out", 1)[0, 0, :4].tolist() == [
        0x55D, RAMP | WEST << 5 | 1 << 14, RAMP | WEST << 5, 0x55D]


@pytest.mark.parametrize(("address", "number"), [
    (ROUTES + 2 * COLOR, WEST << 5), (ROUTES + 2 * COLOR, EAST | WEST << 5 | 1 << 10), (SWITCHES + 2 * COLOR, 2 << 13 | 0x555),
    (ROUTES + 2 * OTHER, EAST | WEST << 5), (ROUTES - 2, 0), (SWITCHES + 48, 0)])
def test_what_makes_no_route_is_refused(address, number):
    with pytest.raises(WsekernError, match=r"PE \(1, 0\)"):
        layout_of([(address, number, 0)]).compile().run()


def test_other_machines_have_no_such_registers():
    layout = Layout("wse3", 1, 1)
    layout.set_program(program_of([(ROUTES, None, 0)], 0))
    with pytest.raises(WsekernError, match="outside its 48 KB"):
        layout.compile().run()


PORTS = st.integers(1, 31)
SWITCH = st.builds(lambda position, ring, fields: position << 13 | ring << 12 | sum(f << 4 * k for k, f in enumerate(fields)),
                   st.integers(0, 1), st.integers(0, 1), st.lists(st.integers(0, 15), min_size=3, max_size=3))
WRITES = st.one_of(st.builds(lambda out, into, pop, torn: (ROUTES + 2 * COLOR, out | into << 5 | pop << 12 | torn << 14), PORTS,
                             PORTS, st.integers(0, 3), st.booleans()), SWITCH.map(lambda bits: (SWITCHES + 2 * COLOR, bits)))


@settings(max_examples=25, deadline=None)
@given(st.lists(WRITES, max_size=4), st.booleans(), st.integers(0, 30), st.lists(st.integers(1, 9), min_size=8, max_size=8))
def test_random_writes_as_the_plain_reference_has_them(writes, torn, words, cycles):
    steps = []
    for address, number in writes:
        steps += [(address, number, 0), (ROUTES + 2 * COLOR, None, 0), (SWITCHES + 2 * COLOR, None, 0)]
    steps = [(address, number, k if number is None else 0) for k, (address, number, _) in enumerate(steps)]
    layout = layout_of(steps, 0, teardown=torn, switches=(Position(rx="E"), Position(tx="E")))
    simulation, reference = layout.compile(), ReferenceSimulation(layout)
    if words:
        simulation.send(COLOR, np.arange(words), 0, 0, "W")
        reference.fabric.inject(0, 0, COLOR, [Word(k) for k in range(words)], Port.WEST)
    for count in cycles:
        try:
            reference.step(count)
        except (BrokenRule, BrokenProgram):
            with pytest.raises(WsekernError):
                simulation.step(count)
            return
        simulation.step(count)
        compare(simulation, reference)
