#include "paths.h"

#include <stdlib.h>
#include <string.h>

#include "common/wsekern_status.h"
#include "lines.h"

/* dst = a rounded to the tile's precision, and back to what travels. */
static void round_words(const wsk_line_math *math, char *dst, const char *a, int64_t words, int64_t size)
{
    float rounded[WSK_LINE_ELEMENTS];
    for (int64_t at = 0; at < words; at += WSK_LINE_ELEMENTS) {
        int64_t n = words - at < WSK_LINE_ELEMENTS ? words - at : WSK_LINE_ELEMENTS;
        math->finish(rounded, a + at * size, n);
        math->start(dst + at * size, rounded, n);
    }
}

static void run_moves(const wsk_path_plan *p, const wsk_line_math *math, char *arena, int64_t size)
{
    for (const wsk_move *m = p->move; m < p->move + p->moves; m++) {
        char *dst = arena + m->dst * size;
        const char *a = arena + m->a * size;
        if (m->op == WSK_MOVE_ROUND) {
            round_words(math, dst, a, m->words, size);
            continue;
        }
        if (dst != a)
            memmove(dst, a, (size_t)(m->words * size));
        if (m->op != WSK_MOVE_COPY)
            math->merge[m->op == WSK_MOVE_MAX](dst, arena + m->b * size, m->words);
    }
}

static void run_path(const wsk_path_plan *p, const wsk_line_math *math, char *arena, int64_t size, int64_t tile_size,
                     const int64_t *pe, const char *in, char *out)
{
    for (int64_t k = 0; k < p->length; k++)
        math->start(arena + k * p->reserved * size, in + pe[k] * p->in_words * tile_size, p->in_words);
    run_moves(p, math, arena, size);
    for (int64_t k = 0; k < p->length; k++) {
        char *target = out + pe[k] * p->out_words * tile_size;
        if (p->result[k] < 0)
            memset(target, 0, (size_t)(p->out_words * tile_size));
        else
            math->finish(target, arena + (k * p->reserved + p->result[k]) * size, p->out_words);
    }
}

int wsk_path_values(const wsk_path_plan *p, const void *in, void *out, int threads, int simd_level)
{
    int status = WSK_OK;
    if (p->dtype < 0 || p->dtype >= WSK_LINE_DTYPES)
        return WSK_ERR_BAD_ARGUMENT;
    const wsk_line_math *math = &(simd_level > 0 ? wsk_line_math_avx2 : wsk_line_math_base)[p->dtype];
    int64_t tile_size = p->dtype == WSK_LINE_FP32 ? 4 : 2;
    int64_t size = p->dtype == WSK_LINE_FP32 || p->dtype == WSK_LINE_FP16_FP32 ? 4 : 2;
    (void)threads;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        char *arena = calloc((size_t)(p->arena * size + 1), 1);
        if (arena == NULL) {
#pragma omp atomic write
            status = WSK_ERR_NO_MEMORY;
        }
#pragma omp for schedule(static)
        for (int64_t line = 0; line < p->lines; line++)
            if (arena != NULL)
                run_path(p, math, arena, size, tile_size, p->pe + line * p->length, in, out);
        free(arena);
    }
    return status;
}
