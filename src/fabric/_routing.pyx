# cython: language_level=3
"""Wavelet routing over the wafer grid: the loop over cycles, strips, rows and blocks, and thin Python classes."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from time import perf_counter

from cpython.exc cimport PyErr_CheckSignals

import numpy as np

from wsekern._common cimport simd_level_code
from wsekern.fabric.fabric_internal cimport wsk_fabric_inside, wsk_words_at
from wsekern.fabric.run cimport work
from wsekern.fabric.running cimport WSK_RUNNING, WSK_STOPPED, wsk_begin_run, wsk_decide, wsk_run_rounds, wsk_running
from wsekern.team cimport WSK_TEAM_MOST
from wsekern.fabric.wsekern_fabric cimport (
    WSK_COLORS, WSK_LAST_CYCLE, WSK_RAMP, WSK_STOP_DEADLOCK, WSK_STOP_IDLE, WSK_STOP_TIME, WSK_WAIT_CIRCLES, WSK_WAIT_FULL,
    wsk_delivery, wsk_fabric_bytes, wsk_fabric_copy, wsk_fabric_create, wsk_fabric_credit, wsk_fabric_cycle,
    wsk_fabric_deliveries, wsk_fabric_explain, wsk_fabric_free, wsk_fabric_in_flight, wsk_fabric_inject,
    wsk_fabric_link_counts, wsk_fabric_moves, wsk_fabric_occupancy, wsk_fabric_offer, wsk_fabric_offer_edge,
    wsk_fabric_position, wsk_fabric_report, wsk_fabric_reset, wsk_fabric_rewrite, wsk_fabric_set_position,
    wsk_fabric_stall_counts, wsk_fabric_strips, wsk_fabric_teardown, wsk_fabric_torn_down, wsk_fabric_totals,
    wsk_fabric_waiting_outside, wsk_filter, wsk_plan_configured, wsk_plan_create, wsk_plan_free, wsk_plan_open,
    wsk_plan_rules, wsk_port_name, wsk_rect, wsk_report, wsk_report_text, wsk_route, wsk_rules, wsk_totals, wsk_wait_text)
from wsekern.wsekern_status cimport WSK_ERR_BAD_ARGUMENT, WSK_ERR_BUSY, WSK_ERR_NO_MEMORY

# ---- Records of the C library as numpy knows them ------------------------------------------------------------------------

LAST_CYCLE = WSK_LAST_CYCLE             # the clock stops here
PORTS = tuple(wsk_port_name(port).decode() for port in range(WSK_RAMP + 1))
cdef object REASONS = {reason: wsk_wait_text(reason).decode() for reason in range(WSK_WAIT_FULL, WSK_WAIT_CIRCLES + 1)}
DELIVERY = np.dtype([("pe", "u4"), ("data", "u4"), ("color", "u1"), ("flags", "u1"), ("port", "u1"), ("unused", "u1")])
ROUTE = np.dtype([("positions", "u1"), ("initial", "u1"), ("ring", "u1"), ("pop", "u1"), ("swap", "u1"),
                  ("teardown", "u1"), ("in", "u1", 4), ("out", "u1", 4)])
RECT = np.dtype([(name, "i4") for name in ("color", "x", "y", "width", "height", "route")])
FILTER = np.dtype([(name, "i4") for name in ("color", "x", "y", "width", "height", "kind")]
                  + [(name, "u4") for name in ("low", "high", "limit", "limit2", "start")]
                  + [("count_data", "i4"), ("count_control", "i4")])


# ---- Failures as sentences -----------------------------------------------------------------------------------------------

cdef dict report_of(const wsk_report *r, int width):
    chain = [{"pe": (r.chain[i].pe % width, r.chain[i].pe // width), "color": r.chain[i].color,
              "port": PORTS[r.chain[i].port], "waits_for": REASONS[r.chain[i].reason]} for i in range(r.chain_length)]
    return {"status": r.status, "pe": (r.pe % width, r.pe // width), "color": r.color if r.color >= 0 else None,
            "port": PORTS[r.port] if r.port >= 0 else None,
            "other_port": PORTS[r.other_port] if r.other_port >= 0 else None, "cycle": r.cycle,
            "chain": chain, "chain_loops": bool(r.chain_loops), "chain_skipped": r.chain_skipped}


cdef str sentence_of(const wsk_report *report, int width):
    cdef int n = wsk_report_text(report, width, NULL, 0)
    text = bytearray(n + 1)
    wsk_report_text(report, width, text, n + 1)
    return text[:n].decode()


cdef int check(int status, const wsk_report *report, int width) except -1:
    from wsekern.errors import raise_for_status

    if status < 0:
        if report != NULL and report.status == status:
            raise_for_status(status, sentence_of(report, width), report_of(report, width))
        raise_for_status(status)
    return status


# ---- The log of deliveries ---------------------------------------------------------------------------------------------------

cdef int make_room(Log *log, int64_t n) noexcept nogil:
    """Room for ``n`` words in all."""
    cdef wsk_delivery *more_words
    cdef int64_t *more_cycles
    if n <= log.room:
        return 0
    more_words = <wsk_delivery *>realloc(log.words, n * sizeof(wsk_delivery))
    if more_words != NULL:
        log.words = more_words
    more_cycles = <int64_t *>realloc(log.cycles, n * sizeof(int64_t))
    if more_cycles != NULL:
        log.cycles = more_cycles
    if more_words == NULL or more_cycles == NULL:
        return WSK_ERR_NO_MEMORY
    log.room = n
    return 0


cdef int append_log(void *context) noexcept nogil:
    """Copy the deliveries of the current cycle to the log."""
    cdef Log *log = <Log *>context
    cdef const wsk_delivery *words
    cdef int64_t cycle = wsk_fabric_cycle(log.fabric), j
    cdef int i, n
    for i in range(wsk_fabric_strips(log.fabric)):
        n = wsk_fabric_deliveries(log.fabric, i, &words)
        if not n:
            continue
        if log.length + n > log.room and make_room(log, 2 * (log.length + n) + 1024) < 0:
            return WSK_ERR_NO_MEMORY
        memcpy(log.words + log.length, words, n * sizeof(wsk_delivery))
        for j in range(n):
            log.cycles[log.length + j] = cycle
        log.length += n
    return 0


# ---- Python classes ------------------------------------------------------------------------------------------------------


cdef class Plan:
    """Routes compiled for stepping: read-only, shared by any number of states on any threads."""

    def __cinit__(self, rules=None, routes=None, rects=None, filters=None, description=None, *, const uint8_t[::1] saved=None):
        self.description = description
        if saved is not None:
            check(wsk_plan_open(&self.plan, &saved[0] if saved.shape[0] else NULL, saved.shape[0]), NULL, 1)
        else:
            self.compile(rules, routes, rects, filters)

    cdef compile(self, rules, routes, rects, filters):
        cdef wsk_rules c_rules
        cdef wsk_report report
        c_rules.width, c_rules.height, c_rules.hop_latency, c_rules.ramp_latency, c_rules.buffer_depth = rules[:5]
        c_rules.link_words, c_rules.link_frame, c_rules.multicast_all, c_rules.open_edges = rules[5:]
        cdef const uint8_t[::1] r = np.ascontiguousarray(routes, ROUTE).view(np.uint8)
        cdef const uint8_t[::1] t = np.ascontiguousarray(rects, RECT).view(np.uint8)
        cdef const uint8_t[::1] u = np.ascontiguousarray(filters, FILTER).view(np.uint8)
        memset(&report, 0, sizeof(report))
        cdef int status = wsk_plan_create(&self.plan, &c_rules, <const wsk_route *>(&r[0] if r.shape[0] else NULL),
                                          len(routes), <const wsk_rect *>(&t[0] if t.shape[0] else NULL), len(rects),
                                          <const wsk_filter *>(&u[0] if u.shape[0] else NULL), len(filters), &report)
        check(status, &report, c_rules.width)

    def __dealloc__(self):
        wsk_plan_free(self.plan)

    def configured(self, int color) -> bool:
        """Whether a color has a route anywhere."""
        return 0 <= color < WSK_COLORS and wsk_plan_configured(self.plan, color) != 0

    @property
    def open_edges(self) -> bool:
        """Whether words may leave and enter over the edges of the wafer."""
        return wsk_plan_rules(self.plan).open_edges != 0

    @property
    def hop_latency(self) -> int:
        """Cycles from one router to the next."""
        return wsk_plan_rules(self.plan).hop_latency

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in PEs."""
        cdef const wsk_rules *rules = wsk_plan_rules(self.plan)
        return rules.height, rules.width


