"""Published micro-measurements of cores beside what PE programs take on the cycle engine (``validate --only wafer``)."""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from wsekern.errors import InputError, WsekernError
from wsekern.program.instructions import INSTRUCTIONS
from wsekern.validation import wafer
from wsekern.validation.core_programs import SCALARS, Bench
from wsekern.validation.rows import Row, fault_note, read_value, stated_fitted, summarise

PREFIX = "core-"
"""Operations of rows that a PE program predicts begin with it."""

MAX_WORDS = 8192
"""Elements of a measured instruction at most: four bytes each, they nearly fill the 48 KB of a PE."""


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the measurements in ``path`` (those of other wafer operations too), or of
    the core measurements that the package ships."""
    if path is None:
        return summarise(predict_rows(shipped_rows()))
    rows = wafer.read_rows(path)
    others = [row for row in rows if not row["op"].startswith(PREFIX)]
    return summarise([*predict_rows(row for row in rows if row["op"].startswith(PREFIX)), *wafer.predict_rows(others)])


@cache
def shipped_rows() -> list[dict[str, str]]:
    """Rows of the table that the package ships."""
    with as_file(files("wsekern.validation") / "data" / "core-validation.csv") as shipped:
        return wafer.read_rows(shipped)


@cache
def _fitted_names() -> frozenset[str]:
    return frozenset(row["id"] for row in shipped_rows() if stated_fitted(row))


def is_fitted(row: dict[str, str]) -> bool:
    """Whether a constant of the machine files was read from this row: as its table states, else if a shipped row of its name
    is such a row."""
    stated = stated_fitted(row)
    return row["id"] in _fitted_names() if stated is None else stated


def predict_rows(rows: Iterable[dict[str, str]]) -> list[Row]:
    """One :class:`Row` per measurement; those without a prediction say why in their note."""
    return [_row(row) for row in rows]


def _row(row: dict[str, str]) -> Row:
    measured, predicted, note, fitted = 0.0, None, row.get("note", ""), False
    try:
        measured = read_value(row)
        fitted = is_fitted(row)
        predicted = _predict(row)
    except WsekernError as error:
        note = str(error)
    except Exception as error:  # a fault of one row, or of the program at it, never ends a validation
        note = fault_note(error)
    return Row(id=row["id"], group=_group(row), measured=measured, predicted=predicted, unit=row.get("unit", "") or "cycles",
               note=note, source=row.get("source", ""), fitted=fitted)


def _group(row: dict[str, str]) -> str:
    return " ".join(["-".join(row["op"].split("-")[:2]), row["machine"], row["profile"]])


@lru_cache(maxsize=16)
def _bench(machine: str, profile: str) -> Bench:
    return Bench(machine, profile)


def _predict(row: dict[str, str]) -> float:
    family, _, name = row["op"].removeprefix(PREFIX).partition("-")
    if family not in _FAMILIES:
        raise InputError(f"op {row['op']!r}: expected one of {', '.join(PREFIX + known for known in _FAMILIES)}")
    return float(_FAMILIES[family](_bench(row["machine"], row["profile"]), name, row))


def _number(row: dict[str, str], column: str, default: int) -> int:
    text = row.get(column) or str(default)
    if not text.isdecimal() or len(text) > len(str(MAX_WORDS)) or not 1 <= int(text) <= MAX_WORDS:
        raise InputError(f"{column} is {text!r}: expected a whole number from 1 to {MAX_WORDS}")
    return int(text)


def _choose(what: str, name: str, choices: dict[str, Callable[[], float]]) -> float:
    if name not in choices:
        raise InputError(f"{what} {name!r}: expected one of {', '.join(choices)}")
    return choices[name]()


def _vector(bench: Bench, name: str, row: dict[str, str]) -> float:
    """``core-vector-<instruction>[-<form>]``: slope and intercept of two runs, or one run's cycles."""
    instruction, _, form = name.partition("-")
    if instruction not in INSTRUCTIONS:
        raise InputError(f"no vector instruction {instruction!r}: use one of {', '.join(INSTRUCTIONS)}")
    words, stride = _number(row, "words", 4096), 1
    if form.startswith("stride"):
        stride, form = _number({"stride": form.removeprefix("stride")}, "stride", 1), ""
    if form not in ("", "fill", "axpy", "reduce", "conflict", "dot"):
        raise InputError(f"form {form!r} of a vector instruction: expected fill, axpy, reduce, conflict, dot or strideN")

    def cycles(n: int, form: str = form) -> int:
        return bench.dot(n) if form == "dot" else bench.vector(instruction, n, form, stride)

    def slope(form: str = form) -> float:
        fewer = max(1, words // 4)
        return (cycles(words, form) - cycles(fewer, form)) / max(1, words - fewer)

    per_element, size = slope(), 2 if instruction[-1] in "h6" else 4
    if not per_element:
        raise InputError(f"words is {words}: too few to tell cycles per element")
    return _choose("metric", row.get("metric") or "cycles", {
        "cycles": lambda: cycles(words), "elements_per_cycle": lambda: 1 / per_element,
        "cycles_per_element": lambda: per_element, "setup": lambda: cycles(words) - words * per_element,
        "flop_per_cycle": lambda: 2 / per_element, "bytes_per_cycle": lambda: size / per_element,
        "slowdown": lambda: per_element / slope("")})


def _tiles(bench: Bench, name: str, row: dict[str, str]) -> float:
    words, tile = _number(row, "words", 4096), _number(row, "tile", 16)
    return _choose("form", name, {form: lambda form=form: bench.tiles(form, words, tile)
                                  for form in ("map", "for-map", "while")})


def _scalar(bench: Bench, name: str, row: dict[str, str]) -> float:
    return _choose("scalar code", name, {known: lambda known=known: bench.scalar(known) for known in SCALARS})


def _task(bench: Bench, name: str, row: dict[str, str]) -> float:
    return _choose("task", name, {"data": bench.data_task, "completion": bench.completion})


def _fabric(bench: Bench, name: str, row: dict[str, str]) -> float:
    words, receivers = _number(row, "words", 512), _number(row, "receivers", 2)

    def hops() -> float:
        logged = bench.multicast(receivers)
        return float(logged[-1] - logged[0])

    return _choose("transfer", name, {
        "dispatch": bench.to_link, "arrival": bench.arrival_to_receive, "transfer": lambda: bench.transfer(words),
        "stream": lambda: bench.stream(words), "bytes": lambda: 4 / bench.stream(words), "multicast": hops,
        "senders": lambda: bench.senders(words, True) / bench.senders(words, False),
        "relay": lambda: bench.relay(receivers, words),
        "relay-hop": lambda: bench.relay(receivers + 1, words) - bench.relay(receivers, words) - words})


_FAMILIES: dict[str, Callable[[Bench, str, dict[str, str]], float]] = {
    "vector": _vector, "tiles": _tiles, "scalar": _scalar, "task": _task, "fabric": _fabric}
