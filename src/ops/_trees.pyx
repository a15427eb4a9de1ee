# cython: language_level=3
"""What schedules are made with: the dynamic program of the generated reduction tree (see wsekern.ops.lines.trees.best_side, which
says what it computes), colors for routes, and the rows of messages and steps as they are written."""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

import numpy as np

cdef enum:
    MESSAGE_FIELDS = 10     # source, low, high, elements, sums, whole, offset, kind, far, hands over: -1 where there is none
    STEP_FIELDS = 9         # pe, op, elements, then of dst, a and b: buffer, and first element in it or message
    MESSAGE = -1            # in place of a buffer
    NOTHING = -2

KINDS = ("", "line", "plane")


cdef struct Rows:
    # Rows of so many fields, of a number that grows.
    int64_t *at
    Py_ssize_t count, room, fields


cdef int64_t *new_row(Rows *rows) except NULL:
    cdef Py_ssize_t room = rows.room
    cdef int64_t *at = rows.at
    if rows.count == room:
        room = 2 * room + 64
        at = <int64_t *>realloc(at, room * rows.fields * sizeof(int64_t))
        if at == NULL:
            raise MemoryError
        rows.at, rows.room = at, room
    rows.count += 1
    return rows.at + (rows.count - 1) * rows.fields


cdef as_array(const Rows *rows):
    # A copy, a field after the other.
    found = np.empty((rows.count, rows.fields), np.int64)
    cdef int64_t[:, ::1] view = found
    if rows.count:
        memcpy(&view[0, 0], rows.at, rows.count * rows.fields * sizeof(int64_t))
    return np.ascontiguousarray(found.T)


cdef class Written:
    """The messages and the steps of a schedule as they are written: rows of numbers. See ``wsekern.ops.schedule`` for what they
    mean; ``ops`` and ``names`` are the ops and the buffers, by number."""

    cdef Rows messages_, steps_
    cdef readonly dict ops, names

    def __cinit__(self, *_, **__):
        self.messages_.fields, self.steps_.fields = MESSAGE_FIELDS, STEP_FIELDS
        self.ops, self.names = {}, {}

    def __dealloc__(self):
        free(self.messages_.at)
        free(self.steps_.at)

    def __reduce__(self):
        raise TypeError("a schedule is not saved: write it again")

    cdef int64_t add(self, int64_t source, int64_t low, int64_t high, int64_t elements, int64_t sums, int64_t whole,
                     int64_t offset, int64_t kind, int64_t far, int64_t hands) except -1:
        cdef int64_t *row = new_row(&self.messages_)
        row[0], row[1], row[2], row[3], row[4] = source, low, high, elements, sums
        row[5], row[6], row[7], row[8], row[9] = whole, offset, kind, far, hands
        return self.messages_.count - 1

    cdef int64_t *known(self, int64_t message) except NULL:
        if not 0 <= message < self.messages_.count:
            raise IndexError(f"no message {message}: {self.messages_.count} are written")
        return self.messages_.at + message * MESSAGE_FIELDS

    def message(self, int64_t source, int64_t target, int64_t elements, bint sums=True, far=None) -> int:
        """A message from one PE to another, in turns with those of other PEs where the farthest of them is given."""
        return self.add(source, min(source, target), max(source, target), elements, sums, -1, 0, 0,
                        -1 if far is None else far, 0)

    def multicast(self, int64_t source, int64_t low, int64_t high, int64_t elements, str kind="line") -> int:
        """A message from one PE to all others in [low, high], both ways; of the grid, where ``kind`` is ``plane``."""
        return self.add(source, low, high, elements, 0, -1, 0, KINDS.index(kind), -1, 0)

    def part(self, int64_t message, int64_t offset, int64_t elements, hands_over=None) -> int:
        """The elements of ``message`` from ``offset`` on, as something to take or to send by itself."""
        cdef int64_t *of = self.known(message)
        return self.add(of[0], of[1], of[2], elements, of[4], message, offset, of[7], of[8],
                        of[9] if hands_over is None else bool(hands_over))

    def far(self, int64_t message) -> int | None:
        """The farthest of the PEs that take turns with the sender of ``message``."""
        cdef int64_t found = self.known(message)[8]
        return None if found < 0 else found

    cdef int operand(self, operand, int64_t *into) except -1:
        if type(operand) is tuple:
            name, first = operand
            number = self.names.get(name)
            into[0], into[1] = self.names.setdefault(name, len(self.names)) if number is None else number, first
        elif operand is None:
            into[0], into[1] = NOTHING, 0
        else:
            into[0], into[1] = MESSAGE, operand
        return 0

    def step(self, int64_t pe, str op, int64_t elements, dst, a, b=None) -> None:
        """One instruction; nothing where there are no words."""
        cdef int64_t row[STEP_FIELDS]
        if not elements:
            return
        number = self.ops.get(op)
        row[0], row[1], row[2] = pe, self.ops.setdefault(op, len(self.ops)) if number is None else number, elements
        self.operand(dst, row + 3)
        self.operand(a, row + 5)
        self.operand(b, row + 7)
        memcpy(new_row(&self.steps_), row, sizeof(row))

    @property
    def message_count(self) -> int:
        """Messages so far, parts of messages among them."""
        return self.messages_.count

    @property
    def message_columns(self):
        """Of each message, by field: source, lowest and highest PE, elements, whether it is of sums, the message that it is a
        part of and its first element in that, kind of route, the farthest sender, whether it hands over; -1 for none."""
        return as_array(&self.messages_)

    @property
    def step_columns(self):
        """Of each step, by field: PE, op, elements, and of its dst, a and b the buffer (-1 a message, -2 nothing) and the first
        element in it, or the message."""
        return as_array(&self.steps_)


