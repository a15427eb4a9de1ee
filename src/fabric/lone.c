/* Words that meet nobody. Where few words are about, each is listed by itself instead of being marked in the planes of a
 * block, so that what it costs does not depend on the block. A lone word holds no place in a queue; it is stored in its
 * router's queue, by the rules of depart.c and arrive.c from then on, as soon as anything could make it wait or fail:
 *
 * - another word in its block that is not alone,
 * - another lone word at its router that would leave by the same port,
 * - a router that lone words may not take (switches, teardown, rewritten routes, cores that listen),
 * - on long links, a next router that hears several sides: two words that come there at once take two places until they land,
 * - no room, or a deaf port, at the next router.
 *
 * So lone words never wait, and with queues deeper than the latencies (`lone` of the fabric) they never fill one: where
 * nothing waits, one word lands per cycle, so that the words with places are those that land now, over links in the next
 * hop - 1 cycles, over ramps in the next ramp. Where that matters to words that are not
 * alone, lone words on long links get a place in the queue they come to (`place`). */
#include "fabric_internal.h"
#include <string.h>

enum { FEW = 5, AHEAD = 8 };          /* so many words of a lane may each go alone; so many words ahead, memory is asked for */

/* ---- Phase one: switch traversal ---- */

static inline int block_bit(const u64 *rows, int x, int y) { return (int)(rows[y] >> (x / 64) & 1); }

static inline int is_own(const wsk_fabric *f, const wsk_strip *s, int y) { return y / STRIP_ROWS == s - f->strip; }

/* Whether words of one color may come to a router over two long links at once. */
static int merges(const wsk_fabric *f, size_t lane, int x)
{
    const u64 *in = f->rest[lane].in_any;
    u64 one = in[0] | in[1], two = in[0] & in[1];
    two |= (one & (in[2] | in[3])) | (in[2] & in[3]);
    return f->hop > 1 && two >> (x % 64) & 1;
}

/* Whether the router at (x, y) listened to a port and had room when the cycle began. Whether routers of other strips are
 * simple is not for this one to read: theirs may end to be so in this phase. */
static inline int is_open(const wsk_fabric *f, const wsk_strip *s, size_t lane, int x, int y, int c, int port)
{
    if (is_own(f, s, y) && !block_bit(f->row_busy, x, y)) {
        int ports = wsk_simple_ports(f, lane, x, y, c);
        if (ports)
            return ports >> (PORTS + port) & 1;
    }
    const wsk_lane *l = f->lane + lane;
    return (int)((l->in[port] & ~l->full) >> (x % 64) & 1) && !merges(f, lane, x);
}

static int all_open(const wsk_fabric *f, const wsk_strip *s, int x, int y, int c, int out)
{
    for (out &= ~(1 << WSK_RAMP); out; out &= out - 1) {
        int d = __builtin_ctz((unsigned)out), nx = x + dx[d], ny = y + dy[d];
        if (!is_open(f, s, wsk_lane_at(f, ny, nx / 64, c), nx, ny, c, d ^ 2))
            return 0;
    }
    return 1;
}

/* The list that words for row y join when they leave by side d in this cycle. */
static inline wsk_lones *list_for(const wsk_fabric *f, wsk_strip *s, int d, int y)
{
    return is_own(f, s, y) ? s->lone[(f->cycle + f->hop) % f->ring] + d : s->over + d;
}

/* Count the links that are still to be counted behind a word. */
static void count_run(wsk_fabric *f, wsk_lone *w)
{
    int first = w->from == WSK_WEST ? w->x - w->run : w->x + 1, end = first + w->run;
    for (; w->run; w->run = (u16)(end - first)) {
        int n = 64 - first % 64 < end - first ? 64 - first % 64 : end - first;
        u64 m = ~(u64)0 >> (64 - n) << (first % 64);
        wsk_count_any(f, wsk_lane_at(f, w->y, first / 64, w->index), w->from ^ 2, m);
        first += n;
    }
}

/* A word leaves (x, y) by the ports in out, all of them open. */
static void send(wsk_fabric *f, wsk_strip *s, int x, int y, int c, int out, u32 word)
{
    size_t at = wsk_lane_at(f, y, x / 64, c);
    u64 bit = (u64)1 << (x % 64);
    int hops = 0, heard = out >> WSK_RAMP & 1;
    for (out &= ~(1 << WSK_RAMP); out; out &= out - 1, hops++) {
        int d = __builtin_ctz((unsigned)out), nx = x + dx[d], ny = y + dy[d];
        wsk_lones *list = list_for(f, s, d, ny);
        list->of[list->n++] = (wsk_lone){ (u32)wsk_block_at(f, ny, nx / 64), word, (u16)nx, (u16)ny, 0, (u8)c, 0, (u8)(d ^ 2), 0 };
        wsk_count_any(f, at, d, bit);
    }
    if (heard) {
        wsk_count_any(f, at, WSK_RAMP, bit);
        s->totals.delivered[c]++;
        s->totals.checksum[c] += word;
        if (s->last_out < f->cycle + f->ramp)
            s->last_out = f->cycle + f->ramp;
    }
    s->totals.hops[c] += (u64)hops;
    s->totals.copied[c] += (u64)(hops + heard - 1);
    s->stored += hops - 1;
    s->last_move = f->cycle;
}

