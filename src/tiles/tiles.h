/* Work of one PE on its own tiles. Every function exists once per SIMD level, from one body, with the same results.
 *
 * Tiles are held in storage types (fp32, or fp16 and bf16 as 16-bit words); the order and rounding of every step is fixed
 * by the functions' comments alone. Small storage types are converted to fp32, which is exact, computed, and rounded. */
#ifndef WSEKERN_TILES_H
#define WSEKERN_TILES_H

#include <stdint.h>

/* The precisions of a sum of products: what a step rounds to, and what is stored. */
enum { WSK_TILE_FP32, WSK_TILE_FP16, WSK_TILE_FP16_FP32, WSK_TILE_BF16, WSK_TILE_DTYPES };
enum { WSK_TILE_ADD, WSK_TILE_SUB, WSK_TILE_MUL, WSK_TILE_MAX, WSK_TILE_SILU_MUL, WSK_TILE_BINARIES };
enum { WSK_TILE_MOV, WSK_TILE_EXP, WSK_TILE_RECIPROCAL, WSK_TILE_RSQRT, WSK_TILE_SILU, WSK_TILE_UNARIES };

/* What becomes of c: it starts from 0; it is added to; or it starts from 0 and is stored past the caches, which takes fp32
 * tiles whose rows are whole cache lines and which nobody reads before long. */
enum { WSK_TILE_FRESH, WSK_TILE_ONTO, WSK_TILE_STREAM };

static inline int64_t wsk_tile_bytes(int dtype) { return dtype == WSK_TILE_FP32 ? 4 : 2; }

/* The tiles of one PE: those of x and w round by round. */
typedef struct {
    const void *const *x;
    const void *const *w;
    void *c;
} wsk_tile_rounds;

/* `count` PEs of a row of PEs; strides in bytes, x in the storage type. scratch: m * k floats for each of
 * WSK_TILE_ROW_PES. */
enum { WSK_TILE_ROW_PES = 8 };
typedef struct {
    const char *x, *w;
    char *c;
    int64_t x_stride, w_stride, c_stride, count;
    int64_t m, k, n;
    int64_t wide, broad;    /* elements from one row of a tile of w, of c, to the next; n where they follow each other */
    int accumulate;
    int fetch;          /* whether tiles have to come from memory */
    int64_t far;        /* bytes ahead of those of w in use, to be fetched into the cache; 0: none */
    float *scratch;
} wsk_tile_row;

/* What to bring into the cache while a product runs: the tiles of the PE that comes next. */
typedef struct {
    const char *x, *w;
} wsk_tile_ahead;

/* Products of one precision. */
typedef struct {
    /* c (m,n) += sum over rounds of x[r] (m,k) w[r] (k,n): one chain of fused multiply-adds per element, round by round, k
     * increasing. x: as `left` writes it. w and c: storage type. fp32: every step rounded to fp32. fp16: every step rounded
     * once to fp16. fp16_fp32, bf16: steps in fp32, rounded to the storage type after the last. `accumulate`: see above.
     * wide, broad: elements from one row of w, of c, to the next. next_x, next_w: tiles that are wanted next, to be fetched
     * into the cache; NULL where they are there. far: see wsk_tile_row. */
    void (*gemm)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                 int64_t wide, int64_t broad, void *c, int accumulate, const void *next_x, const void *next_w, int64_t far);
    /* The same for the small shapes of wsk_tile_is_small, with x in the storage type, on one PE or on two at once. */
    void (*gemm_small)(const wsk_tile_rounds *pe, int count, int64_t rounds, int64_t m, int64_t k, int accumulate);
    void (*gemm_small_row)(const wsk_tile_row *row);
    void (*gemv_small_row)(const wsk_tile_row *row);     /* m = 1, n <= 8 */
    /* x as gemm takes it, 4 bytes an element: fp32, or two copies of the fp16 where it is multiplied as such. */
    void (*left)(const void *in, float *out, int64_t n);
} wsk_tile_products;

