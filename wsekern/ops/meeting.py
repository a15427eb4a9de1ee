"""Where words of a schedule meet on a link or a ramp, or wait for a core: there the flow engine's clocks are not exact."""

from collections import defaultdict
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wsekern.ops.schedule import Schedule

TAKE = 2
"""Kind of the rows of a clock table that take messages."""
NEVER = -(1 << 60)
"""Words that wait without holding anything back, where the clocks of a message are never exact."""


class Meetings:
    """What can meet in a schedule; whether it does depends on the cycles in which its messages are sent.

    ``times`` (messages, 2): when their first and last words are sent; ``waits`` (takes): how long the first word of each
    message is there before the core takes it.
    """

    def __init__(self, schedule: "Schedule") -> None:
        self.schedule, self.timing = schedule, schedule.timing

    def note(self, times: np.ndarray, waits: np.ndarray) -> str:
        """Why the flow engine's clocks are near the cycle engine's, and not the same; empty where they are the same."""
        if self.on_links(times):
            return "messages share links: their words take turns, which the flow engine's clocks do not see"
        if self.waits_for_turns:
            return "senders wait for their turn while their queues are full: the flow engine's clocks do not see until when"
        if self.on_ramps(times):
            return "words for one PE meet on its ramp: which go first is not in the flow engine's clocks"
        return ("words wait for a core that is busy until its queue is full: the flow engine's clocks do not see what that "
                "holds back") if self.held_back(times, waits) else ""

    @cached_property
    def shared_links(self) -> list[list[tuple[int, int]]]:
        """For every link that messages of more than one route go over: those messages, and how far from their senders."""
        messages, width = self.schedule.messages, self.schedule.width
        if len({message.route for message in messages}) < 2:
            return []
        on_link: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for index, message in enumerate(messages):
            if message.multicast == "plane" or message.whole is not None:
                continue
            step = 1 if message.low // width == message.high // width else width
            for ahead, end in ((step, message.high), (-step, message.low)):
                for far, place in enumerate(range(message.source, end, ahead)):
                    on_link[place, ahead].append((index, far))
        return [use for use in on_link.values() if len({messages[index].route for index, _ in use}) > 1]

    def on_links(self, times: np.ndarray) -> bool:
        """Whether words of two messages come to a link at the same time, or closer than it rests between them."""
        for use in self.shared_links:
            spans = sorted((times[index, 0] + far * self.timing.hop, times[index, 1] + far * self.timing.hop)
                           for index, far in use)
            if any(after[0] <= before[1] + 2 for before, after in pairwise(spans)):
                return True
        return False

    @cached_property
    def waits_for_turns(self) -> bool:
        """Whether words of a PE that takes turns may fill its output queue before its turn, or words of two such colors, or of
        links that rest between words, come into one PE."""
        turns = [message for message in self.schedule.messages if message.hands_over]
        into = {message.route[:3] for message in turns}
        words, frame = self.timing.link
        one_each = len({low + high - far for far, low, high in into}) == len(into)
        small = min(self.timing.machine.core.output_queues.values)
        return bool(turns) and not (one_each and all(
            message.offset + message.words <= small * self.schedule.packing(message) for message in turns)
            and (words >= frame or len(turns) < words))

    @cached_property
    def _intake(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """PE and step of every take, and whether others of its step come before it."""
        steps, takes, _ = self.schedule.clock_tables
        of = np.zeros((len(takes), 3), np.int64)
        for row in steps[steps[:, 0] == TAKE]:
            of[row[2]:row[2] + row[3], :2] = row[1], row[2]
            of[row[2] + 1:row[2] + row[3], 2] = 1
        return of[:, 0], of[:, 1], of[:, 2] > 0

    def on_ramps(self, times: np.ndarray) -> bool:
        """Whether words of messages that a PE takes by steps apart from each other come to its ramp at the same time, or one
        message right after another where the ramp has to rest between words."""
        takes, (pe, step, _) = self.schedule.clock_tables[1], self._intake
        arrival = takes[:, 1] * self.timing.hop
        first, last = times[takes[:, 0], 0] + arrival, times[takes[:, 0], 1] + arrival
        order = np.lexsort((first, pe))
        pe, step, first, last = pe[order], step[order], first[order], last[order]
        words, frame = self.timing.link
        meets = (pe[1:] == pe[:-1]) & (step[1:] != step[:-1]) & (first[1:] <= last[:-1] + (words < frame))
        if self.schedule.turns_switches:         # words of one color come one after the other
            meets &= np.diff(takes[order, 3]) != 0
        return bool(meets.any())

    @cached_property
    def _full(self) -> tuple[np.ndarray, np.ndarray]:
        """Of every take: the words that wait in queues and routers without holding anything back, and whether it has more, or
        is sent in pieces: with pauses in which another has the ramp, and after which a link that rests counts anew."""
        takes, messages = self.schedule.clock_tables[1], self.schedule.messages
        pieced = np.zeros(len(messages), bool)
        for step in self.schedule.steps:
            if step.sends is not None and messages[step.sends].whole is not None:
                pieced[messages[step.sends].whole] = True
        room = takes[:, 2] + int(self.timing.machine.fabric.buffer_depth)
        pieced, (words, frame) = pieced[takes[:, 0]], self.timing.link
        return np.where(pieced, NEVER if words < frame else 0, room), (takes[:, 4] > room) | pieced

    @cached_property
    def _sent_after(self) -> np.ndarray:
        """Rows of (message, the next one of the same PE that may fill its output queue, words in that queue)."""
        schedule, values = self.schedule, self.timing.machine.core.output_queues.values
        before: dict[int, int] = {}
        found = []
        for step in schedule.steps:
            if step.sends is None:
                continue
            room = values[schedule.output_queues[step.pe].index(schedule.colors[step.sends])]
            if step.pe in before and schedule.wavelets(schedule.messages[step.sends]) > room:
                found.append((before[step.pe], step.sends, max(values)))
            before[step.pe] = step.sends
        return np.array(found, np.int64).reshape(-1, 3)

    def held_back(self, times: np.ndarray, waits: np.ndarray) -> bool:
        """Whether words fill a queue because their core takes them later than they come, or because those sent before have
        not left: who fills it ends later than the clocks of the flow engine say."""
        room, full = self._full
        _, _, behind = self._intake
        if bool((full & (waits > np.where(behind & (room > 0), 0, room))).any()):
            return True
        before, after, depth = self._sent_after.T
        words, frame = self.timing.link
        return bool((times[after, 0] <= times[before, 1] + (depth if words < frame else 1)).any())
