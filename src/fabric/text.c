/* Reports as sentences. */
#include "wsekern_fabric.h"
#include <stdarg.h>
#include <stdio.h>

static const char *const ports[] = { "N", "E", "S", "W", "RAMP" };
static const char *const waits[] = {
    [WSK_WAIT_FULL] = "the next router's queue is full",
    [WSK_WAIT_CLOSED] = "the next router's switch does not listen to this port",
    [WSK_WAIT_CORE] = "the core takes no word",
    [WSK_WAIT_TEARDOWN] = "the color is in teardown",
    [WSK_WAIT_LINK] = "another color has the link",
    [WSK_WAIT_OUTSIDE] = "outside, as the router's switch does not listen to this port",
    [WSK_WAIT_CIRCLES] = "it moves on",
};

const char *wsk_port_name(int port) { return port >= WSK_NORTH && port <= WSK_RAMP ? ports[port] : "?"; }

const char *wsk_wait_text(int reason) { return reason >= WSK_WAIT_FULL && reason <= WSK_WAIT_CIRCLES ? waits[reason] : "?"; }

/* What has been written so far; of a text that is longer than its room, the beginning. */
typedef struct { char *text; size_t room, length; } sentence;

__attribute__((format(printf, 2, 3))) static void add(sentence *s, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int n = s->length < s->room ? vsnprintf(s->text + s->length, s->room - s->length, format, values)
                                : vsnprintf(NULL, 0, format, values);
    va_end(values);
    s->length += n > 0 ? (size_t)n : 0;
}

static void add_link(sentence *s, const wsk_waiting *link, uint32_t width)
{
    int circles = link->reason == WSK_WAIT_CIRCLES;
    add(s, "; PE (%u, %u) color %d %s at %s", link->pe % width, link->pe / width, link->color, circles ? "goes on" : "waits",
        wsk_port_name(link->port));
    if (!circles)
        add(s, ": %s", wsk_wait_text(link->reason));
}

int wsk_report_text(const wsk_report *r, int width, char *text, size_t room)
{
    sentence s = { text, room, 0 };
    if (!r || width < 1 || (room && !text) || r->chain_length < 0 || r->chain_length > WSK_CHAIN)
        return WSK_ERR_BAD_ARGUMENT;
    add(&s, "PE (%u, %u)", r->pe % (uint32_t)width, r->pe / (uint32_t)width);
    if (r->color >= 0)
        add(&s, ", color %d", (int)r->color);
    if (r->port >= 0)
        add(&s, ", port %s", wsk_port_name(r->port));
    if (r->port >= 0 && r->other_port >= 0)
        add(&s, " and %s", wsk_port_name(r->other_port));
    add(&s, ", cycle %lld", (long long)r->cycle);
    for (int i = 0; i < r->chain_length; i++) {
        if (r->chain_skipped && i == WSK_CHAIN / 2)
            add(&s, "; and so on for %d more", (int)r->chain_skipped);
        add_link(&s, r->chain + i, (uint32_t)width);
    }
    if (r->chain_loops)
        add(&s, "; and so on in a loop");
    return (int)s.length;
}
