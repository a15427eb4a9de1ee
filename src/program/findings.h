/* What a program does that the hardware allows and that is hardly meant: noted while it runs, told afterwards. */
#ifndef WSEKERN_PE_FINDINGS_H
#define WSEKERN_PE_FINDINGS_H

#include "pe_state.h"

/* The first of a kind, by cycle and then by PE, and how many there were. */
static inline void pe_add(pe_found *found, const pe_core *pe, int64_t cycle, int color, int32_t pc, int64_t number)
{
    if (!found->count || cycle < found->cycle || (cycle == found->cycle && pe->at < found->at))
        *found = (pe_found){ .cycle = cycle, .count = found->count, .number = number, .at = pe->at, .color = color, .pc = pc };
    found->count++;
}

static inline void pe_note(pe_grid *g, const pe_core *pe, int rule, int64_t cycle, int color, int32_t pc, int64_t number)
{
    pe_add(pe_strip_of(g, pe)->found + rule, pe, cycle, color, pc, number);
}

/* A word is sent or taken (end) otherwise than by an instruction whose elements are counted. */
static inline void pe_note_other(pe_core *pe, int end, int color)
{
    if (color >= 0)
        pe->others[end] |= (uint32_t)1 << color;
}

/* Of all strips, the first of a kind and how many there were; 0: there was none. UNREAD is looked for: words that lie in input
 * queues, or stand in routers, at this cycle. */
int pe_find(const pe_grid *g, wsk_fabric *fabric, int rule, pe_found *found);
/* From now on note reads of bytes of memory that nothing has written since. 0: no memory for that. */
int pe_watch(pe_grid *g);
/* The same of memory that comes from elsewhere: all of it counts as written. */
int pe_watch_written(pe_grid *g);
/* Bytes from a place of a PE's memory on are written. */
void pe_mark(pe_grid *g, const unsigned char *at, int64_t n);

#endif
