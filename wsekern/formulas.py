"""Functions of whole numbers as formulas, found by calling them once with numbers that keep account of what is done to them.

A list of steps, their times and the bytes of a layer depend on the sides of a grid and on few other numbers, by the same sums,
products and quotients for most grids. :class:`Formulas` calls such a function with :class:`Traced` numbers, writes what was
done to them as one plain function, and calls that from then on. Wherever the function asked how two numbers compare, the
formulas ask too; for numbers that compare otherwise the function is called anew, and its other way kept beside the first. What
needs a plain number (the length of a loop, the argument of a kernel) fixes the number: the formulas hold for it alone.
So a formula gives exactly what the function gives, which is its reference.
"""

import math
import operator
import re
from collections.abc import Callable, Hashable
from functools import wraps
from inspect import signature
from typing import Any

MAX_WAYS = 128
"""Ways of a function that are kept; with more, its numbers are reckoned by the function itself."""

_NAME = re.compile(r"\bv\d+\b")
_LINE = re.compile(r"(?:[vif]\d+|(?:min|max|ceil|round)(?=\()|(?:if|not|return|None)\b|[\d.]+(?:e[+-]?\d+)?"
                   r"|[-+*/%()<>=!,: ])*")
"""All that a line of formulas is made of: numbers, their names, operations."""
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


class _Undecided(Exception):
    """A plain number is needed, or how two compare."""


class _Account:
    """What was done to some numbers, in lines of Python. Once its formulas are made it is closed: its numbers, which caches may
    still hold, are plain ones from then on."""

    def __init__(self, inputs: int) -> None:
        self.lines: list[str] = []
        self.names: dict[str, str] = {}
        self.asked: set[str] = set()
        self.functions: dict[Hashable, tuple[str, Callable[..., Any]]] = {}
        self.inputs = [f"i{index}" for index in range(inputs)]
        self.attempts = 0
        self.closed = False

    def made(self, value: float, formula: str, sign: int = 0) -> Any:
        """A number that follows from others by ``formula``; the same formula is reckoned once."""
        if self.closed:
            return value
        name = self.names.get(formula)
        if name is None:
            name = self.names[formula] = f"v{len(self.names)}"
            self.lines.append(f"{name} = {formula}")
        return (TracedFloat if isinstance(value, float) else TracedInt)(self, name, value, sign)

    def ask(self, condition: str) -> None:
        """Let the formulas hold only where ``condition`` does."""
        if condition not in self.asked and not self.closed:
            if self.attempts:
                raise _Undecided
            self.asked.add(condition)
            self.lines.append(f"if not {condition}: return None")

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
        others = tuple(None if _is_number(one) else one for one in arguments)
        name, _ = self.functions.setdefault((function, others), (f"f{len(self.functions)}", _bound(function, others)))
        numbers = ", ".join(_text(one) for one in arguments if _is_number(one))
        return self.made(function(*map(_plain, arguments)), f"{name}({numbers})")

    def compiled(self, outputs: tuple[Any, ...]) -> Callable[..., tuple[Any, ...] | None]:
        """The formulas of ``outputs``: None where they do not hold."""
        body = _needed([*self.lines, f"return ({''.join(_text(one) + ', ' for one in outputs)})"])
        if wrong := next((line for line in body if not _LINE.fullmatch(line)), None):     # no text of others can be among them
            raise AssertionError(f"no line of a formula: {wrong!r}")
        source = f"def formulas({', '.join(self.inputs)}):\n " + "\n ".join(body)
        space: dict[str, Any] = {"ceil": math.ceil, "round": round, **dict(self.functions.values())}
        exec(compile(source, "<formulas>", "exec"), space)
        return space["formulas"]  # type: ignore[no-any-return]


def _needed(lines: list[str]) -> list[str]:
    """Without lines that reckon what no later line takes."""
    kept, taken = [], set()
    for line in reversed(lines):
        name, assigned, formula = line.partition(" = ")
        if not assigned or name in taken:
            kept.append(line)
            taken.update(_NAME.findall(formula if assigned else line))
    return kept[::-1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bound(function: Callable[..., Any], others: tuple[Any, ...]) -> Callable[..., Any]:
    """``function`` of its numbers alone, behind the other arguments that it has."""
    if all(one is None for one in others):
        return function

    def bound(*numbers: float) -> Any:
        left = iter(numbers)
        return function(*(next(left) if one is None else one for one in others))
    return bound


def _plain(value: Any) -> Any:
    return value.value if type(value) in _TRACED else value


def _text(value: Any) -> str:
    return value.name if is_traced(value) else repr(float(_plain(value)) if isinstance(value, float) else int(_plain(value)))


def _sign(value: Any) -> int:
    """1: not negative; -1: not positive; 0: not known."""
    return value.sign if type(value) in _TRACED else 1 if value >= 0 else -1


_OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "+": (operator.add, lambda one, other: one if one == other else 0),
    "-": (operator.sub, lambda one, other: one if one == -other else 0),
    "*": (operator.mul, operator.mul), "//": (operator.floordiv, operator.mul), "/": (operator.truediv, operator.mul),
    "%": (operator.mod, lambda one, other: other),
}
"""Functions, and the sign of what they give by those of what they are given."""


