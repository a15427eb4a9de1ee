# cython: language_level=3
"""Requests through a line of regions, a recurrence per visit: see wsekern.queueing.pipeline, which says what it computes.

No job overtakes within the line, so the whole way of a job is known when it enters: it leaves region i at
max(when the job before left region i, when it left region i - 1 itself) + its seconds. Tokens come back in order, and so do
answers and the requests that follow them, so first-in-first-out rings hold all that is to come.
"""
from libc.math cimport INFINITY
from libc.stdint cimport int64_t

import numpy as np


cdef class Line:
    """The state between two jobs. Times in seconds; arrays of requests have n entries, those of group and chunk costs one for
    each number of tokens, from 1."""

    cdef readonly object arrival, first, finish                 # float64 [n]
    cdef double[::1] arrivals, firsts, finishes, token_times, freed_times
    cdef const int64_t[::1] prompt, output, need                # tokens, tokens, cache slots
    cdef int64_t[::1] made, tokens                              # output tokens so far; ring of requests that are answered, next token first
    cdef int64_t[::1] freed                                     # cache slots to be free at freed_times
    cdef const double[::1] group_base, group_slope, chunk_base, chunk_slope
    cdef double[::1] left, out                                  # [regions] when the last job left; [jam x regions] ring: when chunks came out
    cdef readonly double busy                                   # seconds of work in the first region
    cdef double now, head_left, returned, think, last_share, head, crossing, crossing_token
    cdef int64_t users, born, starting, following, reading, read, free, unanswered
    cdef int64_t token_head, token_count, freed_head, freed_count, chunks
    cdef bint closed, tokens_last

    def __init__(self, double[::1] arrival, const int64_t[::1] prompt, const int64_t[::1] output, const int64_t[::1] need,
                 int64_t users, double think, int64_t regions, double last_share, const double[::1] group_base,
                 const double[::1] group_slope, const double[::1] chunk_base, const double[::1] chunk_slope, double head,
                 double crossing, double crossing_token, int64_t slots, int64_t jam):
        n = len(prompt)
        self.arrival, self.first, self.finish = np.asarray(arrival), np.zeros(n), np.zeros(n)
        self.arrivals, self.firsts, self.finishes = arrival, self.first, self.finish
        self.prompt, self.output, self.need = prompt, output, need
        self.made, self.tokens, self.freed = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.token_times, self.freed_times = np.zeros(n), np.zeros(n)
        self.group_base, self.group_slope, self.chunk_base, self.chunk_slope = group_base, group_slope, chunk_base, chunk_slope
        self.left, self.out = np.zeros(regions), np.zeros(jam * regions)
        self.last_share, self.head, self.crossing, self.crossing_token = last_share, head, crossing, crossing_token
        self.think, self.free, self.unanswered, self.reading = think, slots, n, -1
        self.closed = users > 0
        self.users = users if self.closed else n
        self.born = self.following = self.users

    cdef double through(self, double start, double seconds) noexcept nogil:
        """Send a job of ``seconds`` a region into the line at ``start``; return when it leaves the last region."""
        cdef Py_ssize_t last = self.left.shape[0] - 1, i
        cdef double* left = &self.left[0]
        cdef double leaves = start
        for i in range(last):
            leaves = (left[i] if left[i] > leaves else leaves) + seconds
            left[i] = leaves
        leaves = (left[last] if left[last] > leaves else leaves) + seconds * self.last_share
        left[last] = leaves
        self.now = left[0]
        self.busy += self.now - start
        return leaves

    cdef void answer(self, int64_t request, double leaves, int64_t together) noexcept nogil:
        """Pass one token through the head after ``leaves`` and take it back, or end the answer of ``request``."""
        self.head_left = (leaves if leaves > self.head_left else self.head_left) + self.head
        cdef double back = self.head_left + (self.crossing + self.crossing_token * together)
        if back < self.returned:
            back = self.returned
        self.returned = back
        if self.made[request] == 0:
            self.firsts[request] = back
        self.made[request] += 1
        cdef int64_t n = self.tokens.shape[0]
        if self.made[request] < self.output[request]:
            self.tokens[(self.token_head + self.token_count) % n] = request
            self.token_times[(self.token_head + self.token_count) % n] = back
            self.token_count += 1
            return
        self.finishes[request] = back
        self.unanswered -= 1
        self.freed[(self.freed_head + self.freed_count) % n] = self.need[request]
        self.freed_times[(self.freed_head + self.freed_count) % n] = back
        self.freed_count += 1
        if self.closed and self.born < n:
            self.arrivals[self.born] = back + self.think
            self.born += 1

    cdef void group(self, double start) noexcept nogil:
        """Send the tokens that have come back by ``start`` into the line, as many as may travel together: as it takes for all
        tokens to have a region, so that tokens that met once do not stay together for good."""
        cdef int64_t n = self.tokens.shape[0], count = 0, j, request
        cdef int64_t most = min(<int64_t> self.group_base.shape[0], (self.token_count - 1) // self.left.shape[0] + 1)
        cdef double context = 0.0
        while count < most and count < self.token_count and self.token_times[(self.token_head + count) % n] <= start:
            request = self.tokens[(self.token_head + count) % n]
            context += self.prompt[request] + self.made[request]
            count += 1
        cdef double leaves = self.through(start, self.group_base[count - 1] + self.group_slope[count - 1] * (context / count))
        for j in range(count):
            request = self.tokens[self.token_head]
            self.token_head = (self.token_head + 1) % n
            self.token_count -= 1
            self.answer(request, leaves, count)
        self.tokens_last = True

    cdef void chunk(self, double start) noexcept nogil:
        """Send the next chunk of the prompt that is being read into the line."""
        cdef int64_t size = min(<int64_t> self.chunk_base.shape[0], self.prompt[self.reading] - self.read)
        cdef double context = self.read + 0.5 * (size + 1)
        cdef double leaves = self.through(start, self.chunk_base[size - 1] + self.chunk_slope[size - 1] * context)
        self.out[self.chunks % self.out.shape[0]] = leaves
        self.chunks += 1
        self.read += size
        if self.read == self.prompt[self.reading]:
            self.answer(self.reading, leaves, size)
            self.reading = -1
        self.tokens_last = False

    cdef int64_t waiting(self) noexcept nogil:
        """The request that has waited longest, or will be there first; -1 if none is known."""
        cdef bint start = self.starting < self.users, follow = self.following < self.born
        if start and (not follow or self.arrivals[self.starting] <= self.arrivals[self.following]):
            return self.starting
        return self.following if follow else -1

    cdef bint advance(self, int64_t jobs) noexcept nogil:
        """Up to ``jobs`` jobs; whether all requests are answered. False with nothing left to come cannot be."""
        cdef int64_t next, n = self.tokens.shape[0]
        cdef double start, prompt_at, token_at
        while jobs > 0 and self.unanswered > 0:
            jobs -= 1
            token_at = self.token_times[self.token_head] if self.token_count > 0 else INFINITY
            next, prompt_at = -1, self.out[self.chunks % self.out.shape[0]]  # when the line has room for a chunk
            if self.reading < 0:
                next = self.waiting()
                prompt_at = max(prompt_at, self.arrivals[next] if next >= 0 else INFINITY)
                if next >= 0 and self.need[next] > self.free:      # look again when the next answer has left the cache
                    prompt_at = max(prompt_at, self.freed_times[self.freed_head] if self.freed_count > 0 else INFINITY)
            start = max(self.now, min(token_at, prompt_at))
            while self.freed_count > 0 and self.freed_times[self.freed_head] <= start:
                self.free += self.freed[self.freed_head]
                self.freed_head = (self.freed_head + 1) % n
                self.freed_count -= 1
            if next >= 0 and prompt_at <= start and self.need[next] <= self.free:
                self.free -= self.need[next]
                self.reading, self.read = next, 0
                if next < self.users:
                    self.starting += 1
                else:
                    self.following += 1
            if token_at <= start and not (self.reading >= 0 and prompt_at <= start and self.tokens_last):
                self.group(start)
            elif self.reading >= 0 and prompt_at <= start:
                self.chunk(start)
            else:
                self.now = start
        return self.unanswered == 0

    def run(self, int64_t jobs):
        """Go on for up to ``jobs`` jobs; return whether all requests are answered."""
        cdef bint done
        with nogil:
            done = self.advance(jobs)
        return done
