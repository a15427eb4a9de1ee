#include "tiles.h"

#include <math.h>

#include "common/wsekern_half.h"

int wsk_tile_half_supported(void)
{
#ifdef WSEKERN_AVX512FP16
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512fp16");
#else
    return 0;
#endif
}

void wsk_tile_transpose(const void *in, void *out, int64_t rows, int64_t columns, int64_t bytes)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            if (bytes == 4)
                ((uint32_t *)out)[c * rows + r] = ((const uint32_t *)in)[r * columns + c];
            else
                ((uint16_t *)out)[c * rows + r] = ((const uint16_t *)in)[r * columns + c];
}

void wsk_tile_gemm_row(int dtype, int simd_level, const wsk_tile_row *row)
{
    const wsk_tile_products *products = wsk_tile_products_of(dtype, simd_level);
    const int whole = row->wide == row->n && row->broad == row->n;
    if (whole && wsk_tile_is_small(simd_level, row->m, row->k, row->n)) {
        products->gemm_small_row(row);
        return;
    }
    if (whole && simd_level > 1 && row->m == 1 && row->n <= 8) {
        products->gemv_small_row(row);
        return;
    }
    for (int64_t j = 0; j < row->count; j++) {
        const float *x = (const float *)(row->x + j * row->x_stride);
        const void *w = row->w + j * row->w_stride;
        if (dtype != WSK_TILE_FP32) {
            products->left(x, row->scratch, row->m * row->k);
            x = row->scratch;
        }
        int64_t next = j + 1 < row->count ? j + 1 : j;
        products->gemm(&x, &w, 1, row->m, row->k, row->n, row->wide, row->broad, row->c + j * row->c_stride, row->accumulate,
                   row->fetch ? row->x + next * row->x_stride : NULL, row->w + next * row->w_stride, row->far);
    }
#ifdef __SSE__
    if (row->accumulate == WSK_TILE_STREAM)
        __builtin_ia32_sfence();        /* before anybody else reads them */
#endif
}

static float load(int dtype, const void *p, int64_t i)
{
    if (dtype == WSK_TILE_FP32)
        return ((const float *)p)[i];
    uint16_t word = ((const uint16_t *)p)[i];
    return dtype == WSK_TILE_BF16 ? wsk_bf16_to_float(word) : wsk_half_to_float(word);
}

static void store(int dtype, void *p, int64_t i, float value)
{
    if (dtype == WSK_TILE_FP32)
        ((float *)p)[i] = value;
    else
        ((uint16_t *)p)[i] = dtype == WSK_TILE_BF16 ? wsk_float_to_bf16(value) : wsk_float_to_half(value);
}

void wsk_tile_gemm_naive(int dtype, const void *x, const void *w, int64_t m, int64_t k, int64_t n, void *c, int accumulate)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = accumulate ? load(dtype, c, i * n + j) : 0;
            for (int64_t kk = 0; kk < k; kk++) {
                float a = load(dtype, x, i * k + kk), b = load(dtype, w, kk * n + j);
                sum = dtype == WSK_TILE_FP16 ? wsk_half_to_float(wsk_half_fma(a, b, sum)) : fmaf(a, b, sum);
            }
            store(dtype, c, i * n + j, sum);
        }
}
