"""What a run needs of a compilation: programs on PEs, what they export, and where their variables are."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.library import Site
from wsekern.program.layout import Layout
from wsekern.program.program import Program

LAUNCH, CHOSEN = "launch", "__launched"
"""The task that the host starts, and the symbol to which it writes which exported function that calls (a number of an
:class:`Export`)."""


@dataclass(frozen=True)
class Export:
    """What the host knows by a name: memory (symbol, byte offset, elements of a type of numpy) or a function."""

    name: str
    symbol: str = ""
    offset: int = 0
    elements: int = 0
    element: str = ""
    arguments: tuple[str, ...] = ()
    """Types of numpy of a function's arguments."""
    registers: tuple[str, ...] = ()
    """Symbols of a function's arguments."""
    number: int = 0
    """Of a function among those that the program exports."""
    pointer: str = ""
    """Symbol of the pointer, where code may change it."""


@dataclass(frozen=True)
class Variable:
    """Where a variable of CSL is: in memory (symbol, byte offset) or in a register; elements of a type of the core. A
    variable of a function lives while its PE is at ``code[first]`` to ``code[last]`` (exclusive) of the program."""

    name: str
    """As CSL has it: ``x``, ``module.x``, ``x.field``."""
    type: str
    """As CSL has it."""
    element: str
    shape: tuple[int, ...] = ()
    symbol: str = ""
    offset: int = 0
    register: int = -1
    value: bool | int | float | None = None
    """Of what is known while the program is compiled, and so has no place."""
    function: str = ""
    first: int = 0
    last: int = 0


@dataclass(eq=False)
class Part:
    """A program, and the PEs that run it: [PEs][x, y]."""

    program: Program
    pes: NDArray[np.int64]
    exports: dict[str, Export]
    memory: list[tuple[str, int, str, NDArray]] = field(default_factory=list)
    """Initial values that differ between PEs: (symbol, byte offset, element type, value of each PE)."""
    sites: list[Site] = field(default_factory=list)
    """Places that tell the host something."""
    variables: list[Variable] = field(default_factory=list)
    numbers: dict[str, NDArray] = field(default_factory=dict)
    """Known numbers that differ between PEs: of each PE, by the name in CSL."""


@dataclass(eq=False)
class Image:
    """A compiled layout, ready to run."""

    layout: Layout
    programs: list[Part]
    taps: tuple[int, ...] = ()
    """Colors whose words the host takes at the ramps."""
    offsets: tuple[int, int] = (0, 0)
    """Where the PE (0, 0) lies on the fabric, as the host counts."""
