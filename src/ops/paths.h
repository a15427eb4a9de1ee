/* Values of schedules along paths of PEs: copies and adds between buffers of the PEs of one path, in a fixed order, the
 * same on every path of a grid. A plain list of moves: what it computes does not depend on threads or SIMD level. */
#ifndef WSEKERN_PATHS_H
#define WSEKERN_PATHS_H

#include <stdint.h>

enum { WSK_MOVE_COPY, WSK_MOVE_SUM, WSK_MOVE_MAX, WSK_MOVE_ROUND };

/* dst = a, a + b, larger of a and b, or a rounded to the tile's precision; offsets in elements of the path's arena. */
typedef struct {
    int64_t op, words, dst, a, b;
} wsk_move;

typedef struct {
    int dtype;
    int64_t lines, length;      /* paths, PEs of each */
    const int64_t *pe;          /* [lines][length]: which tile of the grid lies at each place of each path */
    int64_t moves;
    const wsk_move *move;       /* [moves], in order */
    int64_t arena, reserved;    /* elements of one path; those of each PE, which begin with its tile */
    int64_t in_words, out_words;
    const int64_t *result;      /* [length]: offset within the PE of what it ends with, or -1 for zeros */
} wsk_path_plan;

/* in: [tiles][in_words], out: [tiles][out_words]; tiles that lie on no path are left alone. */
int wsk_path_values(const wsk_path_plan *plan, const void *in, void *out, int threads, int simd_level);

#endif
