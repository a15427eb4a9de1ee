/* What a core holds. One record per PE that has a program, in the order of rows; everything of variable size lies in pools. */
#ifndef WSEKERN_PE_STATE_H
#define WSEKERN_PE_STATE_H

#include <stdint.h>

#include "fabric/wsekern_fabric.h"
#include "pe_code.h"

enum {
    PE_WHEEL = 1024,        /* slots of coming cycles; a longer delay goes round */
    PE_NOBODY = -1,
    PE_PATIENCE = 256,      /* cycles without any movement after which a run is stuck */
    PE_MAIN_RANK = 2,       /* priority of the main thread: between medium (1) and low (3) */
    PE_TORN_DOWN_TASK = 29, /* a color went into teardown, or a flushed queue is empty */
    PE_QUEUE_COLOR = 255,
    PE_LINE = 64,           /* bytes of a cache line */
    PE_ROUTER_ACCESS = 1,   /* what load_or_store answers of a place that is a register of the router */
};

/* Where a core's output queues stand: in no wheel, in that of the ramps, or marked as waiting for the router (pe_await.h). */
enum { PE_SENDS_NOTHING, PE_SENDS_LATER, PE_AWAITS_ROUTER };

/* What a thread does. STARTING: only as it is shown, READY in a task that has issued nothing yet. */
enum pe_doing { PE_IDLE, PE_READY, PE_BULK, PE_WAIT_INPUT, PE_WAIT_OUTPUT, PE_WAIT_FIFO, PE_WAIT_THREAD, PE_STARTING };

typedef struct {
    uint32_t bits;
    uint32_t mark;          /* bits 0, 1: WSK_CONTROL, WSK_ADVANCE; above: low bits of the cycle from which it may be used */
} pe_word;

typedef struct {
    int32_t slot;           /* first of its words in the pool */
    int16_t depth, head, count, color;      /* color: that its words come or leave on now */
    int32_t due;            /* words that the instruction which bound an input queue still takes; PE_NONE: no end of them */
} pe_queue;

/* Where a descriptor begins: of the PE, or of an instruction that is under way. */
typedef struct {
    int32_t base;           /* byte address */
    int32_t extent;         /* elements */
    int32_t stride;         /* elements */
    int32_t at;             /* element of a ring at which it goes on; elements that a mem1d moves in each repeat */
} pe_place;

typedef struct {
    int32_t head, count;
    int32_t starved, full;  /* a pop found it empty, a push found it full, since the last task that was told */
} pe_fifo;

typedef struct {
    int64_t resume;         /* cycle at which it goes on, or since which it waits */
    int32_t pc;             /* main thread: next instruction; microthread: its instruction; counted in the whole code */
    int32_t word;           /* next word of the instruction in the stream, PE_NONE before issue */
    int32_t extent;         /* elements of that instruction */
    int32_t issued;         /* main thread: instruction that it is at until `resume`, PE_NONE: none yet of its task */
    int8_t state, queue;    /* queue: which one it waits for */
} pe_thread;                /* two to a cache line: where its operands are lies in `place` */

enum { PE_SENT, PE_TAKEN, PE_ENDS };    /* the ends of a color */

typedef struct {                        /* three cache lines: what every event touches, what it counts, the rest */
    int64_t resume;                     /* cycle of its event */
    int64_t slot_free;                  /* first cycle in which an instruction may issue */
    int64_t memory;                     /* first byte of its memory in the pool */
    int32_t at;                         /* its place in the fabric: y * width + x */
    int32_t program, queues, threads;   /* queues, threads: firsts in the pools */
    uint16_t busy, waits;               /* masks of threads (bit 0: the main one): not idle, and waiting */
    uint8_t filled;                     /* mask of output queues that hold words */
    uint8_t blocked_queues, sending, scheduled, live, depth;    /* depth: of calls */
    uint8_t turn[4];                    /* microthread of each priority that issued last */
    uint8_t task;                       /* local task that began last; PE_TASKS - 1: none yet */
    uint32_t activated, blocked;        /* local tasks */
    int64_t words, vector_cycles, elements, instructions;
    int64_t stalled[4];                 /* thread-cycles waiting for input, output, a FIFO, a microthread */
    int32_t registers, own, fifos, params;      /* firsts in the pools */
    int64_t done;                       /* cycle at which it became idle */
    int64_t conflict_cycles, tasks;
    uint32_t others[PE_ENDS];           /* masks of colors of words sent and taken that are of no pe_filling */
    uint8_t flushing, flushed;          /* masks of output queues: waited for until they are empty, and found so */
    uint8_t unused[14];
} pe_core;

