"""Trace of a window of routers and cycles as Chrome / Perfetto JSON: opens in https://ui.perfetto.dev."""

import json
import os
from collections.abc import Callable
from typing import Any

from wsekern.errors import InputError
from wsekern.fabric.reference import OPPOSITE, STEP
from wsekern.fabric.routes import Port
from wsekern.fabric.simulation import Fabric


def trace(fabric: Fabric, cycles: int, path: str | os.PathLike[str], *, x: int = 0, y: int = 0, width: int | None = None,
          height: int | None = None) -> int:
    """Step ``cycles`` cycles and write every link crossing inside a rectangle; returns the number of crossings.

    One process per fabric row, one thread (a row on screen) per router, one slice per word that leaves it, one flow arrow
    per link crossing; a cycle is a microsecond on screen. The fabric itself does nothing for it: the words on the links are
    read between two steps.
    """
    width = fabric.width - x if width is None else width
    height = fabric.height - y if height is None else height
    if not (x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= fabric.width and y + height <= fabric.height):
        raise InputError(f"the window {width}x{height} at ({x}, {y}) does not lie on the {fabric.width}x{fabric.height} fabric")
    events = [{"ph": "M", "name": "process_name", "pid": row, "args": {"name": f"row {row}"}}
              for row in range(y, y + height)]
    events += [{"ph": "M", "name": "thread_name", "pid": row, "tid": column + 1, "args": {"name": f"router ({column}, {row})"}}
               for row in range(y, y + height) for column in range(x, x + width)]
    hop, flow = fabric.plan.description.rules.hop_latency, 0
    for _ in range(cycles):
        start = fabric.cycle
        fabric.step()
        for move in fabric.state.moves():
            row, column = divmod(int(move["pe"]), fabric.width)
            if not (x <= column < x + width and y <= row < y + height):
                continue
            flow += 1
            events += crossing(move, column, row, start, hop, flow, lambda x, y: {"pid": y, "tid": x + 1})
    write_events(events, path)
    return flow


def write_events(events: list[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write events as a trace file."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ns"}, file)
    except OSError as error:
        raise InputError(f"cannot write the trace {os.fspath(path)}: {error.strerror}") from None


def crossing(move: Any, x: int, y: int, start: int, hop: int, flow: int,
             row_of: Callable[[int, int], dict[str, int]]) -> list[dict[str, Any]]:
    """The slice in the router that a word leaves, the one where it arrives, and the arrow between them; ``row_of``: process and
    thread that stand for the router of a PE."""
    port = Port(int(move["port"]))
    dx, dy = STEP[port]
    name = f"color {move['color']}" + (" control" if move["flags"] & 1 else "")
    place, there = row_of(x, y), row_of(x + dx, y + dy)
    detail = {"data": f"{int(move['data']):#010x}", "from": f"({x}, {y})", "port": port.name}
    return [
        {"ph": "X", "name": f"{name} out {port.name}", "cat": "wavelet", "ts": start, "dur": 1, "args": detail, **place},
        {"ph": "X", "name": f"{name} in {OPPOSITE[port].name}", "cat": "wavelet", "ts": start + hop, "dur": 1,
         "args": detail, **there},
        {"ph": "s", "name": "hop", "cat": "flow", "id": flow, "ts": start, **place},
        {"ph": "f", "name": "hop", "cat": "flow", "id": flow, "ts": start + hop, "bp": "e", **there},
    ]
