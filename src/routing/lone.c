/* Words that meet nobody. Where few words are about, each is listed by itself instead of being marked in the planes of a
 * block, so that what it costs does not depend on the block. A lone word holds no place in a queue; it is stored in its
 * router's queue, by the rules of depart.c and arrive.c from then on, as soon as anything could make it wait, turn or fail:
 *
 * - another word in its block that is not alone,
 * - another lone word at its router that would leave by the same port,
 * - a router that it may not take (`simple`: switches, teardown, rewritten routes, cores that listen),
 * - no room, or a deaf port, at the next router.
 *
 * So lone words never wait, and with queues deeper than the latencies (`lone` of the fabric) they never fill one: a router
 * at which nothing waits holds places for one word per cycle of latency at most. Words that are not alone see them
 * wherever it matters. */
#include "fabric_internal.h"

enum { FEW = 4, ALL_PORTS = (1 << PORTS) - 1 };      /* so many words in a block may each go alone */

static const int8_t dx[SIDES] = { 0, 1, 0, -1 }, dy[SIDES] = { -1, 0, 1, 0 };

static inline int block_active(const wsk_fabric *f, int x, int y) { return (int)(f->row_active[y] >> (x / 64) & 1); }

/* Whether the router at (x, y) listened to a port and had room when the cycle began. */
static inline int is_open(const wsk_fabric *f, int x, int y, int c, int port)
{
    int simple = *wsk_simple_at(f, x, y, c);
    if (simple && !(f->row_busy[y] >> (x / 64) & 1))
        return f->in_of[simple] >> port & 1;
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, x / 64, c);
    return (int)((lane->in[port] & ~lane->full) >> (x % 64) & 1);
}

static inline int all_open(const wsk_fabric *f, int x, int y, int c, int out)
{
    for (out &= ~(1 << WSK_RAMP); out; out &= out - 1) {
        int d = __builtin_ctz((unsigned)out);
        if (!is_open(f, x + dx[d], y + dy[d], c, d ^ 2))
            return 0;
    }
    return 1;
}

/* The list that a word for row y joins when it leaves in this cycle. */
static inline wsk_lones *list_for(const wsk_fabric *f, wsk_strip *s, wsk_lones *sent, int y)
{
    int other = y / STRIP_ROWS - (int)(s - f->strip);
    return other == 0 ? sent : s->over + (other > 0);
}

/* A word leaves (x, y) by the ports in out, all of them open. */
static inline void send(wsk_fabric *f, wsk_strip *s, wsk_lones *sent, int x, int y, int c, int out, u32 word)
{
    size_t at = wsk_lane_at(f, y, x / 64, c);
    u64 bit = (u64)1 << (x % 64);
    int hops = 0, heard = out >> WSK_RAMP & 1;
    for (out &= ~(1 << WSK_RAMP); out; out &= out - 1, hops++) {
        int d = __builtin_ctz((unsigned)out);
        wsk_lones *list = list_for(f, s, sent, y + dy[d]);
        list->of[list->n++] = (wsk_lone){ (u16)(x + dx[d]), (u16)(y + dy[d]), word, (u8)c, 0, (u8)(d ^ 2), 0 };
        wsk_count(f, at, d, bit);
    }
    if (heard) {
        wsk_count(f, at, WSK_RAMP, bit);
        s->totals.delivered[c]++;                     /* cores that listen are not for lone words: see is_simple */
        s->totals.checksum[c] += word;
        if (s->last_out < f->cycle + f->ramp)
            s->last_out = f->cycle + f->ramp;
    }
    s->totals.hops[c] += (u64)hops;
    s->totals.copied[c] += (u64)(hops + heard - 1);
    s->stored += hops - 1;
    s->last_move = f->cycle;
}

static int has_room(const wsk_strip *s, const wsk_lones *sent, int words) { return sent->n + SIDES * words <= s->room_lone; }

static wsk_inbound inbound(const wsk_lone *w)
{
    return (wsk_inbound){ (u64)1 << (w->x % 64), 0, NULL, 1, w->word };
}

