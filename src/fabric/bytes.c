/* Saved bytes: numbers, planes of bits, and the frame around them. */
#include "bytes.h"
#include <string.h>

enum { FRAME = 16, CHECK = 8 };       /* bytes before and after what is saved */
static const u8 magic[8] = { 'w', 's', 'e', 'k', 'e', 'r', 'n', '\n' };

/* FNV-1a: any altered byte alters it. */
static u64 checksum(const u8 *bytes, size_t n)
{
    u64 sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

void wsk_bytes_count(wsk_bytes *b, int64_t *n, int64_t most, size_t size)
{
    WSK_MOVE(b, *n);
    if (b->from && (b->bad || *n < 0 || *n > most || (u64)*n > (b->n - b->at) / size)) {
        b->bad = 1;
        *n = 0;
    }
}

void wsk_bytes_plane(wsk_bytes *b, u64 *plane, u64 within)
{
    u8 kind = *plane == 0 ? 0 : *plane == within ? 1 : 2;
    WSK_MOVE(b, kind);
    if (kind == 2)
        WSK_MOVE(b, *plane);
    else if (b->from)
        *plane = kind ? within : 0;
    if (!wsk_bytes_need(b, kind <= 2 && !(*plane & ~within)))
        *plane = 0;
}

void wsk_bytes_begin(wsk_bytes *b, int kind)
{
    u32 abi = WSEKERN_ABI_VERSION, is = (u32)kind;
    if (b->from) {
        wsk_bytes end = { .from = b->from, .n = b->n };
        u64 sum = 0;
        if (b->n < FRAME + CHECK || memcmp(b->from, magic, sizeof magic) != 0) {
            b->bad = 1;
            return;
        }
        b->n = end.at = b->n - CHECK;
        WSK_MOVE(&end, sum);
        wsk_bytes_need(b, sum == checksum(b->from, b->n));
        b->at = sizeof magic;
    } else {
        for (size_t i = 0; i < sizeof magic; i++) {
            u8 byte = magic[i];
            WSK_MOVE(b, byte);
        }
    }
    WSK_MOVE(b, abi);
    WSK_MOVE(b, is);
    wsk_bytes_need(b, abi == WSEKERN_ABI_VERSION && is == (u32)kind);
}

int wsk_bytes_end(wsk_bytes *b, size_t *needed)
{
    if (b->from)
        return wsk_bytes_need(b, b->at == b->n) ? 0 : WSK_ERR_BAD_BYTES;
    u64 sum = b->to && b->at <= b->n ? checksum(b->to, b->at) : 0;
    WSK_MOVE(b, sum);
    if (needed)
        *needed = b->at;
    return b->to && b->at > b->n ? WSK_ERR_NO_ROOM : 0;
}
