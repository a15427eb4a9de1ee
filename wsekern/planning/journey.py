"""The journey of a lone user's request: its prompt, chunk by chunk, and its tokens through regions, links and wafers.

The times are those of :attr:`Placement.line`, by which the service is predicted: a chunk enters a region when it has come and
the one before has left. So the first token comes when :func:`wsekern.queueing.steady_line` says, and the next ones as often.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsekern.inference.operation_times import OperationTime, handover_operations, head_operations, layer_operations
from wsekern.planning.layout import Placement


@dataclass(frozen=True)
class Stop:
    """A region that a token passes: the wafer (counted from 0), the shape of the region (None: the head), its layers."""

    wafer: int
    shape: int | None
    first_layer: int
    layers: int

    @property
    def name(self) -> str:
        """What it is, wafers and layers counted from 1."""
        if self.shape is None:
            return f"wafer {self.wafer + 1}: head"
        first, last = self.first_layer + 1, self.first_layer + self.layers
        return f"wafer {self.wafer + 1}: layer{'s' if last > first else ''} {first}{f'-{last}' if last > first else ''}"


@dataclass(frozen=True)
class Pass:
    """What goes through the regions together: ``tokens`` of the prompt from ``first`` on, or a token of the answer."""

    prompt: bool
    first: int
    tokens: int

    @property
    def name(self) -> str:
        """What it is, counted from 1."""
        if not self.prompt:
            return f"token {self.first + 1}"
        return f"prompt {self.first + 1}-{self.first + self.tokens}" if self.tokens > 1 else f"prompt {self.first + 1}"


@dataclass(frozen=True)
class Visit:
    """The stay of a pass in a region, or on the links behind it (``crossing``), from ``start`` on for ``seconds``."""

    stop: int
    passed: Pass
    start: float
    seconds: float
    crossing: bool = False


@dataclass(frozen=True)
class Journey:
    """The request of a lone user on a placement, without drafts; ``answer`` tokens are followed, the first among them."""

    placement: Placement
    answer: int = 4

    @cached_property
    def lone(self) -> Placement:
        """The placement before that user alone."""
        request = replace(self.placement.request, batch=1)
        return replace(self.placement, request=request, inside=None, speculation=None, draft=None)

    @cached_property
    def stops(self) -> tuple[Stop, ...]:
        """The regions in their order, the head last; of a group of wafers that share experts the first."""
        lone, places = self.lone, set(self.lone.places)
        shapes = [index for index, shape in enumerate(lone.shapes) for _ in range(shape.count)]
        regions = [region for region in lone.rectangles if (region.wafer, region.x, region.y) in places]
        return tuple(Stop(region.wafer, shape, region.first_layer, region.layers)
                     for region, shape in zip(regions, [*shapes, None], strict=True))

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """The chunks of the prompt, then the tokens of the answer that are followed behind the first, which comes of the last
        chunk."""
        lone, chunk = self.lone, self.lone.line.chunk
        skipped = lone.request.prompt - lone.unread
        chunks = [Pass(True, skipped + first, min(chunk, lone.unread - first)) for first in range(0, lone.unread, chunk)]
        return (*chunks, *(Pass(False, token, 1) for token in range(1, min(self.answer, lone.request.output))))

    @property
    def chunks(self) -> int:
        """Chunks of the prompt."""
        return sum(one.prompt for one in self.passes)

    @cached_property
    def stays(self) -> NDArray[np.float64]:
        """Seconds of each pass in each region (passes, regions); chunks are all timed halfway through the prompt."""
        lone, line = self.lone, self.lone.line
        own = np.array([lone.own_seconds[stop.shape] for stop in self.stops if stop.shape is not None])
        context = 0.5 * (lone.unread + 1)
        chunks = line.chunk_base + line.chunk_slope * context
        return np.outer([chunks[one.tokens - 1] / own.max() if one.prompt else 1.0 for one in self.passes], own)

    @cached_property
    def starts(self) -> NDArray[np.float64]:
        """When each pass enters each stop (passes, stops), the head among them; chunks but for the last do not go there.

        A chunk enters a region when it has come and all before have left; a token of the answer when the one before is out.
        """
        stays, chunks = self.stays, self.chunks
        found = np.empty((len(stays), len(self.stops)))
        come = np.zeros(chunks)
        for stop in range(stays.shape[1]):
            before = np.concatenate(([0.0], np.cumsum(stays[:chunks, stop])[:-1]))
            found[:chunks, stop] = np.maximum.accumulate(come - before) + before
            come = found[:chunks, stop] + stays[:chunks, stop] + [self._link_seconds(stop, one.tokens)
                                                                  for one in self.passes[:chunks]]
        found[:chunks, -1] = come
        between = [self._link_seconds(stop, 1) for stop in range(stays.shape[1])]
        for token in range(chunks, len(stays)):
            begins = found[token - 1, -1] + self.lone.head_seconds + self._link_seconds(len(between), 1)
            found[token] = begins + np.concatenate(([0.0], np.cumsum(stays[token] + between)))
        return found

    def visits(self, first: int = 0) -> Iterator[Visit]:
        """All stays in regions and on links, pass by pass from the ``first`` on."""
        last = len(self.stops) - 1
        for number, one in enumerate(self.passes[first:], first):
            ends = number >= self.chunks - 1
            for stop in range(last + ends):
                start = float(self.starts[number, stop])
                stay = float(self.stays[number, stop]) if stop < last else self.lone.head_seconds
                yield Visit(stop, one, start, stay)
                crossing = self._link_seconds(stop, one.tokens if stop < last else 1)
                if crossing and (ends or stop + 1 < last):
                    yield Visit(stop, one, start + stay, crossing, crossing=True)

    def _link_seconds(self, index: int, tokens: int) -> float:
        """On the links behind a stop: to the next wafer, or with the sampled token back to the first; and a region's part of
        what experts on other wafers are sent."""
        lone, stops = self.lone, self.stops
        if index + 1 == len(stops):
            return lone.link_seconds(0, stops[-1].wafer != stops[0].wafer, 1)
        step, experts = self._crossing(tokens)
        return step * (stops[index].wafer != stops[index + 1].wafer) + experts / (len(stops) - 1)

    def _crossing(self, tokens: int) -> tuple[float, float]:
        """Seconds of one step from wafer to wafer, and of all that experts on other wafers are sent."""
        if tokens not in self._crossings:
            self._crossings[tokens] = self.lone.link_seconds(1, False, tokens), self.lone.expert_seconds(tokens)
        return self._crossings[tokens]

    @cached_property
    def _crossings(self) -> dict[int, tuple[float, float]]:
        return {}

    @property
    def first_token_seconds(self) -> float:
        """From the arrival of the prompt to the first token."""
        return float(self.starts[self.chunks - 1, -1]) + self.lone.head_seconds + self._link_seconds(len(self.stops) - 1, 1)

    @property
    def token_seconds(self) -> float:
        """Of a further token from end to end."""
        lone = self.lone
        own = sum(lone.own_seconds[stop.shape] for stop in self.stops if stop.shape is not None)
        return own + lone.head_seconds + lone.crossing_seconds(1)

    def operations(self, stop: Stop, tokens: int = 1) -> list[tuple[int, tuple[OperationTime, ...]]]:
        """(layer, its operations) of a stop for ``tokens`` tokens, then the hand-over to the next region as layer -1; of the
        head, which has no layers, -1 alone."""
        lone = self.lone
        if stop.shape is None:
            return [(-1, head_operations(lone.machine, lone.head_mapping, lone.profile))]
        mapping = lone.mappings[stop.shape]
        position = lone.prompt_position if tokens > 1 else lone.token_position
        blocks = lone.config.blocks[stop.first_layer:stop.first_layer + stop.layers]
        found = [(stop.first_layer + number, layer_operations(lone.machine, mapping, tokens, -(-position // mapping.height),
                                                              lone.profile, block)) for number, block in enumerate(blocks)]
        return [*found, (-1, handover_operations(lone.machine, mapping, tokens, lone.profile))]

    def operation_cycles(self) -> list[OperationTime]:
        """One token of the answer from end to end, operations of a name together, the longest first; without the links between
        wafers they add up to the cycles of :meth:`Placement.decode`."""
        sums: dict[tuple[str, str], list[float]] = {}
        for stop in self.stops:
            for _, operations in self.operations(stop):
                for one in operations:
                    whole = sums.setdefault((one.part, one.name), [0.0, 0.0])
                    whole[0] += one.cycles
                    whole[1] += one.link_traversals
        return sorted((OperationTime(*key, *value) for key, value in sums.items()), key=lambda one: -one.cycles)
