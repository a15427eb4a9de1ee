# cython: language_level=3
"""One engine with continuous batching, from event to event: the loop of wsekern.queueing.batching.

Between two events (an arrival that may be admitted, a complete answer, a full cache) the same sequences decode and their
mean context grows by one token a step: the seconds of such steps are the sum of an arithmetic series. A step that reads
prompts is an event of its own. The same step by step in plain Python is wsekern.queueing.reference.batching.
"""
from libc.math cimport INFINITY, ceil, sqrt
from libc.stdint cimport int64_t

import numpy as np


cdef struct Heap:             # of requests: the least key first, of equals the least request
    const double *keys        # of each request
    int64_t *items
    int64_t *places           # of each request in `items`
    int64_t count


cdef bint sooner(const Heap *heap, int64_t one, int64_t other) noexcept nogil:
    return heap.keys[one] < heap.keys[other] or (heap.keys[one] == heap.keys[other] and one < other)


cdef void put(Heap *heap, int64_t place, int64_t request) noexcept nogil:
    heap.items[place] = request
    heap.places[request] = place


cdef void rise(Heap *heap, int64_t place, int64_t request) noexcept nogil:
    cdef int64_t above
    while place > 0:
        above = (place - 1) // 2
        if not sooner(heap, request, heap.items[above]):
            break
        put(heap, place, heap.items[above])
        place = above
    put(heap, place, request)


cdef void add(Heap *heap, int64_t request) noexcept nogil:
    heap.count += 1
    rise(heap, heap.count - 1, request)


cdef void drop(Heap *heap, int64_t request) noexcept nogil:
    cdef int64_t place = heap.places[request], below, last
    heap.count -= 1
    last = heap.items[heap.count]
    if place == heap.count:
        return
    while 2 * place + 1 < heap.count:
        below = 2 * place + 1
        if below + 1 < heap.count and sooner(heap, heap.items[below + 1], heap.items[below]):
            below += 1
        if sooner(heap, last, heap.items[below]):
            break
        put(heap, place, heap.items[below])
        place = below
    rise(heap, place, last)


cdef double interpolate(const double[::1] grid, const double[::1] values, double x) noexcept nogil:
    # Straight lines between the points of the grid; those of the ends go on outside.
    cdef Py_ssize_t low = 0, high = grid.shape[0] - 1, middle
    if high == 0:
        return values[0]
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= x:
            low = middle
        else:
            high = middle
    return values[low] + (values[high] - values[low]) * ((x - grid[low]) / (grid[high] - grid[low]))


