"""Source text, places in it, and what is said about them: file, line, column, the line itself and a caret."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from wsekern.errors import InputError, check_source

MAX_ERRORS = 20
"""After so many no others are looked for."""
MAX_BYTES = 16 << 20
"""A source file longer than this is a mistake: the longest public one has 0.1 MB."""


@dataclass(frozen=True, eq=False)
class Source:
    """A file of CSL and its name as messages show it."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path | str, name: str | None = None) -> "Source":
        """The file at ``path``; :class:`InputError` where it cannot be read or is no text."""
        path = Path(path)
        shown = name or str(path)
        check_source(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{shown}: {path.stat().st_size} bytes are no CSL source; expected at most {MAX_BYTES}")
            return cls(shown, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{shown}: byte {error.start} is no UTF-8; expected a text file of CSL") from None
        except OSError as error:
            raise InputError(f"{shown}: {error.strerror or error}") from None

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(i + 1 for i, character in enumerate(self.text) if character == "\n")]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character, both from 1."""
        line = bisect_right(self._starts, offset) - 1
        return line + 1, offset - self._starts[line] + 1

    def line(self, number: int) -> str:
        """Line ``number``, from 1, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line that it begins in, from 1."""
        return self.source.place(self.start)[0]

    def __str__(self) -> str:
        line, column = self.source.place(self.start)
        return f"{self.source.name}:{line}:{column}"


@dataclass(frozen=True)
class Note:
    """Where something in a diagnostic comes from: a declaration, an import, a parameter."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Diagnostic:
    """What is wrong (or, a warning, doubtful) at a place."""

    message: str
    span: Span | None
    severity: str = "error"
    notes: tuple[Note, ...] = ()

    def text(self) -> str:
        """As a compiler prints it: place, message, the line with a caret, then the notes."""
        parts = [_said(self.severity, self.message, self.span)]
        parts += [_said("note", note.message, note.span) for note in self.notes]
        return "\n".join(parts)


def _said(severity: str, message: str, span: Span | None) -> str:
    if span is None:
        return f"{severity}: {message}"
    number, column = span.source.place(span.start)
    line = span.source.line(number)
    before = "".join("\t" if character == "\t" else " " for character in line[: column - 1])
    length = max(1, min(span.end - span.start, len(line) - column + 1))
    return f"{span}: {severity}: {message}\n    {line}\n    {before}^{'~' * (length - 1)}"


class CslError(InputError):
    """A program is not CSL, or not CSL that can be built: ``diagnostics``, the first of them an error."""

    in_lines = True

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(diagnostic.text() for diagnostic in diagnostics))
        self.diagnostics = tuple(diagnostics)


@dataclass
class Diagnostics:
    """What a compilation has to say, in the order it was found."""

    found: list[Diagnostic] = field(default_factory=list)

    def warn(self, message: str, span: Span | None, *notes: Note) -> None:
        """Say once that something is doubtful."""
        warning = Diagnostic(message, span, "warning", notes)
        if warning not in self.found:
            self.found.append(warning)

    def error(self, message: str, span: Span | None, *notes: Note) -> None:
        """Keep an error; the compilation goes on to find more."""
        self.found.append(Diagnostic(message, span, "error", notes))

    @property
    def errors(self) -> list[Diagnostic]:
        """Those that make the program unusable."""
        return [each for each in self.found if each.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        """Those that do not."""
        return [each for each in self.found if each.severity == "warning"]

    def check(self) -> None:
        """Raise :class:`CslError` where there is an error."""
        if self.errors:
            raise CslError(self.errors)
