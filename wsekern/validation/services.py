"""Rows of wafer tables about a whole service: speeds and waiting times that one user meets, as published.

They stand beside the placement of :func:`place_model`, one user at once, and no constant is set on them. A row names the model
and the number of systems in ``wafers``; ``context`` holds the tokens of the prompt, or prompt and answer such as 10000+500;
``program_set`` says which programs the service could run (empty: those of today).
"""

import re

from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.planning.placement import Placement, place_model
from wsekern.workload import Request, load_config

PROMPT, OUTPUT = 1024, 256
"""Tokens of a request whose row does not state them: those of ``wsekern compare``."""
METRICS = ("tokens_per_second_per_user", "time_to_first_token", "request_time")
TIMES = {"s": 1.0, "ms": 1e3}
"""Units of times, in a second."""
SPEEDS = ("tokens/s", "tok/s", "tok/s/user")


def predict_service(row: dict[str, str]) -> tuple[float, str]:
    """(prediction in the row's unit, note) of one row; :class:`InputError` or :class:`BudgetError` say why there is none."""
    text = f"{row.get('source', '')}; {row.get('note', '')}".lower()
    metric = row.get("metric") or "tokens_per_second_per_user"
    if metric == "tokens_per_second_per_user" and re.search(r"(?<!no )(?<!without )speculat", text):
        raise InputError("speculative decoding, stated or likely: several tokens a pass, of which the prediction knows nothing")
    if metric not in METRICS:
        raise InputError(f"metric {metric!r} of a service is not predicted: use {', '.join(METRICS)}")
    scale = _scale(row, metric)
    request, stated = _request(row)
    wafers = _wafers(row)
    programs = row.get("program_set") or "default"
    placement = place_model(load_config(row.get("model", "")), request, load_machine(row["machine"]), wafers, row["profile"],
                            programs=programs)
    notes = [row["note"]] if row.get("note") else []
    notes += [] if programs == "default" else [f"with the programs of {programs}"]
    notes += [] if stated else [f"lengths are not stated: {request.prompt:,} tokens in, {request.output:,} out"]
    notes += [] if wafers else [f"the number of systems is not stated: {placement.wafers}, the fewest that hold it"]
    return scale * _seconds(placement, metric) ** (-1 if metric == "tokens_per_second_per_user" else 1), "; ".join(notes)


def _seconds(placement: Placement, metric: str) -> float:
    if metric == "request_time":
        return placement.request_seconds()
    return placement.first_token_seconds() if metric == "time_to_first_token" else placement.token_seconds()


def _scale(row: dict[str, str], metric: str) -> float:
    """What turns seconds, or tokens a second, into the row's unit."""
    is_speed = metric == "tokens_per_second_per_user"
    unit, known = row.get("unit") or ("tokens/s" if is_speed else "s"), SPEEDS if is_speed else tuple(TIMES)
    if unit not in known:
        raise InputError(f"unit is {unit!r}: expected {' or '.join(known)} for {metric}")
    return 1.0 if is_speed else TIMES[unit]


def _request(row: dict[str, str]) -> tuple[Request, bool]:
    """What one user asks, and whether the row states it."""
    text = row.get("context") or ""
    lengths = re.fullmatch(r"(\d{1,9})(?:\+(\d{1,9}))?", text) if text else None
    if text and lengths is None:
        raise InputError(f"context is {text!r}: expected tokens of the prompt, or of prompt and answer such as 1024+256")
    prompt, output = (lengths[1], lengths[2]) if lengths else (None, None)
    request = Request(int(prompt or PROMPT), int(output or OUTPUT), 1, row.get("dtype") or "fp16")
    return request, prompt is not None and output is not None


def _wafers(row: dict[str, str]) -> int | None:
    text = row.get("wafers") or ""
    if text and not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise InputError(f"wafers is {text!r}: expected how many systems serve the model, at least 1")
    return int(text) if text else None
