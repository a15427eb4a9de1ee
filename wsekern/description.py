"""Loading of descriptions (machines, GPUs, clusters) from TOML: strict, with unit and source for every number.

A description is a :class:`msgspec.Struct` whose numeric fields are ``Annotated[Quantity, Unit("Hz")]``. In a file each
is a table ``{ value = 0.85e9, unit = "Hz", source = "...", confidence = "A" }``. A bad file is refused with its place.
"""

import math
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from wsekern.errors import InputError, brief, check_source
from wsekern.garbage import lasting

Confidence = Literal["A", "B", "C", "I"]
"""A read in a primary source, B in one secondary source, C vendor marketing or recalled, I inferred."""


class Quantity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number with its unit, where it comes from, and how sure we are."""

    value: float
    unit: str
    source: str
    confidence: Confidence = "I"

    def __repr__(self) -> str:
        return f"{self.value:.6g} {self.unit}"

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole numbers with their unit and source, e.g. the depth of each queue."""

    values: tuple[int, ...]
    unit: str
    source: str
    confidence: Confidence = "I"


LIMITS = {
    "cycles": 1e6, "Hz": 1e11, "s": 1e6, "B": 1e18, "B/s": 1e18, "bit/s": 1e19, "FLOP/s": 1e21, "W": 1e9, "USD": 1e12,
    "USD/h": 1e9, "PEs": 1e5, "GPUs": 1e6, "chips": 1e6, "SMs": 1e6, "count": 1e6, "wavelets": 1e6, "id": 1e6,
    "color": 1e6, "elements": 1e9, "elements/cycle": 1e6, "tokens": 1e9, "ratio": 1e6,
}
"""Sanity limits by unit: far beyond any machine that exists or is announced, and small enough that sums and products of such
numbers stay finite and fit 64 bits."""


class Unit(msgspec.Struct, frozen=True):
    """Annotation of a quantity or listing: the unit it must have, the values it may take (at most those of :data:`LIMITS`),
    whether they are whole numbers."""

    name: str
    minimum: float = 0.0
    maximum: float = math.inf
    whole: bool = False

    @property
    def most(self) -> float:
        """The largest value that makes sense."""
        return min(self.maximum, LIMITS.get(self.name, math.inf))


T = TypeVar("T", bound=msgspec.Struct)


def load_description(path: str | os.PathLike[str], cls: type[T]) -> T:
    """Read the TOML file at ``path`` as a ``cls``; raise :class:`InputError` naming file and place if it is not one."""
    path = Path(path)
    check_source(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        description = msgspec.toml.decode(text, type=cls)
    except msgspec.ValidationError as error:
        missing = _missing(msgspec.toml.decode(text), cls)
        if len(missing) > 1:
            raise InputError(f"{path}: keys {', '.join(missing[:-1])} and {missing[-1]} are missing") from None
        raise InputError(f"{path}: {_plain(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is not a TOML file: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is not a description: its tables or arrays are nested too deeply") from None
    check_units(description, str(path))
    return description


def _missing(data: Any, cls: type[msgspec.Struct], prefix: str = "") -> list[str]:
    """Required keys of ``cls`` that ``data`` lacks, those of its tables too; of a table that is missing, every key it needs."""
    if not isinstance(data, dict):
        return []
    found = []
    hints = get_type_hints(cls)
    for field in msgspec.structs.fields(cls):
        inner = _struct_of(hints[field.name])
        if field.name in data:
            if inner is not None:
                found += _missing(data[field.name], inner, f"{prefix}{field.name}.")
        elif field.required:
            whole = inner is not None and not issubclass(inner, Quantity | Listing)
            found += _missing({}, inner, f"{prefix}{field.name}.") if whole and inner else [f"{prefix}{field.name}"]
    needs = getattr(cls, "needs", None)
    return found + ([f"{prefix}{key}" for key in needs(data)] if needs else [])


def _struct_of(annotation: Any) -> type[msgspec.Struct] | None:
    """The struct that a field holds, which may be left out too."""
    if get_origin(annotation) in (dict, tuple, list):
        return None
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return kind
    return None


def with_value(description: Any, place: str, value: object, named: str, unit: Unit | None = None) -> Any:
    """``description`` with another ``value`` for the number at ``place``, such as ``fabric.hop_latency``; its source says that
    it was set. :class:`InputError` calls the place what the user ``named`` it. ``unit``: of a number, what it may be."""
    head, _, rest = place.partition(".")
    if isinstance(description, Quantity) and not place:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{named} is {value!r}, expected a number of {description.unit}")
        found = msgspec.structs.replace(description, value=value, source=f"set to {value:g}, instead of {description.source}")
        _check_quantity(found, unit, named)
        return found
    names = list(description) if isinstance(description, dict) else list(getattr(description, "__struct_fields__", ()))
    if isinstance(description, Quantity | Listing) or head not in names:
        known = names and not isinstance(description, Quantity | Listing)
        ways = f": expected one of {', '.join(names)} here" if known else ""
        raise InputError(f"{named} is the place of no number{ways}")
    if isinstance(description, dict):
        return {**description, head: with_value(description[head], rest, value, named, unit)}
    unit = _units_of(type(description))[head]
    return msgspec.structs.replace(description, **{head: with_value(getattr(description, head), rest, value, named, unit)})


def check_units(description: msgspec.Struct, where: str) -> None:
    """Check the unit, values and source of every quantity in ``description``."""
    for field, unit in _units_of(type(description)).items():
        value = getattr(description, field)
        many = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, tuple) else None
        items = ((None, value),) if many is None else many.items()
        for key, item in items:
            place = f"{where}: {field}" if key is None else f"{where}: {field}.{key}"
            if isinstance(item, Quantity | Listing):
                _check_quantity(item, unit, place)
            elif isinstance(item, msgspec.Struct):
                check_units(item, place)


