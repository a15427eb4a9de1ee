"""Writing the code of a task: vector instructions by their names, scalars as Python expressions, loops and branches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from wsekern.errors import BudgetError, InputError, check_flag
from wsekern.program.instruction_names import InstructionNames
from wsekern.program.instructions import INSTRUCTIONS, MAX_REGISTERS, Label, Scalar, TaskEntry, Vector
from wsekern.program.operands import (
    INTEGERS,
    TYPE_BYTES,
    Array,
    Fabric,
    Fifo,
    Mem4d,
    Named,
    Operand,
    Register,
    Ring,
    element_type,
)
from wsekern.program.symbols import Symbols
from wsekern.program.values import Number, Value, Variable, register_bits


class Code(InstructionNames):
    """The code of one task, open inside its ``with`` statement.

    ``code.fmacs(dst, a, b, c)`` and every other name of :data:`INSTRUCTIONS` writes that vector instruction; operands are
    descriptors, symbols (all their elements), variables, values and numbers. Keywords are those of :class:`Vector`.
    """

    def __init__(self, program: Symbols, entry: TaskEntry) -> None:
        self.program, self.entry = program, entry
        self._free: list[int] = []
        self._next = 1
        self._open = False

    def __enter__(self) -> "Code":
        self._open = True
        self.program.code.append(Label(self.entry.label))
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        self._open = False
        if kind is None:
            self._emit(Scalar("return" if self.entry.kind == "subroutine" else "end"))
        if self.entry.kind == "subroutine":
            self.program.kept_registers |= set(range(1, self._next))

    if not TYPE_CHECKING:       # a type checker knows the instructions by InstructionNames, and no others

        def __getattr__(self, name: str) -> Callable[..., None]:
            if name in INSTRUCTIONS:
                return partial(self.vector, name)
            raise AttributeError(f"no instruction {name!r}: vector instructions are {', '.join(INSTRUCTIONS)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *INSTRUCTIONS]

    def _emit(self, item: Vector | Scalar) -> None:
        self.program.code.append(item)

    def _register(self) -> int:
        if self._free:
            return self._free.pop()
        while self._next in self.program.kept_registers:
            self._next += 1
        self._next += 1
        if self._next > MAX_REGISTERS:
            raise BudgetError(f"program {self.program.name}: task {self.entry.name} holds more than {MAX_REGISTERS} values")
        return self._next - 1

    def release(self, register: int) -> None:
        """Let ``register`` hold another value: nobody uses the one that it holds any more."""
        self._free.append(register)

    def _new(self, type: str) -> Value:
        return Value(self, self._register(), type)

    # ---- scalars

    @property
    def word(self) -> Value:
        """The wavelet that started a data task (u32), or the argument that started a control task (u16)."""
        if self.entry.kind not in ("data", "control"):
            raise InputError(f"program {self.program.name}: task {self.entry.name} was not started by a word")
        return Value(self, 0, "u32" if self.entry.kind == "data" else "u16", owned=False)

    def split(self, *types: str) -> tuple[Value, ...]:
        """The word of a data task as one or two parameters, the low half first."""
        types = tuple(element_type(type) for type in types)
        if len(types) == 1:
            return (self.word.bits(types[0]),)
        if len(types) != 2 or any(TYPE_BYTES[type] != 2 for type in types):
            raise InputError(f"program {self.program.name}: a word is one parameter, or two of 16 bits, not {types}")
        return (self.word & 0xFFFF).bits(types[0]), (self.word >> 16).bits(types[1])

    def constant(self, number: float, type: str) -> Value:
        """A number in a register."""
        value = self._new(element_type(type))
        self._emit(Scalar("constant", type=value.type, dst=value.register, imm=register_bits(number, value.type)))
        return value

    def value(self, item: Number, type: str) -> Value:
        """A number, variable or value as a value of ``type``."""
        if isinstance(item, Variable):
            item = self.get(item)
        if isinstance(item, Value):
            if item.type != type and not (item.type in INTEGERS and type in INTEGERS):
                raise InputError(f"program {self.program.name}: a value of type {item.type} where {type} is expected: "
                                 "convert it with .to(...)")
            return self.convert(item, type) if item.type == "i16" and TYPE_BYTES[type] == 4 else item     # extend the sign
        return self.constant(item, type)

    def let(self, type: str, number: Number = 0) -> Value:
        """A value of one's own, which ``set`` changes."""
        kind = element_type(type)
        if isinstance(number, (Value, Variable)):
            return self.scalar("mov", self.value(number, kind))
        return self.constant(number, kind)

    def set(self, target: Value, number: Number) -> None:
        """Change a value that :meth:`let` made."""
        if isinstance(number, (int, float)):
            self._emit(Scalar("constant", type=target.type, dst=target.register, imm=register_bits(number, target.type)))
            return
        source = self.value(number, target.type)
        self._emit(Scalar("scalar", "mov", target.type, target.register, source.register))

    def scalar(self, op: str, a: Value, b: Number | None = None, c: Number | None = None) -> Value:
        """One scalar operation (:data:`OPERATIONS`) in the type of ``a``."""
        others = [None if item is None else self.value(item, a.type) for item in (b, c)]
        result = self._new("u16" if op in ("lt", "le", "eq", "ne") else a.type)
        registers = [None if item is None else item.register for item in others]
        self._emit(Scalar("scalar", op, a.type, result.register, a.register, *registers))
        return result

    def in_place(self, op: str, target: Value, other: Number) -> Value:
        """``target`` = ``target`` op ``other``, in the same register (``+=`` on a value)."""
        if not target._owned:
            return self.scalar(op, target, other)
        source = self.value(other, target.type)
        self._emit(Scalar("scalar", op, target.type, target.register, target.register, source.register))
        return target

    def convert(self, a: Value, type: str) -> Value:
        """``a`` as ``type``."""
        result = self._new(type)
        self._emit(Scalar("convert", type=type, dst=result.register, a=a.register, source=a.type))
        return result

    def sqrt(self, a: Value) -> Value:
        """Square root; software."""
        return self.scalar("sqrt", a)

    def exp(self, a: Value) -> Value:
        """Exponential; software."""
        return self.scalar("exp", a)

    def max(self, a: Value, b: Number) -> Value:
        """The larger one."""
        return self.scalar("max", a, b)

    def min(self, a: Value, b: Number) -> Value:
        """The smaller one."""
        return self.scalar("min", a, b)

    def get_parameter(self, name: str, type: str = "i32") -> Value:
        """A number in which the PEs of the program differ."""
        value = self._new(element_type(type))
        self._emit(Scalar("parameter", type=value.type, dst=value.register, imm=self.program.parameter(name)))
        return value

    # ---- memory

    def get(self, variable: Variable) -> Value:
        """A variable's value."""
        return self.read(variable.symbol, None)

    def put(self, variable: Variable, number: Number) -> None:
        """Give a variable a value."""
        self.write(variable.symbol, None, number)

    def read(self, symbol: Array, index: Number | None = None) -> Value:
        """Element ``index`` of a symbol."""
        if not isinstance(symbol, Array):
            raise InputError(f"program {self.program.name}: {symbol!r} is no symbol to read from")
        value = self._new(symbol.type)
        self._emit(Scalar("load", type=symbol.type, dst=value.register, a=self._index(index), target=str(symbol)))
        return value

    def write(self, symbol: Array, index: Number | None, number: Number) -> None:
        """Element ``index`` of a symbol = ``number``."""
        if not isinstance(symbol, Array):
            raise InputError(f"program {self.program.name}: {symbol!r} is no symbol to write to")
        value = self.value(number, symbol.type)
        held = None if index is None else self.value(index, "i32")
        self._emit(Scalar("store", type=symbol.type, a=None if held is None else held.register, b=value.register,
                          target=str(symbol)))

    def _index(self, index: Number | None) -> int | None:
        if index is None:
            return None
        self._held = self.value(index, "i32")       # stays in its register until the instruction is written
        return self._held.register

    def take(self, source: Operand, index: Number | None = None) -> Value:
        """Element ``index`` of a descriptor; the next word of a fabric descriptor, for which the task waits."""
        self._check_element(source)
        value = self._new(self.program.type_of(source))
        self._emit(Scalar("take", type=value.type, dst=value.register, a=self._index(index), target=source))
        return value

    def give(self, target: Operand, number: Number, index: Number | None = None) -> None:
        """Element ``index`` of a descriptor = ``number``; a word of a fabric descriptor. ``index`` of a fabric descriptor with
        an index goes into the high half of the word."""
        self._check_element(target)
        value = self.value(number, self.program.type_of(target))
        held = None if index is None else self.value(index, "i32")
        self._emit(Scalar("give", type=value.type, a=None if held is None else held.register, c=value.register,
                          target=target))

    def _check_element(self, operand: Operand) -> None:
        """Refuse to take or give single elements of what has none to choose from."""
        if isinstance(self.program.stated(operand), (Fifo, Register)):
            raise InputError(f"program {self.program.name}: take and give need a descriptor of memory or the fabric, not "
                             f"{operand}")

    def timestamp(self, symbol: Array, offset: Number = 0) -> None:
        """The time-stamp counter into three u16 of ``symbol``, lowest first (``Simulation.timestamps`` puts them together)."""
        for part in range(3):
            value = self._new("u16")
            self._emit(Scalar("time", type="u16", dst=value.register, imm=part))
            self.write(symbol, offset + part, value)

    # ---- descriptors

    def set_base(self, descriptor: Named, symbol: Array, element: Number | None = None) -> None:
        """Let a descriptor begin at an element of ``symbol``."""
        self._emit(Scalar("set_base", a=self._index(element), target=descriptor.name, source=str(symbol)))

    def set_index(self, descriptor: Named, index: Number) -> None:
        """The index of the first word of a fabric descriptor that has one."""
        self._emit(Scalar("set_base", a=self._index(index), target=descriptor.name))

    def move_base(self, descriptor: Named, elements: Number) -> None:
        """Let a descriptor begin ``elements`` later."""
        self._emit(Scalar("move_base", a=self._index(elements), target=descriptor.name))

    def set_length(self, descriptor: Named, elements: Number) -> None:
        """Number of elements of a descriptor."""
        self._emit(Scalar("set_extent", a=self._index(elements), target=descriptor.name))

    def set_stride(self, descriptor: Named, elements: Number) -> None:
        """Stride of a descriptor."""
        self._emit(Scalar("set_stride", a=self._index(elements), target=descriptor.name))

    def load_descriptor(self, descriptor: Named, source: Named) -> None:
        """Make a descriptor equal to another one, as it is now (``@load_to_dsr``); both are of one kind and element type."""
        here, there = self.program.stated(descriptor), self.program.stated(source)
        if type(here) is not type(there) or self.program.type_of(here) != self.program.type_of(there) or (
                isinstance(here, Fabric) and (here.queue, here.color) != (there.queue, there.color)) or (
                isinstance(here, Mem4d) and (here.shape, here.strides) != (there.shape, there.strides)) or (
                isinstance(here, Ring) and self.program.symbols[here.symbol][1] != self.program.symbols[there.symbol][1]):
            raise InputError(f"program {self.program.name}: descriptor {descriptor.name} ({here}) cannot become {source.name} "
                             f"({there}): expected the same kind, type, queue, shape and ring")
        self._emit(Scalar("load_descriptor", target=descriptor.name, source=source.name))

    # ---- vector instructions

    def vector(self, name: str, dst: Any, *sources: Any, microthread: int | None = None, asynchronous: bool = False,
               **more: Any) -> None:
        """A vector instruction; ``asynchronous=True`` runs it on the microthread that the generation implies."""
        arithmetic = INSTRUCTIONS[name][1] if name in INSTRUCTIONS else "u32"
        held = [self._operand(item, arithmetic) for item in (dst, *sources)]
        if check_flag(asynchronous, f"asynchronous of {name} in program {self.program.name}") and microthread is None:
            microthread = -1
        more |= {name: more[name].register for name in ("done", "times") if isinstance(more.get(name), Value)}
        operands = [Register(item.register, item.type) if isinstance(item, Value) else item for item in held]
        item = Vector(name, *(operands + [None] * (4 - len(operands)))[:4], microthread=microthread, **more)
        if len(operands) > 4:
            raise InputError(f"program {self.program.name}: {name} has {len(operands)} operands")
        self.program.check_vector(item)
        self._emit(item)

    def _operand(self, item: Any, arithmetic: str) -> Any:
        if isinstance(item, Array):
            return item.view()
        if isinstance(item, Variable):
            return item.view()
        if isinstance(item, (int, float)):
            return self.constant(item, arithmetic)
        return item

    def map(self, function: Callable[..., Value], dst: Operand, *sources: Operand) -> None:
        """``function`` of the elements of ``sources`` into each element of ``dst`` (``@map``): in memory, or word by word."""
        with self.range(self.program.stated(dst).extent, kind="map") as i:
            values = [self.take(source, None if self._is_fabric(source) else i) for source in sources]
            self.give(dst, function(*values), None if self._is_fabric(dst) else i)

    def _is_fabric(self, operand: Operand) -> bool:
        return isinstance(self.program.stated(operand), Fabric)

    # ---- control

    @contextmanager
    def range(self, stop: Number, start: Number = 0, kind: str = "loop") -> Iterator[Value]:
        """Repeat for a counter (i32) from ``start`` below ``stop``. ``kind="map"`` costs what a mapped call does."""
        cycles = 0 if kind == "map" else None
        counter, limit = self.let("i32", start), self.value(stop, "i32")
        top, after = self.program.new_label(), self.program.new_label()
        if not (isinstance(start, int) and isinstance(stop, int) and start < stop):
            test = counter < limit
            self._emit(Scalar("branch", a=test.register, target=after))
            del test
        one = self.constant(1, "i32")           # before the loop: machine code has it in the addition
        self.program.code[-1] = Scalar(**{**vars(self.program.code[-1]), "cycles": cycles})
        self.program.code.append(Label(top))
        yield counter
        self._emit(Scalar("scalar", "add", "i32", counter.register, counter.register, one.register, cycles=cycles))
        done = self._new("u16")
        self._emit(Scalar("scalar", "le", "i32", done.register, limit.register, counter.register, cycles=cycles))
        self._emit(Scalar("branch", a=done.register, target=top, cycles=1 if kind == "map" else None))
        self.program.code.append(Label(after))

    @contextmanager
    def loop(self) -> Iterator["Loop"]:
        """Repeat until ``leave_if`` of the loop ends it."""
        loop = Loop(self, self.program.new_label(), self.program.new_label())
        self.program.code.append(Label(loop.top))
        yield loop
        self._emit(Scalar("jump", target=loop.top))
        self.program.code.append(Label(loop.after))

    @contextmanager
    def if_(self, condition: Value) -> Iterator[None]:
        """Only where ``condition`` is not zero; ``else_`` may follow."""
        label = self.program.new_label()
        self._emit(Scalar("branch", a=condition.register, target=label))
        yield
        self.program.code.append(Label(label))

    @contextmanager
    def else_(self) -> Iterator[None]:
        """Where the condition of the ``if_`` that has just ended was zero."""
        last = self.program.code[-1]
        if not isinstance(last, Label):
            raise InputError(f"program {self.program.name}: else_ does not follow an if_")
        after = self.program.new_label()
        self.program.code[-1] = Scalar("jump", target=after)
        self.program.code.append(last)
        yield
        self.program.code.append(Label(after))

    def return_(self) -> None:
        """End the task (or subroutine) here."""
        self._emit(Scalar("return" if self.entry.kind == "subroutine" else "end"))

    def call(self, subroutine: str) -> None:
        """Run a subroutine."""
        self._emit(Scalar("call", target=f"task {subroutine}"))

    def spend(self, cycles: int) -> None:
        """Time that scalar code takes which is not written out."""
        self._emit(Scalar("spend", imm=cycles))

    # ---- tasks, queues, routes

    def activate(self, task: str) -> None:
        """Activate a local task."""
        self._emit(Scalar("activate", target=task))

    def block(self, task: str) -> None:
        """Block a local task, or the input queue of a data task."""
        self._emit(Scalar("block", target=task))

    def unblock(self, task: str) -> None:
        """Unblock a local task, or the input queue of a data task."""
        self._emit(Scalar("unblock", target=task))

    def block_color(self, color: int) -> None:
        """Let the words of ``color`` start no task."""
        self._emit(Scalar("block_queue", imm=self.program.input_queue(color)))

    def unblock_color(self, color: int) -> None:
        """Let the words of ``color`` start tasks again."""
        self._emit(Scalar("unblock_queue", imm=self.program.input_queue(color)))

    def set_route(self, color: int, route: str) -> None:
        """Put a route of the program on ``color`` of this PE's router."""
        if route not in self.program.routes:
            raise InputError(f"program {self.program.name}: no route {route!r}")
        self._emit(Scalar("route", imm=color, target=route))

    def set_position(self, color: int, position: Number) -> None:
        """Set the switch of ``color`` in this PE's router."""
        self._emit(Scalar("position", a=self._index(position), imm=color))

    def bind_input(self, queue: int, color: Number) -> None:
        """Let an input queue take the words of another color; words of the one before that still come are an error."""
        self._emit(Scalar("bind_input", a=self._index(color), imm=queue))

    def bind_output(self, queue: int, color: Number) -> None:
        """Let the words of an output queue, also those in it, leave on another color."""
        self._emit(Scalar("bind_output", a=self._index(color), imm=queue))

    def flush(self, queue: int) -> None:
        """Start the teardown task once an output queue is empty, now or later; :meth:`flushed` says which queues these are."""
        self._emit(Scalar("flush", imm=queue))

    def leave_flush(self, queue: int) -> None:
        """An output queue is no longer one that has been flushed."""
        self._emit(Scalar("leave_flush", imm=queue))

    def flushed(self) -> Value:
        """Output queues that have been flushed since :meth:`flush` asked for it, as a mask (u32)."""
        value = self._new("u32")
        self._emit(Scalar("flushed", dst=value.register))
        return value

    def leave_teardown(self, color: int) -> None:
        """Let ``color`` move again in this PE's router."""
        self._emit(Scalar("leave_teardown", imm=color))

    def colors_torn_down(self) -> Value:
        """Colors that are in teardown in this PE's router, as a mask (u32)."""
        value = self._new("u32")
        self._emit(Scalar("torn_down", dst=value.register))
        return value


class Loop:
    """An endless loop and the way out of it."""

    def __init__(self, code: Code, top: str, after: str) -> None:
        self.code, self.top, self.after = code, top, after

    def leave_if(self, condition: Value) -> None:
        """Leave where ``condition`` is not zero."""
        stay = self.code.program.new_label()
        self.code._emit(Scalar("branch", a=condition.register, target=stay))
        self.code._emit(Scalar("jump", target=self.after))
        self.code.program.code.append(Label(stay))
