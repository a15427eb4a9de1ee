# cython: language_level=3
"""The fixed point of users who take turns on a line of regions: see wsekern.queueing.steady_line, which says what it computes,
and wsekern.queueing.reference.steady_line, which says the same formulas in plain Python, in the same order.
"""
import numpy as np

from libc.math cimport exp, expm1, fabs, pow, sqrt
from libc.stdint cimport int64_t

from wsekern.queueing.pipeline import JAM
from wsekern.queueing.traffic import SPREAD

ROUNDS = 60
"""Most iterations of the fixed point."""

CLOSE = 1e-6
"""Relative change of its figures at which the fixed point is found."""

cdef double SPREAD_ = SPREAD, JAM_ = JAM, CLOSE_ = CLOSE
cdef int ROUNDS_ = ROUNDS
cdef double NEVER = 1e-9  # stands for a share of zero where it divides


cdef inline double least(double one, double other) noexcept nogil:
    return other if other < one else one


cdef inline double most(double one, double other) noexcept nogil:
    return other if other > one else one


cdef double waiting(double users, double service, double elsewhere) noexcept nogil:
    """As wsekern.queueing.waiting."""
    if users <= 1.0:
        return 0.0
    cdef double spare = elsewhere - (users - 2.0) * service
    cdef double others = service * service * (users - 1.0)
    cdef double root = pow(spare * spare + 2.0 * others, 0.5)
    cdef double mean = others / (spare + root) if spare > 0.0 else 0.5 * (root - spare)
    return most(mean, (users - 1.0) * service - elsewhere)


cdef struct State:
    # An estimate of the steady state, improved from round to round. Times in seconds.
    const Line *line
    double users, prompt, output, think, more, others, tail, last_tokens, chunk, read, chunks, jam, passed, largest
    double together, behind_together, decoding, groups, contiguous, share, wait, service, phase, step, last, token
    double queued, first, work, met, reading


cdef inline double of_group(const Line *line, int64_t place, double context) noexcept nogil:
    if line.group_slope == NULL:
        return line.group_base[place]
    return line.group_base[place] + line.group_slope[place] * context


cdef inline double of_chunk(const Line *line, int64_t place, double prompt) noexcept nogil:
    if line.chunk_slope == NULL:
        return line.chunk_base[place]
    return line.chunk_base[place] + line.chunk_slope[place] * 0.5 * (prompt + 1.0)


cdef void see_chunks(State *s, int64_t prompt) noexcept nogil:
    cdef const Line *line = s.line
    cdef int64_t full = prompt // line.chunk, rest = prompt % line.chunk, size = (rest if rest and not full else line.chunk) - 1
    cdef double base = line.chunk_base[size], slope = line.chunk_slope[size] if line.chunk_slope != NULL else 0.0
    cdef double last = of_chunk(line, rest - 1, s.prompt) if full and rest else 0.0
    cdef double ratio = base / (base + slope * s.prompt), held = 0.0, speed
    if ratio < 1.0:
        held = most(0.0, (1.0 / JAM_ - ratio) / (1.0 - ratio))
    speed = held / JAM_ + (1.0 - held) * 0.5 * (most(ratio, 1.0 / JAM_) + 1.0)
    s.chunk = of_chunk(line, size, s.prompt)
    s.read, s.chunks, s.jam = (full if full else 1) * s.chunk + last, full + (rest != 0), s.chunk / speed
    s.last_tokens = rest if rest else line.chunk


cdef void begin(State *s, const Line *line, int64_t users, int64_t prompt, int64_t output, double think) noexcept nogil:
    s.line, s.users, s.prompt, s.output, s.think = line, users, prompt, output, think
    s.more, s.others, s.largest = (output - 1) / line.kept, users - 1, line.groups
    s.tail, s.passed = line.head + line.crossing + line.crossing_token, line.regions - 1.0 + line.last_share
    see_chunks(s, prompt)
    s.together = s.behind_together = 1.0
    s.decoding = s.groups = s.contiguous = s.share = s.wait = s.service = 0.0
    s.phase, s.step, s.last = s.read, 0.5, 0.0
    s.token = free_pass(s)


cdef double train(State *s, double own, double chunk) noexcept nogil:
    cdef double drafted = s.line.draft + (chunk if s.line.draft_in_line else 0.0)
    return (s.line.checked - 1.0) * most(most(most(own, s.line.head), s.line.draft_busy), drafted)


cdef double group(State *s, double together, double users) noexcept nogil:
    cdef double groups = users / together
    cdef double context = s.prompt + s.output * (0.5 + (groups / (groups + 1.0) - 0.5) / sqrt(together))
    cdef int64_t low = max(1, min(<int64_t>together, s.line.groups)) - 1, high = min(low + 1, s.line.groups - 1)
    cdef double below = of_group(s.line, low, context), above = of_group(s.line, high, context)
    return below + (together - 1.0 - low) * (above - below)


