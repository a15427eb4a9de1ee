/* All that cores and their fabric hold, as bytes, and back. */
#ifndef WSEKERN_PE_SAVE_H
#define WSEKERN_PE_SAVE_H

#include <stddef.h>

#include "pe_state.h"

/* *needed says how many bytes there are; with bytes NULL nothing else is done. Status codes, as wsk_simulation_save says. */
int pe_save(pe_grid *g, wsk_fabric *fabric, void *bytes, size_t room, size_t *needed);
/* On any error cores and fabric are as they were. */
int pe_load(pe_grid *g, wsk_fabric *fabric, const void *bytes, size_t n);

#endif
