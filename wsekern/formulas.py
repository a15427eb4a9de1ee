"""Functions of numbers as formulas, found by calling them once with numbers that keep account of what is done to them.

A list of steps, their times and the bytes of a layer depend on the sides of a grid and on few other numbers, by the same sums,
products and quotients for most grids. :class:`Formulas` calls such a function with :class:`Traced` numbers, writes down what
was done to them, and from then on has a kernel do the same to others. Wherever the function asked how two numbers compare, the
formulas ask too; for numbers that compare otherwise the function is called anew, and its other way kept beside the first. What
needs a plain number (the length of a loop, the argument of a kernel) fixes the number: the formulas hold for it alone.
So a formula gives exactly what the function gives, which is its reference.
"""

import math
import operator
from collections.abc import Callable, Hashable
from functools import wraps
from inspect import signature
from typing import Any

from wsekern._formulas import FURTHER, REAL_KIND, SYMBOLS, Memo, Program, Ways

MAX_WAYS = 128
"""Ways of a function that are kept; with more, its numbers are reckoned by the function itself."""

_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


_NUMBER = object()
"""Where a number stands among the other arguments of a function."""


class _Undecided(Exception):
    """A plain number is needed, or how two compare."""


_Line = tuple[str, bool, int, int]
"""Of formulas: what is done, whether to numbers that need not be whole, and the places of one or two numbers."""


class _Account:
    """What was done to some numbers: a list, each line of which makes a number in a place of its own, or asks how two compare.
    Once its formulas are made it is closed: its numbers, which caches may still hold, are plain ones from then on."""

    def __init__(self, inputs: tuple[bool, ...], memos: dict[Hashable, Memo] | None = None) -> None:
        self.inputs, self.places = inputs, len(inputs)
        self.lines: list[tuple[int | None, _Line]] = []
        self.known: dict[Hashable, int] = {}
        self.constants: dict[int, float] = {}
        self.calls: list[tuple[Memo, bool, tuple[tuple[int, bool], ...]]] = []
        self.memos = {} if memos is None else memos
        self.asked: set[_Line] = set()
        self.attempts = 0
        self.closed = False

    def made(self, value: float, line: _Line, sign: int = 0) -> Any:
        """A number that follows from others by ``line``; the same is reckoned once."""
        if self.closed:
            return value
        return _traced(self, self._new(line), value, sign)

    def _new(self, line: _Line) -> int:
        place = self.known.get(line)
        if place is None:
            place = self.known[line] = self._place()
            self.lines.append((place, line))
        return place

    def _place(self) -> int:
        self.places += 1
        return self.places - 1

    def at(self, value: Any, real: bool) -> int:
        """The place of a number, traced or not; ``real``: as one that need not be whole."""
        kind = type(value)
        if kind in _TRACED and not value.account.closed:
            return self._new(("float", False, value.place, 0)) if real and kind is TracedInt else int(value.place)
        plain = value.value if kind in _TRACED else value
        constant = float(plain) if real or isinstance(plain, float) else int(plain)
        key = type(constant), repr(constant)
        if key not in self.known:
            self.known[key] = self._place()
            self.constants[self.known[key]] = constant
        return self.known[key]

    def line(self, symbol: str, one: Any, other: Any) -> _Line:
        """Two numbers by an operation, or ``one`` twice."""
        real = symbol in ("/", "**") or _is_real(one) or _is_real(other)
        return symbol, real, self.at(one, real), self.at(other, real)

    def ask(self, symbol: str, one: Any, other: Any) -> None:
        """Let the formulas hold only where this comparison does."""
        if self.closed:
            return
        line = self.line(symbol, one, other)
        if line not in self.asked:
            if self.attempts:
                raise _Undecided
            self.asked.add(line)
            self.lines.append((None, line))

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives; None if it needs a plain number or compares some. What it reckoned until then stays: an object
        may have kept it, and numbers that come this way reckon it too."""
        self.attempts += 1
        try:
            return work()
        except _Undecided:
            return None
        finally:
            self.attempts -= 1

    def called(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What a function without side effects gives, as a number that depends on ``arguments``."""
        others = tuple(_NUMBER if _is_number(one) else one for one in arguments)
        numbers = [one for one in arguments if _is_number(one)]
        memo = self._memo(function, others)
        value = memo(*map(_plain, numbers))
        taken = tuple((self.at(one, real=False), not isinstance(one, float)) for one in numbers)
        key = memo, taken
        if key not in self.known:
            self.known[key] = self._place()
            self.lines.append((self.known[key], ("call", False, len(self.calls), 0)))
            self.calls.append((memo, not isinstance(value, float), taken))
        return value if self.closed else _traced(self, self.known[key], value)

    def _memo(self, function: Callable[..., Any], others: tuple[Any, ...]) -> Memo:
        if isinstance(function, Memo) and all(one is _NUMBER for one in others):
            return function
        key = function, others
        if key not in self.memos:
            self.memos[key] = Memo(_bound(function, others))
        return self.memos[key]

    def compiled(self, outputs: tuple[Any, ...]) -> Program:
        """The formulas of ``outputs``."""
        found = tuple((self.at(one, real=False), not isinstance(one, float)) for one in outputs)
        lines, needed = [], {place for place, _ in found}
        for place, (symbol, real, one, other) in reversed(self.lines):
            if place is not None and place not in needed:               # no later line takes it
                continue
            needed.update([taken for taken, _ in self.calls[one][2]] if symbol == "call" else (one, other))
            code = SYMBOLS[symbol] + REAL_KIND * real if symbol in SYMBOLS else FURTHER[symbol]
            lines.append((code, place or 0, one, other))
        return Program(self.inputs, self.places, lines[::-1], self.constants, tuple(self.calls), found)


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_real(value: Any) -> bool:
    """Whether it need not be whole."""
    kind = type(value)
    return kind is float or kind is TracedFloat or (kind is not int and kind is not TracedInt and isinstance(value, float))


