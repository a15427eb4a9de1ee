"""Markdown tables."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the cells of a row are as many as the header's."""
    lines = [_line(header), f"|{'---|' * len(header)}"]
    lines += [_line([str(cell) for cell in row]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    one_line = (" ".join(cell.split("\n")) for cell in cells)  # Markdown has no cells of several
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in one_line)} |"
