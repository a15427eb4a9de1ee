"""Values that the package ships and that a ``with`` block may replace: constants, kernel fits, engine levels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Generic, ParamSpec, TypeVar

from wsekern.garbage import lasting

T = TypeVar("T")
P = ParamSpec("P")


_REPLACED: ContextVar[int] = ContextVar("replaced", default=0)
"""How many values stand for shipped ones."""


class Scoped(Generic[T]):
    """A shipped value, read at its first use; call it to get the value in use.

    ``with scoped.replaced(value):`` uses ``value`` inside the block, in this thread and its contexts only. Nothing is changed
    in place and no cache is cleared: caches take the value, or numbers read from it, as a part of their key.
    """

    def __init__(self, name: str, load: Callable[[], T]) -> None:
        self._shipped = lasting(lru_cache(maxsize=1)(load))
        self._replacement: ContextVar[T | None] = ContextVar(name, default=None)

    def __call__(self) -> T:
        value = self._replacement.get()
        return self._shipped() if value is None else value

    @contextmanager
    def replaced(self, value: T) -> Iterator[None]:
        """Use ``value`` until the block ends."""
        token, count = self._replacement.set(value), _REPLACED.set(_REPLACED.get() + 1)
        try:
            yield
        finally:
            _REPLACED.reset(count)
            self._replacement.reset(token)


def kept_while_shipped(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator that keeps results of a function of hashable arguments as long as all values in use are the shipped ones, and
    keeps none where one is replaced."""

    def kept(function: Callable[P, T]) -> Callable[P, T]:
        known = lru_cache(maxsize=maxsize)(function)

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> T:
            return (function if _REPLACED.get() else known)(*arguments, **named)

        return call

    return kept