_Static_assert(sizeof(pe_core) == 3 * PE_LINE, "a core begins on a cache line");

/* A program, and what follows from it. */
typedef struct {
    pe_program code;
    int32_t queues;                     /* queues in use: inputs, then outputs */
    int32_t inputs;                     /* input queues among them */
    int32_t words;                      /* words of all their depths */
    int32_t thread_count;               /* the main thread and the microthreads in use */
    int32_t in_slot[PE_QUEUES];         /* place of each queue among the PE's, or PE_NONE */
    int32_t out_slot[PE_QUEUES];
    int32_t thread_slot[PE_THREADS];
    int32_t color_queue[PE_COLORS];     /* input queue of a color, or PE_NONE */
    uint32_t task_queues;               /* mask of input queues whose words may start a task */
} pe_loaded;

/* What is hardly meant. UNREAD: words that nobody has taken, when all is idle; REWRITTEN: a route that is replaced under words
 * which are on their way through it (number: how many); SHARED_INPUT, SHARED_OUTPUT: a thread uses a queue that a microthread
 * is still at (number: the queue); ODD: a microthread hands on an odd number (number) of 16-bit elements, two to a word;
 * UNWRITTEN: an element is read that nothing has written (number: its byte address); HALF: an instruction ends with half a word
 * of 16-bit elements (number: how many), and those at the other end of its color with whole ones; PACKING: 16-bit elements are
 * taken one or two (number) to a word, and sent the other way. */
enum pe_rule { PE_UNREAD, PE_REWRITTEN, PE_SHARED_INPUT, PE_SHARED_OUTPUT, PE_ODD, PE_UNWRITTEN, PE_HALF, PE_PACKING,
               PE_RULES };

/* How the words of a color are filled: two 16-bit elements each; the same with an odd number of them, so that the last word is
 * half empty; one each. Anything else is in pe_core.others. */
enum pe_filling { PE_PAIRS, PE_ODD_PAIRS, PE_ALONE, PE_FILLINGS };


typedef struct {
    int64_t cycle, count, number;
    int32_t at, color, pc;              /* color, pc: PE_NONE where there is none */
} pe_found;

/* What is counted of an instruction in a profile: how often it began, and thread-cycles at work and waiting (for what
 * PE_WAIT_INPUT and those behind it say). */
enum { PE_SPENT_BEGUN, PE_SPENT_WORKING, PE_SPENT_WAITING, PE_SPENT = PE_SPENT_WAITING + 4 };

typedef struct { int64_t cycles[PE_SPENT]; } pe_spent;

typedef struct {                        /* what a thread is at while a profile is counted, and since when */
    int64_t since;
    int32_t at, what;                   /* at: instruction in the whole code, PE_NONE: none */
} pe_span;

typedef struct {                        /* rows whose PEs one thread steps */
    int32_t *core_slot;                 /* first PE of each slot of the wheel of core events */
    int32_t *ramp_slot;                 /* the same for output queues that put words on the ramp */
    int64_t core_events, ramp_events;
    int64_t awaiting;                   /* of the ramp events: cores that wait for their routers */
    uint64_t rows_awaited;              /* rows in which one may */
    int64_t progress;                   /* last cycle in which a core acted or a ramp took a word */
    int64_t live, ended;                /* PEs that are at work; cycle at which the last one stopped */
    int32_t status, fault_pe, fault_color, fault_pc;
    int64_t edge_count, edge_room;
    wsk_delivery *edge;                 /* words that left the wafer */
    int64_t *edge_cycle;
    pe_found found[PE_RULES];
    pe_found filled[PE_ENDS][PE_COLORS][PE_FILLINGS];    /* instructions that ended */
    pe_spent *spent;                    /* of each instruction of all programs; NULL: no profile is counted */
    char pad[16];
} pe_strip;

typedef struct pe_tape pe_tape;

