"""The answer to a point: figures of all sides as plain data, the same whoever reckons it."""

from typing import Any

from wsekern.compare import Side
from wsekern.compare.comparison import compare_pairings
from wsekern.errors import InputError
from wsekern.sweep.inputs import Case, version
from wsekern.sweep.load import AskedLoad, load_figures, load_ratios, serve

FACTS = ("wafers", "grid", "regions", "layers_per_region", "prompt_chunk_tokens", "users_inside", "busy_share", "gpus",
         "copies", "tp", "pp", "dp", "ep", "gpu_precision", "confidence")
"""Facts of a side that a record keeps; all others are those of ``wsekern compare``."""

SIDES = ("wafer", "cluster", "cluster_ideal")
"""Sides of a record; null where one cannot serve, and ``not_served`` says why."""


def answer(case: Case) -> dict[str, Any]:
    """The record of a point: its key and inputs, what it stands on (version and hashes), the figures of each side, how many
    times better the wafers are, and why a side has no figures. A point that ``compare`` refuses has a sentence ``refused``."""
    record: dict[str, Any] = {"key": case.key, "inputs": dict(case.inputs), "version": version(), "hashes": case.hashes,
                              **dict.fromkeys(SIDES), "wafer_better_by": {}, "not_served": {}, "refused": None}
    try:
        return record | (_plain(case) if case.load is None else _loaded(case, case.load))
    except InputError as error:
        return record | {"refused": str(error)}


def _loaded(case: Case, load: AskedLoad) -> dict[str, Any]:
    """Of requests one by one; software without overheads is not looked at."""
    found = serve(case.pairing, case.request, load, case.slo)
    sides = {name: load_figures(report) for name, report in found.reports().items()}
    return {**sides, "wafer_better_by": load_ratios(found.wafer, found.cluster), "not_served": found.not_served,
            **({"systems_needed": {name: needed.systems for name, needed in found.needed.items()}} if found.needed else {})}


def _plain(case: Case) -> dict[str, Any]:
    """Of whole requests of users who take turns."""
    found, record = compare_pairings([case.pairing], case.request), dict[str, Any]()
    for name, side in found.sides().items():
        if side is not None:
            record[name] = {**_figures(side), **_kept(case, side)}
    return record | {"wafer_better_by": found.ratios(), "not_served": found.not_served}


def _figures(side: Side) -> dict[str, Any]:
    """Figures with what bounds them, shares of a token's time, memory, and :data:`FACTS`."""
    facts = {name: side.facts[name] for name in FACTS if name in side.facts}
    return {**side.figures(), "ranges": side.ranges(), "rated_watts": side.rated_watts,
            "memory_used_bytes": side.memory_used_bytes, "memory_available_bytes": side.memory_available_bytes,
            "shares": side.shares, **facts}


def _kept(case: Case, side: Side) -> dict[str, bool]:
    """Whether a side keeps the objectives, where there are any."""
    if case.slo == (None, None):
        return {}
    times = side.time_to_first_token_seconds, side.time_per_output_token_seconds
    return {"keeps_slo": all(most is None or time <= most for most, time in zip(case.slo, times, strict=True))}


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record as a row of a table: ``inputs`` by their own names, all else by its way, joined by dots."""
    row: dict[str, Any] = {"key": record["key"], **record["inputs"]}
    for name, value in record.items():
        if name not in ("key", "inputs"):
            row |= _flat(name, value)
    return row


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item for inner, below in value.items() for key, item in _flat(f"{name}.{inner}", below).items()}
    return {name: value}
