# cython: language_level=3
"""The host's side of a fabric, word by word: what is plain is checked and done here in a microsecond or less; anything else
(names, arrays, mistakes) answers None, and the Python around it does or refuses it in full."""
from cpython.bool cimport PyBool_Check
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.long cimport PyLong_AsUnsignedLongLongMask, PyLong_Check, PyLong_CheckExact
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

import numpy as np

from wsekern._common cimport simd_level_code
from wsekern.fabric._routing import DELIVERY
from wsekern.fabric._routing cimport Plan, State, make_room
from wsekern.fabric.running cimport wsk_running
from wsekern.fabric.wsekern_fabric cimport (
    WSK_ADVANCE, WSK_COLORS, WSK_CONTROL, WSK_EAST, WSK_NORTH, WSK_RAMP, WSK_SINK_LOG, WSK_SOUTH, WSK_TORN_DOWN, WSK_WEST,
    wsk_delivery, wsk_fabric, wsk_fabric_cycle, wsk_fabric_free, wsk_fabric_inject, wsk_fabric_listen, wsk_fabric_load,
    wsk_fabric_next_event, wsk_fabric_offer, wsk_fabric_offer_edge, wsk_fabric_on_delivery, wsk_fabric_on_room,
    wsk_fabric_open, wsk_fabric_plan, wsk_fabric_pop, wsk_fabric_push, wsk_fabric_room, wsk_fabric_save, wsk_fabric_sink,
    wsk_fabric_top, wsk_plan, wsk_plan_rules, wsk_plan_save, wsk_rules)
from wsekern.shown import line, table

cdef enum:
    MOST_PLAIN = 64                   # words that one plain inject takes

DELIVERED = np.dtype([("cycle", "i8"), ("x", "i4"), ("y", "i4"), ("color", "u1"), ("port", "u1"), ("control", "?"),
                      ("teardown", "?"), ("data", "u4")])
NO_WORDS = np.empty(0, DELIVERED)
assert sizeof(Delivered) == DELIVERED.itemsize


# ---- Words, once checked --------------------------------------------------------------------------------------------------

cdef inline bint is_whole(object value) noexcept:
    return PyLong_CheckExact(value)


cdef int64_t place_of(State state, object x, object y, object port) except -2:
    """The number of a PE at which words may enter by a port; -1: refuse it elsewhere, in full."""
    cdef const wsk_rules *rules = wsk_plan_rules(state.plan.plan)
    cdef int64_t column, row
    cdef int side
    if not (is_whole(x) and is_whole(y) and PyLong_Check(port)) or PyBool_Check(port):
        return -1
    try:
        column, row, side = x, y, port
    except OverflowError:
        return -1
    if not (0 <= column < rules.width and 0 <= row < rules.height):
        return -1
    if side == WSK_RAMP:
        return row * rules.width + column
    if not rules.open_edges or not (side == WSK_NORTH and row == 0 or side == WSK_WEST and column == 0
                                    or side == WSK_SOUTH and row == rules.height - 1
                                    or side == WSK_EAST and column == rules.width - 1):
        return -1
    return row * rules.width + column


cdef int color_of(object color) except -2:
    cdef int64_t number
    if not is_whole(color):
        return -1
    try:
        number = color
    except OverflowError:
        return -1
    return <int>number if 0 <= number < WSK_COLORS else -1


cdef int flags_of(object control, object advance) except -2:
    if not PyBool_Check(control) or not PyBool_Check(advance):
        return -1
    return (WSK_CONTROL if control is True else 0) | (WSK_ADVANCE if advance is True else 0)


cdef int marks_of(object control, object advance) except -1:
    """Flags of a word; what is no flag is refused."""
    cdef int flags = flags_of(control, advance)
    if flags < 0:
        from wsekern.errors import check_flag

        flags = flags_of(check_flag(control, "control of words"), check_flag(advance, "advance of words"))
    return flags


def offer(State state not None, x, y, color, data, control, advance, port):
    """Offer one word in this cycle: whether it was accepted; None: the arguments are not plain."""
    cdef int64_t pe = place_of(state, x, y, port)
    cdef int c = color_of(color), flags = flags_of(control, advance), side
    if pe < 0 or c < 0 or flags < 0 or not is_whole(data):
        return None
    side = port
    if side == WSK_RAMP:
        return state.done(wsk_fabric_offer(state.fabric, <uint32_t>pe, c, <uint32_t>PyLong_AsUnsignedLongLongMask(data),
                                           flags)) == 1
    return state.done(wsk_fabric_offer_edge(state.fabric, <uint32_t>pe, side, c,
                                            <uint32_t>PyLong_AsUnsignedLongLongMask(data), flags)) == 1


