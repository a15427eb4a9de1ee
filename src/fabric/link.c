/* Links between the edges of two fabrics: words with the cycles at which they are due, in order. */
#include "wsekern_connect.h"
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

enum { LONGEST = 1000000000, MOST_WORDS = 65536, LONGEST_FRAME = 1000000 };

struct wsk_link {
    wsk_link_rules rules;
    wsk_link_word *words;             /* of a ring of `room`: n words from `at` on */
    int64_t room, at, n;
    int64_t *left;                    /* [rules.words] when the last ones began to cross, in turn */
    int64_t crossed;                  /* words that ever did */
    int64_t collected;                /* the cycle whose words were collected last, -1: none */
};

static int is_edge(int port, int first, int lanes) { return port >= 0 && port < SIDES && first >= 0 && first <= 65536 - lanes; }

static int check_link(const wsk_link_rules *r)
{
    if (!r || r->size < sizeof *r || r->lanes < 1 || r->lanes > 65536 || !is_edge(r->from_port, r->from_first, r->lanes)
        || !is_edge(r->to_port, r->to_first, r->lanes) || r->latency < 1 || r->latency > LONGEST || r->words < 1
        || r->words > MOST_WORDS || r->frame < 1 || r->frame > LONGEST_FRAME)
        return WSK_ERR_BAD_ARGUMENT;
    return 0;
}

int wsk_link_create(wsk_link **link, const wsk_link_rules *rules)
{
    if (link)
        *link = NULL;
    if (!link || check_link(rules) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_link *l = wsk_alloc_zero(1, sizeof *l);
    if (!l)
        return WSK_ERR_NO_MEMORY;
    l->rules = *rules;
    l->left = wsk_alloc_zero((size_t)rules->words, sizeof *l->left);
    if (!l->left) {
        wsk_free(l);
        return WSK_ERR_NO_MEMORY;
    }
    l->collected = -1;
    *link = l;
    return 0;
}

void wsk_link_free(wsk_link *l)
{
    if (!l)
        return;
    wsk_free(l->words);
    wsk_free(l->left);
    wsk_free(l);
}

int wsk_link_reset(wsk_link *l)
{
    if (!l)
        return WSK_ERR_BAD_ARGUMENT;
    l->at = l->n = l->crossed = 0;
    l->collected = -1;
    return 0;
}

/* Room for n words more. */
static int reserve(wsk_link *l, int64_t n)
{
    if (l->n + n <= l->room)
        return 0;
    int64_t more = 2 * (l->n + n) + 64;
    wsk_link_word *grown = wsk_alloc((size_t)more * sizeof *grown);
    if (!grown)
        return WSK_ERR_NO_MEMORY;
    for (int64_t i = 0; i < l->n; i++)
        grown[i] = l->words[(l->at + i) % l->room];
    wsk_free(l->words);
    l->words = grown;
    l->room = more;
    l->at = 0;
    return 0;
}

/* One word at the end of the queue, which has room. */
static void append(wsk_link *l, const wsk_link_word *word) { l->words[(l->at + l->n++) % l->room] = *word; }

/* When a word that came at a cycle begins to cross: `words` of them in any `frame` cycles, none before another. */
static int64_t crosses(const wsk_link *l, int64_t cycle)
{
    int64_t words = l->rules.words, start = cycle;
    if (l->crossed && l->left[(l->crossed - 1) % words] > start)
        start = l->left[(l->crossed - 1) % words];
    if (l->crossed >= words && l->left[l->crossed % words] + l->rules.frame > start)
        start = l->left[l->crossed % words] + l->rules.frame;
    return start;
}

int wsk_link_put(wsk_link *l, int64_t cycle, int lane, int color, uint32_t data, int flags)
{
    if (!l || cycle < 0 || cycle > INT64_MAX / 2 || lane < 0 || lane >= l->rules.lanes || color < 0 || color >= WSK_COLORS
        || flags & ~(WSK_CONTROL | WSK_ADVANCE))
        return WSK_ERR_BAD_ARGUMENT;
    if (reserve(l, 1) < 0)
        return WSK_ERR_NO_MEMORY;
    int64_t start = crosses(l, cycle);
    wsk_link_word word = { start + l->rules.latency, data, (uint16_t)lane, (uint8_t)color, (uint8_t)flags };
    append(l, &word);
    l->left[l->crossed++ % l->rules.words] = start;
    return 0;
}

/* The number of a row or column of an edge. */
static int place_on_edge(const wsk_fabric *f, int port, u32 pe)
{
    return (int)(port == WSK_NORTH || port == WSK_SOUTH ? pe % (u32)f->width : pe / (u32)f->width);
}

/* Whether the lanes lie on the edge of a fabric, whose edges are open. */
static int fits(const wsk_fabric *f, int port, int first, int lanes)
{
    int length = port == WSK_NORTH || port == WSK_SOUTH ? f->width : f->height;
    return f->plan->rules.open_edges && first <= length - lanes;
}

int wsk_link_collect(wsk_link *l, const wsk_fabric *from)
{
    const wsk_delivery *list;
    int found = 0, most = 0;
    if (!l || !from || !fits(from, l->rules.from_port, l->rules.from_first, l->rules.lanes))
        return WSK_ERR_BAD_ARGUMENT;
    if (from->cycle <= l->collected)
        return 0;
    for (int i = 0; i < from->strips; i++)
        most += wsk_fabric_deliveries(from, i, &list);
    if (reserve(l, most) < 0)                 /* all of the cycle's words, or none */
        return WSK_ERR_NO_MEMORY;
    for (int i = 0; i < from->strips; i++) {
        int n = wsk_fabric_deliveries(from, i, &list);
        for (int j = 0; j < n; j++) {
            int lane = place_on_edge(from, l->rules.from_port, list[j].pe) - l->rules.from_first;
            if (list[j].port != l->rules.from_port || lane < 0 || lane >= l->rules.lanes)
                continue;
            wsk_link_put(l, from->cycle, lane, list[j].color, list[j].data, list[j].flags & WSK_CONTROL);
            found++;
        }
    }
    l->collected = from->cycle;
    return found;
}

int wsk_link_deliver(wsk_link *l, wsk_fabric *to)
{
    int given = 0;
    if (!l || !to || !fits(to, l->rules.to_port, l->rules.to_first, l->rules.lanes))
        return WSK_ERR_BAD_ARGUMENT;
    for (; l->n && l->words[l->at].due <= to->cycle; given++) {
        const wsk_link_word *word = l->words + l->at;
        int place = l->rules.to_first + word->lane, port = l->rules.to_port;
        int x = port == WSK_EAST ? to->width - 1 : port == WSK_WEST ? 0 : place;
        int y = port == WSK_SOUTH ? to->height - 1 : port == WSK_NORTH ? 0 : place;
        int status = wsk_fabric_inject(to, (u32)(y * to->width + x), port, word->color, &word->data,
                                       word->flags ? &word->flags : NULL, 1);
        if (status < 0)
            return status;
        l->at = (l->at + 1) % l->room;
        l->n--;
    }
    return given;
}

int wsk_link_take(wsk_link *l, wsk_link_word *words, int room)
{
    int n = 0;
    if (!l || room < 0 || (room && !words))
        return WSK_ERR_BAD_ARGUMENT;
    for (; n < room && l->n; n++, l->n--) {
        words[n] = l->words[l->at];
        l->at = (l->at + 1) % l->room;
    }
    return n;
}

int wsk_link_give(wsk_link *l, const wsk_link_word *words, int n)
{
    if (!l || n < 0 || (n && !words))
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < n; i++) {
        int64_t before = i ? words[i - 1].due : l->n ? l->words[(l->at + l->n - 1) % l->room].due : 0;
        if (words[i].due < before || words[i].lane >= l->rules.lanes || words[i].color >= WSK_COLORS
            || words[i].flags & ~(WSK_CONTROL | WSK_ADVANCE))
            return WSK_ERR_BAD_ARGUMENT;
    }
    if (reserve(l, n) < 0)
        return WSK_ERR_NO_MEMORY;
    for (int i = 0; i < n; i++)
        append(l, words + i);
    return n;
}

