# cython: language_level=3

# The level in force (0 base, 1 avx2, 2 avx512), chosen at the first call; kernels of other extensions read it through
# _common.simd_level_code().
cpdef int simd_level_code() except -1
