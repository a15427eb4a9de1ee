"""The folder that a compilation leaves, and the simulation that a run makes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.csl.build import Build, Export, Options, build
from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.program.operands import NUMPY_TYPES

META = "wsekern.json"


def write(folder: Path, source: Path, made: Build, fabric: tuple[int, int], offsets: tuple[int, int],
          given: dict[str, int]) -> None:
    """Write what a host script reads (out.json) and what a run needs."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    write_file(folder / "out.json", json.dumps({"params": {name: str(value) for name, value in given.items()}, "colors": {}}))
    meta = {"source": str(source.resolve()), "params": given, "arch": made.options.arch, "dialect": made.options.dialect,
            "fp16": made.options.fp16, "folders": [str(each) for each in made.options.folders], "fabric": fabric,
            "offsets": offsets}
    write_file(folder / META, json.dumps(meta, indent=1))


def read(folder: Path) -> Build:
    """The compiled layout of a folder."""
    path = folder / META
    if not path.is_file():
        raise InputError(f"{folder} is no folder of a compiled program: it has no {META}; compile one with cslc")
    meta = json.loads(path.read_text())
    options = Options(meta["arch"], meta["dialect"], meta["fp16"], tuple(Path(each) for each in meta["folders"]))
    return build(meta["source"], meta["params"], options, tuple(meta["fabric"]), tuple(meta["offsets"]))


@dataclass(eq=False)
class Place:
    """An exported name on some PEs: the export of each program, by number in the layout."""

    name: str
    exports: dict[int, Export]


class Machine:
    """A program on the wafer: memory of its exports, launches, streams."""

    def __init__(self, made: Build) -> None:
        self.made = made
        taps = made.taps
        self.simulation = made.layout.compile(taps=taps)
        self.taps = taps
        self._fill()
        self.exports: dict[str, Place] = {}
        for built in made.programs:
            number = made.layout.programs.index(built.program)
            for name, export in built.exports.items():
                self.exports.setdefault(name, Place(name, {})).exports[number] = export

    def _fill(self) -> None:
        """Initial values that differ between PEs."""
        for built in self.made.programs:
            addresses = built.program.addresses()
            for symbol, offset, kind, each in built.memory:
                pes = (built.pes[:, 1] * self.made.layout.width + built.pes[:, 0]).astype(np.int32)
                values = np.asarray(each).astype(NUMPY_TYPES[kind]).reshape(-1, 1)
                self.copy_in(addresses[symbol] + offset, pes, values)

    def copy_in(self, address: int, pes: np.ndarray, rows: np.ndarray) -> None:
        """Rows of values into the memory of PEs."""
        from wsekern.errors import raise_for_status
        raise_for_status(self.simulation._cores.copy_in(address, np.ascontiguousarray(pes, np.int32),
                                                        np.ascontiguousarray(rows).view(np.uint8)))

    def copy_out(self, address: int, pes: np.ndarray, rows: np.ndarray) -> None:
        """Memory of PEs into rows."""
        from wsekern.errors import raise_for_status
        raise_for_status(self.simulation._cores.copy_out(address, np.ascontiguousarray(pes, np.int32), rows.view(np.uint8)))

    def holders(self, name: str, x: int, y: int, width: int, height: int) -> list[tuple[Export, Any, np.ndarray]]:
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
