/* A simulation of the C library: cores and fabric of a program, and how its last run ended. */
#ifndef WSEKERN_PE_SIMULATION_H
#define WSEKERN_PE_SIMULATION_H

#include "compiled.h"

struct wsk_simulation {
    const wsk_program *program;
    pe_grid grid;
    wsk_fabric *fabric;
    int status;                         /* of the last run: what wsk_simulation_report tells about */
};

/* look.c: as wsk_simulation_receive. */
int64_t pe_receive(pe_grid *g, int color, wsk_received *list, int64_t room);

#endif
