"""Values that the package ships and that a ``with`` block may replace: constants, kernel fits, engine levels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Generic, TypeVar

T = TypeVar("T")


class Scoped(Generic[T]):
    """A shipped value, read at its first use; call it to get the value in use.

    ``with scoped.replaced(value):`` uses ``value`` inside the block, in this thread and its contexts only. Nothing is changed
    in place and no cache is cleared: caches take the value, or numbers read from it, as a part of their key.
    """

    def __init__(self, name: str, load: Callable[[], T]) -> None:
        self._shipped = lru_cache(maxsize=1)(load)
        self._replacement: ContextVar[T | None] = ContextVar(name, default=None)

    def __call__(self) -> T:
        value = self._replacement.get()
        return self._shipped() if value is None else value

    @contextmanager
    def replaced(self, value: T) -> Iterator[None]:
        """Use ``value`` until the block ends."""
        token = self._replacement.set(value)
        try:
            yield
        finally:
            self._replacement.reset(token)
