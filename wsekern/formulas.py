"""Functions of numbers as formulas, found by calling them once with numbers that keep account of what is done to them.

A list of steps, their times and the bytes of a layer depend on the sides of a grid and on few other numbers, by the same sums,
products and quotients for most grids. :class:`Formulas` calls such a function with :class:`Traced` numbers, writes down what
was done to them, and from then on has a kernel do the same to others. Wherever the function asked how two numbers compare, the
formulas ask too; for numbers that compare otherwise the function is called anew, and its other way kept beside the first. What
needs a plain number (the length of a loop, the argument of a kernel) fixes the number: the formulas hold for it alone.
So a formula gives exactly what the function gives, which is its reference.
"""

from collections.abc import Callable, Hashable
from functools import wraps
from inspect import signature
from typing import Any

from wsekern._formulas import Memo, Ways
from wsekern._traced import Account, Traced, account_of, is_traced, largest, smallest, traced

__all__ = ["MAX_WAYS", "Formulas", "Memo", "attempted", "is_traced", "largest", "opaque", "smallest", "within"]

MAX_WAYS = 128
"""Ways of a function that are kept; with more, its numbers are reckoned by the function itself."""


def attempted(work: Callable[[], Any], *numbers: Any) -> Any:
    """What ``work`` makes of ``numbers``, some of them traced; None if it needs one as a plain number or compares two."""
    account = account_of(numbers)
    return work() if account is None else account.attempt(work)


def opaque(function: Callable[..., Any], most: int = 0) -> Callable[..., Any]:
    """A function without side effects, of numbers, that formulas call instead of going through it. Of its answers they keep no
    more than ``most``, or all."""
    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if named:                                                       # a formula keeps arguments by their places
            arguments = _in_order(function, arguments, named)
        account = account_of(arguments)
        return function(*arguments) if account is None else account.called(function, arguments, most)
    return called


def _in_order(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments of a call by their places, those that were left out with their defaults."""
    bound = signature(function).bind(*arguments, **named)
    bound.apply_defaults()
    return bound.args


class Formulas(Ways):
    """``function`` of numbers that are not negative, by formulas; it gives a tuple of numbers. The first ``plain`` answers
    are its own: formulas pay where it is asked for more than they take to be written down."""

    def __init__(self, function: Callable[..., tuple[Any, ...]], plain: int = 0) -> None:
        super().__init__()
        self.function = function
        self._first: dict[tuple[float, ...], tuple[Any, ...]] = {}
        self._plain = plain
        self._memos: dict[Hashable, Memo] = {}
        self._wide = False

    def plainly(self, *numbers: float) -> tuple[Any, ...]:
        """What the function gives, where its way is known and the kernel cannot go it."""
        return self.function(*numbers)

    def otherwise(self, *numbers: float) -> tuple[Any, ...]:
        """What the function gives, where no formulas say it; their way is kept."""
        if len(self._first) < self._plain:
            if numbers not in self._first:
                self._first[numbers] = self.function(*numbers)
            return self._first[numbers]
        if self._wide or len(self.ways) >= MAX_WAYS:
            return self.function(*numbers)
        account = Account(tuple(not isinstance(one, float) for one in numbers), self._memos)
        try:
            found = self.function(*(traced(account, place, number, 1) for place, number in enumerate(numbers)))
            self.ways.insert(0, account.compiled(found))
        except OverflowError:
            self._wide = True                                           # of more bits than the kernel's
            return self.function(*numbers)
        finally:
            account.closed = True
        return tuple(one.value if isinstance(one, Traced) else one for one in found)


def within(formulas: Formulas, *numbers: int) -> tuple[Any, ...]:
    """What ``formulas`` give; as part of others that are just made, what their function does to the numbers."""
    return formulas.function(*numbers) if any(map(is_traced, numbers)) else formulas(*numbers)
