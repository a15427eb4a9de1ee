# cython: language_level=3
# One cycle: the loops over the wafer grid. (Bodies of _routing.pyx, compiled into it: inline functions, no module of their own.)
from libc.stdint cimport uint64_t

from wsekern.fabric.fabric_internal cimport (
    AWAKE, STRIP_ROWS, wsk_arrive_lone, wsk_arrive_pending, wsk_arrive_row, wsk_ctz, wsk_depart_lone, wsk_depart_row,
    wsk_fabric_inside, wsk_feed_strip, wsk_has_lone, wsk_inner_arrivals, wsk_open_cycle, wsk_outer_arrivals, wsk_strip,
    wsk_turn_landed)
from wsekern.fabric.wsekern_fabric cimport wsk_fabric


cdef inline int feed_strips(wsk_fabric *f, int first, int last) noexcept nogil:
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int i, status
    for i in range(first, last):
        if inside.strip[i].waiting:
            status = wsk_feed_strip(f, inside.strip + i)
            if status < 0:
                return status
    return 0


cdef inline int depart_strip(wsk_fabric *f, int i) noexcept nogil:
    """Words leave, row by row; words arrive in a row as soon as the rows beside it have sent, while they are in the cache.
    Only the first and last row of a strip wait for phase two, when the strips beside it have sent too."""
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef wsk_strip *strip = inside.strip + i
    cdef int top = STRIP_ROWS * i, status
    cdef uint64_t bit, rows, ready, waiting
    if inside.lone:
        wsk_depart_lone(f, strip)
    rows = strip.rows_active
    waiting = wsk_inner_arrivals(f, i)
    while rows:
        status = wsk_depart_row(f, strip, top + wsk_ctz(rows))
        if status < 0:
            return status
        bit = rows & (~rows + 1)
        ready = waiting & (bit - 1)
        waiting &= ~ready
        rows &= rows - 1
        while ready:
            status = wsk_arrive_row(f, strip, top + wsk_ctz(ready))
            if status < 0:
                return status
            ready &= ready - 1
    while waiting:
        status = wsk_arrive_row(f, strip, top + wsk_ctz(waiting))
        if status < 0:
            return status
        waiting &= waiting - 1
    return wsk_arrive_pending(f, strip)


cdef inline int depart_strips(wsk_fabric *f, int first, int last) noexcept nogil:
    """Phase one of a cycle, strip by strip; strips without words are passed over."""
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int i, status
    for i in range(first, last):
        if inside.strip[i].rows_active or wsk_has_lone(f, inside.strip + i):
            inside.strip[i].awake_until = inside.cycle + AWAKE
        elif inside.strip[i].awake_until <= inside.cycle:
            continue
        wsk_open_cycle(f, inside.strip + i)
        status = depart_strip(f, i)
        if status < 0:
            return status
    return 0


cdef inline int is_near_awake(wsk_fabric_inside *inside, int i) noexcept nogil:
    """Whether a strip or one beside it may have sent words lately."""
    cdef int j
    for j in range(max(i - 1, 0), min(i + 2, inside.strips)):
        if inside.strip[j].awake_until > inside.cycle:
            return 1
    return 0


cdef inline int arrive_strips(wsk_fabric *f, int first, int last) noexcept nogil:
    """Phase two: words arrive in the first and last row of each strip."""
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef uint64_t rows
    cdef int i, status
    for i in range(first, last):
        if not is_near_awake(inside, i):
            continue
        wsk_turn_landed(f, inside.strip + i)
        rows = wsk_outer_arrivals(f, i)
        while rows:
            status = wsk_arrive_row(f, inside.strip + i, STRIP_ROWS * i + wsk_ctz(rows))
            if status < 0:
                return status
            rows &= rows - 1
        if inside.lone:
            status = wsk_arrive_lone(f, inside.strip + i)
            if status < 0:
                return status
    return 0
