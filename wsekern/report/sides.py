"""What all comparisons show of their sides: a column each, marks of the front, assumptions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from wsekern.compare.front import COSTS

UNITS = dict(zip(COSTS, ("USD", "J"), strict=True))
"""What a cost is counted in."""

FRONT = ("On a Pareto front: no other system here is better in both tokens/s for each user and the price (USD) or energy (J) "
         "of an output token.")
"""What the marks of a front mean."""

_LABEL = 26  # widest column of names beside several sides


@dataclass(frozen=True)
class SideTable:
    """A table of named rows with a column for each side; of several, what the screen has no room for is continued below."""

    title: str | Text
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    caption: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        blocks = self._blocks(options.max_width)
        for number, columns in enumerate(blocks):
            table = Table(title=self.title if number == 0 else None, title_justify="left", caption_justify="left",
                          caption=self.caption if number == len(blocks) - 1 else None)
            table.add_column("", max_width=_LABEL if len(self.headings) > 3 else None)
            for column in columns:
                table.add_column(self.headings[column], justify="right", overflow="fold")
            for name, cells in self.rows:
                table.add_row(name, *(cells[column] for column in columns))
            yield table

    def _blocks(self, width: int) -> list[list[int]]:
        """Columns of each table; up to three are squeezed into one."""
        if len(self.headings) <= 3:
            return [list(range(len(self.headings)))]
        blocks: list[list[int]] = [[]]
        start = 4 + min(_LABEL, max(len(name) for name, _ in self.rows))
        used = start
        for column, heading in enumerate(self.headings):
            words = [*heading.split(), *(line for _, cells in self.rows for line in cells[column].split("\n"))]
            needed = 3 + max(map(len, words))
            if blocks[-1] and used + needed > width:
                blocks.append([])
                used = start
            blocks[-1].append(column)
            used += needed
        return blocks


class Bounded(Protocol):
    """A side whose figures may be known as ranges alone."""

    @property
    def bounds(self) -> tuple[Any, Any] | None:
        """The side with the least and the largest times that it may have; None where they are known."""


class Assuming(Protocol):
    """A side that says what its figures take for granted."""

    @property
    def assumptions(self) -> list[str]:
        """A sentence each."""


def assumed(sides: Mapping[str, Assuming], shared: Sequence[str] = ()) -> Text:
    """What is assumed, each sentence once with the names of the sides that it is of, unless of all; ``shared`` ones first."""
    of: dict[str, list[str]] = {}
    for name, side in sides.items():
        for line in dict.fromkeys(side.assumptions):
            of.setdefault(line, []).append(name)
    lines = [*shared, *(line if 1 < len(sides) == len(names) else f"{', '.join(names)}: {line}" for line, names in of.items())]
    return Text("\n".join(["Assumed", *(f"- {line}" for line in dict.fromkeys(lines))]), style="dim")


def in_cell(side: Bounded | None, show: Callable[[Any], str]) -> str:
    """A figure of a side: its least and its largest value where the machine was not measured."""
    if side is None:
        return "-"
    shown = list(dict.fromkeys(show(one) for one in side.bounds or (side,)))
    rates = all(map(_is_number, shown))  # which have no unit, and fall as times grow
    return "\nto ".join(reversed(shown) if rates else shown)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def front_marks(fronts: Mapping[str, Sequence[object]], key: object) -> str:
    """The costs on whose front a system is."""
    return ", ".join(UNITS[cost] for cost, names in fronts.items() if key in names)
