"""``SdkRuntime`` and what goes with it, as ``cerebras.sdk.runtime.sdkruntimepybind`` has them."""

from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.csl.image import CHOSEN, Export, Image
from wsekern.errors import DeadlockError, InputError
from wsekern.sdk import left
from wsekern.sdk.artifact import Machine, read
from wsekern.sdk.debug import debug_util
from wsekern.sdk.layout import SdkCompileArtifacts
from wsekern.sdk.messages import Messages
from wsekern.sdk.ports import Ports
from wsekern.sdk.profile import recorded
from wsekern.sdk.speed import Speed

DONE = "__command_done"
"""Variable that code sets when the next command may come."""


class MemcpyDataType(IntEnum):
    """Width of the elements that a copy moves."""

    MEMCPY_16BIT = 0
    MEMCPY_32BIT = 1


class MemcpyOrder(IntEnum):
    """How a flat array stands for [height][width][elements]: C order, or Fortran order."""

    ROW_MAJOR = 0
    COL_MAJOR = 1


class Task:
    """A command; all are done when the call that makes one returns, but for words of a stream that are still to come."""

    def __init__(self, waits: Any = None) -> None:
        self.waits = waits


class Symbol(int):
    """The id of an exported name."""

    name: str

    def __new__(cls, number: int, name: str) -> "Symbol":
        """Id ``number`` of ``name``."""
        made = super().__new__(cls, number)
        made.name = name
        return made