cdef double free_pass(State *s) noexcept nogil:
    cdef double users = 1.0 + s.decoding
    cdef double own = group(s, s.together, users)
    cdef double seconds = s.passed * own + train(s, own, 0.0) + 0.5 * (s.together - 1.0) * s.line.head + s.tail
    cdef double turn = users / s.together * s.line.checked * own
    s.together = least(most(1.0, s.together * turn / seconds), s.largest)
    s.queued = most(0.0, turn - seconds)
    return most(most(seconds, turn), ends(s, users))


cdef double ends(State *s, double users) noexcept nogil:
    return users * s.line.checked * most(s.line.head, s.line.draft_busy)


cdef double behind_pass(State *s) noexcept nogil:
    cdef double users = 1.0 + s.decoding
    cdef double limit = least(s.largest, most(1.0, users * s.line.checked / s.line.regions))
    cdef double own = group(s, s.behind_together, users)
    cdef double pace = s.chunk + s.contiguous * (s.jam - s.chunk)
    cdef double cycle = s.chunk + s.groups * s.line.checked * own
    cdef double seconds = ((s.passed - 1.0) * most(pace, own) + own + train(s, own, s.chunk) + 0.5 * cycle + s.tail)
    seconds += 0.5 * (s.behind_together - 1.0) * s.line.head
    cdef double reading = s.service / most(NEVER, 1.0 - s.contiguous)
    cdef double crowd = least(s.decoding / limit * (s.chunk + s.line.checked * own), reading)
    cdef double first = 0.5 * crowd * seconds / (seconds + reading) if crowd else 0.0
    cdef double turn = users * cycle / limit
    cdef double here = users * cycle / most(seconds, turn)
    s.groups += 0.5 * (least(1.0, here) - s.groups)
    s.behind_together += 0.5 * (least(most(1.0, here), limit) - s.behind_together)
    return most(most(seconds + first, turn), ends(s, users))


cdef double improve(State *s) noexcept nogil:
    cdef double token = s.token, decoding = s.decoding
    cdef double free = free_pass(s)
    cdef double behind = behind_pass(s)
    cdef double own = group(s, s.behind_together, 1.0 + decoding)
    cdef double crowded = s.groups * decoding / (1.0 + decoding)
    s.service = s.read + s.chunks * crowded * s.line.checked * own
    s.service += (decoding * (1.0 - s.contiguous) * (1.0 - crowded) * s.line.checked
                  * group(s, 1.0, 1.0 + decoding))
    cdef double travel = (s.passed - 1.0) * (s.chunk + crowded * most(0.0, own - s.chunk)) + s.tail
    travel += s.line.crossing_token * (s.last_tokens - 1.0)
    s.first = s.service + travel
    if s.others:
        queue(s, travel + s.think, free, behind)
        mix(s, free, behind, most(0.0, (s.chunk - own) * (s.passed - 1.0) - s.queued))
    s.work = (1.0 - s.share) * group(s, s.together, 1.0 + decoding) / s.together
    s.work = s.line.checked * (s.work + s.share * own / s.behind_together)
    return most(fabs(s.token / token - 1.0), fabs(s.decoding - decoding) / s.users)


cdef double waits(State *s, double users, double slow, double vary) noexcept nogil:
    cdef double floor = most(0.0, (users - 1.0) * s.service - slow)
    return floor + vary * (waiting(users, s.service, slow) - floor)


cdef void queue(State *s, double rest, double free, double behind) noexcept nogil:
    cdef double slow = rest + s.more * behind, mean = rest + s.more * s.token
    cdef double phases = most(1.0, s.more * s.token / s.phase)
    cdef double variance = pow(SPREAD_ * s.more * s.token, 2.0) / 3.0
    variance += pow(s.more * (behind - free), 2.0) * s.share * (1.0 - s.share) / phases
    cdef double apart = (s.wait + s.service + mean) / s.users
    cdef double vary = least(1.0, variance / pow(apart, 2.0))
    s.met = vary + (1.0 - vary) * least(1.0, s.more * s.token / apart)
    s.wait = waits(s, s.users, slow, vary)
    s.reading = least(1.0, s.others * s.service / (waits(s, s.others, slow, vary) + s.service + mean))
    cdef double cycle = waits(s, s.others - 1.0, slow, vary) + s.service + slow
    s.contiguous = least(1.0, (s.others - 1.0) * s.service / cycle) if s.others > 1.0 else 0.0


