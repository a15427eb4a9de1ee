"""Trace of a window of routers and cycles as Chrome / Perfetto JSON: opens in https://ui.perfetto.dev."""

import json
import os
from collections.abc import Callable
from typing import Any

from wsekern.errors import InputError, check_whole, is_whole
from wsekern.fabric.reference import OPPOSITE, STEP
from wsekern.fabric.routes import Port
from wsekern.fabric.simulation import Fabric
from wsekern.output import check_target, write_file

SLOT = 0.1  # of a cycle, for one port of a router: words come in its first half and leave in its second, so none overlap


def trace(fabric: Fabric, cycles: int, path: str | os.PathLike[str], *, x: int = 0, y: int = 0, width: int | None = None,
          height: int | None = None) -> int:
    """Step ``cycles`` cycles and write every link crossing that touches a rectangle; returns the number of crossings.

    One process per fabric row, one thread (a row on screen) per router, one slice where a word leaves and one where it comes
    in, one flow arrow per link crossing; a cycle is a microsecond on screen. The fabric itself does nothing for it: the words
    on the links are read between two steps.
    """
    check_whole(cycles, "cycles to trace", 0)
    width = fabric.width - x if width is None else width
    height = fabric.height - y if height is None else height
    if not (all(map(is_whole, (x, y, width, height))) and x >= 0 and y >= 0 and width > 0 and height > 0
            and x + width <= fabric.width and y + height <= fabric.height):
        raise InputError(f"the window {width}x{height} at ({x}, {y}) does not lie on the {fabric.width}x{fabric.height} fabric")
    check_target(path)      # a place where nothing can be written is refused before anything runs
    window = {(column, row) for row in range(y, y + height) for column in range(x, x + width)}
    events, hop, flow, seen = [], fabric.plan.hop_latency, 0, set(window)
    for _ in range(cycles):
        start = fabric.cycle
        fabric.step()
        for move in fabric.state.moves():
            row, column = divmod(int(move["pe"]), fabric.width)
            dx, dy = STEP[Port(int(move["port"]))]
            ends = {(column, row), (column + dx, row + dy)}
            if ends & window:
                seen |= ends
                flow += 1
                events += crossing(move, column, row, start, hop, flow, lambda x, y: {"pid": y, "tid": x + 1})
    write_events(_names(seen) + events, path)
    return flow


def write_events(events: list[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write events as a trace file."""
    write_file(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))


def _names(routers: set[tuple[int, int]]) -> list[dict[str, Any]]:
    """Names and order of the rows on screen."""
    events: list[dict[str, Any]] = []
    for row in sorted({row for _, row in routers}):
        events.append({"ph": "M", "name": "process_name", "pid": row, "args": {"name": f"row {row}"}})
        events.append({"ph": "M", "name": "process_sort_index", "pid": row, "args": {"sort_index": row}})
    for column, row in sorted(routers, key=lambda place: (place[1], place[0])):
        place = {"pid": row, "tid": column + 1}
        events.append({"ph": "M", "name": "thread_name", "args": {"name": f"router ({column}, {row})"}, **place})
        events.append({"ph": "M", "name": "thread_sort_index", "args": {"sort_index": column}, **place})
    return events


def crossing(move: Any, x: int, y: int, start: int, hop: int, flow: int,
             row_of: Callable[[int, int], dict[str, int]]) -> list[dict[str, Any]]:
    """The slice in the router that a word leaves, the one where it arrives, and the arrow between them; ``row_of``: process and
    thread that stand for the router of a PE."""
    port = Port(int(move["port"]))
    dx, dy = STEP[port]
    name = f"color {move['color']}" + (" control" if move["flags"] & 1 else "")
    place, there = row_of(x, y), row_of(x + dx, y + dy)
    detail = {"data": f"{int(move['data']):#010x}", "from": f"({x}, {y})", "port": port.name, "cycle": start}
    left, came = round(start + 0.5 + SLOT * port, 1), round(start + hop + SLOT * OPPOSITE[port], 1)
    word = {"ph": "X", "cat": "wavelet", "dur": SLOT, "args": detail}
    return [
        {"name": f"{name} out {port.name}", "ts": left, **word, **place},
        {"name": f"{name} in {OPPOSITE[port].name}", "ts": came, **word, **there},
        {"ph": "s", "name": "hop", "cat": "flow", "id": flow, "ts": left, **place},
        {"ph": "f", "name": "hop", "cat": "flow", "id": flow, "ts": came, "bp": "e", **there},
    ]
