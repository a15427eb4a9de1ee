"""The steady state of users who take turns on one engine in plain Python: what ``_closed.pyx`` computes, formula by formula."""

from bisect import bisect_right
from collections.abc import Callable
from math import ceil, exp, expm1, sqrt

import numpy as np
from numpy.typing import NDArray

from wsekern.queueing.batching import StepCosts
from wsekern.queueing.closed import ClosedQueue, State, of_turn

ROUNDS = 80
"""Of the search for the number of arrivals, at most."""
PRECISION = 1e-10
"""Relative, at which it ends."""


def closed_queue(costs: StepCosts, users: float, prompt: float, output: float, think_seconds: float = 0.0) -> ClosedQueue:
    """As :func:`wsekern.queueing.closed.closed_queue`."""
    return of_turn(Turn(costs, prompt, output, think_seconds), costs, users, output, think_seconds)


class Turn:
    """What a turn of each user takes, by the prompts that arrive in a step."""

    def __init__(self, costs: StepCosts, prompt: float, output: float, think_seconds: float) -> None:
        self.costs, self.prompt, self.output = costs, prompt, output
        self.passes = (output - 1.0) / costs.kept  # steps in which an answer grows
        self.away = think_seconds + costs.outside_seconds(round(prompt))
        self.held = costs.cached - costs.shared + prompt + 0.5 * output + 0.5 * costs.page_tokens  # tokens of the cache
        self.back = costs.cached + 0.5 * prompt  # tokens that a prompt's look back on
        base, slope = costs.decode_base, costs.decode_slope
        self.decode = _lines(costs.decode_grid, base + slope * (costs.cached + prompt + 0.5 * output))
        self.crowded, self.alone, self.together, self.look = (
            _lines(costs.prompt_grid, values) for values in (costs.crowded, costs.alone, costs.together, costs.look))
        self.one = self._whole_prompt()
        # prompts of a step whose tokens are all taken: by them, and by one token of each answer that they began
        self.full = max(1.0, float(costs.step_tokens - costs.checked)) / (prompt + self.passes * costs.checked)

    def _whole_prompt(self) -> float:
        """Seconds of a prompt on an engine that does nothing else."""
        if not self.costs.chunked or self.prompt <= self.costs.step_tokens:
            return self._alone(self.prompt, self.back)
        part = float(self.costs.step_tokens)
        full = int(self.prompt // part)
        rest = self.prompt - full * part
        before = self.costs.cached
        seconds = full * self._alone(part, before + 0.5 * full * part)
        return seconds + (self._alone(rest, before + self.prompt - 0.5 * rest) if rest else 0.0)

    def _alone(self, tokens: float, look: float) -> float:
        return self.alone(tokens) + look * self.look(tokens)

    def _beside(self, tokens: float, sequences: float) -> float:
        """What new tokens of prompts add to a step."""
        crowd = sequences * self.costs.checked
        return self.together(crowd + self.crowded(tokens)) - self.together(crowd) + self.back * self.look(tokens)

    def settle(self, users: float) -> State:
        """The number of arrivals at which ``users`` fill the cycle."""
        if users <= 1.0:
            return State(1.0, self.decode(1.0), 0.0, 0.0, self.one, 0.0)
        if self.output <= 1.0:
            return self.prompts_only(users)
        most = users / self.passes
        if self.costs.chunked:
            most = min(most, self.full)

        def missing(arrivals: float) -> float:
            state = self.at(arrivals, users)
            steps = self.passes + self.away / (state.step + state.stalled) + state.first_steps
            return arrivals * steps / users - 1.0

        return self.at(_root(missing, most), users)

    def at(self, arrivals: float, users: float) -> State:
        """The state where so many prompts arrive in a step.

        A user meets those of all others (arrival theorem), but steps that are full are so with or without its own.
        """
        load = arrivals / self.full if self.costs.chunked else 0.0
        others = arrivals * (1.0 - (1.0 - min(1.0, load)) / users)
        decoding = others * self.passes
        alone = max(0.0, 1.0 - decoding / (users - 1.0)) ** (users - 1.0) if arrivals else 1.0  # nobody else decodes
        if self.costs.chunked:
            random = max(0.0, 1.0 - 1.0 / (users - 1.0)) if users > 1.0 else 0.0
            return self._riding(others, min(users, 1.0 + decoding), alone, random)
        return self._before(others, min(users, 1.0 + decoding), alone)

    def _batch(self, others: float, most: float) -> float:
        """Prompts in a step that reads any, of Poisson arrivals."""
        mean = others / -expm1(-others) if others > 1e-9 else 1.0
        return min(mean, max(1.0, most))

    def _riding(self, others: float, sequences: float, alone: float, random: float) -> State:
        """Prompts that ride along with decoding sequences, as many tokens as a step has left; they come the more at ``random``
        (1: independently) the more users send them."""
        left = max(1.0, self.costs.step_tokens - sequences * self.costs.checked)
        room = left / self.prompt  # prompts in a step
        decode = self.decode(sequences)
        if room >= 1.0:
            batch = self._batch(others, room)
            each = self._beside(batch * self.prompt, sequences) / batch
        else:
            each = self._beside(left, sequences) / room
        step = decode + others * each
        load = min(others / room, 1.0 - 1e-12)
        # steps in line: Sakasegawa's formula for servers with even service (1977), a step for each of `room` prompts
        servers, service = max(1.0, room), max(1.0, 1.0 / room)
        waiting = 0.5 * random * service * load ** (sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * (1.0 - load))
        steps = 1.0 if room >= 1.0 else ceil(self.prompt / left)
        own = steps * decode + each
        spread = others * each * each / step  # of the steps: their second moment over their mean, less the mean
        residual, more = self._residual(decode, step + spread, others, spread / step)
        beside = min(more, max(0.0, room - 1.0)) * each
        line = waiting * (decode + room * each)
        first = alone * self.one + (1.0 - alone) * (residual + own) + beside + line
        return State(sequences, decode, others * each, each, first, waiting + steps + residual / step)

    def _before(self, others: float, sequences: float, alone: float) -> State:
        """Prompts that are read before anything decodes."""
        decode = self.decode(sequences)
        room = max(1.0, self.costs.step_tokens // self.prompt)
        batch = self._batch(others, room)
        each = self._alone(batch * self.prompt, self.back) / batch
        moment = (decode * decode + others * each * each * batch) / (decode + others * each)
        residual, more = self._residual(decode, moment, others, 0.0)
        first = (1.0 - alone) * residual + self.one + more * each
        # Prompts that come with a user's own are read with it or before, but for those that its step has no room for (unless
        # they come one by one, after a while longer than a step); then come those of each step of the answer but the last.
        behind = others if self.away > self.one else min(others, 0.5 * max(0.0, others + 1.0 - room))
        stalled = each * (others * max(0.0, self.passes - 1.0) + behind) / max(1.0, self.passes)
        return State(sequences, decode, stalled, each, first, residual / (decode + others * each))

    def _residual(self, decode: float, moment: float, others: float, longer: float) -> tuple[float, float]:
        """(seconds until the next step begins, prompts of others that come in the same time as a prompt).

        Without time between answer and prompt a step begins just then. After a while without other prompts the step is one of
        the even steps that began with it; later any, the longer the likelier.
        """
        if self.away <= 0.0:
            return 0.0, others
        steps = ceil(self.away / decode)
        quiet = exp(-others * steps)
        return quiet * (steps * decode - self.away) + (1.0 - quiet) * 0.5 * moment, others * (1.0 + longer)

    def prompts_only(self, users: float) -> State:
        """Answers of one token: no sequence decodes, and each step reads all prompts that came during the last."""
        most = max(1.0, min(users, self.costs.step_tokens / self.prompt))
        if self.prompt >= self.costs.step_tokens:
            most = 1.0

        def seconds(batch: float) -> float:
            return self.one + self._alone(batch * self.prompt, self.back) - self._alone(self.prompt, self.back)

        def missing(batch: float) -> float:
            step = seconds(batch)
            return batch * (self.away / step + 1.0 + min(0.5, 0.5 * self.away / step)) / users - 1.0

        batch = 1.0 if missing(1.0) >= 0.0 else most if missing(most) <= 0.0 else _root(missing, most, 1.0)
        step = seconds(batch)
        first = max(step, users * step / batch - self.away)
        return State(1.0, self.decode(1.0), 0.0, step / batch, first, 1.0)


def _lines(grid: NDArray[np.float64], values: NDArray[np.float64]) -> Callable[[float], float]:
    """The straight lines of :func:`wsekern.queueing.batching.interpolate`, for many calls."""
    places, heights, last = grid.tolist(), values.tolist(), len(grid) - 2
    if last < 0:
        return lambda x: heights[0]

    def line(x: float) -> float:
        low = min(max(bisect_right(places, x) - 1, 0), last)
        share = (x - places[low]) / (places[low + 1] - places[low])
        return float(heights[low] + (heights[low + 1] - heights[low]) * share)

    return line


def _root(rising: Callable[[float], float], high: float, low: float = 0.0) -> float:
    """Where a function that is -1 at ``low`` and positive at ``high`` is zero: false position, halving where that is slow."""
    below, above = -1.0 if low == 0.0 else rising(low), rising(high)
    if above <= 0.0:
        return high
    for turn in range(ROUNDS):
        middle = 0.5 * (low + high) if turn % 3 == 2 else (low * above - high * below) / (above - below)
        value = rising(middle)
        if value > 0.0:
            high, above = middle, value
        else:
            low, below = middle, value
        if abs(value) < PRECISION or high - low <= PRECISION * high:
            break
    return middle
