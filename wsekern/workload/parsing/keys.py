"""The keys of one ``config.json``, each checked when it is read."""

import sys
from typing import Any

from wsekern.errors import InputError

LARGEST = 10**9
"""No size in a config.json is larger; beyond it a typing error is more likely than a model."""

MOST_LAYERS = 10_000
"""Sanity limit of the layers of a model: each is described."""

WIDEST_HEAD = 65_536
"""Sanity limit of the features of one attention head."""


class Keys:
    """``data`` with every key that is not given filled in by its class; ``where`` names it in errors, and ``stored`` what a
    key is called in the file. A null counts as not given."""

    def __init__(self, data: dict[str, Any], where: str, stored: dict[str, str] | None = None):
        self.data, self.where, self.stored = data, where, stored or {}

    def refuse(self, key: str, expected: str) -> InputError:
        """That the value of ``key`` is not what was ``expected``."""
        return InputError(f"{self.where}: '{self.stored.get(key, key)}' is {short(self.data.get(key))}, expected {expected}")

    def has(self, key: str) -> bool:
        """Whether there is a value."""
        return self.data.get(key) is not None

    def size(self, key: str, default: int | None = None, minimum: int = 1, maximum: int = LARGEST) -> int:
        """A whole number; :class:`InputError` where it is missing without a ``default``, or out of bounds."""
        value = self.data.get(key)
        value = default if value is None else value
        if value is None:
            raise InputError(f"{self.where}: key '{self.stored.get(key, key)}' is missing")
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self.refuse(key, f"a whole number of {minimum} to {maximum:,}")
        return value

    def count(self, key: str, default: int = 0) -> int:
        """A whole number that may be 0."""
        return self.size(key, default, 0)

    def number(self, key: str, default: float, least: float = 0.0, most: float = sys.float_info.max) -> float:
        """A positive number, from ``least`` to ``most`` where these are given."""
        value = self.data.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not (
                0 < value <= sys.float_info.max and least <= value <= most):
            bounded = most < sys.float_info.max
            raise self.refuse(key, f"a number from {least:g} to {most:g}" if bounded else "a positive number")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false; a whole number, as some published files have it, is true unless it is 0."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, int):
            raise self.refuse(key, "true or false")
        return default if value is None else bool(value)

    def table(self, key: str) -> dict[str, Any]:
        """An object; empty where it is not given."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.refuse(key, "an object")
        return value or {}

    def names(self, key: str) -> list[str]:
        """A list of names; one name is a list of one."""
        value = self.data.get(key)
        value = [value] if isinstance(value, str) else value or []
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise self.refuse(key, "a list of names")
        return list(value)

    def sizes(self, key: str, length: int | None = None) -> list[int]:
        """A list of whole numbers or flags, ``length`` of them where given; empty where there is none."""
        value = self.data.get(key)
        value = [] if value is None else value
        fits = isinstance(value, list | tuple) and all(isinstance(item, int) and 0 <= item <= LARGEST for item in value)
        if not fits or (value and length is not None and len(value) < length):
            raise self.refuse(key, "a list of whole numbers" + (f", one for each of {length} layers" if length else ""))
        return [int(item) for item in value]

    def inner(self, key: str) -> "Keys":
        """The keys of an object inside."""
        return Keys(self.table(key), f"{self.where}: {key}")


def short(value: Any) -> str:
    """What was found, in at most a few words."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def with_keys(keys: Keys, **values: Any) -> Keys:
    """The keys with some ``values`` of others."""
    return Keys({**keys.data, **values}, keys.where, keys.stored)
