"""What users hold can be pickled, copied and deep-copied, and goes on from there as the original does."""

import copy
import os
import pickle

import msgspec
import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.fabric import CounterFilter, Fabric, FabricPlan, RangeFilter
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.ops import FlowEngine
from wsekern.planning.estimator import estimator
from wsekern.program import Layout, Program

WAYS = {"pickle": lambda item: pickle.loads(pickle.dumps(item)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(params=WAYS)
def duplicate(request):
    """One way of making a second one."""
    return WAYS[request.param]


def test_machines_are_equal_by_content(duplicate):
    machine = load_machine("wse3")
    other = duplicate(machine)
    assert other == machine and hash(other) == hash(machine)
    assert Timing(other, "silicon", "fp16") == Timing(machine, "silicon", "fp16")
    assert machine != load_machine("wse2") and machine != "wse3"


def test_a_machine_with_one_number_changed_is_another_one():
    machine = load_machine("wse3")
    changed = msgspec.structs.replace(machine, year=machine.year + 1)
    assert changed != machine and len({changed, machine, pickle.loads(pickle.dumps(machine))}) == 2


def program() -> Program:
    made = Program("adds", parameters={"n": 0})
    a = made.array("a", "f32", 4, initial=[1, 2, 3, 4])
    halves = a.as_type("f16")
    made.descriptor("walk", a.view(2, save=True))
    made.route("turn", "W", "RAMP")
    made.fifo("queue", "f32", 8)
    with made.function("go") as code:
        code.fadds(a, a, a)
        code.fmovh(halves.view(2), halves.view(2, 2))
    return made


def test_programs(duplicate):
    one = program()
    two = duplicate(one)
    assert two == one and two.text() == one.text()
    with two.task("more"):
        pass
    assert two != one, "a copy is written on alone"


def layout() -> Layout:
    made = Layout("wse3", 3, 2, open_edges=True)
    made.set_program(program(), 0, 0, 2, 2)
    made.set_program(program(), 2, 0, 1, 2)
    made.set_route(3, "W", "RAMP", 1, 0)
    return made


def test_layouts_run_alike_and_are_changed_alone(duplicate):
    one = layout()
    two = duplicate(one)
    assert two.programs == one.programs and two.machine == one.machine and two.timing == one.timing
    two.set_program(two.programs[1], 0, 0)          # its own programs are known to it
    assert len(two.programs) == 2 and one.program_of[0, 0] == 0
    sums = []
    for each in (one, two):
        simulation = each.compile()
        simulation.launch("go")
        simulation.run()
        sums.append((simulation.memcpy_d2h("a"), simulation.cycle, simulation.counters()["elements"].sum()))
    assert np.array_equal(sums[0][0], sums[1][0]) and sums[0][1:] == sums[1][1:]


def painted() -> FabricPlan:
    plan = FabricPlan(6, 3, "wse2", open_edges=True)
    plan.paint(2, "W", "E RAMP", width=6)
    plan.paint(4, "RAMP", "E", x=1)
    plan.paint(4, "W", "RAMP", x=2, width=2)
    plan.erase(4, x=3)
    plan.filter(2, RangeFilter(0, 4), x=2)
    plan.filter(4, CounterFilter(3, 1), x=2)
    return plan


def test_fabric_plans_are_painted_alone(duplicate):
    one = painted()
    two = duplicate(one)
    assert two.painted == one.painted and two.placed_filters == one.placed_filters and two.rules == one.rules
    two.paint(7, "W", "E")
    assert len(two.painted) == len(one.painted) + 1


@pytest.mark.parametrize("whole_grid", [False, True])
def test_flow_engines_go_on_from_their_clocks(duplicate, whole_grid):
    one = FlowEngine("wse3", 5, 4)
    one.spend(compute=7)
    if whole_grid:
        one.set_clock(np.arange(20).reshape(4, 5) + 7)
    two = duplicate(one)
    assert np.array_equal(two.clock, one.clock) and two.machine == one.machine
    two.spend(fabric=3)
    assert np.array_equal(two.clock, one.clock + 3)
    one.synchronise()
    assert two.clock.max() == one.clock.max() + 3


def moving() -> Fabric:
    """A fabric in the middle of a run, with words in routers, outside, in a port and in the log."""
    plan = FabricPlan(7, 5, "wse2")
    plan.connect((0, 0), (3, 2, 4, 3), colors=[1])
    plan.connect((6, 0), (0, 4), colors=[2])
    fabric = Fabric(plan, {1: "log", 2: "core"}, threads=2)
    fabric.port(0, 4, 2, depth=2)
    fabric.inject(0, 0, 1, list(range(40)))
    fabric.inject(6, 0, 2, list(range(9)))
    fabric.step(17)
    return fabric


@pytest.mark.parametrize("way", [*WAYS, "bytes", "bytes back"])
def test_fabrics_go_on_from_any_cycle(way):
    one = moving()
    if way == "bytes":
        one.drain()
        two = Fabric.from_bytes(one.to_bytes())
    elif way == "bytes back":
        two, saved = one.snapshot(), one.to_bytes()
        one.drain()
        two.step(9)
        two.load(saved)
    else:
        two = WAYS[way](one)
    ends = []
    for fabric in (one, two):
        port, popped = fabric.port(0, 4, 2, depth=2), []
        for _ in range(90):
            fabric.step()
            if (word := port.pop()) is not None:
                popped.append(word)
        ends.append((fabric.cycle, popped, fabric.drain().tolist(), {k: v.tolist() for k, v in fabric.totals().items()}))
    assert ends[0] == ends[1] and ends[0][1] == list(range(9))


def test_compiled_plans(duplicate):
    plan = painted().build()
    other = duplicate(plan)
    assert other.shape == plan.shape and other.open_edges and other.description.painted == plan.description.painted
    ends = []
    for each in (plan, other):
        fabric = Fabric(each)
        fabric.inject(0, 0, 2, [1 << 16, 9 << 16], port="WEST")
        fabric.run_until_idle()
        ends.append(fabric.drain().tolist())
    assert ends[0] == ends[1] != []


def test_a_fabric_goes_on_from_a_file(tmp_path):
    one, file = moving(), tmp_path / "a.fabric"
    one.save(file)
    two, three = Fabric.from_bytes(file), one.snapshot()
    one.step(60)
    three.load(file)
    two.step(60)
    three.step(60)
    assert one.to_bytes() == two.to_bytes() == three.to_bytes() and os.listdir(tmp_path) == ["a.fabric"]


def test_bytes_that_were_cut_or_altered_are_refused():
    fabric = moving()
    saved = fabric.to_bytes()
    before = fabric.cycle
    for damaged in (b"", saved[:40], saved[:-1], saved + b"0", bytes([saved[0] ^ 1]) + saved[1:],
                    saved[:99] + bytes([saved[99] ^ 64]) + saved[100:]):
        with pytest.raises(InputError):
            Fabric.from_bytes(damaged)
        with pytest.raises(InputError):
            fabric.load(damaged)
    with pytest.raises(InputError, match="another plan"):
        Fabric(painted()).load(saved)
    for wrong, reason in ((None, "no saved state"), ("none", "cannot read none: No such file"), ("a\0", "no file has such")):
        with pytest.raises(InputError, match=reason):
            fabric.load(wrong)
    assert fabric.cycle == before and fabric.to_bytes() == saved


def test_an_unpickled_machine_finds_what_was_kept_for_the_first():
    machine = load_machine("wse2")
    assert estimator(pickle.loads(pickle.dumps(machine)), "silicon", "fp16") is estimator(machine, "silicon", "fp16")
