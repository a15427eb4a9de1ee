"""What ``validate`` prints: one row per published measurement, and a summary per group."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median
from typing import Any

from wsekern.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measurement beside its prediction; ``predicted`` is None where there is none, and ``note`` says why.

    ``fitted`` rows were used to set a parameter: they are shown, and left out of the group's statistics.
    """

    id: str
    group: str
    measured: float
    predicted: float | None
    unit: str
    note: str = ""
    source: str = ""
    fitted: bool = False

    @property
    def error(self) -> float | None:
        """Signed error as a fraction of the measurement."""
        if self.predicted is None or not self.measured:
            return None
        return self.predicted / self.measured - 1.0

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON."""
        return {**asdict(self), "error": self.error}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of one kind. Errors are absolute fractions over the ``tested`` rows: predicted, and not used for fitting."""

    group: str
    count: int
    predicted: int
    fitted: int
    tested: int
    median_error: float | None
    p90_error: float | None
    worst_error: float | None

    @classmethod
    def of(cls, name: str, members: list[Row]) -> "Group":
        """The summary of ``members``."""
        errors = [abs(row.error) for row in members if row.error is not None and not row.fitted]
        return cls(group=name, count=len(members), predicted=sum(row.predicted is not None for row in members),
                   fitted=sum(row.fitted for row in members), tested=len(errors),
                   median_error=median(errors) if errors else None, p90_error=ninetieth(errors) if errors else None,
                   worst_error=max(errors) if errors else None)


def ninetieth(errors: list[float]) -> float:
    """The error that nine in ten of ``errors`` do not exceed."""
    return sorted(errors)[min(len(errors) - 1, int(0.9 * len(errors)))]


def summarise(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}``, plain data for JSON."""
    rows = list(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return {"rows": [row.as_dict() for row in rows],
            "groups": [asdict(Group.of(name, members)) for name, members in sorted(groups.items())]}


def fault_note(error: Exception) -> str:
    """What a row says where the program failed at it: the kind of the fault too, so that it is seen."""
    return f"could not be predicted: {type(error).__name__}: {error}"


def read_value(row: dict[str, str]) -> float:
    """The measurement of a row of a table; :class:`InputError` if it is no finite number."""
    text = row.get("value") or ""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(f"value {text!r} is not a number")
    return value


def stated_fitted(row: dict[str, str]) -> bool | None:
    """What the column ``fitted`` says, None in a table without it; :class:`InputError` if it is neither yes, no nor empty."""
    text = row.get("fitted")
    if text is None:
        return None
    if text not in ("yes", "no", ""):
        raise InputError(f"fitted is {text!r}: expected yes, no or nothing")
    return text == "yes"
