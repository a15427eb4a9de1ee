/* Element-wise and row work for one storage type: include with NAME(), WORD, LOAD(), LOAD_SOME(), STORE(), STORE_SOME() and
 * FMA() defined. Operands are read as fp32, which is exact; results are rounded to the storage type once per element,
 * except in rope, where every product is rounded too. */

INLINE vec NAME(take)(const WORD *p, int64_t left) { return left >= LANES ? LOAD(p) : LOAD_SOME(p, left); }
INLINE void NAME(give)(WORD *p, vec v, int64_t left)
{
    if (left >= LANES)
        STORE(p, v);
    else
        STORE_SOME(p, v, left);
}
#define TAKE(p) NAME(take)((p) + i, n - i)
#define GIVE(p, v) NAME(give)((p) + i, v, n - i)
#define EACH for (int64_t i = 0; i < n; i += LANES)

static void NAME(widen)(const void *in, float *out, int64_t n)
{
    EACH {
        if (i + LANES <= n)
            v_store(out + i, TAKE((const WORD *)in));
        else
            v_store_some(out + i, TAKE((const WORD *)in), n - i);
    }
}
static void NAME(narrow)(const float *in, void *out, int64_t n)
{
    EACH GIVE((WORD *)out, i + LANES <= n ? v_load(in + i) : v_load_some(in + i, n - i));
}

#define UNARY(name, expression)                                                                   \
    static void NAME(name)(const void *a_, void *out, int64_t n)                                  \
    {                                                                                             \
        EACH {                                                                                    \
            vec a = TAKE((const WORD *)a_);                                                       \
            GIVE((WORD *)out, expression);                                                        \
        }                                                                                         \
    }
UNARY(mov, a)
UNARY(exp, v_exp(a))
UNARY(reciprocal, v_div(v_set(1.0f), a))
UNARY(rsqrt, v_rsqrt(a))
UNARY(silu, v_silu(a))
#undef UNARY

#define BINARY(name, expression)                                                                  \
    static void NAME(name)(const void *a_, const void *b_, void *out, int64_t n)                  \
    {                                                                                             \
        EACH {                                                                                    \
            vec a = TAKE((const WORD *)a_), b = TAKE((const WORD *)b_);                           \
            GIVE((WORD *)out, expression);                                                        \
        }                                                                                         \
    }
BINARY(add, v_add(a, b))
BINARY(sub, v_sub(a, b))
BINARY(mul, v_mul(a, b))
BINARY(max, v_larger(a, b))
BINARY(silu_mul, v_mul(v_silu(a), b))
#undef BINARY

static void NAME(scale)(const void *a, float factor, void *out, int64_t n)
{
    EACH GIVE((WORD *)out, v_mul(TAKE((const WORD *)a), v_set(factor)));
}
static void NAME(fma)(const void *a, const void *b, const void *c, void *out, int64_t n)
{
    EACH GIVE((WORD *)out, FMA(TAKE((const WORD *)a), TAKE((const WORD *)b), TAKE((const WORD *)c)));
}

/* A chain of fused multiply-adds (or adds) in fp32, elements in order, from 0; TILES_PIECE elements at a time. */
static void NAME(dot)(const void *a, const void *b, float *out, int64_t rows, int64_t n)
{
    float left[TILES_PIECE], right[TILES_PIECE];
    for (int64_t r = 0; r < rows; r++) {
        float sum = 0;
        for (int64_t i = 0; i < n; i += TILES_PIECE) {
            int64_t count = n - i < TILES_PIECE ? n - i : TILES_PIECE;
            NAME(widen)((const WORD *)a + r * n + i, left, count);
            NAME(widen)((const WORD *)b + r * n + i, right, count);
            for (int64_t e = 0; e < count; e++)
                sum = fmaf(left[e], right[e], sum);
        }
        out[r] = sum;
    }
}
static void NAME(rowsum)(const void *a, float *out, int64_t rows, int64_t n)
{
    float piece[TILES_PIECE];
    for (int64_t r = 0; r < rows; r++) {
        float sum = 0;
        for (int64_t i = 0; i < n; i += TILES_PIECE) {
            int64_t count = n - i < TILES_PIECE ? n - i : TILES_PIECE;
            NAME(widen)((const WORD *)a + r * n + i, piece, count);
            for (int64_t e = 0; e < count; e++)
                sum = sum + piece[e];
        }
        out[r] = sum;
    }
}

/* max = a[0], then each element in order that is larger than max. n >= 1. */
static void NAME(rowmax)(const void *a, void *out, int64_t rows, int64_t n)
{
    float piece[TILES_PIECE];
    for (int64_t r = 0; r < rows; r++) {
        float largest = 0;
        for (int64_t i = 0; i < n; i += TILES_PIECE) {
            int64_t count = n - i < TILES_PIECE ? n - i : TILES_PIECE;
            NAME(widen)((const WORD *)a + r * n + i, piece, count);
            if (i == 0)
                largest = piece[0];
            for (int64_t e = 0; e < count; e++)
                largest = piece[e] > largest ? piece[e] : largest;
        }
        NAME(narrow)(&largest, (WORD *)out + r, 1);
    }
}

static void NAME(expsub)(const void *a_, const void *maximum, void *out_, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        const WORD *a = (const WORD *)a_ + r * n;
        WORD *out = (WORD *)out_ + r * n;
        float largest;
        NAME(widen)((const WORD *)maximum + r, &largest, 1);
        EACH GIVE(out, v_exp(v_sub(TAKE(a), v_set(largest))));
    }
}

/* a * (1 / d): one division for each row. */
static void NAME(rowdiv)(const void *a_, const float *d, void *out_, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        const WORD *a = (const WORD *)a_ + r * n;
        WORD *out = (WORD *)out_ + r * n;
        float reciprocal = 1.0f / d[r];
        EACH GIVE(out, v_mul(TAKE(a), v_set(reciprocal)));
    }
}

/* (a * (1 / sqrt(s * (1 / divisor) + eps))) * gain, product and sum in the root rounded once */
static void NAME(rownorm)(const void *a_, const float *s, const void *gain, float divisor, float eps, void *out_,
                          int64_t rows, int64_t n)
{
    float inverse = 1.0f / divisor;
    for (int64_t r = 0; r < rows; r++) {
        const WORD *a = (const WORD *)a_ + r * n;
        WORD *out = (WORD *)out_ + r * n;
        float factor = 1.0f / sqrtf(fmaf(s[r], inverse, eps));
        EACH GIVE(out, v_mul(v_mul(TAKE(a), v_set(factor)), TAKE((const WORD *)gain)));
    }
}

/* (first, second) -> (first * cosine - second * sine, second * cosine + first * sine); products, then sums, are rounded. */
static void NAME(rope)(const void *a_, const void *cosine_, const void *sine_, void *out_, int64_t rows, int64_t heads,
                       int64_t n)
{
    for (int64_t r = 0; r < rows * heads; r++) {
        const WORD *first = (const WORD *)a_ + r * 2 * n, *second = first + n;
        const WORD *cosine = (const WORD *)cosine_ + r / heads * n, *sine = (const WORD *)sine_ + r / heads * n;
        WORD *out = (WORD *)out_ + r * 2 * n;
        EACH {
            vec a = TAKE(first), b = TAKE(second), c = TAKE(cosine), s = TAKE(sine);
            GIVE(out, v_sub(ROUND(v_mul(a, c)), ROUND(v_mul(b, s))));
            GIVE(out + n, v_add(ROUND(v_mul(b, c)), ROUND(v_mul(a, s))));
        }
    }
}

#undef EACH
#undef GIVE
#undef TAKE
