/* Programs from bytes. They begin with a magic word, a version, their length and a CRC-32 of all that follows; then counts, the
 * tables that cores read, names and first values by program, and the plan of the routes. wsekern/program/compiled.py writes them. */
#include "compiled.h"

#include "common/memory.h"
#include "common/wsekern_status.h"

enum { MAGIC = 0x504b5357, VERSION = 1, HEADER = 24, MOST_PROGRAMS = 1 << 20, MOST_ROWS = 1 << 24, MOST_PES = 1 << 28 };
enum { ROUTE_BYTES = 6 + 2 * WSK_POSITIONS };

/* The bytes of a program in a reader that stands behind their header: 0 or WSK_ERR_BAD_BYTES. */
static int open_header(wsk_reader *r, const void *bytes, size_t n)
{
    *r = (wsk_reader){ .from = bytes, .n = n };
    int known = wsk_get_u32(r) == MAGIC && wsk_get_u32(r) == VERSION && wsk_get_u64(r) == n;
    uint32_t sum = wsk_get_u32(r), rest = wsk_get_u32(r);
    return known && !r->bad && rest == 0 && sum == wsk_crc(0, r->from + HEADER, n - HEADER) ? WSK_OK : WSK_ERR_BAD_BYTES;
}

/* A table of n records of `words` int32 each; NULL: there are not so many bytes, or (not `bad`) no memory. */
static void *table_of(wsk_reader *r, int64_t n, size_t words)
{
    if ((uint64_t)n * words > (r->n - r->at) / 4)
        r->bad = 1;
    if (r->bad)
        return NULL;
    int32_t *table = wsk_alloc_zero((size_t)n * words + 1, sizeof *table);
    for (size_t i = 0; table && i < (size_t)n * words; i++)
        table[i] = (int32_t)wsk_get_u32(r);
    return table;
}

static wsk_route *routes_of(wsk_reader *r, int32_t n)
{
    if ((uint64_t)n * ROUTE_BYTES > r->n - r->at)
        r->bad = 1;
    if (r->bad)
        return NULL;
    wsk_route *routes = wsk_alloc_zero((size_t)n + 1, sizeof *routes);
    for (int32_t i = 0; routes && i < n; i++) {
        const unsigned char *from = wsk_get_bytes(r, ROUTE_BYTES);
        routes[i] = (wsk_route){ .positions = from[0], .initial = from[1], .ring = from[2], .pop = from[3], .swap = from[4],
                                 .teardown = from[5] };
        memcpy(routes[i].in, from + 6, WSK_POSITIONS);
        memcpy(routes[i].out, from + 6 + WSK_POSITIONS, WSK_POSITIONS);
    }
    return routes;
}

static void read_latency(wsk_reader *r, pe_latency *latency)
{
    int32_t *words = (int32_t *)latency;
    for (size_t i = 0; i < sizeof *latency / 4; i++)
        words[i] = (int32_t)wsk_get_u32(r);
}

/* 0, WSK_ERR_BAD_BYTES or WSK_ERR_NO_MEMORY. */
static int read_tables(wsk_reader *r, pe_tables *t)
{
    static const uint32_t sizes[] = { sizeof(pe_program) / 4, sizeof(pe_instruction) / 4, sizeof(pe_descriptor) / 4,
                                      sizeof(pe_latency) / 4 };
    int32_t *counts[] = { &t->width, &t->height, &t->programs, &t->codes, &t->descriptors, &t->routes, &t->params };
    static const int32_t least[] = { 1, 1, 0, 0, 0, 0, 0 };
    static const int32_t most[] = { 4096, 65536, MOST_PROGRAMS, MOST_ROWS, MOST_ROWS, MOST_ROWS, MOST_ROWS };
    for (int i = 0; i < 7; i++)
        *counts[i] = (int32_t)wsk_get_within(r, 4, least[i], most[i]);
    for (int i = 0; i < 4; i++)
        r->bad |= wsk_get_u32(r) != sizes[i];
    read_latency(r, &t->latency);
    int64_t pes = (int64_t)t->width * t->height;
    t->program = table_of(r, t->programs, sizes[0]);
    t->code = table_of(r, t->codes, sizes[1]);
    t->descriptor = table_of(r, t->descriptors, sizes[2]);
    t->route = routes_of(r, t->routes);
    t->program_of = table_of(r, pes, 1);
    t->param = table_of(r, pes, (size_t)t->params);
    if (r->bad)
        return WSK_ERR_BAD_BYTES;
    if (!t->program || !t->code || !t->descriptor || !t->route || !t->program_of || !t->param)
        return WSK_ERR_NO_MEMORY;
    return pe_check(t);
}

