"""What ``validate`` prints: one row per published measurement, and a summary per group."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


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


def summarise(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}``; group errors are absolute fractions over the rows not used for fitting."""
    rows = list(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return {"rows": [row.as_dict() for row in rows],
            "groups": [_group(name, members) for name, members in sorted(groups.items())]}


def _group(name: str, members: list[Row]) -> dict[str, Any]:
    errors = sorted(abs(row.error) for row in members if row.error is not None and not row.fitted)
    return {"group": name, "count": len(members), "predicted": sum(row.predicted is not None for row in members),
            "fitted": sum(row.fitted for row in members), "tested": len(errors),
            "median_error": median(errors) if errors else None,
            "p90_error": errors[min(len(errors) - 1, int(0.9 * len(errors)))] if errors else None,
            "worst_error": errors[-1] if errors else None}
