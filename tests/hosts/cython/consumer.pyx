# cython: language_level=3
"""A Cython host: Python draws the fabric, Cython steps it by the C library, without Python in the loop."""
from libc.stdint cimport int64_t, uint32_t

from wsekern.fabric._routing cimport State
from wsekern.fabric.wsekern_fabric cimport (
    wsk_delivery, wsk_fabric, wsk_fabric_cycle, wsk_fabric_listen, wsk_fabric_pop, wsk_fabric_push, wsk_fabric_step)
from wsekern.wsekern_status cimport wsk_status_text


def stream(State state, uint32_t source, uint32_t target, int color, uint32_t words):
    """Words 0, 1, ... from one PE to another: the cycles at which the first and the last could be read."""
    cdef wsk_fabric *fabric = state.fabric
    cdef wsk_delivery word
    cdef int64_t first = -1, last = -1
    cdef uint32_t sent = 0, taken = 0
    cdef int status = wsk_fabric_listen(fabric, target, color, 4)
    with nogil:
        while status >= 0 and taken < words:
            while sent < words and wsk_fabric_push(fabric, source, color, sent, 0) == 1:
                sent += 1
            status = wsk_fabric_step(fabric)
            while status >= 0 and wsk_fabric_pop(fabric, target, color, &word) == 1:
                status = -2 if word.data != taken else 0
                last = wsk_fabric_cycle(fabric)
                first = last if taken == 0 else first
                taken += 1
    if status < 0:
        raise RuntimeError(wsk_status_text(status).decode())
    return first, last