/* Whether some more words may leave in any direction. */
static int has_room(const wsk_fabric *f, const wsk_strip *s, int words)
{
    const wsk_lones *sent = s->lone[(f->cycle + f->hop) % f->ring];
    for (int d = 0; d < SIDES; d++)
        if (sent[d].n + words > s->room_lone)
            return 0;
    return 1;
}

static wsk_inbound inbound(const wsk_lone *w) { return (wsk_inbound){ (u64)1 << (w->x % 64), 0, NULL, 1, w->word }; }

/* A word that stands at its router joins the queue there. */
static void keep(wsk_fabric *f, wsk_strip *s, wsk_lone *w)
{
    wsk_inbound in = inbound(w);
    count_run(f, w);
    wsk_keep(f, s, w->y, w->x / 64, w->index, &in);
    w->state = LONE_STORED;
}

/* A word turns, forks, comes to its core, or is stopped. */
static void leave_otherwise(wsk_fabric *f, wsk_strip *s, wsk_lone *w)
{
    if (!has_room(f, s, 1) || !all_open(f, s, w->x, w->y, w->index, w->out)) {
        keep(f, s, w);
        return;
    }
    count_run(f, w);
    send(f, s, w->x, w->y, w->index, w->out, w->word);
}

static inline void ask_for_memory(const wsk_fabric *f, const wsk_lone *w, int d)
{
    if (d == WSK_NORTH || d == WSK_SOUTH)
        WSK_ASK_FOR(wsk_counted_at(f, (size_t)w->block * f->n_colors + w->index, d));
    WSK_ASK_FOR(f->meeting + w->block + (d == WSK_NORTH ? -f->blocks : d == WSK_SOUTH ? f->blocks : 0));
}

/* The words that came by side d; most of them go straight on, so nothing else is done here. */
static inline void depart_side(wsk_fabric *f, wsk_strip *s, const int d)
{
    wsk_lones *here = s->lone[f->cycle % f->ring] + d, *sent = s->lone[(f->cycle + f->hop) % f->ring] + d;
    const int across = d == WSK_EAST || d == WSK_WEST, n_colors = f->n_colors, n = here->n;
    const int border = STRIP_ROWS * (int)(s - f->strip) + (d == WSK_SOUTH ? STRIP_ROWS : -1);
    const u64 *busy = f->row_busy;
    const u16 *simple = f->simple_lane;
    const int flies = wsk_may_fly(f, s);
    u32 step = (u32)(dy[d] * f->blocks), hops[WSK_COLORS] = { 0 };
    for (int i = 0; i < n; i++) {
        wsk_lone *w = here->of + i;
        if (i + AHEAD < n)
            ask_for_memory(f, w + AHEAD, d);
        if (w->state == LONE_STORED)
            continue;
        int x = w->x + dx[d], y = w->y + dy[d], c = w->index, listens;
        u32 block = w->block + step + (u32)(across ? (x >> 6) - (w->x >> 6) : 0);
        size_t lane = (size_t)block * n_colors + c;
        if (w->out != 1 << d || sent->n >= s->room_lone) {
            leave_otherwise(f, s, w);
            continue;
        }
        if ((across || y != border) && simple[lane] && !(busy[y] >> (x >> 6) & 1))
            listens = simple[lane] >> (PORTS + (d ^ 2)) & 1;
        else
            listens = is_open(f, s, lane, x, y, c, d ^ 2);
        if (!listens) {
            leave_otherwise(f, s, w);
            continue;
        }
        hops[c]++;
        if (flies && (across || y != border) && wsk_take_off(f, s, w, d))
            continue;
        if (!across)
            wsk_count_any(f, (size_t)w->block * n_colors + c, d, (u64)1 << (w->x % 64));
        wsk_lones *list = !across && y == border ? s->over + d : sent;
        list->of[list->n++] = (wsk_lone){ block, w->word, (u16)x, (u16)y, (u16)(across ? w->run + 1 : 0), (u8)c, 0, (u8)(d ^ 2), 0 };
    }
    here->n = 0;
    for (int c = 0; c < n_colors; c++) {
        s->totals.hops[c] += hops[c];
        if (hops[c])
            s->last_move = f->cycle;
    }
}

