"""Registers of the router at their addresses in memory, as ``src/fabric/registers.c`` has them: see its head for the bits."""

from typing import Any

from wsekern.fabric.reference import ReferenceFabric
from wsekern.fabric.routes import Port, Route, ports_of
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.reference.parts import BrokenProgram

_PORTS = (Port.WEST, Port.EAST, Port.SOUTH, Port.NORTH, Port.RAMP)
_COLORS, _NONE = 24, 5
_NO_POSITION = (False, _NONE)
Half = tuple[bool, int]
"""What a switch position replaces: whether the way in, and the number of the port in the registers' order (5: not valid)."""


def at(core: Any, address: int, type: str) -> tuple[str, int] | None:
    """Which register (``routes`` or ``switch``, and its color) lies at a byte address."""
    if core.router_registers is None or TYPE_BYTES[type] != 2 or address % 2:
        return None
    for name, first in zip(("routes", "switch"), core.router_registers.values, strict=True):
        if first <= address < first + 2 * _COLORS:
            return name, (address - first) // 2
    return None


def read(fabric: ReferenceFabric, x: int, y: int, name: str, color: int) -> int:
    """The 16 bits of a register."""
    queue = fabric.queues.get((x, y, color))
    if queue is None:
        return 0 if name == "routes" else _NONE * 0x111
    route = queue.route
    if name == "routes":
        return (_bits(route.tx[0]) | _bits(route.rx[0]) << 5 | route.swap_ns << 10 | route.swap_ew << 11 | route.pop << 12
                | queue.frozen << 14)
    halves = _halves(queue)
    return (sum((8 * into | port) << 4 * k for k, (into, port) in enumerate(halves)) | route.ring << 12
            | queue.accepting << 13)


def write(fabric: ReferenceFabric, x: int, y: int, name: str, color: int, bits: int) -> None:
    """A program puts 16 bits into a register."""
    if color not in fabric.colors:
        raise BrokenProgram(f"a register of color {color}, of which there is no route")
    queue = fabric.queues.get((x, y, color))
    old = queue.route if queue is not None else None
    halves = _halves(queue) if queue is not None else [_NO_POSITION] * 3
    if name == "routes":
        rx, tx = _mask(bits >> 5 & 31), _mask(bits & 31)
        initial, ring, pop = queue.sending if queue is not None else 0, old.ring if old else False, bits >> 12 & 3
        swaps = bits >> 10 & 3
    else:
        rx, tx = (old.rx[0], old.tx[0]) if old else (0, 0)
        initial, ring, pop = bits >> 13 & 3, bool(bits >> 12 & 1), old.pop if old else 0
        swaps = old.swap_ew or old.swap_ns if old else 0
        halves = [(bool(each & 8), min(each & 7, _NONE)) for each in (bits >> 4 * k & 15 for k in range(3))]
    ins, outs = [rx], [tx]
    for into, port in halves:
        if port == _NONE:
            break
        ins.append(1 << _PORTS[port] if into else rx)
        outs.append(tx if into else 1 << _PORTS[port])
    if not rx or not tx or initial >= len(ins) or swaps:
        raise BrokenProgram(f"a register of color {color} that makes no route")
    fabric.rewrite(x, y, color, Route(tuple(ins), tuple(outs), initial, ring, pop))
    fabric.queues[x, y, color].halves = [_shown(half, rx, tx) for half in halves]
    if name == "routes":
        fabric.queues[x, y, color].frozen = bool(bits >> 14 & 1)


def _halves(queue: Any) -> list[Half]:
    """What positions 1 to 3 replace: as a program wrote it last, else what makes the route that there is."""
    if queue.halves is not None:
        return queue.halves
    route = queue.route
    found = [_half(rx, tx, route.rx[0], route.tx[0]) for rx, tx in zip(route.rx[1:], route.tx[1:], strict=True)]
    return found + [_NO_POSITION] * (3 - len(found))


def _half(rx: int, tx: int, first_rx: int, first_tx: int) -> Half:
    """What makes ``rx`` and ``tx`` of those of position 0; where these lead alike, the way in, if there is one alone."""
    into = rx != first_rx or (tx == first_tx and rx.bit_count() == 1)
    return into, min(_PORTS.index(port) for port in ports_of(rx if into else tx))


def _shown(half: Half, rx: int, tx: int) -> Half:
    """What a register shows of a half that was written."""
    into, port = half
    if port == _NONE:
        return half
    return _half(1 << _PORTS[port] if into else rx, tx if into else 1 << _PORTS[port], rx, tx)


def _bits(mask: int) -> int:
    return sum(1 << k for k, port in enumerate(_PORTS) if mask >> port & 1)


def _mask(bits: int) -> int:
    return sum(1 << port for k, port in enumerate(_PORTS) if bits >> k & 1)