typedef struct {                        /* all cores, and what they share */
    int64_t cycle;
    int64_t until;                      /* no core runs ahead of this cycle */
    int32_t pes, strips, width;
    int32_t quiet;                      /* the fabric is empty, and its clock stands still until a word is offered */
    int32_t fabric_pes;                 /* PEs of the fabric, with and without a program */
    pe_latency latency;
    pe_core *pe;
    pe_thread *thread;
    pe_queue *queue;
    pe_word *word;                      /* a queue of eight words is a cache line */
    void *pools;                        /* all that is held for each PE, from `pe` to `ramp_next` */
    uint8_t *word_color;                /* of each word of an output queue; PE_QUEUE_COLOR: that of its queue */
    pe_place *place;                    /* of each thread: its operands dst, a, b, c, a cache line */
    pe_place *own;
    pe_fifo *fifo;
    uint32_t *registers;
    unsigned char *memory;
    pe_span *span;                      /* of each thread; NULL: no profile is counted */
    unsigned char *written;             /* of each byte of memory: whether it was written; NULL: nobody asks */
    int32_t *core_next;
    int32_t *core_before;
    int32_t *ramp_next;
    uint64_t *awaiting;                 /* [height][blocks][PE_COLORS]: of 64 PEs, those whose word the router refuses */
    uint32_t *awaited;                  /* [height][blocks]: colors of which it does */
    int32_t *slot_of;                   /* record of each PE of the fabric, PE_NOBODY: it has no program */
    pe_strip *strip;
    const pe_instruction *code;
    const pe_descriptor *descriptor;
    const wsk_route *route;
    const pe_loaded *program;
    pe_tape *tape;                      /* values are written down, not computed; NULL: they are (tape.h) */
    int32_t *param;                     /* [fabric_pes][params] */
    int32_t programs, codes, descriptors, routes, params;       /* how many there are; params: of each PE */
} pe_grid;

static inline int pe_ctz(uint32_t mask) { return __builtin_ctz(mask); }
static inline int64_t pe_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t pe_max(int64_t a, int64_t b) { return a > b ? a : b; }

static inline void pe_unschedule(pe_grid *g, pe_strip *s, int32_t p)
{
    int32_t before = g->core_before[p], after = g->core_next[p];
    if (before >= 0)
        g->core_next[before] = after;
    else
        s->core_slot[-1 - before] = after;
    if (after != PE_NOBODY)
        g->core_before[after] = before;
    g->pe[p].scheduled = 0;
    s->core_events--;
}

/* Put a PE that is in no slot of the wheel of core events into one. */
static inline void pe_enter_slot(pe_grid *g, pe_strip *s, int32_t p, int32_t slot)
{
    g->pe[p].scheduled = 1;
    g->core_before[p] = -1 - slot;      /* negative: first of that slot */
    g->core_next[p] = s->core_slot[slot];
    if (s->core_slot[slot] != PE_NOBODY)
        g->core_before[s->core_slot[slot]] = p;
    s->core_slot[slot] = p;
    s->core_events++;
}

/* The PE acts at `cycle` or before. */
static inline void pe_schedule(pe_grid *g, pe_strip *s, int32_t p, int64_t cycle)
{
    pe_core *pe = g->pe + p;
    if (pe->scheduled) {
        if (pe->resume <= cycle)
            return;
        pe_unschedule(g, s, p);
    }
    pe->resume = cycle;
    pe_enter_slot(g, s, p, (int32_t)(pe_min(cycle, g->cycle + PE_WHEEL - 1) % PE_WHEEL));
}

static inline void pe_schedule_ramp(pe_grid *g, pe_strip *s, int32_t p, int64_t cycle)
{
    int32_t slot = (int32_t)(cycle % PE_WHEEL);
    g->pe[p].sending = PE_SENDS_LATER;
    g->ramp_next[p] = s->ramp_slot[slot];
    s->ramp_slot[slot] = p;
    s->ramp_events++;
}

static inline pe_place *pe_places(const pe_grid *g, const pe_thread *th) { return g->place + 4 * (th - g->thread); }

static inline pe_queue *pe_input(const pe_grid *g, const pe_core *pe, int q)
{
    return g->queue + pe->queues + g->program[pe->program].in_slot[q];
}

