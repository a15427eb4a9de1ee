/* Sum of products for one precision: include with NAME(), WORD, LOAD(), LOAD_SOME(), STORE(), STORE_SOME() and STEPS() defined,
 * and UPWARD where steps want the core to round up.
 * A block of c stays in registers while all rounds and all k pass; its elements are independent chains. */

#define UNROLL _Pragma("GCC unroll 16")

/* Rows m0 .. m0 + rows - 1, columns j .. of c; `vectors` vectors, of which the last has `last` < LANES columns if `partial`.
 * Rows of w begin every `wide` elements, those of c every `broad`. */
INLINE void NAME(block)(const float *const *x, const void *const *w, int64_t rounds, int64_t m0, int64_t k,
                        int64_t wide, int64_t broad, int64_t j, WORD *c, int accumulate, const int rows, const int vectors,
                        const int partial, int64_t last, wsk_tile_ahead *ahead, const int every, int64_t far)
{
    const int together = rows == 1 ? 2 : vectors;      /* whose factors are in registers at once */
    vec sum[BLOCK], scalar[BLOCK], factor[4];
    UNROLL for (int e = 0; e < rows * vectors; e++) {
        const WORD *p = c + (m0 + e / vectors) * broad + j + e % vectors * LANES;
        sum[e] = accumulate != WSK_TILE_ONTO ? v_set(0) : partial && e % vectors == vectors - 1 ? LOAD_SOME(p, last) : LOAD(p);
    }
    for (int64_t r = 0; r < rounds; r++) {
        const float *left = x[r] + m0 * k;
        const WORD *right = (const WORD *)w[r] + j;
        for (int64_t kk = 0; kk < k; kk++, left++, right += wide) {
            if (ahead != NULL && kk % every == 0) {
                __builtin_prefetch(ahead->x);
                ahead->x += 64;
            }
            if (ahead != NULL && kk % every == every / 2) {
                __builtin_prefetch(ahead->w);
                ahead->w += 64;
            }
            if (far)
                UNROLL for (int line = 0; line < (vectors * LANES * (int)sizeof(WORD) + 63) / 64; line++)
                    __builtin_prefetch((const char *)right + far + 64 * line);
            UNROLL for (int i = 0; i < rows; i++)
                scalar[i] = v_set(left[i * k]);
            UNROLL for (int v = 0; v < vectors; v += together) {
                const int some = vectors - v < together ? vectors - v : together;
                UNROLL for (int e = 0; e < some; e++) {
                    const WORD *p = right + (v + e) * LANES;
                    factor[e] = partial && v + e == vectors - 1 ? LOAD_SOME(p, last) : LOAD(p);
                }
                STEPS(sum + v, scalar, factor, rows * some, some);
            }
        }
    }
    UNROLL for (int e = 0; e < rows * vectors; e++) {
        WORD *p = c + (m0 + e / vectors) * broad + j + e % vectors * LANES;
        if (partial && e % vectors == vectors - 1)
            STORE_SOME(p, sum[e], last);
        else if (accumulate == WSK_TILE_STREAM)
            STREAM(p, sum[e]);
        else
            STORE(p, sum[e]);
    }
}

/* All rows of one strip of columns, in blocks of at most BLOCK vectors. */
INLINE void NAME(strip)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t wide,
                        int64_t broad, int64_t j, WORD *c, int accumulate, const int vectors, const int partial,
                        int64_t last, wsk_tile_ahead *ahead, const int every, int64_t far)
{
    int64_t i = 0;
#define ROWS(count)                                                                                                   \
    if (BLOCK / vectors >= count)                                                                                     \
        for (; i + count <= m; i += count)                                                                            \
            NAME(block)(x, w, rounds, i, k, wide, broad, j, c, accumulate, BLOCK / vectors >= count ? count : 1, vectors, \
                        partial, last, ahead, every, far);
    if (k <= 16)
        ROWS(16)
    ROWS(8)
    ROWS(4)
    ROWS(2)
    ROWS(1)
#undef ROWS
}

/* All strips of columns. */
INLINE void NAME(columns)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                          int64_t wide, int64_t broad, WORD *c, int accumulate, int64_t far)
{
    int64_t j = 0;
    if (m == 1)             /* few rows: more vectors of each, so that enough chains are on their way */
        for (; j + 8 * LANES <= n; j += 8 * LANES)
            NAME(strip)(x, w, rounds, 1, k, wide, broad, j, c, accumulate, 8, 0, 0, NULL, 1, far);
    if (LANES == 16 || m < 4)
        for (; j + 4 * LANES <= n; j += 4 * LANES)
            NAME(strip)(x, w, rounds, m, k, wide, broad, j, c, accumulate, 4, 0, 0, NULL, 1, far);
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        NAME(strip)(x, w, rounds, m, k, wide, broad, j, c, accumulate, 2, 0, 0, NULL, 1, far);
    for (; j + LANES <= n; j += LANES)
        NAME(strip)(x, w, rounds, m, k, wide, broad, j, c, accumulate, 1, 0, 0, NULL, 1, far);
    if (LANES > 1 && j < n)
        NAME(strip)(x, w, rounds, m, k, wide, broad, j, c, accumulate, 1, 1, n - j, NULL, 1, far);
}

/* Tiles of w of a known size, k = n: every address is one register and a constant. (size, vectors of a row, steps of k between
 * two fetches): one cache line of each of the next two tiles is fetched so often that all are there after the last step. */
#define KNOWN_SIZES(X) X(16, 1, 1) X(32, 2, 2) X(64, 4, 4)

#ifdef UPWARD
#define GEMM __attribute__((noinline)) NAME(upward)
#else
#define GEMM NAME(gemm)
#endif
static void GEMM(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                       int64_t wide, int64_t broad, void *c, int accumulate, const void *next_x, const void *next_w,
                       int64_t far)
{
    wsk_tile_ahead ahead = { next_x, next_w };
    const int whole = wide == n && broad == n;
#define WITH_FETCHES(size, vectors, every)                                                                            \
    if (LANES == 16 && whole && k == size && n == size && next_x != NULL)                                                      \
        NAME(strip)(x, w, rounds, m, size, size, size, 0, c, accumulate, LANES == 16 ? vectors : 1, 0, 0, &ahead, every, 0);   \
    else
#define WITHOUT(size, vectors, every)                                                                                 \
    if (LANES == 16 && whole && vectors < 4 && k == size && n == size)    /* 4: as fast as it comes */                        \
        NAME(strip)(x, w, rounds, m, size, size, size, 0, c, accumulate, LANES == 16 ? vectors : 1, 0, 0, NULL, 1, 0);         \
    else
    KNOWN_SIZES(WITH_FETCHES)
    KNOWN_SIZES(WITHOUT)
        NAME(columns)(x, w, rounds, m, k, n, wide, broad, c, accumulate, far);
#undef WITH_FETCHES
#undef WITHOUT
}
#undef GEMM

#ifdef UPWARD
static void NAME(gemm)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                       int64_t wide, int64_t broad, void *c, int accumulate, const void *next_x, const void *next_w,
                       int64_t far)
{
    unsigned before = h_round_up();
    NAME(upward)(x, w, rounds, m, k, n, wide, broad, c, accumulate, next_x, next_w, far);
    h_round_again(before);
}
#endif

#undef KNOWN_SIZES
#undef UNROLL
