"""Who waits for whom: the report of a deadlock or a fault, in a sentence and PE by PE."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wsekern.errors import STATUS
from wsekern.fabric.reference import OPPOSITE, STEP
from wsekern.fabric.routes import Port, Route, ports_of

if TYPE_CHECKING:
    from wsekern.program.simulation import Simulation

WAITS = {"input": "words", "output": "room to send", "fifo": "a FIFO", "microthread": "a microthread"}
"""States in which a thread waits, and what for."""
STUCK = frozenset({STATUS["DEADLOCK"], STATUS["DEADLINE"]})
"""Status codes of runs that met no error and yet did not end: deadlock, deadline."""
_MAIN, _MOST_PES, _MOST_SENDERS, _MOST_ROUTERS = 8, 20, 4, 4096


def thread_name(thread: int) -> str:
    """Name of a thread, by its number."""
    return "main thread" if thread == _MAIN else f"microthread {thread}"


def threads_that_wait(simulation: "Simulation") -> list[dict]:
    """Threads that wait, by PE: ``x``, ``y``, ``thread``, where its instruction stands (:meth:`Simulation.place_of`), the
    number of the ``instruction``, ``waits_for`` (:data:`WAITS`), ``queue``, ``color`` where it is one, ``since`` which cycle,
    ``words`` done of a stream."""
    layout, found = simulation.layout, []
    programs = layout.program_of.reshape(-1)
    for pe, thread, state, instruction, word, queue, since in simulation._cores.waiting():
        program = int(programs[pe])
        item = {"x": pe % layout.width, "y": pe // layout.width, "thread": thread_name(thread), "instruction": instruction,
                **simulation.place_of(program, instruction), "waits_for": WAITS[state], "queue": queue, "since": since,
                "words": max(word, 0)}
        if state in ("input", "output"):
            written = layout.programs[program]
            item["color"] = (written.inputs if state == "input" else written.outputs).get(queue, -1)
        found.append(item)
    return found


def fault_of(simulation: "Simulation") -> dict:
    """The PE, color and instruction where the cores met the last error, as far as they are known."""
    pe, color, instruction = simulation._cores.fault
    if pe < 0:
        return {}
    layout = simulation.layout
    found = {"x": pe % layout.width, "y": pe // layout.width} | ({"color": color} if color >= 0 else {})
    if instruction >= 0:
        program = int(layout.program_of.reshape(-1)[pe])
        here = instruction - sum(len(placed.code) for placed in simulation._placed[:program])
        found |= {"instruction": here} | simulation.place_of(program, here)
    return found


def sentence_of(report: dict, status: int) -> str:
    """What went wrong where, and who waits first, in one sentence."""
    parts, place, fabric, waiting = [], report["place"], report["fabric"], report["waiting"]
    stuck = status in STUCK
    if place:
        parts.append(f"PE ({place['x']}, {place['y']})")
        parts += [f"color {place['color']}"] if "color" in place else []
        parts += [_code_words(place)] if "text" in place else []
    elif fabric and fabric["status"] == status and not (stuck and waiting):
        parts += [f"PE {fabric['pe']}"] + [f"{key} {fabric[key]}" for key in ("color", "port") if fabric[key] is not None]
    parts.append(f"cycle {report['cycle']}")
    if waiting and stuck:
        first = waiting[0]
        count = f"{len(waiting)} threads wait, the first" if len(waiting) > 1 else "one thread waits, that"
        parts[-1] += (f"; {count} of PE ({first['x']}, {first['y']}), {_code_words(first)}, for {_what(first)} since cycle "
                      f"{first['since']}")
    return ", ".join(parts)


def _code_words(item: dict) -> str:
    return f"program {item['program']}, task {item['task']}, line {item['line']} of its text ({item['text']})"


def _what(item: dict) -> str:
    """What a thread waits for."""
    if item["waits_for"] == "words":
        return f"words of color {item['color']}"
    if item["waits_for"] == "room to send":
        return f"room to send on color {item['color']}"
    return f"microthread {item['queue']}" if item["waits_for"] == "a microthread" else f"FIFO {item['queue']}"


def wait_report(simulation: "Simulation") -> str:
    """Who waits for whom in the coming cycle, as text: PEs at the same instruction in one paragraph, with the PEs that would
    send the words waited for, and the chain of routers in which words stand."""
    waiting = simulation.waiting()
    groups: dict[tuple, list[dict]] = {}
    for item in waiting:
        alike = (item["program"], item["thread"], item["instruction"], item["waits_for"], item["queue"])
        groups.setdefault(alike, []).append(item)
    pes = len({(item["x"], item["y"]) for item in waiting})
    lines = [f"Wait report at cycle {simulation.cycle}: {len(waiting)} thread{'s' * (len(waiting) != 1)} of "
             f"{pes} PE{'s' * (pes != 1)} wait{'s' * (len(waiting) == 1)}."]
    for group in list(groups.values())[:_MOST_PES]:
        lines += _paragraph(simulation, group)
    if len(groups) > _MOST_PES:
        lines.append(f"... and {len(groups) - _MOST_PES} more kinds of waits")
    return "\n".join([*lines, *_chain(simulation)]) + "\n"


def _paragraph(simulation: "Simulation", group: list[dict]) -> list[str]:
    item = group[0]
    more = f" and {len(group) - 1} more, the last ({group[-1]['x']}, {group[-1]['y']})" if len(group) > 1 else ""
    words = f", after {item['words']} word{'s' * (item['words'] != 1)}" if item["words"] else ""
    lines = [f"PE ({item['x']}, {item['y']}){more}: program {item['program']}, task {item['task']}, {item['thread']}",
             f"    line {item['line']}: {item['text']}",
             f"    waits for {_what(item)} since cycle {item['since']}{words}"]
    if item["waits_for"] == "words":
        senders = list(_senders(simulation, item["x"], item["y"], item["color"]))
        lines += [f"    from {sender}" for sender in senders[:_MOST_SENDERS]]
        lines += [f"    and from {len(senders) - _MOST_SENDERS} more"] if len(senders) > _MOST_SENDERS else []
        lines += [] if senders else [f"    no route leads color {item['color']} there"]
    return lines


def _chain(simulation: "Simulation") -> list[str]:
    """The routers in which words stand, each waiting for the next one."""
    found = simulation.fabric.explain()
    if found is None:
        return ["No word stands in a router."]
    lines = ["Words stand in routers:"]
    for link in found["chain"]:
        port = "" if link["waits_for"] == "the core takes no word" else f" to leave by {link['port']}"
        lines.append(f"    PE {link['pe']}, color {link['color']}, waits{port}: {link['waits_for']}")
    return [*lines, "    and so on in a loop"] if found["chain_loops"] else lines


# ---- upstream along the routes

def _senders(simulation: "Simulation", x: int, y: int, color: int) -> Iterator[str]:
    """The PEs (or edges) from which words of ``color`` come to PE (x, y) as routes were painted and switches stand now, and
    what each of them does; a switch on the way that stands elsewhere."""
    seen, ahead = set(), [(x, y, color)]
    while ahead and len(seen) < _MOST_ROUTERS:
        here = ahead.pop()
        route = simulation.layout.fabric.route_at(here[2], here[0], here[1])
        if here in seen or route is None:
            continue
        seen.add(here)
        for port in ports_of(_mask(simulation, route.rx, *here)):
            if port == Port.RAMP:
                yield _sender(simulation, *here)
                continue
            there = (here[0] + STEP[port][0], here[1] + STEP[port][1])
            if not (0 <= there[0] < simulation.layout.width and 0 <= there[1] < simulation.layout.height):
                yield f"outside, over the {port.name} edge at PE ({here[0]}, {here[1]})"
                continue
            yield from _follow(simulation, here[2], there, OPPOSITE[port], ahead)


def _follow(simulation: "Simulation", color: int, there: tuple[int, int], port: Port, ahead: list) -> Iterator[str]:
    """Go on to a neighbour whose route of ``color`` (or of its partner, which it swaps) leads to ``port``."""
    for found in (color, color ^ 1):
        route = simulation.layout.fabric.route_at(found, *there)
        if route is None or (found != color) != _swaps(route, port) or not any(mask >> port & 1 for mask in route.tx):
            continue
        if _mask(simulation, route.tx, *there, found) >> port & 1:
            ahead.append((*there, found))
        else:
            position = simulation.fabric.position(*there, found)
            yield f"PE {there}, whose switch of color {found} stands in position {position} and does not send them on"


def _swaps(route: Route, port: Port) -> bool:
    return route.swap_ew if port in (Port.EAST, Port.WEST) else route.swap_ns


def _mask(simulation: "Simulation", masks: tuple[int, ...], x: int, y: int, color: int) -> int:
    """Ports of the switch position that holds now."""
    return masks[min(simulation.fabric.position(x, y, color), len(masks) - 1)]


def _sender(simulation: "Simulation", x: int, y: int, color: int) -> str:
    """A PE that would send ``color``, and what it does."""
    number = int(simulation.layout.program_of[y, x])
    if number < 0:
        return f"PE ({x}, {y}), which has no program"
    program = simulation.layout.programs[number]
    name = f"PE ({x}, {y}) of program {program.name}, "
    if color not in program.outputs.values():
        return name + f"which has no output queue of color {color}"
    state = simulation.state(x, y)
    threads: dict[int, dict[str, Any]] = {k: thread for k, thread in state["threads"].items() if thread["state"] != "idle"}
    if not threads:
        blocked = [task for task in state["activated"] if task in state["blocked"]]
        return name + (f"whose task {blocked[0]} is blocked" if blocked else "which is idle")
    waiting = [thread for thread in threads.values() if thread["state"] in WAITS]
    if not waiting:
        return name + "which is at work"
    return name + f"which waits for {WAITS[waiting[0]['state']]} itself in line {waiting[0]['line']} ({waiting[0]['text']})"