cdef void mix(State *s, double free, double behind, double held) noexcept nogil:
    cdef double busy = s.service / most(NEVER, 1.0 - s.contiguous)
    cdef double idle = busy * most(NEVER, 1.0 - s.reading) / most(NEVER, s.reading)
    s.phase = busy + idle
    cdef double slow = 1.0 - (1.0 - s.reading) * exp(-0.5 * held / idle)
    cdef double rate = 1.0 / idle + (1.0 - slow) / slow / idle
    cdef double into = -slow * expm1(-rate * free), out = -(1.0 - slow) * expm1(-rate * behind)
    cdef double faded, change, decoding
    s.share = into / (into + out)
    if s.more:
        faded = 1.0 - pow(1.0 - into - out, s.more)
        s.share += (slow - s.share) * faded / (s.more * (into + out))
    s.share *= s.met
    change = free + s.share * (behind - free) - s.token
    if change * s.last < 0.0:
        s.step *= 0.7
    s.last = change
    s.token += s.step * change
    decoding = s.reading / s.service * s.more * s.token
    s.decoding += s.step * (least(s.others, decoding) - s.decoding)


cdef Figures estimated(const Line *line, int64_t users, int64_t prompt, int64_t output, double think) noexcept nogil:
    # Improved until figures hardly change.
    cdef State s
    cdef Figures found
    cdef double work, cycle, more, rate
    cdef int number
    begin(&s, line, users, prompt, output, think)
    for number in range(ROUNDS_ if users > 1 else 1):
        if improve(&s) < CLOSE_:
            break
    work = s.read + s.more * s.work
    cycle = s.first + s.wait + s.more * s.token + s.think
    more = most(0.0, s.users * work - cycle)
    rate = s.users / (cycle + more)
    found.waiting = s.wait if s.more else s.wait + more
    found.first, found.token = s.first + found.waiting, (s.token + more / s.more if s.more else s.token)
    found.decoding, found.busy, found.token = rate * s.more * found.token, rate * work, found.token / line.kept
    found.together = (1.0 - s.share) * s.together + s.share * s.behind_together
    return found


cdef double rate_of(const Figures *figures, double users, int64_t output, double think) noexcept nogil:
    return users / (figures.first + (output - 1) * figures.token + think)


cdef Figures settled(const Line *line, int64_t users, int64_t prompt, int64_t output, double think) noexcept nogil:
    cdef Figures found = estimated(line, users, prompt, output, think), plain
    cdef Line alone
    cdef double quicker
    if line.checked == 1.0 or users == 1:
        return found
    alone = line[0]
    alone.checked, alone.draft, alone.draft_busy, alone.draft_in_line = 1.0, 0.0, 0.0, False
    plain = estimated(&alone, users, prompt, output, think)
    quicker = rate_of(&found, users, output, think) / rate_of(&plain, users, output, think)
    if quicker <= 1.0:
        return found
    plain.busy, plain.together = found.busy / quicker, found.together
    return plain


cdef Figures steady(const Line *line, int64_t users, int64_t prompt, int64_t output, double think,
                    int64_t inside) noexcept nogil:
    # As wsekern.queueing.steady_line; inside: all where that is negative.
    cdef Figures whole = settled(line, users, prompt, output, think), full
    cdef double rate, first
    if inside < 0 or users - rate_of(&whole, users, output, think) * think <= inside:
        return whole
    full = settled(line, inside, prompt, output, 0.0)
    rate = rate_of(&full, inside, output, 0.0)
    if users - rate * think <= inside:
        return whole
    first = users / rate - think - (output - 1) * full.token
    full.waiting += first - full.first
    full.first = first
    return full


def figures_of(costs, int64_t users, int64_t prompt, int64_t output, double think, inside):
    """Those of a :class:`wsekern.queueing.SteadyLine`, in its order, of :class:`wsekern.queueing.LineCosts`; ``inside`` may be
    None."""
    cdef const double[::1] group_base = np.ascontiguousarray(costs.group_base), group_slope = np.ascontiguousarray(
        costs.group_slope), chunk_base = np.ascontiguousarray(costs.chunk_base), chunk_slope = np.ascontiguousarray(
        costs.chunk_slope)
    cdef Line line
    cdef Figures found
    line.group_base, line.group_slope, line.groups = &group_base[0], &group_slope[0], group_base.shape[0]
    line.chunk_base, line.chunk_slope, line.chunk = &chunk_base[0], &chunk_slope[0], chunk_base.shape[0]
    line.regions, line.last_share, line.checked, line.kept = costs.regions, costs.last_share, costs.checked, costs.kept
    line.head, line.crossing, line.crossing_token = costs.head_seconds, costs.crossing_seconds, costs.crossing_token_seconds
    line.draft, line.draft_busy, line.draft_in_line = costs.draft_seconds, costs.draft_busy_seconds, costs.draft_in_line
    found = steady(&line, users, prompt, output, think, -1 if inside is None else inside)
    return found.first, found.token, found.waiting, found.decoding, found.busy, found.together
