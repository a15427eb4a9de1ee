#include "paths.h"

#include <stdlib.h>
#include <string.h>

#include "common/team.h"
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

/* All paths: what each member of a team needs for its own. */
typedef struct {
    const wsk_path_plan *plan;
    const wsk_line_math *math;
    int64_t size, tile_size;    /* bytes of an element as it travels, and in a tile */
    const char *in;
    char *out;
    atomic_int status;
} wsk_paths;

static void run_share(wsk_team *team, int rank, void *context)
{
    wsk_paths *w = context;
    const wsk_path_plan *p = w->plan;
    int64_t end = wsk_team_share(team, rank + 1, p->lines);
    char *arena = calloc((size_t)(p->arena * w->size + 1), 1);
    if (arena == NULL)
        w->status = WSK_ERR_NO_MEMORY;
    for (int64_t line = wsk_team_share(team, rank, p->lines); arena != NULL && line < end; line++)
        run_path(p, w->math, arena, w->size, w->tile_size, p->pe + line * p->length, w->in, w->out);
    free(arena);
}

int wsk_path_values(const wsk_path_plan *p, const void *in, void *out, int threads, int simd_level)
{
    if (p->dtype < 0 || p->dtype >= WSK_LINE_DTYPES)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_paths w = { p, &(simd_level > 0 ? wsk_line_math_avx2 : wsk_line_math_base)[p->dtype],
                    p->dtype == WSK_LINE_FP32 || p->dtype == WSK_LINE_FP16_FP32 ? 4 : 2, p->dtype == WSK_LINE_FP32 ? 4 : 2,
                    in, out, WSK_OK };
    wsk_team_run(threads, run_share, &w);
    return w.status;
}
