# cython: language_level=3
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef packed struct Delivered:         # a record of DELIVERED: a word that left the fabric
    int64_t cycle
    int32_t x, y
    uint8_t color, port, control, teardown
    uint32_t data