typedef struct {
    wsk_tile_products products;
    void (*widen)(const void *in, float *out, int64_t n);               /* out = in, exact */
    void (*narrow)(const float *in, void *out, int64_t n);              /* out = in, rounded */
    void (*unary[WSK_TILE_UNARIES])(const void *a, void *out, int64_t n);
    void (*binary[WSK_TILE_BINARIES])(const void *a, const void *b, void *out, int64_t n);
    void (*scale)(const void *a, float factor, void *out, int64_t n);   /* a * factor */
    void (*fma)(const void *a, const void *b, const void *c, void *out, int64_t n);    /* a * b + c, rounded once */
    /* Rows of n elements; sums over a row are fp32 chains, elements in order. */
    void (*rowsum)(const void *a, float *out, int64_t rows, int64_t n);
    void (*dot)(const void *a, const void *b, float *out, int64_t rows, int64_t n);
    void (*rowmax)(const void *a, void *out, int64_t rows, int64_t n);
    void (*expsub)(const void *a, const void *maximum, void *out, int64_t rows, int64_t n);
    void (*rowdiv)(const void *a, const float *d, void *out, int64_t rows, int64_t n);
    void (*rownorm)(const void *a, const float *s, const void *gain, float divisor, float eps, void *out, int64_t rows,
                    int64_t n);
    /* rows x heads vectors of 2 * pairs elements, first halves first; cosine and sine (rows, pairs). */
    void (*rope)(const void *a, const void *cosine, const void *sine, void *out, int64_t rows, int64_t heads, int64_t pairs);
    /* `steps` rounds of independent multiply-adds in registers; returns how many. out: one float, read and written. */
    int64_t (*peak)(int64_t steps, float *out);
    /* out = a + b, n elements, a multiple of 16, each on a cache line; written past the caches where the level can. */
    void (*traffic)(const float *a, const float *b, float *out, int64_t n, int past_caches);
} wsk_tile_math;

extern const wsk_tile_math wsk_tile_math_base[WSK_TILE_DTYPES];
extern const wsk_tile_math wsk_tile_math_avx2[WSK_TILE_DTYPES];
extern const wsk_tile_math wsk_tile_math_avx512[WSK_TILE_DTYPES];
/* fp16 on a CPU that multiplies and adds halves itself (AVX512-FP16): exactly rounded too, so the same bits. */
extern const wsk_tile_products wsk_tile_products_half;

/* Level avx512, and the CPU and the operating system have AVX512-FP16 beside it. */
enum { WSK_TILE_LEVEL_HALF = 3 };
int wsk_tile_half_supported(void);

static inline const wsk_tile_math *wsk_tile_table(int dtype, int simd_level)
{
    return &(simd_level > 1 ? wsk_tile_math_avx512 : simd_level ? wsk_tile_math_avx2 : wsk_tile_math_base)[dtype];
}

static inline const wsk_tile_products *wsk_tile_products_of(int dtype, int simd_level)
{
    if (dtype == WSK_TILE_FP16 && simd_level == WSK_TILE_LEVEL_HALF)
        return &wsk_tile_products_half;
    return &wsk_tile_table(dtype, simd_level)->products;
}

/* Shapes of which several rows of c fill one vector of level avx512. */
static inline int wsk_tile_is_small(int simd_level, int64_t m, int64_t k, int64_t n)
{
    return simd_level > 1 && k == n && ((n == 4 && m % 4 == 0) || (n == 8 && m % 2 == 0));
}

/* gemm of one round on a row of PEs. */
void wsk_tile_gemm_row(int dtype, int simd_level, const wsk_tile_row *row);

/* out (columns, rows) = in (rows, columns), elements of 2 or 4 bytes. */
void wsk_tile_transpose(const void *in, void *out, int64_t rows, int64_t columns, int64_t bytes);

/* The same sum of products by three plain loops: what gemm is tested against. One round; x in the storage type. */
void wsk_tile_gemm_naive(int dtype, const void *x, const void *w, int64_t m, int64_t k, int64_t n, void *c, int accumulate);

#endif
