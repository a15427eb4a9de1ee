"""What a program declares (memory, queues, descriptors, FIFOs, routes, tasks), its instructions, and which operands fit them.

This is all that :class:`wsekern.program.code.Code` and the text form know of a program.
"""

from dataclasses import dataclass, field

import numpy as np

from wsekern.errors import InputError, check_flags, check_text, check_whole, is_whole
from wsekern.fabric.routes import Ports, Position, Route, make_route
from wsekern.machine.timing import LIBRARY
from wsekern.program.instructions import COLORS, INSTRUCTIONS, SOURCES, Instruction, Origin, Scalar, TaskEntry, Vector
from wsekern.program.operands import (
    INTEGERS,
    NUMPY_TYPES,
    TYPE_BYTES,
    Array,
    ElementType,
    Fabric,
    Fifo,
    Mem,
    Mem4d,
    Named,
    Operand,
    Register,
    Ring,
    element_type,
    numbers_of,
)
from wsekern.program.values import Variable
from wsekern.shown import Shown

MOST_ELEMENTS = 1 << 24
"""Elements of a symbol: more than the memory of any PE holds."""


@dataclass(eq=False, repr=False)
class Symbols(Shown):
    """Memory, queues, descriptors, tasks and instructions of a program, and checks of operands against them.

    ``symbols``: name -> (element type, elements).
    """

    name: str
    symbols: dict[str, tuple[ElementType, int]] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    """Color of each input queue in use."""
    outputs: dict[int, int] = field(default_factory=dict)
    """Color of each output queue in use."""
    code: list[Instruction] = field(default_factory=list)
    tasks: dict[str, TaskEntry] = field(default_factory=dict)
    descriptors: dict[str, Operand] = field(default_factory=dict)
    """Descriptors that each PE holds for itself."""
    fifos: dict[str, Fifo] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    """Routes that the program may put on a color while it runs."""
    initial: dict[str, np.ndarray] = field(default_factory=dict)
    """Values of symbols at the start; zeros where none are given."""
    blocked_queues: set[int] = field(default_factory=set)
    """Input queues that start no task until they are unblocked."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Names of the numbers in which PEs of the program differ, and their places."""
    kept_registers: set[int] = field(default_factory=lambda: {0})
    """Registers that no task may use for itself: 0 holds the word of a data task, others belong to subroutines."""
    labels: int = 0
    origins: dict[int, Origin] = field(default_factory=dict)
    """Where instructions come from, by their place in ``code``, if a compiler wrote them."""

    def __post_init__(self) -> None:
        check_text(self.name, "the name of a program")

    # ---- memory and queues

    def memory(self, name: str, type: str, elements: int, initial: object = None) -> Array:
        """Reserve ``elements`` of ``type`` under ``name``; ``initial`` values fill it when the simulation is made."""
        kind = element_type(type)
        check_text(name, f"a symbol of program {self.name}")
        elements = check_whole(elements, f"elements of symbol {name} of program {self.name}", 0, MOST_ELEMENTS)
        if self.symbols.setdefault(name, (kind, elements)) != (kind, elements):
            raise InputError(f"program {self.name}: symbol {name} is {self.symbols[name]}, not {(kind, elements)}")
        if initial is not None:
            self.initial[name] = self._initial(name, kind, elements, initial)
        return Array(name, kind, elements)

    def _initial(self, name: str, kind: ElementType, elements: int, values: object) -> np.ndarray:
        try:
            given = np.broadcast_to(np.asarray(values), (elements,))
            whole = kind not in ("fp32", "fp16")        # bf16 is given by its bits
            if given.dtype.kind in "biuf" and not (whole and given.dtype.kind == "f" and (given != np.trunc(given)).any()):
                return given.astype(NUMPY_TYPES[kind])
        except (ValueError, TypeError, OverflowError):
            pass
        raise InputError(f"program {self.name}: initial values of symbol {name}: expected numbers that {kind} holds, one "
                         f"or {elements}")

    array = memory

    def variable(self, name: str, type: str, initial: float = 0) -> Variable:
        """A scalar in memory: read and written by every task, and by the host as a symbol of one element."""
        return Variable(self.memory(name, type, 1, initial))

    def parameter(self, name: str) -> int:
        """A number in which the PEs of the program differ; ``Layout.set_parameter`` sets it."""
        check_text(name, f"a parameter of program {self.name}")
        return self.parameters.setdefault(name, len(self.parameters))

    def input_queue(self, color: int, queue: int | None = None) -> int:
        """The input queue bound to ``color``: the one it has, else ``queue``, else a new one."""
        return self._queue("input", self.inputs, color, queue)

    def output_queue(self, color: int, queue: int | None = None) -> int:
        """The output queue bound to ``color``: the one it has, else ``queue``, else a new one."""
        return self._queue("output", self.outputs, color, queue)

    def _queue(self, what: str, bindings: dict[int, int], color: int, wanted: int | None) -> int:
        if wanted is not None:
            check_whole(wanted, f"as {what} queue of program {self.name}", 0)
        if not is_whole(color) or not 0 <= color < COLORS:
            raise InputError(f"program {self.name}: color {color!r} does not exist: use 0 to {COLORS - 1}")
        bound = next((queue for queue, other in bindings.items() if other == color), None)
        if bound is None:
            bound = next(queue for queue in range(len(bindings) + 1) if queue not in bindings) if wanted is None else wanted
        if wanted not in (None, bound) or bindings.setdefault(bound, color) != color:
            raise InputError(f"program {self.name}: {what} queue {wanted} for color {color}, but "
                             + (f"that queue has color {bindings[wanted]}" if wanted in bindings else
                                f"the color has queue {bound}"))
        return bound

    def fabin(self, color: int, extent: int, type: str, packing: int | None = None, *, queue: int | None = None) -> Fabric:
        """Descriptor of ``extent`` elements that arrive on ``color``. ``queue``: the input queue to bind, where its number
        matters: it is that of the microthread."""
        return Fabric(self.input_queue(color, queue), extent, element_type(type), packing)

    def fabout(self, color: int, extent: int, type: str, packing: int | None = None, *, control: bool = False,
               advance_switch: bool = False, index: int | None = None, same_index: bool = False,
               queue: int | None = None) -> Fabric:
        """Descriptor of ``extent`` elements that leave on ``color``. A ``queue`` that is bound to another color takes them too
        (WSE-2 only)."""
        shared = queue is not None and queue in self.outputs and self.outputs[queue] != color
        return Fabric(queue if shared else self.output_queue(color, queue), extent, element_type(type), packing, control,
                      advance_switch, index, same_index, color if shared else None)

    def descriptor(self, name: str, operand: Operand) -> Named:
        """A descriptor that each PE holds for itself (explicit DSR), and may change while it runs."""
        check_text(name, f"a descriptor of program {self.name}")
        self.check_operand("descriptor", operand, 1)
        self.descriptors[name] = operand
        return Named(name)

    def fifo(self, name: str, type: str, elements: int, on_push: str | None = None, on_pop: str | None = None) -> Fifo:
        """A FIFO of ``elements`` in memory of its own."""
        self.fifos[name] = Fifo(name, self.memory(name, type, elements), on_push, on_pop)
        return self.fifos[name]

    def route(self, name: str, rx: Ports, tx: Ports, switches: tuple[Position, ...] = (), **more: object) -> str:
        """A route that ``set_route`` in the code can put on a color of its own PE while the program runs."""
        self.routes[check_text(name, f"a route of program {self.name}")] = make_route(rx, tx, switches, **more)
        return name

    def new_label(self) -> str:
        """A label that is not in use."""
        self.labels += 1
        return f"L{self.labels}"

    def late_queues(self) -> set[int]:
        """Input queues that instructions bind to the colors of their words."""
        sources = [operand for item in self.code if isinstance(item, Vector) for operand in item.operands[1:]]
        sources += [item.target for item in self.code if isinstance(item, Scalar) and item.form == "take"]
        stated = [self.stated(operand) for operand in sources]
        return {operand.queue for operand in stated if isinstance(operand, Fabric) and operand.color is not None}

    # ---- checks

    def check_vector(self, item: Vector) -> None:
        """Refuse a vector instruction that does not exist or whose operands do not fit it."""
        where = f"program {self.name}: {item.name}"
        if not isinstance(item.name, str) or item.name not in INSTRUCTIONS:
            raise InputError(f"program {self.name}: no instruction {item.name!r}: use one of {', '.join(INSTRUCTIONS)}")
        (operation, arithmetic), operands = INSTRUCTIONS[item.name], item.operands
        if len(operands) != 1 + SOURCES.get(operation, 2):
            raise InputError(f"{where} has {len(operands)} operands")
        check_flags(item)
        for operand in operands:
            self._check_kind(item.name, operand)
        stated = [self.stated(operand) for operand in operands]
        extents = {operand.extent for operand in stated if isinstance(operand, (Mem4d, Ring, Fabric))
                   or (isinstance(operand, Mem) and operand.stride)}
        if item.repeat < 0 or not all(is_whole(extent) and extent >= 0 for extent in extents):
            raise InputError(f"{where}: operands have extents {list(extents)}, expected one, not negative")
        if len(extents) > 1 and not any(isinstance(operand, Named) for operand in operands):
            raise InputError(f"{where}: operands of {item.name} have extents {sorted(extents)}, expected one, not negative")
        if (item.repeat != 1 or item.times is not None) and any(isinstance(operand, (Fabric, Fifo)) for operand in stated):
            raise InputError(f"{where}: a repeated {item.name} takes memory operands only")
        if item.microthread is not None and not any(isinstance(operand, (Fabric, Fifo)) for operand in stated):
            raise InputError(f"{where}: an asynchronous instruction needs an operand of the fabric or a FIFO")
        if item.microthread is not None and item.name in LIBRARY:
            raise InputError(f"{where} is software, which runs on the main thread: leave out the microthread")
        if isinstance(item.dst, Fabric) and item.dst.index is not None and TYPE_BYTES[item.dst.type] != 2:
            raise InputError(f"{where}: a word with an index holds a 16-bit element, not {item.dst.type}")
        for operand in operands:
            self._check_place(item.name, operand, 1 if item.times is not None else item.repeat)
        self._check_types(item, stated, operation, arithmetic)
        self._check_words(item, stated)

    def _check_conversion(self, item: Vector, types: list[ElementType], operation: str) -> None:
        """Refuse operands of conversions that are not a float on one side and 16 bits of an integer on the other."""
        whole, real = types if operation == "to_integer" else types[::-1]
        size = TYPE_BYTES[INSTRUCTIONS[item.name][1]] if operation == "from_integer" else 4 if item.name == "fs2xp16" else 2
        if whole not in ("i16", "u16") or real in INTEGERS or TYPE_BYTES[real] != size:
            raise InputError(f"program {self.name}: {item.name}: operands of types {' and '.join(types)} do not fit")

    def _check_types(self, item: Vector, stated: list[Operand], operation: str, arithmetic: ElementType) -> None:
        """Refuse operands that the arithmetic cannot take. Moves within one width move bits of any type; sources of a 16-bit
        operation have 16 bits of one format, as all operands of integer operations have the instruction's width."""
        types = [self.type_of(operand) for operand in stated]
        if operation == "mov" and len({TYPE_BYTES[type] for type in types}) == 1:
            return
        if operation in ("from_integer", "to_integer"):
            self._check_conversion(item, types, operation)
            return
        narrow = TYPE_BYTES[arithmetic] == 2 and operation != "mov"
        for k, type in enumerate(types):
            same_width = TYPE_BYTES[type] == TYPE_BYTES[arithmetic]
            if (type in INTEGERS) != (arithmetic in INTEGERS) or (
                    operation != "mov" and not same_width and (arithmetic in INTEGERS or (narrow and k > 0))):
                raise InputError(f"program {self.name}: {item.name}: an operand of type {type} does not fit")
        if narrow and len({"fp16", "bf16"} & set(types[1:])) == 2:
            raise InputError(f"program {self.name}: {item.name}: fp16 and bf16 sources in one instruction")

    def _check_words(self, item: Vector, stated: list[Operand]) -> None:
        """Refuse words that hold no whole elements, and queues or FIFOs that one instruction would read twice."""
        where, seen = f"program {self.name}: {item.name}", set()
        for k, operand in enumerate(stated):
            if isinstance(operand, Fabric):
                most = 1 if operand.index is not None else 4 // TYPE_BYTES[operand.type]
                if not 1 <= operand.elements_per_word <= most:
                    raise InputError(f"{where}: {operand.elements_per_word} elements of {operand.type} in a word; expected "
                                     f"1{' or 2' if most == 2 else ''}")
            if k == 0 or not isinstance(operand, (Fabric, Fifo)):
                continue
            source = operand.queue if isinstance(operand, Fabric) else operand.name
            if source in seen:
                raise InputError(f"{where}: two sources are the same queue or FIFO ({source})")
            seen.add(source)

    def stated(self, operand: Operand) -> Operand:
        """A named descriptor as the program states it; any other operand as it is."""
        if not isinstance(operand, Named):
            return operand
        if operand.name not in self.descriptors:
            raise InputError(f"program {self.name}: no descriptor {operand.name!r}")
        return self.descriptors[operand.name]

    def _check_kind(self, instruction: str, operand: object) -> None:
        """Refuse what is no operand, and numbers of elements that are no whole numbers."""
        numbers, where = numbers_of(operand), f"program {self.name}: {instruction}"
        if numbers is None:
            raise InputError(f"{where}: {operand!r} is no operand: expected a descriptor, a FIFO or a value")
        for name, number in numbers:
            if not is_whole(number) or not -(1 << 31) <= number < 1 << 31:
                raise InputError(f"{where}: {name} is {number!r}, expected a whole number of 32 bits")

    def check_operand(self, instruction: str, operand: Operand, repeat: int) -> None:
        """Refuse elements outside the operand's symbol, and queues that are not bound."""
        self._check_kind(instruction, operand)
        self._check_place(instruction, operand, repeat)

    def _check_place(self, instruction: str, operand: Operand, repeat: int) -> None:
        check_flags(operand)
        if isinstance(operand, Fabric):
            if operand.queue not in self.inputs and operand.queue not in self.outputs:
                raise InputError(f"program {self.name}: {instruction} uses queue {operand.queue}, which has no color")
            return
        if isinstance(operand, (Register, Named)):
            self.stated(operand)
            return
        if operand.symbol not in self.symbols:
            raise InputError(f"program {self.name}: {instruction} uses symbol {operand.symbol!r}, which has no memory")
        low, high = _reach(operand, repeat)
        elements = self.elements_of(operand)
        if operand.extent > 0 and repeat > 0 and not (low >= 0 and high < elements):
            raise InputError(f"program {self.name}: {instruction} reaches elements {low} to {high} of "
                             f"symbol {operand.symbol}, which has {elements}")

    def elements_of(self, operand: Operand) -> int:
        """Elements of the symbol of a descriptor of memory, as the descriptor takes them."""
        stored, elements = self.symbols[operand.symbol]
        return elements * TYPE_BYTES[stored] // TYPE_BYTES[self.type_of(operand)]

    def type_of(self, operand: Operand) -> ElementType:
        """Element type of an operand."""
        operand = self.stated(operand)
        if isinstance(operand, (Fabric, Register)):
            return operand.type
        viewed = operand.type if isinstance(operand, (Mem, Mem4d)) else None
        return viewed or self.symbols[operand.symbol][0]


def _reach(operand: Operand, repeat: int) -> tuple[int, int]:
    """First and last element of its symbol that an operand touches."""
    if isinstance(operand, Mem4d):
        spans = [(size - 1) * stride for size, stride in zip(operand.shape, operand.strides, strict=True)]
        return operand.offset + sum(min(0, span) for span in spans), operand.offset + sum(max(0, span) for span in spans)
    if not isinstance(operand, Mem):
        return 0, 0
    last_repeat, last = max(0, repeat - 1) * operand.advance, max(0, operand.extent - 1) * operand.stride
    return (operand.offset + min(0, last_repeat) + min(0, last), operand.offset + max(0, last_repeat) + max(0, last))
