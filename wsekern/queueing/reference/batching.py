"""Continuous batching in SimPy, step by step in plain Python: what :mod:`wsekern.queueing.batching` must agree with."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simpy

from wsekern.queueing.batching import StepCosts
from wsekern.queueing.outcome import Outcome
from wsekern.queueing.traffic import Traffic


@dataclass(eq=False)
class Job:
    """A request on its way: tokens of its answer so far, tokens in the cache."""

    index: int
    prompt: int
    output: int
    written: int = 0
    cached: int = 0
    decoding: bool = False  # else it is read, or read again

    @property
    def length(self) -> int:
        """Tokens to read, or that the next step of a decoding sequence looks back on."""
        return self.prompt + self.written


class ReferenceEngine:
    """One engine, and the users in front of it."""

    def __init__(self, costs: StepCosts, traffic: Traffic) -> None:
        self.costs, self.traffic, self.env = costs, traffic, simpy.Environment()
        count = len(traffic)
        self.arrival, self.first, self.finish = (np.zeros(count) for _ in range(3))
        self.line: deque[Job] = deque()
        self.due: list[tuple[float, int, Job]] = []  # when, and not yet seen
        self.unseen, self.held = 0, 0  # decoding steps since the last look, and those for which prompts waited
        self.inside: list[Job] = []  # in order of admission
        self.wake = self.env.event()
        self.sent, self.answered, self.preemptions, self.prompt_tokens, self.busy = 0, 0, 0, 0, 0.0
        for at in traffic.arrival_seconds[: traffic.users or count]:
            self.send(float(at))
        self.env.process(self.serve())

    def send(self, at: float) -> None:
        """The next request arrives ``at`` this time."""
        index = self.sent
        self.sent += 1
        self.arrival[index] = at
        job = Job(index, int(self.traffic.prompt[index]), int(self.traffic.output[index]))
        due = at + self.costs.outside_seconds(job.prompt)
        if due <= self.env.now:
            self.due.append((due, index, job))
        else:
            self.env.process(self.enter(job, due))

    def enter(self, job: Job, due: float) -> Iterator[simpy.Event]:
        """Into the line when due."""
        yield self.env.timeout(due - self.env.now)
        self.due.append((due, job.index, job))
        if not self.wake.triggered:
            self.wake.succeed()

    def serve(self) -> Iterator[simpy.Event]:
        """Step after step, as long as there is work."""
        while self.answered < len(self.traffic):
            chosen = self.compose()
            if not chosen:
                self.wake = self.env.event()
                yield self.wake
                continue
            seconds = self.seconds(chosen)
            self.busy += seconds
            self.unseen += any(not tokens for _, tokens in chosen)
            if any(tokens for _, tokens in chosen):
                self.unseen = self.held = 0
            yield self.env.timeout(seconds)
            for job, tokens in chosen:
                self.done(job, tokens)

    def compose(self) -> list[tuple[Job, int]]:
        """(request, tokens of its prompt, or 0 for one token of its answer) of the next step."""
        self.look_for_requests()
        if self.holds():
            return [(job, 0) for job in self.decodable()]
        if self.costs.chunked:
            decoding = self.decodable()
            budget = self.costs.step_tokens - len(decoding)
            return [(job, 0) for job in decoding] + self.prompts(budget, [*decoding])
        return self.prompts(self.costs.step_tokens, []) or [(job, 0) for job in self.decodable()]

    def look_for_requests(self) -> None:
        """Into the line with what is due: after so many steps, after each that read prompts, and where none decodes."""
        if self.unseen % self.costs.look_steps and any(job.decoding for job in self.inside):
            return
        self.unseen = 0
        self.line.extend(job for *_, job in sorted(self.due, key=lambda entry: entry[:2]))
        self.due.clear()

    def holds(self) -> bool:
        """Whether a step goes without waiting prompts that fit because they and the decoding sequences are few tokens."""
        stepping = [job for job in self.inside if job.decoding]
        decoding = len(stepping)
        if not self.line or not decoding or decoding < len(self.inside) or self.held >= self.costs.hold_steps:
            return False
        used = self.used(stepping if self.costs.chunked else [])
        if decoding >= self.costs.sequences or used + self.pages(self.line[0].length) > self.costs.pages:
            return False
        if decoding + sum(job.length for job in self.line) >= self.costs.hold_tokens:
            return False
        self.held += 1
        return True

    def pages(self, tokens: int) -> int:
        """Pages of the cache that hold ``tokens``."""
        return -(-tokens // self.costs.page_tokens)

    def used(self, stepping: list[Job]) -> int:
        """Pages of all inside; of those that step, with the token that the step adds."""
        return sum(self.pages(job.length - (job.decoding and job not in stepping)) for job in self.inside)

    def decodable(self) -> list[Job]:
        """Sequences that decode, after the latest admitted were pre-empted until they fit."""
        while True:
            decoding = [job for job in self.inside if job.decoding]
            if not decoding or self.used(decoding) <= self.costs.pages:
                return decoding
            latest = self.inside.pop()
            latest.cached, latest.decoding = 0, False
            self.line.appendleft(latest)
            self.preemptions += 1

    def prompts(self, budget: int, stepping: list[Job]) -> list[tuple[Job, int]]:
        """Prompts, or parts of them, that the next step reads."""
        chosen: list[tuple[Job, int]] = []
        left = budget
        for job in self.inside:
            if not job.decoding and left > 0:
                chosen.append((job, min(left, job.length - job.cached)))
                left -= chosen[-1][1]
        while self.line and left > 0 and len(self.inside) < self.costs.sequences:
            job = self.line[0]
            whole = self.costs.whole or not self.costs.chunked
            if self.used(stepping) + self.pages(job.length) > self.costs.pages or (whole and chosen and job.length > left):
                break
            self.inside.append(self.line.popleft())
            chosen.append((job, job.length if whole else min(left, job.length)))
            left -= chosen[-1][1]
        return chosen

    def seconds(self, chosen: list[tuple[Job, int]]) -> float:
        """The step of these requests."""
        contexts = [job.length for job, tokens in chosen if not tokens]
        tokens = sum(tokens for _, tokens in chosen)
        seconds = self.costs.decode_seconds(len(contexts), sum(contexts) / len(contexts)) if contexts else 0.0
        if tokens:
            look = sum(part * (job.cached + 0.5 * part) for job, part in chosen) / tokens
            seconds += self.costs.prompt_seconds(tokens, look, len(contexts))
        return seconds

    def done(self, job: Job, tokens: int) -> None:
        """The end of a step for one of its requests."""
        self.prompt_tokens += tokens
        job.cached += tokens or 1
        if tokens and job.cached < job.length:
            return
        job.decoding = True
        if not job.written:
            self.first[job.index] = self.env.now
        job.written += 1
        if job.written == job.output:
            self.finish[job.index] = self.env.now
            self.answered += 1
            self.inside.remove(job)
            if self.sent < len(self.traffic):
                self.send(self.env.now + self.traffic.think_seconds)


def batching_reference(costs: StepCosts, traffic: Traffic) -> Outcome:
    """:func:`wsekern.queueing.batching.simulate_batching`, whose result this is up to rounding."""
    engine = ReferenceEngine(costs, traffic)
    engine.env.run()
    return Outcome(traffic, engine.arrival, engine.first, engine.finish, engine.busy, engine.prompt_tokens,
                   int(traffic.output.sum()), engine.preemptions)
