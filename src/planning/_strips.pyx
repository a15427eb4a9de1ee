# cython: language_level=3
"""Sums of strips in a length: see wsekern.planning.strips, which says what is computed, and wsekern.planning.reference, which
says it in numpy, to the bit.
"""
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc, realloc

import numpy as np


cdef struct Strip:
    Py_ssize_t size, layers
    double cycles


cdef struct Sum:
    # Strips that together take so many PEs and cycles.
    Py_ssize_t size
    double cycles


cdef class Sums:
    """The fewest cycles of 0, 1, ... ``most`` layers on up to ``length`` PEs by ``strips``, each (size, layers, cycles, ...), as
    often as there is room. Of each number of layers only the sums are kept that no shorter one is as quick as: a few, where a
    length has a thousand PEs."""
    cdef Strip *strips
    cdef Py_ssize_t count, most
    cdef Sum *sums              # of 0 layers, of 1, ...: shorter and slower ones first
    cdef Py_ssize_t *ends       # behind those of so many layers

    def __cinit__(self, strips, Py_ssize_t length, Py_ssize_t most):
        cdef Py_ssize_t k
        self.count, self.most = len(strips), most
        self.strips = <Strip *>malloc(max(1, self.count) * sizeof(Strip))
        self.ends = <Py_ssize_t *>malloc((most + 1) * sizeof(Py_ssize_t))
        self.sums = <Sum *>malloc(sizeof(Sum))
        if self.strips == NULL or self.ends == NULL or self.sums == NULL:
            raise MemoryError
        for k in range(self.count):
            self.strips[k] = Strip(strips[k][0], strips[k][1], strips[k][2])
        self.sums[0], self.ends[0] = Sum(0, 0.0), 1
        self.fill(length)

    def __dealloc__(self):
        free(self.strips)
        free(self.ends)
        free(self.sums)

    cdef int fill(self, Py_ssize_t length) except -1:
        # All rows, each by way of the fewest cycles on exactly so many PEs.
        cdef double *exactly = <double *>malloc((length + 1) * sizeof(double))
        cdef Py_ssize_t row
        if exactly == NULL:
            raise MemoryError
        try:
            for row in range(1, self.most + 1):
                self.consider(exactly, length, row)
                self.keep(exactly, length, row)
        finally:
            free(exactly)
        return 0

    cdef void consider(self, double *exactly, Py_ssize_t length, Py_ssize_t row) noexcept:
        # One more strip behind each sum that then has the layers of the row.
        cdef Py_ssize_t k, place, size
        cdef const Strip *strip
        for size in range(length + 1):
            exactly[size] = INFINITY
        for k in range(self.count):
            strip = self.strips + k
            if strip.layers > row:
                continue
            for place in range(self.begin(row - strip.layers), self.ends[row - strip.layers]):
                size = self.sums[place].size + strip.size
                if size > length:
                    break
                exactly[size] = min(exactly[size], self.sums[place].cycles + strip.cycles)

    cdef int keep(self, const double *exactly, Py_ssize_t length, Py_ssize_t row) except -1:
        # The sums of a row that no shorter one is as quick as.
        cdef Py_ssize_t end = self.ends[row - 1], size
        cdef Sum *longer = <Sum *>realloc(self.sums, (end + length + 1) * sizeof(Sum))
        cdef double best = INFINITY
        if longer == NULL:
            raise MemoryError
        self.sums = longer
        for size in range(length + 1):
            if exactly[size] < best:
                best = exactly[size]
                self.sums[end] = Sum(size, best)
                end += 1
        self.ends[row] = end
        return 0

    cdef inline Py_ssize_t begin(self, Py_ssize_t row) noexcept:
        return self.ends[row - 1] if row else 0

    cdef double at(self, Py_ssize_t row, Py_ssize_t length) noexcept:
        # Cycles of so many layers on so many PEs.
        cdef Py_ssize_t first = self.begin(row), low = first, high = self.ends[row], middle
        while low < high:
            middle = (low + high) // 2
            if self.sums[middle].size <= length:
                low = middle + 1
            else:
                high = middle
        return self.sums[low - 1].cycles if low > first else INFINITY

    def on(self, Py_ssize_t length):
        """Cycles of 0, 1, ... layers on so many PEs; inf where there is no room."""
        numbers = np.empty(self.most + 1)
        cdef double[::1] found = numbers
        cdef Py_ssize_t row
        for row in range(self.most + 1):
            found[row] = self.at(row, length)
        return numbers

    def chosen(self, Py_ssize_t row, Py_ssize_t length):
        """Numbers of the strips whose cycles are those of ``row`` layers on ``length`` PEs: from the last on, of equally quick
        ones the first."""
        cdef const Strip *strip
        cdef Py_ssize_t k
        found = []
        while row:
            for k in range(self.count):
                strip = self.strips + k
                if (strip.layers <= row and strip.size <= length
                        and self.at(row - strip.layers, length - strip.size) + strip.cycles == self.at(row, length) < INFINITY):
                    break
            else:
                raise ValueError("no strips add up to that")
            found.append(k)
            row -= strip.layers
            length -= strip.size
        return found
