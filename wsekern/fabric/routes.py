"""Routes as a CSL programmer writes them: colors, rx and tx ports, switch positions, control wavelets, filters."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from wsekern.errors import InputError, check_flag, check_flags, check_whole, is_whole
from wsekern.shown import Tabled


class Port(IntEnum):
    """A port of a router. North is towards row 0, west towards column 0."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3
    RAMP = 4


class Command(IntEnum):
    """What a control wavelet asks of the router it passes."""

    NOP = 0
    SWITCH_ADV = 1
    SWITCH_RST = 2
    TEARDOWN = 3


POP_MODES = ("no_pop", "always_pop", "pop_on_advance", "pop_on_advance_nop")
"""When a router takes the first command of a control word away: never, always, where its switch turns by it, or at a NOP too.
A switch that stands at its last position does not turn, and so leaves the command to the next router: public programs rely on
it."""
Ports = Port | str | Iterable["Port | str"]
"""One port or several: ``Port.EAST``, ``"EAST"``, ``"E"``, ``"E RAMP"``, ``["EAST", "RAMP"]``."""

_BY_NAME = {port.name: port for port in Port} | {port.name[0]: port for port in Port}


def port_of(name: Port | str) -> Port:
    """The port called ``name``; :class:`InputError` lists the names there are."""
    if isinstance(name, Port):
        return name
    try:
        return _BY_NAME[name.upper()]
    except (KeyError, AttributeError):
        raise InputError(f"{name!r} is not a port: use one of {', '.join(port.name for port in Port)}") from None


def port_mask(ports: Ports) -> int:
    """Bit mask (``1 << port``) of one or several ports."""
    if isinstance(ports, Port):
        ports = [ports]
    elif isinstance(ports, str):
        ports = ports.replace(",", " ").split()
    if not isinstance(ports, Iterable):
        raise InputError(f"{ports!r} is not a port: use one of {', '.join(port.name for port in Port)}")
    mask = 0
    for port in ports:
        mask |= 1 << port_of(port)
    return mask


def ports_of(mask: int) -> tuple[Port, ...]:
    """The ports of a mask, in the order N, E, S, W, RAMP."""
    return tuple(port for port in Port if mask >> port & 1)


@dataclass(frozen=True)
class Position(Tabled):
    """What a switch position replaces in position 0; None inherits."""

    rx: Ports | None = None
    tx: Ports | None = None


@dataclass(frozen=True)
class Route(Tabled):
    """Route of one color in one router: port masks per switch position (at most four) and the switch's modes."""

    rx: tuple[int, ...]
    tx: tuple[int, ...]
    initial: int = 0
    ring: bool = False
    pop: int = 0
    swap_ew: bool = False
    swap_ns: bool = False
    teardown: bool = False

    def __post_init__(self) -> None:
        masks = (*self.rx, *self.tx) if isinstance(self.rx, tuple) and isinstance(self.tx, tuple) else ()
        alike = 2 <= len(masks) <= 8 and 2 * len(self.rx) == len(masks)
        if not alike or not all(is_whole(mask) and 0 < mask < 32 for mask in masks):
            raise InputError(f"a route with rx {self.rx!r} and tx {self.tx!r}: expected as many masks of ports (1 to 31) of "
                             "each, for 1 to 4 switch positions; make_route makes them from names")
        check_whole(self.initial, "as initial switch position", 0, len(self.rx) - 1)
        check_whole(self.pop, "as pop mode", 0, len(POP_MODES) - 1)
        check_flags(self)

    @property
    def positions(self) -> int:
        """Number of valid switch positions."""
        return len(self.rx)


