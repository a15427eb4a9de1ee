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

static void group_sum(const wsk_block *b, float *acc, int64_t begin, int64_t length, int64_t groups, int64_t j)
{
    both_chains(b, acc, begin + wsk_group_begin(j, length, groups), begin + wsk_group_begin(j + 1, length, groups),
                begin + wsk_group_root(j, length, groups));
}

/* acc = running sum over groups first, first + step, ... up to, not including, `end`; 0 if there is none. */
static int root_chain(const wsk_block *b, float *acc, int64_t begin, int64_t length, int64_t groups, int64_t first,
                      int64_t end, int64_t step)
{
    wsk_acc own;
    if (first == end)
        return 0;
    group_sum(b, acc, begin, length, groups, first);
    for (int64_t j = first + step; j != end; j += step) {
        group_sum(b, own, begin, length, groups, j);
        b->math->merge[b->op](own, acc, b->count);
        memcpy(acc, own, (size_t)b->count * sizeof *own);
    }
    return 1;
}

/* The result goes to `copies` PEs from `first` on. */
static void allreduce_segment(const wsk_block *b, int64_t begin, int64_t length, int64_t groups, int64_t first, int64_t copies)
{
    wsk_acc acc, side;
    int64_t centre = groups / 2;
    group_sum(b, acc, begin, length, groups, centre);
    if (root_chain(b, side, begin, length, groups, 0, centre, 1))
        b->math->merge[b->op](acc, side, b->count);
    if (root_chain(b, side, begin, length, groups, groups - 1, centre, -1))
        b->math->merge[b->op](acc, side, b->count);
    b->math->finish(side, acc, b->count);
    for (int64_t k = 0; k < copies; k++)
        memcpy(b->out + (first + k) * b->stride, side, (size_t)b->bytes);
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
        allreduce_segment(&b, begin, length, p->groups < length ? p->groups : length, p->once ? i % w->segments : begin,
                          p->once ? 1 : length);
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
    if (p->dtype < 0 || p->dtype >= WSK_LINE_DTYPES || p->op < 0 || p->op > 1 || p->segment < 1 || p->groups < 1)
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
