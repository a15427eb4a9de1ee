"""How objects look at a prompt and in a notebook: one short line, and a table of what they hold.

A public class inherits :class:`Shown`, or :class:`Tabled` where its line is short as Python writes it. Dataclasses and
:class:`msgspec.Struct` show their fields; others say in ``_facts`` what there is to see. What cannot inherit, as a compiled
class, calls :func:`line` and :func:`table`.
"""

from dataclasses import fields, is_dataclass
from html import escape
from types import FunctionType
from typing import Any

import numpy as np

LINE = 160
"""Characters of a line at a prompt, about."""


class Tabled:
    """Notebooks show a table (``_repr_html_``)."""

    __slots__ = ()

    def _facts(self) -> dict[str, Any]:
        """Name -> value of what is worth seeing: the fields, unless a class knows better."""
        names = getattr(type(self), "__struct_fields__", ()) or (
            [field.name for field in fields(self) if not field.name.startswith("_")] if is_dataclass(self) else ())
        return {name: getattr(self, name) for name in names}

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self._facts())


class Shown(Tabled):
    """Prints itself in one line of about :data:`LINE` characters; notebooks show a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return line(type(self).__name__, self._facts())


def line(kind: str, facts: dict[str, Any]) -> str:
    """An object as one line of about :data:`LINE` characters."""
    shown, used = [], len(kind) + 2
    for name, value in facts.items():
        item = f"{name}={short(value)}"
        used += len(item) + 2
        if used > LINE:
            shown.append("...")
            break
        shown.append(item)
    return f"{kind}({', '.join(shown)})"


def table(kind: str, facts: dict[str, Any]) -> str:
    """An object as a table of HTML."""
    left = "style='text-align:left'"
    rows = "".join(f"<tr><th {left}>{escape(name)}</th><td {left}>{_cell(value)}</td></tr>" for name, value in facts.items())
    return f"<table><caption>{escape(kind)}</caption>{rows}</table>"


def short(value: Any) -> str:
    """A value in a few characters: plain ones as Python writes them, arrays by shape and type, anything long by its kind."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape} {value.dtype}"
    if isinstance(value, Shown):
        name = getattr(value, "name", None)
        return f"{type(value).__name__}({name!r})" if isinstance(name, str) else f"{type(value).__name__}(...)"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, FunctionType | type):
        return value.__name__
    text = repr(value)
    if len(text) <= 72:
        return text
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    return f"{text[:69]}..." if isinstance(value, str) else f"{type(value).__name__}(...)"


def _cell(value: Any) -> str:
    """A value in a table: texts whole, the entries of short lists and dictionaries one below the other."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict) and len(value) <= 16:
        return "<br>".join(f"{escape(str(key))}: {escape(short(entry))}" for key, entry in value.items())
    if isinstance(value, (tuple, list)) and len(value) <= 16:
        return "<br>".join(escape(entry if isinstance(entry, str) else short(entry)) for entry in value)
    return escape(short(value))