def make_route(rx: Ports, tx: Ports, switches: Iterable[Position] = (), *, initial: int = 0, ring_mode: bool = False,
               pop_mode: str = "no_pop", swap: str = "", teardown: bool = False) -> Route:
    """A route from ports ``rx`` to ports ``tx``; ``switches`` are positions 1 to 3. ``swap``, "", "EW", "NS" or "EW NS": words
    that come in on these axes are of the partner's color inside; with both, those of the core too."""
    switches = tuple(switches) if isinstance(switches, Iterable) else (switches,)
    if not all(isinstance(position, Position) for position in switches):
        raise InputError(f"switches are {switches!r}: expected positions such as Position(rx='WEST')")
    if len(switches) > 3:
        raise InputError(f"a switch with {len(switches) + 1} positions: a color has at most 4 (0 to 3)")
    if pop_mode not in POP_MODES:
        raise InputError(f"pop mode {pop_mode!r} does not exist: use one of {', '.join(POP_MODES)}")
    if not isinstance(swap, str):
        raise InputError(f"color swap {swap!r} does not exist: use 'EW', 'NS' or 'EW NS'")
    axes = set(swap.upper().replace(",", " ").split())
    if not axes <= {"EW", "NS"}:
        raise InputError(f"color swap {swap!r} does not exist: use 'EW', 'NS' or 'EW NS'")
    base_rx, base_tx = port_mask(rx), port_mask(tx)
    in_masks = [base_rx] + [base_rx if p.rx is None else port_mask(p.rx) for p in switches]
    out_masks = [base_tx] + [base_tx if p.tx is None else port_mask(p.tx) for p in switches]
    for number, (inputs, outputs) in enumerate(zip(in_masks, out_masks, strict=True)):
        if not inputs or not outputs:
            raise InputError(f"switch position {number} has no {'rx' if not inputs else 'tx'} port: name at least one")
    if not is_whole(initial) or not 0 <= initial < len(in_masks):
        raise InputError(f"initial switch position {initial!r} is not valid: the switch has positions 0 to {len(in_masks) - 1}")
    return Route(tuple(in_masks), tuple(out_masks), int(initial), ring_mode, POP_MODES.index(pop_mode), "EW" in axes,
                 "NS" in axes, teardown)


def control_payload(commands: Iterable[Command | int], *, entry_point: int = 0,
                    ignore_in_core: bool | Iterable[bool] = False, argument: int | None = None) -> int:
    """The 32 bits of a control wavelet with up to eight commands and an entry point (0 to 63).

    ``argument`` is the 16-bit datum of the single-command form. Bit layout: machine documentation of the control library
    (entry point 16 to 21; three bits per command from 22 to 29, then 0 to 15).
    """
    try:
        commands = [Command(command) for command in commands]
    except ValueError as error:
        raise InputError(f"{error}: use one of {', '.join(command.name for command in Command)}") from None
    if not 1 <= len(commands) <= 8:
        raise InputError(f"a control wavelet with {len(commands)} commands: it holds 1 to 8")
    if not is_whole(entry_point) or not 0 <= entry_point < 64:
        raise InputError(f"entry point {entry_point!r} does not exist: use 0 to 63")
    if argument is not None and (len(commands) > 1 or not 0 <= argument < 1 << 16):
        raise InputError("an argument needs a single command, and 16 bits")
    ignored = list(ignore_in_core) if isinstance(ignore_in_core, Iterable) else [ignore_in_core] * len(commands)
    if len(ignored) != len(commands):
        raise InputError(f"{len(ignored)} ignore bits for {len(commands)} commands: give one, or one for each")
    packed = 0
    for index, (command, ignore) in enumerate(zip(commands, ignored, strict=True)):
        packed |= (int(command) | check_flag(ignore, "ignore_in_core of a command") << 2) << 3 * index
    return (packed & 0xff) << 22 | packed >> 8 | entry_point << 16 | (argument or 0)


@dataclass(frozen=True)
class RangeFilter(Tabled):
    """Lets a data word into the core only if its index (high 16 bits) is in [low, high]; control words pass."""

    low: int
    high: int

    def __post_init__(self) -> None:
        check_whole(self.low, "as the low end of a range filter", 0, 0xFFFF)
        check_whole(self.high, "as the high end of a range filter", 0, 0xFFFF)


@dataclass(frozen=True)
class CounterFilter(Tabled):
    """Counts words from ``start``, wraps after ``limit``, lets pass while the count is at most ``high``.

    ``first_limit`` (the sparse counter) replaces ``limit`` once, until the first wrap.
    """

    limit: int
    high: int
    start: int = 0
    first_limit: int | None = None
    count_data: bool = True
    count_control: bool = False

    def __post_init__(self) -> None:
        for name in ("limit", "high", "start", "first_limit"):
            if name != "first_limit" or self.first_limit is not None:
                check_whole(getattr(self, name), f"as {name} of a counter filter", 0, 0xFFFFFFFF)
        check_flags(self)


Filter = RangeFilter | CounterFilter
