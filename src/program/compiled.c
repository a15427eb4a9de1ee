/* Programs from bytes: counts, the tables that cores read, names and first values by program, and the plan of the routes, as
 * wsekern/program/compiled.py writes them. */
#include "compiled.h"

#include <string.h>

#include "common/memory.h"
#include "fabric/bytes.h"

enum { MOST_PROGRAMS = 1 << 20, MOST_ROWS = 1 << 24 };

/* What is read, and whether there was memory for it; if not, it counts as bad, so that nothing more is read. */
typedef struct { wsk_bytes b; int no_memory; } reader;

static int status_of(const reader *r) { return r->no_memory ? WSK_ERR_NO_MEMORY : r->b.bad ? WSK_ERR_BAD_BYTES : WSK_OK; }

static u32 number_of(reader *r)
{
    u32 number = 0;
    WSK_MOVE(&r->b, number);
    return number;
}

static int32_t number_within(reader *r, int32_t low, int32_t high)
{
    int32_t number = (int32_t)number_of(r);
    return wsk_bytes_need(&r->b, number >= low && number <= high) ? number : low;
}

/* The next n bytes where they lie, NULL: there are not so many. */
static const u8 *bytes_of(reader *r, size_t n)
{
    if (!wsk_bytes_need(&r->b, n <= r->b.n - r->b.at))
        return NULL;
    r->b.at += n;
    return r->b.from + r->b.at - n;
}

/* Memory, all zero; without it nothing more is read. */
static void *memory_for(reader *r, int64_t n, size_t size)
{
    void *memory = wsk_alloc_zero((size_t)n + 1, size);
    r->no_memory |= !memory;
    r->b.bad |= !memory;
    return memory;
}

/* Room for n things that take at least `bytes` bytes each of what is left; NULL: there are not so many, or no memory. */
static void *room_for(reader *r, int64_t n, size_t bytes, size_t size)
{
    if (!wsk_bytes_need(&r->b, (u64)n <= (r->b.n - r->b.at) / bytes))
        return NULL;
    return memory_for(r, n, size);
}

/* A table of n records of `words` int32 each; NULL as room_for. */
static void *table_of(reader *r, int64_t n, size_t words)
{
    int32_t *table = words ? room_for(r, n, 4 * words, 4 * words) : memory_for(r, 0, 4);
    for (size_t i = 0; table && i < (size_t)n * words; i++)
        table[i] = (int32_t)number_of(r);
    return table;
}

static wsk_route *routes_of(reader *r, int32_t n)
{
    wsk_route *routes = room_for(r, n, 6 + 2 * WSK_POSITIONS, sizeof *routes);
    for (int32_t i = 0; routes && i < n; i++)
        wsk_move_route(&r->b, routes + i);
    return routes;
}

/* 0, WSK_ERR_BAD_BYTES or WSK_ERR_NO_MEMORY. */
static int read_tables(reader *r, pe_tables *t)
{
    static const u32 sizes[] = { sizeof(pe_program) / 4, sizeof(pe_instruction) / 4, sizeof(pe_descriptor) / 4,
                                 sizeof(pe_latency) / 4 };
    int32_t *latency = (int32_t *)&t->latency;
    t->width = number_within(r, 1, 4096);
    t->height = number_within(r, 1, 65536);
    t->programs = number_within(r, 0, MOST_PROGRAMS);
    t->codes = number_within(r, 0, MOST_ROWS);
    t->descriptors = number_within(r, 0, MOST_ROWS);
    t->routes = number_within(r, 0, MOST_ROWS);
    t->params = number_within(r, 0, MOST_ROWS);
    for (int i = 0; i < 4; i++)
        wsk_bytes_need(&r->b, number_of(r) == sizes[i]);
    for (u32 i = 0; i < sizes[3]; i++)
        latency[i] = (int32_t)number_of(r);
    int64_t pes = (int64_t)t->width * t->height;
    t->program = table_of(r, t->programs, sizes[0]);
    t->code = table_of(r, t->codes, sizes[1]);
    t->descriptor = table_of(r, t->descriptors, sizes[2]);
    t->route = routes_of(r, t->routes);
    t->program_of = table_of(r, pes, 1);
    t->param = table_of(r, pes, (size_t)t->params);
    int status = status_of(r);
    return status < 0 ? status : pe_check(t);
}

/* A text with the 0 that ends it, where it lies. */
static const char *text_of(reader *r)
{
    u32 n = number_of(r);
    const u8 *text = bytes_of(r, n);
    if (!wsk_bytes_need(&r->b, text && n && memchr(text, 0, n) == text + n - 1))
        return "";
    return (const char *)text;
}

/* Room for as many entries as are counted next. */
static void *entries_of(reader *r, int32_t *n, size_t size)
{
    *n = number_within(r, 0, MOST_ROWS);
    return room_for(r, *n, 4, size);
}

