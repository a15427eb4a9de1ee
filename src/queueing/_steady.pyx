# cython: language_level=3
"""The fixed point of users who take turns on a line of regions: see wsekern.queueing.steady_line, which says what it computes,
and wsekern.queueing.reference.steady_line, which says the same formulas in plain Python, in the same order.
"""
from libc.math cimport exp, expm1, fabs, pow, sqrt

from wsekern.queueing.traffic import SPREAD

cdef double SPREAD_ = SPREAD
cdef double NEVER = 1e-9  # stands for a share of zero where it divides


cdef inline double least(double one, double other) noexcept:
    return other if other < one else one


cdef inline double most(double one, double other) noexcept:
    return other if other > one else one


cdef double waiting(double users, double service, double elsewhere) except? -1.0:
    """As wsekern.queueing.waiting."""
    if users <= 1.0:
        return 0.0
    cdef double spare = elsewhere - (users - 2.0) * service
    cdef double others = service * service * (users - 1.0)
    cdef double root = pow(spare * spare + 2.0 * others, 0.5)
    cdef double mean = others / (spare + root) if spare > 0.0 else 0.5 * (root - spare)
    return most(mean, (users - 1.0) * service - elsewhere)


cdef class Steady:
    """An estimate of the steady state, improved from round to round. Times in seconds; ``base`` and ``slope`` have an entry for
    each number of tokens that travel together, from 1."""

    cdef const double[::1] base, slope
    cdef double users, prompt, output, think, more, others, tail, last_tokens, chunk, read, chunks, jam
    cdef double passed, checked, kept, regions, head, crossing_token, draft, draft_busy, largest
    cdef bint draft_in_line
    cdef double together, behind_together, decoding, groups, contiguous, share, wait, service, phase, step, last, token
    cdef double queued, first, work, met, reading

    def __init__(self, const double[::1] base, const double[::1] slope, double users, double prompt, double output, double think,
                 double more, double tail, double last_tokens, tuple chunks, double passed, double checked, double kept,
                 double regions, double head, double crossing_token, double draft, double draft_busy, bint draft_in_line):
        self.base, self.slope = base, slope
        self.users, self.prompt, self.output, self.think, self.more = users, prompt, output, think, more
        self.others, self.tail, self.last_tokens = users - 1.0, tail, last_tokens
        self.chunk, self.read, self.chunks, self.jam = chunks
        self.passed, self.checked, self.kept, self.regions = passed, checked, kept, regions
        self.head, self.crossing_token, self.draft, self.draft_busy = head, crossing_token, draft, draft_busy
        self.draft_in_line, self.largest = draft_in_line, <double>base.shape[0]
        self.together = self.behind_together = 1.0
        self.decoding = self.groups = self.contiguous = self.share = self.wait = self.service = 0.0
        self.phase, self.step, self.last = self.read, 0.5, 0.0
        self.token = self.free_pass()

    cdef double train(self, double own, double chunk) noexcept:
        cdef double drafted = self.draft + (chunk if self.draft_in_line else 0.0)
        return (self.checked - 1.0) * most(most(most(own, self.head), self.draft_busy), drafted)

    cdef double group(self, double together, double users) except? -1.0:
        cdef double groups = users / together
        cdef double context = self.prompt + self.output * (0.5 + (groups / (groups + 1.0) - 0.5) / sqrt(together))
        cdef Py_ssize_t size = self.base.shape[0]
        cdef Py_ssize_t low = min(<Py_ssize_t>together, size) - 1
        cdef Py_ssize_t high = min(low + 1, size - 1)
        cdef double below = self.base[low] + self.slope[low] * context
        cdef double above = self.base[high] + self.slope[high] * context
        return below + (together - 1.0 - low) * (above - below)

    cdef double free_pass(self) except? -1.0:
        cdef double users = 1.0 + self.decoding
        cdef double own = self.group(self.together, users)
        cdef double seconds = self.passed * own + self.train(own, 0.0) + 0.5 * (self.together - 1.0) * self.head + self.tail
        cdef double turn = users / self.together * self.checked * own
        self.together = least(most(1.0, self.together * turn / seconds), self.largest)
        self.queued = most(0.0, turn - seconds)
        return most(most(seconds, turn), self.ends(users))

    cdef double ends(self, double users) noexcept:
        return users * self.checked * most(self.head, self.draft_busy)

    cdef double behind_pass(self) except? -1.0:
        cdef double users = 1.0 + self.decoding
        cdef double limit = least(self.largest, most(1.0, users * self.checked / self.regions))
        cdef double own = self.group(self.behind_together, users)
        cdef double pace = self.chunk + self.contiguous * (self.jam - self.chunk)
        cdef double cycle = self.chunk + self.groups * self.checked * own
        cdef double seconds = ((self.passed - 1.0) * most(pace, own) + own + self.train(own, self.chunk) + 0.5 * cycle
                               + self.tail)
        seconds += 0.5 * (self.behind_together - 1.0) * self.head
        cdef double reading = self.service / most(NEVER, 1.0 - self.contiguous)
        cdef double crowd = least(self.decoding / limit * (self.chunk + self.checked * own), reading)
        cdef double first = 0.5 * crowd * seconds / (seconds + reading) if crowd else 0.0
        cdef double turn = users * cycle / limit
        cdef double here = users * cycle / most(seconds, turn)
        self.groups += 0.5 * (least(1.0, here) - self.groups)
        self.behind_together += 0.5 * (least(most(1.0, here), limit) - self.behind_together)
        return most(most(seconds + first, turn), self.ends(users))

    cdef double improve(self) except? -1.0:
        cdef double token = self.token, decoding = self.decoding
        cdef double free = self.free_pass()
        cdef double behind = self.behind_pass()
        cdef double own = self.group(self.behind_together, 1.0 + decoding)
        cdef double crowded = self.groups * decoding / (1.0 + decoding)
        self.service = self.read + self.chunks * crowded * self.checked * own
        self.service += (decoding * (1.0 - self.contiguous) * (1.0 - crowded) * self.checked
                         * self.group(1.0, 1.0 + decoding))
        cdef double travel = (self.passed - 1.0) * (self.chunk + crowded * most(0.0, own - self.chunk)) + self.tail
        travel += self.crossing_token * (self.last_tokens - 1.0)
        self.first = self.service + travel
        if self.others:
            self.queue(travel + self.think, free, behind)
            self.mix(free, behind, most(0.0, (self.chunk - own) * (self.passed - 1.0) - self.queued))
        self.work = (1.0 - self.share) * self.group(self.together, 1.0 + decoding) / self.together
        self.work = self.checked * (self.work + self.share * own / self.behind_together)
        return most(fabs(self.token / token - 1.0), fabs(self.decoding - decoding) / self.users)

    cdef double waits(self, double users, double slow, double vary) except? -1.0:
        cdef double floor = most(0.0, (users - 1.0) * self.service - slow)
        return floor + vary * (waiting(users, self.service, slow) - floor)

    cdef int queue(self, double rest, double free, double behind) except -1:
        cdef double slow = rest + self.more * behind, mean = rest + self.more * self.token
        cdef double phases = most(1.0, self.more * self.token / self.phase)
        cdef double variance = pow(SPREAD_ * self.more * self.token, 2.0) / 3.0
        variance += pow(self.more * (behind - free), 2.0) * self.share * (1.0 - self.share) / phases
        cdef double apart = (self.wait + self.service + mean) / self.users
        cdef double vary = least(1.0, variance / pow(apart, 2.0))
        self.met = vary + (1.0 - vary) * least(1.0, self.more * self.token / apart)
        self.wait = self.waits(self.users, slow, vary)
        self.reading = least(1.0, self.others * self.service / (self.waits(self.others, slow, vary) + self.service + mean))
        cdef double cycle = self.waits(self.others - 1.0, slow, vary) + self.service + slow
        self.contiguous = least(1.0, (self.others - 1.0) * self.service / cycle) if self.others > 1.0 else 0.0
        return 0

    cdef int mix(self, double free, double behind, double held) except -1:
        cdef double busy = self.service / most(NEVER, 1.0 - self.contiguous)
        cdef double idle = busy * most(NEVER, 1.0 - self.reading) / most(NEVER, self.reading)
        self.phase = busy + idle
        cdef double slow = 1.0 - (1.0 - self.reading) * exp(-0.5 * held / idle)
        cdef double rate = 1.0 / idle + (1.0 - slow) / slow / idle
        cdef double into = -slow * expm1(-rate * free), out = -(1.0 - slow) * expm1(-rate * behind)
        cdef double faded, change, decoding
        self.share = into / (into + out)
        if self.more:
            faded = 1.0 - pow(1.0 - into - out, self.more)
            self.share += (slow - self.share) * faded / (self.more * (into + out))
        self.share *= self.met
        change = free + self.share * (behind - free) - self.token
        if change * self.last < 0.0:
            self.step *= 0.7
        self.last = change
        self.token += self.step * change
        decoding = self.reading / self.service * self.more * self.token
        self.decoding += self.step * (least(self.others, decoding) - self.decoding)
        return 0

    def settle(self, int rounds, double close):
        """Improve until figures change by less than ``close``, at most ``rounds`` times; then (seconds to the first token and per
        output token, of a prompt's waiting, decoding users, busy share, tokens together)."""
        cdef int number
        for number in range(rounds):
            if self.improve() < close:
                break
        cdef double work = self.read + self.more * self.work
        cdef double cycle = self.first + self.wait + self.more * self.token + self.think
        cdef double more = most(0.0, self.users * work - cycle)
        cdef double token = self.token + more / self.more if self.more else self.token
        cdef double wait = self.wait if self.more else self.wait + more
        cdef double first = self.first + wait, rate = self.users / (cycle + more)
        cdef double together = (1.0 - self.share) * self.together + self.share * self.behind_together
        return first, token / self.kept, wait, rate * self.more * token, rate * work, together
