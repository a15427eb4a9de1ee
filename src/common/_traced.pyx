# cython: language_level=3
"""Numbers that keep account of what is done to them, for wsekern.formulas, which says what for."""
import math

from cpython.float cimport PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.number cimport PyNumber_Add
from cpython.object cimport Py_EQ, Py_GE, Py_GT, Py_LE, Py_LT, Py_NE
from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memcpy

from wsekern._formulas import FURTHER, REAL_KIND, SYMBOLS, Memo, Program

cdef int ADD = SYMBOLS["+"], SUB = SYMBOLS["-"], MUL = SYMBOLS["*"], FLOOR = SYMBOLS["//"], MOD = SYMBOLS["%"]
cdef int NEGATE = SYMBOLS["neg"], MAX = SYMBOLS["max"], MIN = SYMBOLS["min"]
cdef int DIVIDE = FURTHER["/"], POWER = FURTHER["**"], CEIL = FURTHER["ceil"], ROUND = FURTHER["round"]
cdef int REAL = FURTHER["float"], CALL = FURTHER["call"], REALS = REAL_KIND
cdef int COMPARISONS[6]
COMPARISONS[Py_LT], COMPARISONS[Py_LE], COMPARISONS[Py_EQ] = SYMBOLS["<"], SYMBOLS["<="], SYMBOLS["=="]
COMPARISONS[Py_NE], COMPARISONS[Py_GT], COMPARISONS[Py_GE] = SYMBOLS["!="], SYMBOLS[">"], SYMBOLS[">="]
cdef int NEGATED[6]
NEGATED[Py_LT], NEGATED[Py_LE], NEGATED[Py_EQ] = Py_GE, Py_GT, Py_NE
NEGATED[Py_NE], NEGATED[Py_GT], NEGATED[Py_GE] = Py_EQ, Py_LE, Py_LT

cdef Py_ssize_t accounts = 0

_NUMBER = object()
"""Where a number stands among the other arguments of a function."""


class Undecided(Exception):
    """A plain number is needed, or how two compare."""


