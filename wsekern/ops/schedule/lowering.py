"""Routes and programs of a schedule: what the cycle engine runs of it."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from wsekern.ops.local.gemm import instruction_cycles, multiply_cycles
from wsekern.ops.operation import Axis, Emission, Operation, Shapes, WaferProgram
from wsekern.ops.schedule.painter import LinePainter, paint_plane
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Buffer
from wsekern.program import Fabric, Layout, Mem
from wsekern.program.instructions import Label

Route = tuple[int, int, int, str]


class LoweredSchedule(WaferProgram):
    """A schedule as the cycle engine takes operations."""

    def __init__(self, plan: Schedule) -> None:
        self.plan = plan
        self.colors = plan.color_count
        self.turns_switches = plan.turns_switches

    def tiles(self) -> Shapes:
        """Shapes of the tiles on each PE."""
        return ((self.plan.elements,), (self.plan.second,)) if self.plan.product else ((self.plan.elements,),)

    def paint(self, layout: Layout, colors: Sequence[int]) -> None:
        """The route of every message."""
        for route, color in routes_of(self.plan).items():
            self.paint_route(layout, colors[color], route)

    @abstractmethod
    def paint_route(self, layout: Layout, color: int, route: Route) -> None:
        """One route in ``color``."""

    def emit(self, out: Emission, role: tuple) -> str:
        """The steps of one PE."""
        return _RoleWriter(self.plan, out).write_role(role)


class LoweredLine(LoweredSchedule):
    """A schedule on all lines along ``axis``."""

    def __init__(self, plan: Schedule, axis: Axis) -> None:
        super().__init__(plan)
        self.axis = axis

    def role(self, position: int, length: int) -> tuple:
        """Everything that the PE at ``position`` of a line does."""
        return self.plan.role(position)

    def paint_route(self, layout: Layout, color: int, route: Route) -> None:
        """One route on every line."""
        painter, (source, low, high, kind) = LinePainter(layout, self.axis, 0), route
        target = high if source == low else low
        if kind == "turns":
            painter.turns(color, senders_of(self.plan, route), target)
        elif kind:
            painter.multicast(color, source, low, high + 1)
        else:
            painter.link(color, source, target)


class LoweredPlane(LoweredSchedule):
    """A schedule on a whole grid, with tiles as ``operation`` lays them onto the PEs."""

    axis = None
    knows_grid = True

    def __init__(self, plan: Schedule, operation: Operation) -> None:
        super().__init__(plan)
        self.operation = operation

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Tiles as the host lays them onto the PEs."""
        return self.operation.arrange(tiles)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values of the PEs as the host reads them."""
        return self.operation.restore(values)

    def role_at(self, x: int, y: int, width: int, height: int) -> tuple:
        """Everything that PE (x, y) does."""
        return self.plan.role(y * self.plan.width + x)

    def paint_route(self, layout: Layout, color: int, route: Route) -> None:
        """One route along a row or a column, or over the whole grid."""
        width, (source, low, high, kind) = self.plan.width, route
        (y, x), (far_y, far_x) = divmod(source, width), divmod(high if source == low else low, width)
        along_x = y == far_y
        painter = LinePainter(layout, "x", 0, y, 1) if along_x else LinePainter(layout, "y", 0, x, 1)
        if kind == "plane":
            paint_plane(layout, color, x, y)
        elif kind == "turns":
            senders = [divmod(pe, width)[along_x] for pe in senders_of(self.plan, route)]
            painter.turns(color, senders, far_x if along_x else far_y)
        else:
            painter.link(color, *((x, far_x) if along_x else (y, far_y)))


def routes_of(schedule: Schedule) -> dict[Route, int]:
    """Color of every route."""
    return {message.route: color for message, color in zip(schedule.messages, schedule.colors, strict=True)}


def senders_of(schedule: Schedule, route: Route) -> list[int]:
    """PEs that take turns on a route, in order."""
    return sorted({message.source for message in schedule.messages if message.route == route})


class _RoleWriter:
    """Writes the program of one PE: each step of its role is one instruction, memory is declared where it is first used."""

    def __init__(self, schedule: Schedule, out: Emission) -> None:
        self.schedule, self.out = schedule, out
        self.names = dict(zip(("tile", "second"), out.inputs, strict=False))

    def write_role(self, role: tuple) -> str:
        """All steps; the symbol of the result."""
        (steps, result), out = role, self.out
        if self.schedule.elements or self.schedule.product:
            out.program.spend(out.timing.latency(self.schedule.call, out.timing.latency("call")))
        code, known = out.program.code, {}
        for step in steps:                      # rounds repeat: what was written once is checked and encoded once
            if step in known:
                code.extend(known[step])
            else:
                before = len(code)
                self.write(*step)
                known[step] = [item for item in code[before:] if not isinstance(item, Label)]
        return self.symbol(result[0]) if result is not None else self.result_of_others()

    def result_of_others(self) -> str:
        """The symbol of the result on PEs that end with something: it is read on all PEs by one name."""
        buffers = {buffer[0] for buffer in self.schedule.result if buffer is not None}
        return "tile" if "tile" in buffers else f"{min(buffers)}.{self.out.serial}"

    def write(self, op: str, elements: int, dst: tuple, a: tuple | None, b: tuple | None) -> None:
        """One step."""
        program = self.out.program
        if op == "spend":
            program.spend(elements)
        elif op == "clear":
            self.clear(elements, *self.buffer(dst))
        elif op == "multiply":
            self.multiply(self.buffer(dst), self.buffer(a), self.buffer(b))
        else:
            program.emit(self.schedule.instruction(op), self.operand(dst, elements, True), self.operand(a, elements, False),
                         self.operand(b, elements, False), microthread=-1 if op == "mov_async" else None)

    def symbol(self, buffer: str) -> str:
        """The symbol of a buffer."""
        if buffer not in self.names:
            elements, kind = self.schedule.buffers[buffer]
            self.names[buffer] = f"{buffer}.{self.out.serial}"
            wide = kind == "fp32" or (kind == "sums" and self.schedule.wide)
            self.out.program.memory(self.names[buffer], "fp32" if wide else self.out.type, elements)
        return self.names[buffer]

    def buffer(self, operand: tuple) -> Buffer:
        """Symbol and first element of an operand in memory."""
        return self.symbol(operand[0]), operand[1]

    def operand(self, operand: tuple | None, elements: int, target: bool) -> Mem | Fabric | None:
        """An operand of a vector instruction: (buffer, first element), or (color, are they sums, does it hand over)."""
        if operand is None:
            return None
        if isinstance(operand[0], str):
            return Mem(self.symbol(operand[0]), elements, operand[1])
        (color, sums, hands_over), out = operand, self.out
        type = "fp32" if sums and self.schedule.wide else out.type
        if target:
            return out.program.fabout(out.colors[color], elements, type, advance_switch=hands_over)
        return out.program.fabin(out.colors[color], elements, type)

    def clear(self, elements: int, symbol: str, first: int) -> None:
        """A buffer set to zero."""
        program = self.out.program
        type = program.symbols[symbol][0]
        zero = program.memory(f"zero.{type}", type, 1)
        program.emit(self.schedule.instruction("clear"), Mem(symbol, elements), Mem(zero, elements, stride=0))

    def multiply(self, dst: Buffer, a: Buffer, b: Buffer) -> None:
        """A tile product as one mapped multiply-add for each inner index."""
        (m, k, n, transposed), out = self.schedule.product, self.out
        target = Mem(dst[0], m, stride=n, advance=1)
        out.program.spend(sum(multiply_cycles(out.timing, m, k, n)) - instruction_cycles(out.timing, m, k, n))
        for inner in range(k):
            right = Mem(b[0], m, b[1] + inner, 0, k) if transposed else Mem(b[0], m, b[1] + inner * n, 0, 1)
            out.program.emit(out.timing.instruction("fma"), target, target, Mem(a[0], m, a[1] + inner, k), right, repeat=n)
