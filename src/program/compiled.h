/* A compiled layout, as it comes out of its bytes. */
#ifndef WSEKERN_COMPILED_H
#define WSEKERN_COMPILED_H

#include "pe_state.h"
#include "wsekern_program.h"

/* Names of one program; the texts of all are in wsk_program.text. */
typedef struct { int32_t type, elements, address; const char *name; } pe_symbol;
typedef struct { const char *name; int32_t number; } pe_named;
typedef struct { int32_t line; const char *task, *text; } pe_line;      /* where an instruction stands in the program's text */
typedef struct { int32_t address, bytes; const unsigned char *data; } pe_initial;
typedef struct {
    const char *name;
    int32_t symbols, functions, parameters, initials;
    pe_symbol *symbol;
    pe_named *function, *parameter;
    pe_initial *initial;
    pe_line *line;                      /* of each instruction */
} pe_names;

/* Tables that cores read, and how long they are: checked by pe_check before any core sees them. */
typedef struct {
    int32_t width, height, programs, codes, descriptors, routes, params;
    pe_latency latency;
    pe_program *program;
    pe_instruction *code;
    pe_descriptor *descriptor;
    wsk_route *route;
    int32_t *program_of;                /* [height][width] */
    int32_t *param;                     /* [height][width][params] */
} pe_tables;

struct wsk_program {
    pe_tables tables;
    pe_loaded *loaded;
    pe_names *names;                    /* [programs] */
    unsigned char *text;                /* a copy of the bytes, in which names and initial values lie */
    wsk_plan *plan;
};

/* compiled.c: names of a PE's program, NULL: it has none; an entry by its name, NULL: there is none. */
const pe_names *pe_names_of(const wsk_program *p, uint32_t pe);
const pe_named *pe_find_named(const pe_named *named, int32_t n, const char *name);

/* The bytes of a program: tables and names, as compiled.py lays them out, and a plan; as wsk_plan_save. */
int pe_seal(const uint8_t *tables, size_t n, const wsk_plan *plan, void *bytes, size_t room, size_t *needed);

/* check.c: whether cores can run these tables without ever leaving them; 0 or WSK_ERR_BAD_BYTES. */
int pe_check(const pe_tables *t);

#endif
