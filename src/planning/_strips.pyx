# cython: language_level=3
"""Sums of strips in a length: see wsekern.planning.strips, which says what is computed, and wsekern.planning.reference, which
says it in numpy, to the bit.
"""


cdef void consider(double* known, const double* before, Py_ssize_t count, double cycles) noexcept nogil:
    """Let ``before`` and so many more cycles be known where that is quicker."""
    cdef Py_ssize_t place
    cdef double found
    for place in range(count):
        found = before[place] + cycles
        known[place] = found if found < known[place] else known[place]


def fill(double[:, ::1] cycles, const long long[::1] sizes, const long long[::1] layers, const double[::1] each,
         long long[::1] least):
    """The fewest ``cycles`` of 0, 1, ... layers (rows; the first is 0, all others inf) on 0, 1, ... PEs by strips of ``sizes``
    with ``layers`` that take ``each``; ``least`` (rows) becomes the fewest PEs."""
    cdef Py_ssize_t row, strip, length = cycles.shape[1] - 1, size
    with nogil:
        least[0] = 0
        for row in range(1, cycles.shape[0]):
            least[row] = length + 1
            for strip in range(sizes.shape[0]):
                if layers[strip] > row:
                    continue
                size = least[row - layers[strip]] + sizes[strip]
                if size > length:
                    continue
                least[row] = size if size < least[row] else least[row]
                consider(&cycles[row, size], &cycles[row - layers[strip], size - sizes[strip]], length + 1 - size, each[strip])


def chosen(const double[:, ::1] cycles, const long long[::1] sizes, const long long[::1] layers, const double[::1] each,
           Py_ssize_t row, Py_ssize_t length):
    """Numbers of the strips whose ``cycles``, as :func:`fill` has them, are those of ``row`` layers on ``length`` PEs: from the
    last on, of equally quick ones the first."""
    cdef Py_ssize_t strip
    found = []
    while row:
        for strip in range(sizes.shape[0]):
            if (layers[strip] <= row and sizes[strip] <= length
                    and cycles[row - layers[strip], length - sizes[strip]] + each[strip] == cycles[row, length]):
                break
        else:
            raise ValueError("no strips add up to that")
        found.append(strip)
        row -= layers[strip]
        length -= sizes[strip]
    return found
