/* Ways between PEs, painted with colors that are free where they go. */
#include "ways.h"
#include "common/memory.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Painting ------------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The number of a plain route, which is added where there is none like it. */
static int route_number(wsk_ways *w, u8 in, u8 out)
{
    wsk_route route = { .positions = 1, .in = { in }, .out = { out } };
    for (int i = w->n_routes - 1; i >= 0; i--)
        if (!memcmp(w->routes + i, &route, sizeof route))
            return i;
    w->routes = wsk_room_for(w, w->routes, w->n_routes, &w->room_routes, sizeof *w->routes);
    if (!w->no_memory)
        w->routes[w->n_routes++] = route;
    return w->n_routes - 1;
}

/* PEs with one route, n of them in a row: a rectangle, or a row more of the one above. */
static void add_row(wsk_ways *w, wsk_rect run)
{
    int above = w->above[run.x];
    wsk_rect *rect = above >= 0 ? w->rects + above : NULL;
    if (rect && rect->width == run.width && rect->route == run.route && rect->y + rect->height == run.y) {
        rect->height++;
        return;
    }
    w->rects = wsk_room_for(w, w->rects, w->n_rects, &w->room_rects, sizeof *w->rects);
    if (w->no_memory)
        return;
    w->above[run.x] = w->n_rects;
    w->rects[w->n_rects++] = run;
}

static u8 input_of(const wsk_ways *w, int32_t pe) { return (u8)(1 << w->towards[pe]); }

static void paint_tree(wsk_ways *w, int color)
{
    qsort(w->tree, (size_t)w->n_tree, sizeof *w->tree, by_number);
    memset(w->above, -1, (size_t)w->rules.width * sizeof *w->above);
    for (int i = 0, n; i < w->n_tree && !w->no_memory; i += n) {
        int32_t pe = w->tree[i];
        for (n = 1; i + n < w->n_tree && w->tree[i + n] == pe + n && (pe + n) % w->rules.width
                    && w->out[pe + n] == w->out[pe] && w->towards[pe + n] == w->towards[pe]; n++) {}
        add_row(w, (wsk_rect){ color, pe % w->rules.width, pe / w->rules.width, n, 1,
                               route_number(w, input_of(w, pe), w->out[pe]) });
    }
    for (int i = 0; i < w->n_tree && !w->no_memory; i++)
        w->closed[w->tree[i]] |= (u32)1 << color;
}

/* Take rectangles back, from number n on. */
static void unpaint(wsk_ways *w, int n, int n_routes)
{
    for (int i = n; i < w->n_rects; i++) {
        const wsk_rect *r = w->rects + i;
        for (int y = r->y; y < r->y + r->height; y++)
            for (int x = r->x; x < r->x + r->width; x++)
                w->closed[y * w->rules.width + x] &= ~((u32)1 << r->color);
    }
    w->n_rects = n;
    w->n_routes = n_routes;
}

/* ---- Connections ---------------------------------------------------------------------------------------------------- */

/* Where one source leads to: one PE of each rectangle (all of them with one source). */
typedef struct { const wsk_area *to; int n_to, dx, dy, all; } wsk_goal;

static wsk_area part_of(const wsk_goal *g, int i)
{
    return g->all ? g->to[i] : (wsk_area){ g->to[i].x + g->dx, g->to[i].y + g->dy, 1, 1 };
}

/* Mark the destinations of a source for a new search. */
static void aim(wsk_ways *w, const wsk_goal *g)
{
    wsk_begin_search(w);
    for (int i = 0; i < g->n_to; i++)
        wsk_mark_destinations(w, part_of(g, i));
}