def best_children(int64_t[:, ::1] first, int64_t[:, ::1] free, int64_t[:, ::1] choice, int64_t stage, int64_t hop, int64_t run):
    """Fill ``choice[b, n]``, how far away the last child of the root of n PEs is, no more than b sums over any router.

    ``first[b, n]``: the cycle at which that root executes the first word of its last child; ``free[b, n]``: ``run`` cycles
    later. All are (most + 1, PEs + 1); rows from 1 on hold at n = 1 what a single PE takes, row 0 of ``free`` only that.
    A root of more PEs is never done earlier: the least of max(F(b, n - i) + stage + i hop, free(b - 1, i)) lies where the other
    reaches the least of the one so far, which is never nearer for more PEs.
    """
    cdef Py_ssize_t length = first.shape[1] - 1, most = first.shape[0] - 1, b, n
    ahead_array, low_array = np.empty(length + 1, np.int64), np.empty(length + 1, np.intp)
    cdef int64_t[::1] ahead = ahead_array
    cdef Py_ssize_t[::1] low = low_array
    with nogil:
        for n in range(2, length + 1 if most else 0):
            choice[1, n] = 1
            first[1, n] = max(first[1, n - 1] + stage + hop, free[0, 1])
            free[1, n] = first[1, n] + run
        for b in range(2, most + 1):
            best_of_row(&first[b, 0], &free[b - 1, 0], &choice[b, 0], &ahead[0], &low[0], length, stage, hop)
            for n in range(2, length + 1):
                free[b, n] = first[b, n] + run


cdef void best_of_row(int64_t *first, const int64_t *free_before, int64_t *choice, int64_t *ahead, Py_ssize_t *low,
                      Py_ssize_t length, int64_t stage, int64_t hop) noexcept nogil:
    # One b. ahead[k] = first[k] - k hop; low: the places, lowest first, from each of which on no later one is as low.
    cdef Py_ssize_t n, cross = 1, count = 0
    cdef int64_t best, base
    for n in range(2, length + 1):
        ahead[n - 1] = first[n - 1] - (n - 1) * hop
        while count and ahead[low[count - 1]] >= ahead[n - 1]:
            count -= 1
        low[count] = n - 1
        count += 1
        base = stage + n * hop
        while cross < n and free_before[cross] < base + ahead[low[from_place(low, count, n - cross)]]:
            cross += 1
        best = free_before[cross] if cross < n else INT64_MAX
        if cross > 1:
            best = min(best, base + ahead[low[from_place(low, count, n - cross + 1)]])
        choice[n] = n - low[last_within(ahead, low, count, best - base)]        # the nearest of those that are as good
        first[n] = best


cdef inline Py_ssize_t from_place(const Py_ssize_t *low, Py_ssize_t count, Py_ssize_t place) noexcept nogil:
    # The first of the low places from `place` on.
    cdef Py_ssize_t begin = 0, end = count - 1, middle
    while begin < end:
        middle = (begin + end) // 2
        if low[middle] >= place:
            end = middle
        else:
            begin = middle + 1
    return begin