static void read_symbols(reader *r, pe_names *names, const pe_program *program)
{
    names->symbol = entries_of(r, &names->symbols, sizeof *names->symbol);
    for (int32_t i = 0; names->symbol && i < names->symbols; i++) {
        pe_symbol *s = names->symbol + i;
        s->name = text_of(r);
        s->type = number_within(r, PE_FP32, PE_I16);
        s->elements = number_within(r, 0, program->memory);
        s->address = number_within(r, 0, program->memory);
        wsk_bytes_need(&r->b, s->address + (int64_t)s->elements * pe_type_bytes(s->type) <= program->memory);
    }
}

static void read_named(reader *r, pe_named **named, int32_t *n, int32_t most)
{
    *named = entries_of(r, n, sizeof **named);
    for (int32_t i = 0; *named && i < *n; i++) {
        (*named)[i].name = text_of(r);
        (*named)[i].number = number_within(r, 0, most);
    }
}

static void read_initials(reader *r, pe_names *names, const pe_program *program)
{
    names->initial = entries_of(r, &names->initials, sizeof *names->initial);
    for (int32_t i = 0; names->initial && i < names->initials; i++) {
        pe_initial *t = names->initial + i;
        t->address = number_within(r, 0, program->memory);
        t->bytes = number_within(r, 0, program->memory - t->address);
        t->data = bytes_of(r, (size_t)t->bytes);
    }
}

static int read_names(reader *r, pe_names *names, const pe_tables *t, const pe_program *program)
{
    names->name = text_of(r);
    read_symbols(r, names, program);
    read_named(r, &names->function, &names->functions, PE_TASKS - 1);
    read_named(r, &names->parameter, &names->parameters, t->params - 1);
    read_initials(r, names, program);
    names->line = room_for(r, program->count, 4, sizeof *names->line);
    for (int32_t i = 0; names->line && i < program->count; i++) {
        names->line[i].line = number_within(r, 0, INT32_MAX);
        names->line[i].task = text_of(r);
        names->line[i].text = text_of(r);
    }
    return status_of(r);
}

/* The plan, and that it is of this grid. */
static int read_plan(reader *r, wsk_program *p)
{
    u32 n = number_of(r);
    const u8 *bytes = bytes_of(r, n);
    if (!bytes)
        return WSK_ERR_BAD_BYTES;
    int status = wsk_plan_open(&p->plan, bytes, n);
    if (status < 0)
        return status;
    const wsk_rules *rules = wsk_plan_rules(p->plan);
    wsk_bytes_need(&r->b, rules->width == p->tables.width && rules->height == p->tables.height);
    return wsk_bytes_end(&r->b, NULL);
}

static int read_all(wsk_program *p, const void *bytes, size_t n)
{
    p->text = wsk_alloc(n);
    if (!p->text)
        return WSK_ERR_NO_MEMORY;
    memcpy(p->text, bytes, n);
    reader r = { .b = { .from = p->text, .n = n } };
    wsk_bytes_begin(&r.b, WSK_BYTES_PROGRAM);
    int status = read_tables(&r, &p->tables);
    if (status < 0)
        return status;
    p->names = wsk_alloc_zero((size_t)p->tables.programs + 1, sizeof *p->names);
    p->loaded = pe_make_programs(p->tables.program, p->tables.programs);
    if (!p->names || !p->loaded)
        return WSK_ERR_NO_MEMORY;
    for (int32_t i = 0; !status && i < p->tables.programs; i++)
        status = read_names(&r, p->names + i, &p->tables, p->tables.program + i);
    return status < 0 ? status : read_plan(&r, p);
}

int wsk_program_open(wsk_program **program, const void *bytes, size_t n)
{
    if (program)
        *program = NULL;
    if (!program || !bytes)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_program *p = wsk_alloc_zero(1, sizeof *p);
    int status = p ? read_all(p, bytes, n) : WSK_ERR_NO_MEMORY;
    if (status < 0)
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

int pe_seal(const uint8_t *tables, size_t n, const wsk_plan *plan, void *bytes, size_t room, size_t *needed)
{
    wsk_bytes b = { .to = bytes, .n = room };
    size_t of_plan;
    int status = wsk_plan_save(plan, NULL, 0, &of_plan);
    if (status < 0)
        return status;
    wsk_bytes_begin(&b, WSK_BYTES_PROGRAM);
    for (size_t i = 0; i < n; i++) {
        u8 byte = tables[i];
        WSK_MOVE(&b, byte);
    }
    u32 plan_bytes = (u32)of_plan;
    WSK_MOVE(&b, plan_bytes);
    if (b.to && of_plan <= b.n && b.at <= b.n - of_plan)
        status = wsk_plan_save(plan, b.to + b.at, of_plan, &of_plan);
    b.at += of_plan;
    return status < 0 ? status : wsk_bytes_end(&b, needed);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------------- */

int wsk_program_width(const wsk_program *p) { return p ? p->tables.width : WSK_ERR_BAD_ARGUMENT; }

int wsk_program_height(const wsk_program *p) { return p ? p->tables.height : WSK_ERR_BAD_ARGUMENT; }

const wsk_plan *wsk_program_plan(const wsk_program *p) { return p ? p->plan : NULL; }

const pe_names *pe_names_of(const wsk_program *p, uint32_t pe)
{
    if (!p || pe >= (u64)p->tables.width * (u64)p->tables.height || p->tables.program_of[pe] < 0)
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
