# cython: language_level=3
"""Formulas as lists of operations on numbers, one after the other: what wsekern.formulas writes down, reckoned.

Whole numbers have 64 bits here. Where one would not fit, where a whole number has no exact neighbor among the others, or where a
divisor is 0, there is no answer: the function itself is asked.
"""
from cpython.number cimport PyIndex_Check
from libc.math cimport ceil, copysign, floor, fmod, isfinite, pow, rint
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

cdef extern from *:
    bint __builtin_add_overflow(int64_t, int64_t, int64_t *) nogil
    bint __builtin_sub_overflow(int64_t, int64_t, int64_t *) nogil
    bint __builtin_mul_overflow(int64_t, int64_t, int64_t *) nogil

cdef enum Op:
    ADD, SUB, MUL, FLOOR, MOD, NEGATE, MAX, MIN, LESS, NOT_MORE, MORE, NOT_LESS, SAME, OTHER,
    REALS,                  # the same of numbers that need not be whole: REALS + ADD
    DIVIDE = 32, POWER, CEIL, ROUND, REAL, CALL

SYMBOLS = {"+": <int>ADD, "-": <int>SUB, "*": <int>MUL, "//": <int>FLOOR, "%": <int>MOD, "neg": <int>NEGATE, "max": <int>MAX,
           "min": <int>MIN, "<": <int>LESS, "<=": <int>NOT_MORE, ">": <int>MORE, ">=": <int>NOT_LESS, "==": <int>SAME,
           "!=": <int>OTHER}
"""Operations on two numbers of a kind, or on one; a comparison that does not hold ends the list."""
FURTHER = {"/": <int>DIVIDE, "**": <int>POWER, "ceil": <int>CEIL, "round": <int>ROUND, "float": <int>REAL, "call": <int>CALL}
"""Others: a quotient, a power, a whole number of another, another of a whole one, what a function says."""
REAL_KIND = <int>REALS
"""What the number of an operation on numbers that need not be whole is more."""

cdef int64_t EXACT = 1LL << 53      # whole numbers up to it are exact among the others

cdef enum:
    TAKEN = 8               # numbers of a function at most

cdef union Number:
    int64_t whole
    double real

cdef struct Line:
    int op, to, one, other

cdef enum Status:
    HOLDS, HOLDS_NOT, UNKNOWN


cdef int put(object value, Number *to) except -2:
    # 0: a whole number, 1: another, -1: no number that has room.
    if isinstance(value, float):
        to.real = value
        return 1
    if not PyIndex_Check(value):
        return -1
    try:
        to.whole = value
    except OverflowError:
        return -1
    return 0


cdef class Memo:
    """A function of numbers without side effects, asked once for each."""
    cdef readonly object function
    cdef Number *rows           # of each answer: kinds of its numbers, these, and itself
    cdef signed char *kinds     # of the answers: 0 none, 1 whole, 2 another
    cdef Py_ssize_t room, used

    def __init__(self, function):
        self.function = function

    def __dealloc__(self):
        free(self.rows)
        free(self.kinds)

    def __len__(self):
        return self.used

    def __call__(self, *numbers):
        """What the function says."""
        cdef Number key[2 + TAKEN]
        cdef Number answer
        cdef int kind
        if len(numbers) > TAKEN or not fill(key, numbers):
            return self.function(*numbers)
        kind = self.find(key, &answer)
        if kind == 0:
            said = self.function(*numbers)
            kind = put(said, &answer)
            if kind < 0 or isinstance(said, bool):
                return said
            self.keep(key, answer, kind + 1)
            return said
        return answer.whole if kind == 1 else answer.real

    cdef int find(self, const Number *key, Number *answer) noexcept:
        # The kind of an answer that is known, or 0.
        cdef Py_ssize_t place
        if not self.room:
            return 0
        place = self.place_of(key)
        if self.kinds[place]:
            answer[0] = self.rows[place * (TAKEN + 2) + TAKEN + 1]
        return self.kinds[place]

    cdef Py_ssize_t place_of(self, const Number *key) noexcept:
        # Where a key is, or the free place for it.
        cdef uint64_t mixed = 0
        cdef Py_ssize_t place
        cdef int i
        for i in range(TAKEN + 1):
            mixed = (mixed ^ <uint64_t>key[i].whole) * 0x9E3779B97F4A7C15ULL
            mixed ^= mixed >> 29
        place = <Py_ssize_t>(mixed & <uint64_t>(self.room - 1))
        while self.kinds[place] and memcmp(self.rows + place * (TAKEN + 2), key, (TAKEN + 1) * sizeof(Number)):
            place = (place + 1) & (self.room - 1)
        return place

    cdef int keep(self, const Number *key, Number answer, int kind) except -1:
        cdef Py_ssize_t place
        if 2 * (self.used + 1) > self.room:
            self.grow()
        place = self.place_of(key)
        self.used += self.kinds[place] == 0
        memcpy(self.rows + place * (TAKEN + 2), key, (TAKEN + 1) * sizeof(Number))
        self.rows[place * (TAKEN + 2) + TAKEN + 1] = answer
        self.kinds[place] = kind
        return 0

    cdef int grow(self) except -1:
        cdef Number *rows = self.rows
        cdef signed char *kinds = self.kinds
        cdef Py_ssize_t old = self.room, room = 2 * old if old else 16, place, to
        self.rows = <Number *>malloc(room * (TAKEN + 2) * sizeof(Number))
        self.kinds = <signed char *>calloc(room, 1)
        if self.rows == NULL or self.kinds == NULL:
            free(self.rows)
            free(self.kinds)
            self.rows, self.kinds = rows, kinds
            raise MemoryError
        self.room = room
        for place in range(old):
            if kinds[place]:
                to = self.place_of(rows + place * (TAKEN + 2))
                memcpy(self.rows + to * (TAKEN + 2), rows + place * (TAKEN + 2), (TAKEN + 2) * sizeof(Number))
                self.kinds[to] = kinds[place]
        free(rows)
        free(kinds)
        return 0