cdef class Account:
    """What was done to some numbers: a list, each line of which makes a number in a place of its own, or asks how two compare.
    Once its formulas are made it is closed: its numbers, which caches may still hold, are plain ones from then on, and so they
    always are for other threads and for accounts that were opened later."""
    cdef tuple inputs
    cdef Py_ssize_t places
    cdef list lines             # (what is done, place of what it makes or -1, places of one or two numbers)
    cdef list calls
    cdef dict known, constants, memos
    cdef set asked
    cdef int attempts
    cdef long thread
    cdef Py_ssize_t number
    cdef public bint closed

    def __init__(self, tuple inputs, dict memos):
        global accounts
        accounts += 1
        self.thread, self.number = PyThread_get_thread_ident(), accounts
        self.inputs, self.places, self.memos = inputs, len(inputs), memos
        self.lines, self.calls, self.known, self.constants, self.asked = [], [], {}, {}, set()

    cdef bint over(self) noexcept:
        # Whether its numbers are plain ones.
        return self.closed or self.thread != <long>PyThread_get_thread_ident()

    cdef object made(self, object value, int code, Py_ssize_t one, Py_ssize_t other, int sign):
        # A number that follows from others; the same is reckoned once.
        return traced(self, self.placed(code, one, other), value, sign)

    cdef Py_ssize_t placed(self, int code, Py_ssize_t one, Py_ssize_t other) except -1:
        cdef tuple line = (code, one, other)
        place = self.known.get(line)
        if place is None:
            place = self.known[line] = self.new_place()
            self.lines.append((code, place, one, other))
        return place

    cdef Py_ssize_t new_place(self) noexcept:
        self.places += 1
        return self.places - 1

    cdef Py_ssize_t at(self, object value, bint real) except -1:
        # The place of a number, traced or not; `real`: as one that need not be whole.
        cdef Traced own
        cdef double constant
        cdef long long bits
        if isinstance(value, Traced):
            own = <Traced>value
            if own.account is self and not self.closed:
                return self.placed(REAL, own.place, 0) if real and not own.real else own.place
            value = own.value
        if real or PyFloat_Check(value):
            constant = value
            memcpy(&bits, &constant, sizeof(bits))          # which tell zeros apart
            key, value = (True, bits), constant
        else:
            value = int(value)
            key = (False, value)
        place = self.known.get(key)
        if place is None:
            place = self.known[key] = self.new_place()
            self.constants[place] = value
        return place

    cdef int ask(self, int comparison, object one, object other) except -1:
        # Lets the formulas hold only where this comparison does.
        cdef bint real
        cdef tuple line
        if self.over():
            return 0
        real = is_real(one) or is_real(other)
        line = (COMPARISONS[comparison] + REALS * real, self.at(one, real), self.at(other, real))
        if line not in self.asked:
            if self.attempts:
                raise Undecided
            self.asked.add(line)
            self.lines.append((line[0], -1, line[1], line[2]))
        return 0

    def attempt(self, work):
        """What ``work`` gives; None if it needs a plain number or compares some. What it reckoned until then stays: an object
        may have kept it, and numbers that come this way reckon it too."""
        self.attempts += 1
        try:
            return work()
        except Undecided:
            return None
        finally:
            self.attempts -= 1

    def called(self, function, tuple arguments, Py_ssize_t most=0):
        """What a function without side effects gives, as a number that depends on ``arguments``; ``most`` as of memos."""
        others = tuple([_NUMBER if is_number(one) else one for one in arguments])
        numbers = [one for one in arguments if is_number(one)]
        memo = self.memo(function, others, most)
        value = memo(*[plain(one) for one in numbers])
        taken = tuple([(self.at(one, False), not is_real(one)) for one in numbers])
        key = memo, taken
        if key not in self.known:
            self.known[key] = self.new_place()
            self.lines.append((CALL, self.known[key], len(self.calls), 0))
            self.calls.append((memo, not PyFloat_Check(value), taken))
        return value if self.closed else traced(self, self.known[key], value, 0)

    cdef object memo(self, function, tuple others, Py_ssize_t most):
        if isinstance(function, Memo) and all([one is _NUMBER for one in others]):
            return function
        key = function, others
        if key not in self.memos:
            self.memos[key] = Memo(bound(function, others), most)
        return self.memos[key]

    def compiled(self, outputs):
        """The formulas of ``outputs``."""
        found = tuple([(self.at(one, False), not is_real(one)) for one in outputs])
        cdef set needed = {place for place, _ in found}
        cdef list lines = []
        cdef int code
        for line in reversed(self.lines):
            code, place, one, other = line
            if place >= 0 and place not in needed:              # no later line takes it
                continue
            if code == CALL:
                needed.update([taken for taken, _ in self.calls[one][2]])
            else:
                needed.add(one)
                needed.add(other)
            lines.append((code, max(place, 0), one, other))
        return Program(self.inputs, self.places, lines[::-1], self.constants, tuple(self.calls), found)


def bound(function, others):
    """``function`` of its numbers alone, behind the other arguments that it has."""
    if all([one is _NUMBER for one in others]):
        return function

    def of_numbers(*numbers):
        left = iter(numbers)
        return function(*[next(left) if one is _NUMBER else one for one in others])
    return of_numbers


cdef bint is_number(object value) noexcept:
    return isinstance(value, Traced) or PyFloat_Check(value) or (PyLong_Check(value) and not isinstance(value, bool))


cdef bint reckons(object value) noexcept:
    # Whether a traced number may be reckoned with it.
    return isinstance(value, Traced) or PyFloat_Check(value) or PyLong_Check(value)


cdef bint is_real(object value) noexcept:
    # Whether it need not be whole.
    return (<Traced>value).real if isinstance(value, Traced) else PyFloat_Check(value)


cdef object plain(object value):
    return (<Traced>value).value if isinstance(value, Traced) else value


