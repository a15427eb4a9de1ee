# cython: language_level=3
"""Users who take turns on one engine, in their steady state: see wsekern.queueing.closed, which says what it computes, and
wsekern.queueing.reference.closed, which says the same formulas in plain Python, in the same order.
"""
from libc.math cimport ceil, exp, expm1, fabs, pow, sqrt

import numpy as np

cdef int ROUNDS = 80            # of the search for the number of arrivals, at most
cdef double PRECISION = 1e-10   # relative, at which it ends


cdef inline double least(double one, double other) noexcept:
    return other if other < one else one


cdef inline double most(double one, double other) noexcept:
    return other if other > one else one


cdef double line(const double[::1] grid, const double[::1] values, double x) noexcept:
    # As wsekern.queueing.batching.interpolate.
    cdef Py_ssize_t low = 0, high = grid.shape[0], middle
    cdef double share
    if high == 1:
        return values[0]
    while low < high:
        middle = (low + high) // 2
        if x < grid[middle]:
            high = middle
        else:
            low = middle + 1
    low = min(max(low - 1, 0), grid.shape[0] - 2)
    share = (x - grid[low]) / (grid[low + 1] - grid[low])
    return values[low] + (values[low + 1] - values[low]) * share


def lines(const double[::1] grid, const double[::1] values, const double[::1] places):
    """:func:`wsekern.queueing.batching.interpolate` at all ``places``."""
    cdef double[::1] found = np.empty(places.shape[0])
    cdef Py_ssize_t i
    for i in range(places.shape[0]):
        found[i] = line(grid, values, places[i])
    return found.base


cdef struct State:
    double sequences, step, stalled, each, first, first_steps