cdef int fill(Number *key, tuple numbers) except -1:
    # The key of some numbers; 0 where one of them has no room.
    cdef int i, kind
    key[0].whole = 0
    for i in range(TAKEN):
        key[1 + i].whole = 0
    for i in range(<int>len(numbers)):
        kind = put(numbers[i], key + 1 + i)
        if kind < 0:
            return 0
        key[0].whole |= (1 + kind) << (2 * i)
    return 1


cdef double real_floor(double one, double other, double *rest) noexcept:
    # As Python divides: the rest has the sign of the divisor.
    cdef double found
    rest[0] = fmod(one, other)
    found = (one - rest[0]) / other
    if rest[0] != 0.0:
        if (other < 0) != (rest[0] < 0):
            rest[0] += other
            found -= 1.0
    else:
        rest[0] = copysign(0.0, other)
    if found == 0.0:
        return copysign(0.0, one / other)
    return floor(found) + 1.0 if found - floor(found) > 0.5 else floor(found)


ctypedef fused Plain:
    int64_t
    double


cdef inline Status compared(int op, Plain one, Plain other) noexcept:
    cdef bint holds
    if op == LESS:
        holds = one < other
    elif op == NOT_MORE:
        holds = one <= other
    elif op == MORE:
        holds = one > other
    elif op == NOT_LESS:
        holds = one >= other
    elif op == SAME:
        holds = one == other
    else:
        holds = one != other
    return HOLDS if holds else HOLDS_NOT


cdef Status whole_line(const Line *line, Number *at) noexcept:
    cdef int64_t one = at[line.one].whole, other = at[line.other].whole, found
    cdef int op = line.op
    if op == ADD:
        return UNKNOWN if __builtin_add_overflow(one, other, &at[line.to].whole) else HOLDS
    if op == SUB:
        return UNKNOWN if __builtin_sub_overflow(one, other, &at[line.to].whole) else HOLDS
    if op == MUL:
        return UNKNOWN if __builtin_mul_overflow(one, other, &at[line.to].whole) else HOLDS
    if op == FLOOR or op == MOD:
        if other == 0 or other == -1:       # the least number by -1 has no room
            return UNKNOWN
        found = one // other                # as in C
        if (one - found * other) and ((one < 0) != (other < 0)):
            found -= 1
        at[line.to].whole = found if op == FLOOR else one - found * other
    elif op == NEGATE:
        return UNKNOWN if __builtin_sub_overflow(0, one, &at[line.to].whole) else HOLDS
    elif op == MAX:
        at[line.to].whole = one if one >= other else other
    elif op == MIN:
        at[line.to].whole = one if one <= other else other
    else:
        return compared(op, one, other)
    return HOLDS


cdef Status real_line(const Line *line, Number *at) noexcept:
    cdef double one = at[line.one].real, other = at[line.other].real, rest
    cdef int op = line.op - <int>REALS
    if op == ADD:
        at[line.to].real = one + other
    elif op == SUB:
        at[line.to].real = one - other
    elif op == MUL:
        at[line.to].real = one * other
    elif op == FLOOR or op == MOD:
        if other == 0.0:
            return UNKNOWN
        at[line.to].real = real_floor(one, other, &rest)
        if op == MOD:
            at[line.to].real = rest
    elif op == NEGATE:
        at[line.to].real = -one
    elif op == MAX:
        at[line.to].real = other if other > one else one
    elif op == MIN:
        at[line.to].real = other if other < one else one
    else:
        return compared(op, one, other)
    return HOLDS


cdef Status further_line(const Line *line, Number *at) noexcept:
    cdef double real
    if line.op == DIVIDE:
        if at[line.other].real == 0.0:
            return UNKNOWN
        at[line.to].real = at[line.one].real / at[line.other].real
    elif line.op == POWER:
        real = pow(at[line.one].real, at[line.other].real)
        if not isfinite(real) or at[line.one].real <= 0.0:      # Python has errors and complex numbers there
            return UNKNOWN
        at[line.to].real = real
    elif line.op == REAL:
        if not -EXACT <= at[line.one].whole <= EXACT:
            return UNKNOWN
        at[line.to].real = <double>at[line.one].whole
    else:
        real = ceil(at[line.one].real) if line.op == CEIL else rint(at[line.one].real)
        if not isfinite(real) or not -EXACT <= real <= EXACT:
            return UNKNOWN
        at[line.to].whole = <int64_t>real
    return HOLDS