/* A word that stands at its router joins the queue there. */
static void keep(wsk_fabric *f, wsk_strip *s, wsk_lone *w)
{
    wsk_inbound in = inbound(w);
    wsk_keep(f, s, w->y, w->x / 64, w->index, &in);
    w->state = LONE_STORED;
}

void wsk_depart_lone(wsk_fabric *f, wsk_strip *s)
{
    wsk_lones *here = s->lone + f->cycle % f->ring, *sent = s->lone + (f->cycle + f->hop) % f->ring;
    if (!here->n)
        return;
    s->awake_until = f->cycle + AWAKE;
    for (int i = 0; i < here->n; i++) {
        wsk_lone *w = here->of + i;
        if (w->state == LONE_STORED)
            continue;
        if (has_room(s, sent, 1) && all_open(f, w->x, w->y, w->index, w->out))
            send(f, s, sent, w->x, w->y, w->index, w->out, w->word);
        else
            keep(f, s, w);
    }
    here->n = 0;
}

/* The words of a lane that could go alone, appended to words: how many there are then, or FEW + 1 if one could not. */
static int gather(const wsk_fabric *f, int y, int k, int c, wsk_lone *words, int n)
{
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    if (lane->occupied[0] != lane->head || lane->occupied[1] | lane->occupied[2])
        return FEW + 1;
    for (u64 m = lane->head; m; m &= m - 1) {
        int x = 64 * k + wsk_ctz(m), out = f->out_of[*wsk_simple_at(f, x, y, c)];
        if (n == FEW || !out)
            return FEW + 1;
        words[n++] = (wsk_lone){ (u16)x, (u16)y, wsk_data_at(f, y, c, 0)[x], (u8)c, (u8)out, 0, 0 };
    }
    return n;
}

/* Whether a word goes on for some while: next to its aim it is not worth while. */
static int goes_far(const wsk_fabric *f, const wsk_lone *w)
{
    for (int out = w->out & ~(1 << WSK_RAMP); out; out &= out - 1) {
        int d = __builtin_ctz((unsigned)out);
        if (!*wsk_simple_at(f, w->x + dx[d], w->y + dy[d], w->index))
            return 0;
    }
    return w->out != 1 << WSK_RAMP;
}

/* All words of a block that no two colors contend in leave alone, if they are few and nothing stops them. 1: they did. */
int wsk_go_alone(wsk_fabric *f, const wsk_row *r, int k)
{
    wsk_strip *s = r->strip;
    wsk_lones *sent = s->lone + (f->cycle + f->hop) % f->ring;
    wsk_lone words[FEW];
    int n = 0;
    for (u32 colors = r->blocks[k].active; colors; colors &= colors - 1) {
        n = gather(f, r->y, k, __builtin_ctz(colors), words, n);
        if (n > FEW)
            return 0;
    }
    if (!has_room(s, sent, n))
        return 0;
    for (int i = 0; i < n; i++)
        if (!goes_far(f, words + i) || !all_open(f, words[i].x, r->y, words[i].index, words[i].out))
            return 0;
    for (int i = 0; i < n; i++) {
        wsk_leave(f, r, k, words[i].index, (u64)1 << (words[i].x % 64));
        send(f, s, sent, words[i].x, r->y, words[i].index, words[i].out, words[i].word);
    }
    return 1;
}

/* Words that left for this strip from the one beside it. */
static void pull(wsk_fabric *f, wsk_strip *s, const wsk_lones *from)
{
    wsk_lones *sent = s->lone + (f->cycle + f->hop) % f->ring;
    for (int i = 0; i < from->n; i++)
        sent->of[sent->n++] = from->of[i];
    if (from->n)
        s->awake_until = f->cycle + AWAKE;
}

/* Where words land in this cycle: which ways they go on, and whether any may not go on alone. */
static int meet(wsk_fabric *f, wsk_lones *landing)
{
    u16 now = (u16)((u32)(f->cycle + 1) << PORTS);    /* a cycle of long ago may look like this one: then words are stored */
    int any = 0;
    for (int i = 0; i < landing->n; i++) {
        wsk_lone *w = landing->of + i;
        w->out = f->out_of[*wsk_simple_at(f, w->x, w->y, w->index)];
        u16 *met = f->met + (size_t)w->y * f->width + w->x;
        int before = *met >> PORTS == now >> PORTS ? *met & ALL_PORTS : 0, clash = !w->out || before & w->out;
        *met = (u16)(now | before | w->out | (clash ? ALL_PORTS : 0));
        any |= clash | block_active(f, w->x, w->y) | w->state;
    }
    return any;
}