void wsk_depart_lone(wsk_fabric *f, wsk_strip *s)
{
    if (!wsk_has_lone(f, s))
        return;
    wsk_fly_on(f, s);
    depart_side(f, s, WSK_NORTH);
    depart_side(f, s, WSK_EAST);
    depart_side(f, s, WSK_SOUTH);
    depart_side(f, s, WSK_WEST);
}

/* The words of a lane that could go alone, appended to words: how many there are then, or -1 if one could not. */
static int gather(const wsk_fabric *f, int y, int k, int c, wsk_lone *words, int n)
{
    size_t at = wsk_lane_at(f, y, k, c);
    const wsk_lane *lane = f->lane + at;
    if (lane->occupied[0] != lane->head || lane->occupied[1] | lane->occupied[2] || wsk_popcount(lane->head) > FEW)
        return -1;
    for (u64 m = lane->head; m; m &= m - 1) {
        int x = 64 * k + wsk_ctz(m), out = wsk_simple_ports(f, at, x, y, c) & ((1 << PORTS) - 1);
        if (!out)
            return -1;
        words[n++] = (wsk_lone){ 0, wsk_data_at(f, y, c, 0)[x], (u16)x, (u16)y, 0, (u8)c, (u8)out, 0, 0 };
    }
    return n;
}

/* Whether a word goes on for some while: next to its aim it is not worth while. */
static int goes_far(const wsk_fabric *f, const wsk_strip *s, const wsk_lone *w)
{
    for (int out = w->out & ~(1 << WSK_RAMP); out; out &= out - 1) {
        int d = __builtin_ctz((unsigned)out), x = w->x + dx[d], y = w->y + dy[d];
        if (is_own(f, s, y) && !wsk_simple_ports(f, wsk_lane_at(f, y, x / 64, w->index), x, y, w->index))
            return 0;
    }
    return w->out != 1 << WSK_RAMP;
}

/* All words of a block that no two colors contend in leave alone, if they are few and nothing stops them. 1: they did. */
int wsk_go_alone(wsk_fabric *f, const wsk_row *r, int k)
{
    wsk_strip *s = r->strip;
    wsk_lone words[FEW * WSK_COLORS];
    int n = 0;
    for (u32 colors = r->blocks[k].active; colors; colors &= colors - 1) {
        n = gather(f, r->y, k, __builtin_ctz(colors), words, n);
        if (n < 0)
            return 0;
    }
    if (!has_room(f, s, n))
        return 0;
    for (int i = 0; i < n; i++)
        if (!goes_far(f, s, words + i) || !all_open(f, s, words[i].x, r->y, words[i].index, words[i].out))
            return 0;
    for (int i = 0; i < n; i++) {
        wsk_leave(f, r, k, words[i].index, (u64)1 << (words[i].x % 64));
        send(f, s, words[i].x, r->y, words[i].index, words[i].out, words[i].word);
    }
    return 1;
}

/* ---- Phase two: link traversal and buffer write ---- */

/* Words that left by side d for this strip from the one beside it. */
static void pull(wsk_fabric *f, wsk_strip *s, const wsk_strip *from, int d)
{
    wsk_lones *sent = s->lone[(f->cycle + f->hop) % f->ring] + d;
    if (from->over[d].n)
        memcpy(sent->of + sent->n, from->over[d].of, (size_t)from->over[d].n * sizeof *sent->of);
    sent->n += from->over[d].n;
}

/* Words that leave by other ports than the one opposite to where they came in. */
static u64 meet_otherwise(wsk_meeting *block, int ports, u64 bit)
{
    u64 met = ports ? 0 : bit;
    for (; ports; ports &= ports - 1) {
        u64 *others = block->out + __builtin_ctz((unsigned)ports);
        met |= *others & bit;
        *others |= bit;
    }
    return met;
}

/* Where words that came by side d land in this cycle: which ways they go on, and whether any may not go on alone. */
static inline int meet(const wsk_fabric *f, wsk_strip *s, const int d)
{
    wsk_lones *landing = s->lone[(f->cycle + 1) % f->ring] + d;
    const u32 next = (u32)f->cycle + 1;
    const int n = landing->n, n_colors = f->n_colors;
    const u64 *active = f->row_active;
    const u16 *simple = f->simple_lane;
    wsk_meeting *meeting = f->meeting;
    u64 any = 0;
    for (int i = 0; i < n; i++) {
        wsk_lone *w = landing->of + i;
        wsk_meeting *block = meeting + w->block;
        size_t lane = (size_t)w->block * n_colors + w->index;
        u64 bit = (u64)1 << (w->x % 64), met;
        int ports = simple[lane] ? simple[lane] : wsk_simple_ports(f, lane, w->x, w->y, w->index);
        w->out = (u8)(ports &= (1 << PORTS) - 1);
        if (block->cycle != next)
            *block = (wsk_meeting){ .cycle = next };
        if (ports == 1 << d) {
            met = block->out[d] & bit;
            block->out[d] |= bit;
        } else {
            met = meet_otherwise(block, ports, bit);
        }
        block->met |= met;
        any |= met | (active[w->y] >> (w->x / 64) & 1) | w->state;
    }
    return any != 0;
}