cdef class Program:
    """``lines`` (operation, number it makes, one, other) on numbers: those given, ``inputs`` (whether each is a whole one), then
    all else, ``constants`` among them, by their places. The line of a call has in its third place that of the call among ``calls``:
    (:class:`Memo`, whether it says a whole number, its numbers as (place, whether whole)). ``outputs``: (place, whether
    whole) of the answer."""
    cdef Line *lines
    cdef Number *kept           # constants in their places; lent to whoever reckons
    cdef Py_ssize_t count, numbers
    cdef tuple inputs, calls, outputs
    cdef dict constants

    def __init__(self, tuple inputs, Py_ssize_t numbers, list lines, dict constants, tuple calls, tuple outputs):
        cdef Py_ssize_t row
        self.inputs, self.numbers, self.count = inputs, numbers, len(lines)
        self.calls, self.outputs, self.constants = calls, outputs, constants
        if any([len(taken) > TAKEN for _, _, taken in calls]):
            raise OverflowError("a function takes more numbers than formulas keep")
        self.lines = <Line *>malloc(max(1, self.count) * sizeof(Line))
        if self.lines == NULL:
            raise MemoryError
        for row in range(self.count):
            self.lines[row].op, self.lines[row].to, self.lines[row].one, self.lines[row].other = lines[row]
        self.kept = self.with_constants()

    def __dealloc__(self):
        free(self.lines)
        free(self.kept)

    cdef Number *with_constants(self) except NULL:
        cdef Number *at = <Number *>calloc(max(1, self.numbers), sizeof(Number))
        if at == NULL:
            raise MemoryError
        for place, value in self.constants.items():
            if put(value, at + <Py_ssize_t>place) < 0:
                free(at)
                raise OverflowError("a whole number has more than 64 bits")
        return at

    def __call__(self, *numbers):
        """The answer; None where the lines do not hold, False where it is not known."""
        return self.answer(numbers)

    cdef object answer(self, tuple numbers):
        cdef Number *at = self.kept
        cdef int i, kind
        self.kept = NULL                # another one may reckon while a function is asked
        if at == NULL:
            at = self.with_constants()
        try:
            for i in range(<int>len(numbers)):
                kind = put(numbers[i], at + i)
                if kind < 0:
                    return False
                if kind != (0 if self.inputs[i] else 1):
                    return None
            return self.reckoned(at)
        finally:
            free(self.kept)
            self.kept = at

    cdef object reckoned(self, Number *at):
        cdef const Line *line
        cdef Py_ssize_t row
        cdef Status status
        for row in range(self.count):
            line = self.lines + row
            if line.op < REALS:
                status = whole_line(line, at)
            elif line.op < DIVIDE:
                status = real_line(line, at)
            elif line.op == CALL:
                status = self.asked(line, at)
            else:
                status = further_line(line, at)
            if status != HOLDS:
                return None if status == HOLDS_NOT else False
        return tuple([at[<Py_ssize_t>place].whole if whole else at[<Py_ssize_t>place].real for place, whole in self.outputs])

    cdef Status asked(self, const Line *line, Number *at) except *:
        cdef Memo memo
        cdef tuple numbers
        cdef Number key[2 + TAKEN]
        cdef int kind, i = 0
        cdef bint said_whole
        memo, said_whole, numbers = self.calls[line.one]
        key[0].whole = 0
        for i in range(TAKEN):
            key[1 + i].whole = 0
        i = 0
        for place, whole in numbers:
            key[1 + i] = at[<Py_ssize_t>place]
            key[0].whole |= <int64_t>(1 if whole else 2) << (2 * i)
            i += 1
        kind = memo.find(key, at + line.to)
        if kind == 0:
            said = memo.function(*[at[<Py_ssize_t>place].whole if whole else at[<Py_ssize_t>place].real
                                   for place, whole in numbers])
            kind = put(said, at + line.to) + 1
            if kind == 0:
                return UNKNOWN
            memo.keep(key, at[line.to], kind)
        return HOLDS if kind == (1 if said_whole else 2) else HOLDS_NOT


cdef class Ways:
    """A function of numbers by the first of some :class:`Program` that holds for them, which comes to be the first."""
    cdef public list ways

    def __init__(self):
        self.ways = []

    def __call__(self, *numbers):
        """What the function gives; :meth:`plainly` and :meth:`otherwise` say what where a program cannot tell or none holds."""
        cdef Py_ssize_t place
        for place in range(len(self.ways)):
            found = (<Program>self.ways[place]).answer(numbers)
            if found is None:
                continue
            if place:
                self.ways.insert(0, self.ways.pop(place))
            return self.plainly(*numbers) if found is False else found
        return self.otherwise(*numbers)
