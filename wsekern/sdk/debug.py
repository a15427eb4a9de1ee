"""``cerebras.sdk.debug.debug_util``: what a finished run left."""

from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.sdk.messages import LAST, Messages


class debug_util:
    """Reads memory and traces of the run that was made last, in coordinates of the fabric."""

    def __init__(self, bindir: Any, cmaddr: str | None = None) -> None:
        if not LAST:
            raise InputError("nothing has run yet: debug_util reads what a run of this script left")
        self._see(LAST[0])

    @classmethod
    def of(cls, messages: Messages) -> "debug_util":
        """What a certain run left."""
        made = cls.__new__(cls)
        made._see(messages)
        return made

    def _see(self, messages: Messages) -> None:
        self.messages, self.machine = messages, messages.machine

    def _place(self, column: int, row: int) -> tuple[int, int]:
        x, y = self.machine.made.offsets
        return column - x, row - y

    def read_trace(self, px: int, py: int, key: str) -> list[Any]:
        """Values that a PE recorded under a key, in order."""
        return self.messages.traces.get((*self._place(px, py), key), [])

    def get_symbol(self, col: int, row: int, symbol: str, dtype: Any) -> np.ndarray:
        """A symbol's memory on a PE."""
        return self.get_symbol_rect(((col, row), (1, 1)), symbol, dtype)[0, 0]

    def get_symbol_rect(self, rectangle: Any, symbol: str, dtype: Any) -> np.ndarray:
        """A symbol's memory on the PEs of ((column, row), (width, height)): [width][height][elements]."""
        (column, row), (width, height) = rectangle
        x, y = self._place(column, row)
        simulation, layout, kind = self.machine.simulation, self.machine.made.layout, np.dtype(dtype)
        rows: list[list[np.ndarray]] = []
        for i in range(width):
            rows.append([])
            for j in range(height):
                program = layout.programs[int(layout.program_of[y + j, x + i])]
                addresses = program.addresses()
                if symbol not in addresses:
                    raise InputError(f"PE ({x + i}, {y + j}) has no symbol {symbol!r}; exported variables keep their names")
                from wsekern.program.operands import TYPE_BYTES
                element, count = program.symbols[symbol]
                data = simulation.memory_of(x + i, y + j)
                start = addresses[symbol]
                rows[-1].append(np.frombuffer(data[start : start + count * TYPE_BYTES[element]], kind))
        return np.array(rows)
