/* Programs that come as bytes: whether every index, address and branch in them stays where it belongs, whatever they compute.
 * What depends on values (addresses of descriptors, switches) is checked when it happens. */
#include "common/wsekern_status.h"
#include "compiled.h"

enum { MOST_REGISTERS = 1 << 16, MOST_MEMORY = 1 << 26, MOST_RATE = 1 << 16, MOST_CYCLES = 1 << 24,
       MOST_DEPTH = 255, MOST_LATENCY = PE_WHEEL - 2 };

/* One program, and what its instructions may use. */
typedef struct {
    const pe_tables *tables;
    const pe_program *program;
    const pe_descriptor *descriptor;
    int32_t descriptors, routes;
    int32_t registers;                  /* without those of calls */
} scope;

static int within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

/* A register, or none where that is allowed. */
static int is_register(const scope *s, int32_t number, int optional) { return within(number, -optional, s->registers - 1); }

static int is_target(const scope *s, int32_t at) { return within(at, 0, s->program->count - 1); }

static int is_task(int32_t task) { return within(task, PE_NONE, PE_TASKS - 1); }

static int is_held(int32_t task) { return within(task, PE_NONE, PE_TASKS + PE_QUEUES - 1); }

static int is_queue(const int32_t *colors, int32_t queue) { return within(queue, 0, PE_QUEUES - 1) && colors[queue] >= 0; }

static int check_latency(const pe_latency *l)
{
    int ok = within(l->input, 0, MOST_LATENCY) && within(l->output, 0, MOST_LATENCY) && within(l->task, 0, MOST_LATENCY)
        && within(l->data_task, 0, MOST_LATENCY) && within(l->launch, 0, MOST_LATENCY);
    for (int i = 0; i < 8; i++)
        ok &= within(l->stride_width[i], 0, MOST_CYCLES);
    return ok;
}

static int check_queues(const pe_program *p)
{
    uint32_t seen = 0;
    for (int q = 0; q < PE_QUEUES; q++) {
        if (!within(p->in_color[q], PE_NONE, PE_COLORS - 1) || !within(p->out_color[q], PE_NONE, PE_COLORS - 1))
            return 0;
        if (p->in_color[q] >= 0 && (!within(p->in_depth[q], 1, MOST_DEPTH) || seen >> p->in_color[q] & 1))
            return 0;
        if (p->out_color[q] >= 0 && !within(p->out_depth[q], 1, MOST_DEPTH))
            return 0;
        seen |= p->in_color[q] >= 0 ? (uint32_t)1 << p->in_color[q] : 0;
    }
    return 1;
}

/* Where the registers of the router lie: behind the memory, at even addresses. */
static int check_registers(const pe_program *p)
{
    const int32_t first[2] = { p->color_registers, p->switch_registers };
    for (int k = 0; k < 2; k++)
        if (first[k] != PE_NONE && (!within(first[k], p->memory, MOST_MEMORY) || first[k] & 1))
            return 0;
    return 1;
}

static int check_entries(const scope *s)
{
    const pe_program *p = s->program;
    int ok = 1;
    for (int k = 0; k < PE_TASKS; k++)
        ok &= p->local_entry[k] == PE_NONE || is_target(s, p->local_entry[k]);
    for (int k = 0; k < PE_QUEUES; k++)
        ok &= p->data_entry[k] == PE_NONE || is_target(s, p->data_entry[k]);
    for (int k = 0; k < PE_CONTROL_TASKS; k++)
        ok &= p->control_entry[k] == PE_NONE || is_target(s, p->control_entry[k]);
    return ok;
}

static int check_descriptor(const scope *s, const pe_descriptor *d)
{
    const pe_program *p = s->program;
    if (!within(d->kind, PE_ABSENT, PE_FABOUT) || !within(d->type, PE_FP32, PE_I16) || !within(d->own, PE_NONE, p->own - 1)
        || (d->advance && d->kind != PE_MEM))
        return 0;
    int64_t end = d->base + (int64_t)d->wrap * pe_type_bytes(d->type);
    switch (d->kind) {
    case PE_RING: return within(d->wrap, 1, MOST_MEMORY);
    case PE_FIFO:
        return within(d->wrap, 1, MOST_MEMORY) && d->base >= 0 && end <= p->memory && within(d->queue, 0, p->fifos - 1)
            && is_task(d->on_push) && is_task(d->on_pop);
    case PE_REGISTER: return is_register(s, d->queue, 0);
    case PE_FABIN: return is_queue(p->in_color, d->queue) && within(d->color, PE_NONE, PE_COLORS - 1);
    case PE_FABOUT: return is_queue(p->out_color, d->queue) && within(d->color, PE_NONE, PE_COLORS - 1);
    default: return 1;
    }
}

/* Descriptors that each PE holds for itself: as many as the program says. */
static int check_own(const scope *s)
{
    int32_t own = 0;
    for (int32_t k = 0; k < s->descriptors; k++)
        own += s->descriptor[k].own >= 0;
    return own >= s->program->own;
}