def _check_quantity(quantity: Quantity | Listing, unit: Unit | None, place: str) -> None:
    unit = unit or Unit(quantity.unit)
    if quantity.unit != unit.name:
        raise InputError(f"{place}: unit is {quantity.unit!r}, expected {unit.name!r}")
    for value in quantity.values if isinstance(quantity, Listing) else (quantity.value,):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{place}: value is {value}, expected a finite number")
        if value < unit.minimum:
            raise InputError(f"{place}: value is {brief(value)}, expected at least {unit.minimum:g}")
        if value > unit.most:
            raise InputError(f"{place}: value is {brief(value)}, expected at most {unit.most:g} {unit.name}")
        if unit.whole and value != int(value):
            raise InputError(f"{place}: value is {brief(value)}, expected a whole number")
    if not quantity.source.strip():
        raise InputError(f"{place}: source is empty, expected where the number comes from")


def check_clock(clock: float | None) -> None:
    """Check a clock in Hz (None: the machine's own)."""
    if clock is not None and not 0 < clock <= LIMITS["Hz"]:
        raise InputError(f"clock is {brief(clock)}: expected more than 0 and at most {LIMITS['Hz']:g} Hz, as no chip goes "
                         "faster")


@lasting
@lru_cache(maxsize=256)
def _units_of(cls: type[msgspec.Struct]) -> dict[str, Unit | None]:
    """Every field of a class, with the unit of its numbers."""
    return {field: _unit_of(annotation) for field, annotation in get_type_hints(cls, include_extras=True).items()}


def _unit_of(annotation: Any) -> Unit | None:
    """The Unit anywhere in an annotation such as ``Annotated[Quantity, Unit("W")] | None`` or ``dict[str, ...]``."""
    if get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, Unit):
                return extra
    for arg in get_args(annotation):
        unit = _unit_of(arg)
        if unit is not None:
            return unit
    return None


def _plain(message: str) -> str:
    """msgspec's message in the words of this package: the place, then what is wrong there."""
    what, _, place = message.replace("`", "'").partition(" - at '$")
    place = place.rstrip("'").lstrip(".")
    what = re.sub(r"^Object contains unknown field ('.*')$", r"unknown key \1", what)
    what = re.sub(r"^Object missing required field ('.*')$", r"key \1 is missing", what)
    what = what[:1].lower() + what[1:].replace("'object'", "a table")
    return f"{place}: {what}" if place else what
