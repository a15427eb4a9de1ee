"""Programs on rectangles of PEs, their parameters, and routes of colors: all that a simulation is made from."""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.errors import InputError, check_flag, check_text, check_whole, is_whole
from wsekern.fabric import FabricPlan, Position
from wsekern.fabric.routes import Ports
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.program.program import Program
from wsekern.shown import Shown


class ProgramPlan(Shown):
    """Programs and routes of a ``width`` x ``height`` grid of PEs of one machine; :class:`wsekern.program.Layout` is one that a
    simulation can be made of, and says more."""

    def __init__(self, machine: Machine | str, width: int, height: int, profile: str = "vendor-simulator", *,
                 open_edges: bool = False, banks: bool = True) -> None:
        self.machine = load_machine(machine)
        self.machine.check_grid(check_whole(width, "PEs of width", 1), check_whole(height, "PEs of height", 1))
        self.width, self.height, self.profile, self.banks = width, height, profile, check_flag(banks, "banks of a layout")
        self.timing = Timing(self.machine, profile, "fp32")
        self.programs: list[Program] = []
        self._numbers: dict[Program, int] = {}
        self.program_of = np.full((height, width), -1, np.int32)
        self.fabric = FabricPlan(width, height, self.machine, profile, open_edges=open_edges)
        """The routes; paint here what :meth:`set_route` does not offer: switches, filters, teardown, color swap."""
        self.parameters = np.zeros((height, width, 0), np.int32)
        """Parameters of each PE, (height, width, count): numbers in which PEs of one program differ."""

    def __copy__(self) -> Self:
        return deepcopy(self)

    def _facts(self) -> dict[str, Any]:
        return {"machine": self.machine, "profile": self.profile, "width": self.width, "height": self.height,
                "programs": [program.name for program in self.programs]}

    def set_program(self, program: Program, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> None:
        """Put ``program`` on a rectangle of PEs, in place of what was there."""
        self.check_rectangle(x, y, width, height)
        self.program_of[y:y + height, x:x + width] = self._index(program)

    def set_program_at(self, program: Program, x: NDArray[np.int64], y: NDArray[np.int64]) -> None:
        """Put ``program`` on the PEs (x[k], y[k])."""
        if x.size and (x.min() < 0 or y.min() < 0 or x.max() >= self.width or y.max() >= self.height):
            raise InputError(f"PEs from ({x.min()}, {y.min()}) to ({x.max()}, {y.max()}) do not lie on {self.width}x"
                             f"{self.height} PEs")
        self.program_of[y, x] = self._index(program)

    def set_programs(self, programs: list[Program], which: np.ndarray) -> None:
        """Put ``programs[which[y, x]]`` on PE (x, y) of the whole grid."""
        which = np.asarray(which)
        if not isinstance(programs, list) or not all(isinstance(program, Program) for program in programs):
            raise InputError(f"programs are {programs!r}: expected a list of Program")
        if which.shape != (self.height, self.width) or which.dtype.kind not in "iu":
            raise InputError(f"a map of programs of shape {which.shape} and type {which.dtype}: expected whole numbers of "
                             f"shape {(self.height, self.width)}")
        if which.size and not (which.min() >= 0 and which.max() < len(programs)):
            raise InputError(f"a map of programs with numbers {which.min()} to {which.max()}: there are {len(programs)} "
                             "programs")
        indices = np.array([self._index(program) for program in programs], np.int32)
        self.program_of[:] = indices[which]

    def set_route(self, color: int, rx: Ports, tx: Ports, x: int = 0, y: int = 0, width: int = 1,
                  height: int = 1, then: str | None = None) -> None:
        """Route ``color`` on a rectangle: words come in from ``rx`` and leave to ``tx`` (N, E, S, W, RAMP). ``then``: where
        they come in from once the color's switch is advanced."""
        switches = () if then is None else (Position(rx=then),)
        self.fabric.paint(color, rx, tx, x=x, y=y, width=width, height=height, switches=switches)

    def set_parameter(self, program: Program, name: str, values: ArrayLike) -> None:
        """Give parameter ``name`` of ``program`` a value on each PE: integers, broadcast to (height, width)."""
        check_text(name, "a parameter")
        if not isinstance(program, Program):
            raise InputError(f"{program!r} is no program")
        if name not in program.parameters:
            raise InputError(f"program {program.name} has no parameter {name!r}: it has "
                             f"{', '.join(program.parameters) or 'none'}")
        place = program.parameters[name]
        if place >= self.parameters.shape[2]:
            missing = place + 1 - self.parameters.shape[2]
            self.parameters = np.pad(self.parameters, ((0, 0), (0, 0), (0, missing)))
        here = self.program_of == self._index(program)
        self.parameters[here, place] = _integers(values, here.shape, f"parameter {name} of program {program.name}")[here]

    def number_of(self, program: Program) -> int:
        """The number of a program that lies on some PE, as ``program_of`` has it."""
        return self._numbers[program]

    def _index(self, program: Program) -> int:
        if not isinstance(program, Program):
            raise InputError(f"{program!r} is no Program")
        if program not in self._numbers:
            self._numbers[program] = len(self.programs)
            self.programs.append(program)
        return self._numbers[program]

    def check_rectangle(self, x: int, y: int, width: int, height: int) -> None:
        """Refuse a rectangle of PEs that does not lie on the grid."""
        whole = all(map(is_whole, (x, y, width, height)))
        if not whole or x < 0 or y < 0 or width < 1 or height < 1 or x + width > self.width or y + height > self.height:
            raise InputError(f"a rectangle of {width!r}x{height!r} PEs at ({x!r}, {y!r}) does not lie on {self.width}x"
                             f"{self.height} PEs")


def _integers(values: ArrayLike, shape: tuple[int, int], what: str) -> np.ndarray:
    """32-bit integers, broadcast to ``shape``."""
    limits = np.iinfo(np.int32)
    try:
        numbers = np.broadcast_to(np.asarray(values), shape)
    except ValueError:
        numbers = np.empty(0)
    if numbers.dtype.kind not in "iu" or (numbers.size and (numbers.min() < limits.min or numbers.max() > limits.max)):
        raise InputError(f"{what}: expected 32-bit integers that broadcast to {shape}")
    return numbers
