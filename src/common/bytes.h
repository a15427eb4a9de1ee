/* Numbers as bytes, little-endian on every machine, and back: bytes that end too early or say what cannot be are noticed. */
#ifndef WSEKERN_BYTES_H
#define WSEKERN_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Writes while there is room, and counts on: with `to` NULL it only counts. */
typedef struct { unsigned char *to; size_t room, at; } wsk_writer;
/* Reads while there are bytes: `bad` says that there were not enough; what was read then is 0. */
typedef struct { const unsigned char *from; size_t n, at; int bad; } wsk_reader;

static inline void wsk_put_bytes(wsk_writer *w, const void *from, size_t n)
{
    if (w->to && n && n <= w->room && w->at <= w->room - n)
        memcpy(w->to + w->at, from, n);
    w->at += n;
}

static inline void wsk_put(wsk_writer *w, uint64_t value, int bytes)
{
    unsigned char digits[8];
    for (int i = 0; i < bytes; i++)
        digits[i] = (unsigned char)(value >> (8 * i));
    wsk_put_bytes(w, digits, (size_t)bytes);
}

static inline void wsk_put_u32(wsk_writer *w, uint32_t value) { wsk_put(w, value, 4); }
static inline void wsk_put_u64(wsk_writer *w, uint64_t value) { wsk_put(w, value, 8); }

/* The next n bytes where they lie, NULL: there are not so many. */
static inline const unsigned char *wsk_get_bytes(wsk_reader *r, size_t n)
{
    if (r->bad || n > r->n - r->at) {
        r->bad = 1;
        return NULL;
    }
    r->at += n;
    return r->from + r->at - n;
}

static inline uint64_t wsk_get(wsk_reader *r, int bytes)
{
    const unsigned char *digits = wsk_get_bytes(r, (size_t)bytes);
    uint64_t value = 0;
    for (int i = 0; digits && i < bytes; i++)
        value |= (uint64_t)digits[i] << (8 * i);
    return value;
}

static inline uint32_t wsk_get_u32(wsk_reader *r) { return (uint32_t)wsk_get(r, 4); }
static inline uint64_t wsk_get_u64(wsk_reader *r) { return wsk_get(r, 8); }

/* A number that must lie from low to high: elsewhere the bytes are bad, and it is `low`. */
static inline int64_t wsk_get_within(wsk_reader *r, int bytes, int64_t low, int64_t high)
{
    uint64_t bits = wsk_get(r, bytes);
    int64_t value = bytes == 8 ? (int64_t)bits : bytes == 4 ? (int32_t)bits : bytes == 2 ? (int16_t)bits : (int8_t)bits;
    if (value >= low && value <= high)
        return value;
    r->bad = 1;
    return low;
}

/* CRC-32 of ISO 3309, as zlib has it; goes on from `sum`, 0 at the start. */
static inline uint32_t wsk_crc(uint32_t sum, const void *bytes, size_t n)
{
    uint32_t table[256];
    const unsigned char *from = bytes;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    for (sum = ~sum; n; n--)
        sum = sum >> 8 ^ table[(sum ^ *from++) & 0xff];
    return ~sum;
}

#endif
