# cython: language_level=3
"""Formulas as lists of operations on numbers, one after the other: what wsekern.formulas writes down, reckoned.

Whole numbers have 64 bits here. Where one would not fit, where a whole number has no exact neighbor among the others, or where a
divisor is 0, there is no answer: the function itself is asked.
"""
from cpython.number cimport PyIndex_Check
from libc.math cimport ceil, copysign, floor, fmod, isfinite, pow, rint
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

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
    """A function of numbers without side effects, asked once for each; of more than ``most`` answers the earlier are forgotten."""
    def __init__(self, function, Py_ssize_t most=0):
        self.function, self.most = function, most

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

    cdef double of_whole(self, int count, const int64_t *numbers) except? -1.0:
        # The same of whole numbers.
        cdef Number key[2 + TAKEN]
        cdef Number answer
        cdef int kind, i
        whole_key(key, count, numbers)
        kind = self.find(key, &answer)
        if kind == 0:
            said = self.function(*[numbers[i] for i in range(count)])
            kind = put(said, &answer) + 1
            if kind == 0:
                return said
            self.keep(key, answer, kind)
        return <double>answer.whole if kind == 1 else answer.real

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
        if self.most and self.used >= self.most:
            memset(self.kinds, 0, self.room)
            self.used = 0
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


cdef void whole_key(Number *key, int count, const int64_t *numbers) noexcept:
    cdef int i
    key[0].whole = 0
    for i in range(TAKEN):
        key[1 + i].whole = numbers[i] if i < count else 0
        key[0].whole |= (1 << 2 * i) if i < count else 0


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
    all else, ``constants`` among them, by their places. The line of a call has in its third place that of the call among
    ``calls``: (:class:`Memo`, whether it says a whole number, its numbers as (place, whether whole)). ``outputs``: (place, whether
    whole) of the answer."""

    def __init__(self, tuple inputs, Py_ssize_t numbers, list lines, dict constants, tuple calls, tuple outputs):
        cdef Py_ssize_t row
        self.inputs, self.numbers, self.count, self.found = len(inputs), numbers, len(lines), len(outputs)
        self.constants, self.memos = constants, tuple([memo for memo, _, _ in calls])
        self.reals = sum([1 << place for place, whole in enumerate(inputs) if not whole])
        if any([len(taken) > TAKEN for _, _, taken in calls]):
            raise OverflowError("a function takes more numbers than formulas keep")
        self.lines = <Line *>malloc(max(1, self.count) * sizeof(Line))
        self.calls = <Call *>malloc(max(1, len(calls)) * sizeof(Call))
        self.outputs = <Place *>malloc(max(1, self.found) * sizeof(Place))
        if self.lines == NULL or self.calls == NULL or self.outputs == NULL:
            raise MemoryError
        for row in range(self.count):
            self.lines[row].op, self.lines[row].to, self.lines[row].one, self.lines[row].other = lines[row]
        for row in range(len(calls)):
            put_call(self.calls + row, calls[row][1], calls[row][2])
        put_places(self.outputs, outputs)
        self.kept = self.with_constants()

    def __dealloc__(self):
        free(self.lines)
        free(self.calls)
        free(self.outputs)
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

    cdef Number *lent(self) except NULL:
        # Room for all numbers, which is to be given back: another one may reckon while a function is asked.
        cdef Number *at = self.kept
        self.kept = NULL
        return at if at != NULL else self.with_constants()

    cdef void give_back(self, Number *at) noexcept:
        free(self.kept)
        self.kept = at

    def __call__(self, *numbers):
        """The answer; None where the lines do not hold, False where it is not known."""
        return self.answer(numbers)

    cdef object answer(self, tuple numbers):
        cdef Number *at = self.lent()
        cdef Status status
        cdef int i, kind
        try:
            for i in range(self.inputs):
                kind = put(numbers[i], at + i)
                if kind < 0:
                    return False
                if kind != (self.reals >> i & 1):
                    return None
            status = self.reckoned(at)
            if status != HOLDS:
                return None if status == HOLDS_NOT else False
            return tuple([said(at, self.outputs + i) for i in range(self.found)])
        finally:
            self.give_back(at)

    cdef Status of_whole(self, const int64_t *numbers, double *found) except *:
        # The same of whole numbers.
        cdef Number *at
        cdef Status status
        cdef int i
        if self.reals:
            return HOLDS_NOT
        at = self.lent()
        try:
            for i in range(self.inputs):
                at[i].whole = numbers[i]
            status = self.reckoned(at)
            if status == HOLDS:
                for i in range(self.found):
                    found[i] = as_real(at, self.outputs + i)
            return status
        finally:
            self.give_back(at)

    cdef Status reckoned(self, Number *at) except *:
        cdef const Line *line = self.lines
        cdef const Line *end = line + self.count
        cdef Status status
        while line < end:
            if line.op < REALS:
                status = whole_line(line, at)
            elif line.op < DIVIDE:
                status = real_line(line, at)
            elif line.op == CALL:
                status = self.asked(line, at)
            else:
                status = further_line(line, at)
            if status != HOLDS:
                return status
            line += 1
        return HOLDS

    cdef Status asked(self, const Line *line, Number *at) except *:
        cdef const Call *call = self.calls + line.one
        cdef Memo memo = <Memo>self.memos[line.one]
        cdef Number key[2 + TAKEN]
        cdef int kind, i
        key[0].whole = call.kinds
        for i in range(TAKEN):
            if i < call.count:
                key[1 + i] = at[call.taken[i].at]
            else:
                key[1 + i].whole = 0
        kind = memo.find(key, at + line.to)
        if kind == 0:
            answer = memo.function(*[said(at, call.taken + i) for i in range(call.count)])
            kind = put(answer, at + line.to) + 1
            if kind == 0:
                return UNKNOWN
            memo.keep(key, at[line.to], kind)
        return HOLDS if kind == (1 if call.whole else 2) else HOLDS_NOT


cdef object said(const Number *at, const Place *place):
    return at[place.at].whole if place.whole else at[place.at].real


cdef inline double as_real(const Number *at, const Place *place) noexcept:
    return <double>at[place.at].whole if place.whole else at[place.at].real


cdef int put_places(Place *to, tuple places) except -1:
    cdef int i
    for i in range(<int>len(places)):
        to[i].at, to[i].whole = places[i]
    return 0


cdef int put_call(Call *call, bint whole, tuple taken) except -1:
    cdef int i
    call.count, call.whole, call.kinds = len(taken), whole, 0
    put_places(call.taken, taken)
    for i in range(call.count):
        call.kinds |= <int64_t>(1 if call.taken[i].whole else 2) << (2 * i)
    return 0


cdef class Ways:
    """A function of numbers by the first of some :class:`Program` that holds for them, which comes to be the first."""

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

    cdef int of_whole(self, int count, const int64_t *numbers, int wanted, double *found) except -1:
        # So many numbers that the function gives of whole ones, as such that need not be whole.
        cdef Py_ssize_t place
        cdef Program program
        cdef Status status
        cdef int i
        for place in range(len(self.ways)):
            program = <Program>self.ways[place]
            if program.inputs != count or program.found != wanted:
                raise ValueError(f"formulas of {program.inputs} numbers give {program.found}")
            status = program.of_whole(numbers, found)
            if status == HOLDS_NOT:
                continue
            if place:
                self.ways.insert(0, self.ways.pop(place))
            if status == HOLDS:
                return 0
            answer = self.plainly(*[numbers[i] for i in range(count)])
            break
        else:
            answer = self.otherwise(*[numbers[i] for i in range(count)])
        for i in range(wanted):
            found[i] = answer[i]
        return 0
