"""From frames and symbols to a :class:`wsekern.program.Program`: memory, registers, descriptors, queues, tasks."""

from typing import Any

from wsekern.csl import types as t
from wsekern.csl.dsds import Dsr
from wsekern.csl.dsrs import MEMORY, DsrLinker, DsrUse, element_type
from wsekern.csl.emit import machine_type
from wsekern.csl.image import Variable
from wsekern.csl.ir import Frame, Op
from wsekern.csl.library import HOST_COLOR
from wsekern.csl.memory import has_pointers, layout_of, words_of
from wsekern.csl.operands import CORE_NAMES, Operand, steps_of
from wsekern.csl.operations import is_scalar
from wsekern.csl.optimize import optimize
from wsekern.csl.queues import QueueLinker
from wsekern.csl.reaching import Load
from wsekern.csl.registers import bases_of, tail_calls
from wsekern.csl.source import CslError, Diagnostic
from wsekern.csl.tasks import FifoBuffer, task_label
from wsekern.csl.unit import Unit
from wsekern.csl.values import Address, Dsd, Reg, Symbol, Value, Varying
from wsekern.csl.variables import locals_of
from wsekern.errors import InputError
from wsekern.machine.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.program.instructions import Label, Scalar, TaskEntry, Vector
from wsekern.program.operands import TYPE_BYTES, Fabric, Fifo, Mem, Mem4d, Named
from wsekern.program.operands import Register as RegisterOperand
from wsekern.program.program import Program