cdef class State:
    """Everything that changes while words move. ``sinks``: 24 codes, 0 count, 1 log, 2 core credit."""

    def __cinit__(self, Plan plan not None, sinks, int threads=1):
        cdef const uint8_t[::1] codes = np.ascontiguousarray(sinks, np.uint8)
        if codes.shape[0] != WSK_COLORS:
            check(WSK_ERR_BAD_ARGUMENT, NULL, 1)
        self.plan = plan
        self.sinks = tuple(codes)
        self.threads = threads
        check(wsk_fabric_create(&self.fabric, plan.plan, &codes[0], simd_level_code()), NULL, 1)
        self.words.fabric = self.fabric

    def __dealloc__(self):
        wsk_fabric_free(self.fabric)
        free(self.words.words)
        free(self.words.cycles)

    cdef uint32_t pe_of(self, int x, int y) except? 0xffffffff:
        height, width = self.plan.shape
        if not (0 <= x < width and 0 <= y < height):
            from wsekern.errors import InputError

            raise InputError(f"PE ({x}, {y}) is not on the fabric: expected x below {width} and y below {height}")
        return y * width + x

    cdef int done(self, int status) except -1:
        if status >= 0:
            return status
        return check(status, wsk_fabric_report(self.fabric), self.plan.shape[1])

    def reset(self) -> None:
        """Back to cycle 0: no words, routes and switches as in the plan."""
        self.done(wsk_fabric_reset(self.fabric))
        self.words.length = 0

    def copy_from(self, State other not None) -> None:
        """Take over all of another state of the same plan (words, switches, clock, counts, log)."""
        self.done(wsk_fabric_copy(self.fabric, other.fabric))
        cdef int64_t n = other.words.length
        if make_room(&self.words, n) < 0:
            raise MemoryError
        if n:
            memcpy(self.words.words, other.words.words, n * sizeof(wsk_delivery))
            memcpy(self.words.cycles, other.words.cycles, n * sizeof(int64_t))
        self.words.length = n

    def inject(self, pes, int port, int color, data, flags=None) -> None:
        """Words (uint32, one row for each of ``pes``) that wait outside ramps or edges and enter as room allows."""
        cdef const uint32_t[::1] places = pes
        cdef const uint32_t[:, ::1] words = data
        cdef const uint8_t[:, ::1] bits = flags
        cdef Py_ssize_t i
        cdef int status = 0
        if words.shape[0] != places.shape[0] or (bits is not None and (bits.shape[0] != words.shape[0]
                                                                       or bits.shape[1] != words.shape[1])):
            from wsekern.errors import InputError

            raise InputError(f"words of shape {np.shape(data)} with flags of shape {np.shape(flags)} for {places.shape[0]} PEs: "
                             "expected a row for each PE, and as many flags as words")
        with nogil:
            for i in range(places.shape[0] if words.shape[1] else 0):
                status = wsk_fabric_inject(self.fabric, places[i], port, color, &words[i, 0],
                                           &bits[i, 0] if bits is not None else NULL, words.shape[1])
                if status < 0:
                    break
        self.done(status)

    def offer(self, int x, int y, int port, int color, uint32_t data, int flags=0) -> bool:
        """Offer one word in this cycle; whether it was accepted."""
        cdef uint32_t pe = self.pe_of(x, y)
        if port == WSK_RAMP:
            return self.done(wsk_fabric_offer(self.fabric, pe, color, data, flags)) == 1
        return self.done(wsk_fabric_offer_edge(self.fabric, pe, port, color, data, flags)) == 1

    def credit(self, int x, int y, int color, int words) -> None:
        """Tell the fabric that the core can take ``words`` more words of a color."""
        wsk_fabric_credit(self.fabric, self.pe_of(x, y), color, words)

    def run(self, int64_t cycles, bint until_idle=False, int64_t patience=0) -> bool:
        """Step ``cycles`` cycles, or until idle; True if idle was met. Ctrl-C stops between two cycles."""
        cdef int why = self.advance(cycles, (WSK_STOP_IDLE if until_idle else 0) | (WSK_STOP_DEADLOCK if patience > 0 else 0),
                                    patience)
        if why & WSK_STOP_IDLE:
            return True
        if why & WSK_STOP_DEADLOCK and not why & WSK_STOP_TIME:
            self.done(wsk_fabric_explain(self.fabric))
        return False

    cpdef int advance(self, int64_t cycles, int stop=0, int64_t patience=0) except -1:
        """Step ``cycles`` cycles at most, as ``wsk_fabric_run`` with a mask of reasons to stop; the reasons that hold then.
        Ctrl-C stops between two cycles, and so does an error of a callback."""
        cdef wsk_running run
        cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>self.fabric
        cdef int64_t end = inside.cycle + min(cycles, WSK_LAST_CYCLE - inside.cycle), slice_cycles = cycles
        cdef int size = max(1, min(self.threads, WSK_TEAM_MOST))
        cdef const wsk_rules *rules = wsk_plan_rules(self.plan.plan)
        cdef double began = 0.0
        self.done(inside.failed)
        if self.running != NULL:
            self.done(WSK_ERR_BUSY)
        wsk_begin_run(&run, self.fabric, end)
        run.stop, run.patience, run.each, run.context = stop, max(patience, 0), append_log, &self.words
        self.error = None
        self.running = <void *>&run
        if cycles > 16:                         # threads live as long as a slice
            slice_cycles = min(max(40_000_000 // (<int64_t>rules.height * rules.width), 16), 4096)
        try:
            while True:
                run.state = WSK_RUNNING
                run.end = min(end, inside.cycle + slice_cycles)
                if cycles > 16:
                    began = perf_counter()
                with nogil:
                    wsk_decide(&run)
                    if run.state == WSK_RUNNING:
                        wsk_run_rounds(&run, size, work)
                if self.error is not None:
                    error, self.error = self.error, None
                    raise error
                if run.state != WSK_STOPPED:
                    self.done(run.state)
                if inside.cycle >= end:
                    return run.why
                if run.why & ~WSK_STOP_TIME:        # the end of a slice is no reason
                    return run.why & ~WSK_STOP_TIME
                PyErr_CheckSignals()
                slice_cycles = slice_cycles * 2 if perf_counter() - began < 0.02 else max(slice_cycles // 2, 1)
        finally:
            self.running = NULL

    def log(self, bint clear=True):
        """(cycles int64, deliveries) of all words that left for cores and edges since the last call."""
        cycles = np.empty(self.words.length, np.int64)
        words = np.empty(self.words.length, DELIVERY)
        cdef int64_t[::1] c = cycles
        cdef uint8_t[::1] w = words.view(np.uint8)
        if self.words.length:
            memcpy(&c[0], self.words.cycles, self.words.length * sizeof(int64_t))
            memcpy(&w[0], self.words.words, self.words.length * sizeof(wsk_delivery))
        if clear:
            self.words.length = 0
        return cycles, words

    def rewrite(self, int x, int y, int color, route) -> None:
        """Replace the route of one PE and color (one ``ROUTE`` record)."""
        cdef const uint8_t[::1] r = np.ascontiguousarray(route, ROUTE).reshape(1).view(np.uint8)
        self.done(wsk_fabric_rewrite(self.fabric, self.pe_of(x, y), color, <const wsk_route *>&r[0]))

    def set_position(self, int x, int y, int color, int position) -> None:
        """Set the switch position of one PE and color."""
        self.done(wsk_fabric_set_position(self.fabric, self.pe_of(x, y), color, position))

    def position(self, int x, int y, int color) -> int:
        """Switch position of one PE and color, as the next word leaves."""
        return self.done(wsk_fabric_position(self.fabric, self.pe_of(x, y), color))

    def teardown(self, int x, int y, int color, bint frozen) -> None:
        """Enter or leave teardown of one PE and color."""
        self.done(wsk_fabric_teardown(self.fabric, self.pe_of(x, y), color, frozen))

    def torn_down(self, int x, int y, int color) -> bool:
        """Whether a color is in teardown at a PE."""
        return self.done(wsk_fabric_torn_down(self.fabric, self.pe_of(x, y), color)) == 1

    @property
    def cycle(self) -> int:
        """Cycles stepped since reset."""
        return wsk_fabric_cycle(self.fabric)

    @property
    def in_flight(self) -> int:
        """Words in routers, on links and on on-ramps."""
        return wsk_fabric_in_flight(self.fabric)

    @property
    def waiting_outside(self) -> int:
        """Injected words that have not entered yet."""
        return wsk_fabric_waiting_outside(self.fabric)

    @property
    def nbytes(self) -> int:
        """Bytes of the state, used or not."""
        return wsk_fabric_bytes(self.fabric)

    def totals(self) -> dict:
        """Sums over the fabric since reset, per color: arrays of 24 uint64 by name."""
        cdef wsk_totals totals
        wsk_fabric_totals(self.fabric, &totals)
        names = ("hops", "injected", "delivered", "dropped", "copied", "edge", "stalls", "checksum")
        values = np.empty((len(names), WSK_COLORS), np.uint64)
        cdef uint64_t[:, ::1] v = values
        memcpy(&v[0, 0], &totals, sizeof(totals))
        return dict(zip(names, values, strict=True))

    def link_counts(self, int port, int color=-1):
        """Words (of one color, -1: of all) that left each router by a port since reset: (height, width) uint32."""
        counts = np.empty(self.plan.shape, np.uint32)
        cdef uint32_t[:, ::1] c = counts
        wsk_fabric_link_counts(self.fabric, port, color, &c[0, 0])
        return counts

    def stall_counts(self, int color=-1):
        """Cycles in which a head word (of one color, -1: of any) could not leave, per router: (height, width) uint32."""
        counts = np.empty(self.plan.shape, np.uint32)
        cdef uint32_t[:, ::1] c = counts
        wsk_fabric_stall_counts(self.fabric, color, &c[0, 0])
        return counts

    def words_at(self, int x, int y, int color):
        """Words of a color in one router and on the way into it."""
        return wsk_words_at(self.fabric, self.pe_of(x, y), color)

    def occupancy(self, int color):
        """Words that hold a place in each router's queue of a color: (height, width) uint8."""
        words = np.zeros(self.plan.shape, np.uint8)
        cdef uint8_t[:, ::1] w = words
        wsk_fabric_occupancy(self.fabric, color, &w[0, 0])
        return words

    def report(self):
        """The rule that was broken last, as a dict; None where none was."""
        cdef const wsk_report *found = wsk_fabric_report(self.fabric)
        return report_of(found, self.plan.shape[1]) if found.status < 0 else None

    def explain(self):
        """Why the first word, in order of rows, that stands in a router does not move, and who waits for whom behind it, as a
        dict; None where there is none."""
        wsk_fabric_explain(self.fabric)
        found = report_of(wsk_fabric_report(self.fabric), self.plan.shape[1])
        return found if found["chain"] else None

    def moves(self):
        """Link crossings of the cycle just stepped, as delivery records (port: where the word left)."""
        cdef int64_t n = wsk_fabric_moves(self.fabric, NULL, 0)
        words = np.empty(n, DELIVERY)
        cdef uint8_t[::1] w = words.view(np.uint8)
        if n:
            wsk_fabric_moves(self.fabric, <wsk_delivery *>&w[0], n)
        return words