def _arithmetic(symbol: str, turned: bool = False) -> Callable[[Any, Any], Any]:
    """A method of :class:`Traced` for ``self symbol other``, or ``turned`` round; with what is no number, of the plain one."""
    function, sign_of = _OPERATIONS[symbol]

    def method(self: Any, other: Any) -> Any:
        if self.account.closed:
            return function(other, self.value) if turned else function(self.value, other)
        if not isinstance(other, int | float):
            return function(other, self.fixed()) if turned else function(self.fixed(), other)
        one, two = (other, self) if turned else (self, other)
        if type(other) is int and (other, symbol) in ((0, "+"), (1, "*")):
            return self
        return self.account.made(function(_plain(one), _plain(two)), f"{_text(one)} {symbol} {_text(two)}",
                                 sign_of(_sign(one), _sign(two)))
    return method


class Traced:
    """A number that keeps account of what is done to it. It passes for an int or a float, but code that is not Python sees none
    before :meth:`fixed` has made sure that the formulas hold for this number alone."""

    __slots__ = ("account", "name", "sign", "value")
    __array_ufunc__ = None
    kind: type

    def __init__(self, account: _Account, name: str, value: float, sign: int = 0) -> None:
        self.account, self.name, self.value, self.sign = account, name, value, sign

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override, misc]
        return self.kind

    def fixed(self) -> Any:
        """The number, after which formulas hold for it alone."""
        self.account.ask(f"{self.name} == {self.value!r}")
        return self.value

    def _compared(self, symbol: str, other: Any) -> bool:
        if self.account.closed:
            return bool(_COMPARISONS[symbol](self.value, other))
        if is_traced(other) and other.name == self.name:
            return symbol in ("<=", ">=", "==")
        if not isinstance(other, int | float):
            return bool(_COMPARISONS[symbol](self.fixed(), other))
        if not is_traced(other) and other == 0 and (self.sign, symbol) in ((1, ">="), (1, "<"), (-1, "<="), (-1, ">")):
            return symbol in (">=", "<=")
        holds = bool(_COMPARISONS[symbol](self.value, _plain(other)))
        self.account.ask(f"{self.name} {symbol if holds else _NEGATED[symbol]} {_text(other)}")
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
        return self.fixed() ** _plain(other)

    def __rpow__(self, other: Any) -> Any:
        return other ** self.fixed()

    def __neg__(self) -> Any:
        return self.account.made(-self.value, f"-{self.name}", -self.sign)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __ceil__(self) -> Any:
        return self if self.kind is int else self.account.made(math.ceil(self.value), f"ceil({self.name})", self.sign)

    def __round__(self, digits: int | None = None) -> Any:
        if digits is not None:
            return round(self.fixed(), digits)
        return self if self.kind is int else self.account.made(round(self.value), f"round({self.name})", self.sign)

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


_TRACED = (TracedInt, TracedFloat)


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
    value = function(*map(_plain, numbers))
    if any(isinstance(one, float) for one in numbers):
        value = float(value)
    signs = {_sign(one) for one in numbers}
    sign = signs.pop() if len(signs) == 1 else int(name == "max" and 1 in signs)
    return traced.account.made(value, f"{name}({', '.join(map(_text, numbers))})", sign)


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


class Formulas:
    """``function`` of whole numbers that are not negative, by formulas; it gives a tuple of numbers."""

    def __init__(self, function: Callable[..., tuple[Any, ...]]) -> None:
        self.function = function
        self._ways: list[Callable[..., tuple[Any, ...] | None]] = []

    def __call__(self, *numbers: int) -> tuple[Any, ...]:
        """What the function gives."""
        for index, way in enumerate(self._ways):
            found = way(*numbers)
            if found is not None:
                if index:
                    self._ways.insert(0, self._ways.pop(index))
                return found
        if len(self._ways) >= MAX_WAYS:
            return self.function(*numbers)
        account = _Account(len(numbers))
        try:
            traced = self.function(*(TracedInt(account, name, number, 1)
                                     for name, number in zip(account.inputs, numbers, strict=True)))
            self._ways.insert(0, account.compiled(traced))
        finally:
            account.closed = True
        return tuple(_plain(one) for one in traced)
