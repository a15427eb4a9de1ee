"""Every error a user can meet. Each message says what, where, and what would be accepted."""

import contextlib
import math
import os
import stat
from dataclasses import fields
from functools import cache
from numbers import Integral
from typing import Any

from wsekern._common import status_table


class WsekernError(Exception):
    """Base of all wsekern errors; the command line prints it as one sentence and exits with 2."""

    in_lines = False
    """Whether the message is lines, which the command line prints as they are."""


class InputError(WsekernError, ValueError):
    """A description, file or argument is not acceptable; nothing has run."""


class BudgetError(InputError):
    """Something does not fit a PE or the wafer: memory, colors, queues, microthreads, task ids."""


def one_line(error: object) -> str:
    """What another library says, in the one line that a sentence has."""
    return " ".join(str(error).split())


def brief(value: float) -> str:
    """A number in at most six digits, also a whole one that no float holds."""
    try:
        return f"{value:g}"
    except OverflowError:
        return f"{'-' if value < 0 else ''}1e{math.floor(math.log10(abs(value)))} or more"


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, of Python or numpy (no bool)."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def check_whole(value: Any, what: str, least: int, most: int | None = None) -> int:
    """``value`` as an int, if it is a whole number in the range; else :class:`InputError` with ``what`` in it."""
    if is_whole(value) and least <= value and (most is None or value <= most):
        return int(value)
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{value!r} {what}: expected a whole number {limits}")


def check_flag(value: Any, what: str) -> bool:
    """``value``, if it is true or false, of Python or numpy; else :class:`InputError` with ``what`` it is."""
    if value is True or value is False or (getattr(value, "dtype", None) == "bool" and value.shape == ()):
        return bool(value)
    raise InputError(f"{value!r} as {what}: expected True or False")


@cache
def _flags_of(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls) if field.type in (bool, "bool"))


def check_flags(record: Any) -> None:
    """Check every field of a dataclass that is to be true or false, as :func:`check_flag` does."""
    for name in _flags_of(type(record)):
        value = getattr(record, name)
        if value is not True and value is not False:
            check_flag(value, f"{name} of {type(record).__name__}")


def check_text(value: Any, what: str) -> str:
    """``value``, if it is text; else :class:`InputError` with ``what`` it names."""
    if isinstance(value, str) and value:
        return value
    raise InputError(f"{value!r} as {what}: expected text")


class SimulationError(WsekernError, RuntimeError):
    """A run could not go on; ``report`` holds the PE, color, port, cycle and wait chain where known."""

    def __init__(self, message: str, report: dict | None = None):
        super().__init__(message)
        self.report = report or {}


class ProgramError(SimulationError):
    """A program did what the hardware allows and is hardly meant (:class:`ProgramWarning`), and the simulation is strict."""


class ProgramWarning(UserWarning):
    """A program did what the hardware allows and is hardly meant: words that nobody takes, routes replaced under words that
    are on their way, queues that two threads use at once, odd numbers of packed elements, memory read and never written, words
    that a receiver takes as fuller or emptier than they were sent."""


class RoutingError(SimulationError):
    """A wavelet met a routing rule it breaks."""


class DeadlockError(SimulationError):
    """Nothing moved while wavelets or PEs were waiting."""


class LivelockError(DeadlockError):
    """Wavelets move, but their routes lead them in a circle."""


class DeadlineError(SimulationError):
    """The deadline passed before the condition was met."""


STATUS: dict[str, int] = {name.removeprefix("WSK_").removeprefix("ERR_"): code for code, (name, _) in status_table().items()}
"""Codes of the C kernels' statuses by their names: ``STATUS["DEADLOCK"]``."""

# One table from C status to Python exception; a test asserts that no status is missing.
STATUS_EXCEPTIONS: dict[int, type[BaseException]] = {
    STATUS["NO_MEMORY"]: MemoryError,
    STATUS["BAD_ARGUMENT"]: InputError,
    STATUS["INTERRUPTED"]: KeyboardInterrupt,
    STATUS["BAD_BYTES"]: InputError,
    STATUS["OTHER_PLAN"]: InputError,
    STATUS["NO_ROOM"]: InputError,
    STATUS["BUSY"]: InputError,
    STATUS["UNROUTED"]: RoutingError,
    STATUS["TWO_INPUTS"]: RoutingError,
    STATUS["DEADLOCK"]: DeadlockError,
    STATUS["OFF_WAFER"]: RoutingError,
    STATUS["DEADLINE"]: DeadlineError,
    STATUS["LIVELOCK"]: LivelockError,
    STATUS["NO_WAY"]: BudgetError,
    STATUS["BAD_INSTRUCTION"]: SimulationError,
    STATUS["MEMORY_RANGE"]: SimulationError,
    STATUS["QUEUE_RANGE"]: SimulationError,
}


def raise_for_status(status: int, detail: str = "", report: dict | None = None) -> int:
    """Return ``status`` if it is not negative, else raise its exception with the table's sentence and ``detail``."""
    if status >= 0:
        return status
    _, text = status_table()[status]
    message = f"{text}: {detail}" if detail else text
    exception = STATUS_EXCEPTIONS[status]
    if issubclass(exception, SimulationError):
        raise exception(message, report)
    raise exception(message)


def check_source(path: str | os.PathLike[str]) -> None:
    """Refuse to read a device, since of some there is no end, and what is no name of a file. Where there is nothing, whoever
    opens it tells so."""
    mode = 0
    try:
        with contextlib.suppress(OSError):
            mode = os.stat(path).st_mode
    except ValueError:          # a NUL, or half of a pair of surrogates
        raise InputError(f"cannot read {os.fspath(path)!r}: no file has such a name") from None
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InputError(f"cannot read {path}: it is a device, expected a file")