/* Give a word on a long link a place in the queue it comes to, or take it back. */
static void place(wsk_fabric *f, wsk_lone *w, int placed)
{
    wsk_lane *lane = f->lane + (size_t)w->block * f->n_colors + w->index;
    u64 bit = (u64)1 << (w->x % 64);
    if (placed)
        wsk_binary_add(lane->occupied, COUNT_BITS, bit);
    else
        wsk_binary_subtract(lane->occupied, COUNT_BITS, bit);
    lane->full = wsk_full(f, lane);
    w->state = placed ? LONE_PLACED : 0;
}

/* Store what may not go on alone: where words met, and all in blocks where words are that are not alone. */
static int store_met(wsk_fabric *f, wsk_strip *s, wsk_lones *landing)
{
    for (int i = 0; i < landing->n; i++) {
        wsk_lone *w = landing->of + i;
        if (!(f->meeting[w->block].met >> (w->x % 64) & 1) && !block_bit(f->row_active, w->x, w->y)) {
            if (w->state == LONE_PLACED)
                place(f, w, 0);
            continue;
        }
        wsk_inbound in = inbound(w);
        count_run(f, w);
        int status = wsk_take(f, s, w->y, w->x / 64, w->index, &in, w->state == LONE_PLACED ? LAND : RESERVE | LAND);
        if (status < 0)
            return status;
        w->state = LONE_STORED;
    }
    return 0;
}

static int land(wsk_fabric *f, wsk_strip *s)
{
    wsk_lones *landing = s->lone[(f->cycle + 1) % f->ring];
    int any = meet(f, s, WSK_NORTH) | meet(f, s, WSK_EAST) | meet(f, s, WSK_SOUTH) | meet(f, s, WSK_WEST), status = 0;
    for (int d = 0; any && d < SIDES && !status; d++)
        status = store_met(f, s, landing + d);
    return status;
}

/* Words on long links to blocks where others are. */
static void place_coming(wsk_fabric *f, wsk_lones *coming)
{
    for (int i = 0; i < coming->n; i++)
        if (!coming->of[i].state && block_bit(f->row_active, coming->of[i].x, coming->of[i].y))
            place(f, coming->of + i, 1);
}

/* Remember for the next cycle which blocks are active as it begins. */
static void note_busy(wsk_fabric *f, wsk_strip *s)
{
    const size_t top = (size_t)STRIP_ROWS * (size_t)(s - f->strip);
    for (u64 rows = s->rows_active | s->rows_busy; rows; rows &= rows - 1)
        f->row_busy[top + wsk_ctz(rows)] = f->row_active[top + wsk_ctz(rows)];
    s->rows_busy = s->rows_active;
}

/* End of phase two, when the other words of the strip have arrived. */
int wsk_arrive_lone(wsk_fabric *f, wsk_strip *s)
{
    int i = (int)(s - f->strip);
    if (i > 0)
        pull(f, s, s - 1, WSK_SOUTH);
    if (i + 1 < f->strips)
        pull(f, s, s + 1, WSK_NORTH);
    wsk_clear_ways(f, s);
    int status = land(f, s);
    for (int ahead = 2; ahead <= f->hop; ahead++)
        for (int d = 0; d < SIDES; d++)
            place_coming(f, s->lone[(f->cycle + ahead) % f->ring] + d);
    note_busy(f, s);
    return status;
}

/* ---- Between two cycles ---- */

/* All words where the queues show them. */
void wsk_keep_lone(wsk_fabric *f, wsk_strip *s)
{
    wsk_land_all(f, s, f->cycle);
    for (int d = 0; d < SIDES; d++) {
        wsk_lones *here = s->lone[f->cycle % f->ring] + d;
        for (int i = 0; i < here->n; i++)
            if (here->of[i].state != LONE_STORED)
                keep(f, s, here->of + i);
        for (int ahead = 1; ahead < f->hop; ahead++) {
            wsk_lones *coming = s->lone[(f->cycle + ahead) % f->ring] + d;
            for (int i = 0; i < coming->n; i++)
                if (!coming->of[i].state)
                    place(f, coming->of + i, 1);
        }
    }
    if (f->lone)
        note_busy(f, s);
}

