#include "lines.h"

#include <string.h>

#include "common/team.h"
#include "common/wsekern_status.h"

/* One block of one line: which elements, and how to reach the tile element block of PE k. */
typedef struct {
    const wsk_line_math *math;
    int op;
    const char *in;
    char *out;
    int64_t stride;     /* bytes from one PE of the line to the next */
    int64_t count;      /* elements of the block */
    int64_t bytes;      /* bytes of the block in a tile */
} wsk_block;

typedef float wsk_acc[WSK_LINE_ELEMENTS];

/* Running sum from PE `begin` up to, not including, `end`; 0 if there is none. */
static int chain(const wsk_block *b, float *acc, int64_t begin, int64_t end, int64_t step)
{
    if (begin == end)
        return 0;
    b->math->start(acc, b->in + begin * b->stride, b->count);
    for (int64_t k = begin + step; k != end; k += step)
        b->math->combine[b->op](acc, b->in + k * b->stride, b->count);
    return 1;
}

/* acc = own tile of `root`, then the sum from below, then the sum from above. */
static void both_chains(const wsk_block *b, float *acc, int64_t begin, int64_t end, int64_t root)
{
    wsk_acc side;
    b->math->start(acc, b->in + root * b->stride, b->count);
    if (chain(b, side, begin, root, 1))
        b->math->merge[b->op](acc, side, b->count);
    if (chain(b, side, end - 1, root, -1))
        b->math->merge[b->op](acc, side, b->count);
}

/* The members of every level of chains: all PEs, then the middle ones of the groups of the level before. */
typedef struct {
    const wsk_block *block;
    int64_t begin;
    int levels;
    int64_t members[WSK_LINE_LEVELS + 1];
} wsk_levels;

static int level_chain(const wsk_levels *t, float *acc, int level, int64_t begin, int64_t end);

/* acc = what a member of a level has of the levels below: its tile, and of each the sum from below, then the one from above. */
static void member_sum(const wsk_levels *t, float *acc, int level, int64_t member)
{
    const wsk_block *b = t->block;
    if (level == 0) {
        b->math->start(acc, b->in + (t->begin + member) * b->stride, b->count);
        return;
    }
    wsk_acc side;
    int64_t length = t->members[level - 1], groups = t->members[level], root = wsk_group_root(member, length, groups);
    member_sum(t, acc, level - 1, root);
    if (level_chain(t, side, level - 1, wsk_group_begin(member, length, groups), root))
        b->math->merge[b->op](acc, side, b->count);
    if (level_chain(t, side, level - 1, wsk_group_begin(member + 1, length, groups) - 1, root))
        b->math->merge[b->op](acc, side, b->count);
}

/* acc = running sum over members of a level from `begin` up to, not including, `end`, either way; 0 if there is none. */
static int level_chain(const wsk_levels *t, float *acc, int level, int64_t begin, int64_t end)
{
    const wsk_block *b = t->block;
    int64_t step = end > begin ? 1 : -1;
    if (level == 0)
        return chain(b, acc, t->begin + begin, t->begin + end, step);
    if (begin == end)
        return 0;
    wsk_acc own;
    member_sum(t, acc, level, begin);
    for (int64_t k = begin + step; k != end; k += step) {
        member_sum(t, own, level, k);
        b->math->merge[b->op](own, acc, b->count);
        memcpy(acc, own, (size_t)b->count * sizeof *own);
    }
    return 1;
}

/* The result goes to `copies` PEs from `first` on. */
static void allreduce_segment(const wsk_block *b, const wsk_line_plan *p, int64_t begin, int64_t length, int64_t first,
                              int64_t copies)
{
    wsk_acc acc, result;
    wsk_levels t = { b, begin, p->levels, { length } };
    for (int level = 1; level < p->levels; level++)
        t.members[level] = p->groups[level - 1] < t.members[level - 1] ? p->groups[level - 1] : t.members[level - 1];
    t.members[p->levels] = 1;
    member_sum(&t, acc, p->levels, 0);
    b->math->finish(result, acc, b->count);
    for (int64_t k = 0; k < copies; k++)
        memcpy(b->out + (first + k) * b->stride, result, (size_t)b->bytes);
}

static void reduce_segment(const wsk_block *b, int64_t begin, int64_t length, int64_t root)
{
    wsk_acc acc;
    for (int64_t k = begin; k < begin + length; k++)
        memcpy(b->out + k * b->stride, b->in + k * b->stride, (size_t)b->bytes);
    both_chains(b, acc, begin, begin + length, begin + root);
    b->math->finish(b->out + (begin + root) * b->stride, acc, b->count);
}

