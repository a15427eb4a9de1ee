# cython: language_level=3
# Formulas for kernels that reckon them without a Python object for any number.
from libc.stdint cimport int64_t

cdef enum:
    TAKEN = 8               # numbers of a function at most

cdef union Number:
    int64_t whole
    double real

cdef struct Line:
    int op, to, one, other

cdef struct Place:
    # Of a number, and whether it is whole.
    int at
    bint whole

cdef struct Call:
    # Of a function that formulas ask: how many numbers, these, and the kinds of all.
    int count
    bint whole
    Place taken[TAKEN]
    int64_t kinds

cdef enum Status:
    HOLDS, HOLDS_NOT, UNKNOWN

cdef void whole_key(Number *key, int count, const int64_t *numbers) noexcept
cdef double real_floor(double one, double other, double *rest) noexcept

cdef class Memo:
    cdef readonly object function
    cdef Number *rows           # of each answer: kinds of its numbers, these, and itself
    cdef signed char *kinds     # of the answers: 0 none, 1 whole, 2 another
    cdef Py_ssize_t room, used
    cdef Py_ssize_t most        # answers that are kept; 0: all
    cdef int find(self, const Number *key, Number *answer) noexcept
    cdef Py_ssize_t place_of(self, const Number *key) noexcept
    cdef int keep(self, const Number *key, Number answer, int kind) except -1
    cdef int grow(self) except -1
    cdef double of_whole(self, int count, const int64_t *numbers) except? -1.0

cdef class Program:
    cdef Line *lines
    cdef Call *calls
    cdef Place *outputs
    cdef Number *kept           # constants in their places; lent to whoever reckons
    cdef Py_ssize_t count, numbers
    cdef int inputs, found
    cdef int64_t reals          # bits of the inputs that need not be whole
    cdef tuple memos
    cdef dict constants
    cdef Number *with_constants(self) except NULL
    cdef Number *lent(self) except NULL
    cdef void give_back(self, Number *at) noexcept
    cdef object answer(self, tuple numbers)
    cdef Status reckoned(self, Number *at) except *
    cdef Status asked(self, const Line *line, Number *at) except *
    cdef Status of_whole(self, const int64_t *numbers, double *found) except *

cdef class Ways:
    cdef public list ways
    cdef int of_whole(self, int count, const int64_t *numbers, int wanted, double *found) except -1