def inject(State state not None, x, y, color, data, control, advance, port) -> bool:
    """Let a word, or a list of a few, wait outside one PE; False: the arguments are not plain."""
    cdef int64_t pe = place_of(state, x, y, port)
    cdef int c = color_of(color), flags = flags_of(control, advance), n = 0
    cdef uint32_t words[MOST_PLAIN]
    cdef uint8_t marks[MOST_PLAIN]
    if pe < 0 or c < 0 or flags < 0:
        return False
    if is_whole(data):
        words[0], marks[0], n = <uint32_t>PyLong_AsUnsignedLongLongMask(data), <uint8_t>flags, 1
    elif type(data) is list and 0 < len(data) <= MOST_PLAIN:
        for word in data:
            if not is_whole(word):
                return False
            words[n], marks[n] = <uint32_t>PyLong_AsUnsignedLongLongMask(word), <uint8_t>flags
            n += 1
    else:
        return False
    state.done(wsk_fabric_inject(state.fabric, <uint32_t>pe, port, c, words, marks if flags else NULL, n))
    return True


def drain(State state not None):
    """The words of the log, which is empty then: records of ``DELIVERED``."""
    cdef int64_t i, n = state.words.length
    cdef uint32_t width = <uint32_t>wsk_plan_rules(state.plan.plan).width
    cdef const wsk_delivery *word
    cdef Delivered *out
    if n == 0:
        return NO_WORDS
    held = PyByteArray_FromStringAndSize(NULL, n * sizeof(Delivered))
    out = <Delivered *>PyByteArray_AS_STRING(held)
    for i in range(n):
        word = state.words.words + i
        out[i].cycle, out[i].x, out[i].y = state.words.cycles[i], word.pe % width, word.pe // width
        out[i].color, out[i].port, out[i].data = word.color, word.port, word.data
        out[i].control, out[i].teardown = word.flags & WSK_CONTROL != 0, word.flags & WSK_TORN_DOWN != 0
    state.words.length = 0
    return np.frombuffer(held, DELIVERED)


def next_event(State state not None):
    """The first cycle at which anything can happen if the host does nothing; None: nothing ever does."""
    cdef int64_t cycle = wsk_fabric_next_event(state.fabric)
    return None if cycle == INT64_MAX else cycle


cdef class HostPort:
    """One color at the ramp of one PE, as a core has it: words in and out, the arguments checked when it was opened.

    Words out are kept here until they are popped, beside what :meth:`Fabric.drain` and callbacks give.
    """
    cdef State state
    cdef wsk_fabric *fabric
    cdef uint32_t pe
    cdef int number
    cdef readonly bint control
    """Whether the word that was popped last was a control word."""
    cdef readonly bint teardown
    """Whether it was the notice that the color is in teardown, and no word."""

    def __cinit__(self, State state not None, uint32_t pe, int color, int depth):
        self.state, self.fabric, self.pe, self.number = state, state.fabric, pe, color
        if wsk_fabric_sink(state.fabric, color) >= WSK_SINK_LOG:
            state.done(wsk_fabric_listen(state.fabric, pe, color, depth))

    @property
    def color(self) -> int:
        """The color."""
        return self.number

    @property
    def place(self) -> tuple[int, int]:
        """(x, y) of the PE."""
        width = self.state.plan.shape[1]
        return self.pe % width, self.pe // width

    def _facts(self) -> dict:
        x, y = self.place
        return {"x": x, "y": y, "color": self.color}

    def __repr__(self) -> str:
        return line("HostPort", self._facts())

    def _repr_html_(self) -> str:
        return table("HostPort", self._facts())

    def push(self, data, control=False, advance=False) -> bool:
        """Let a word wait outside the ramp; False where as many wait as :meth:`room` allows."""
        return self.state.done(wsk_fabric_push(self.fabric, self.pe, self.number, self.word_of(data),
                                               marks_of(control, advance))) == 1

    def offer(self, data, control=False, advance=False) -> bool:
        """Offer a word to the router in this very cycle, as a core does; False if it has no room or the ramp is busy."""
        return self.state.done(wsk_fabric_offer(self.fabric, self.pe, self.number, self.word_of(data),
                                                marks_of(control, advance))) == 1

    cdef uint32_t word_of(self, data) except? 0xffffffff:
        if not PyLong_CheckExact(data):
            from wsekern.errors import InputError

            try:
                data = data.__index__()
            except (AttributeError, TypeError):
                raise InputError(f"{data!r} is no word: expected a whole number of 32 bits") from None
        return <uint32_t>PyLong_AsUnsignedLongLongMask(data)

    def room(self) -> int:
        """Words that :meth:`push` takes now."""
        return self.state.done(wsk_fabric_room(self.fabric, self.pe, self.number))

    def top(self):
        """The oldest word that arrived and was not popped; None: there is none."""
        cdef wsk_delivery word
        return word.data if self.state.done(wsk_fabric_top(self.fabric, self.pe, self.number, &word)) == 1 else None

    def pop(self):
        """Take the oldest word away; None: there is none."""
        cdef wsk_delivery word
        if self.state.done(wsk_fabric_pop(self.fabric, self.pe, self.number, &word)) != 1:
            return None
        self.control, self.teardown = word.flags & WSK_CONTROL != 0, word.flags & WSK_TORN_DOWN != 0
        return word.data