class SdkRuntime:
    """Loads a compiled program into a simulated wafer, copies, launches, streams."""

    def __init__(self, bindir: Any, platform: Any = None, *, cmaddr: str | None = None, suppress_simfab_trace: bool = False,
                 simfab_numthreads: int = 5, msg_level: str = "WARNING", memcpy_required: bool = True) -> None:
        if cmaddr:
            raise InputError(f"cmaddr is {cmaddr!r}: there is no system to connect to; leave it out to simulate")
        self._quiet = suppress_simfab_trace
        if isinstance(bindir, SdkCompileArtifacts):
            self._open(bindir.made, bindir)
        else:
            self._open(read(Path(bindir)))

    @classmethod
    def of(cls, made: Image) -> "SdkRuntime":
        """The runtime of a compilation in this process."""
        runtime = cls.__new__(cls)
        runtime._open(made)
        return runtime

    _quiet = False
    """Whether the script wants no traces."""

    def _open(self, made: Image, artifacts: SdkCompileArtifacts | None = None) -> None:
        self.machine = Machine(made)
        self.ports = Ports(self.machine, artifacts or SdkCompileArtifacts(made, {}))
        self.messages = Messages(self.machine)
        pes = sum(len(part.pes) for part in self.machine.made.programs)
        self.speed = Speed(self.machine.simulation, pes, recorded(self.machine.simulation))
        self._launched: str | None = None
        self._symbols: dict[str, Symbol] = {}
        self._stuck: DeadlockError | None = None
        self._held: dict[int, list[Any]] = {}

    # ---- life

    def load(self) -> None:
        """Programs are in memory already."""
        left.begun(not self._quiet)

    def run(self) -> None:
        """Let tasks that are active at the start begin."""
        self.settle()

    def stop(self) -> None:
        """Wait for what is still under way."""
        self.settle()
        self.ports.check(self._stuck)
        self.machine.simulation.tell()
        self.speed.tell()
        left.ended(self.messages.log, self.speed.numbers(self.machine.made.layout))

    def finish(self) -> None:
        """Wait until every PE is ready for the next command; refuse where nothing moves any more."""
        self._wait_for_launch()

    def settle(self) -> None:
        """Run until nothing moves any more."""
        try:
            if self._stuck is not None:  # what the host has sent since comes in: the long wait before does not count
                self.machine.simulation.step(2)
            self.speed.run()
            self._stuck = None
        except DeadlockError as error:
            self._stuck = error  # it waits for the host, perhaps
        self.hear()

    def hear(self) -> None:
        """Take what PEs have told the host, and words of streams."""
        self.messages.read()
        self.ports.deliver()

    # ---- symbols and launches

    def get_id(self, name: str) -> Symbol:
        """The id of an exported symbol or function."""
        if name not in self.machine.exports:
            known = ", ".join(sorted(self.machine.exports))
            raise InputError(f"no exported symbol {name!r}: the program exports {known or 'none'}")
        return self._symbols.setdefault(name, Symbol(len(self._symbols), name))

    def launch(self, name: str, *arguments: Any, nonblock: bool = False) -> Task:
        """Start an exported function on all PEs that have it."""
        self.begin(name, *arguments)
        self.settle()
        return Task()

    def begin(self, name: str, *arguments: Any) -> None:
        """Let an exported function begin in the coming cycle."""
        layout = self.machine.made.layout
        if name not in self.machine.exports:
            self.get_id(name)
        self._wait_for_launch()
        for export, program, pes in self.machine.holders(name, 0, 0, layout.width, layout.height):
            self._pass(export, program, pes, arguments)
            self._write(program, pes, DONE, np.uint16(0))
            self._write(program, pes, CHOSEN, np.uint16(export.number))
            self.machine.launch(program, pes)
        self._launched = name

    def call(self, name: str, arguments: Any = (), *, nonblock: bool = False) -> Task:
        """:meth:`launch` as scripts before 1.0 have it."""
        return self.launch(name, *arguments, nonblock=nonblock)

    def _pass(self, export: Export, program: Any, pes: NDArray[np.int32], arguments: tuple[Any, ...]) -> None:
        if len(arguments) != len(export.registers):
            raise InputError(f"{export.name} takes {len(export.registers)} arguments, found {len(arguments)}")
        for symbol, kind, value in zip(export.registers, export.arguments, arguments, strict=True):
            self._write(program, pes, symbol, np.asarray(value).astype(kind))

    def _write(self, program: Any, pes: NDArray[np.int32], symbol: str, value: Any) -> None:
        addresses = program.addresses()
        if symbol in addresses:
            self.machine.copy_in(addresses[symbol], pes, np.repeat(np.asarray(value).reshape(1, 1), len(pes), 0))

    def _wait_for_launch(self) -> None:
        """The next command comes when every PE has called unblock_cmd_stream; refuse to wait where nothing moves any more."""
        self.settle()
        if self._launched is None:
            return
        layout, late = self.machine.made.layout, None
        for _, program, pes in self.machine.holders(self._launched, 0, 0, layout.width, layout.height):
            addresses, flags = program.addresses(), np.zeros((len(pes), 1), np.uint16)
            if DONE in addresses:  # else no code ever sets it
                self.machine.copy_out(addresses[DONE], pes, flags)
            late = late if late is not None else next((int(pe) for pe in pes[flags[:, 0] == 0]), None)
        if late is not None:
            place = late % layout.width, late // layout.width
            message = f"'{self._launched}' does not end: PE {place} has not called unblock_cmd_stream, and nothing moves"
            raise DeadlockError(f"{message}; {self._stuck}" if self._stuck else message)
        self._launched = None

    # ---- copies

    def memcpy_h2d(self, dest: Any, src: ArrayLike, px: int, py: int, w: int, h: int, elements_per_pe: int, *,
                   streaming: bool = False, data_type: MemcpyDataType = MemcpyDataType.MEMCPY_32BIT,
                   order: MemcpyOrder = MemcpyOrder.ROW_MAJOR, nonblock: bool = False) -> Task:
        """Copy or stream to the PEs of a rectangle."""
        words = self._by_pe(np.asarray(src), w, h, elements_per_pe, order)
        if streaming:
            self._stream_in(int(dest), words, px, py, w, h)
        else:
            self._wait_for_launch()
            for address, pes in self._places(dest, px, py, w, h):
                rows = self._rows(words, pes, px, py, w)
                self.machine.copy_in(address, pes, rows.astype(np.uint16) if data_type == MemcpyDataType.MEMCPY_16BIT else rows)
        return Task()

    def memcpy_d2h(self, dest: NDArray[Any], src: Any, px: int, py: int, w: int, h: int, elements_per_pe: int, *,
                   streaming: bool = False, data_type: MemcpyDataType = MemcpyDataType.MEMCPY_32BIT,
                   order: MemcpyOrder = MemcpyOrder.ROW_MAJOR, nonblock: bool = False) -> Task:
        """Copy or stream from the PEs of a rectangle."""
        self.settle() if streaming else self._wait_for_launch()
        out = np.zeros((h, w, elements_per_pe), np.uint32)
        if streaming:
            self._stream_out(int(src), out, px, py, w, h)
        else:
            for address, pes in self._places(src, px, py, w, h):
                size = 2 if data_type == MemcpyDataType.MEMCPY_16BIT else 4
                rows = np.zeros((len(pes), elements_per_pe), f"u{size}")
                self.machine.copy_out(address, pes, rows)
                width = self.machine.made.layout.width
                out[pes // width - py, pes % width - px] = rows
        flat = out.reshape(-1) if order == MemcpyOrder.ROW_MAJOR else out.reshape(-1, order="F")
        target = dest.reshape(-1)[: flat.size]
        target[:] = flat.view(target.dtype) if target.dtype.itemsize == 4 else flat.astype(np.uint16).view(target.dtype)
        return Task()

    def memcpy_h2d_rowbcast(self, dest: Any, src: ArrayLike, px: int, py: int, w: int, h: int, elements_per_pe: int,
                            **options: Any) -> Task:
        """Copy [h][elements]: each row of PEs gets the same."""
        return self._broadcast(dest, src, (h, 1), (px, py, w, h, elements_per_pe), options)

    def memcpy_h2d_colbcast(self, dest: Any, src: ArrayLike, px: int, py: int, w: int, h: int, elements_per_pe: int,
                            **options: Any) -> Task:
        """Copy [w][elements]: each column of PEs gets the same."""
        return self._broadcast(dest, src, (1, w), (px, py, w, h, elements_per_pe), options)

    def memcpy_h2d_stride(self, dest: Any, src: ArrayLike, px: int, py: int, w: int, h: int, elements_per_pe: int,
                          row_stride: int, col_stride: int, *, streaming: bool = False,
                          data_type: MemcpyDataType = MemcpyDataType.MEMCPY_32BIT,
                          order: MemcpyOrder = MemcpyOrder.ROW_MAJOR, nonblock: bool = False) -> Task:
        """Copy or stream to some PEs of a rectangle, [rows][columns][elements]: in each row every ``row_stride``-th from the
        left on, in each column every ``col_stride``-th from the top on."""
        if row_stride < 1 or col_stride < 1:
            raise InputError(f"strides of {row_stride} and {col_stride} PEs: expected whole numbers from 1 on")
        columns, rows = 1 + (w - 1) // row_stride, 1 + (h - 1) // col_stride
        words = self._by_pe(np.asarray(src), columns, rows, elements_per_pe, order)
        for y in range(rows):
            for x in range(columns):
                self.memcpy_h2d(dest, words[y, x], px + x * row_stride, py + y * col_stride, 1, 1, elements_per_pe,
                                streaming=streaming, data_type=data_type, nonblock=nonblock)
        return Task()

    def _broadcast(self, dest: Any, src: ArrayLike, given: tuple[int, int], area: tuple[int, int, int, int, int],
                   options: dict[str, Any]) -> Task:
        px, py, w, h, elements = area
        order = options.get("order", MemcpyOrder.ROW_MAJOR)
        some = self._by_pe(np.asarray(src), given[1], given[0], elements, order)
        whole = np.ascontiguousarray(np.broadcast_to(some, (h, w, elements))).reshape(-1)
        return self.memcpy_h2d(dest, whole, px, py, w, h, elements, **{**options, "order": MemcpyOrder.ROW_MAJOR})

    @staticmethod
    def _by_pe(values: NDArray[Any], w: int, h: int, elements: int, order: MemcpyOrder) -> NDArray[np.uint32]:
        """[height][width][elements] words."""
        flat = np.ascontiguousarray(values.reshape(-1))
        if flat.size < w * h * elements:
            raise InputError(f"{flat.size} elements for {w} x {h} PEs of {elements}")
        flat = flat[: w * h * elements]     # as the vendor's: public scripts pass the rest of a longer array
        words = flat.view(np.uint32) if flat.dtype.itemsize == 4 else flat.view(np.uint16).astype(np.uint32) if (
            flat.dtype.itemsize == 2) else flat.astype(np.uint32)
        return words.reshape(h, w, elements, order="C" if order == MemcpyOrder.ROW_MAJOR else "F")

    def _exports(self, symbol: Any, px: int, py: int, w: int, h: int) -> list[tuple[Export, Any, NDArray[np.int32]]]:
        name = symbol.name if isinstance(symbol, Symbol) else next(
            (name for name, known in self._symbols.items() if known == symbol), None)
        if name is None:
            raise InputError(f"no symbol has the id {symbol}: get_id gives ids")
        return self.machine.holders(name, px, py, w, h)

    def _rows(self, words: NDArray[np.uint32], pes: NDArray[np.int32], px: int, py: int, w: int) -> NDArray[np.uint32]:
        width = self.machine.made.layout.width
        return words[pes // width - py, pes % width - px]

    def _places(self, symbol: Any, px: int, py: int, w: int, h: int) -> list[tuple[int, NDArray[np.int32]]]:
        """(byte address, PEs by number) of an exported name in a rectangle; of a pointer, where it leads now."""
        found = []
        for export, program, pes in self._exports(symbol, px, py, w, h):
            addresses = program.addresses()
            if export.pointer not in addresses:
                found.append((addresses[export.symbol] + export.offset, pes))
                continue
            led = np.zeros((len(pes), 1), np.uint32)
            self.machine.copy_out(addresses[export.pointer], pes, led)
            found += [(int(address), pes[led[:, 0] == address]) for address in np.unique(led)]
        return found

    # ---- streams

    def _stream_in(self, color: int, words: NDArray[np.uint32], px: int, py: int, w: int, h: int) -> None:
        for y in range(h):
            for x in range(w):
                self.machine.simulation.send(color, words[y, x], px + x, py + y, "RAMP")
        self.settle()

    def _stream_out(self, color: int, out: NDArray[np.uint32], px: int, py: int, w: int, h: int) -> None:
        held = self._held.setdefault(color, [])
        held += list(self.machine.simulation.receive(color))
        counts = np.zeros((h, w), np.int64)
        rest = []
        for record in held:
            x, y = int(record["x"]) - px, int(record["y"]) - py
            if 0 <= x < w and 0 <= y < h and counts[y, x] < out.shape[2]:
                out[y, x, counts[y, x]] = record["data"]
                counts[y, x] += 1
            else:
                rest.append(record)
        self._held[color] = rest
        if (counts < out.shape[2]).any():
            y, x = np.argwhere(counts < out.shape[2])[0]
            message = (f"PE ({px + x}, {py + y}) sent {counts[y, x]} of {out.shape[2]} words on color {color}, and nothing "
                       "moves any more")
            raise DeadlockError(f"{message}; {self._stuck}" if self._stuck else message)

    def send(self, port: str, values: ArrayLike, count: int | None = None, *, nonblock: bool = False) -> Task:
        """Send the words of an array to an input stream of a layout."""
        self.ports.send(port, values if count is None else np.asarray(values).reshape(-1)[:count])
        self.settle()
        return Task()

    def receive(self, port: str, target: NDArray[Any], count: int | None = None, *, nonblock: bool = False) -> Task:
        """Receive words of an output stream of a layout; with ``nonblock``, once they come."""
        task = Task(self.ports.receive(port, target, count))
        self.settle()
        if not nonblock:
            self.task_wait(task)
        return task

    def get_port_id(self, name: str) -> str:
        """Streams go by their names."""
        return name

    # ---- looking

    def read_symbol(self, x: int, y: int, name: str, dtype: Any = "uint8") -> NDArray[Any]:
        """The memory of a symbol of a PE, in coordinates of the fabric."""
        return debug_util.of(self.messages).get_symbol(x, y, name, dtype)

    def dump_core(self, path: Any = "") -> None:
        """Memory stays as it is: ``read_symbol`` and ``debug_util`` read it."""

    def task_wait(self, task: Task) -> None:
        """Commands are done when their calls return, but for words that are still to come."""
        self.settle()
        if not self.is_task_done(task):
            self.ports.check(self._stuck)

    def is_task_done(self, task: Task) -> bool:
        """Whether nothing of it is still to come."""
        return not any(each is task.waits for each in self.ports.waiting)
