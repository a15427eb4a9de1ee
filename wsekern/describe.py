"""Loading of descriptions (machines, GPUs, clusters) from TOML: strict, with unit and source for every number.

A description is a :class:`msgspec.Struct` whose numeric fields are ``Annotated[Quantity, Unit("Hz")]``. In a file each
is a table ``{ value = 0.85e9, unit = "Hz", source = "...", confidence = "A" }``. A bad file is refused with its place.
"""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from wsekern.errors import InputError

Confidence = Literal["A", "B", "C", "I"]
"""A read in a primary source, B in one secondary source, C vendor marketing or recalled, I inferred."""


class Quantity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number with its unit, where it comes from, and how sure we are."""

    value: float
    unit: str
    source: str
    confidence: Confidence = "I"

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)


class Unit(msgspec.Struct, frozen=True):
    """Annotation of a quantity: the unit it must have and the least value it may take."""

    name: str
    minimum: float = 0.0


T = TypeVar("T", bound=msgspec.Struct)


def load_description(path: str | os.PathLike[str], cls: type[T]) -> T:
    """Read the TOML file at ``path`` as a ``cls``; raise :class:`InputError` naming file and place if it is not one."""
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        description = msgspec.toml.decode(text, type=cls)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {_plain(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is not a TOML file: {error}") from None
    check_units(description, str(path))
    return description


def check_units(description: msgspec.Struct, where: str) -> None:
    """Check the unit, sign and source of every quantity in ``description``."""
    for field, annotation in get_type_hints(type(description), include_extras=True).items():
        value = getattr(description, field)
        unit = _unit_of(annotation)
        if isinstance(value, msgspec.Struct) and not isinstance(value, Quantity):
            check_units(value, f"{where}: {field}")
        elif isinstance(value, Quantity):
            _check_quantity(value, unit, f"{where}: {field}")
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, Quantity):
                    _check_quantity(item, unit, f"{where}: {field}.{key}")
                elif isinstance(item, msgspec.Struct):
                    check_units(item, f"{where}: {field}.{key}")


def _check_quantity(quantity: Quantity, unit: Unit | None, place: str) -> None:
    if not math.isfinite(quantity.value):
        raise InputError(f"{place}: value is {quantity.value}, expected a finite number")
    if unit is not None and quantity.unit != unit.name:
        raise InputError(f"{place}: unit is {quantity.unit!r}, expected {unit.name!r}")
    minimum = unit.minimum if unit is not None else 0.0
    if quantity.value < minimum:
        raise InputError(f"{place}: value is {quantity.value:g}, expected at least {minimum:g}")
    if not quantity.source.strip():
        raise InputError(f"{place}: source is empty, expected where the number comes from")


def _unit_of(annotation: Any) -> Unit | None:
    """The Unit anywhere in an annotation such as ``Annotated[Quantity, Unit("W")] | None`` or ``dict[str, ...]``."""
    if get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, Unit):
                return extra
    for arg in get_args(annotation):
        found = _unit_of(arg)
        if found is not None:
            return found
    return None


def _plain(message: str) -> str:
    return message.replace("`", "'").replace(" - at '$.", " - at '").replace("Object", "the description")
