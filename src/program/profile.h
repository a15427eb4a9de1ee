/* Counting where cycles go, by instruction: what threads say of themselves while somebody counts (pe_grid.span). */
#ifndef WSEKERN_PE_PROFILE_H
#define WSEKERN_PE_PROFILE_H

#include "pe_state.h"

/* Begin to count, from 0, at the coming cycle. WSK_ERR_NO_MEMORY. */
int pe_profile(pe_grid *g);
/* What was counted until the coming cycle, a record for each instruction of all programs. */
void pe_read_profile(const pe_grid *g, pe_spent *out);

/* From `cycle` on, a thread is at an instruction (in the whole code; PE_NONE: at none), at work or waiting. */
static inline void pe_turn(pe_grid *g, const pe_core *pe, int64_t thread, int32_t at, int what, int64_t cycle)
{
    if (!g->span)
        return;
    pe_span *span = g->span + thread;
    if (span->at != PE_NONE)
        pe_strip_of(g, pe)->spent[span->at].cycles[span->what] += cycle - span->since;
    *span = (pe_span){ cycle, at, what };
}

/* An instruction begins. */
static inline void pe_count(pe_grid *g, pe_core *pe, const pe_instruction *i)
{
    pe->instructions++;
    if (g->span)
        pe_strip_of(g, pe)->spent[i - g->code].cycles[PE_SPENT_BEGUN]++;
}

#endif
