"""Formulas give what their function gives, whichever way it goes."""

import math
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsekern.formulas import Formulas, Memo, attempted, is_traced, largest, opaque, smallest

numbers = st.integers(0, 400)


@opaque
def root(number: int) -> int:
    """A function that formulas call."""
    return max(1, round(math.sqrt(number)))


def sizes(width: int, height: int, tokens: int) -> tuple[float, ...]:
    """Pieces, comparisons, a loop, a quotient, an array, a dictionary: all that lists of steps ask of numbers."""
    piece = -(-4096 // (width + 1))
    groups = root(height)
    rows = sum(range(smallest(tokens, 5)))
    elements = piece * tokens if tokens > groups else largest(piece, groups, 3 * rows)
    whole, rest = divmod(elements, groups)
    share = math.ceil(elements / groups) + round(1.5 * rest) + abs(width - height)
    places = int((np.arange(smallest(width, 4)) // (1 + smallest(height, 2))).sum())
    known = {0: 7, 1: 9}.get(tokens, 11)
    return whole, rest, share, places, known, elements / (1 + width), -(elements % 7), float(not rest)


@given(st.lists(st.tuples(numbers, numbers, st.integers(0, 9)), min_size=1, max_size=20))
def test_formulas_give_what_the_function_gives(asked):
    formulas = Formulas(sizes)
    for one in asked:
        assert formulas(*one) == sizes(*one)


def test_a_function_is_called_once_for_each_way():
    calls = []

    def work(width: int) -> tuple[int]:
        calls.append(width)
        return (-(-100 // width) if width > 9 else 0,)

    formulas = Formulas(work)
    assert [formulas(width)[0] for width in (10, 11, 50, 3, 4, 20)] == [10, 10, 2, 0, 0, 5]
    assert len(calls) == 2


def test_a_refusal_is_handed_on_and_nothing_is_kept():
    def work(width: int) -> tuple[int]:
        if width < 4:
            raise ValueError(f"{width} is too small")
        return (width + 1,)

    formulas = Formulas(work)
    for _ in range(2):
        with pytest.raises(ValueError, match="3 is too small"):
            formulas(3)
    assert formulas(4) == (5,)


class Sides:
    """An object that keeps what it reckoned, as mappings do."""

    def __init__(self, width: int) -> None:
        self.width = width

    @cached_property
    def pieces(self) -> int:
        """Reckoned once."""
        return -(-4096 // (self.width + 3))


@given(numbers, numbers)
def test_what_an_attempt_kept_is_there_after_it_failed(one, other):
    """A number of an attempt that needed a plain one stays with the object that asked for it."""
    def function(width: int) -> tuple[int, ...]:
        sides = Sides(width)
        tried = attempted(lambda: range(sides.pieces), width) if is_traced(width) else None
        assert tried is None
        return sides.pieces + 2 * width, sides.pieces * 7

    formulas = Formulas(function)
    for width in (one, other):
        assert formulas(width) == function(width)


KEPT: dict[int, int] = {}


@given(numbers, numbers)
def test_what_a_cache_kept_of_other_numbers_is_plain(one, other):
    """Keys and values of a cache that an earlier call filled take no part in the formulas of a later one."""
    def function(width: int) -> tuple[int, ...]:
        _ = width == 7, hash(width)
        return KEPT.setdefault(width, width * 3) + width, width + 1

    KEPT.clear()
    for formulas in (Formulas(function), Formulas(function)):
        for width in (one, other, one):
            assert formulas(width) == (4 * width, width + 1)


WHOLE = st.one_of(st.integers(-9, 9), st.integers(-(1 << 62), 1 << 62))
REAL = st.one_of(st.integers(-40, 40).map(lambda eighths: eighths / 8), st.floats(-1e18, 1e18))
STEPS = st.lists(st.tuples(st.sampled_from(["+", "-", "*", "//", "%", "/", "least", "most", "ceil", "round", "neg", "ask"]),
                           st.integers(0, 30), st.integers(0, 30), st.one_of(WHOLE, REAL)), min_size=1, max_size=12)
DONE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
        "/": operator.truediv, "least": smallest, "most": largest}


def by_steps(steps: list[tuple[str, int, int, float]], *given: int) -> tuple[float, ...]:
    """Numbers, each made of two before it or of one and a constant; a zero divides nothing."""
    found: list[float] = list(given)
    for what, place, other, constant in steps:
        one = found[place % len(found)]
        two = found[other % len(found)] if other < 20 else constant
        if what == "ask":
            found.append(one if one < two else -two)
        elif what in ("ceil", "round", "neg"):
            found.append({"ceil": math.ceil, "round": round, "neg": operator.neg}[what](one))
        elif what not in ("//", "%", "/") or two:
            mixed = what in ("least", "most") and isinstance(one, float) != isinstance(two, float)
            found.append(DONE[what](one * 1.0, two * 1.0) if mixed else DONE[what](one, two))
    return tuple(found)


def said(function: Callable[..., tuple[float, ...]], numbers: Sequence[int]) -> object:
    """What a function gives, to the bit, or that it refuses."""
    try:
        return [(isinstance(one, float), one.hex() if isinstance(one, float) else one) for one in function(*numbers)]
    except (OverflowError, ValueError, ZeroDivisionError) as error:
        return type(error)


@example([("*", 0, 20, -0.125), ("+", 0, 2, 0), ("+", 2, 20, 0)], [(0, 0)])     # 0 + -0.0 is 0.0
@given(STEPS, st.lists(st.tuples(*[st.one_of(st.integers(0, 30), st.integers(0, 1 << 62))] * 2), min_size=1, max_size=6))
def test_the_kernel_reckons_as_python_does(steps, asked):
    """Quotients and rests of either sign, whole numbers that have no room in 64 bits or no exact neighbor among the others."""
    formulas = Formulas(lambda *numbers: by_steps(steps, *numbers))
    for one in (*asked, *asked):
        assert said(formulas, one) == said(lambda *numbers: by_steps(steps, *numbers), one)


def test_a_function_that_says_a_whole_number_at_times_and_another_at_others():
    @opaque
    def half(number: int) -> float:
        return number // 2 if number % 2 == 0 else number / 2

    formulas = Formulas(lambda number: (half(number), half(number) // 2, round(half(number))))
    for number in (4, 5, 6, 7, 4):
        assert said(formulas, (number,)) == said(formulas.function, (number,))


def test_a_memo_asks_once_for_each_numbers():
    asked = []

    def told(one: int, other: float) -> float:
        asked.append((one, other))
        return one + other

    memo = Memo(told)
    pairs = [(one, other) for one in range(40) for other in (0, 0.0, 1, 1.5)] + [(1 << 70, 1)]
    for _ in range(2):
        for pair in pairs:
            found = memo(*pair)
            assert (found, type(found)) == (sum(pair), type(sum(pair)))
    assert len(memo) == 160
    assert len(asked) == 162  # what has no room is asked again
    with pytest.raises(TypeError):
        memo(1)


def test_a_memo_with_an_end_forgets():
    asked = []
    memo = Memo(lambda number: asked.append(number) or number * 3, 5)
    assert [memo(number % 7) for number in range(100)] == [number % 7 * 3 for number in range(100)]
    assert len(memo) <= 5 and len(asked) > 7


def test_arguments_that_are_no_numbers_are_handed_on_as_they_are():
    @opaque
    def told(number: int, other: object = "unsaid") -> int:
        return number + (1000 if other is None else 2000)

    formulas = Formulas(lambda number: (told(number, None), told(number, (3, None)), told(number)))
    assert [formulas(number) for number in (5, 6)] == [(1005, 2005, 2005), (1006, 2006, 2006)]


@pytest.mark.parametrize("number", [Fraction(3, 4), np.float32(1.5), Decimal("1.5")])
def test_memos_keep_whole_numbers_and_floats_alone(number):
    twice = Memo(lambda value: value * 2)
    assert twice(number) == twice(number) == number * 2 and twice(int(number)) == 2 * int(number)
    half = Memo(lambda value: number)
    assert half(7) == half(7) == number


def test_numbers_that_the_kernel_cannot_hold_leave_no_other_ways():
    formulas = Formulas(lambda number: (number * number,))
    assert formulas(3) == (9,)
    assert [formulas(1 << power)[0] for power in range(32, 60)] == [1 << 2 * power for power in range(32, 60)]
    assert len(formulas.ways) == 1


def power(base: float, exponent: float, tokens: int) -> tuple[float, ...]:
    """Powers of numbers that need not be whole, and of whole ones."""
    return base ** exponent, 2.0 ** base, (base + tokens) ** 0.5, tokens ** 2, base * tokens


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 9.0), st.integers(0, 9)), min_size=1, max_size=9))
def test_formulas_take_numbers_that_are_not_whole(asked):
    formulas = Formulas(power)
    for one in asked:
        assert formulas(*one) == power(*one)


def test_whole_and_other_numbers_have_ways_of_their_own():
    formulas = Formulas(lambda one: (one + one, one / 4))
    for one in (3, 3.0, 5, 2.5):
        assert [(number, type(number)) for number in formulas(one)] == [(one + one, type(one)), (one / 4, float)]
    assert len(formulas.ways) == 2


def test_the_first_answers_are_those_of_the_function():
    calls = []

    def work(number: float) -> tuple[float]:
        calls.append(number)
        return (number * 2.0,)

    formulas = Formulas(work, plain=2)
    assert [formulas(number)[0] for number in (1.0, 1.0, 2.0, 2.0, 1.0)] == [2.0, 2.0, 4.0, 4.0, 2.0]
    assert len(formulas.ways) == 1
    assert [formulas(number)[0] for number in (5.0, 6.0)] == [10.0, 12.0] and len(calls) == 3


def in_another_thread(asked: Callable[[int], tuple[int, ...]], number: int) -> tuple[int, ...]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asked, number).result()


@pytest.mark.parametrize("ask", [lambda asked, number: asked(number), in_another_thread])
def test_numbers_of_formulas_that_are_not_finished_are_plain_to_others(ask):
    """A cache may hand a number that is being traced to formulas that are made meanwhile, or to another thread."""
    shared: list[int] = []
    inner = Formulas(lambda number: (number * shared[-1] + largest(number, shared[-1]), number < shared[-1]))

    def outer(number: int) -> tuple[int, ...]:
        shared.append(number)
        return (number + 1, *ask(inner, 9))

    formulas = Formulas(outer)
    assert formulas(4) == (5, 9 * 4 + 9, False) and inner(2) == (2 * 4 + 4, True) and inner(7) == (7 * 4 + 7, False)
    assert formulas(6)[0] == 7