/* A text with the 0 that ends it, where it lies. */
static const char *text_of(wsk_reader *r)
{
    uint32_t n = wsk_get_u32(r);
    const unsigned char *text = wsk_get_bytes(r, n);
    if (!text || n == 0 || memchr(text, 0, n) != text + n - 1) {
        r->bad = 1;
        return "";
    }
    return (const char *)text;
}

/* Room for n entries, each of which takes at least 4 bytes of what is left; NULL as table_of. */
static void *entries_of(wsk_reader *r, int32_t *n, size_t size)
{
    *n = (int32_t)wsk_get_within(r, 4, 0, MOST_ROWS);
    if ((size_t)*n > (r->n - r->at) / 4)
        r->bad = 1;
    return r->bad ? NULL : wsk_alloc_zero((size_t)*n + 1, size);
}

static void read_symbols(wsk_reader *r, pe_names *names, const pe_program *program)
{
    names->symbol = entries_of(r, &names->symbols, sizeof *names->symbol);
    for (int32_t i = 0; names->symbol && i < names->symbols; i++) {
        pe_symbol *s = names->symbol + i;
        s->name = text_of(r);
        s->type = (int32_t)wsk_get_within(r, 4, PE_FP32, PE_I16);
        s->elements = (int32_t)wsk_get_within(r, 4, 0, program->memory);
        s->address = (int32_t)wsk_get_within(r, 4, 0, program->memory);
        r->bad |= s->address + (int64_t)s->elements * pe_type_bytes(s->type) > program->memory;
    }
}

static void read_named(wsk_reader *r, pe_named **named, int32_t *n, int32_t most)
{
    *named = entries_of(r, n, sizeof **named);
    for (int32_t i = 0; *named && i < *n; i++) {
        (*named)[i].name = text_of(r);
        (*named)[i].number = (int32_t)wsk_get_within(r, 4, 0, most);
    }
}

static void read_initials(wsk_reader *r, pe_names *names, const pe_program *program)
{
    names->initial = entries_of(r, &names->initials, sizeof *names->initial);
    for (int32_t i = 0; names->initial && i < names->initials; i++) {
        pe_initial *t = names->initial + i;
        t->address = (int32_t)wsk_get_within(r, 4, 0, program->memory);
        t->bytes = (int32_t)wsk_get_within(r, 4, 0, program->memory - t->address);
        t->data = wsk_get_bytes(r, (size_t)t->bytes);
    }
}

static int read_names(wsk_reader *r, pe_names *names, const pe_tables *t, const pe_program *program)
{
    names->name = text_of(r);
    read_symbols(r, names, program);
    read_named(r, &names->function, &names->functions, PE_TASKS - 1);
    read_named(r, &names->parameter, &names->parameters, t->params - 1);
    read_initials(r, names, program);
    if (!r->bad && (size_t)program->count <= (r->n - r->at) / 4)
        names->line = wsk_alloc_zero((size_t)program->count + 1, sizeof *names->line);
    for (int32_t i = 0; names->line && i < program->count; i++) {
        names->line[i].line = (int32_t)wsk_get_within(r, 4, 0, INT32_MAX);
        names->line[i].task = text_of(r);
        names->line[i].text = text_of(r);
    }
    if (r->bad)
        return WSK_ERR_BAD_BYTES;
    return names->symbol && names->function && names->parameter && names->initial && names->line ? WSK_OK
                                                                                                 : WSK_ERR_NO_MEMORY;
}

/* The plan, and that it is of this grid. */
static int read_plan(wsk_reader *r, wsk_program *p)
{
    size_t n = (size_t)wsk_get_u64(r);
    const unsigned char *bytes = wsk_get_bytes(r, n);
    if (!bytes || r->at != r->n)
        return WSK_ERR_BAD_BYTES;
    int status = wsk_plan_open(&p->plan, bytes, n);
    if (status < 0)
        return status;
    const wsk_rules *rules = wsk_plan_rules(p->plan);
    return rules->width == p->tables.width && rules->height == p->tables.height ? WSK_OK : WSK_ERR_BAD_BYTES;
}

