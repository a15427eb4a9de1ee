"""What one can see of cores: states, counts, waits, errors with their place, traces."""

import json
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from wsekern.errors import DeadlockError, InputError, RoutingError, SimulationError
from wsekern.fabric.routes import Position
from wsekern.program import Layout, Program, Simulation
from wsekern.program.seeing import COUNTS, counts, counts_table, heat_map, plot_counts, trace, wait_report

N = 6


def product(machine: str = "wse3") -> Simulation:
    """Three PEs: two multiply and send their products to the third one, which adds them up."""
    sender, adder = Program("sender"), Program("adder")
    x = sender.array("x", "f32", N, np.arange(N))
    with sender.function("compute") as code:
        with code.range(3):
            code.fmuls(x, x, 2.0)
        code.fmovs(sender.fabout(3, N, "f32"), x, asynchronous=True)
    y = adder.array("y", "f32", N)
    with adder.task("begin", active=True) as code:
        code.fmovs(y, adder.fabin(3, N, "f32"), asynchronous=True, activate="rest")
    with adder.task("rest") as code:
        code.fadds(y, y, adder.fabin(4, N, "f32"))
    layout = Layout(machine, 3, 1)
    layout.set_program(adder, 1)
    layout.set_program(sender)
    far = Program("far")
    z = far.array("x", "f32", N, np.arange(N))
    with far.function("compute") as code:
        code.fmovs(far.fabout(4, N, "f32"), z)
    layout.set_program(far, 2)
    layout.set_route(3, ["RAMP"], ["E"])
    layout.set_route(3, ["W"], ["RAMP"], 1)
    layout.set_route(4, ["RAMP"], ["W"], 2)
    layout.set_route(4, ["E"], ["RAMP"], 1)
    return layout.compile()


