/* Where the parts of a core are, and what it does: for the host, and for those who make and step cores. */
#include "fabric/fabric_internal.h"
#include "pe_state.h"

pe_strip *pe_strip_of(const pe_grid *g, const pe_core *pe) { return g->strip + pe->at / g->width / STRIP_ROWS; }

pe_core *pe_core_at(const pe_grid *g, int64_t p)
{
    return p < 0 || p >= g->fabric_pes || g->slot_of[p] < 0 ? NULL : g->pe + g->slot_of[p];
}

unsigned char *pe_bytes_at(const pe_grid *g, int64_t p, int64_t address, int64_t n)
{
    const pe_core *pe = pe_core_at(g, p);
    if (!pe || address < 0 || n < 0 || address > g->program[pe->program].code.memory - n)
        return NULL;
    return g->memory + pe->memory + address;
}

int pe_doing_of(const pe_grid *g, const pe_core *pe, int k, int32_t *at)
{
    const pe_loaded *program = g->program + pe->program;
    if (program->thread_slot[k] < 0)
        return PE_NONE;
    const pe_thread *th = g->thread + pe->threads + program->thread_slot[k];
    *at = th->pc - program->code.first;
    if ((th->state != PE_READY && th->state != PE_BULK) || th->resume <= g->cycle)
        return th->state == PE_BULK ? PE_READY : th->state;
    if (k == PE_MAIN && th->word == PE_NONE) {      /* its counter is at the next instruction already */
        if (th->issued == PE_NONE)
            return PE_STARTING;
        *at = th->issued - program->code.first;
    }
    return PE_BULK;
}
