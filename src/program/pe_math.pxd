# cython: language_level=3
# Declarations of pe_math.h: elements of memory and words, and the arithmetic on them.
from libc.stdint cimport int32_t, uint32_t

cdef extern from "pe_math.h" nogil:
    ctypedef union pe_value:
        float f
        uint32_t u
        int32_t i
    int pe_type_bytes(int type)
    int pe_compares(int op)
    pe_value pe_decode(int type, uint32_t bits)
    uint32_t pe_encode(int type, pe_value v)
    uint32_t pe_load_bits(int type, const unsigned char *p)
    void pe_store_bits(int type, unsigned char *p, uint32_t bits)
    pe_value pe_load(int type, const unsigned char *p)
    void pe_store(int type, unsigned char *p, pe_value v)
    pe_value pe_apply(int op, int type, pe_value a, pe_value b, pe_value c)
    pe_value pe_convert(int source, int target, pe_value v)