static void broadcast_segment(const wsk_block *b, int64_t begin, int64_t length, int64_t root)
{
    for (int64_t k = begin; k < begin + length; k++)
        memcpy(b->out + k * b->stride, b->in + (begin + root) * b->stride, (size_t)b->bytes);
}

enum kind { ALLREDUCE, REDUCE, BROADCAST };

/* Elements of a block: fewer than there could be where some threads would have none. */
static int64_t block_elements(const wsk_line_plan *p, int64_t segments, int threads)
{
    int64_t wanted = (threads + p->outer * segments - 1) / (p->outer * segments);   /* blocks of a line */
    int64_t block = wanted > 1 ? ((p->inner + wanted - 1) / wanted + 63) / 64 * 64 : WSK_LINE_ELEMENTS;
    return block < WSK_LINE_LEAST ? WSK_LINE_LEAST : block < WSK_LINE_ELEMENTS ? block : WSK_LINE_ELEMENTS;
}

/* All lines: every (line, block of elements, segment) is one piece of work, independent of all others. */
typedef struct {
    enum kind kind;
    const wsk_line_plan *plan;
    const wsk_line_math *math;
    const char *in;
    char *out;
    int64_t root, size, segments, block, blocks, kept;
} wsk_pieces;

static void run_piece(const wsk_pieces *w, int64_t i)
{
    const wsk_line_plan *p = w->plan;
    int64_t begin = i % w->segments * p->segment, line = i / w->segments;
    int64_t first = line % w->blocks * w->block;
    int64_t length = begin + p->segment <= p->length ? p->segment : p->length - begin;
    int64_t count = first + w->block <= p->inner ? w->block : p->inner - first;
    wsk_block b = { w->math, p->op, w->in + (line / w->blocks * p->length * p->inner + first) * w->size,
                    w->out + (line / w->blocks * w->kept * p->inner + first) * w->size, p->inner * w->size, count,
                    count * w->size };
    if (w->kind == ALLREDUCE)
        allreduce_segment(&b, p, begin, length, p->once ? i % w->segments : begin, p->once ? 1 : length);
    else if (w->kind == REDUCE)
        reduce_segment(&b, begin, length, w->root < length ? w->root : length - 1);
    else
        broadcast_segment(&b, begin, length, w->root < length ? w->root : length - 1);
}

static void run_share(wsk_team *team, int rank, void *context)
{
    const wsk_pieces *w = context;
    int64_t pieces = w->plan->outer * w->blocks * w->segments, end = wsk_team_share(team, rank + 1, pieces);
    for (int64_t i = wsk_team_share(team, rank, pieces); i < end; i++)
        run_piece(w, i);
}

static int run(enum kind kind, const wsk_line_plan *p, const void *in, void *out, int64_t root, int threads, int level)
{
    if (p->dtype < 0 || p->dtype >= WSK_LINE_DTYPES || p->op < 0 || p->op > 1 || p->segment < 1 || p->levels < 1
        || p->levels > WSK_LINE_LEVELS)
        return WSK_ERR_BAD_ARGUMENT;
    for (int level = 0; level < p->levels - 1; level++)
        if (p->groups[level] < 1)
            return WSK_ERR_BAD_ARGUMENT;
    int64_t segments = (p->length + p->segment - 1) / p->segment, block = block_elements(p, segments, threads);
    wsk_pieces w = { kind, p, &(level > 0 ? wsk_line_math_avx2 : wsk_line_math_base)[p->dtype], in, out, root,
                     p->dtype == WSK_LINE_FP32 ? 4 : 2, segments, block, (p->inner + block - 1) / block,
                     p->once ? segments : p->length };
    wsk_team_run(threads, run_share, &w);
    return WSK_OK;
}

int wsk_line_allreduce(const wsk_line_plan *plan, const void *in, void *out, int threads, int simd_level)
{
    return run(ALLREDUCE, plan, in, out, 0, threads, simd_level);
}

int wsk_line_reduce(const wsk_line_plan *plan, const void *in, void *out, int64_t root, int threads, int simd_level)
{
    return run(REDUCE, plan, in, out, root, threads, simd_level);
}

int wsk_line_broadcast(const wsk_line_plan *plan, const void *in, void *out, int64_t root, int threads)
{
    return run(BROADCAST, plan, in, out, root, threads, 0);
}
