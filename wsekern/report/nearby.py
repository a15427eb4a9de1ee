"""Published measurements of models on wafers that are most like what was asked."""

from math import log

from wsekern.errors import InputError
from wsekern.report.words import amount
from wsekern.validation.wafer import shipped_rows
from wsekern.workload import ModelConfig, load_config

OF_MODELS = ("llm-layer", "llm-token", "llm-service")
"""Operations of rows that measure models."""
OTHER_PHASE, OTHER_MACHINE, OTHER_GRID = 2.0, 0.5, 0.2
"""What the distance of two models (mean logarithm of how their parameters differ, all and those of a token) grows by; sides
of grids count as a share of theirs."""
METRICS = {"cycles_per_layer": "a layer", "cycles_per_token": "a token",
           "tokens_per_second_per_user": "a lone user sees", "time_to_first_token": "first token after",
           "request_time": "a request takes"}


def nearby(config: ModelConfig, machine: str, phase: str = "decode", grid: int | None = None, count: int = 3) -> list[str]:
    """The ``count`` rows of the package's table nearest to ``phase`` of a model, a sentence each with value, source and note.

    ``grid``: sides of the square of PEs that was asked for; None prefers rows of whole services.
    """
    known = [row for row in shipped_rows() if row["op"] in OF_MODELS]
    order = sorted(known, key=lambda row: (_distance(row, config, machine, phase, grid), row["id"]))
    return [_sentence(row) for row in order[:count]]


def _distance(row: dict[str, str], config: ModelConfig, machine: str, phase: str, grid: int | None) -> float:
    try:
        other = load_config(row["model"])
    except InputError:
        return float("inf")
    sizes = zip((other.parameters, other.active_parameters), (config.parameters, config.active_parameters), strict=True)
    far = sum(abs(log(one / two)) for one, two in sizes) / 2 + OTHER_PHASE * (row["phase"] != phase)
    far += OTHER_MACHINE * (row["machine"] != machine)
    side = int(row["grid"].split("x")[0]) if row["grid"] else None
    if side is not None and grid is not None:
        return far + OTHER_GRID * abs(log(side / grid))
    return far + OTHER_MACHINE * ((side is None) != (grid is None))


def _sentence(row: dict[str, str]) -> str:
    where = f"{row['grid']} PEs" if row["grid"] else f"{row['wafers'] or 'unstated'} wafer{'' if row['wafers'] == '1' else 's'}"
    note, value = f"; {row['note']}" if row["note"] else "", float(row["value"])
    return (f"{row['id']}: {row['model']}, {row['phase']} on {where} of {row['machine'].upper()}: {METRICS[row['metric']]} "
            f"{amount(value)} {row['unit']} ({row['source']}{note})")
