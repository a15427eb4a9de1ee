"""What PEs tell the host: text that they print, values for later, conditions that do not hold."""

import re
from typing import Any

import numpy as np

from wsekern.csl.library import HOST_COLOR, Site
from wsekern.errors import SimulationError
from wsekern.program.operands import NUMPY_TYPES

LAST: list["Messages"] = []
"""Those of the run that was made last, for scripts that read traces after it."""


class Messages:
    """Words on the host's color, put together by PE."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.sites: dict[int, list[Site]] = {}
        for built in machine.made.programs:
            self.sites[machine.made.layout.number_of(built.program)] = built.sites
        self.words: dict[tuple[int, int], list[int]] = {}
        self.text: dict[tuple[int, int], str] = {}
        self.traces: dict[tuple[int, int, str], list[Any]] = {}
        self.log: list[str] = []
        LAST[:] = [self]

    def read(self) -> None:
        """Take what came since the last call."""
        if HOST_COLOR not in self.machine.taps:
            return
        for record in self.machine.simulation.receive(HOST_COLOR):
            place = int(record["x"]), int(record["y"])
            held = self.words.setdefault(place, [])
            held.append(int(record["data"]))
            program = int(self.machine.made.layout.program_of[place[1], place[0]])
            site = self.sites[program][held[0]]
            needed = 1 + (3 if site.types == ("time",) else len(site.types))
            if len(held) == needed:
                self._message(place, site, held[1:], int(record["cycle"]))
                held.clear()

    def _message(self, place: tuple[int, int], site: Site, words: list[int], cycle: int) -> None:
        if site.kind == "trap":
            raise SimulationError(f"PE {place}, cycle {cycle}: {site.text}")
        if site.kind == "print":
            self._print(place, site, [value_of(word, kind) for word, kind in zip(words, site.types, strict=True)], cycle)
            return
        key, _, text = site.text.partition("\0")
        if site.types == ("time",):
            value: Any = words[0] | words[1] << 16 | words[2] << 32
        else:
            value = value_of(words[0], site.types[0]) if words else text
        self.traces.setdefault((*place, key), []).append(value)

    def _print(self, place: tuple[int, int], site: Site, values: list[Any], cycle: int) -> None:
        left = iter(values)
        shown = re.sub(r"\{\{|\}\}|\{(\w*)\}", lambda match: shown_as(match, left), site.text)
        *lines, rest = (self.text.get(place, "") + shown).split("\n")
        self.text[place] = rest
        for line in lines:
            self.log.append(f"@{cycle} {line}")
            print(line)


def shown_as(match: re.Match[str], values: Any) -> str:
    """A mark of a format and its value as text."""
    if match[0] in ("{{", "}}"):
        return match[0][0]
    value = next(values)
    if match[1] in ("X", "x"):
        return f"{int(value) & 0xFFFFFFFF:X}" if match[1] == "X" else f"{int(value) & 0xFFFFFFFF:x}"
    if match[1] == "b":
        return "true" if value else "false"
    return str(value)


def value_of(word: int, kind: str) -> Any:
    """A word's bits as an element type."""
    dtype = np.dtype(NUMPY_TYPES[kind])
    if kind == "bf16":
        return np.uint32((word & 0xFFFF) << 16).view(np.float32)
    bits = np.array(word, np.uint32) if dtype.itemsize == 4 else np.array(word & 0xFFFF, np.uint16)
    return bits.view(dtype)[()]