cdef int sign_of(object value) except -2:
    # 1: not negative; -1: not positive; 0: not known.
    if isinstance(value, Traced):
        return (<Traced>value).sign
    return 1 if value >= 0 else -1


cdef object reckoned(int code, object one, object other):
    if code == ADD:
        return PyNumber_Add(one, other)                         # Cython 3.3's own `+` has 0 + -0.0 = -0.0
    if code == SUB:
        return one - other
    if code == MUL:
        return one * other
    if code == DIVIDE:
        return one / other
    if code == FLOOR:
        return one // other
    return one % other if code == MOD else one ** other


cdef int sign_by(int code, int one, int other) noexcept:
    # Of what an operation gives, by those of what it is given.
    if code == ADD:
        return one if one == other else 0
    if code == SUB:
        return one if one == -other else 0
    if code == MOD:
        return other
    return max(0, one) if code == POWER else one * other


cdef object arithmetic(Traced own, int code, object one, object other):
    # `own` is one of both; with what is no number, the plain one.
    cdef object given = other if one is own else one
    cdef Account account = newest(own, given)
    cdef bint real
    if account is None or not reckons(given):
        own.fixed()
        return reckoned(code, own.value, given) if one is own else reckoned(code, given, own.value)
    if type(given) is int and (given == 1 if code == MUL else code == ADD and given == 0 and not own.real):
        return own
    real = code == DIVIDE or code == POWER or is_real(one) or is_real(other)
    value = reckoned(code, plain(one), plain(other))
    return account.made(value, code + (REALS if real and code < REALS else 0), account.at(one, real), account.at(other, real),
                        sign_by(code, sign_of(one), sign_of(other)))


cdef class Traced:
    """A number that keeps account of what is done to it. It passes for an int or a float, but code that is not Python sees none
    before :meth:`fixed` has made sure that the formulas hold for this number alone."""
    cdef readonly Account account
    cdef readonly Py_ssize_t place
    cdef readonly object value
    cdef readonly int sign
    cdef bint real

    __array_ufunc__ = None

    @property
    def __class__(self):
        return float if self.real else int

    cpdef object fixed(self):
        """The number, after which formulas hold for it alone."""
        self.account.ask(Py_EQ, self, self.value)
        return self.value

    cdef object by(self, int code, object value, int sign):
        if self.account.over():
            return value
        cdef Py_ssize_t place = self.account.at(self, False)
        return self.account.made(value, code, place, place, sign)

    def __richcmp__(self, other, int comparison):
        cdef Traced own = self
        cdef bint holds
        cdef Account account = newest(own, other)
        if account is None:
            return compared(comparison, own.value, plain(other))
        if is_traced(other) and (<Traced>other).account is own.account and (<Traced>other).place == own.place:
            return comparison == Py_LE or comparison == Py_GE or comparison == Py_EQ
        if not reckons(other):
            return compared(comparison, own.fixed(), other)
        if own.sign and not is_traced(other) and other == 0:
            if comparison == (Py_GE if own.sign > 0 else Py_LE):
                return True
            if comparison == (Py_LT if own.sign > 0 else Py_GT):
                return False
        holds = compared(comparison, own.value, plain(other))
        account.ask(comparison if holds else NEGATED[comparison], own, other)
        return holds

    def __add__(self, other):
        return arithmetic(self, ADD, self, other)

    def __radd__(self, other):
        return arithmetic(self, ADD, other, self)

    def __sub__(self, other):
        return arithmetic(self, SUB, self, other)

    def __rsub__(self, other):
        return arithmetic(self, SUB, other, self)

    def __mul__(self, other):
        return arithmetic(self, MUL, self, other)

    def __rmul__(self, other):
        return arithmetic(self, MUL, other, self)

    def __floordiv__(self, other):
        return arithmetic(self, FLOOR, self, other)

    def __rfloordiv__(self, other):
        return arithmetic(self, FLOOR, other, self)

    def __truediv__(self, other):
        return arithmetic(self, DIVIDE, self, other)

    def __rtruediv__(self, other):
        return arithmetic(self, DIVIDE, other, self)

    def __mod__(self, other):
        return arithmetic(self, MOD, self, other)

    def __rmod__(self, other):
        return arithmetic(self, MOD, other, self)

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __pow__(self, other, modulo):
        return arithmetic(self, POWER, self, other) if self.real or is_real(other) else self.fixed() ** plain(other)

    def __rpow__(self, other, modulo):
        return arithmetic(self, POWER, other, self) if self.real or is_real(other) else other ** self.fixed()

    def __neg__(self):
        return self.by(NEGATE + REALS * self.real, -self.value, -self.sign)

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self >= 0 else -self

    def __ceil__(self):
        return self.by(CEIL, math.ceil(self.value), self.sign) if self.real else self

    def __round__(self, digits=None):
        if digits is not None:
            return round(self.fixed(), digits)
        return self.by(ROUND, round(self.value), self.sign) if self.real else self

    def __bool__(self):
        return self != 0

    def __hash__(self):
        return hash(self.fixed())

    def __int__(self):
        return int(self.fixed())

    def __float__(self):
        return float(self.fixed())

    def __str__(self):
        return str(self.fixed())

    def __repr__(self):
        return repr(self.fixed())

    def __format__(self, form):
        return format(self.fixed(), form)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.fixed(), name)


