"""PE programs on the cycle engine: what instructions compute, when, and what is refused."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, DeadlineError, DeadlockError, InputError, RoutingError
from wsekern.fabric.routes import Command, control_payload
from wsekern.program import INSTRUCTIONS, Layout, Mem, Program
from wsekern.program.instruction_names import InstructionNames, VectorInstruction
from wsekern.program.instructions import Vector

MACHINES = [("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"), ("wse3", "silicon")]


def send_and_receive(machine: str, profile: str, hops: int, words: int):
    """One PE sends `words` fp32 to another, `hops` links east."""
    layout = Layout(machine, hops + 1, 1, profile)
    sender, receiver = Program("sender"), Program("receiver")
    sender.memory("x", "fp32", words)
    sender.emit("fmovs", sender.fabout(3, words, "fp32"), Mem("x", words))
    receiver.memory("y", "fp32", words)
    receiver.emit("fmovs", Mem("y", words), receiver.fabin(3, words, "fp32"))
    layout.set_program(sender)
    layout.set_program(receiver, hops)
    layout.set_route(3, ["RAMP"], ["E"])
    if hops > 1:
        layout.set_route(3, ["W"], ["E"], 1, 0, hops - 1)
    layout.set_route(3, ["W"], ["RAMP"], hops)
    return layout.compile(), layout.timing


@pytest.mark.parametrize(("machine", "profile"), MACHINES)
@pytest.mark.parametrize("hops", [1, 2, 7])
@pytest.mark.parametrize("words", [1, 5, 40])
def test_latency_is_ramp_hops_ramp_and_one_word_a_cycle(machine, profile, hops, words):
    simulation, timing = send_and_receive(machine, profile, hops, words)
    x = np.random.default_rng(0).standard_normal((1, hops + 1, words)).astype(np.float32)
    simulation.memcpy_h2d("x", x)
    simulation.run()
    np.testing.assert_array_equal(simulation.memcpy_d2h("y")[0, hops], x[0, 0])
    first = timing.stream_setup("fmovs") + timing.stage + hops * timing.hop
    assert simulation.clock[0, hops] == first + timing.stream(words) + 1


def test_eight_words_over_one_hop_take_nineteen_cycles_on_wse3():
    """FABRICA, WSE-3 simulator: send to receive complete, from the first element of the send."""
    simulation, timing = send_and_receive("wse3", "vendor-simulator", 1, 8)
    simulation.run()
    assert simulation.clock[0, 1] - 1 - timing.stream_setup("fmovs") == 19


@settings(max_examples=60, deadline=None)
@given(instruction=st.sampled_from(["fadds", "fsubs", "fmuls", "fmaxs", "faddh", "fsubh", "fmulh", "fmaxh", "add16"]),
       n=st.integers(0, 20), stride=st.integers(1, 3), seed=st.integers(0, 999))
def test_vector_instructions_compute_what_numpy_computes(instruction, n, stride, seed):
    type = {"s": "fp32", "h": "fp16", "6": "u16"}[instruction[-1]]
    rng, length = np.random.default_rng(seed), max(1, n * stride)
    if type == "u16":
        a, b = rng.integers(0, 1 << 16, (2, length), dtype=np.uint16)
    else:
        a, b = rng.standard_normal((2, length)).astype({"fp32": np.float32, "fp16": np.float16}[type])
    program = Program("vector")
    for name in "abd":
        program.memory(name, type, length)
    program.emit(instruction, *(Mem(name, n, stride=stride) for name in "dab"))
    layout = Layout("wse3", 1, 1, banks=False)      # strides in banks: test_timing.py
    layout.set_program(program)
    simulation = layout.compile()
    simulation.memcpy_h2d("a", a.reshape(1, 1, -1))
    simulation.memcpy_h2d("b", b.reshape(1, 1, -1))
    simulation.run()
    operation = {"fadd": np.add, "fsub": np.subtract, "fmul": np.multiply, "fmax": np.maximum, "add1": np.add}
    used = slice(0, n * stride, stride)
    np.testing.assert_array_equal(simulation.memcpy_d2h("d")[0, 0][used], operation[instruction[:4]](a[used], b[used]))
    assert simulation.clock[0, 0] == layout.timing.vector(instruction, n)


@settings(max_examples=150, deadline=None)
@given(a=st.integers(0, 65535), b=st.integers(0, 65535), c=st.integers(0, 65535))
def test_fp16_multiply_add_is_rounded_once(a, b, c):
    words = np.array([a, b, c], np.uint16).view(np.float16)
    program = Program("fma")
    for name in "abcd":
        program.memory(name, "fp16", 1)
    program.emit("fmach", *(Mem(name, 1) for name in "dabc"))
    layout = Layout("wse2", 1, 1)
    layout.set_program(program)
    simulation = layout.compile()
    for name, value in zip("abc", words, strict=True):
        simulation.memcpy_h2d(name, np.full((1, 1, 1), value))
    simulation.run()
    result, expected = simulation.memcpy_d2h("d")[0, 0, 0], exact_fma(*words)
    assert (np.isnan(result) and np.isnan(expected)) or result == expected


def exact_fma(a: np.float16, b: np.float16, c: np.float16) -> np.float16:
    """a + b * c in whole numbers of 2**-48, rounded to the nearest fp16, ties to even."""
    with np.errstate(all="ignore"):
        rough = np.float64(b) * np.float64(c) + np.float64(a)
        guess = np.float16(rough)
    if not np.isfinite(rough) or np.isinf(guess):
        return guess
    exact = int(np.float64(a) * 2.0**48) + int(np.float64(b) * 2.0**24) * int(np.float64(c) * 2.0**24)
    candidates = [guess, np.nextafter(guess, np.float16(np.inf)), np.nextafter(guess, np.float16(-np.inf))]
    near = [item for item in candidates if np.isfinite(item)]
    return min(near, key=lambda item: (abs(int(np.float64(item) * 2.0**48) - exact), int(item.view(np.uint16)) & 1))


def test_a_map_moves_its_descriptors_and_costs_its_repeats():
    program = Program("map")
    program.memory("x", "fp32", 3)
    program.memory("w", "fp32", 12)
    program.memory("y", "fp32", 4)
    y = Mem("y", 4)
    program.emit("fmacs", y, y, Mem("x", 4, stride=0, advance=1), Mem("w", 4, advance=4), repeat=3, between=5)
    layout = Layout("wse2", 1, 1)
    layout.set_program(program)
    simulation = layout.compile()
    x, w = np.arange(3, dtype=np.float32), np.arange(12, dtype=np.float32)
    simulation.memcpy_h2d("x", x.reshape(1, 1, 3))
    simulation.memcpy_h2d("w", w.reshape(1, 1, 12))
    simulation.run()
    np.testing.assert_array_equal(simulation.memcpy_d2h("y")[0, 0], x @ w.reshape(3, 4))
    timing = layout.timing
    assert simulation.clock[0, 0] == timing.setup("fmacs") + 3 * (5 + timing.elements("fmacs", 4))


def test_bf16_words_travel_in_pairs():
    layout = Layout("wse3", 2, 1)
    sender, receiver = Program("sender"), Program("receiver")
    for program in (sender, receiver):
        program.memory("x", "bf16", 3)
    sender.emit("fmovh", sender.fabout(0, 3, "bf16"), Mem("x", 3))
    receiver.emit("faddh", Mem("x", 3), Mem("x", 3), receiver.fabin(0, 3, "bf16"))
    layout.set_program(sender)
    layout.set_program(receiver, 1)
    layout.set_route(0, ["RAMP"], ["E"])
    layout.set_route(0, ["W"], ["RAMP"], 1)
    simulation = layout.compile()
    simulation.memcpy_h2d("x", np.full((1, 2, 3), 0x3F80, np.uint16))
    simulation.run()
    np.testing.assert_array_equal(simulation.memcpy_d2h("x")[0, 1], [0x4000] * 3)


def test_reset_runs_the_same_again():
    simulation, _ = send_and_receive("wse3", "silicon", 3, 20)
    simulation.run()
    first = simulation.clock.copy()
    simulation.reset()
    assert simulation.cycle == 0
    simulation.run()
    np.testing.assert_array_equal(simulation.clock, first)


def test_idle_pes_take_no_part():
    layout = Layout("wse3", 700, 900)
    program = Program("work")
    program.spend(10)
    layout.set_program(program, 350, 450, 2, 2)
    simulation = layout.compile()
    assert simulation.run() == 10
    assert simulation.clock.sum() == 40


def test_a_core_that_waits_for_ever_is_reported():
    layout = Layout("wse3", 2, 2)
    program = Program("listener")
    program.memory("x", "fp32", 4)
    program.emit("fmovs", Mem("x", 4), program.fabin(5, 4, "fp32"))
    layout.set_program(program, 1, 1)
    with pytest.raises(DeadlockError, match=r"PE \(1, 1\), program listener, task main, line 7 .* for words of") as caught:
        layout.compile().run()
    assert caught.value.report["waiting"] == [{
        "x": 1, "y": 1, "thread": "main thread", "instruction": 0, "program": "listener", "task": "main", "line": 7,
        "text": "fmovs x[4], fabin 0 fp32[4]", "waits_for": "words", "queue": 0, "color": 5, "since": 15, "words": 0}]


def test_a_core_that_nobody_listens_to_is_reported():
    layout = Layout("wse3", 2, 1)
    sender, receiver = Program("sender"), Program("receiver")
    sender.memory("x", "fp32", 100)
    sender.emit("fmovs", sender.fabout(5, 100, "fp32"), Mem("x", 100))
    receiver.memory("x", "fp32", 4)
    receiver.emit("fmovs", Mem("x", 4), receiver.fabin(5, 4, "fp32"))
    layout.set_program(sender)
    layout.set_program(receiver, 1)
    layout.set_route(5, ["RAMP"], ["E"])
    layout.set_route(5, ["W"], ["RAMP"], 1)
    with pytest.raises(DeadlockError, match="room to send"):
        layout.compile().run()


def test_a_word_on_an_unrouted_color_is_an_error():
    layout = Layout("wse3", 2, 1)
    program = Program("sender")
    program.memory("x", "fp32", 1)
    program.emit("fmovs", program.fabout(5, 1, "fp32"), Mem("x", 1))
    program.emit("fmovs", Mem("x", 1), program.fabin(6, 1, "fp32"))
    layout.set_program(program)
    with pytest.raises(RoutingError, match=r"PE \(0, 0\), color 5"):
        layout.compile().run()


@pytest.mark.parametrize("pause", [0, 5000])
def test_a_word_after_a_long_pause_is_no_deadlock(pause):
    """All cores wait, the fabric has long been empty, and the only word is on its way to the ramp."""
    layout = Layout("wse3", 2, 1)
    sender, receiver = Program("sender"), Program("receiver")
    for program in (sender, receiver):
        program.memory("x", "fp32", 1)
    sender.spend(pause)
    sender.emit("fmovs", sender.fabout(0, 1, "fp32"), Mem("x", 1))
    sender.emit("fmovs", Mem("x", 1), sender.fabin(1, 1, "fp32"))
    receiver.emit("fmovs", Mem("x", 1), receiver.fabin(0, 1, "fp32"))
    receiver.spend(pause)
    receiver.emit("fmovs", receiver.fabout(1, 1, "fp32"), Mem("x", 1))
    layout.set_program(sender)
    layout.set_program(receiver, 1)
    for color, source, target, out, back in ((0, 0, 1, "E", "W"), (1, 1, 0, "W", "E")):
        layout.set_route(color, ["RAMP"], [out], source)
        layout.set_route(color, [back], ["RAMP"], target)
    assert layout.compile().run() > 2 * pause


def test_a_deadline_ends_a_run():
    layout = Layout("wse3", 1, 1)
    program = Program("long")
    program.spend(100_000)
    layout.set_program(program)
    with pytest.raises(DeadlineError, match="deadline passed"):
        layout.compile().run(deadline=500)


def test_programs_that_do_not_fit_or_make_no_sense_are_refused():
    program = Program("large")
    program.memory("x", "fp32", 20_000)
    for mem in (Mem("x", 20_001), Mem("x", 2, offset=-1), Mem("x", 2, stride=20_000)):
        with pytest.raises(InputError, match="reaches elements"):
            program.emit("fmovs", mem, Mem("x", mem.extent))
    with pytest.raises(InputError, match="'z', which has no memory"):
        program.emit("fmovs", Mem("z", 4), Mem("x", 4))
    with pytest.raises(InputError, match="no instruction 'fdivs'"):
        program.emit("fdivs", Mem("x", 4), Mem("x", 4))
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    with pytest.raises(BudgetError, match="program large takes 80000 B"):
        layout.compile()
    with pytest.raises(InputError, match="extents"):
        program.emit("fmovs", Mem("x", 4), Mem("x", 5))
    with pytest.raises(InputError, match="3 operands"):
        program.emit("fmovs", Mem("x", 4), Mem("x", 4), Mem("x", 4))
    with pytest.raises(InputError, match="repeated"):
        program.emit("fmovs", Mem("x", 4), program.fabin(1, 4, "fp32"), repeat=2)
    with pytest.raises(InputError, match="does not lie on 1x1"):
        layout.set_program(program, 1, 0)
    greedy = Program("greedy")
    for color in range(9):
        greedy.fabin(color, 1, "fp32")
    layout = Layout("wse3", 1, 1)
    layout.set_program(greedy)
    with pytest.raises(BudgetError, match="9 input queues"):
        layout.compile()


def test_threads_change_nothing():
    """Strips of 64 rows on threads of their own: a reduce over 150 rows, and words that cross strips both ways."""
    def run(threads: int) -> tuple:
        layout = Layout("wse3", 5, 150, "silicon")
        for parity in (0, 1):
            program = Program(f"parity {parity}")
            x = program.memory("x", "fp32", 8, np.arange(8) + parity)
            with program.task("main", active=True) as code:
                code.fmovs(program.fabout(parity, 8, "fp32"), x, asynchronous=True)
                code.fadds(x, x, program.fabin(1 - parity, 8, "fp32"))
                with code.range(5) as i:
                    code.write(x, i, code.read(x, i) * 2.0)
            for y in range(parity, 150, 2):
                layout.set_program(program, 0, y, 5)
                out, back = ("S", "S") if parity == 0 else ("N", "N")
                layout.set_route(parity, ["RAMP"], [out], 0, y, 5)
                layout.set_route(1 - parity, [back], ["RAMP"], 0, y, 5)
        simulation = layout.compile(threads)
        simulation.run()
        return simulation.memcpy_d2h("x"), simulation.clock, simulation.cycle, simulation.counters()["input"]

    for one, more in zip(run(1), run(3), strict=True):
        np.testing.assert_array_equal(one, more)


def test_a_color_may_be_bound_to_a_queue_of_choice():
    program = Program("queues")
    assert program.fabin(5, 1, "fp32", queue=3).queue == 3 == program.fabin(5, 1, "fp32").queue
    assert [program.fabin(color, 1, "fp32").queue for color in (6, 7, 8, 9)] == [0, 1, 2, 4]
    assert program.fabout(5, 1, "fp32", queue=1).queue == 1
    with pytest.raises(InputError, match="input queue 3 for color 4, but that queue has color 5"):
        program.fabin(4, 1, "fp32", queue=3)
    with pytest.raises(InputError, match="output queue 2 for color 5, but the color has queue 1"):
        program.fabout(5, 1, "fp32", queue=2)


def run_alone(program: Program, machine: str = "wse3"):
    """The simulation of a program on one PE, after it has run."""
    layout = Layout(machine, 1, 1, open_edges=True)
    layout.set_program(program)
    simulation = layout.compile()
    simulation.run()
    return simulation


def test_a_descriptor_may_be_made_shorter_and_longer_while_a_program_runs():
    program = Program("lengths")
    x, y = program.array("x", "fp32", 8, 1.0), program.array("y", "fp32", 8)
    source, target = program.descriptor("source", x.view(4)), program.descriptor("target", y.view(4))
    with program.task("main", active=True) as code:
        code.set_length(source, 2)
        code.fmovs(target, source)              # the source tells the number of elements
        code.set_base(target, y, 3)
        code.set_length(source, code.let("i32", 3) + 1)
        code.fmovs(target, source)
    np.testing.assert_array_equal(run_alone(program).memcpy_d2h("y")[0, 0], [1, 1, 0, 1, 1, 1, 1, 0])


def test_words_of_a_blocked_color_start_no_task_until_it_is_unblocked():
    layout = Layout("wse3", 1, 1, open_edges=True)
    program = Program("blocked")
    seen = program.variable("seen", "u32")
    with program.data_task("listener", 3) as code:
        code.put(seen, code.get(seen) + code.word)
    with program.function("close") as code:
        code.block_color(3)
    with program.function("open") as code:
        code.unblock_color(3)
    layout.set_program(program)
    layout.set_route(3, ["W"], ["RAMP"])
    simulation = layout.compile()
    for function, expected in (("close", 0), ("open", 5 + 7), ("close", 5 + 7)):
        simulation.launch(function)
        simulation.step(50)
        simulation.send(3, np.array([5, 7] if function == "close" else [], np.uint32), 0, 0)
        simulation.step(200)
        assert simulation.memcpy_d2h("seen")[0, 0, 0] == expected


def test_a_program_knows_which_colors_are_torn_down():
    layout = Layout("wse2", 1, 1, open_edges=True)
    program = Program("torn")
    found = program.array("found", "u32", 3)
    program.input_queue(4)
    with program.teardown_task() as code:
        code.write(found, 1, code.colors_torn_down())
        code.leave_teardown(4)
        code.write(found, 2, code.colors_torn_down())
    with program.task("main", active=True) as code:
        code.write(found, 0, code.colors_torn_down())
    layout.set_program(program)
    layout.set_route(4, ["W"], ["RAMP"])
    simulation = layout.compile()
    simulation.step(20)
    command = control_payload([Command.TEARDOWN], ignore_in_core=True)
    simulation.send(4, np.array([command], np.uint32), 0, 0, control=True)
    simulation.step(100)
    assert simulation.memcpy_d2h("found")[0, 0].tolist() == [0, 1 << 4, 0]


def test_the_memory_of_a_pe_holds_its_symbols_in_order():
    program = Program("memory")
    program.array("a", "u16", 3, np.arange(3))
    program.array("b", "fp32", 2, 1.5)
    program.spend(1)
    simulation = run_alone(program)
    at = program.addresses()
    assert simulation.memory_of(0, 0)[:6] == np.arange(3, dtype=np.uint16).tobytes()
    assert simulation.memory_of(0, 0)[at["b"]:] == np.full(2, 1.5, np.float32).tobytes()
    empty = Layout("wse3", 2, 1)
    empty.set_program(program)
    with pytest.raises(InputError, match=r"PE \(1, 0\) has no program"):
        empty.compile().memory_of(1, 0)


def test_an_array_is_seen_as_another_type_without_a_copy():
    """The exponent of halves moved by integers, and the high halves of words of 32 bits: the same memory, the same bits."""
    program = Program("bits")
    x, y = program.array("x", "fp16", 4, [1, -3, 0.5, 7]), program.array("y", "fp32", 2, [1, 3])
    with program.task("main", active=True) as t:
        bits, high = x.as_type("u16"), y.as_type("u16").view(2, 1, 2)
        t.add16(bits, bits, program.array("two", "u16", 1, 2 << 10).view(4, stride=0))
        t.add16(high, high, program.array("one", "u16", 1, 1 << 7).view(2, stride=0))
    assert Program.parse(program.text()) == program and "x[4, type=u16]" in program.text()
    assert (bits.elements, y.as_type("u16").elements, bits.as_type("u32").elements, bits.as_type("fp16").view().type) \
        == (4, 4, 2, None)
    layout = Layout("wse3", 1, 1)
    layout.set_program(program, 0, 0)
    simulation = layout.compile()
    simulation.run()
    assert simulation.memcpy_d2h("x").reshape(-1).tolist() == [4, -12, 2, 28]
    assert simulation.memcpy_d2h("y").reshape(-1).tolist() == [2, 6]


def test_type_checkers_and_editors_know_every_instruction():
    assert list(InstructionNames.__annotations__) == list(INSTRUCTIONS)
    fields = {name: field.default for name, field in Vector.__dataclass_fields__.items() if name not in ("name", *"abc", "dst")}
    known = inspect.signature(VectorInstruction.__call__).parameters
    stated = {name: parameter.default for name, parameter in known.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert stated == {**fields, "asynchronous": False}
    with Program("p").function("f") as code:
        assert set(INSTRUCTIONS) <= set(dir(code))
