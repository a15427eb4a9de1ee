"""What programs do that the hardware allows and that is hardly meant: told for the wrong program, not for the right one.

Random programs are compared with the plain reference in ``test_against_reference``; the examples, whose warnings would be
errors here, are the right programs of every kind."""

import pickle
import warnings

import numpy as np
import pytest

from wsekern.errors import DeadlockError, ProgramError, ProgramWarning
from wsekern.fabric import Fabric, FabricPlan, make_route
from wsekern.program import Layout, Program
from wsekern.program.reference.simulation import ReferenceSimulation
from wsekern.soak.programs import same_findings


def pair(send: int, take: int, watch_memory: bool = False, strict: bool = False, initial: int | None = 1):
    """PE (0, 0) sends, PE (1, 0) takes."""
    layout, sender, taker = Layout("wse3", 2, 1), Program("sender"), Program("taker")
    values, found = sender.array("values", "u32", 16, initial), taker.array("found", "u32", 16)
    with sender.function("go") as t:
        t.mov32(sender.fabout(3, send, "u32"), values.view(send), asynchronous=True)
    with taker.function("go") as t:
        t.mov32(found.view(take), taker.fabin(3, take, "u32"), asynchronous=True)
    for x, program in enumerate((sender, taker)):
        layout.set_program(program, x)
    layout.set_route(3, ["RAMP"], ["E"])
    layout.set_route(3, ["W"], ["RAMP"], 1)
    simulation = layout.compile(strict=strict, watch_memory=watch_memory)
    simulation.launch("go")
    return simulation