cdef class Batching:
    """State of a run. ``written`` and ``read`` count tokens of each request; ``stepped`` counts steps that decode, and ``ends``
    is the count at which an answer is complete; ``phases[r]`` are decoding sequences whose tokens are ``r + stepped`` modulo
    the tokens of a page; ``line`` is a ring; ``before`` and ``after`` link what is admitted, ``latest`` being its end."""
    cdef readonly double now, busy_seconds
    cdef readonly int64_t prompt_tokens, preemptions
    cdef int64_t requests, sent, answered, budget, most, pages, page, look_steps, hold_steps, hold_tokens
    cdef int64_t looked, holding, stepped, decoding, inside, context, used, reading, latest, head, waiting, completed
    cdef double think, base, slope, beside
    cdef bint chunked, whole, after_reading
    cdef const double[::1] decode_grid, decode_base, decode_slope, prompt_grid, crowded, alone, look, together, delay
    cdef const int64_t[::1] prompt, output
    cdef double[::1] arrival, first, finish, due, ends
    cdef int64_t[::1] written, read, line, before, after, complete, phases
    cdef int64_t[:, ::1] heaped
    cdef Heap entries, answers

    def __init__(self, costs, traffic, delay, arrival, first, finish):
        cdef int64_t i, n = len(traffic.prompt)
        self.decode_grid, self.decode_base, self.decode_slope = costs.decode_grid, costs.decode_base, costs.decode_slope
        self.prompt_grid, self.crowded = costs.prompt_grid, costs.crowded
        self.alone, self.look, self.together = costs.alone, costs.look, costs.together
        self.chunked, self.budget, self.most = costs.chunked, costs.step_tokens, costs.sequences
        self.whole, self.beside = costs.whole or not costs.chunked, costs.beside_seconds
        self.look_steps, self.hold_steps, self.hold_tokens = costs.look_steps, costs.hold_steps, costs.hold_tokens
        self.page, self.pages = costs.page_tokens, costs.pages
        self.prompt, self.output, self.delay = traffic.prompt, traffic.output, delay
        self.arrival, self.first, self.finish = arrival, first, finish
        self.requests, self.think = n, traffic.think_seconds
        self.due, self.ends = np.zeros(n), np.zeros(n)
        self.written, self.read, self.line, self.complete = [np.zeros(n, np.int64) for _ in range(4)]
        self.before, self.after, self.heaped = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros((4, n), np.int64)
        self.phases = np.zeros(self.page, np.int64)
        self.entries = Heap(&self.due[0], &self.heaped[0, 0], &self.heaped[1, 0], 0)
        self.answers = Heap(&self.ends[0], &self.heaped[2, 0], &self.heaped[3, 0], 0)
        self.latest = self.reading = -1
        self.now, self.sent = -INFINITY, n if traffic.users is None else traffic.users
        for i in range(self.sent):
            self.send(i)

    def advance(self, int64_t events):
        """Go on by at most ``events`` events; whether all requests are answered."""
        with nogil:
            while events > 0 and self.answered < self.requests:
                self.event()
                events -= 1
        return self.answered == self.requests

    cdef void event(self) noexcept nogil:
        # A step that reads prompts, or some steps that read none, or a wait for the next request.
        cdef int64_t tokens
        cdef double looked = 0.0
        self.look_for_requests()
        if self.holds():
            self.make_room()
            self.decode_steps(1)
            return
        if self.chunked:
            self.make_room()
            tokens = self.admit(&looked, self.budget - self.decoding, self.grows(1))
        else:
            tokens = self.admit(&looked, self.budget, 0)
            if not tokens:
                self.make_room()
        if tokens:
            self.read_step(tokens, looked / tokens)
        elif self.decoding:
            self.decode_steps(self.undisturbed())
        else:
            self.now = self.due[self.entries.items[0]]

    cdef void look_for_requests(self) noexcept nogil:
        # Into the line with what is due: after so many steps, after each that read prompts, and where none decodes.
        if self.decoding and not self.after_reading and (self.stepped - self.looked) % self.look_steps:
            return
        self.looked, self.after_reading = self.stepped, False
        while self.entries.count and self.due[self.entries.items[0]] <= self.now:
            self.line[(self.head + self.waiting) % self.requests] = self.entries.items[0]
            self.waiting += 1
            drop(&self.entries, self.entries.items[0])

    cdef bint holds(self) noexcept nogil:
        # Whether a step goes without waiting prompts that fit because they and the decoding sequences are few tokens.
        cdef int64_t tokens = self.decoding, i, request
        if not (self.waiting and self.decoding and self.reading < 0 and self.holding < self.hold_steps):
            return False
        if self.inside >= self.most or self.used + self.need() > self.pages:
            return False
        for i in range(self.waiting):
            request = self.line[(self.head + i) % self.requests]
            tokens += self.prompt[request] + self.written[request]
            if tokens >= self.hold_tokens:
                return False
        self.holding += 1
        return True

    cdef int64_t need(self) noexcept nogil:
        # Pages that the first of the line and the decoding sequences take in the next step.
        cdef int64_t request = self.line[self.head]
        return self.held(self.prompt[request] + self.written[request]) + (self.grows(1) if self.chunked else 0)

    cdef void send(self, int64_t request) noexcept nogil:
        self.due[request] = self.arrival[request] + self.delay[request]
        add(&self.entries, request)

    cdef int64_t held(self, int64_t tokens) noexcept nogil:
        return (tokens + self.page - 1) // self.page

    cdef int64_t phase(self, int64_t tokens) noexcept nogil:
        cdef int64_t rest = (tokens - self.stepped) % self.page
        return rest if rest >= 0 else rest + self.page

    cdef int64_t grows(self, int64_t steps) noexcept nogil:
        # Pages that the decoding sequences take in the next steps: each where its tokens are one more than full pages.
        cdef int64_t pages = steps // self.page * self.decoding, i
        for i in range(steps % self.page):
            pages += self.phases[self.phase(1 - i)]
        return pages

    cdef int64_t room(self) noexcept nogil:
        # Steps for which the free pages last.
        cdef int64_t free = self.pages - self.used, steps = free // self.decoding * self.page, pages
        free %= self.decoding
        while True:
            pages = self.phases[self.phase(1 - steps)]
            if pages > free:
                return steps
            free -= pages
            steps += 1

    cdef void make_room(self) noexcept nogil:
        # Pre-empts the latest admitted until the next step fits the cache: they go to the head of the line.
        cdef int64_t request, tokens
        while self.decoding and self.grows(1) > self.pages - self.used:
            request = self.latest
            if request == self.reading:
                self.reading = -1
                self.used -= self.held(self.prompt[request] + self.written[request])
            else:
                self.written[request] = self.output[request] - (<int64_t> self.ends[request] - self.stepped)
                tokens = self.prompt[request] + self.written[request]
                drop(&self.answers, request)
                self.stop_decoding(request, tokens)
            self.leave(request)
            self.head = (self.head + self.requests - 1) % self.requests
            self.line[self.head] = request
            self.waiting += 1
            self.preemptions += 1
            self.look_up()

    cdef void stop_decoding(self, int64_t request, int64_t tokens) noexcept nogil:
        self.decoding -= 1
        self.context -= tokens
        self.phases[self.phase(tokens)] -= 1
        self.used -= self.held(tokens - 1)

    cdef void leave(self, int64_t request) noexcept nogil:
        if self.before[request] >= 0:
            self.after[self.before[request]] = self.after[request]
        if self.after[request] >= 0:
            self.before[self.after[request]] = self.before[request]
        else:
            self.latest = self.before[request]
        self.inside -= 1

    cdef int64_t admit(self, double *looked, int64_t budget, int64_t growth) noexcept nogil:
        # Tokens of prompts that the next step reads, at most `budget` (one prompt may have more where none is cut); `growth`: pages that
        # the step takes besides; `looked`: the sum of what the tokens look back on. Only the last prompt of a step is cut.
        cdef int64_t tokens = 0, request, length, need
        self.completed = 0
        if budget <= 0:
            return 0
        if self.reading >= 0:
            tokens = self.take(self.reading, budget, looked)
        while self.waiting and tokens < budget and self.inside < self.most:
            request = self.line[self.head]
            length = self.prompt[request] + self.written[request]
            need = self.held(length)
            if self.used + growth + need > self.pages or (self.whole and tokens and tokens + length > budget):
                break
            self.head = (self.head + 1) % self.requests
            self.waiting -= 1
            self.used += need
            self.inside += 1
            self.read[request] = 0
            self.before[request], self.after[request] = self.latest, -1
            if self.latest >= 0:
                self.after[self.latest] = request
            self.latest = request
            tokens += self.take(request, length if self.whole else budget - tokens, looked)
        return tokens

    cdef int64_t take(self, int64_t request, int64_t most, double *looked) noexcept nogil:
        # Reads at most `most` further tokens of a prompt; returns how many.
        cdef int64_t left = self.prompt[request] + self.written[request] - self.read[request], tokens = min(left, most)
        looked[0] += tokens * (self.read[request] + 0.5 * tokens)
        self.read[request] += tokens
        if tokens == left:
            self.reading = -1
            self.complete[self.completed] = request
            self.completed += 1
        else:
            self.reading = request
        return tokens

    cdef void read_step(self, int64_t tokens, double look) noexcept nogil:
        cdef double seconds = look * interpolate(self.prompt_grid, self.look, tokens), crowd
        cdef int64_t i, request
        if self.chunked and self.decoding:
            crowd = interpolate(self.prompt_grid, self.crowded, tokens)
            seconds += (self.beside + self.base + self.slope * (<double> self.context / self.decoding)
                        + interpolate(self.prompt_grid, self.together, self.decoding + crowd)
                        - interpolate(self.prompt_grid, self.together, self.decoding))
            self.forward(1, seconds)
        else:
            self.forward(0, seconds + interpolate(self.prompt_grid, self.alone, tokens))
        self.prompt_tokens += tokens
        self.after_reading, self.holding = True, 0
        for i in range(self.completed):
            request = self.complete[i]
            if not self.written[request]:
                self.first[request] = self.now
            self.written[request] += 1
            tokens = self.prompt[request] + self.written[request]
            self.decoding += 1
            self.context += tokens
            self.phases[self.phase(tokens)] += 1
            self.ends[request] = self.stepped + self.output[request] - self.written[request]
            add(&self.answers, request)
        self.close_answers()

    cdef void decode_steps(self, int64_t steps) noexcept nogil:
        self.forward(steps, self.seconds(steps))
        self.close_answers()

    cdef double seconds(self, int64_t steps) noexcept nogil:
        # Of steps that only decode: the mean context grows by a token in each.
        return steps * self.base + self.slope * (
            steps * (<double> self.context / self.decoding) + 0.5 * steps * (steps - 1.0))

    cdef void forward(self, int64_t steps, double seconds) noexcept nogil:
        if steps:
            self.used += self.grows(steps)
            self.context += steps * self.decoding
            self.stepped += steps
        self.now += seconds
        self.busy_seconds += seconds

    cdef int64_t undisturbed(self) noexcept nogil:
        # Steps until an answer is complete, the cache is full, or a request comes that may be admitted: none where others wait
        # for an answer to end.
        cdef int64_t steps = min(<int64_t> self.ends[self.answers.items[0]] - self.stepped, self.room()), fewer
        cdef double due, linear, left
        if self.waiting and self.entries.count and self.look_steps > 1:
            return min(steps, self.look_steps - (self.stepped - self.looked) % self.look_steps)
        if self.waiting or not self.entries.count:
            return steps
        due = self.due[self.entries.items[0]]
        if self.now + self.seconds(steps) < due:
            return steps
        left = max(0.0, due - self.now)
        linear = self.base + self.slope * (<double> self.context / self.decoding - 0.5)
        fewer = <int64_t> ceil(2.0 * left / (linear + sqrt(linear * linear + 2.0 * self.slope * left)))
        fewer = max(1, min(fewer, steps))
        while fewer > 1 and self.now + self.seconds(fewer - 1) >= due:     # of roundings
            fewer -= 1
        while fewer < steps and self.now + self.seconds(fewer) < due:
            fewer += 1
        fewer += self.look_steps - 1 - (self.stepped - self.looked + fewer - 1) % self.look_steps     # seen with the next look
        return min(fewer, steps)

    cdef void close_answers(self) noexcept nogil:
        # Complete answers leave, and their users send the next request.
        cdef int64_t request
        while self.answers.count and self.ends[self.answers.items[0]] <= self.stepped:
            request = self.answers.items[0]
            drop(&self.answers, request)
            self.stop_decoding(request, self.prompt[request] + self.output[request])
            self.leave(request)
            self.finish[request] = self.now
            self.answered += 1
            if self.sent < self.requests:
                self.arrival[self.sent] = self.now + self.think
                self.send(self.sent)
                self.sent += 1
        self.look_up()

    cdef void look_up(self) noexcept nogil:
        # The costs of a step, after the number of decoding sequences has changed.
        if self.decoding:
            self.base = interpolate(self.decode_grid, self.decode_base, self.decoding)
            self.slope = interpolate(self.decode_grid, self.decode_slope, self.decoding)