def text_of(simulation: Simulation, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(counts_table(simulation))
    return captured.get()


def test_the_state_of_a_pe_says_what_it_is_at_in_every_cycle():
    simulation = product()
    assert simulation.state(0, 0)["threads"][8]["state"] == "idle"
    simulation.launch("compute")
    seen = []
    while simulation.cycle < 200:
        state = simulation.state(0, 0)["threads"][8]
        if state["state"] in ("ready", "busy"):
            seen.append(state["text"].split()[0])
            assert state["task"] == "compute" and state["program"] == "sender"
            line = simulation.layout.programs[1].text().splitlines()[state["line"] - 1]
            assert line.strip().startswith(state["text"])
        simulation.step()
    timing = simulation.layout.timing
    assert seen.count("fmuls") == 3 * timing.vector("fmuls", N)
    assert seen.count("branch") == 2 * timing.latency("taken", 1) + timing.latency("branch", 1)
    assert simulation.state(1, 0)["threads"][8]["state"] == "idle"
    np.testing.assert_array_equal(simulation.memcpy_d2h("y")[0, 1], np.arange(N) * 9.0)


def test_looking_at_every_cycle_changes_nothing():
    watched, plain = product(), product()
    for simulation in (watched, plain):
        simulation.launch("compute")
    for _ in range(300):
        watched.activity()
        watched.step()
    plain.run()
    np.testing.assert_array_equal(watched.clock, plain.clock)
    for name, values in plain.counters().items():
        np.testing.assert_array_equal(watched.counters()[name], values, err_msg=name)


def test_counts_are_sums_of_what_the_cores_counted():
    simulation = product()
    simulation.launch("compute")
    simulation.run()
    printed = text_of(simulation)
    print(printed)
    found = simulation.counters()
    rows = {line.split("  ")[0].strip(): line.split("  ")[1:] for line in printed.splitlines()}
    cells = {name: [cell.strip() for cell in row if cell.strip()] for name, row in rows.items()}
    waiting = sum(found[name].sum() for name in ("input", "output", "fifo", "microthread"))
    assert cells["all"][:2] == ["3", f"{waiting:,}"]
    assert f"{found['instructions'].sum():,}" in printed and f"{simulation.cycle:,} cycles" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80 and "…" not in printed
    assert cells["(1, 0)"][:2] == ["adder", f"{found['input'][0, 1] + found['output'][0, 1]:,}"]
    assert counts(simulation, "elements_per_cycle")[0, 0] == found["elements"][0, 0] / found["vector_cycles"][0, 0]


def test_heat_maps_show_every_count(tmp_path):
    simulation = product()
    assert heat_map(simulation, "elements_per_cycle").splitlines()[1] == "   "        # nothing has run
    simulation.launch("compute")
    simulation.run()
    for what in COUNTS:
        head, *rows = heat_map(simulation, what).splitlines()
        assert COUNTS[what] in head and [len(row) for row in rows] == [3]
        assert ("@" in rows[0]) == (counts(simulation, what).max() > 0)
    for ending in ("png", "svg", "pdf"):
        plot_counts(simulation, tmp_path / f"counts.{ending}", "instructions")
        assert (tmp_path / f"counts.{ending}").stat().st_size > 1000
    for path, what, message in (("counts.gif", "words", "ends in .png"), ("counts.png", "joy", "no count 'joy': use one of"),
                                ("none/counts.png", "words", "cannot write")):
        with pytest.raises(InputError, match=message):
            plot_counts(simulation, tmp_path / path, what)
    with pytest.raises(InputError, match="-1 PEs"):
        counts_table(simulation, -1)


def test_a_wide_grid_is_shown_in_squares():
    layout = Layout("wse3", 250, 7)
    program = Program("one")
    program.spend(5)
    layout.set_program(program, 249, 6)
    simulation = layout.compile()
    simulation.run()
    head, *rows = heat_map(simulation, "instructions").splitlines()
    assert "the most of each 3x3 PEs" in head and len(rows) == 3 and all(len(row) == 84 for row in rows)
    assert rows[2][83] == "@" and "".join(rows).strip() == "@"


# ---- waits and errors

def test_a_deadlock_names_task_line_and_who_would_send():
    simulation = product()
    with pytest.raises(DeadlockError, match=r"one thread waits, that of PE \(1, 0\), program adder, task begin, line \d+ of "
                       r"its text \(fmovs y\[6\], fabin 0 fp32\[6\].*\), for words of color 3 since cycle") as caught:
        simulation.run()
    waits = caught.value.report["waiting"]
    assert len(waits) == 1 and waits[0]["thread"] == "microthread 0" and waits[0]["color"] == 3
    report = wait_report(simulation)
    print(report)
    assert "PE (1, 0): program adder, task begin, microthread 0" in report
    assert "waits for words of color 3 since cycle" in report
    assert "from PE (0, 0) of program sender, which is idle" in report and "No word stands in a router." in report
    simulation.launch("compute", 0, 0, 1, 1)
    with pytest.raises(DeadlockError):
        simulation.run()
    assert "task rest, main thread" in wait_report(simulation)
    assert "from PE (2, 0) of program far, which is idle" in wait_report(simulation)


def test_a_deadlock_shows_the_routers_in_which_words_stand():
    layout = Layout("wse3", 3, 1)
    sender, receiver, silent = Program("sender"), Program("receiver"), Program("silent")
    x = sender.array("x", "f32", 100)
    sender.emit("fmovs", sender.fabout(5, 100, "f32"), x.view())
    y = receiver.array("y", "f32", 4)
    receiver.emit("fmovs", y.view(), receiver.fabin(5, 4, "f32"))
    receiver.emit("fmovs", y.view(), receiver.fabin(6, 4, "f32"))
    silent.spend(3)
    layout.set_program(sender)
    layout.set_program(receiver, 2)
    layout.set_program(silent, 1)
    layout.set_route(5, ["RAMP"], ["E"])
    layout.set_route(5, ["W"], ["E"], 1)
    layout.set_route(5, ["W"], ["RAMP"], 2)
    layout.set_route(6, ["RAMP"], ["E"], 1)
    layout.set_route(6, ["W"], ["RAMP"], 2)
    simulation = layout.compile()
    with pytest.raises(DeadlockError, match="2 threads wait") as caught:
        simulation.run()
    chain = caught.value.report["fabric"]["chain"]
    assert [link["pe"] for link in chain] == [(0, 0), (1, 0), (2, 0)] and chain[2]["waits_for"] == "the core takes no word"
    report = wait_report(simulation)
    print(report)
    assert "PE (0, 0), color 5, waits to leave by E: the next router's queue is full" in report
    assert "waits for room to send on color 5" in report
    assert "from PE (1, 0) of program silent, which has no output queue of color 6" in report


@pytest.mark.parametrize(("what", "message"), [
    ("edge", "from outside, over the WEST edge at PE (0, 0)"), ("nothing", "no route leads color 5 there"),
    ("empty", "from PE (0, 0), which has no program"),
    ("switch", "from PE (0, 0), whose switch of color 5 stands in position 0 and does not send them on"),
    ("blocked", "from PE (0, 0) of program sender, whose task send is blocked"),
    ("waiting", "from PE (0, 0) of program sender, which waits for words itself in task send, line"),
    ("working", "from PE (0, 0) of program sender, which is at work")])
def test_the_report_follows_routes_to_those_who_would_send(what, message):
    layout = Layout("wse3", 2, 2, open_edges=True)
    receiver, sender = Program("receiver"), Program("sender")
    y = receiver.array("y", "f32", 4)
    receiver.emit("fmovs", y.view(), receiver.fabin(5, 4, "f32"))
    layout.set_program(receiver, 1)
    if what != "nothing":
        layout.set_route(5, ["W"], ["RAMP"], 1)
        layout.set_route(5, ["W" if what == "edge" else "RAMP"], ["E"])
    if what == "switch":
        layout.fabric.paint(5, "RAMP", "SOUTH", switches=(Position(tx="EAST"),))
    if what in ("blocked", "waiting", "working"):
        x = sender.array("x", "f32", 4)
        if what == "working":
            sender.spend(1000)
        else:
            with sender.task("send", active=True, blocked=what == "blocked") as code:
                code.fmovs(x, sender.fabin(6, 4, "f32"))
        sender.output_queue(5)
        layout.set_program(sender)
    simulation = layout.compile()
    simulation.step(300)
    assert message in wait_report(simulation)


def test_many_pes_that_wait_alike_are_one_paragraph():
    layout = Layout("wse3", 30, 20)
    program = Program("listener")
    y = program.array("y", "f32", 4)
    program.emit("fmovs", y.view(), program.fabin(5, 4, "f32"))
    layout.set_program(program, 0, 0, 30, 20)
    simulation = layout.compile()
    simulation.step(100)
    report = wait_report(simulation)
    assert "600 threads of 600 PEs wait." in report
    assert report.count("waits for words") == 1 and "PE (0, 0) and 599 more, the last (29, 19)" in report


def test_nothing_waits_before_and_after_a_run():
    simulation = product()
    assert wait_report(simulation).startswith("Wait report at cycle 0: 0 threads of 0 PEs wait.")


def test_a_fault_names_program_task_line_and_pe():
    program = Program("faulty")
    x = program.array("x", "f32", 4)
    with program.task("first", active=True) as code:
        code.activate("second")
    with program.task("second") as code:
        index = code.let("i32", 4)
        code.write(x, index * 1000, 1.0)
    layout = Layout("wse2", 2, 2)
    layout.set_program(program, 1, 1)
    simulation = layout.compile()
    with pytest.raises(SimulationError, match=r"PE \(1, 1\), program faulty, task second, line \d+ of its text "
                       r"\(store.fp32 x\[r\d\], r\d\), cycle") as caught:
        simulation.run()
    line = program.text().splitlines()[caught.value.report["place"]["line"] - 1]
    assert line.strip() == caught.value.report["place"]["text"]


def test_a_broken_rule_of_the_routers_names_pe_and_color():
    """Words from two sides in one cycle on one color of a router."""
    layout = Layout("wse2", 3, 1)
    sender, receiver = Program("sender"), Program("receiver")
    x = sender.array("x", "f32", 4)
    sender.emit("fmovs", sender.fabout(5, 4, "f32"), x.view())
    y = receiver.array("y", "f32", 8)
    receiver.emit("fmovs", y.view(), receiver.fabin(5, 8, "f32"))
    layout.set_program(sender)
    layout.set_program(sender, 2)
    layout.set_program(receiver, 1)
    layout.set_route(5, ["RAMP"], ["E"])
    layout.set_route(5, ["RAMP"], ["W"], 2)
    layout.set_route(5, ["E", "W"], ["RAMP"], 1)
    with pytest.raises(RoutingError, match=r"PE \(1, 0\), color 5") as caught:
        layout.compile().run()
    assert caught.value.report["fabric"]["color"] == 5


# ---- traces

def events_of(path) -> list[dict]:
    return json.loads(path.read_text())["traceEvents"]


def rows_of(events: list[dict]) -> dict[tuple[int, int], str]:
    """Name of each (process, thread)."""
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    return {(event["pid"], event["tid"]): f"{processes[event['pid']]}: {event['args']['name']}"
            for event in events if event["name"] == "thread_name"}


def test_a_trace_has_a_row_per_thread_and_router_and_changes_nothing(tmp_path):
    traced, plain = product(), product()
    for simulation in (traced, plain):
        simulation.launch("compute")
    slices = trace(traced, tmp_path / "trace.json", 200)
    plain.run()
    np.testing.assert_array_equal(traced.clock, plain.clock)
    np.testing.assert_array_equal(traced.memcpy_d2h("y"), plain.memcpy_d2h("y"))
    events = events_of(tmp_path / "trace.json")
    rows = rows_of(events)
    assert set(rows.values()) == {
        "PE (0, 0) sender: main thread", "PE (0, 0) sender: microthread 0", "PE (0, 0) sender: router",
        "PE (1, 0) adder: main thread", "PE (1, 0) adder: microthread 0", "PE (1, 0) adder: router",
        "PE (2, 0) far: main thread", "PE (2, 0) far: router"}
    shown = [event for event in events if event["ph"] == "X"]
    assert all((event["pid"], event["tid"]) in rows and event["dur"] > 0 and event["ts"] >= 0 for event in shown)
    assert sum(event["cat"] == "instruction" or event["cat"] == "task" for event in shown) == slices
    arrows = [event["ph"] for event in events if event["ph"] in "sf"]
    assert arrows.count("s") == arrows.count("f") == traced.link_traversals == 2 * N
    waits = sum(event["dur"] for event in shown
                if event["cat"] == "wait" and rows[event["pid"], event["tid"]].startswith("PE (1"))
    assert 0 < waits <= plain.counters()["input"][0, 1]


def test_slices_of_a_thread_follow_each_other_and_hold_their_waits(tmp_path):
    simulation = product()
    simulation.launch("compute")
    trace(simulation, tmp_path / "trace.json", 200)
    shown = [event for event in events_of(tmp_path / "trace.json") if event["ph"] == "X" and event["tid"] > 0]
    for row in {(event["pid"], event["tid"]) for event in shown}:
        here = sorted((event for event in shown if (event["pid"], event["tid"]) == row), key=lambda event: event["ts"])
        code = [event for event in here if event["cat"] != "wait"]
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(code))
        for wait in (event for event in here if event["cat"] == "wait"):
            assert any(event["ts"] <= wait["ts"] and wait["ts"] + wait["dur"] <= event["ts"] + event["dur"] for event in code)