/* Links from a source to the farthest destination, as the crow flies on a mesh. */
static int farthest(const wsk_ways *w, int32_t source)
{
    int x = source % w->rules.width, y = source / w->rules.width, most = 0;
    for (int32_t i = 0; i < w->n_tree; i++) {
        int32_t pe = w->tree[i];
        int dx = pe % w->rules.width - x, dy = pe / w->rules.width - y;
        int links = (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
        if (w->out[pe] >> WSK_RAMP & 1 && links > most)
            most = links;
    }
    return most;
}

static int deepest(const wsk_ways *w)
{
    int most = 0;
    for (int32_t i = 0; i < w->n_tree; i++)
        most = w->depth[w->tree[i]] > most ? w->depth[w->tree[i]] : most;
    return most;
}

/* Why a color does not lead from a source to all destinations. */
static void note_refusal(wsk_ways *w, const wsk_goal *g, int32_t source, int color, wsk_connection *found)
{
    found->tried |= (u32)1 << color;
    if (w->closed[source] >> color & 1)
        found->at_source |= (u32)1 << color;
    for (int i = 0; i < g->n_to; i++) {
        wsk_area a = part_of(g, i);
        for (int y = a.y; y < a.y + a.height; y++)
            for (int x = a.x; x < a.x + a.width; x++) {
                int32_t pe = y * w->rules.width + x;
                if (w->joined[pe] == w->search)
                    continue;
                found->to_x = x;
                found->to_y = y;
                if (w->closed[pe] >> color & 1)
                    found->at_destination |= (u32)1 << color;
                return;
            }
    }
}

/* The best color of a mask for one source, with its tree; -1: none. */
static int choose(wsk_ways *w, const wsk_goal *g, int32_t source, u32 colors, wsk_connection *found)
{
    int best = -1, shortest = INT_MAX, last = -1;
    for (u32 left = colors; left && !w->no_memory; left &= left - 1) {
        int color = last = __builtin_ctz(left);
        aim(w, g);
        if (!wsk_grow(w, source, color)) {
            note_refusal(w, g, source, color, found);
            continue;
        }
        int links = deepest(w);
        if (links < shortest) {
            best = color;
            shortest = links;
        }
        if (links == farthest(w, source))
            break;
    }
    if (best >= 0 && best != last) {
        aim(w, g);
        wsk_grow(w, source, best);
    }
    return w->no_memory ? -1 : best;
}

static int on_fabric(const wsk_ways *w, const wsk_area *a)
{
    const wsk_rules *r = &w->rules;
    return a->x >= 0 && a->y >= 0 && a->width >= 1 && a->height >= 1 && a->width <= r->width && a->height <= r->height
        && a->x <= r->width - a->width && a->y <= r->height - a->height;
}

static int check_connect(const wsk_ways *w, u32 colors, const wsk_area *from, const wsk_area *to, int n_to,
                         const wsk_connection *found)
{
    if (!w || !from || !to || n_to < 1 || !found || found->size < sizeof *found || !colors || colors >> WSK_COLORS
        || !on_fabric(w, from))
        return WSK_ERR_BAD_ARGUMENT;
    int one = from->width == 1 && from->height == 1;
    for (int i = 0; i < n_to; i++)
        if (!on_fabric(w, to + i) || (!one && (to[i].width != from->width || to[i].height != from->height)))
            return WSK_ERR_BAD_ARGUMENT;
    return 0;
}

int wsk_connect(wsk_ways *w, uint32_t colors, const wsk_area *from, const wsk_area *to, int n_to, uint8_t *color_of,
                wsk_connection *found)
{
    if (check_connect(w, colors, from, to, n_to, found) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    int rects = w->n_rects, routes = w->n_routes, n = from->width * from->height;
    *found = (wsk_connection){ .size = found->size, .x = -1, .y = -1, .to_x = -1, .to_y = -1, .sources = n };
    w->no_memory = 0;
    for (int i = 0; i < n; i++) {
        wsk_goal g = { to, n_to, i % from->width, i / from->width, n == 1 };
        int32_t source = (from->y + g.dy) * w->rules.width + from->x + g.dx;
        wsk_connection tried = { .to_x = -1, .to_y = -1 };
        int color = choose(w, &g, source, colors, &tried);
        if (color >= 0)
            paint_tree(w, color);
        if (color < 0 || w->no_memory) {
            unpaint(w, rects, routes);
            *found = (wsk_connection){ .size = found->size, .x = from->x + g.dx, .y = from->y + g.dy, .to_x = tried.to_x,
                                       .to_y = tried.to_y, .tried = tried.tried, .at_source = tried.at_source,
                                       .at_destination = tried.at_destination, .sources = n };
            return w->no_memory ? WSK_ERR_NO_MEMORY : WSK_ERR_NO_WAY;
        }
        found->colors |= (u32)1 << color;
        found->links += w->n_tree - 1;
        found->longest = deepest(w) > found->longest ? deepest(w) : found->longest;
        if (color_of)
            color_of[i] = (u8)color;
    }
    return 0;
}

int wsk_ways_routes(const wsk_ways *w, const wsk_route **routes)
{
    if (!w || !routes)
        return WSK_ERR_BAD_ARGUMENT;
    *routes = w->routes;
    return w->n_routes;
}

int wsk_ways_rects(const wsk_ways *w, const wsk_rect **rects)
{
    if (!w || !rects)
        return WSK_ERR_BAD_ARGUMENT;
    *rects = w->rects;
    return w->n_rects;
}

/* ---- As a sentence -------------------------------------------------------------------------------------------------- */

typedef struct { char *text; size_t room; int length; } wsk_line;

static void say(wsk_line *line, const char *format, ...)
{
    va_list values;
    size_t at = (size_t)line->length < line->room ? (size_t)line->length : line->room;
    va_start(values, format);
    line->length += vsnprintf(at < line->room ? line->text + at : NULL, line->room - at, format, values);
    va_end(values);
}

/* Colors of a mask, and what about them; nothing of an empty one. */
static void say_colors(wsk_line *line, const char *before, u32 colors, const char *after)
{
    if (!colors)
        return;
    say(line, "%s%s ", before, colors & (colors - 1) ? "colors" : "color");
    for (u32 left = colors, more; left; left = more) {
        more = left & (left - 1);
        say(line, "%d%s", __builtin_ctz(left), !more ? "" : more & (more - 1) ? ", " : " and ");
    }
    say(line, "%s", after);
}

int wsk_connection_text(const wsk_connection *found, char *text, size_t room)
{
    wsk_line line = { text, text ? room : 0, 0 };
    if (!found || (!text && room))
        return WSK_ERR_BAD_ARGUMENT;
    if (found->x < 0) {
        say(&line, "%d %s of %d links, the longest of %d", found->sources, found->sources == 1 ? "way" : "ways", found->links,
            found->longest);
        say_colors(&line, ", on ", found->colors, "");
        return line.length;
    }
    u32 at_source = found->at_source & found->tried, at_destination = found->at_destination & found->tried & ~at_source;
    say(&line, "colors run out: none leads from PE (%d, %d) to PE (%d, %d)", found->x, found->y, found->to_x, found->to_y);
    say_colors(&line, "; ", at_source, " in use at the source");
    say_colors(&line, "; ", at_destination, " in use at the destination");
    say_colors(&line, "; ", found->tried & ~at_source & ~at_destination, " cut off by routes between them");
    return line.length;
}
