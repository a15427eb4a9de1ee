"""Who waits for whom: the report of a deadlock or a fault, in a sentence and PE by PE."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsekern.errors import STATUS
from wsekern.fabric._routing import State
from wsekern.fabric.reference import OPPOSITE, STEP
from wsekern.fabric.routes import Port, Route, ports_of
from wsekern.program._pe import MAIN_THREAD, Cores
from wsekern.program.places import Places, said, state_of
from wsekern.program.plan import ProgramPlan

WAITS = {"input": "words", "output": "room to send", "fifo": "a FIFO", "microthread": "a microthread"}
"""States in which a thread waits, and what for."""
STUCK = frozenset({STATUS["DEADLOCK"], STATUS["DEADLINE"]})
"""Status codes of runs that met no error and yet did not end: deadlock, deadline."""
_MAX_PES, _MAX_SENDERS, _MAX_ROUTERS = 20, 4, 4096


def thread_name(thread: int) -> str:
    """Name of a thread, by its number."""
    return "main thread" if thread == MAIN_THREAD else f"microthread {thread}"


def sentence_of(report: dict, status: int) -> str:
    """What went wrong where, and who waits first, in one sentence."""
    parts, place, fabric, waiting = [], report["place"], report["fabric"], report["waiting"]
    stuck = status in STUCK
    if place:
        parts.append(f"PE ({place['x']}, {place['y']})")
        parts += [f"color {place['color']}"] if "color" in place else []
        parts += [code_words(place)] if "text" in place else []
    elif fabric and fabric["status"] == status and not (stuck and waiting):
        parts += [f"PE {fabric['pe']}"] + [f"{key} {fabric[key]}" for key in ("color", "port") if fabric[key] is not None]
    parts.append(f"cycle {report['cycle']}")
    if waiting and stuck:
        first = waiting[0]
        count = f"{len(waiting)} threads wait, the first" if len(waiting) > 1 else "one thread waits, that"
        parts[-1] += (f"; {count} of PE ({first['x']}, {first['y']}), {code_words(first)}, for {_what(first)} since cycle "
                      f"{first['since']}" + _taken(first) + "".join(f", from {name}" for name in report["senders"][:1]))
    return ", ".join(parts)


def code_words(item: dict) -> str:
    """Where an instruction stands, in words."""
    return f"program {item['program']}, {said(item)}"


def _what(item: dict) -> str:
    """What a thread waits for."""
    if item["waits_for"] == "words":
        return f"words of color {item['color']}"
    if item["waits_for"] == "room to send":
        return f"room to send on color {item['color']}"
    return f"microthread {item['queue']}" if item["waits_for"] == "a microthread" else f"FIFO {item['queue']}"


def _taken(item: dict) -> str:
    """How far a stream has come."""
    return f", after {item['words']} word{'s' * (item['words'] != 1)}" if item["words"] else ""


def _swaps(route: Route, port: Port) -> bool:
    return route.swap_ew if port in (Port.EAST, Port.WEST) else route.swap_ns


@dataclass(frozen=True)
class Waits:
    """Who waits for whom on the PEs of ``plan``, as ``cores`` and routers (``fabric``) stand now."""

    plan: ProgramPlan
    cores: Cores
    places: Places
    fabric: State

    def threads(self) -> list[dict]:
        """Threads that wait, by PE: ``x``, ``y``, ``thread``, where its instruction stands (:meth:`Places.of`), the number of
        the ``instruction``, ``waits_for`` (:data:`WAITS`), ``queue``, ``color`` where it is one, ``since`` which cycle,
        ``words`` done of a stream."""
        plan, found = self.plan, []
        programs = plan.program_of.reshape(-1)
        for pe, thread, state, instruction, word, queue, since in self.cores.waiting():
            program = int(programs[pe])
            item = {"x": pe % plan.width, "y": pe // plan.width, "thread": thread_name(thread), "instruction": instruction,
                    **self.places.of(program, instruction), "waits_for": WAITS[state], "queue": queue, "since": since,
                    "words": max(word, 0)}
            if state in ("input", "output"):
                written = plan.programs[program]
                item["color"] = (written.inputs if state == "input" else written.outputs).get(queue, -1)
            found.append(item)
        return found

    def fault(self) -> dict:
        """The PE, color and instruction where the cores met the last error, as far as they are known."""
        pe, color, instruction = self.cores.fault
        if pe < 0:
            return {}
        plan = self.plan
        found = {"x": pe % plan.width, "y": pe // plan.width} | ({"color": color} if color >= 0 else {})
        if instruction >= 0:
            program = int(plan.program_of.reshape(-1)[pe])
            here = instruction - self.places.first(program)
            found |= {"instruction": here} | self.places.of(program, here)
        return found

    def report(self) -> str:
        """Who waits for whom in the coming cycle, as text: a paragraph for the PEs that wait at the same instruction, with the
        PEs that would send the words, and the chain of routers in which words stand."""
        waiting = self.threads()
        groups: dict[tuple, list[dict]] = {}
        for item in waiting:
            alike = (item["program"], item["thread"], item["instruction"], item["waits_for"], item["queue"])
            groups.setdefault(alike, []).append(item)
        pes = len({(item["x"], item["y"]) for item in waiting})
        lines = [f"Wait report at cycle {self.cores.cycle}: {len(waiting)} thread{'s' * (len(waiting) != 1)} of "
                 f"{pes} PE{'s' * (pes != 1)} wait{'s' * (len(waiting) == 1)}."]
        for group in list(groups.values())[:_MAX_PES]:
            lines += self._paragraph(group)
        if len(groups) > _MAX_PES:
            lines.append(f"... and {len(groups) - _MAX_PES} more kinds of waits")
        return "\n".join([*lines, *self._chain()]) + "\n"

    def _paragraph(self, group: list[dict]) -> list[str]:
        item = group[0]
        more = f" and {len(group) - 1} more, the last ({group[-1]['x']}, {group[-1]['y']})" if len(group) > 1 else ""
        where = f"function {item['function']}" if "source" in item else f"task {item['task']}"
        lines = [f"PE ({item['x']}, {item['y']}){more}: program {item['program']}, {where}, {item['thread']}",
                 f"    {item.get('source') or 'line ' + str(item['line'])}: {item['text']}",
                 f"    waits for {_what(item)} since cycle {item['since']}{_taken(item)}"]
        if item["waits_for"] == "words":
            senders = list(self._senders(item["x"], item["y"], item["color"]))
            lines += [f"    from {sender}" for sender in senders[:_MAX_SENDERS]]
            lines += [f"    and from {len(senders) - _MAX_SENDERS} more"] if len(senders) > _MAX_SENDERS else []
            lines += [] if senders else [f"    no route leads color {item['color']} there"]
        return lines

    def _chain(self) -> list[str]:
        """The routers in which words stand, each waiting for the next one."""
        found = self.fabric.explain()
        if found is None:
            return ["No word stands in a router."]
        lines = ["Words stand in routers:"]
        for link in found["chain"]:
            port = "" if link["waits_for"] == "the core takes no word" else f" to leave by {link['port']}"
            lines.append(f"    PE {link['pe']}, color {link['color']}, waits{port}: {link['waits_for']}")
        return [*lines, "    and so on in a loop"] if found["chain_loops"] else lines

    # ---- upstream along the routes

    def senders(self, waiting: list[dict]) -> list[str]:
        """Who would send the words for which the first of these threads waits, and what they do."""
        first = waiting[0] if waiting and waiting[0]["waits_for"] == "words" else None
        return list(self._senders(first["x"], first["y"], first["color"])) if first else []

    def _senders(self, x: int, y: int, color: int) -> Iterator[str]:
        """The PEs (or edges) from which words of ``color`` come to PE (x, y) as routes were painted and switches stand now, and
        what each of them does; a switch on the way that stands elsewhere."""
        seen, ahead = set(), [(x, y, color)]
        while ahead and len(seen) < _MAX_ROUTERS:
            here = ahead.pop()
            route = self.plan.fabric.route_at(here[2], here[0], here[1])
            if here in seen or route is None:
                continue
            seen.add(here)
            for port in ports_of(self._mask(route.rx, *here)):
                if port == Port.RAMP:
                    yield self._sender(*here)
                    continue
                there = (here[0] + STEP[port][0], here[1] + STEP[port][1])
                if not (0 <= there[0] < self.plan.width and 0 <= there[1] < self.plan.height):
                    yield f"outside, over the {port.name} edge at PE ({here[0]}, {here[1]})"
                    continue
                yield from self._follow(here[2], there, OPPOSITE[port], ahead)

    def _follow(self, color: int, there: tuple[int, int], port: Port, ahead: list) -> Iterator[str]:
        """Go on to a neighbor whose route of ``color`` (or of its partner, which is swapped here) leads to ``port``."""
        for found in (color, color ^ 1):
            route = self.plan.fabric.route_at(found, *there)
            here = self.plan.fabric.route_at(found, there[0] + STEP[port][0], there[1] + STEP[port][1])
            swaps = here is not None and _swaps(here, port)
            if route is None or (found != color) != swaps or not any(mask >> port & 1 for mask in route.tx):
                continue
            if self._mask(route.tx, *there, found) >> port & 1:
                ahead.append((*there, found))
            else:
                position = self.fabric.position(*there, found)
                yield f"PE {there}, whose switch of color {found} stands in position {position} and does not send them on"

    def _mask(self, masks: tuple[int, ...], x: int, y: int, color: int) -> int:
        """Ports of the switch position that holds now."""
        return masks[min(self.fabric.position(x, y, color), len(masks) - 1)]

    def _sender(self, x: int, y: int, color: int) -> str:
        """A PE that would send ``color``, and what it does."""
        number = int(self.plan.program_of[y, x])
        if number < 0:
            return f"PE ({x}, {y}), which has no program"
        program = self.plan.programs[number]
        name = f"PE ({x}, {y}) of program {program.name}, "
        if color not in program.outputs.values():
            return name + f"which has no output queue of color {color}"
        state = state_of(self.plan, self.cores, self.places, x, y)
        threads: dict[int, dict[str, Any]] = {k: thread for k, thread in state["threads"].items() if thread["state"] != "idle"}
        if not threads:
            blocked = [task for task in state["activated"] if task in state["blocked"]]
            return name + (f"whose task {blocked[0]} is blocked" if blocked else "which is idle")
        waiting = [thread for thread in threads.values() if thread["state"] in WAITS]
        if not waiting:
            return name + "which is at work"
        return name + f"which waits for {WAITS[waiting[0]['state']]} itself in {said(waiting[0])}"
