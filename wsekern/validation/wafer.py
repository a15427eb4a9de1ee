"""``validate --only wafer``: published measurements beside what ``predict op``, ``predict wafer`` and placements say."""

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from wsekern.errors import InputError, WsekernError, check_source
from wsekern.inference.predict import predict_layer
from wsekern.ops.predict import predict_op
from wsekern.validation.rows import Row, fault_note, read_value, stated_fitted, summarise
from wsekern.validation.services import predict_service

COLUMNS = ("id", "machine", "profile", "op", "value")
"""Columns that tell a table of wafer measurements from others."""

NATIVE_GRID = 256
"""PEs a side of the Qwen3 engine of the agent-memory notes, whose rows do not state a grid."""


def is_wafer_table(path: str | Path) -> bool:
    """Does the header of a CSV file name the columns of wafer measurements?"""
    check_source(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), [])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        return False
    return set(COLUMNS) <= set(header)


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file in the schema of the shipped table; columns that are absent count as empty."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: column {missing[0]!r} is missing, expected {', '.join(COLUMNS)} and what each op "
                                 "needs")
            return [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8: {error}") from None


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the measurements in ``path``, or of those the package ships."""
    return summarise(predict_rows(read_rows(path) if path is not None else shipped_rows()))


@cache
def shipped_rows() -> list[dict[str, str]]:
    """Rows of the table that the package ships."""
    with as_file(files("wsekern.validation") / "data" / "wafer-validation.csv") as shipped:
        return read_rows(shipped)


@cache
def _fitted_rows() -> dict[str, dict[str, str]]:
    """Shipped rows on which a constant was set, by id."""
    return {row["id"]: row for row in shipped_rows() if stated_fitted(row)}


SAME_MEASUREMENT = ("op", "grid", "tile", "relays", "value")
"""Columns by which a row of a table without the column ``fitted`` is known as the shipped row of its name."""


def is_fitted(row: dict[str, str]) -> bool:
    """Whether a constant was set on this very measurement: as its table states, else if it is such a row of the shipped table;
    another measurement under the same name is not."""
    stated = stated_fitted(row)
    if stated is not None:
        return stated
    known = _fitted_rows().get(row["id"])
    return known is not None and all(row.get(name, "") == known[name] for name in SAME_MEASUREMENT)


def predict_rows(rows: Iterable[dict[str, str]]) -> list[Row]:
    """One :class:`Row` per measurement; those without a prediction say why in their note."""
    return [_row(row) for row in rows]


def _row(row: dict[str, str]) -> Row:
    measured, predicted, note, fitted = 0.0, None, "", False
    try:
        fitted = is_fitted(row)
        measured = read_value(row)
        predicted, note = _predict(row)
    except WsekernError as error:
        note = str(error)
    except Exception as error:  # a fault of one row, or of the program at it, never ends a validation
        note = fault_note(error)
    return Row(id=row["id"], group=_group(row), measured=measured, predicted=predicted, unit=row.get("unit", "") or "cycles",
               note=note, source=row.get("source", ""), fitted=fitted)


def _group(row: dict[str, str]) -> str:
    parts = [row["op"], row.get("phase", ""), row["machine"], row["profile"]]
    if row.get("metric") == "cycles_median":
        parts.append("(median of runs)")
    return " ".join(part for part in parts if part)


def _predict(row: dict[str, str]) -> tuple[float, str]:
    """(prediction, note) of one row through the functions of ``predict op``, ``predict wafer`` and ``compare``."""
    if row["op"] == "llm-service":
        return predict_service(row)
    if row["op"] in ("llm-layer", "llm-token"):
        return _predict_model(row)
    if (row.get("unit") or "cycles") != "cycles":
        raise InputError(f"unit is {row['unit']!r}: operations are predicted in cycles")
    sizes = {name: _number(row, name) for name in ("groups", "relays", "words", "receivers")}
    text = row.get("note", "")
    result = predict_op(row["op"], row["machine"], row["profile"], grid=_grid(row), tile=_sizes(row, "tile"),
                        precision=row.get("dtype") or None, conflict="bank-conflicting" in text, **sizes)
    cycles = float(result["cycles"])
    if row["op"] == "line-multicast":
        return _multicast(row, cycles, sizes["receivers"] or 1)
    return cycles, ""


def _multicast(row: dict[str, str], cycles: float, receivers: int) -> tuple[float, str]:
    """The notes' clock reference takes a cycle a hop off: so does the prediction."""
    note = ""
    if row.get("metric") == "cycles_median":
        note = ("the runs fall into two groups; the model has no run-to-run spread and predicts the shorter one, the "
                "second is 24 to 49 cycles later for a reason that is not published")
    if "clock reference corrected" in row.get("note", ""):
        cycles -= receivers - 1
    return cycles, note


def _predict_model(row: dict[str, str]) -> tuple[float, str]:
    grid = _grid(row)
    note, mapping, activations = "", row.get("mapping") or "ours", None
    if mapping == "native":         # its SiLU and exponentials are calls of a library
        grid, mapping, activations = grid or (NATIVE_GRID, NATIVE_GRID), "ours", "scalar"
        note = (f"a program of its own: our mapping on {grid[0]}x{grid[1]} PEs stands in for it, LM head included; changing "
                "routes at run time, ten times a layer, and its scalar code are not in the model")
    if grid is None or grid[0] != grid[1]:
        raise InputError(f"grid is {row.get('grid') or 'missing'}: a model lies on a square grid such as 420x420")
    context = _number(row, "context")
    if context is None:
        raise InputError("context is missing: expected a number of tokens")
    result = predict_layer(row.get("model", ""), row.get("phase", ""), row["machine"], grid[0], max(1, context),
                           row["profile"], mapping=mapping, precision=row.get("dtype") or "fp16",
                           activations=activations)
    metric = row.get("metric") or "cycles_per_layer"
    values = {"cycles_per_layer": result["cycles_per_layer"], "cycles": result["cycles"],
              "cycles_per_token": result["cycles"] + result["head_cycles"], "seconds": result["seconds"],
              "tokens_per_second": result["tokens_per_second"]}
    if metric not in values:
        raise InputError(f"metric {metric!r} is not predicted: use one of {', '.join(values)}")
    return float(values[metric]), note


def _number(row: dict[str, str], name: str) -> int | None:
    text = row.get(name) or ""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}: expected a whole number") from None


def _sizes(row: dict[str, str], name: str) -> tuple[int, ...] | None:
    text = row.get(name) or ""
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise InputError(f"{name} is {text!r}: expected sizes such as 8x8") from None


def _grid(row: dict[str, str]) -> tuple[int, int] | None:
    sizes = _sizes(row, "grid")
    if sizes is None:
        return None
    if len(sizes) != 2:
        raise InputError(f"grid is {row['grid']!r}: expected WIDTHxHEIGHT")
    return sizes[0], sizes[1]