class Linker(QueueLinker, DsrLinker):
    """Makes the program of a unit whose functions are all compiled."""

    def __init__(self, unit: Unit, name: str) -> None:
        QueueLinker.__init__(self, unit, Program(name))
        self.timing = Timing(load_machine(unit.options.arch), unit.options.profile, "fp32")
        self.kept = 0
        self.descriptors = 0
        self.bases: dict[Frame, int] = {}
        self.variables: list[Variable] = []  # of functions
        self.dsrs: dict[Dsr, DsrUse] = {}
        self.several: dict[Dsr, tuple[int, dict[Any, int]]] = {}
        self.chosen: dict[Dsr, Load] = {}

    # ---- memory

    def place_symbols(self) -> None:
        """Reserve memory for every symbol that code or the host needs."""
        self.program.memory(MEMORY, "u32", 0)
        at = 0
        for symbol in self.unit.symbols:
            if not symbol.used:
                continue
            kind, count = layout_of(symbol.type)
            if symbol.align > 4 and at % symbol.align:
                padding = symbol.align - at % symbol.align
                self.program.memory(self.unit.unique("padding"), "u32", padding // 4)
                at += padding
            self.program.memory(symbol.name, kind, count)
            values = words_of(symbol, kind, count)
            if values is not None and values.any():
                self.program.initial[symbol.name] = values
            at += -(-count * TYPE_BYTES[kind] // 4) * 4
        self.addresses = self.program.addresses()
        for symbol in self.unit.symbols:  # pointers in memory, now that all have addresses
            if symbol.used and symbol.initial is not None and has_pointers(symbol.type):
                kind, count = layout_of(symbol.type)
                values = words_of(symbol, kind, count, self.addresses, self.unit.function_number)
                if values is not None:
                    self.program.initial[symbol.name] = values

    # ---- code

    def code_of(self, frame: Frame, label: str) -> None:
        """Append the code of a frame."""
        self.frame, self.span = frame, frame.span
        self._label(label)
        places: dict[int, int] = {}
        for op in frame.ops:
            self.span, self.op = op.span or self.span, op
            if op.form == "label":
                self._label(op.fields["name"])
            elif op.form == "mark":
                places[id(op)] = len(self.program.code)
            elif op.form == "vector":
                self._vector(op)
            else:
                self._scalar(op)
        self.variables += locals_of(frame, places, self.register)

    def _label(self, name: str) -> None:
        self.append(Label(name))

    def fail(self, message: str) -> None:
        """An error at the instruction that is being linked."""
        raise CslError([Diagnostic(message, self.span)])

    def register(self, reg: Reg | int | None) -> int | None:
        """The core's number of a register."""
        if reg is None or isinstance(reg, int):
            return reg
        return 0 if reg.frame is None else self.bases[reg.frame] + reg.number

    def keep(self) -> int:
        """A register that belongs to one asynchronous instruction for good."""
        self.kept += 1
        return self.first_kept + self.kept - 1

    def _scalar(self, op: Op) -> None:
        fields = dict(op.fields)
        for name in ("dst", "a", "b", "c"):
            if name in fields and not op.form.startswith("dsr_"):
                fields[name] = self.register(fields[name])
        handler = getattr(self, f"_on_{op.form}", None)
        if handler is not None:
            handler(fields)
            return
        if "target" in fields and isinstance(fields["target"], (Symbol, type(None))) and op.form in ("load", "store"):
            fields["target"] = MEMORY if fields["target"] is None else fields["target"].name
        self.append(Scalar(op.form, **fields))

    def _on_constant(self, fields: dict[str, Any]) -> None:
        data = fields["imm"]
        if isinstance(data, Address):
            fields["imm"] = self.addresses[data.symbol.name] + data.offset
        self.append(Scalar("constant", **fields))

    def _on_parameter(self, fields: dict[str, Any]) -> None:
        fields["imm"] = self.program.parameter(f"p{fields['imm']}")
        self.append(Scalar("parameter", **fields))

    def _on_tell(self, fields: dict[str, Any]) -> None:
        queue = self.output_queue(HOST_COLOR, 0)
        self.append(Scalar("give", type="u32", c=fields["c"], target=Fabric(queue, 1, "u32")))

    def _on_take_word(self, fields: dict[str, Any]) -> None:
        data, kind = fields["source"].data, machine_type(fields["kind"])
        self.append(Scalar("take", type=kind, dst=fields["dst"], target=self.fabric(data, kind, False, 1)))

    def _on_give_word(self, fields: dict[str, Any]) -> None:
        data, kind = fields["target"].data, machine_type(fields["kind"])
        self.append(Scalar("give", type=kind, c=fields["c"], target=self.fabric(data, kind, True, 1)))

    def _on_call(self, fields: dict[str, Any]) -> None:
        self.append(Scalar("call", target=f"fn {fields['target'].name}"))

    def _on_tail(self, fields: dict[str, Any]) -> None:
        self.append(Scalar("jump", target=f"fn {fields['target'].name}"))

    def _on_activate(self, fields: dict[str, Any]) -> None:
        name = self.task_name(fields["target"])
        if name is not None:
            self.append(Scalar("activate", target=name))

    def _on_block(self, fields: dict[str, Any], form: str = "block") -> None:
        value = fields["target"]
        if value.type == t.LOCAL_TASK:
            name = self.task_name(value)
            if name is not None:
                self.append(Scalar(form, target=name))
            return
        queue = self.channel(value)
        if queue is not None:
            self.append(Scalar(f"{form}_queue", imm=queue))

    def _on_unblock(self, fields: dict[str, Any]) -> None:
        self._on_block(fields, "unblock")

    def _on_route(self, fields: dict[str, Any]) -> None:
        name = f"route{len(self.program.routes)}"
        self.program.routes[name] = fields["target"]
        self.append(Scalar("route", imm=fields["imm"], target=name))

    # ---- tasks and queues

    def task_name(self, value: Value) -> str | None:
        """The local task with an id; None where no task is bound to it, and so nothing would start."""
        number = self.number(value)
        task = next((each for each in self.unit.effects.tasks if each.kind == "local" and each.number == number), None)
        if task is None:
            self.unit.diagnostics.warn(f"no task is bound to the local task id {number}: nothing starts here", self.span)
            return None
        return task_label(task)

    # ---- vector instructions

    def _vector(self, op: Op) -> None:
        """A vector instruction; where its DSRs may hold several kinds of descriptors, one for each combination."""
        combinations, labels = self.combinations(op.fields["operands"]), len(self.program.code)
        for k, combination in enumerate(combinations):
            if k + 1 < len(combinations):
                self.unless_held(combination, f"held {labels}.{k}")
            self.chosen = combination
            self._issue(op)
            self.chosen = {}
            if k + 1 < len(combinations):
                self.append(Scalar("jump", target=f"held {labels}"))
                self._label(f"held {labels}.{k}")
        if len(combinations) > 1:
            self._label(f"held {labels}")

    def _issue(self, op: Op) -> None:
        fields = op.fields
        operands: list[Operand] = fields["operands"]
        options = self._dsr_options(operands, fields["options"])
        extent = self._common_extent(operands)
        extent = self._leaving(operands) if extent is None else extent
        streams = [each.value.data for each in operands if isinstance(each.value.data, Dsd)]
        self._widest = 1 if any("unpacked" in each.options for each in streams) else 2
        self._counted = next((each.value.data for each in operands[1:] + operands[:1] if isinstance(each.value.data, Dsd)
                              and each.value.data.fifo is None and not is_scalar(each.value.data)), None)
        built = [self._operand(each, fields["name"], k, extent, options) for k, each in enumerate(operands)]
        built = self._explicit(fields["name"], operands, built)
        more: dict[str, Any] = {}
        if options.get("async"):
            more["microthread"] = options.get("ut_id", -1)
            more["priority"] = options.get("priority", "low")
        self._actions(options, more)
        if "times" in fields:
            times = fields["times"]
            more |= {"between": -1, **({"repeat": times} if isinstance(times, int) else {"times": self.register(times)})}
        done = fields.get("done")
        if done is not None and not options.get("async"):
            more["done"] = self.register(done)
        item = Vector(CORE_NAMES.get(fields["name"], fields["name"]), *(built + [None] * (4 - len(built)))[:4], **more)
        try:
            self.program.check_vector(item)
        except InputError as error:
            self.fail(str(error))
        self.append(item)

    def _explicit(self, name: str, operands: list[Operand], built: list[Any]) -> list[Any]:
        """Operands of an instruction some of which are DSRs that the program has loaded: the others are loaded too, where that
        takes fewer cycles than the core's own set-up."""
        rest = [k for k, each in enumerate(built) if isinstance(each, Mem)]
        if not rest or not any(isinstance(each.value.data, Dsr) for each in operands):
            return built
        if not all(isinstance(each, (Named, Mem, RegisterOperand)) and not isinstance(self.program.stated(each), Fabric)
                   for each in built):
            return built
        full = self.timing.setup(CORE_NAMES.get(name, name))
        if self.timing.latency("setup_loaded", full) + len(rest) * self.timing.latency("descriptor", 1) >= full:
            return built
        found = list(built)
        for k in rest:
            found[k] = self._named(built[k])
            offset = built[k].offset * TYPE_BYTES[self.program.type_of(built[k])]
            self.append(Scalar("set_base", imm=offset, target=found[k].name, source=built[k].symbol))
        return found

    def _actions(self, options: dict[str, Any], more: dict[str, Any]) -> None:
        for name in ("activate", "unblock"):
            if name in options:
                more[name] = self._completion(options[name], name)
        control = options.get("on_control", {})
        if control.get("terminate"):
            more["terminate"] = True
        for name in ("activate", "unblock"):
            if name in control:
                more[f"control_{name}"] = self._completion(control[name], name)
        for name in [name for name, value in more.items() if value is None and name != "microthread"]:
            del more[name]

    def _completion(self, value: Value, what: str) -> str | int | None:
        """The local task that the end of an operation activates or unblocks, or the input queue that it unblocks."""
        if value.type == t.LOCAL_TASK:
            return self.task_name(value)
        if what == "activate":
            self.fail(f"only local tasks are activated, not a {value.type}")
        return self.channel(value)

    def _common_extent(self, operands: list[Operand]) -> Value | None:
        """Elements of an operation: the fewest of its descriptors of memory and of those that words come in by, else of those
        that they leave by: public programs rely on a sender of extent 1 taking all that memory gives it, and on a receiver
        that ends an operation whose memory has more. Where one of memory (or, without it, of the others) is known only at run
        time, that of the first counts. None where a DSR says it, or nothing does."""
        found: dict[str, list[Value]] = {"memory": [], "fabin_dsd": [], "fabout_dsd": []}
        for each in operands:
            data = each.value.data
            if isinstance(data, Dsr):
                return None  # see _leaving
            if isinstance(data, Dsd) and data.extent is not None and not is_scalar(data):
                found[data.kind if data.base is None else "memory"].append(data.extent)
        extents = next((each for each in found.values() if each), [])
        if any(isinstance(each.data, (Reg, Varying)) for each in extents):
            return extents[0]
        known = [int(each.data) for each in extents + found["fabin_dsd"] if isinstance(each.data, int)]
        return Value(t.I32, min(known)) if known else None

    def _leaving(self, operands: list[Operand]) -> Value | None:
        """Elements of a sender whose source is a DSR: as many as the memory has that it holds, where that is known here."""
        if operands[0].value.type != t.FABOUT or any(
                isinstance(each.value.data, Dsd) and each.value.data.fifo is not None for each in operands):
            return None
        sources = [each.value.data for each in operands[1:] if isinstance(each.value.data, Dsr)]
        if not sources:
            return None
        held = [value for value, _ in ([self.chosen[sources[0]]] if sources[0] in self.chosen else self.loads_of(sources[0]))]
        extents = {each.data.extent.data if each.data.base is not None and each.data.extent is not None
                   and not is_scalar(each.data) else None for each in held}
        length = extents.pop() if len(extents) == 1 else None
        return Value(t.I32, length) if isinstance(length, int) else None

    def _operand(self, operand: Operand, name: str, place: int, extent: Value | None, options: dict[str, Any]) -> Any:
        data = operand.value.data
        if isinstance(data, Reg):
            return self._scalar_operand(operand, options)
        if isinstance(data, Dsr):
            return self._dsr(data, operand, name, place, options.get("index"))
        kind = element_type(operand, name, data, place)
        if data.fifo is not None:
            return self.fifo(data.fifo, kind, extent.data if extent is not None and isinstance(extent.data, int) else None)
        if data.base is None:
            return self._fabric(data, kind, operand.value.type == t.FABOUT, extent, options)
        return self._memory(data, kind, extent, options)

    def _scalar_operand(self, operand: Operand, options: dict[str, Any]) -> Any:
        kind, number = machine_type(operand.value.type), self.register(operand.value.data)
        if options.get("async"):  # it reads the register while other code runs
            own = self.keep()
            self.append(Scalar("scalar", op="mov", type=kind, dst=own, a=number))
            number = own
        return RegisterOperand(number, kind)

    def fifo(self, fifo: FifoBuffer, kind: str, extent: int | None) -> Fifo:
        tasks = {}
        for option, action in (("activate_push", "on_push"), ("activate_pop", "on_pop")):
            tasks[action] = self.task_name(fifo.options[option]) if option in fifo.options else None
        if fifo.name not in self.program.fifos:
            self.program.fifos[fifo.name] = Fifo(fifo.name, fifo.symbol.name, **tasks)
        found = self.program.fifos[fifo.name]
        return found if extent is None else found.of(extent)

    def _fabric(self, data: Dsd, kind: str, out: bool, extent: Value | None, options: dict[str, Any]) -> Any:
        length, index = extent if extent is not None else data.extent, data.options.get("word_index")
        assert length is not None
        runs = isinstance(length.data, (Reg, Varying))
        stated = self.fabric(data, kind, out, 1 if runs else int(length.data))
        counts = index is not None and isinstance(index.data, (Reg, Varying))
        if not runs and not counts:
            return stated
        named = self._named(stated)
        if runs:
            self._change(named.name, "extent", length)
        if counts:
            self.append(Scalar("set_base", a=self.number_in(index), target=named.name))
        return named

    def _memory(self, data: Dsd, kind: str, extent: Value | None, options: dict[str, Any]) -> Any:
        base, size = data.base, TYPE_BYTES[kind]
        assert base is not None
        known = isinstance(base.data, Address)
        if known and base.data.offset % size:
            self.fail(f"this descriptor begins at byte {base.data.offset} of '{base.data.symbol.name}', inside an element of "
                      f"{size} bytes")
        symbol = base.data.symbol.name if known else MEMORY
        offset = base.data.offset // size if known else 0
        changes: list[tuple[str, Any]] = [] if known else [("base", base)]
        if is_scalar(data):
            stated: Any = Mem(symbol, 1, offset, 0, data.advance, type=kind)
        elif data.kind == "mem4d_dsd":
            stated = Mem4d(symbol, data.shape, tuple(steps_of(data, each, size) for each in data.strides), offset, kind)
            length = extent.data if extent is not None else None
            if data is self._counted and isinstance(data.extent.data, Varying):
                changes.append(("extent", data.extent))
            elif isinstance(length, Reg) or (isinstance(length, int) and length < stated.extent):
                changes.append(("extent", extent))
        elif data.kind == "circbuf_dsd":
            stated = self.ring(data, int((extent or data.extent).data))
        else:
            stride = data.stride
            length = extent if extent is not None else data.extent
            runs = isinstance(length.data, (Reg, Varying))
            if runs:
                changes.append(("extent", length))
            if isinstance(stride.data, (Reg, Varying)):
                changes.append(("stride", stride))
            steps = 1 if isinstance(stride.data, (Reg, Varying)) else steps_of(data, int(stride.data), size)
            stated = Mem(symbol, 1 if runs else int(length.data), offset, steps, steps_of(data, data.advance, size), type=kind)
        return self._changed(stated, changes, size) if changes else stated

    def _changed(self, stated: Any, changes: list[tuple[str, Any]], size: int) -> Named:
        """A descriptor of the PE's own, with the parts that are known only at run time put in."""
        named = self._named(stated)
        for part, value in changes:
            if part == "base":
                self._base_from(named.name, value, size)
            else:
                self._change(named.name, part, value)
        return named

    def _change(self, name: str, part: str, value: Value) -> None:
        """Put an extent or stride into a descriptor. One that a PE knows from the start takes no time: a program compiled for
        that PE alone has it in the descriptor."""
        cycles = None if isinstance(value.data, Reg) else 0
        self.append(Scalar(f"set_{part}", a=self._number_of(value), target=name, cycles=cycles))

    def _named(self, stated: Any) -> Named:
        self.descriptors += 1
        name = f"d{self.descriptors}"
        self.program.descriptors[name] = stated
        return Named(name)

    def temporary(self, number: int) -> int:
        register = self.first_kept - 1
        self.append(Scalar("constant", type="i32", dst=register, imm=number))
        return register

    def number_in(self, value: Value) -> int:
        """A register with a number."""
        if isinstance(value.data, Varying):
            register = self.first_kept - 1
            k = self.unit.parameter(value.data)
            self.append(Scalar("parameter", type="i32", dst=register, imm=self.program.parameter(f"p{k}"), cycles=0))
            return register
        found = self.register(value.data)
        assert found is not None
        return found

    # ---- the whole

    def link(self, entries: list[tuple[TaskEntry, Frame]]) -> Program:
        """The program of tasks, without those of data that never comes, and of all functions that they call."""
        entries = [(entry, frame) for entry, frame in entries if entry.kind != "data" or entry.number is not None]
        frames = optimize(self.unit, [frame for _, frame in entries])
        tail_calls(frames)
        self.bases, last = bases_of([frame for _, frame in entries], frames)
        self.first_kept = last + 2
        self.place_symbols()
        self.find_queues(frames)
        self.bind_queues()
        self.find_loads(frames)
        self.find_several(frames)
        for entry, frame in entries:
            self.program.tasks[entry.name] = entry
            self.code_of(frame, entry.label)
        for frame in frames[len(entries):]:
            self.code_of(frame, f"fn {frame.name}")
        if self.first_kept + self.kept > 256:
            self.fail(f"functions inside each other need {self.first_kept + self.kept} registers, a PE has 256")
        self.program.kept_registers |= set(range(1, self.first_kept + self.kept))
        return self.program