cdef class Turn:
    """What a turn of each user takes, by the prompts that arrive in a step."""
    cdef const double[::1] decode_grid, decode_values, prompt_grid, crowded_values, alone_values, together_values, look_values
    cdef double prompt, output, passes, back, one, step_tokens, checked, whole_prompts, users
    cdef bint chunked, prompts_alone
    cdef readonly double away, held, full

    def __init__(self, costs, prompt, output, think_seconds):
        cdef double cached = costs.cached
        self.prompt, self.output, self.step_tokens, self.checked = prompt, output, costs.step_tokens, costs.checked
        self.chunked, self.whole_prompts = costs.chunked, costs.step_tokens // prompt
        self.passes = (output - 1.0) / costs.kept
        self.away = think_seconds + costs.outside_seconds(round(prompt))
        self.held = costs.cached - costs.shared + prompt + 0.5 * output + 0.5 * costs.page_tokens
        self.back = costs.cached + 0.5 * prompt
        self.decode_grid, self.prompt_grid = costs.decode_grid, costs.prompt_grid
        self.decode_values = costs.decode_base + costs.decode_slope * (costs.cached + prompt + 0.5 * output)
        self.crowded_values, self.alone_values = costs.crowded, costs.alone
        self.together_values, self.look_values = costs.together, costs.look
        self.one = self.whole_prompt(cached, prompt // float(costs.step_tokens))
        self.full = most(1.0, self.step_tokens - self.checked) / (self.prompt + self.passes * self.checked)

    cdef double whole_prompt(self, double cached, double full) noexcept:
        cdef double part = self.step_tokens, rest, seconds
        if not self.chunked or self.prompt <= part:
            return self.read_alone(self.prompt, self.back)
        rest = self.prompt - full * part
        seconds = full * self.read_alone(part, cached + 0.5 * full * part)
        return seconds + (self.read_alone(rest, cached + self.prompt - 0.5 * rest) if rest else 0.0)

    cdef double decode(self, double sequences) noexcept:
        return line(self.decode_grid, self.decode_values, sequences)

    cdef double read_alone(self, double tokens, double look) noexcept:
        return line(self.prompt_grid, self.alone_values, tokens) + look * line(self.prompt_grid, self.look_values, tokens)

    cdef double beside(self, double tokens, double sequences) noexcept:
        cdef double crowd = sequences * self.checked, crowded = crowd + line(self.prompt_grid, self.crowded_values, tokens)
        return (line(self.prompt_grid, self.together_values, crowded) - line(self.prompt_grid, self.together_values, crowd)
                + self.back * line(self.prompt_grid, self.look_values, tokens))

    def settle(self, double users):
        """(sequences, step, stalled, each, first, steps to the first token) where ``users`` fill the cycle."""
        cdef State state
        cdef double limit
        if users <= 1.0:
            return 1.0, self.decode(1.0), 0.0, 0.0, self.one, 0.0
        self.users, self.prompts_alone = users, self.output <= 1.0
        if self.prompts_alone:
            state = self.prompts_only()
        else:
            limit = users / self.passes
            if self.chunked:
                limit = least(limit, self.full)
            state = self.at(self.root(limit, 0.0))
        return state.sequences, state.step, state.stalled, state.each, state.first, state.first_steps

    cdef double missing(self, double x) noexcept:
        # Of the cycle, where so many prompts arrive in a step, or are read in one.
        cdef State state
        cdef double steps, step
        if self.prompts_alone:
            step = self.prompts_seconds(x)
            return x * (self.away / step + 1.0 + least(0.5, 0.5 * self.away / step)) / self.users - 1.0
        state = self.at(x)
        steps = self.passes + self.away / (state.step + state.stalled) + state.first_steps
        return x * steps / self.users - 1.0

    cdef double root(self, double high, double low) noexcept:
        cdef double below = -1.0 if low == 0.0 else self.missing(low), above = self.missing(high), middle = 0.0, value
        cdef int turn
        if above <= 0.0:
            return high
        for turn in range(ROUNDS):
            middle = 0.5 * (low + high) if turn % 3 == 2 else (low * above - high * below) / (above - below)
            value = self.missing(middle)
            if value > 0.0:
                high, above = middle, value
            else:
                low, below = middle, value
            if fabs(value) < PRECISION or high - low <= PRECISION * high:
                break
        return middle

    cdef State at(self, double arrivals) noexcept:
        cdef double users = self.users, load = arrivals / self.full if self.chunked else 0.0
        cdef double others = arrivals * (1.0 - (1.0 - least(1.0, load)) / users)
        cdef double decoding = others * self.passes
        cdef double alone = pow(most(0.0, 1.0 - decoding / (users - 1.0)), users - 1.0) if arrivals else 1.0
        if self.chunked:
            return self.riding(others, least(users, 1.0 + decoding), alone, most(0.0, 1.0 - 1.0 / (users - 1.0)))
        return self.before(others, least(users, 1.0 + decoding), alone)

    cdef double batch(self, double others, double limit) noexcept:
        cdef double mean = others / -expm1(-others) if others > 1e-9 else 1.0
        return least(mean, most(1.0, limit))

    cdef State riding(self, double others, double sequences, double alone, double random) noexcept:
        cdef State state
        cdef double left = most(1.0, self.step_tokens - sequences * self.checked), room = left / self.prompt
        cdef double decode = self.decode(sequences), batch, each, step, load, servers, service, waiting, steps, own, spread
        cdef double residual, more, beside, queued
        if room >= 1.0:
            batch = self.batch(others, room)
            each = self.beside(batch * self.prompt, sequences) / batch
        else:
            each = self.beside(left, sequences) / room
        step = decode + others * each
        load = least(others / room, 1.0 - 1e-12)
        servers, service = most(1.0, room), most(1.0, 1.0 / room)
        waiting = 0.5 * random * service * pow(load, sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * (1.0 - load))
        steps = 1.0 if room >= 1.0 else ceil(self.prompt / left)
        own = steps * decode + each
        spread = others * each * each / step
        residual = self.residual(decode, step + spread, others, spread / step, &more)
        beside = least(more, most(0.0, room - 1.0)) * each
        queued = waiting * (decode + room * each)
        state.first = alone * self.one + (1.0 - alone) * (residual + own) + beside + queued
        state.sequences, state.step, state.stalled, state.each = sequences, decode, others * each, each
        state.first_steps = waiting + steps + residual / step
        return state

    cdef State before(self, double others, double sequences, double alone) noexcept:
        cdef State state
        cdef double decode = self.decode(sequences), room = most(1.0, self.whole_prompts), batch = self.batch(others, room)
        cdef double each = self.read_alone(batch * self.prompt, self.back) / batch
        cdef double moment = (decode * decode + others * each * each * batch) / (decode + others * each)
        cdef double more, residual = self.residual(decode, moment, others, 0.0, &more)
        cdef double behind = others if self.away > self.one else least(others, 0.5 * most(0.0, others + 1.0 - room))
        state.first = (1.0 - alone) * residual + self.one + more * each
        state.stalled = each * (others * most(0.0, self.passes - 1.0) + behind) / most(1.0, self.passes)
        state.sequences, state.step, state.each = sequences, decode, each
        state.first_steps = residual / (decode + others * each)
        return state

    cdef double residual(self, double decode, double moment, double others, double longer, double *more) noexcept:
        cdef double steps, quiet
        if self.away <= 0.0:
            more[0] = others
            return 0.0
        steps = ceil(self.away / decode)
        quiet = exp(-others * steps)
        more[0] = others * (1.0 + longer)
        return quiet * (steps * decode - self.away) + (1.0 - quiet) * 0.5 * moment

    cdef double prompts_seconds(self, double batch) noexcept:
        return self.one + self.read_alone(batch * self.prompt, self.back) - self.read_alone(self.prompt, self.back)

    cdef State prompts_only(self) noexcept:
        cdef State state
        cdef double limit = most(1.0, least(self.users, self.step_tokens / self.prompt)), batch, step
        if self.prompt >= self.step_tokens:
            limit = 1.0
        if self.missing(1.0) >= 0.0:
            batch = 1.0
        else:
            batch = limit if self.missing(limit) <= 0.0 else self.root(limit, 1.0)
        step = self.prompts_seconds(batch)
        state.sequences, state.step, state.stalled, state.each = 1.0, self.decode(1.0), 0.0, step / batch
        state.first, state.first_steps = most(step, self.users * step / batch - self.away), 1.0
        return state