static const pe_descriptor *operand_of(const scope *s, int32_t number)
{
    return within(number, 0, s->descriptors - 1) ? s->descriptor + number : NULL;
}

static int is_element(int kind) { return kind >= PE_MEM && kind <= PE_RING; }

static int moves_words(int kind) { return kind == PE_FIFO || kind == PE_FABIN || kind == PE_FABOUT; }

static int check_operands(const scope *s, const pe_instruction *i)
{
    const int32_t number[4] = { i->dst, i->a, i->b, i->c };
    uint32_t read = 0;
    for (int which = 0; which < 4; which++) {
        if (which > 0 && number[which] == PE_NONE)
            continue;
        const pe_descriptor *d = operand_of(s, number[which]);
        if (!d || d->kind == PE_ABSENT || d->kind == (which == 0 ? PE_FABIN : PE_FABOUT))
            return 0;
        if (moves_words(d->kind) && !i->stream)
            return 0;
        if (d->kind == PE_FABIN && read >> d->queue & 1)        /* each operand would take a word of its own */
            return 0;
        read |= d->kind == PE_FABIN ? (uint32_t)1 << d->queue : 0;
    }
    return within(i->counted, 0, 3) && number[i->counted] >= 0;
}

static int check_vector(const scope *s, const pe_instruction *i)
{
    int rates = within(i->num, 1, MOST_RATE) && within(i->den, 1, MOST_RATE) && within(i->conflict_num, 0, MOST_RATE)
        && within(i->conflict_den, 0, MOST_RATE) && within(i->long_num, 0, MOST_RATE) && within(i->long_den, 0, MOST_RATE)
        && within(i->full, 0, INT32_MAX) && within(i->repeat, 0, PE_MOST_REPEAT) && is_register(s, i->times, 1) && within(i->between, 0, MOST_CYCLES)
        && within(i->packing, 1, 2) && within(i->step, 1, MOST_CYCLES);
    int tasks = is_task(i->activate) && is_held(i->unblock) && is_task(i->control_activate) && is_held(i->control_unblock);
    int thread = i->thread == PE_NONE || (within(i->thread, 0, PE_MAIN - 1) && s->program->threads >> i->thread & 1);
    return rates && tasks && thread && within(i->priority, 0, 3) && is_register(s, i->imm, 1) && check_operands(s, i);
}

/* Take or give: an element of memory, or the next word of a queue. */
static int check_element(const scope *s, const pe_instruction *i)
{
    const pe_descriptor *d = operand_of(s, i->b);
    int queue = i->form == PE_TAKE ? PE_FABIN : PE_FABOUT;
    return d && (is_element(d->kind) || d->kind == queue) && is_register(s, i->a, 1)
        && is_register(s, i->form == PE_TAKE ? i->dst : i->c, 0);
}

static int check_own_descriptor(const scope *s, const pe_instruction *i)
{
    const pe_descriptor *d = operand_of(s, i->b);
    return d && d->own >= 0 && (i->form == PE_LOAD_DESCRIPTOR ? operand_of(s, i->a) != NULL : is_register(s, i->a, 1));
}

static int check_arithmetic(const scope *s, const pe_instruction *i)
{
    int types = within(i->type, PE_FP32, PE_I16) && within(i->op, PE_MOV, PE_TO_INTEGER);
    switch (i->form) {
    case PE_VECTOR: return types && check_vector(s, i);
    case PE_SCALAR:
        return types && is_register(s, i->dst, 0) && is_register(s, i->a, 1) && is_register(s, i->b, 1)
            && is_register(s, i->c, 1);
    case PE_CONSTANT: return is_register(s, i->dst, 0);
    case PE_PARAMETER: return is_register(s, i->dst, 0) && within(i->imm, 0, s->tables->params - 1);
    case PE_CONVERT:
        return types && within(i->b, PE_FP32, PE_I16) && is_register(s, i->dst, 0) && is_register(s, i->a, 0);
    case PE_LOAD: return types && is_register(s, i->dst, 0) && is_register(s, i->a, 1);
    case PE_STORE: return types && is_register(s, i->b, 0) && is_register(s, i->a, 1);
    default: return i->form == PE_SPEND ? within(i->a, PE_NONE, s->tables->params - 1) : check_element(s, i);
    }
}