cdef inline Py_ssize_t last_within(const int64_t *ahead, const Py_ssize_t *low, Py_ssize_t count, int64_t most) noexcept nogil:
    # The last of the low places that is at most so high; one is.
    cdef Py_ssize_t begin = 0, end = count - 1, middle
    while begin < end:
        middle = (begin + end + 1) // 2
        if ahead[low[middle]] <= most:
            begin = middle
        else:
            end = middle - 1
    return begin


def quickest_row(const int64_t[:, ::1] ways, int64_t length, int64_t stage, int64_t taken) -> int:
    """The first row (groups, stages of the levels above, those levels) of ``ways``, by their groups, with which a K-tree on
    ``length`` PEs takes the fewest cycles, or -1 where chains alone take no more: wsekern.ops.lines.levels says of what."""
    cdef int64_t best = length // 2 * stage + taken, cycles
    cdef Py_ssize_t row, found = -1
    for row in range(ways.shape[0]):
        if 3 * ways[row, 0] > length:
            break
        cycles = (ways[row, 1] + (length + ways[row, 0] - 1) // ways[row, 0] // 2) * stage + (ways[row, 2] + 1) * taken
        if cycles < best:
            best, found = cycles, row
    return found


def shared_links(const int64_t[:, ::1] routes, const int64_t[:, ::1] ways, int64_t width):
    """Rows (link, way, links from its source) of the links of ``ways`` that more than one of the ``routes`` goes over. Both:
    source, lowest and highest place, along a row of ``width`` places, or along a column where the row differs."""
    cdef Py_ssize_t way, total = 0
    over_array = np.full(4 * (max(np.max(routes, initial=0), np.max(ways, initial=0)) + 1), -1, np.int64)
    cdef int64_t[::1] over = over_array         # the route over a link, or NOTHING: several
    for way in range(routes.shape[1]):
        walk(&routes[0, way], routes.shape[1], width, way, 0, &over[0], NULL, &total)
    if total:
        total = 0
        for way in range(ways.shape[1]):
            walk(&ways[0, way], ways.shape[1], width, NOTHING, way, &over[0], NULL, &total)
    found = np.empty((total, 3), np.int64)
    cdef int64_t[:, ::1] rows = found
    total = 0
    for way in range(ways.shape[1] if found.size else 0):
        walk(&ways[0, way], ways.shape[1], width, NOTHING, way, &over[0], &rows[0, 0], &total)
    return np.ascontiguousarray(found.T)


cdef void walk(const int64_t *at, Py_ssize_t stride, int64_t width, int64_t route, int64_t way, int64_t *over, int64_t *rows,
               Py_ssize_t *total) noexcept nogil:
    # All links of a way: marks them as those of a route, and counts those that another has; or, without a route, counts
    # those of several routes, into rows if given.
    cdef int64_t source = at[0], low = at[stride], high = at[2 * stride], across = low // width != high // width
    cdef int64_t step = width if across else 1, ahead, end, far, links, link
    for ahead in range(1, -2, -2):
        end = high if ahead > 0 else low
        links = (end - source) // step if ahead > 0 else (source - end) // step
        for far in range(links):
            link = 4 * (source + ahead * far * step) + 2 * across + (ahead > 0)
            if route != NOTHING:
                total[0] += over[link] != -1
                over[link] = route if over[link] == -1 else NOTHING
            elif over[link] == NOTHING:
                if rows != NULL:
                    rows[3 * total[0]], rows[3 * total[0] + 1], rows[3 * total[0] + 2] = link, way, far
                total[0] += 1


def lowest_colors(const int64_t[:, ::1] spans, int64_t length):
    """For routes over the places ``range(start, stop, step)`` of ``length``, given as rows: the lowest color that no route
    before has at any of these places, an array; -1 where 64 are not enough."""
    taken_array, colors_array = np.zeros(length, np.uint64), np.empty(len(spans), np.int64)
    cdef uint64_t[::1] taken = taken_array          # bit c: color c is taken at that place
    cdef int64_t[::1] colors = colors_array
    cdef Py_ssize_t route, place
    cdef uint64_t used
    cdef int64_t color
    with nogil:
        for route in range(spans.shape[0]):
            used = color = 0
            place = spans[route, 0]
            while place < spans[route, 1]:
                used |= taken[place]
                place += spans[route, 2]
            while color < 64 and used >> color & 1:
                color += 1
            colors[route] = color if color < 64 else -1
            place = spans[route, 0]
            while color < 64 and place < spans[route, 1]:
                taken[place] |= <uint64_t> 1 << color
                place += spans[route, 2]
    return colors_array
