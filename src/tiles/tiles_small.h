/* Products of small tiles at level avx512, on vectors of 16 lanes: include with NAME(), WORD, LOAD(), STORE(), REPEAT4(),
 * REPEAT8(), LOAD_TWO(), STORE_TWO(), STEPS() and LEFT (what writes x as gemm takes it) defined.
 * One vector holds 16 / n rows of c, all its lanes take their element of x by one permutation of a vector of x, and the row
 * of w is repeated. Two PEs at once where the chains of one would leave the core waiting. */

#define UNROLL _Pragma("GCC unroll 8")

/* `vectors` vectors of c from element `at`, on `count` PEs. k = n = 1 << log_n. */
INLINE void NAME(small_block)(const wsk_tile_rounds *pe, int64_t rounds, int64_t at, int accumulate, const int count,
                              const int vectors, const int log_n)
{
    const int n = 1 << log_n;
    vec sum[2][4], left[2][4];
    UNROLL for (int p = 0; p < count; p++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[p][v] = accumulate == WSK_TILE_ONTO ? LOAD((const WORD *)pe[p].c + at + v * 16) : v_set(0);
    for (int64_t r = 0; r < rounds; r++) {
        UNROLL for (int p = 0; p < count; p++)
            UNROLL for (int v = 0; v < vectors; v++)
                left[p][v] = LOAD((const WORD *)pe[p].x[r] + at + v * 16);
        UNROLL for (int kk = 0; kk < n; kk++) {
            vec scalar[8], right[2];
            UNROLL for (int p = 0; p < count; p++) {
                const WORD *row = (const WORD *)pe[p].w[r] + kk * n;
                right[p] = log_n == 2 ? REPEAT4(row) : REPEAT8(row);
                UNROLL for (int v = 0; v < vectors; v++)
                    scalar[v] = v_pick(left[p][v], kk, n);
                STEPS(sum[p], scalar, right + p, vectors, 1);
            }
        }
    }
    UNROLL for (int p = 0; p < count; p++)
        UNROLL for (int v = 0; v < vectors; v++)
            STORE((WORD *)pe[p].c + at + v * 16, sum[p][v]);
}

INLINE void NAME(small_tiles)(const wsk_tile_rounds *pe, int64_t rounds, int64_t m, int accumulate, const int count,
                              const int log_n)
{
    int64_t at = 0, end = m << log_n;
    for (; at + 64 <= end; at += 64)
        NAME(small_block)(pe, rounds, at, accumulate, count, 4, log_n);
    for (; at < end; at += 16)
        NAME(small_block)(pe, rounds, at, accumulate, count, 1, log_n);
}

static void NAME(gemm_small)(const wsk_tile_rounds *pe, int count, int64_t rounds, int64_t m, int64_t k, int accumulate)
{
    if (k == 4 && count == 1)
        NAME(small_tiles)(pe, rounds, m, accumulate, 1, 2);
    else if (k == 4)
        NAME(small_tiles)(pe, rounds, m, accumulate, 2, 2);
    else if (count == 1)
        NAME(small_tiles)(pe, rounds, m, accumulate, 1, 3);
    else
        NAME(small_tiles)(pe, rounds, m, accumulate, 2, 3);
}

/* Two PEs at a time of a row of PEs. */
INLINE void NAME(small_row)(const wsk_tile_row *row, const int64_t m, const int log_n)
{
    for (int64_t j = 0; j < row->count; j += 2) {
        const int64_t next = j + 1 < row->count ? j + 1 : j;
        const void *x[2] = { row->x + j * row->x_stride, row->x + next * row->x_stride };
        const void *w[2] = { row->w + j * row->w_stride, row->w + next * row->w_stride };
        const wsk_tile_rounds pe[2] = { { &x[0], &w[0], row->c + j * row->c_stride },
                                        { &x[1], &w[1], row->c + next * row->c_stride } };
        if (next > j)
            NAME(small_tiles)(pe, 1, m, row->accumulate, 2, log_n);
        else
            NAME(small_tiles)(pe, 1, m, row->accumulate, 1, log_n);
    }
}

static void NAME(gemm_small_row)(const wsk_tile_row *row)
{
    if (row->k == 4 && row->m == 4)
        NAME(small_row)(row, 4, 2);
    else if (row->k == 4)
        NAME(small_row)(row, row->m, 2);
    else if (row->m == 8)
        NAME(small_row)(row, 8, 3);
    else
        NAME(small_row)(row, row->m, 3);
}

/* One row of c, n <= 8, on PEs j .. j + 2 * pairs - 1: each vector holds the rows of two PEs. Past the end of the row of
 * PEs the last one is done again. */
INLINE void NAME(gemv_pairs)(const wsk_tile_row *row, int64_t j, const int pairs)
{
    const int64_t k = row->k, n = row->n, end = row->count - 1;
    const WORD *right[2 * GEMV_PAIRS];
    WORD *c[2 * GEMV_PAIRS];
    vec sum[GEMV_PAIRS];
    UNROLL for (int p = 0; p < 2 * pairs; p++) {
        int64_t pe = j + p < end ? j + p : end;
        LEFT(row->x + pe * row->x_stride, row->scratch + p * k, k);
        right[p] = (const WORD *)(row->w + pe * row->w_stride);
        c[p] = (WORD *)(row->c + pe * row->c_stride);
    }
    UNROLL for (int p = 0; p < pairs; p++)
        sum[p] = row->accumulate == WSK_TILE_ONTO ? LOAD_TWO(c[2 * p], c[2 * p + 1], n) : v_set(0);
    for (int64_t kk = 0; kk < k; kk++)
        UNROLL for (int p = 0; p < pairs; p++) {
            const float *left = row->scratch + 2 * p * k + kk;
            vec scalar = v_two(left[0], left[k]);
            vec factor = LOAD_TWO(right[2 * p] + kk * n, right[2 * p + 1] + kk * n, n);
            STEPS(sum + p, &scalar, &factor, 1, 1);
        }
    UNROLL for (int p = 0; p < pairs; p++)
        STORE_TWO(c[2 * p], c[2 * p + 1], sum[p], n);
}

static void NAME(gemv_small_row)(const wsk_tile_row *row)
{
    int64_t j = 0;
    for (; j + 2 * GEMV_PAIRS <= row->count; j += 2 * GEMV_PAIRS)
        NAME(gemv_pairs)(row, j, GEMV_PAIRS);
    for (; j < row->count; j += 2)
        NAME(gemv_pairs)(row, j, 1);
}

#undef UNROLL
