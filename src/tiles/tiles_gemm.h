/* Sum of products for one precision: include with NAME(), WORD, LOAD(), LOAD_SOME(), STORE(), STORE_SOME() and STEP() defined.
 * A block of c stays in registers while all rounds and all k pass; its elements are independent chains. */

#define UNROLL _Pragma("GCC unroll 16")

/* Rows m0 .. m0 + rows - 1, columns j .. of c; `vectors` vectors, of which the last has `last` columns if `partial`. */
INLINE void NAME(block)(const float *const *x, const void *const *w, int64_t rounds, int64_t m0, int64_t k, int64_t n,
                        int64_t j, WORD *c, int accumulate, const int rows, const int vectors, const int partial,
                        int64_t last)
{
    vec sum[BLOCK_ROWS][BLOCK_VECTORS], factor[BLOCK_VECTORS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            const WORD *p = c + (m0 + i) * n + j + v * LANES;
            sum[i][v] = !accumulate ? v_set(0) : partial && v == vectors - 1 ? LOAD_SOME(p, last) : LOAD(p);
        }
    for (int64_t r = 0; r < rounds; r++) {
        const float *left = x[r] + m0 * k;
        const WORD *right = (const WORD *)w[r] + j;
        for (int64_t kk = 0; kk < k; kk++, left++, right += n) {
            UNROLL for (int v = 0; v < vectors; v++) {
                const WORD *p = right + v * LANES;
                factor[v] = partial && v == vectors - 1 ? LOAD_SOME(p, last) : LOAD(p);
            }
            UNROLL for (int i = 0; i < rows; i++) {
                vec scalar = v_set(left[i * k]);
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[i][v] = STEP(scalar, factor[v], sum[i][v]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            WORD *p = c + (m0 + i) * n + j + v * LANES;
            if (partial && v == vectors - 1)
                STORE_SOME(p, sum[i][v], last);
            else
                STORE(p, sum[i][v]);
        }
}

/* All rows of one strip of columns. */
INLINE void NAME(strip)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                        int64_t j, WORD *c, int accumulate, const int vectors, const int partial, int64_t last)
{
    int64_t i = 0;
    for (; i + BLOCK_ROWS <= m; i += BLOCK_ROWS)
        NAME(block)(x, w, rounds, i, k, n, j, c, accumulate, BLOCK_ROWS, vectors, partial, last);
    if (BLOCK_ROWS > 4 && i + 4 <= m) {
        NAME(block)(x, w, rounds, i, k, n, j, c, accumulate, BLOCK_ROWS > 4 ? 4 : 1, vectors, partial, last);
        i += 4;
    }
    for (; i + 2 <= m; i += 2)
        NAME(block)(x, w, rounds, i, k, n, j, c, accumulate, 2, vectors, partial, last);
    if (i < m)
        NAME(block)(x, w, rounds, i, k, n, j, c, accumulate, 1, vectors, partial, last);
}

static void NAME(gemm)(const float *const *x, const void *const *w, int64_t rounds, int64_t m, int64_t k, int64_t n,
                       void *c, int accumulate)
{
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        NAME(strip)(x, w, rounds, m, k, n, j, c, accumulate, 2, 0, 0);
    for (; j + LANES <= n; j += LANES)
        NAME(strip)(x, w, rounds, m, k, n, j, c, accumulate, 1, 0, 0);
    if (LANES > 1 && j < n)
        NAME(strip)(x, w, rounds, m, k, n, j, c, accumulate, 1, 1, n - j);
}

#undef UNROLL
