/* Saved bytes: one description of the format serves both ways. Numbers are little-endian; a checksum stands behind them. */
#ifndef WSEKERN_BYTES_H
#define WSEKERN_BYTES_H

#include "fabric_internal.h"

/* What is written (to, of which room bytes are kept, NULL: only counted) or read (from). */
typedef struct {
    u8 *to; const u8 *from;
    size_t at, n;                     /* n: bytes that there are, or room for them */
    int bad;                          /* read: the bytes make no state */
} wsk_bytes;

enum wsk_bytes_kind { WSK_BYTES_PLAN = 1, WSK_BYTES_FABRIC = 2, WSK_BYTES_PROGRAM = 3, WSK_BYTES_SIMULATION = 4 };

/* bytes.c: the beginning and the end of every saved thing. Reading, begin checks all: kind, ABI, length, checksum. end: 0, or
 * WSK_ERR_NO_ROOM, or WSK_ERR_BAD_BYTES if something was wrong or is left over. */
void wsk_bytes_begin(wsk_bytes *b, int kind);
int wsk_bytes_end(wsk_bytes *b, size_t *needed);
/* A number of things of at least `size` bytes each, at most `most`: more cannot follow. */
void wsk_bytes_count(wsk_bytes *b, int64_t *n, int64_t most, size_t size);
/* A plane of 64 bits, of which only those in `within` may be set: one byte where none or all are. */
void wsk_bytes_plane(wsk_bytes *b, u64 *plane, u64 within);

/* A number of some bytes, lowest first. */
static void wsk_bytes_move(wsk_bytes *b, u64 *value, size_t size)
{
    size_t at = b->at;
    if (b->bad || (b->from && size > b->n - at)) {
        b->bad = 1;
        *value = 0;
        return;
    }
    b->at += size;
    if (b->from) {
        *value = 0;
        for (size_t i = 0; i < size; i++)
            *value |= (u64)b->from[at + i] << 8 * i;
    } else if (b->to && at + size <= b->n) {
        for (size_t i = 0; i < size; i++)
            b->to[at + i] = (u8)(*value >> 8 * i);
    }
}

/* Write a field, or read it. */
#define WSK_MOVE(b, field)                                                \
    do {                                                                  \
        u64 value_ = (u64)(field);                                        \
        wsk_bytes_move(b, &value_, sizeof(field));                        \
        if ((b)->from)                                                    \
            (field) = (__typeof__(field))value_;                          \
    } while (0)
/* What is read has to keep this, or no more is believed. */
static inline int wsk_bytes_need(wsk_bytes *b, int holds)
{
    b->bad |= b->from && !holds;
    return !b->bad;
}

/* save_plan.c, save_lanes.c: parts of what is between beginning and end. read: 0 or a status. */
void wsk_move_route(wsk_bytes *b, wsk_route *route);
void wsk_write_plan(wsk_bytes *b, const wsk_plan *plan);
int wsk_read_plan(wsk_bytes *b, wsk_plan **plan);
void wsk_move_lanes(wsk_bytes *b, wsk_fabric *f);
void wsk_move_links(wsk_bytes *b, wsk_fabric *f);
/* A word stands in the queue of color index c at (x, y), or is on its way there: it needs a place, and a route. */
void wsk_take_place(wsk_bytes *b, wsk_fabric *f, int x, int y, int c);
/* save_strips.c: words on ramps, outside and alone, rewritten routes, filters, counts; queues of the host. 0 or a status. */
int wsk_move_overrides(wsk_bytes *b, wsk_fabric *f);
int wsk_move_strips(wsk_bytes *b, wsk_fabric *f);
int wsk_move_inboxes(wsk_bytes *b, wsk_fabric *f);

#endif