def test_a_trace_of_chosen_pes_has_no_others_cores(tmp_path):
    simulation = product()
    simulation.launch("compute")
    trace(simulation, tmp_path / "trace.json", 150, pes=[(1, 0)])
    names = set(rows_of(events_of(tmp_path / "trace.json")).values())
    assert {name for name in names if not name.endswith("router")} == {"PE (1, 0) adder: main thread",
                                                                       "PE (1, 0) adder: microthread 0"}
    assert "PE (0, 0) sender: router" in names          # where its words come from


def test_a_trace_ends_where_the_run_fails(tmp_path):
    program = Program("faulty")
    x = program.array("x", "f32", 4)
    with program.task("only", active=True) as code:
        index = code.let("i32", 4)
        code.write(x, index * 1000, 1.0)
    layout = Layout("wse2", 1, 1)
    layout.set_program(program)
    with pytest.raises(SimulationError, match="task only"):
        trace(layout.compile(), tmp_path / "trace.json", 100)
    assert any(event["name"].startswith("store.fp32") for event in events_of(tmp_path / "trace.json") if event["ph"] == "X")


@pytest.mark.parametrize(("cycles", "pes", "path", "message"), [
    (-1, None, "t.json", "-1 cycles"), (5, [(3, 0)], "t.json", "does not lie on 3x1 PEs"),
    (5, None, "none/t.json", "cannot write")])
def test_a_trace_that_cannot_be_is_refused_before_anything_runs(tmp_path, cycles, pes, path, message):
    simulation = product()
    with pytest.raises(InputError, match=message):
        trace(simulation, tmp_path / path, cycles, pes)
    assert simulation.cycle == 0


def test_a_trace_of_no_programs_and_no_cycles_is_empty(tmp_path):
    assert trace(Layout("wse3", 2, 2).compile(), tmp_path / "t.json", 3) == 0
    assert trace(product(), tmp_path / "t.json", 0) == 0
    assert events_of(tmp_path / "t.json") == []