/* A place in the queue, for words that are not alone to see; or no more. */
static void place(wsk_fabric *f, wsk_lone *w, int placed)
{
    wsk_lane *lane = f->lane + wsk_lane_at(f, w->y, w->x / 64, w->index);
    u64 bit = (u64)1 << (w->x % 64);
    if (placed)
        wsk_binary_add(lane->occupied, COUNT_BITS, bit);
    else
        wsk_binary_subtract(lane->occupied, COUNT_BITS, bit);
    lane->full = wsk_full(f, lane);
    w->state = placed ? LONE_PLACED : 0;
}

/* Store what may not go on alone. */
static int store_met(wsk_fabric *f, wsk_strip *s, wsk_lones *landing)
{
    for (int i = 0; i < landing->n; i++) {
        wsk_lone *w = landing->of + i;
        int ports = f->met[(size_t)w->y * f->width + w->x] & ALL_PORTS;
        if (w->out && ports != ALL_PORTS && !block_active(f, w->x, w->y)) {
            if (w->state == LONE_PLACED)
                place(f, w, 0);
            continue;
        }
        wsk_inbound in = inbound(w);
        int status = wsk_take(f, s, w->y, w->x / 64, w->index, &in, w->state == LONE_PLACED ? LAND : RESERVE | LAND);
        if (status < 0)
            return status;
        w->state = LONE_STORED;
    }
    return 0;
}

/* Words on long links to blocks where others are. */
static void place_coming(wsk_fabric *f, wsk_strip *s, int64_t arrival)
{
    wsk_lones *coming = s->lone + arrival % f->ring;
    for (int i = 0; i < coming->n; i++) {
        wsk_lone *w = coming->of + i;
        if (!w->state && block_active(f, w->x, w->y))
            place(f, w, 1);
    }
}

/* End of phase two, when the other words of the strip have arrived. */
int wsk_arrive_lone(wsk_fabric *f, wsk_strip *s)
{
    int i = (int)(s - f->strip), top = STRIP_ROWS * i, status = 0;
    if (i > 0)
        pull(f, s, s[-1].over + 1);
    if (i + 1 < f->strips)
        pull(f, s, s[1].over);
    wsk_lones *landing = s->lone + (f->cycle + 1) % f->ring;
    if (landing->n && meet(f, landing))
        status = store_met(f, s, landing);
    for (int ahead = 2; ahead <= f->hop; ahead++)
        place_coming(f, s, f->cycle + ahead);
    for (int y = top; y < f->height && y < top + STRIP_ROWS; y++)
        f->row_busy[y] = f->row_active[y];
    return status;
}

/* Between two cycles: all words where the queues show them. */
void wsk_keep_lone(wsk_fabric *f, wsk_strip *s)
{
    wsk_lones *here = s->lone + f->cycle % f->ring;
    for (int i = 0; i < here->n; i++)
        if (here->of[i].state != LONE_STORED) {
            keep(f, s, here->of + i);
            f->row_busy[here->of[i].y] = f->row_active[here->of[i].y];
        }
    for (int ahead = 1; ahead < f->hop; ahead++) {
        wsk_lones *coming = s->lone + (f->cycle + ahead) % f->ring;
        for (int i = 0; i < coming->n; i++)
            if (!coming->of[i].state)
                place(f, coming->of + i, 1);
    }
}

/* Whether a lone word comes, in the next cycle, to the router (x, y) by a port. */
int wsk_lone_from(const wsk_fabric *f, const wsk_strip *s, int x, int y, int c, int port)
{
    const wsk_lones *landing = s->lone + (f->cycle + 1) % f->ring;
    for (int i = 0; i < landing->n; i++) {
        const wsk_lone *w = landing->of + i;
        if (w->x == x && w->y == y && w->index == c && w->from == port)
            return 1;
    }
    return 0;
}