static int read_all(wsk_program *p, const void *bytes, size_t n)
{
    wsk_reader r;
    p->text = wsk_alloc(n);
    if (!p->text)
        return WSK_ERR_NO_MEMORY;
    memcpy(p->text, bytes, n);
    int status = open_header(&r, p->text, n);
    if (!status)
        status = read_tables(&r, &p->tables);
    if (status)
        return status;
    p->names = wsk_alloc_zero((size_t)p->tables.programs + 1, sizeof *p->names);
    p->loaded = pe_make_programs(p->tables.program, p->tables.programs);
    if (!p->names || !p->loaded)
        return WSK_ERR_NO_MEMORY;
    for (int32_t i = 0; !status && i < p->tables.programs; i++)
        status = read_names(&r, p->names + i, &p->tables, p->tables.program + i);
    return status ? status : read_plan(&r, p);
}

int wsk_program_open(wsk_program **program, const void *bytes, size_t n)
{
    if (!program)
        return WSK_ERR_BAD_ARGUMENT;
    *program = NULL;
    if (!bytes)
        return WSK_ERR_BAD_ARGUMENT;
    if (n < HEADER)
        return WSK_ERR_BAD_BYTES;
    wsk_program *p = wsk_alloc_zero(1, sizeof *p);
    int status = p ? read_all(p, bytes, n) : WSK_ERR_NO_MEMORY;
    if (status)
        wsk_program_free(p);
    else
        *program = p;
    return status;
}

void wsk_program_free(wsk_program *p)
{
    if (!p)
        return;
    for (int32_t i = 0; p->names && i < p->tables.programs; i++) {
        wsk_free(p->names[i].symbol);
        wsk_free(p->names[i].function);
        wsk_free(p->names[i].parameter);
        wsk_free(p->names[i].initial);
        wsk_free(p->names[i].line);
    }
    wsk_free(p->names);
    wsk_free(p->loaded);
    wsk_free(p->tables.program);
    wsk_free(p->tables.code);
    wsk_free(p->tables.descriptor);
    wsk_free(p->tables.route);
    wsk_free(p->tables.program_of);
    wsk_free(p->tables.param);
    wsk_free(p->text);
    wsk_plan_free(p->plan);
    wsk_free(p);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------------- */

int wsk_program_width(const wsk_program *p) { return p ? p->tables.width : WSK_ERR_BAD_ARGUMENT; }

int wsk_program_height(const wsk_program *p) { return p ? p->tables.height : WSK_ERR_BAD_ARGUMENT; }

const wsk_plan *wsk_program_plan(const wsk_program *p) { return p ? p->plan : NULL; }

const pe_names *pe_names_of(const wsk_program *p, uint32_t pe)
{
    if (!p || pe >= (uint64_t)p->tables.width * (uint64_t)p->tables.height || p->tables.program_of[pe] < 0)
        return NULL;
    return p->names + p->tables.program_of[pe];
}

const pe_named *pe_find_named(const pe_named *named, int32_t n, const char *name)
{
    for (int32_t i = 0; name && i < n; i++)
        if (!strcmp(named[i].name, name))
            return named + i;
    return NULL;
}

const char *wsk_program_name(const wsk_program *p, uint32_t pe)
{
    const pe_names *names = pe_names_of(p, pe);
    return names ? names->name : NULL;
}

int wsk_program_array(const wsk_program *p, uint32_t pe, int i, wsk_array *array)
{
    const pe_names *names = pe_names_of(p, pe);
    if (!names || !array || i < 0 || i >= names->symbols)
        return WSK_ERR_BAD_ARGUMENT;
    const pe_symbol *s = names->symbol + i;
    *array = (wsk_array){ .name = s->name, .type = s->type, .elements = s->elements, .address = s->address,
                          .bytes = s->elements * pe_type_bytes(s->type) };
    return WSK_OK;
}

int wsk_program_find(const wsk_program *p, uint32_t pe, const char *name, wsk_array *array)
{
    const pe_names *names = pe_names_of(p, pe);
    for (int32_t i = 0; names && name && i < names->symbols; i++)
        if (!strcmp(names->symbol[i].name, name))
            return wsk_program_array(p, pe, i, array);
    return WSK_ERR_BAD_ARGUMENT;
}
