"""Published micro-measurements of cores beside what PE programs take on the cycle engine (``validate --only wafer``)."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from wsekern.errors import InputError, WsekernError
from wsekern.program.instructions import INSTRUCTIONS
from wsekern.validation import wafer
from wsekern.validation.core_programs import SCALARS, Bench
from wsekern.validation.rows import Row, summarise

PREFIX = "core-"
"""Operations of rows that a PE program predicts begin with it."""

FITTED = frozenset(f"M{n:04d}" for n in (
    429, 431, 458, 459, 460, 461, 464, 465, 466, 470, 471, 473, 474, 475, 476, 477, 478, 479, 480, 482, 484, 493, 495, 497,
    498, 504, 505, 507, 508, 509, 516, 524)) | {"M0076-core", "M0077-core", "M0482-mul", "AGMEM-tsc"}
"""Rows from which constants of the machine files were read: rates (M0497 and M0498 are M0476 and M0470 in other units),
set-ups, latencies of the pipeline, branches, a mapped tile, the data task. They are shown, and left out of the statistics."""

MOST_WORDS = 8192


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the measurements in ``path`` (those of other wafer operations too), or of
    the core measurements that the package ships."""
    if path is not None:
        rows = wafer.read_rows(path)
        others = [row for row in rows if not row["op"].startswith(PREFIX)]
        return summarise([*predict_rows(row for row in rows if row["op"].startswith(PREFIX)),
                          *wafer.predict_rows(others)])
    with as_file(files("wsekern.validation") / "data" / "core-validation.csv") as shipped:
        return summarise(predict_rows(wafer.read_rows(shipped)))


def predict_rows(rows: Iterable[dict[str, str]]) -> list[Row]:
    """One :class:`Row` per measurement; those without a prediction say why in their note."""
    return [_row(row) for row in rows]


def _row(row: dict[str, str]) -> Row:
    predicted, measured, note = None, 0.0, row.get("note", "")
    try:
        measured = float(row["value"])
    except ValueError:
        return Row(id=row["id"], group=_group(row), measured=measured, predicted=None, unit=row.get("unit", "") or "cycles",
                   note=f"value {row['value']!r} is not a number", source=row.get("source", ""))
    try:
        predicted = _predict(row)
    except WsekernError as error:
        note = str(error)
    return Row(id=row["id"], group=_group(row), measured=measured, predicted=predicted, unit=row.get("unit", "") or "cycles",
               note=note, source=row.get("source", ""), fitted=row["id"] in FITTED)


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
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORDS:
        raise InputError(f"{column} is {text!r}: expected a whole number from 1 to {MOST_WORDS}")
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