def _bound(function: Callable[..., Any], others: tuple[Any, ...]) -> Callable[..., Any]:
    """``function`` of its numbers alone, behind the other arguments that it has."""
    if all(one is _NUMBER for one in others):
        return function

    def bound(*numbers: float) -> Any:
        left = iter(numbers)
        return function(*(next(left) if one is _NUMBER else one for one in others))
    return bound


def _plain(value: Any) -> Any:
    return value.value if type(value) in _TRACED else value


def _sign(value: Any) -> int:
    """1: not negative; -1: not positive; 0: not known."""
    return value.sign if type(value) in _TRACED else 1 if value >= 0 else -1


_OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "+": (operator.add, lambda one, other: one if one == other else 0),
    "-": (operator.sub, lambda one, other: one if one == -other else 0),
    "*": (operator.mul, operator.mul), "//": (operator.floordiv, operator.mul), "/": (operator.truediv, operator.mul),
    "%": (operator.mod, lambda one, other: other), "**": (operator.pow, lambda one, other: max(0, one)),
}
"""Functions, and the sign of what they give by those of what they are given."""


def _arithmetic(symbol: str, turned: bool = False) -> Callable[[Any, Any], Any]:
    """A method of :class:`Traced` for ``self symbol other``, or ``turned`` round; with what is no number, of the plain one."""
    function, sign_of = _OPERATIONS[symbol]

    def method(self: Any, other: Any) -> Any:
        account, kind = self.account, type(other)
        if account.closed:
            return function(other, self.value) if turned else function(self.value, other)
        if kind not in _NUMBERS and not isinstance(other, int | float):
            return function(other, self.fixed()) if turned else function(self.fixed(), other)
        one, two = (other, self) if turned else (self, other)
        if kind is int and (other == 1 if symbol == "*" else other == 0 and symbol == "+"):
            return self
        return account.made(function(_plain(one), _plain(two)), account.line(symbol, one, two),
                                 sign_of(_sign(one), _sign(two)))
    return method


_power, _power_of = _arithmetic("**"), _arithmetic("**", turned=True)


