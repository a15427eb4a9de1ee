"""Programs as text: whatever a program holds prints and parses back; damaged text is refused and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.fabric.routes import POP_MODES, Route
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.ops import (
    AllGather,
    AllReduce,
    AllReduce2D,
    Broadcast,
    Broadcast2D,
    Cannon,
    Gather,
    Gemv,
    KTreeAllReduce,
    MeshGemm,
    MeshGemmTransposed,
    Reduce,
    Reduce2D,
    ReduceTree,
    RingAllReduce,
    RingShift,
    Scatter,
    Shift,
    Summa,
    Transpose,
    TreeAllReduce,
    TwoPhaseReduce,
)
from wsekern.ops.engines.programs import compile_operations
from wsekern.program import INSTRUCTIONS, Fabric, Fifo, Layout, Mem, Mem4d, Program, Ring
from wsekern.program.encode import encode
from wsekern.program.instructions import FORMS, OPERATIONS, SOURCES, Label, Scalar, TaskEntry, Vector
from wsekern.program.operands import INTEGERS, NUMPY_TYPES, TYPE_BYTES, Named, Register

ELEMENTS = 60


def assert_comes_back(program: Program, machine: str = "wse3") -> None:
    again = Program.parse(program.text())
    assert again == program
    assert again.text() == program.text()
    timing = Timing(load_machine(machine), "silicon", "fp32")
    assert encode(again, timing) == encode(program, timing)


# ---- programs of any kind

names = st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(
    ["x", "task", "r7", "task x", "none", "inf", "a b", 'quo"te', "ring", "L1", "; no", "été"]))
registers = st.integers(0, 255)
wholes = st.integers(0, 0x7FFF)


def types_for(arithmetic: str, operation: str) -> list[list[str]]:
    """Types that operands of one instruction may have together."""
    if operation == "mov":
        return [[type for type in TYPE_BYTES if TYPE_BYTES[type] == width] for width in (2, 4)]
    if arithmetic == "fp16":
        return [["fp16"], ["bf16"]]
    return [[type for type in TYPE_BYTES if TYPE_BYTES[type] == TYPE_BYTES[arithmetic]
             and (type in INTEGERS) == (arithmetic in INTEGERS)]]


@st.composite
def operands(draw, program: Program, types: list[str], extent: int, queues: dict[int, int], memory_only: bool):
    """An operand of one of ``types``, with ``extent`` elements where it has a number of its own."""
    type = draw(st.sampled_from(types))
    kind = draw(st.sampled_from(["mem", "mem", "scalar", "mem4d", "ring", "register", "named"]
                                + ([] if memory_only else ["fabric", "fabric", "fifo"])))
    symbol = next(name for name, (found, _) in program.symbols.items() if found == type)
    if kind == "fabric" and queues:
        index = draw(st.one_of(st.none(), st.integers(0, 999))) if NUMPY_TYPES[type]().itemsize == 2 else None
        return Fabric(draw(st.sampled_from(sorted(queues))), extent, type, draw(st.sampled_from([None, 1])),
                      draw(st.booleans()), draw(st.booleans()), index, index is not None and draw(st.booleans()),
                      draw(st.one_of(st.none(), st.integers(0, 23))) if queues is program.outputs else None)
    fitting = [fifo for fifo in program.fifos.values() if program.symbols[fifo.symbol][0] in types]
    if kind == "fifo" and fitting:
        return draw(st.sampled_from(fitting)).of(draw(st.sampled_from([extent, 0x7FFF])))
    descriptors = [name for name in program.descriptors if program.type_of(Named(name)) in types
                   and not (memory_only and isinstance(program.descriptors[name], (Fabric, Fifo)))]
    if kind == "named" and descriptors:
        return Named(draw(st.sampled_from(descriptors)))
    if kind == "register":
        return Register(draw(registers), type)
    viewed = draw(st.sampled_from([None, None, type]))
    if viewed and kind != "ring":           # the memory of any symbol that has as many elements
        symbol = draw(st.sampled_from(sorted(name for name, (found, _) in program.symbols.items()
                                             if TYPE_BYTES[found] >= TYPE_BYTES[type])))
    if kind == "mem4d":
        return Mem4d(symbol, (1, extent), (draw(st.integers(-3, 3)), 1), draw(st.integers(0, 9)), viewed)
    if kind == "ring":
        return Ring(symbol, extent, draw(st.integers(1, 3)), draw(st.booleans()))
    if kind == "scalar":
        return Mem(symbol, draw(st.integers(0, 3)), draw(st.integers(0, 9)), 0, type=viewed)
    return Mem(symbol, extent, draw(st.integers(20, 29)), draw(st.sampled_from([-2, 1, 3])), draw(st.integers(-1, 1)),
               draw(st.booleans()), viewed)


def reads_the_same(one, other) -> bool:
    return (isinstance(one, Fabric) and isinstance(other, Fabric) and one.queue == other.queue) or (
        isinstance(one, Fifo) and isinstance(other, Fifo) and one.name == other.name)


@st.composite
def vectors(draw, program: Program, tasks: list[str]):
    name = draw(st.sampled_from(sorted(INSTRUCTIONS)))
    operation, arithmetic = INSTRUCTIONS[name]
    extent, repeat = draw(st.integers(0, 9)), draw(st.sampled_from([1, 1, 0, 3]))
    types = draw(st.sampled_from(types_for(arithmetic, operation)))
    each = [types] * (1 + SOURCES.get(operation, 2))
    if operation in ("from_integer", "to_integer"):
        each = [["fp32"] if name in ("xp162fs", "fs2xp16") else ["fp16", "bf16"], ["i16", "u16"]]
        each = each if operation == "from_integer" else each[::-1]
    found = [draw(operands(program, fitting, extent, program.inputs if k else program.outputs, repeat != 1))
             for k, fitting in enumerate(each)]
    for k in range(2, len(found)):          # no instruction reads a queue or FIFO twice
        if any(reads_the_same(program.stated(found[k]), program.stated(other)) for other in found[1:k]):
            found[k] = Register(k, program.type_of(found[k]))
    streams = any(isinstance(program.stated(operand), (Fabric, Fifo)) for operand in found)
    maybe = st.one_of(st.none(), st.sampled_from(tasks))
    held = st.one_of(maybe, st.sampled_from(sorted(program.inputs))) if program.inputs else maybe
    return Vector(name, *(found + [None] * 3)[:4], repeat, draw(st.integers(-1, 5)),
                  draw(st.sampled_from([None, -1, 3])) if streams and not name.startswith("lib_") else None,
                  draw(st.sampled_from(["high", "medium", "low"])),
                  draw(maybe), draw(held), draw(st.booleans()), draw(maybe), draw(held),
                  draw(st.one_of(st.none(), registers)), None if streams else draw(st.one_of(st.none(), registers)))


@st.composite
def scalars(draw, program: Program, tasks: list[str], labels: list[str]):
    form = draw(st.sampled_from([form for form in FORMS if form != "vector"] + ["scalar"] * 4))
    type, r = draw(st.sampled_from(sorted(TYPE_BYTES))), draw(st.lists(registers, min_size=4, max_size=4))
    maybe = draw(st.one_of(st.none(), registers))
    values = {"form": form, "type": type, "cycles": draw(st.one_of(st.none(), st.integers(0, 9)))}
    own = draw(st.sampled_from(sorted(program.descriptors)))
    symbol = draw(st.sampled_from(sorted(program.symbols)))
    bits = draw(st.integers(0, (1 << 8 * NUMPY_TYPES[type]().itemsize) - 1))
    if form == "scalar":
        op = draw(st.sampled_from(OPERATIONS))
        values |= {"op": op} | dict(zip(("dst", "a", "b", "c"), r[:1 + SOURCES.get(op, 2)], strict=False))
    values |= {
        "constant": {"dst": r[0], "imm": draw(st.sampled_from([bits, -5]))}, "parameter": {"dst": r[0], "imm": 0},
        "spend": {"imm": draw(wholes), "a": draw(st.sampled_from([None, 0]))},
        "convert": {"dst": r[0], "a": r[1], "source": draw(st.sampled_from(sorted(TYPE_BYTES)))},
        "load": {"dst": r[0], "target": symbol, "a": maybe}, "store": {"target": symbol, "a": maybe, "b": r[1]},
        "jump": {"target": draw(st.sampled_from(labels))}, "call": {"target": draw(st.sampled_from(labels))},
        "branch": {"a": r[1], "target": draw(st.sampled_from(labels))}, "time": {"dst": r[0], "imm": draw(st.integers(0, 2))},
        "set_base": {"target": own, "source": draw(st.sampled_from([None, symbol])), "a": maybe},
        "load_descriptor": {"target": own, "source": draw(st.sampled_from(sorted(program.descriptors)))},
        "route": {"imm": draw(st.integers(0, 23)), "target": draw(st.sampled_from(sorted(program.routes)))},
        "position": {"imm": 4, "a": r[1]}, "leave_teardown": {"imm": 7}, "torn_down": {"dst": r[0]},
        "bind_input": {"imm": 3, "a": r[1]}, "bind_output": {"imm": 5, "a": r[1]}, "flush": {"imm": 2},
        "leave_flush": {"imm": 7}, "flushed": {"dst": r[0]},
    }.get(form, {})
    if form in ("activate", "block", "unblock"):
        values["target"] = draw(st.sampled_from(tasks))
    if form in ("take", "give"):
        queues = program.inputs if form == "take" else program.outputs
        values |= {"target": draw(operands(program, list(TYPE_BYTES), 5, queues, False)), "a": maybe}
        values["dst" if form == "take" else "c"] = r[0]
    if form in ("block_queue", "unblock_queue"):
        values["imm"] = draw(st.integers(0, 7))
    if form in ("move_base", "set_extent", "set_stride"):
        values |= {"target": own, "a": maybe}
    return Scalar(**values)


@st.composite
def programs(draw) -> Program:
    program = Program(draw(names))
    for type, name in zip(TYPE_BYTES, draw(st.lists(names, min_size=7, max_size=7, unique=True)), strict=True):
        raw = draw(st.one_of(st.none(), st.binary(min_size=8, max_size=8), st.just(bytes(8))))
        program.memory(name, type, ELEMENTS)
        if raw is not None:
            program.initial[name] = np.resize(np.frombuffer(raw, NUMPY_TYPES[type]), ELEMENTS).copy()
    for bindings in (program.inputs, program.outputs):
        bindings |= draw(st.dictionaries(st.integers(2, 5), st.integers(0, 23), min_size=1, max_size=3))
    program.blocked_queues = draw(st.sets(st.integers(0, 7), max_size=2))
    program.parameters = {name: place for place, name in enumerate(draw(st.lists(names, unique=True, max_size=2)))}
    program.kept_registers = draw(st.one_of(st.just({0}), st.sets(registers, min_size=1, max_size=3)))
    program.labels = draw(wholes)
    locals_ = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    for name in draw(st.lists(names, min_size=1, max_size=2, unique=True)):
        told = st.one_of(st.none(), st.sampled_from(locals_))
        program.fifos[name] = Fifo(name, draw(st.sampled_from(sorted(program.symbols))), draw(told), draw(told))
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        program.descriptors[name] = draw(operands(program, list(TYPE_BYTES), 4, program.inputs, False).filter(
            lambda operand: not isinstance(operand, Named)))
    masks = st.integers(1, 31)
    for name in draw(st.lists(names, min_size=1, max_size=2, unique=True)):
        rx = draw(st.lists(masks, min_size=1, max_size=4))
        program.routes[name] = Route(tuple(rx), tuple(draw(masks) for _ in rx), draw(st.integers(0, len(rx) - 1)),
                                     draw(st.booleans()), draw(st.integers(0, len(POP_MODES) - 1)), *draw(
                                         st.tuples(st.booleans(), st.booleans(), st.booleans())))
    labels = [f"task {name}" for name in locals_]
    for name in locals_:
        program.tasks[name] = TaskEntry(name, "local", f"task {name}", None, draw(st.booleans()), draw(st.booleans()),
                                        draw(st.sampled_from(["low", "high"])))
    for kind, name, number in (("data", "d", next(iter(program.inputs.values()))), ("control", "c", draw(st.integers(0, 63))),
                               ("subroutine", "s", None)):
        if name not in program.tasks:
            program.tasks[name] = TaskEntry(name, kind, labels[0], number, priority=draw(st.sampled_from(["low", "high"])))
    for label in labels:
        program.code.append(Label(label))
        pieces = st.one_of(vectors(program, locals_), scalars(program, locals_, labels))
        program.code += draw(st.lists(pieces, max_size=5))
    program.code.append(Scalar("end"))
    return program


@settings(max_examples=150, deadline=None)
@given(programs())
def test_any_program_comes_back(program):
    again = Program.parse(program.text())
    assert again == program and again.text() == program.text()
    timing, found = Timing(load_machine("wse3"), "silicon", "fp32"), []
    for item in (program, again):
        try:
            found.append(encode(item, timing))
        except InputError as error:     # more than the machine can do, which is the same for both
            found.append(str(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("operation", [
    Gemv(3, 5), AllReduce(6, "x", 2), AllReduce(4, "y", 3, "max"), Reduce(5, "x"), TwoPhaseReduce(4, "x", 2),
    Broadcast(3, "y"), Shift(3, "x", 1), ReduceTree(4, "x", "tree"), TreeAllReduce(4, "x"), KTreeAllReduce(4, "x", (2, 2)),
    RingAllReduce(8, "x"), RingShift(4, "x"), Gather(3, "x"), AllGather(3, "x"), Scatter(12, "x", 4), Reduce2D(4),
    Broadcast2D(3), AllReduce2D(3), Transpose(3), MeshGemm(2, 2, 2, overlapped=False), MeshGemmTransposed(2, 2, 2, False),
    Cannon(2, 2, 2, overlapped=False), Summa(2, 2, 2, False), RingShift(3, "x", 2, True)],
    ids=lambda operation: type(operation).__name__)
@pytest.mark.parametrize("machine", ["wse2", "wse3"])
def test_programs_of_operations_come_back(operation, machine):
    compiled = compile_operations([operation], machine, 4, 4, "silicon", "fp32", delayed=True)
    assert compiled.simulation.layout.programs
    for program in compiled.simulation.layout.programs:
        assert_comes_back(program, machine)


# ---- damaged text

def example() -> Program:
    """A program with most kinds of lines."""
    program = Program("exam ple")
    x = program.memory("x", "fp32", 8, np.arange(8) / 3)
    program.fifo("queue", "fp16", 4, on_push="work")
    program.descriptor("column", x.view(4))
    program.route("turn", "W", "E RAMP")
    step = program.parameter("step")
    with program.task("work", blocked=True) as code:
        with code.range(3) as i:
            code.set_base(program.descriptor("row", x.view(2)), x, i)
            code.fadds(Named("column"), x.view(4), program.fabin(3, 4, "fp32"), asynchronous=True, activate="work")
        code.write(x, 2, code.read(x, 1) * 1.5)
        code.set_route(5, "turn")
    with program.data_task("react", 4) as code:
        code.fmovh(program.fabout(6, 4, "fp16"), program.fifos["queue"].of(4))
        code.unblock("work")
    assert step == 0
    return program


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_text_is_refused_or_read(data):
    text = example().text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(0, 12))
        new = data.draw(st.one_of(st.text(max_size=4), st.sampled_from(
            ["task ", "99999999999999", "r300", "[", '"', "\n", "0x", "nan", "@", "-", " active", "\\u", "1e999"])))
        text = text[:at] + new + text[at + size:]
    try:
        program = Program.parse(text)
    except InputError as error:
        assert "program text" in str(error)
    else:
        assert Program.parse(program.text()) == program


@pytest.mark.parametrize(("line", "message"), [
    (".symbol x fp32 8", "column 9: expected a symbol that is not there yet, found 'x'"),
    (".symbol y fp33 8", "column 11: expected an element type: fp32, fp16, bf16, u32, u16, i32, i16, found 'fp33'"),
    (".symbol y fp32", "column 15: expected elements, a whole number from 0 to 2147483647, found the end of the line"),
    (".input 9 color 3", "column 8: expected a queue, a whole number from 0 to 7, found '9'"),
    (".values x 1 2", "column 9: expected 8 values of 'x', found 2"),
    (".route turn (WEST -> UP)", "column 22: expected a port: NORTH, EAST, SOUTH, WEST, RAMP, found 'UP'"),
    (".task work locale", "column 12: expected a kind of task: local, data, control, subroutine, found 'locale'"),
    (".task work local", "column 12: expected code under the label 'task work', which the program lacks; there are none"),
    ("fadd x[8], x[8], x[8]", "column 1: expected a directive, a label and ':', or an instruction: mov32, add32"),
    ("fadds x[8], x[8] x[8]", "column 18: expected the end of the line or one of: repeat, between, microthread"),
    ("fadds x[8], x[8], x[9]", "column 1: program p: fadds: operands of fadds have extents [8, 9]"),
    ("fmovs x[8], x[8, offset=1]", "column 1: program p: fmovs reaches elements 1 to 8 of symbol x, which has 8"),
    ("fmovs x[8], fabout 0 fp32[8]", "column 13: expected an operand: a symbol, ring, fifo, fabin, a register"),
    ("constant.fp32 r256, 1", "column 15: expected a register, r0 to r255, found 'r256'"),
    ("constant.fp32 r1, 1e60", "column 19: expected a number of type fp32, or its bits in hexadecimal, found '1e60'"),
    ("add.i32 r1, r2", "column 15: expected ',', found the end of the line"),
    ("jump nowhere", "column 6: expected code under the label 'nowhere', which the program lacks"),
    ("activate work", "column 10: expected a local task 'work', which the program lacks; there are none"),
    ("load.fp32 r1, y", "column 15: expected a symbol 'y', which the program lacks; there are x"),
    ("spend 5 ! 3", "column 9: expected a name, a number, a quoted name or punctuation, found '!'"),
])
def test_a_wrong_line_is_named_with_what_would_be_accepted(line, message):
    with pytest.raises(InputError) as caught:
        Program.parse(f".program p\n.symbol x fp32 8\n{line}\nend\n", "left.txt")
    assert message in str(caught.value) and str(caught.value).startswith("left.txt, line 3, column ")


def test_text_without_a_program_or_an_end_is_refused():
    for text, message in (("", "expected a line '.program NAME', found none"), ("end\n", "before all other lines"),
                          (".program p\nspend 3\n", "expected end, return or jump as the last instruction")):
        with pytest.raises(InputError, match=message):
            Program.parse(text)


def test_a_program_written_as_text_runs():
    program = Program.parse("""
        .program double
        .symbol x fp32 4
        .values x 1 2.5 -3 0x3f800000       ; the last one is 1.0
        .task main local active
        task main:
            constant.fp32 r1, 2
            fmuls x[4], x[4], r1.fp32
            end
    """)
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    simulation = layout.compile()
    simulation.run()
    np.testing.assert_array_equal(simulation.memcpy_d2h("x")[0, 0], [2, 5, -6, 2])


def test_equal_programs_on_one_layout_keep_their_initial_values_apart():
    layout, programs_ = Layout("wse3", 2, 1), []
    for x in range(2):
        program = Program("same")
        program.memory("x", "fp32", 3, [1, 2, 3])
        layout.set_program(program, x)
        programs_.append(program)
    assert programs_[0] == programs_[1]
    np.testing.assert_array_equal(layout.compile().memcpy_d2h("x"), [[[1, 2, 3], [1, 2, 3]]])


@pytest.mark.parametrize(("lines", "message"), [
    (["fmovs x[8], fabin 1 fp32[8]", "end"], "uses input queue 1, which has no color; bound are 0"),
    (["fmovs fabout 0 fp32[8], x[8]", "end"], "uses output queue 0, which has no color; bound are 1"),
    (["take.fp32 r1, fabin 1 fp32[1]", "end"], "take uses input queue 1, which has no color"),
    (["take.fp32 r1, r2.fp32", "end"], "take needs a descriptor of memory or fabric"),
    (["take.fp32 r1, fifo f", "end"], "take needs a descriptor of memory or fabric"),
    (["fmovs x[0], ring none_left[0]", "end"], "a ring or FIFO in symbol none_left, which is empty"),
])
def test_code_that_a_core_cannot_run_is_refused_before_it_runs(lines, message):
    program = Program.parse("\n".join([
        ".program p", ".symbol x fp32 8", ".symbol none_left fp32 0", ".symbol f fp32 4", ".input 0 color 3",
        ".output 1 color 4", ".fifo f = fifo f", ".task begin local active", "task begin:", *lines]))
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    with pytest.raises(InputError, match=message):
        layout.compile()


def test_code_without_an_end_is_refused():
    program = Program("endless")
    program.tasks["begin"] = TaskEntry("begin", "local", "task begin", active=True)
    program.code += [Label("task begin"), Scalar("spend", imm=3)]
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    with pytest.raises(InputError, match="its code does not end with end, return or jump"):
        layout.compile()


def test_a_parameter_that_nobody_named_is_zero():
    program = Program("late")
    program.spend_parameter(1)
    program.spend(7)
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    assert layout.compile().run() == 7


def test_a_loop_that_says_it_costs_nothing_passes_time():
    program = Program.parse(".program p\n.task begin local active\ntask begin:\nL:\njump L cycles=0\n")
    layout = Layout("wse3", 1, 1)
    layout.set_program(program)
    simulation = layout.compile()
    assert simulation.step(50) == 50 and simulation.counters()["instructions"][0, 0] == 50


def test_colors_that_do_not_exist_are_refused():
    for color in (-1, 24):
        with pytest.raises(InputError, match=f"color {color} does not exist: use 0 to 23"):
            Program("p").fabin(color, 4, "f32")
