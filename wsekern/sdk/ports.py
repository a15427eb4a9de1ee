"""Streams between the host and ports of an SdkLayout."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.errors import DeadlockError, InputError, raise_for_status
from wsekern.sdk.artifact import Machine
from wsekern.sdk.layout import SdkCompileArtifacts, Stream


class Ports:
    """Words on their way to streams, and those that came from them."""

    def __init__(self, machine: Machine, artifacts: SdkCompileArtifacts) -> None:
        self.machine, self.streams = machine, artifacts.streams
        self.held: dict[str, list[int]] = {name: [] for name, each in self.streams.items() if not each.incoming}
        self.waiting: list[tuple[str, NDArray[Any], int]] = []
        for name, (x, y), rows in artifacts.symbols:
            self._fill(name, x, y, rows)

    def _fill(self, name: str, x: int, y: int, rows: NDArray[Any]) -> None:
        """Initial values of a variable of a code region."""
        layout = self.machine.made.layout
        height, width = rows.shape[:2]
        for number in np.unique(layout.program_of[y : y + height, x : x + width]):
            program = layout.programs[int(number)]
            if name not in program.symbols:
                raise InputError(f"the program {program.name} has no variable {name!r} to set: exported variables keep names")
            here = np.argwhere(layout.program_of[y : y + height, x : x + width] == number)
            pes = ((here[:, 0] + y) * layout.width + here[:, 1] + x).astype(np.int32)
            raise_for_status(self.machine.simulation._cores.copy_in(
                program.addresses()[name], pes, np.ascontiguousarray(rows[here[:, 0], here[:, 1]]).view(np.uint8)))

    def stream(self, name: str, incoming: bool) -> Stream:
        """A stream by name."""
        found = self.streams.get(name)
        if found is None or found.incoming != incoming:
            kind = "input" if incoming else "output"
            known = ", ".join(each for each, stream in self.streams.items() if stream.incoming == incoming)
            raise InputError(f"no {kind} stream {name!r}: the layout has {known or 'none'}")
        return found

    def send(self, name: str, values: ArrayLike) -> None:
        """Let the bytes of an array come in, a word of 32 bits after the other."""
        stream, data = self.stream(name, True), np.ascontiguousarray(values).reshape(-1)
        if data.nbytes % 4:
            raise InputError(f"{data.nbytes} bytes for the stream {name}: expected whole words of 4 bytes")
        self.machine.simulation.send(stream.color, data.view(np.uint32), *stream.cell, stream.side)

    def receive(self, name: str, target: NDArray[Any], count: int | None) -> Any:
        """Fill the first elements of an array with words once they come."""
        self.stream(name, False)
        elements = target.size if count is None else count
        if elements > target.size or elements * target.itemsize % 4:
            raise InputError(f"{elements} elements of {target.dtype} from the stream {name} into an array of {target.size}: "
                             "expected at most as many as it has, in whole words of 4 bytes")
        if not target.flags["C_CONTIGUOUS"]:
            raise InputError(f"the array for the stream {name} is not contiguous: receive into a copy")
        self.waiting.append((name, target.reshape(-1)[:elements], elements * target.itemsize // 4))
        return self.waiting[-1]

    def deliver(self) -> None:
        """Take words that came, and fill the arrays that wait for them, in order."""
        places = {(each.color, each.cell, each.side): name for name, each in self.streams.items() if not each.incoming}
        for color in {each.color for each in self.streams.values() if not each.incoming}:
            for word in self.machine.simulation.receive(color):
                name = places.get((color, (int(word["x"]), int(word["y"])), SIDES[int(word["port"])]))
                if name is not None and not word["control"]:
                    self.held[name].append(int(word["data"]))
        late = []
        for each in self.waiting:
            name, target, count = each
            held = self.held[name]
            if len(held) < count or any(name == other[0] for other in late):
                late.append(each)
                continue
            target[:] = np.array(held[:count], np.uint32).view(target.dtype)
            del held[:count]
        self.waiting = late

    def check(self, why: Any) -> None:
        """Refuse to wait where nothing moves any more."""
        if self.waiting:
            name, _, count = self.waiting[0]
            message = f"{len(self.held[name])} of {count} words came from the stream {name}, and nothing moves any more"
            raise DeadlockError(f"{message}; {why}" if why else message)


SIDES = ("NORTH", "EAST", "SOUTH", "WEST", "RAMP")
"""By number of the port."""
