/* Where the cycles go, by instruction: how often each began, and thread-cycles at work and waiting. Switched on by the host;
 * until then no thread looks. */
#include "common/memory.h"
#include "common/wsekern_status.h"
#include "profile.h"
#include <string.h>

/* What a thread is at now. A thread that is awake again and will go on later counts as at work. */
static void sync_thread(pe_grid *g, const pe_core *pe, int k)
{
    const pe_loaded *program = g->program + pe->program;
    int32_t at = 0;
    int state = pe_doing_of(g, pe, k, &at);
    if (state == PE_NONE)
        return;
    int waits = state >= PE_WAIT_INPUT && state <= PE_WAIT_THREAD;
    g->span[pe->threads + program->thread_slot[k]] = (pe_span){
        .since = g->cycle, .at = state == PE_IDLE ? PE_NONE : program->code.first + at,
        .what = waits ? PE_SPENT_WAITING + state - PE_WAIT_INPUT : PE_SPENT_WORKING };
}

int pe_profile(pe_grid *g)
{
    int64_t threads = 0;
    for (int32_t p = 0; p < g->pes; p++)
        threads += g->program[g->pe[p].program].thread_count;
    if (!g->span)
        g->span = wsk_alloc_zero((size_t)threads + 1, sizeof *g->span);
    for (int i = 0; g->span && i < g->strips; i++) {
        if (!g->strip[i].spent)
            g->strip[i].spent = wsk_alloc_zero((size_t)g->codes + 1, sizeof *g->strip[i].spent);
        if (!g->strip[i].spent) {
            wsk_free(g->span);
            g->span = NULL;
            break;
        }
        memset(g->strip[i].spent, 0, (size_t)g->codes * sizeof *g->strip[i].spent);
    }
    for (int32_t p = 0; g->span && p < g->pes; p++)
        for (int k = 0; k < PE_THREADS; k++)
            sync_thread(g, g->pe + p, k);
    return g->span ? WSK_OK : WSK_ERR_NO_MEMORY;
}

void pe_read_profile(const pe_grid *g, pe_spent *out)
{
    memset(out, 0, (size_t)g->codes * sizeof *out);
    for (int i = 0; i < g->strips; i++)
        for (int32_t code = 0; code < g->codes; code++)
            for (int what = 0; what < PE_SPENT; what++)
                out[code].cycles[what] += g->strip[i].spent[code].cycles[what];
    for (int32_t p = 0; p < g->pes; p++)
        for (int k = 0; k < g->program[g->pe[p].program].thread_count; k++) {
            const pe_span *span = g->span + g->pe[p].threads + k;
            if (span->at != PE_NONE && span->since < g->cycle)
                out[span->at].cycles[span->what] += g->cycle - span->since;
        }
}
