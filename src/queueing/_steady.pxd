# cython: language_level=3
# The steady state of a line for kernels that have its costs as numbers.
from libc.stdint cimport int64_t

cdef struct Line:
    # As wsekern.queueing.LineCosts; slopes are NULL where seconds do not depend on the context.
    const double *group_base
    const double *group_slope
    const double *chunk_base
    const double *chunk_slope
    int64_t groups, chunk               # most tokens of different users together, tokens of a chunk
    double regions, last_share, head, crossing, crossing_token
    double checked, kept, draft, draft_busy
    bint draft_in_line

cdef struct Figures:
    # As wsekern.queueing.SteadyLine.
    double first, token, waiting, decoding, busy, together

cdef Figures steady(const Line *line, int64_t users, int64_t prompt, int64_t output, double think, int64_t inside) noexcept nogil