class Traced:
    """A number that keeps account of what is done to it. It passes for an int or a float, but code that is not Python sees none
    before :meth:`fixed` has made sure that the formulas hold for this number alone."""

    __slots__ = ("account", "place", "sign", "value")
    __array_ufunc__ = None
    kind: type

    def __init__(self, account: _Account, place: int, value: float, sign: int = 0) -> None:
        self.account, self.place, self.value, self.sign = account, place, value, sign

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override, misc]
        return self.kind

    def fixed(self) -> Any:
        """The number, after which formulas hold for it alone."""
        self.account.ask("==", self, self.value)
        return self.value

    def _by(self, symbol: str, value: float, sign: int) -> Any:
        return value if self.account.closed else self.account.made(value, self.account.line(symbol, self, self), sign)

    def _compared(self, symbol: str, other: Any) -> bool:
        if self.account.closed:
            return bool(_COMPARISONS[symbol](self.value, other))
        if is_traced(other) and other.place == self.place:
            return symbol in ("<=", ">=", "==")
        if type(other) not in _NUMBERS and not isinstance(other, int | float):
            return bool(_COMPARISONS[symbol](self.fixed(), other))
        if not is_traced(other) and other == 0 and (self.sign, symbol) in ((1, ">="), (1, "<"), (-1, "<="), (-1, ">")):
            return symbol in (">=", "<=")
        holds = bool(_COMPARISONS[symbol](self.value, _plain(other)))
        self.account.ask(symbol if holds else _NEGATED[symbol], self, other)
        return holds

    __add__, __radd__ = _arithmetic("+"), _arithmetic("+", turned=True)
    __sub__, __rsub__ = _arithmetic("-"), _arithmetic("-", turned=True)
    __mul__, __rmul__ = _arithmetic("*"), _arithmetic("*", turned=True)
    __floordiv__, __rfloordiv__ = _arithmetic("//"), _arithmetic("//", turned=True)
    __truediv__, __rtruediv__ = _arithmetic("/"), _arithmetic("/", turned=True)
    __mod__, __rmod__ = _arithmetic("%"), _arithmetic("%", turned=True)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        return _power(self, other) if _is_real(self) or _is_real(other) else self.fixed() ** _plain(other)

    def __rpow__(self, other: Any) -> Any:
        return _power_of(self, other) if _is_real(self) or _is_real(other) else other ** self.fixed()

    def __neg__(self) -> Any:
        return self._by("neg", -self.value, -self.sign)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __ceil__(self) -> Any:
        return self if self.kind is int else self._by("ceil", math.ceil(self.value), self.sign)

    def __round__(self, digits: int | None = None) -> Any:
        if digits is not None:
            return round(self.fixed(), digits)
        return self if self.kind is int else self._by("round", round(self.value), self.sign)

    def __lt__(self, other: Any) -> bool:
        return self._compared("<", other)

    def __le__(self, other: Any) -> bool:
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> bool:
        return self._compared(">", other)

    def __ge__(self, other: Any) -> bool:
        return self._compared(">=", other)

    def __eq__(self, other: object) -> bool:
        return self._compared("==", other)

    def __ne__(self, other: object) -> bool:
        return self._compared("!=", other)

    def __bool__(self) -> bool:
        return self._compared("!=", 0)

    def __hash__(self) -> int:
        return hash(self.fixed())

    def __int__(self) -> int:
        return int(self.fixed())

    def __float__(self) -> float:
        return float(self.fixed())

    def __str__(self) -> str:
        return str(self.fixed())

    def __repr__(self) -> str:
        return repr(self.fixed())

    def __format__(self, form: str) -> str:
        return format(self.fixed(), form)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.fixed(), name)


class TracedInt(Traced):
    """A whole number."""

    __slots__ = ()
    kind = int

    def __index__(self) -> int:
        return int(self.fixed())


class TracedFloat(Traced):
    """Another number."""

    __slots__ = ()
    kind = float


def _traced(account: _Account, place: int, value: float, sign: int = 0) -> Traced:
    return (TracedFloat if isinstance(value, float) else TracedInt)(account, place, value, sign)


_TRACED = (TracedInt, TracedFloat)
_NUMBERS = (*_TRACED, int, float)


def is_traced(value: Any) -> bool:
    """Whether a value keeps account."""
    return type(value) in _TRACED and not value.account.closed


def largest(*numbers: Any) -> Any:
    """As ``max``; formulas take whichever it is."""
    return _one_of("max", max, numbers)


def smallest(*numbers: Any) -> Any:
    """As ``min``; formulas take whichever it is."""
    return _one_of("min", min, numbers)


def _one_of(name: str, function: Callable[..., Any], numbers: tuple[Any, ...]) -> Any:
    traced = next((one for one in numbers if is_traced(one)), None)
    if len(numbers) == 1:
        return numbers[0]
    if traced is None:
        return function(*numbers)
    found = numbers[0]
    for other in numbers[1:]:
        value = function(_plain(found), _plain(other))
        if isinstance(found, float) or isinstance(other, float):
            value = float(value)
        one, two = _sign(found), _sign(other)
        sign = one if one == two else int(name == "max" and 1 in (one, two))
        found = traced.account.made(value, traced.account.line(name, found, other), sign)
    return found


def attempted(work: Callable[[], Any], *numbers: Any) -> Any:
    """What ``work`` makes of ``numbers``, some of them traced; None if it needs one as a plain number or compares two."""
    account = next(one.account for one in numbers if is_traced(one))
    return account.attempt(work)


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function without side effects, of numbers, that formulas call instead of going through it."""
    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if named:                                                       # a formula keeps arguments by their places
            arguments = _in_order(function, arguments, named)
        for one in arguments:
            if is_traced(one):
                return one.account.called(function, arguments)
        return function(*arguments)
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
        account = _Account(tuple(not isinstance(one, float) for one in numbers), self._memos)
        try:
            traced = self.function(*(_traced(account, place, number, 1) for place, number in enumerate(numbers)))
            self.ways.insert(0, account.compiled(traced))
        except OverflowError:
            self._wide = True                                           # of more bits than the kernel's
            return self.function(*numbers)
        finally:
            account.closed = True
        return tuple(_plain(one) for one in traced)


def within(formulas: Formulas, *numbers: int) -> tuple[Any, ...]:
    """What ``formulas`` give; as part of others that are just made, what their function does to the numbers."""
    return formulas.function(*numbers) if any(map(is_traced, numbers)) else formulas(*numbers)