class TracedInt(Traced):
    """A whole number."""

    __slots__ = ()

    def __index__(self):
        return int(self.fixed())


class TracedFloat(Traced):
    """Another number."""

    __slots__ = ()


cpdef object traced(Account account, Py_ssize_t place, object value, int sign):
    """``value`` as the number in a place of ``account``."""
    cdef bint real = PyFloat_Check(value)
    cdef Traced made = TracedFloat.__new__(TracedFloat) if real else TracedInt.__new__(TracedInt)
    made.account, made.place, made.value, made.sign, made.real = account, place, value, sign, real
    return made


cdef bint compared(int comparison, object one, object other) except -1:
    if comparison == Py_LT:
        return one < other
    if comparison == Py_LE:
        return one <= other
    if comparison == Py_EQ:
        return one == other
    if comparison == Py_NE:
        return one != other
    return one > other if comparison == Py_GT else one >= other


cpdef bint is_traced(object value) noexcept:
    """Whether a value keeps account."""
    return isinstance(value, Traced) and not (<Traced>value).account.over()


cdef Account newest(object one, object other):
    # Of two numbers, the account that was opened last of those that are not over; None if none is.
    cdef Account found = (<Traced>one).account if is_traced(one) else None
    if is_traced(other) and (found is None or (<Traced>other).account.number > found.number):
        found = (<Traced>other).account
    return found


cpdef Account account_of(tuple values):
    """The account that keeps what is done with these values; None where all are plain."""
    cdef Account found = None
    for value in values:
        if is_traced(value) and (found is None or (<Traced>value).account.number > found.number):
            found = (<Traced>value).account
    return found


def largest(*numbers):
    """As ``max``; formulas take whichever it is."""
    return one_of(True, numbers)


def smallest(*numbers):
    """As ``min``; formulas take whichever it is."""
    return one_of(False, numbers)


cdef object one_of(bint most, tuple numbers):
    cdef Account account
    cdef bint real
    cdef int one, two, sign
    if len(numbers) == 1:
        return numbers[0]
    account = account_of(numbers)
    if account is None:
        return max(*numbers) if most else min(*numbers)
    found = numbers[0]
    for other in numbers[1:]:
        held, given = plain(found), plain(other)
        value = max(held, given) if most else min(held, given)
        real = is_real(found) or is_real(other)
        if real:
            value = float(value)
        one, two = sign_of(found), sign_of(other)
        sign = one if one == two else <int>(most and (one == 1 or two == 1))
        found = account.made(value, (MAX if most else MIN) + REALS * real, account.at(found, real), account.at(other, real), sign)
    return found