# ---- Callbacks --------------------------------------------------------------------------------------------------------------

cdef void failed(State state, object error) noexcept:
    """Keep what a callback raised: the run stops, and raises it."""
    state.error = error
    if state.running != NULL:
        (<wsk_running *>state.running).end = 0


cdef void tell_word(void *context, wsk_fabric *fabric, const wsk_delivery *word) noexcept with gil:
    cdef State state = <State>context
    cdef int64_t width = wsk_plan_rules(state.plan.plan).width
    if state.error is not None:
        return
    try:
        make, call = state.on_delivery
        call(make(wsk_fabric_cycle(fabric), word.pe % width, word.pe // width, word.color, word.port,
                  bool(word.flags & WSK_CONTROL), bool(word.flags & WSK_TORN_DOWN), word.data))
    except BaseException as error:
        failed(state, error)


cdef void tell_room(void *context, wsk_fabric *fabric, uint32_t pe, int color) noexcept with gil:
    cdef State state = <State>context
    cdef int64_t width = wsk_plan_rules(state.plan.plan).width
    if state.error is not None:
        return
    try:
        state.on_room(pe % width, pe // width, color)
    except BaseException as error:
        failed(state, error)


def call_on_delivery(State state not None, make, call) -> None:
    """Call ``call(make(cycle, x, y, color, port, control, teardown, data))`` for every word that becomes readable; None: no
    more."""
    state.on_delivery = (make, call)
    if call is None:
        state.done(wsk_fabric_on_delivery(state.fabric, NULL, NULL))
    else:
        state.done(wsk_fabric_on_delivery(state.fabric, tell_word, <void *>state))


def call_on_room(State state not None, call) -> None:
    """Call ``call(x, y, color)`` where a push was refused and there is room again; None: no more."""
    state.on_room = call
    if call is None:
        state.done(wsk_fabric_on_room(state.fabric, NULL, NULL))
    else:
        state.done(wsk_fabric_on_room(state.fabric, tell_room, <void *>state))


# ---- Bytes ------------------------------------------------------------------------------------------------------------------

def plan_bytes(Plan plan not None) -> bytes:
    """A compiled plan as bytes."""
    return saved_plan(plan.plan)


cdef bytes saved_plan(const wsk_plan *plan):
    from wsekern.errors import raise_for_status

    cdef size_t needed = 0
    raise_for_status(wsk_plan_save(plan, NULL, 0, &needed))
    room = bytearray(needed)
    raise_for_status(wsk_plan_save(plan, <char *>room, needed, &needed))
    return bytes(room)


def state_bytes(State state not None) -> bytes:
    """All of a state as bytes, plan included; not the log."""
    cdef size_t needed = 0
    state.done(wsk_fabric_save(state.fabric, NULL, 0, &needed))
    room = bytearray(needed)
    state.done(wsk_fabric_save(state.fabric, <char *>room, needed, &needed))
    return bytes(room)


def load_state(State state not None, const uint8_t[::1] data not None, cycles=None, words=None) -> None:
    """Into a state of the same plan and sinks, whose log holds ``words`` (``DELIVERY`` records) of ``cycles`` (int64) then."""
    cdef const uint8_t[::1] kept = np.ascontiguousarray(np.empty(0, DELIVERY) if words is None else words, DELIVERY).view(np.uint8)
    cdef const int64_t[::1] times = np.ascontiguousarray(() if cycles is None else cycles, np.int64)
    cdef int64_t n = times.shape[0]
    state.done(wsk_fabric_load(state.fabric, &data[0] if data.shape[0] else NULL, data.shape[0]))
    state.words.length = 0
    if n and n * <int64_t>sizeof(wsk_delivery) == kept.shape[0]:
        if make_room(&state.words, n) < 0:
            raise MemoryError
        memcpy(state.words.words, &kept[0], n * sizeof(wsk_delivery))
        memcpy(state.words.cycles, &times[0], n * sizeof(int64_t))
        state.words.length = n


def open_state(const uint8_t[::1] data not None, int threads) -> State:
    """A state with a plan of its own from nothing but the bytes."""
    from wsekern.errors import raise_for_status

    cdef wsk_fabric *fabric = NULL
    raise_for_status(wsk_fabric_open(&fabric, &data[0] if data.shape[0] else NULL, data.shape[0], simd_level_code()))
    try:
        sinks = [max(wsk_fabric_sink(fabric, color), 0) for color in range(WSK_COLORS)]
        plan = Plan(saved=saved_plan(wsk_fabric_plan(fabric)))
    finally:
        wsk_fabric_free(fabric)
    state = State(plan, np.array(sinks, np.uint8), threads)
    load_state(state, data)
    return state