static inline pe_queue *pe_output(const pe_grid *g, const pe_core *pe, int q)
{
    return g->queue + pe->queues + g->program[pe->program].out_slot[q];
}

/* The input queue that takes the words of a color now, or PE_NONE. */
static inline int pe_queue_of(const pe_grid *g, const pe_core *pe, int color)
{
    const pe_loaded *program = g->program + pe->program;
    int q = program->color_queue[color];
    if (q >= 0 && pe_input(g, pe, q)->color == color)
        return q;
    for (q = 0; q < PE_QUEUES; q++)
        if (program->in_slot[q] >= 0 && pe_input(g, pe, q)->color == color)
            return q;
    return PE_NONE;
}

static inline pe_word *pe_queue_word(const pe_grid *g, const pe_queue *q, int i)
{
    int at = q->head + i;
    return g->word + q->slot + (at < q->depth ? at : at - q->depth);
}

/* The color of word i of an output queue. */
static inline uint8_t *pe_word_color(const pe_grid *g, const pe_queue *q, int i)
{
    return g->word_color + (pe_queue_word(g, q, i) - g->word);
}

static inline void pe_queue_pop(pe_queue *q)
{
    q->head = (int16_t)(q->head + 1 < q->depth ? q->head + 1 : 0);
    q->count--;
}

static inline void pe_set_word(pe_word *word, uint32_t bits, int64_t cycle, uint32_t flags)
{
    word->bits = bits;
    word->mark = (uint32_t)(cycle << 2) | flags;
}

static inline int64_t pe_stamp_of(const pe_grid *g, const pe_word *word)
{
    return g->cycle + ((int32_t)((word->mark & ~(uint32_t)3) - (uint32_t)(g->cycle << 2)) >> 2);
}

/* The local task that begins next of those in a mask: in turns, by number. */
static inline int pe_next_task(pe_core *pe, uint32_t ready)
{
    uint32_t behind = ready & ~(((uint32_t)2 << pe->task) - 1);
    pe->task = (uint8_t)pe_ctz(behind ? behind : ready);
    return pe->task;
}

static inline void pe_activate(pe_core *pe, int task)
{
    if (task >= 0)
        pe->activated |= (uint32_t)1 << task;
}

/* A local task, or (from PE_TASKS on) an input queue. */
static inline void pe_unblock(pe_core *pe, int task)
{
    if (task >= PE_TASKS)
        pe->blocked_queues &= (uint8_t)~(1 << (task - PE_TASKS));
    else if (task >= 0)
        pe->blocked &= ~((uint32_t)1 << task);
}

/* ---- What the C files offer each other and _pe.pyx, from the lowest up ---- */

/* state.c: where the parts of a core are. core_at, bytes_at: NULL where PE p of the grid has no program, or no such bytes. */
pe_strip *pe_strip_of(const pe_grid *g, const pe_core *pe);
pe_core *pe_core_at(const pe_grid *g, int64_t p);
unsigned char *pe_bytes_at(const pe_grid *g, int64_t p, int64_t address, int64_t n);
/* What thread k (8: the main one) does in the coming cycle, and the instruction of its program that it is at; PE_NONE: it
 * does not exist. */
int pe_doing_of(const pe_grid *g, const pe_core *pe, int k, int32_t *at);

/* cores.c: the cores of one strip in one cycle; a task that the host starts. Status codes. */
int pe_step_cores(pe_grid *g, wsk_fabric *fabric, int strip);
int pe_launch(pe_grid *g, int64_t p, int task);
void pe_begin_first_task(pe_grid *g, int32_t p);
/* Whether what a thread holds of an instruction under way is what begin() could have put there. */
int pe_is_sound(const pe_grid *g, const pe_core *pe, int k);

/* set_up.c: making, resetting and freeing cores. make_programs: NULL without memory. make_pools: whether there was memory. */
pe_loaded *pe_make_programs(const pe_program *programs, int64_t count);
int pe_make_pools(pe_grid *g, const int32_t *program_of);
void pe_free_pools(pe_grid *g);
/* Every core idle before the start of its program at cycle 0, all queues empty, memory as it is; with its first task begun. */
void pe_lay_out_cores(pe_grid *g);
void pe_reset_cores(pe_grid *g);
void pe_give_credits(const pe_grid *g, wsk_fabric *fabric);

#endif