int64_t wsk_link_next(const wsk_link *l) { return !l ? WSK_ERR_BAD_ARGUMENT : l->n ? l->words[l->at].due : INT64_MAX; }
int64_t wsk_link_waiting(const wsk_link *l) { return l ? l->n : WSK_ERR_BAD_ARGUMENT; }

/* ---- Fabrics that are stepped together ------------------------------------------------------------------------------ */

static int check_run(wsk_fabric *const *fabrics, int n_fabrics, const wsk_joint *joints, int n_joints, int64_t until)
{
    if (!fabrics || n_fabrics < 1 || n_joints < 0 || (n_joints && !joints))
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < n_fabrics; i++)
        if (!fabrics[i] || fabrics[i]->cycle != fabrics[0]->cycle || until < fabrics[i]->cycle)
            return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < n_joints; i++)
        if (!joints[i].link || joints[i].from < 0 || joints[i].from >= n_fabrics || joints[i].to < 0
            || joints[i].to >= n_fabrics)
            return WSK_ERR_BAD_ARGUMENT;
    return 0;
}

/* Words that leave now, and words that come in now: a negative status of either. */
static int exchange(wsk_fabric *const *fabrics, const wsk_joint *joints, int n)
{
    int status = 0;
    for (int i = 0; i < n && status >= 0; i++)
        status = wsk_link_collect(joints[i].link, fabrics[joints[i].from]);
    for (int i = 0; i < n && status >= 0; i++)
        status = wsk_link_deliver(joints[i].link, fabrics[joints[i].to]);
    return status;
}

/* The next cycle in which a fabric or a link does anything. */
static int64_t next_of_all(wsk_fabric *const *fabrics, int n_fabrics, const wsk_joint *joints, int n_joints)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < n_fabrics; i++) {
        int64_t mine = wsk_fabric_next_event(fabrics[i]);
        next = mine < next ? mine : next;
    }
    for (int i = 0; i < n_joints; i++) {
        int64_t due = wsk_link_next(joints[i].link);
        next = due < next ? due : next;
    }
    return next;
}

int wsk_link_run(wsk_fabric *const *fabrics, int n_fabrics, const wsk_joint *joints, int n_joints, int64_t until, int idle)
{
    int status = check_run(fabrics, n_fabrics, joints, n_joints, until);
    while (status >= 0) {
        status = exchange(fabrics, joints, n_joints);
        int64_t now = fabrics[0]->cycle, next = status < 0 ? now : next_of_all(fabrics, n_fabrics, joints, n_joints);
        if (status < 0 || now >= until || (idle && next == INT64_MAX))
            break;
        next = next < until ? next : until;
        for (int i = 0; i < n_fabrics && status >= 0; i++)
            status = next > now ? wsk_fabric_skip(fabrics[i], next) : wsk_fabric_step(fabrics[i]);
    }
    return status < 0 ? status : 0;
}
