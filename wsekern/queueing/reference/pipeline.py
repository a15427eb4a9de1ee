"""The line of regions of :mod:`wsekern.queueing.pipeline` with a process for each job and a resource for each region."""

from collections import deque
from collections.abc import Generator

import numpy as np
import simpy

from wsekern.queueing.outcome import Outcome
from wsekern.queueing.pipeline import JAM, LineCosts
from wsekern.queueing.traffic import Traffic

Process = Generator[simpy.Event, object, None]


class Settled(simpy.Event):
    """Happens now, after everything else that happens now."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        env.schedule(self, priority=9)


class Line:
    """One run: ``costs`` and ``traffic`` as in :func:`wsekern.queueing.pipeline.simulate_line`."""

    def __init__(self, costs: LineCosts, traffic: Traffic) -> None:
        self.env, self.costs, self.traffic = simpy.Environment(), costs, traffic
        self.regions = [simpy.Resource(self.env) for _ in range(costs.regions)]
        self.head, self.returned, self.chunks = simpy.Resource(self.env), 0.0, 0
        self.arrival, (self.first, self.finish) = np.array(traffic.arrival_seconds, float), np.zeros((2, len(traffic)))
        self.made = [0] * len(traffic)
        self.waiting: deque[int] = deque()
        self.tokens: deque[int] = deque()
        self.coming: deque[int] = deque()
        self.free, self.busy, self.born = costs.cache_slots, 0.0, traffic.users or len(traffic)
        self.decoding = 0  # requests that have read their prompt and whose last token has not entered
        self.stirred = self.env.event()

    def run(self) -> Outcome:
        """Until all requests are answered."""
        for request in range(self.born):
            self.env.process(self.arrive(request, self.arrival[request]))
        self.env.process(self.gate())
        self.env.run()
        prompt, output = int(self.traffic.prompt.sum()), int(self.traffic.output.sum())
        return Outcome(self.traffic, self.arrival, self.first, self.finish, self.busy, prompt, output)

    def stir(self) -> None:
        """Let the gate look again."""
        if not self.stirred.triggered:
            self.stirred.succeed()

    def arrive(self, request: int, delay: float) -> Process:
        """``request`` comes to the gate after ``delay``."""
        yield self.env.timeout(delay)
        self.arrival[request] = self.env.now
        self.waiting.append(request)
        self.stir()

    def need(self, request: int) -> int:
        """Cache slots of ``request``."""
        return int(self.costs.slots(self.traffic.prompt[request] + self.traffic.output[request]))

    def gate(self) -> Process:
        """Let jobs into the first region: waiting tokens and the chunks of the first prompt take turns."""
        reading, read, tokens_last = None, 0, False
        while True:
            yield Settled(self.env)
            room = self.chunks < JAM * self.costs.regions
            if room and reading is None and self.waiting and self.need(self.waiting[0]) <= self.free:
                reading, read = self.waiting.popleft(), 0
                self.free -= self.need(reading)
            if self.tokens and not (reading is not None and room and tokens_last):
                most = min(self.costs.most_together, -(-self.decoding // self.costs.regions))
                group = [self.tokens.popleft() for _ in range(min(len(self.tokens), most))]
                context = sum(self.traffic.prompt[request] + self.made[request] for request in group) / len(group)
                size, tokens_last = len(group), True
                seconds = self.costs.group_base[size - 1] + self.costs.group_slope[size - 1] * context
                yield from self.enter(seconds, group, size, False)
            elif reading is not None and room:
                self.chunks += 1
                size = min(self.costs.chunk, int(self.traffic.prompt[reading]) - read)
                seconds = self.costs.chunk_base[size - 1] + self.costs.chunk_slope[size - 1] * (read + 0.5 * (size + 1))
                read, tokens_last = read + size, False
                ends = read == self.traffic.prompt[reading]
                yield from self.enter(seconds, [reading] if ends else [], size, True)
                reading = None if ends else reading
            else:
                self.stirred = self.env.event()
                yield self.stirred

    def enter(self, seconds: float, requests: list[int], size: int, chunk: bool) -> Process:
        """The first region of a job; it goes on by itself."""
        share = self.costs.last_share if self.costs.regions == 1 else 1.0
        yield self.env.timeout(seconds * share)
        self.busy += seconds * share
        self.env.process(self.rest(seconds, requests, size, chunk))
        for request in requests:
            self.decoding += int(self.made[request] == 0) - int(self.made[request] + 1 == self.traffic.output[request])

    def rest(self, seconds: float, requests: list[int], size: int, chunk: bool) -> Process:
        """The other regions of a job, then the head for each of its ``requests``."""
        for index, region in enumerate(self.regions[1:], 2):
            with region.request() as turn:
                yield turn
                yield self.env.timeout(seconds * (self.costs.last_share if index == self.costs.regions else 1.0))
        self.chunks -= chunk
        self.stir()
        for request in requests:
            self.env.process(self.answer(request, size))

    def answer(self, request: int, size: int) -> Process:
        """The head and the way back of one token; nothing overtakes there either."""
        with self.head.request() as turn:
            yield turn
            yield self.env.timeout(self.costs.head_seconds)
        self.coming.append(request)
        crossing = self.costs.crossing_seconds + self.costs.crossing_token_seconds * size
        self.returned = max(self.returned, self.env.now + crossing)
        yield self.env.timeout(self.returned - self.env.now)
        self.back(self.coming.popleft())

    def back(self, request: int) -> None:
        """A token of ``request`` is back: the next one can start, or the answer is complete."""
        if self.made[request] == 0:
            self.first[request] = self.env.now
        self.made[request] += 1
        if self.made[request] < self.traffic.output[request]:
            self.tokens.append(request)
        else:
            self.finish[request] = self.env.now
            self.free += self.need(request)
            if self.traffic.users and self.born < len(self.traffic):
                self.env.process(self.arrive(self.born, self.traffic.think_seconds))
                self.born += 1
        self.stir()
