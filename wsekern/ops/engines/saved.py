"""The clocks of a flow engine as plain data and arrays, which a file can hold."""

from dataclasses import fields
from typing import Any

import msgspec
import numpy as np

from wsekern.errors import InputError
from wsekern.ops.operation import Operation


class SavedOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation by its name and its fields, which are plain numbers, names and lists of numbers."""

    name: str
    fields: dict[str, str | int | float | tuple[int, ...] | None]

    @classmethod
    def of(cls, operation: Operation) -> "SavedOperation":
        """``operation`` as data."""
        found = {field.name: _plain(vars(operation)[field.name]) for field in fields(operation)}  # type: ignore[arg-type]
        return cls(type(operation).__name__, found)

    def operation(self) -> Operation:
        """The operation; :class:`InputError` where there is none of that name with such fields."""
        try:
            return _known(Operation)[self.name](**self.fields)  # type: ignore[type-abstract]
        except (KeyError, TypeError):
            raise InputError(f"no operation {self.name[:40]!r} with fields {', '.join(self.fields)[:80]}") from None


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers."""
    return value.item() if isinstance(value, np.generic) else value


def _known(kind: type[Operation]) -> dict[str, type[Operation]]:
    """The operations that are kinds of ``kind``, by their names."""
    return {kind.__name__: kind} | {name: one for below in kind.__subclasses__() for name, one in _known(below).items()}


class SavedSent(msgspec.Struct, forbid_unknown_fields=True):
    """Words that may be under way along an axis: of which operation, and when (lines, PEs) it began."""

    axis: str
    label: str
    operation: SavedOperation
    precision: str
    starts: np.ndarray


class SavedWatch(msgspec.Struct, forbid_unknown_fields=True):
    """What a :class:`wsekern.ops.engines.sharing.LinkWatch` knows."""

    last: list[SavedSent]
    previous: str
    loose: tuple[str, str | None] | None
    met: str
    settled: bool
    ran: list[SavedOperation]
    turned: list[SavedOperation]


class SavedClocks(msgspec.Struct, forbid_unknown_fields=True):
    """Cycles by cause of a row (height, causes) and a column (width, causes) of PEs, and of each PE (height, width, causes)
    where these do not stand for all."""

    row: np.ndarray
    column: np.ndarray
    grid: np.ndarray | None
    link_traversals: int
    notes: dict[str, str]
    watch: SavedWatch
    counted: dict[str, int]
    """What an engine counts beside."""


def saved_operations(operations: set[Operation]) -> list[SavedOperation]:
    """Of a set, in an order that is always the same."""
    return sorted(map(SavedOperation.of, operations), key=repr)


def fitting(array: np.ndarray, like: np.ndarray, what: str) -> np.ndarray:
    """``array`` if it has the shape and type of ``like``."""
    if array.shape != like.shape or array.dtype != like.dtype:
        raise InputError(f"the saved {what} is {array.dtype} {array.shape}, expected {like.dtype} {like.shape}")
    return array
