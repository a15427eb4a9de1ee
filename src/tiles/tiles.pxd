# cython: language_level=3
# tiles.h for Cython.
from libc.stdint cimport int64_t

cdef extern from "tiles/tiles.h" nogil:
    enum: WSK_TILE_FP32, WSK_TILE_FP16, WSK_TILE_FP16_FP32, WSK_TILE_BF16
    enum: WSK_TILE_ADD, WSK_TILE_BINARIES, WSK_TILE_UNARIES
    enum: WSK_TILE_FRESH, WSK_TILE_ONTO, WSK_TILE_STREAM
    enum: WSK_TILE_ROW_PES, WSK_TILE_LEVEL_HALF
    ctypedef struct wsk_tile_rounds:
        const void *const *x
        const void *const *w
        void *c
    ctypedef struct wsk_tile_row:
        const char *x
        const char *w
        char *c
        int64_t x_stride, w_stride, c_stride, count, m, k, n, wide, broad
        int accumulate, fetch
        int64_t far
        float *scratch
    ctypedef struct wsk_tile_products:
        void (*gemm)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                     int64_t wide, int64_t broad, void *c, int accumulate, const void *next_x, const void *next_w,
                     int64_t far) noexcept nogil
        void (*gemm_small)(const wsk_tile_rounds *pe, int count, int64_t rounds, int64_t m, int64_t k,
                           int accumulate) noexcept nogil
        void (*left)(const void *source, float *out, int64_t n) noexcept nogil
    ctypedef struct wsk_tile_math:
        void (*widen)(const void *source, float *out, int64_t n) noexcept nogil
        void (*narrow)(const float *source, void *out, int64_t n) noexcept nogil
        void (*unary[WSK_TILE_UNARIES])(const void *a, void *out, int64_t n) noexcept nogil
        void (*binary[WSK_TILE_BINARIES])(const void *a, const void *b, void *out, int64_t n) noexcept nogil
        void (*scale)(const void *a, float factor, void *out, int64_t n) noexcept nogil
        void (*fma)(const void *a, const void *b, const void *c, void *out, int64_t n) noexcept nogil
        void (*rowsum)(const void *a, float *out, int64_t rows, int64_t n) noexcept nogil
        void (*dot)(const void *a, const void *b, float *out, int64_t rows, int64_t n) noexcept nogil
        void (*rowmax)(const void *a, void *out, int64_t rows, int64_t n) noexcept nogil
        void (*expsub)(const void *a, const void *maximum, void *out, int64_t rows, int64_t n) noexcept nogil
        void (*rowdiv)(const void *a, const float *d, void *out, int64_t rows, int64_t n) noexcept nogil
        void (*rownorm)(const void *a, const float *s, const void *gain, float divisor, float eps, void *out, int64_t rows,
                        int64_t n) noexcept nogil
        void (*rope)(const void *a, const void *cosine, const void *sine, void *out, int64_t rows, int64_t heads,
                     int64_t pairs) noexcept nogil
        int64_t (*peak)(int64_t steps, float *out) noexcept nogil
        void (*traffic)(const float *a, const float *b, float *out, int64_t n, int past_caches) noexcept nogil
    const wsk_tile_math *wsk_tile_table(int dtype, int simd_level)
    const wsk_tile_products *wsk_tile_products_of(int dtype, int simd_level)
    int wsk_tile_half_supported()
    int64_t wsk_tile_bytes(int dtype)
    bint wsk_tile_is_small(int simd_level, int64_t m, int64_t k, int64_t n)
    void wsk_tile_gemm_row(int dtype, int simd_level, const wsk_tile_row *row)
    void wsk_tile_transpose(const void *source, void *out, int64_t rows, int64_t columns, int64_t bytes)
    void wsk_tile_gemm_naive(int dtype, const void *x, const void *w, int64_t m, int64_t k, int64_t n, void *c, int accumulate)