static int check_instruction(const scope *s, const pe_instruction *i)
{
    int is_color = within(i->imm, 0, PE_COLORS - 1);
    if (i->form != PE_SPEND && (!within(i->cycles, 0, MOST_CYCLES) || !within(i->taken, 0, MOST_CYCLES)))
        return 0;
    switch (i->form) {
    case PE_END: return 1;
    case PE_JUMP: case PE_CALL: return is_target(s, i->imm) && i->cycles > 0;       /* a loop without a cycle never ends */
    case PE_BRANCH: return is_target(s, i->imm) && i->taken > 0 && is_register(s, i->a, 0);
    case PE_RETURN: return i->cycles > 0;
    case PE_ACTIVATE: case PE_UNBLOCK: return is_task(i->imm);
    case PE_BLOCK: return within(i->imm, 0, PE_TASKS - 1);
    case PE_BLOCK_QUEUE: case PE_UNBLOCK_QUEUE: return within(i->imm, 0, PE_QUEUES - 1);
    case PE_TIME: return within(i->imm, 0, 3) && is_register(s, i->dst, 0);
    case PE_SET_BASE: case PE_MOVE_BASE: case PE_SET_EXTENT: case PE_SET_STRIDE: case PE_LOAD_DESCRIPTOR:
        return check_own_descriptor(s, i);
    case PE_ROUTE: return is_color && within(i->a, 0, s->routes - 1);
    case PE_POSITION: return is_color && is_register(s, i->a, 0);
    case PE_LEAVE_TEARDOWN: return is_color;
    case PE_TORN_DOWN: case PE_FLUSHED: return is_register(s, i->dst, 0);
    case PE_BIND_INPUT: return is_queue(s->program->in_color, i->imm) && is_register(s, i->a, 0);
    case PE_BIND_OUTPUT: return is_queue(s->program->out_color, i->imm) && is_register(s, i->a, 0);
    case PE_FLUSH: case PE_LEAVE_FLUSH: return is_queue(s->program->out_color, i->imm);
    default: return within(i->form, PE_END, PE_FLUSHED) && check_arithmetic(s, i);
    }
}

static int check_code(scope *s)
{
    const pe_program *p = s->program;
    const pe_instruction *code = s->tables->code + p->first;
    for (int32_t k = 0; k < p->count; k++)
        if (code[k].form == PE_CALL) {
            s->registers = p->registers - PE_STACK;
            break;
        }
    if (s->registers < 1)
        return 0;
    for (int32_t k = 0; k < s->descriptors; k++)
        if (!check_descriptor(s, s->descriptor + k))
            return 0;
    for (int32_t k = 0; k < p->count; k++)
        if (!check_instruction(s, code + k))
            return 0;
    int last = p->count ? code[p->count - 1].form : PE_END;
    return last == PE_END || last == PE_RETURN || last == PE_JUMP;      /* none runs on into what is another program's */
}

static int check_program(const pe_tables *t, int32_t number)
{
    const pe_program *p = t->program + number, *next = number + 1 < t->programs ? p + 1 : NULL;
    int32_t descriptors = next ? next->descriptor : t->descriptors, routes = next ? next->route : t->routes;
    if (p->first != (number ? p[-1].first + p[-1].count : 0) || !within(p->count, 0, t->codes - p->first)
        || !within(p->descriptor, 0, descriptors) || descriptors > t->descriptors || !within(p->route, 0, routes)
        || routes > t->routes || (number == 0 && (p->descriptor || p->route)))
        return 0;
    scope s = { .tables = t, .program = p, .descriptor = t->descriptor + p->descriptor,
                .descriptors = descriptors - p->descriptor, .routes = routes - p->route, .registers = p->registers };
    return within(p->memory, 0, MOST_MEMORY) && within(p->registers, 1, MOST_REGISTERS) && within(p->own, 0, MOST_REGISTERS)
        && within(p->fifos, 0, MOST_REGISTERS) && within(p->threads, 0, 255) && check_registers(p) && check_queues(p)
        && check_entries(&s) && check_own(&s) && check_code(&s);
}

/* Whether the parts of all PEs' pools can be counted. */
static int check_sizes(const pe_tables *t)
{
    int64_t pes = (int64_t)t->width * t->height, registers = 0, own = 0, fifos = 0, words = 0;
    if (pes * pe_max(PE_THREADS + 2 * PE_QUEUES, t->params) > INT32_MAX)
        return 0;
    for (int64_t p = 0; p < pes; p++) {
        if (!within(t->program_of[p], PE_NONE, t->programs - 1))
            return 0;
        if (t->program_of[p] < 0)
            continue;
        const pe_program *program = t->program + t->program_of[p];
        registers += program->registers;
        own += program->own;
        fifos += program->fifos;
        for (int q = 0; q < PE_QUEUES; q++)
            words += (program->in_color[q] >= 0 ? program->in_depth[q] : 0)
                + (program->out_color[q] >= 0 ? program->out_depth[q] : 0);
    }
    return registers <= INT32_MAX && own <= INT32_MAX && fifos <= INT32_MAX && words <= INT32_MAX;
}

int pe_check(const pe_tables *t)
{
    if (!check_latency(&t->latency))
        return WSK_ERR_BAD_BYTES;
    for (int32_t number = 0; number < t->programs; number++)
        if (!check_program(t, number))
            return WSK_ERR_BAD_BYTES;
    const pe_program *last = t->program + t->programs - 1;
    int whole = t->programs ? last->first + last->count == t->codes : t->codes == 0;
    return whole && check_sizes(t) ? WSK_OK : WSK_ERR_BAD_BYTES;
}
