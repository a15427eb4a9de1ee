"""Scalar instructions of :mod:`wsekern.program.reference.core`: what they do and how long they take."""

from typing import Any

from wsekern.program.instructions import Scalar, Vector
from wsekern.program.operands import TYPE_BYTES, Fabric, Register, Ring
from wsekern.program.reference import math as numbers
from wsekern.program.reference import registers
from wsekern.program.reference.parts import BrokenProgram, Place, Thread

DEEPEST_CALL = 8
_SOFTWARE = {"div": ("divide",), "mod": ("divide",), "sqrt": ("rsqrt",), "exp": ("exp",), "log": ("exp",), "sin": ("exp",),
             "cos": ("exp",), "library_exp": ("exp",), "library_rsqrt": ("rsqrt",), "library_silu": ("exp", "divide")}
_DESCRIPTORS = ("set_base", "move_base", "set_extent", "set_stride", "load_descriptor")


class ScalarUnit:
    """What a core does with scalar instructions; the rest of it is :class:`wsekern.program.reference.core.ReferenceCore`."""

    def cycles(self, item: Scalar, following: Any) -> tuple[int, int]:
        """Cycles until the next instruction; of a branch, where it is not taken and where it is."""
        latency = self.timing.latency
        if item.form == "spend":
            return (item.imm if item.a is None else self.parameters[item.a]), 0
        if item.cycles is not None:
            return item.cycles, item.cycles
        if item.form == "branch":
            return latency("branch", 1), latency("taken", 1)
        if item.form in ("jump", "call", "return"):
            return max(1, latency("taken", 1)), 0
        if item.form == "scalar" and item.op in _SOFTWARE:
            return sum(latency(part, 1) for part in _SOFTWARE[item.op]), 0
        if item.form in ("scalar", "load", "take"):
            full = latency("scalar" if item.form == "scalar" else "load", 1)
            return (max(1, full) if _uses(following, item.dst) else 1), 0
        if item.form == "time":
            return max(1, latency("timestamp", 1)), 0
        return (max(1, latency("descriptor", 1)) if item.form in _DESCRIPTORS else 1), 0

    def go(self, main: Thread, item: Scalar) -> None:
        if item.form == "call":
            if len(self.calls) == DEEPEST_CALL:
                raise BrokenProgram("calls too deep")
            self.calls.append(main.at)
        if item.form != "return":
            main.at = self.placed.labels[item.target]
        elif self.calls:
            main.at = self.calls.pop()
        else:
            raise BrokenProgram("return without a call")

    # ---- scalar instructions

    def number(self, register: int | None, type: str = "i32") -> Any:
        return numbers.decode(type, 0 if register is None else self.registers.get(register, 0))

    def do_spend(self, item: Scalar) -> None:
        """Only time passes."""

    def do_scalar(self, item: Scalar) -> None:
        value = numbers.apply(item.op, item.type, *(self.number(r, item.type) for r in (item.a, item.b, item.c)))
        self.count_nans(value)
        self.registers[item.dst] = value if item.op in numbers.COMPARISONS else numbers.encode(item.type, value)

    def do_constant(self, item: Scalar) -> None:
        self.registers[item.dst] = item.imm & 0xFFFFFFFF

    def do_parameter(self, item: Scalar) -> None:
        self.registers[item.dst] = self.parameters[item.imm] & 0xFFFFFFFF

    def do_convert(self, item: Scalar) -> None:
        value = numbers.convert(item.source, item.type, self.number(item.a, item.source))
        self.count_nans(value)
        self.registers[item.dst] = numbers.encode(item.type, value)

    def place_of(self, item: Scalar) -> tuple[int, tuple[str, int] | None]:
        """The byte address of a load or store, and the register of the router that lies there."""
        at = self.placed.addresses[item.target] + item.imm + self.number(item.a) * TYPE_BYTES[item.type]
        return at, registers.at(self.timing.machine.core, at, item.type)

    def do_load(self, item: Scalar) -> None:
        at, register = self.place_of(item)
        if register is None:
            self.registers[item.dst] = self.bits_at(self.checked(at, item.type), item.type)
        else:
            self.registers[item.dst] = registers.read(self.fabric, self.x, self.y, *register)

    def do_store(self, item: Scalar) -> None:
        at, register = self.place_of(item)
        if register is None:
            self.put_bits(self.checked(at, item.type), item.type, self.registers.get(item.b, 0))
        else:
            self.note_rewrite(register[1])
            registers.write(self.fabric, self.x, self.y, *register, self.registers.get(item.b, 0) & 0xFFFF)

    def element_at(self, item: Scalar) -> tuple[int, str]:
        loaded = self.load(item.target, None)
        return self.checked(self.address(loaded, self.number(item.a)), loaded.type), loaded.type

    def do_take(self, item: Scalar) -> None:
        if not isinstance(self.program.stated(item.target), Fabric):
            self.registers[item.dst] = self.bits_at(*self.element_at(item))

    def do_give(self, item: Scalar) -> None:
        if not isinstance(self.program.stated(item.target), Fabric):
            at, type = self.element_at(item)
            self.put_bits(at, type, self.registers.get(item.c, 0))

    def do_activate(self, item: Scalar) -> None:
        self.activated.add(self.placed.tasks[item.target])

    def do_block(self, item: Scalar) -> None:
        if self.program.tasks[item.target].kind == "data":
            self.blocked_queues.add(self.program.input_queue(self.program.tasks[item.target].number))
        else:
            self.blocked.add(self.placed.tasks[item.target])

    def do_unblock(self, item: Scalar) -> None:
        if self.program.tasks[item.target].kind == "data":
            self.blocked_queues.discard(self.program.input_queue(self.program.tasks[item.target].number))
        else:
            self.blocked.discard(self.placed.tasks[item.target])

    def do_block_queue(self, item: Scalar) -> None:
        self.blocked_queues.add(item.imm)

    def do_unblock_queue(self, item: Scalar) -> None:
        self.blocked_queues.discard(item.imm)

    def do_time(self, item: Scalar) -> None:
        self.registers[item.dst] = self.now >> 16 * item.imm & 0xFFFF

    # ---- descriptors

    def do_set_base(self, item: Scalar) -> None:
        own, size = self.own[item.target], self.element_bytes(item.target)
        own.base = (0 if item.source is None else self.placed.addresses[item.source] + item.imm) + self.number(item.a) * size
        own.at = 0

    def do_move_base(self, item: Scalar) -> None:
        own, stated = self.own[item.target], self.program.descriptors[item.target]
        if isinstance(stated, Ring):
            own.at = (own.at + self.number(item.a)) % self.program.symbols[stated.symbol][1]
        else:
            own.base += self.number(item.a) * self.element_bytes(item.target)

    def do_set_extent(self, item: Scalar) -> None:
        self.own[item.target].extent = self.number(item.a)

    def do_set_stride(self, item: Scalar) -> None:
        self.own[item.target].stride = self.number(item.a)

    def do_load_descriptor(self, item: Scalar) -> None:
        source = self.own[item.source]
        self.own[item.target] = Place(source.base, source.extent, source.stride, source.at)

    def element_bytes(self, name: str) -> int:
        """Bytes that one element of a descriptor moves its base; an index counts in ones."""
        stated = self.program.descriptors[name]
        return 1 if isinstance(stated, (Fabric, Register)) else TYPE_BYTES[self.program.type_of(stated)]

    # ---- routers

    def do_route(self, item: Scalar) -> None:
        self.note_rewrite(item.imm)
        self.fabric.rewrite(self.x, self.y, item.imm, self.program.routes[item.target])

    def do_position(self, item: Scalar) -> None:
        self.fabric.set_position(self.x, self.y, item.imm, self.number(item.a))

    def do_leave_teardown(self, item: Scalar) -> None:
        self.fabric.leave_teardown(self.x, self.y, item.imm)

    def do_bind_input(self, item: Scalar) -> None:
        color, queue = self.color_of(item), item.imm
        if color == self.hears[queue] and queue not in self.due:
            return
        if color != self.hears[queue] and color in self.hears.values():
            raise BrokenProgram(f"two input queues of color {color}")
        self.bind(queue, color, None)

    def do_bind_output(self, item: Scalar) -> None:
        self.speaks[item.imm] = self.color_of(item)

    def color_of(self, item: Scalar) -> int:
        color = self.registers.get(item.a, 0)
        if color > 23:
            raise BrokenProgram(f"color {color}")
        return color

    def do_flush(self, item: Scalar) -> None:
        self.flushing.add(item.imm)
        self.end_flush(item.imm)

    def do_leave_flush(self, item: Scalar) -> None:
        self.flushed.discard(item.imm)

    def do_flushed(self, item: Scalar) -> None:
        self.registers[item.dst] = sum(1 << queue for queue in self.flushed)

    def do_torn_down(self, item: Scalar) -> None:
        self.registers[item.dst] = sum(1 << color for color in self.fabric.torn_down(self.x, self.y))


def _uses(item: Any, register: int | None) -> bool:
    """Whether an instruction uses a register as an operand."""
    if isinstance(item, Vector):
        return any(isinstance(operand, Register) and operand.number == register for operand in item.operands)
    return item.form != "spend" and register in (item.a, item.b, item.c)
