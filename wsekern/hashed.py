"""Objects that are keys of many caches and reckon their hash once."""

from typing import Any


class HashedOnce:
    """Keeps its hash as ``_hash`` (a cached property of the class); takes it into no pickle, as that of a text is another one
    in every process, where equal objects would not find each other."""

    __slots__ = ()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}
