"""A function as a list of vector instructions over named vectors: what programs, clocks and values are made of.

Names: ``x`` and ``y`` come in and ``out`` goes out, in the stored type; ``s`` is room of 16-bit integers, every other name room
of the type that steps compute in. ``x.top`` and ``x.low``: the top and the low 16 bits of every element, as integers; one and
the same of a 16-bit type. Numbers are constants of the operation's type.
"""

from dataclasses import dataclass
from functools import cached_property

from wsekern.program.operands import TYPE_BYTES, ElementType

Source = str | float | int


@dataclass(frozen=True)
class Step:
    """One vector instruction: an operation of :meth:`wsekern.machine.timing.Timing.instruction` in the type that steps compute
    in (``fma``: a + b * c; ``max``: a where a > b, else b), or an integer instruction such as ``add16`` on bits."""

    operation: str
    target: str
    sources: tuple[Source, ...]

    @property
    def on_bits(self) -> bool:
        """Whether it is an integer instruction of 16 bits."""
        return self.operation.endswith("16")

    def __str__(self) -> str:
        return f"{self.target} = {self.operation}({', '.join(map(str, self.sources))})"


@dataclass(frozen=True)
class Recipe:
    """The steps of one function in one pair of types."""

    name: str
    work: ElementType
    stored: ElementType
    steps: tuple[Step, ...]

    def __hash__(self) -> int:  # without the steps, which these mostly decide
        return hash((self.name, self.work, self.stored))

    def text(self) -> str:
        """A step in each line."""
        return "\n".join(map(str, self.steps))

    def type_of(self, name: str) -> ElementType:
        """Element type of a vector."""
        base = name.partition(".")[0]
        return self.stored if base in ("x", "y", "out") else "u16" if base == "s" else self.work

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """``x``, or ``x`` and ``y``."""
        read = {name for step in self.steps for name in step.sources}
        return ("x", "y") if "y" in read else ("x",)

    @cached_property
    def rooms(self) -> dict[str, int]:
        """Room beside what comes in and goes out: name -> the bank, of four, in which it should begin: no two vectors that a
        multiply-add reads in the same one."""
        names = dict.fromkeys(step.target.partition(".")[0] for step in self.steps)
        banks: dict[str, int] = {}
        for name in (name for name in names if name not in ("out", *self.inputs)):
            beside = {other for step in self.steps if step.operation == "fma" and name in step.sources
                      for other in step.sources if other in banks}
            taken = {banks[other] for other in beside}
            banks[name] = next(bank for bank in range(4) if bank not in taken)
        return banks

    def vector_bytes(self, name: str, elements: int) -> int:
        """Bytes of one of the rooms: whole rounds of four banks of 16-bit words, one more where it may begin in any of them."""
        size = TYPE_BYTES[self.type_of(name)]
        return 8 * (-(-elements * size // 8) + (size == 2))

    def room_bytes(self, elements: int) -> int:
        """Bytes of the room for ``elements`` elements, constants included."""
        vectors = sum(self.vector_bytes(name, elements) for name in self.rooms)
        numbers = {(step.on_bits, source) for step in self.steps for source in step.sources if not isinstance(source, str)}
        return vectors + 4 * len(numbers)
