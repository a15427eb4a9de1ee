/* Values of reductions and broadcasts along lines of PEs, for all lines of a grid at once.
 *
 * A grid of tiles is seen as [outer][length][inner]: lines of `length` PEs, `inner` consecutive elements of which share a
 * position (all elements of a PE row when the lines run along y, the elements of one PE when they run along x).
 * Every order of adds is fixed by the line alone, so no result depends on threads, blocks or SIMD level. */
#ifndef WSEKERN_LINES_H
#define WSEKERN_LINES_H

#include <stdint.h>

enum { WSK_LINE_FP32, WSK_LINE_FP16, WSK_LINE_FP16_FP32, WSK_LINE_BF16, WSK_LINE_DTYPES };
enum { WSK_LINE_SUM, WSK_LINE_MAX };
enum { WSK_LINE_LEVELS = 4 };     /* of chains in an all-reduce, at most */
enum { WSK_LINE_ELEMENTS = 2048, WSK_LINE_LEAST = 512 };  /* elements of a block, at most and (but the last) at least */

typedef struct {
    int dtype, op;
    int64_t outer, length, inner;
    int64_t segment;    /* PEs of one independent line; the last may be shorter */
    int levels;         /* of chains in an all-reduce; 1 is a plain pair of chains to the middle */
    int64_t groups[WSK_LINE_LEVELS];    /* groups of each level but the last, which has one */
    int once;           /* of an all-reduce: out has one tile for each independent line, not one for each PE */
} wsk_line_plan;

/* How one precision is held while it travels. acc: WSK_LINE_ELEMENTS elements of 4 bytes at most. */
typedef struct {
    void (*start)(void *acc, const void *own, int64_t n);              /* acc = own */
    void (*combine[2])(void *acc, const void *own, int64_t n);         /* acc = own + acc, or the larger */
    void (*merge[2])(void *acc, const void *other, int64_t n);         /* acc = acc + other, both travelling */
    void (*finish)(void *out, const void *acc, int64_t n);             /* out = acc, rounded to the tile's precision */
} wsk_line_math;

extern const wsk_line_math wsk_line_math_base[WSK_LINE_DTYPES];
extern const wsk_line_math wsk_line_math_avx2[WSK_LINE_DTYPES];

/* out = all-reduce of in; in and out do not overlap. */
int wsk_line_allreduce(const wsk_line_plan *plan, const void *in, void *out, int threads, int simd_level);

/* out = in, except that PE `root` of every segment holds the sum of chains from both ends. */
int wsk_line_reduce(const wsk_line_plan *plan, const void *in, void *out, int64_t root, int threads, int simd_level);

/* out = the tile of PE `root` of every segment. */
int wsk_line_broadcast(const wsk_line_plan *plan, const void *in, void *out, int64_t root, int threads);

/* First PE and middle PE of group j of a line of `length` PEs in `groups` groups. */
static inline int64_t wsk_group_begin(int64_t j, int64_t length, int64_t groups) { return j * length / groups; }
static inline int64_t wsk_group_root(int64_t j, int64_t length, int64_t groups)
{
    int64_t begin = wsk_group_begin(j, length, groups);
    return begin + (wsk_group_begin(j + 1, length, groups) - begin) / 2;
}

#endif
