"""The folder that a compilation leaves: what a run needs, as text that people can read, and arrays.

``wsekern.json`` says which programs there are, what they export and where their variables are; ``programs/`` holds their
code as :meth:`wsekern.program.Program.text`; ``arrays.npz`` says which PE runs which, and holds parameters, routes and
initial values that differ between PEs. Nothing in it is executed but as a program of simulated PEs.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from wsekern.csl.build import Build
from wsekern.csl.image import LAUNCH, Export, Image, Part, Variable
from wsekern.csl.library import Site
from wsekern.errors import InputError, raise_for_status
from wsekern.fabric import CounterFilter, RangeFilter
from wsekern.fabric.plan import PlacedFilter
from wsekern.fabric.routes import Route
from wsekern.output import write_file
from wsekern.program.layout import Layout
from wsekern.program.operands import NUMPY_TYPES
from wsekern.program.program import Program

META, ARRAYS, PROGRAMS, FORMAT = "wsekern.json", "arrays.npz", "programs", 1


@dataclass
class StoredFilter:
    """A filter on a rectangle: one of the two rules."""

    color: int
    area: tuple[int, int, int, int]
    range: RangeFilter | None = None
    counter: CounterFilter | None = None


@dataclass
class StoredPart:
    """A program: its file, and what of a part is no array."""

    file: str
    exports: dict[str, Export]
    memory: list[tuple[str, int, str]]
    sites: list[Site]
    variables: list[Variable]


@dataclass
class Stored:
    """``wsekern.json``."""

    format: int
    source: str
    params: dict[str, int]
    arch: str
    dialect: str
    size: tuple[int, int]
    taps: tuple[int, ...]
    offsets: tuple[int, int]
    routes: list[Route]
    filters: list[StoredFilter] = field(default_factory=list)
    programs: list[StoredPart] = field(default_factory=list)
    profile: str = "vendor-simulator"


# ---- writing ----


def write(folder: Path, source: Path, made: Build, given: dict[str, int]) -> None:
    """Write what a host script reads (out.json) and what a run needs."""
    for each in ("bin", PROGRAMS):
        (folder / each).mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)     # written last: a folder with it is whole
    for old in (folder / PROGRAMS).glob("*.txt"):
        old.unlink()
    write_file(folder / "out.json", json.dumps({"params": {name: str(value) for name, value in given.items()}, "colors": {}}))
    layout = made.layout
    routes = list(dict.fromkeys(each.route for each in layout.fabric.painted if each.route is not None))
    stored = Stored(FORMAT, str(source.resolve()), given, made.options.arch, made.options.dialect,
                    (layout.width, layout.height), made.taps, made.offsets, routes,
                    [_stored(each) for each in layout.fabric.placed_filters], profile=layout.profile)
    arrays = {"program_of": layout.program_of, "parameters": layout.parameters, "painted": _painted(layout, routes)}
    for k, part in enumerate(sorted(made.programs, key=lambda part: layout.number_of(part.program))):
        name = f"{k}_{part.program.name}.txt"
        write_file(folder / PROGRAMS / name, part.program.text())
        stored.programs.append(StoredPart(name, part.exports, [each[:3] for each in part.memory], part.sites, part.variables))
        arrays[f"pes_{k}"] = part.pes.astype(np.int32)
        arrays |= {f"memory_{k}_{j}": each[3] for j, each in enumerate(part.memory)}
        arrays |= {f"number_{k}_{name}": each for name, each in part.numbers.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    write_file(folder / ARRAYS, packed.getvalue())
    write_file(folder / META, msgspec.json.format(msgspec.json.encode(stored), indent=1))


def _stored(placed: PlacedFilter) -> StoredFilter:
    kind = "range" if isinstance(placed.rule, RangeFilter) else "counter"
    return StoredFilter(placed.color, (placed.x, placed.y, placed.width, placed.height), **{kind: placed.rule})


def _painted(layout: Layout, routes: list[Route]) -> NDArray[np.int32]:
    """[rectangles][color, x, y, width, height, route (-1: none)]."""
    numbers = {route: k for k, route in enumerate(routes)} | {None: -1}
    rows = [(each.color, each.x, each.y, each.width, each.height, numbers[each.route]) for each in layout.fabric.painted]
    return np.array(rows, np.int32).reshape(-1, 6)


# ---- reading ----

NO_ARRAY = (OSError, ValueError, EOFError, SyntaxError, TokenError, TypeError, zipfile.BadZipFile, zlib.error)
"""What numpy raises of a file that is cut, altered or no array."""


def read(folder: Path) -> Image:
    """The compiled layout of a folder. Nothing is compiled: the sources need not be there any more."""
    if not (folder / META).is_file():
        raise InputError(f"{folder} is no folder of a compiled program: it has no {META}; compile one with cslc")
    try:
        stored = msgspec.json.decode((folder / META).read_bytes(), type=Stored)
        if stored.format != FORMAT:
            raise msgspec.ValidationError(f"format {stored.format}")
        with open(folder / ARRAYS, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _image(folder, stored, arrays)
    except (msgspec.DecodeError, KeyError, IndexError, *NO_ARRAY) as error:
        raise InputError(f"{folder} was written by another version of wsekern or is damaged ({error}): compile again") from None


def _image(folder: Path, stored: Stored, arrays: Any) -> Image:
    layout = Layout(stored.arch, *stored.size, stored.profile, open_edges=True)
    layout.fabric.allow_reserved = True
    for color, x, y, width, height, number in arrays["painted"].tolist():
        if number < 0:
            layout.fabric.erase(color, x=x, y=y, width=width, height=height)
        else:
            layout.fabric.paint_route(color, stored.routes[number], x=x, y=y, width=width, height=height)
    for each in stored.filters:
        x, y, width, height = each.area
        layout.fabric.filter(each.color, each.range or each.counter, x=x, y=y, width=width, height=height)
    parts = []
    for k, part in enumerate(stored.programs):
        program = Program.parse((folder / PROGRAMS / part.file).read_text(), str(folder / PROGRAMS / part.file))
        memory = [(*place, arrays[f"memory_{k}_{j}"]) for j, place in enumerate(part.memory)]
        names = [name.removeprefix(f"number_{k}_") for name in arrays.files if name.startswith(f"number_{k}_")]
        parts.append(Part(program, arrays[f"pes_{k}"], part.exports, memory, part.sites, part.variables,
                          {name: arrays[f"number_{k}_{name}"] for name in names}))
    layout.set_programs([part.program for part in parts], arrays["program_of"])
    layout.parameters = arrays["parameters"]
    return Image(layout, parts, stored.taps, stored.offsets)


# ---- running ----


@dataclass(eq=False)
class Place:
    """An exported name on some PEs: the export of each program, by number in the layout."""

    name: str
    exports: dict[int, Export]


class Machine:
    """A program on the wafer: memory of its exports, launches, streams."""

    def __init__(self, made: Image) -> None:
        self.made = made
        self.taps = made.taps
        self.simulation = made.layout.compile(taps=made.taps)
        self._fill()
        self.exports: dict[str, Place] = {}
        for part in made.programs:
            number = made.layout.number_of(part.program)
            for name, export in part.exports.items():
                self.exports.setdefault(name, Place(name, {})).exports[number] = export

    def _fill(self) -> None:
        """Initial values that differ between PEs."""
        for part in self.made.programs:
            addresses = part.program.addresses()
            for symbol, offset, kind, each in part.memory:
                pes = (part.pes[:, 1] * self.made.layout.width + part.pes[:, 0]).astype(np.int32)
                values = np.asarray(each).astype(NUMPY_TYPES[kind]).reshape(-1, 1)
                self.copy_in(addresses[symbol] + offset, pes, values)

    def copy_in(self, address: int, pes: NDArray, rows: NDArray) -> None:
        """Rows of values into the memory of PEs."""
        raise_for_status(self.simulation._cores.copy_in(address, np.ascontiguousarray(pes, np.int32),
                                                        np.ascontiguousarray(rows).view(np.uint8)))

    def copy_out(self, address: int, pes: NDArray, rows: NDArray) -> None:
        """Memory of PEs into rows."""
        raise_for_status(self.simulation._cores.copy_out(address, np.ascontiguousarray(pes, np.int32), rows.view(np.uint8)))

    def launch(self, program: Any, pes: NDArray) -> None:
        """Let the task that calls exported functions begin on PEs of a program."""
        number = next(k for k, each in enumerate(self.made.layout.programs) if each is program)
        task = self.simulation._placed[number].tasks[LAUNCH]
        raise_for_status(self.simulation._cores.launch(np.ascontiguousarray(pes, np.int32), task))

    def holders(self, name: str, x: int, y: int, width: int, height: int) -> list[tuple[Export, Any, NDArray]]:
        """(export, program, PEs by number) of an exported name in a rectangle."""
        layout = self.made.layout
        which = layout.program_of[y : y + height, x : x + width]
        numbers = (np.arange(y, y + height)[:, None] * layout.width + np.arange(x, x + width)[None]).astype(np.int32)
        found = []
        for number in np.unique(which):
            export = self.exports[name].exports.get(int(number))
            if export is not None:
                found.append((export, layout.programs[int(number)], numbers[which == number]))
        return found
