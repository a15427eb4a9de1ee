"""A PE program: vector instructions over descriptors of memory and fabric, named as a CSL programmer knows them."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine.timing import Timing

ElementType = Literal["fp32", "fp16", "bf16", "u32", "u16"]

TYPE_CODES = {"fp32": 0, "fp16": 1, "bf16": 2, "u32": 3, "u16": 4}
TYPE_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "u32": 4, "u16": 2}
NUMPY_TYPES = {"fp32": np.float32, "fp16": np.float16, "bf16": np.uint16, "u32": np.uint32, "u16": np.uint16}
_OP_CODES = {"halt": 0, "spend": 1, "mov": 2, "add": 3, "sub": 4, "mul": 5, "max": 6, "fma": 7}
_ABSENT, _MEM, _FABIN, _FABOUT = range(4)
_QUEUES = 8
INSTRUCTION_BYTES = 16
"""What an instruction is counted as against the 48 KB of a PE: four 32-bit words of opcode and descriptor loads."""

# Instruction -> (what it does, precision of the arithmetic); h instructions work in fp16 or, on bf16 operands, in bf16.
INSTRUCTIONS = {
    "mov32": ("mov", "u32"), "mov16": ("mov", "u16"), "add16": ("add", "u16"),
    "fmovs": ("mov", "fp32"), "fadds": ("add", "fp32"), "fsubs": ("sub", "fp32"), "fmuls": ("mul", "fp32"),
    "fmaxs": ("max", "fp32"), "fmacs": ("fma", "fp32"), "fmachs": ("fma", "fp32"), "faddhs": ("add", "fp32"),
    "fmovh": ("mov", "fp16"), "faddh": ("add", "fp16"), "fsubh": ("sub", "fp16"), "fmulh": ("mul", "fp16"),
    "fmaxh": ("max", "fp16"), "fmach": ("fma", "fp16"),
}


@dataclass(frozen=True)
class Mem:
    """Memory descriptor (mem1d): ``extent`` elements of ``symbol`` from ``offset``, ``stride`` elements apart (0: one
    scalar for all); in each repeat of a map the first element moves on by ``advance``."""

    symbol: str
    extent: int
    offset: int = 0
    stride: int = 1
    advance: int = 0


@dataclass(frozen=True)
class Fabric:
    """Fabric descriptor: ``extent`` elements of ``type`` through input or output queue ``queue``."""

    queue: int
    extent: int
    type: ElementType


@dataclass
class Program:
    """Code, memory and queue bindings of the PEs that run it; held once however many PEs do.

    ``symbols``: name -> (element type, elements). Instructions run in order and the program ends after the last.
    """

    name: str
    symbols: dict[str, tuple[ElementType, int]] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    """Color of each input queue in use."""
    outputs: dict[int, int] = field(default_factory=dict)
    """Color of each output queue in use."""
    code: list[tuple] = field(default_factory=list)

    def memory(self, name: str, type: ElementType, elements: int) -> str:
        """Reserve ``elements`` of ``type`` under ``name``."""
        if self.symbols.setdefault(name, (type, elements)) != (type, elements):
            raise InputError(f"program {self.name}: symbol {name} is {self.symbols[name]}, not {(type, elements)}")
        return name

    def input_queue(self, color: int) -> int:
        """The input queue bound to ``color``, a new one where there is none yet."""
        return self._queue(self.inputs, color)

    def output_queue(self, color: int) -> int:
        """The output queue bound to ``color``, a new one where there is none yet."""
        return self._queue(self.outputs, color)

    @staticmethod
    def _queue(bindings: dict[int, int], color: int) -> int:
        for queue, bound in bindings.items():
            if bound == color:
                return queue
        bindings[len(bindings)] = color
        return len(bindings) - 1

    def fabin(self, color: int, extent: int, type: ElementType) -> Fabric:
        """Descriptor of ``extent`` elements that arrive on ``color``."""
        return Fabric(self.input_queue(color), extent, type)

    def fabout(self, color: int, extent: int, type: ElementType) -> Fabric:
        """Descriptor of ``extent`` elements that leave on ``color``."""
        return Fabric(self.output_queue(color), extent, type)

    def spend(self, cycles: int) -> None:
        """Scalar code that takes ``cycles``: function entry, descriptor loads, software functions."""
        if cycles:
            self.code.append(("spend", cycles))

    def spend_parameter(self, index: int) -> None:
        """Scalar code that takes as many cycles as parameter ``index`` of the PE says."""
        self.code.append(("spend_parameter", index))

    def emit(self, instruction: str, dst: Mem | Fabric, a: Mem | Fabric, b: Mem | Fabric | None = None,
             c: Mem | Fabric | None = None, *, repeat: int = 1, between: int = 0) -> None:
        """One vector instruction: dst = a, a + b, a - b, a * b, max(a, b) or a + b * c for each element.

        ``repeat`` runs it that many times with descriptors moving by their ``advance``, each time for ``between``
        further cycles, as a map does; memory operands only.
        """
        if instruction not in INSTRUCTIONS:
            raise InputError(f"program {self.name}: no instruction {instruction!r}: use one of {', '.join(INSTRUCTIONS)}")
        operation, _ = INSTRUCTIONS[instruction]
        operands = [operand for operand in (dst, a, b, c) if operand is not None]
        if len(operands) != {"mov": 2, "fma": 4}.get(operation, 3):
            raise InputError(f"program {self.name}: {instruction} has {len(operands)} operands")
        extents = {operand.extent for operand in operands if isinstance(operand, Fabric) or operand.stride}
        if len(extents) != 1 or min(extents) < 0 or repeat < 0:
            raise InputError(f"program {self.name}: operands of {instruction} have extents {sorted(extents)}, "
                             "expected one, not negative")
        if repeat != 1 and any(isinstance(operand, Fabric) for operand in operands):
            raise InputError(f"program {self.name}: a repeated {instruction} takes memory operands only")
        for operand in operands:
            self._check_operand(instruction, operand, repeat)
        self.code.append((instruction, dst, a, b, c, repeat, between, extents.pop()))

    def _check_operand(self, instruction: str, operand: Mem | Fabric, repeat: int) -> None:
        """Refuse elements outside the operand's symbol, and queues that are not bound."""
        if isinstance(operand, Fabric):
            if operand.queue not in self.inputs and operand.queue not in self.outputs:
                raise InputError(f"program {self.name}: {instruction} uses queue {operand.queue}, which has no color")
            return
        if operand.symbol not in self.symbols:
            raise InputError(f"program {self.name}: {instruction} uses symbol {operand.symbol!r}, which has no memory")
        last_repeat, last = max(0, repeat - 1) * operand.advance, max(0, operand.extent - 1) * operand.stride
        corners = [operand.offset + a + b for a in (0, last_repeat) for b in (0, last)]
        elements = self.symbols[operand.symbol][1]
        if operand.extent > 0 and repeat > 0 and not (min(corners) >= 0 and max(corners) < elements):
            raise InputError(f"program {self.name}: {instruction} reaches elements {min(corners)} to {max(corners)} of "
                             f"symbol {operand.symbol}, which has {elements}")

    def addresses(self) -> dict[str, int]:
        """Byte address of every symbol; the code is counted apart, after the data."""
        addresses, at = {}, 0
        for name, (type, elements) in self.symbols.items():
            addresses[name] = at
            at += -(-elements * TYPE_BYTES[type] // 4) * 4
        return addresses

    @property
    def code_bytes(self) -> int:
        """Bytes of code, counted as INSTRUCTION_BYTES each, with the final halt."""
        return INSTRUCTION_BYTES * (len(self.code) + 1)

    @property
    def data_bytes(self) -> int:
        """Bytes of all symbols."""
        return sum(-(-elements * TYPE_BYTES[type] // 4) * 4 for type, elements in self.symbols.values())

    @property
    def bytes(self) -> int:
        """Bytes of code and data on each PE."""
        return self.code_bytes + self.data_bytes

    def check(self, timing: Timing) -> None:
        """Refuse a program that does not fit a PE of the machine: memory, queues, colors."""
        core = timing.machine.core
        if self.bytes > int(core.sram):
            raise BudgetError(f"program {self.name} takes {self.bytes} B of code and data, a PE of "
                              f"{timing.machine.name} has {int(core.sram)} B: use smaller tiles or more PEs")
        for what, used, there in (("input", self.inputs, core.input_queues), ("output", self.outputs,
                                                                             core.output_queues)):
            if len(used) > len(there.values):
                raise BudgetError(f"program {self.name} uses {len(used)} {what} queues, a PE of "
                                  f"{timing.machine.name} has {len(there.values)}")

    def encode(self, timing: Timing) -> np.ndarray:
        """int32 records of the code for the core, timed for one machine and profile."""
        addresses = self.addresses()
        rows = [self._record(timing, addresses, item) for item in self.code]
        return np.array([*rows, _row(_OP_CODES["halt"])], np.int32)

    def _record(self, timing: Timing, addresses: dict[str, int], item: tuple) -> list[int]:
        if item[0] == "spend":
            return _row(_OP_CODES["spend"], extent=item[1])
        if item[0] == "spend_parameter":
            return _row(_OP_CODES["spend"], extent_param=item[1])
        instruction, dst, a, b, c, repeat, between, extent = item
        operation, arithmetic = INSTRUCTIONS[instruction]
        types = [self._type(operand) for operand in (dst, a, b, c) if operand is not None]
        if arithmetic == "fp16" and "bf16" in types:
            arithmetic = "bf16"
        fabric = [operand for operand in (dst, a, b, c) if isinstance(operand, Fabric)]
        packing = {4 // TYPE_BYTES[operand.type] for operand in fabric} or {1}
        if len(packing) != 1:
            raise InputError(f"program {self.name}: the words of {instruction} hold {sorted(packing)} elements each")
        rate = timing.rate(instruction)
        operands = [self._operand(addresses, operand, index == 0) for index, operand in enumerate((dst, a, b, c))]
        return _row(_OP_CODES[operation], TYPE_CODES[arithmetic], extent, repeat=repeat, packing=packing.pop(),
                    setup=timing.setup(instruction), between=between, num=rate.numerator, den=rate.denominator,
                    operands=[value for operand in operands for value in operand])

    def _type(self, operand: Mem | Fabric) -> ElementType:
        return operand.type if isinstance(operand, Fabric) else self.symbols[operand.symbol][0]

    def _operand(self, addresses: dict[str, int], operand: Mem | Fabric | None, target: bool) -> list[int]:
        if operand is None:
            return [_ABSENT, 0, 0, 0, -1, 0, 0]
        type = self._type(operand)
        if isinstance(operand, Fabric):
            return [_FABOUT if target else _FABIN, TYPE_CODES[type], operand.queue, 0, -1, 0, 0]
        base = addresses[operand.symbol] + operand.offset * TYPE_BYTES[type]
        return [_MEM, TYPE_CODES[type], 0, base, -1, operand.stride, operand.advance]

    def header(self, timing: Timing, first: int) -> list[int]:
        """int32 record of the program whose code begins at record ``first``."""
        core = timing.machine.core
        depths = (core.input_queues.values, core.output_queues.values)
        row = [first, len(self.code) + 1, self.data_bytes]
        for bindings in (self.inputs, self.outputs):
            row += [bindings.get(queue, -1) for queue in range(_QUEUES)]
        for bindings, depth in zip((self.inputs, self.outputs), depths, strict=True):
            row += [depth[queue] if queue in bindings else 0 for queue in range(_QUEUES)]
        return row


def _row(op: int, type: int = 0, extent: int = 0, *, extent_param: int = -1, repeat: int = 1, packing: int = 1,
         setup: int = 0, between: int = 0, num: int = 1, den: int = 1, operands: list[int] | None = None) -> list[int]:
    absent = [_ABSENT, 0, 0, 0, -1, 0, 0] * 4
    return [op, type, extent, extent_param, repeat, packing, setup, between, num, den, *(operands or absent)]
