"""The tables of ``wsekern validate`` as Markdown, for the documentation."""

from collections.abc import Iterable
from typing import Any

from wsekern.errors import InputError
from wsekern.validation import cores, csl, formulas, gpu, wafer
from wsekern.validation.rows import summarise

FAMILIES = "Errors per GPU and model family, `wsekern validate --only gpu --families`; fitted rows are left out:"


def markdown(kind: str) -> str:
    """All groups of the shipped measurements: ``kind`` "wafer" (one table), or "gpu" (one of groups, one per GPU and family).

    Rows without a prediction are not counted, and groups without one are left out, of GPUs also those in which all rows are
    fitted. Nothing is written or printed; :class:`InputError` for another kind.
    """
    if kind == "wafer":
        return wafer_groups()
    if kind == "gpu":
        return gpu_tables()
    raise InputError(f"no validation tables of {kind!r}: use wafer or gpu")


def wafer_groups() -> str:
    """Groups of wafer operations, of published formulas, of the cores and of programs in CSL."""
    groups = [group for module in (wafer, formulas, cores, csl) for group in module.validate_rows()["groups"]]
    lines = [(group["group"], group["predicted"], group["fitted"],
              *(_percent(group[name]) for name in ("median_error", "worst_error")))
             for group in sorted(groups, key=lambda group: group["group"]) if group["predicted"]]
    return _table(("group", "rows", "of them fitted", "median error", "worst"), lines)


def gpu_tables() -> str:
    """Groups of GPU measurements, and their errors per GPU and model family."""
    rows = gpu.measurements()
    results = gpu.predict_rows(rows)
    return f"{_gpu_groups(summarise(results)['groups'])}\n\n{FAMILIES}\n\n{_gpu_families(gpu.families_of(rows, results))}"


def _gpu_groups(groups: list[dict[str, Any]]) -> str:
    lines = [(group["group"], group["predicted"], group["fitted"],
              *(_percent(group[name]) for name in ("median_error", "p90_error", "worst_error")))
             for group in groups if group["tested"]]
    return _table(("group", "rows", "of them fitted", "median error", "p90", "worst"), lines)


def _gpu_families(families: list[dict[str, Any]]) -> str:
    lines = [(line["kind"], line["gpu"], line["family"], line["tested"], _percent(line["median_error"]),
              _percent(line["p90_error"])) for line in families]
    return _table(("kind", "GPU", "family", "rows", "median error", "p90"), lines)


def _table(header: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table, without a newline behind its last line."""
    return "\n".join([_line(header), f"|{'---|' * len(header)}", *map(_line, lines)])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