def through(machine: str, packing: int, count: int):
    """A PE hands on what comes in from the west."""
    layout, program = Layout(machine, 1, 1, open_edges=True), Program("through")
    with program.function("go") as t:
        t.mov16(program.fabout(3, count, "u16", packing), program.fabin(2, count, "u16", packing), asynchronous=True)
    layout.set_program(program)
    layout.set_route(2, ["W"], ["RAMP"])
    layout.set_route(3, ["RAMP"], ["E"])
    simulation = layout.compile()
    simulation.send(2, np.arange(-(-count // packing)), 0, 0)
    simulation.launch("go")
    return simulation


def halves(sent: int, taken: int, sends: int = 2, takes: int = 2, task: bool = False, host: int = 0):
    """PE (0, 0) sends fp16 elements east, ``sends`` to a word; PE (1, 0) takes them, ``takes`` to a word, or
    ``task``: by a task. ``host``: as many words that the host sends on the same color."""
    layout, sender, taker = Layout("wse3", 2, 1), Program("sender"), Program("taker")
    values, found = sender.array("values", "fp16", 16, 1), taker.array("found", "fp16", 16)
    with sender.function("go") as t:
        t.mov16(sender.fabout(3, sent, "fp16", sends), values.view(sent), asynchronous=True)
    with taker.function("go") as t:
        if not task:
            t.mov16(found.view(taken), taker.fabin(3, taken, "fp16", takes), asynchronous=True)
    if task:
        with taker.data_task("hear", 3) as t:
            t.spend(1)
    for x, program in enumerate((sender, taker)):
        layout.set_program(program, x)
    layout.set_route(3, ["RAMP"], ["E"])
    layout.set_route(3, ["W"], ["RAMP"], 1)
    simulation = layout.compile()
    simulation.launch("go")
    if host:
        simulation.send(3, np.zeros(host, np.uint32), 0, 0, "RAMP")
    return simulation


def two_threads(out: bool, second: int | None, wait: bool):
    """Two instructions on one queue: the second one on a microthread or the main thread, at once or once the first is done."""
    layout, program = Layout("wse3", 1, 1, open_edges=True), Program("two")
    data = program.array("data", "u32", 16)

    def stream(t, **more):
        memory, words = data.view(8), program.fabout(3, 8, "u32") if out else program.fabin(2, 8, "u32")
        t.mov32(*((words, memory) if out else (memory, words)), **more)

    with program.function("go") as t:
        stream(t, microthread=1, **({"activate": "then"} if wait else {}))
        if not wait:
            stream(t, microthread=second)
    if wait:
        with program.task("then") as t:
            stream(t, microthread=second)
    layout.set_program(program)
    layout.set_route(2, ["W"], ["RAMP"])
    layout.set_route(3, ["RAMP"], ["E"])
    simulation = layout.compile()
    simulation.send(2, np.arange(0 if out else 16), 0, 0)
    simulation.launch("go")
    return simulation


def rewriting(wait: int):
    """A PE sends four words east and then turns the route south."""
    layout, program, other = Layout("wse3", 2, 1, open_edges=True), Program("turn"), Program("hears")
    data = program.array("data", "u32", 4, 1)
    program.route("south", ["RAMP"], ["S"])
    with program.function("go") as t:
        t.mov32(program.fabout(3, 4, "u32"), data)
        t.spend(wait)
        t.set_route(3, "south")
    layout.set_program(program)
    layout.set_program(other, 1)
    layout.set_route(3, ["RAMP"], ["E"])
    layout.set_route(3, ["W"], ["E"], 1)
    simulation = layout.compile()
    simulation.launch("go")
    return simulation


WRONG = {
    "unread": (lambda: pair(8, 5),
               r"PE \(1, 0\), color 3, program taker, task go, line \d+ of its text \(mov32 .*3 words lie unread"),
    "unread in routers": (lambda: pair(16, 2), "8 words lie unread .*6 more"),
    "rewritten": (lambda: rewriting(0), r"PE \(0, 0\), color 3, .*\(route 3, south\), .*with \d words? on the way"),
    "shared input": (lambda: two_threads(False, 2, False), "color 2, .*microthread=2.*a second thread reads input queue 0"),
    "shared input, main": (lambda: two_threads(False, None, False), "a second thread reads input queue 0"),
    "shared output": (lambda: two_threads(True, 2, False), "color 3, .*a second thread sends by output queue 0"),
    "shared output, main": (lambda: two_threads(True, None, False), "a second thread sends by output queue 0"),
    "odd": (lambda: through("wse3", 2, 7), "color 3, .*hands on 7 elements of 16 bits, two to a word"),
    "more taken": (lambda: halves(3, 4), r"PE \(0, 0\), color 3, program sender, task go, line \d+ .*: 3 elements of 16 "
                                         r"bits, an odd number, go two to a word"),
    "fewer taken": (lambda: halves(4, 3), r"PE \(1, 0\), color 3, program taker, .*: 3 elements of 16 bits, an odd number"),
    "sent in pairs": (lambda: halves(4, 2, takes=1), r"PE \(1, 0\), color 3, .*are taken 1 to a word, and their sender puts 2"),
    "sent alone": (lambda: halves(2, 4, sends=1), r"PE \(1, 0\), color 3, .*are taken 2 to a word, and their sender puts 1"),
    "unwritten": (lambda: pair(8, 8, watch_memory=True, initial=None),
                  r"PE \(0, 0\), program sender, .*symbol values is read, which neither .* \(7 more\)"),
}
RIGHT = {
    "as many words": lambda: pair(8, 8), "a route replaced later": lambda: rewriting(40),
    "one reader after the other": lambda: two_threads(False, 2, True),
    "one sender after the other": lambda: two_threads(True, None, True), "an even number": lambda: through("wse3", 2, 8),
    "one to a word": lambda: through("wse3", 1, 7), "another machine": lambda: through("wse2", 2, 7),
    "halves of words": lambda: halves(3, 3), "halves one to a word": lambda: halves(3, 3, 1, 1),
    "halves to a task": lambda: halves(3, 0, task=True), "halves of the host": lambda: halves(4, 5, host=1),
    "nobody asked": lambda: pair(8, 8, initial=None), "initial values": lambda: pair(8, 8, watch_memory=True),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_told_once(name):
    make, pattern = WRONG[name]
    simulation = make()
    with pytest.warns(ProgramWarning, match=pattern) as told:
        simulation.run()
    assert len(told) == 1 and len(simulation.findings()) == 1
    simulation.run()        # and not again


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_told_of_a_right_program(name):
    simulation = RIGHT[name]()
    simulation.run()
    assert simulation.findings() == []


def test_strict_makes_it_an_error_that_lists_what_was_found_also_after_pickling():
    for simulation in (pair(8, 5, strict=True), pickle.loads(pickle.dumps(pair(8, 5, strict=True)))):
        with pytest.raises(ProgramError, match="3 words lie unread") as caught:
            simulation.run()
        assert [item.rule for item in caught.value.report["findings"]] == ["unread"]


def test_words_that_wait_for_a_function_of_the_host_are_told_of_unless_quiet():
    simulation = pair(8, 5)
    simulation.run(quiet=True)
    simulation.launch("go")
    with pytest.warns(ProgramWarning, match="6 words lie unread"):
        simulation.run()


def test_what_the_host_has_copied_is_written():
    simulation = pair(8, 8, watch_memory=True, initial=None)
    simulation.memcpy_h2d("values", np.zeros((1, 1, 16), np.uint32), width=1)
    simulation.run()
    assert simulation.findings() == []
    loaded = pair(8, 8, watch_memory=True, initial=None)
    loaded.load(simulation.to_bytes())
    loaded.launch("go")
    loaded.run()
    assert loaded.findings() == []


def test_a_deadlock_names_sender_receiver_and_how_many_words_came():
    with pytest.raises(DeadlockError, match=r"PE \(1, 0\), .*for words of color 3 since cycle \d+, after 5 words, from PE "
                                            r"\(0, 0\) of program sender, which is idle"):
        pair(5, 8).run()


def test_a_deadlock_tells_what_was_found_before_it():
    simulation = two_threads(False, 2, False)
    simulation.reset()
    simulation.send(2, np.arange(9), 0, 0)
    simulation.launch("go")
    with pytest.raises(DeadlockError, match="a second thread reads input queue 0"):
        simulation.run()


def test_a_reset_begins_anew():
    simulation = pair(8, 5)
    for _ in range(2):
        with pytest.warns(ProgramWarning, match="3 words"):
            simulation.run()
        simulation.reset()
        assert simulation.findings() == []
        simulation.launch("go")


def test_a_fabric_tells_when_the_host_replaces_a_route_under_words():
    plan = FabricPlan(3, 1, "wse3")
    for x, (rx, tx) in enumerate((("RAMP", "E"), ("W", "E"), ("W", "RAMP"))):
        plan.paint(0, rx, tx, x=x)
    fabric = Fabric(plan)
    fabric.rewrite(1, 0, 0, make_route("W", "RAMP"))
    fabric.inject(0, 0, 0, [1, 2, 3, 4])
    fabric.step(4)
    with pytest.warns(ProgramWarning, match=r"PE \(1, 0\), color 0, cycle 4: the route is replaced with \d word"):
        fabric.rewrite(1, 0, 0, make_route("W", "E"))
    with warnings.catch_warnings(), pytest.raises(ProgramError, match="on the way"):
        strict = Fabric(plan, strict=True)
        strict.inject(0, 0, 0, [1, 2, 3, 4])
        strict.step(4)
        strict.rewrite(1, 0, 0, make_route("W", "RAMP"))


@pytest.mark.parametrize("sent, taken, sends, takes", [(3, 4, 2, 2), (4, 3, 2, 2), (4, 2, 2, 1), (2, 4, 1, 2), (3, 3, 2, 2)])
def test_the_reference_finds_the_same_of_half_words(sent, taken, sends, takes):
    simulation = halves(sent, taken, sends, takes)
    reference = ReferenceSimulation(simulation.layout)
    for core in reference.cores.values():
        core.launch("go")
    simulation.run(quiet=True)
    reference.step(simulation.cycle)
    assert len(reference.findings()) == (sent != taken)
    same_findings(simulation, reference)
