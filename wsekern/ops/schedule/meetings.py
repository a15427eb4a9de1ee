"""Where words of a schedule meet on a link or a ramp, or wait for a core: there the flow engine's clocks are not exact."""

from functools import cached_property

import numpy as np

from wsekern.ops._trees import shared_links
from wsekern.ops.schedule.columns import PLANE
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.tables import TAKE, clock_tables

NEVER = -(1 << 60)
"""Words that wait without holding anything back, where the clocks of a message are never exact."""


class Meetings:
    """What can meet in a schedule; whether it does depends on the cycles in which its messages are sent.

    ``times`` (messages, 2): when their first and last words are sent; ``waits`` (takes): how long the first word of each
    message is there before the core takes it.
    """

    def __init__(self, schedule: Schedule) -> None:
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
    def shared_links(self) -> np.ndarray:
        """Rows (link, message, links from its sender) of all links that messages of more than one route go over."""
        messages, length = self.schedule.by_message, self.schedule.length
        index = np.flatnonzero((messages.whole < 0) & (messages.kind != PLANE))
        at, _ = messages.distinct(length)
        routes = np.stack([field[at[messages.kind[at] != PLANE]] for field in messages.routes[:3]])
        ways = np.stack([messages.source[index], messages.low[index], messages.high[index]])
        link, way, far = shared_links(routes, ways, self.schedule.width)
        return np.stack((link, index[way], far))

    def on_links(self, times: np.ndarray) -> bool:
        """Whether words of two messages come to a link at the same time, or closer than it rests between them."""
        link, message, far = self.shared_links
        first, last = (times[message] + far[:, None] * self.timing.hop).T
        order = np.lexsort((last, first, link))
        link, first, last = link[order], first[order], last[order]
        return bool(((link[1:] == link[:-1]) & (first[1:] <= last[:-1] + 2)).any())

    @cached_property
    def waits_for_turns(self) -> bool:
        """Whether words of a PE that takes turns may fill its output queue before its turn, or words of two such colors, or of
        links that rest between words, come into one PE."""
        messages, at = self.schedule.by_message, np.flatnonzero(self.schedule.by_message.hands_over)
        words, frame = self.timing.link
        routes, which = messages.distinct(self.schedule.length)
        far, low, high = (field[routes[np.unique(which[at])]] for field in messages.routes[:3])
        into, ends = low + high - far, messages.offset[at] + messages.elements[at]
        room = min(self.timing.machine.core.output_queues.values) * self.schedule.packings[at]
        waits = len(np.unique(into)) < len(into) or bool((ends > room).any()) or not (words >= frame or len(at) < words)
        return bool(len(at)) and waits

    @cached_property
    def _intake(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """PE and step of every take, and whether others of its step come before it."""
        steps = self.schedule.derived(clock_tables)[0]
        _, pe, first, count = steps[steps[:, 0] == TAKE, :4].T      # takes lie one after the other, in the order of steps
        step = np.repeat(first, count)
        return np.repeat(pe, count), step, np.arange(len(step)) > step

    def on_ramps(self, times: np.ndarray) -> bool:
        """Whether words of messages that a PE takes by steps apart from each other come to its ramp at the same time, or one
        message right after another where the ramp has to rest between words."""
        takes, (pe, step, _) = self.schedule.derived(clock_tables)[1], self._intake
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
    def _pieced(self) -> np.ndarray:
        """Of every take: whether it is sent in pieces, with pauses in which another has the ramp, and after which a link that
        rests counts anew."""
        takes, messages, sends = self.schedule.derived(clock_tables)[1], self.schedule.by_message, self.schedule.by_step.sends
        pieced, whole = np.zeros(len(messages.whole), bool), messages.whole[sends[sends >= 0]]
        pieced[whole[whole >= 0]] = True
        return pieced[takes[:, 0]]

    @cached_property
    def _beyond(self) -> np.ndarray:
        """Of every take: whether the routers pass its words on to other PEs too."""
        messages, (pe, _, _), taken = self.schedule.by_message, self._intake, self.schedule.derived(clock_tables)[1][:, 0]
        between = (messages.low[taken] < pe) & (pe < messages.high[taken])
        return (messages.kind[taken] == PLANE) | ((messages.kind[taken] > 0) & between)

    def _full(self, depth: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Of every take through queues of so many words: how long its first word may wait without holding anything back, and
        how many words may. Words for PEs beyond are held back by a full queue, their sender once all queues and
        routers on the way are full, while it sends on until it hears of it."""
        takes, core, (words, frame) = self.schedule.derived(clock_tables)[1], self.timing.machine.core, self.timing.link
        hops, buffer = takes[:, 1], int(self.timing.machine.fabric.buffer_depth)
        sends, (_, _, behind), beyond = min(core.output_queues.values), self._intake, self._beyond
        room = depth + sends + 2 - self.timing.stage + hops * (buffer - 1 - self.timing.hop)
        room = np.where(beyond, depth - self.timing.ramp - self.timing.latency("input"), room)
        held = np.where(beyond, depth, depth + np.where(behind, buffer, sends + buffer * (hops + 1)))
        room = np.where(behind, 0, room)
        return np.where(self._pieced, NEVER if words < frame else 0, room), np.where(self._pieced, -1, held)

    @cached_property
    def _own(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the queues that it has where it runs alone."""
        return self._full(self.schedule.derived(clock_tables)[1][:, 2])

    @cached_property
    def _shallowest(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the shallowest queues."""
        return self._full(min(self.timing.machine.core.input_queues.values))

    @cached_property
    def _sent_after(self) -> np.ndarray:
        """Rows of (message, the next one of the same PE that may fill its output queue, words in that queue)."""
        steps, schedule, depths = self.schedule.by_step, self.schedule, self.timing.machine.core.output_queues.values
        order = np.argsort(steps.pe, kind="stable")
        order = order[steps.sends[order] >= 0]
        before, after = order[:-1], order[1:]
        sent = steps.sends[after]
        wavelets = -(-schedule.by_message.elements[sent] // schedule.packings[sent])
        fills = (steps.pe[before] == steps.pe[after]) & (wavelets > np.array(depths)[schedule.output_queues[0][after]])
        found = steps.sends[before[fills]], sent[fills]
        return np.stack((*found, np.full(len(found[0]), max(depths))), axis=1)

    def held_back(self, times: np.ndarray, waits: np.ndarray) -> bool:
        """Whether words fill a queue because their core takes them later than they come, or because those sent before have
        not left: who fills it ends later than the clocks of the flow engine say."""
        if self._filled(self._own, waits) or self._filled_by_two(times, waits):
            return True
        before, after, depth = self._sent_after.T
        words, frame = self.timing.link
        return bool((times[after, 0] <= times[before, 1] + (depth if words < frame else 1)).any())

    def held_in_chains(self, waits: np.ndarray) -> bool:
        """Whether words would fill a queue as shallow as any, which they may have behind other operations."""
        return self._filled(self._shallowest, waits)

    def _filled(self, full: tuple[np.ndarray, np.ndarray], waits: np.ndarray) -> bool:
        """Whether words of a message wait for longer than there is room for them."""
        room, held = full
        words = self.schedule.derived(clock_tables)[1][:, 4]
        return bool(((words > held) & (waits > room)).any())

    def _filled_by_two(self, times: np.ndarray, waits: np.ndarray) -> bool:
        """Whether words of a message wait so behind those of the one before of their color, which are not taken yet."""
        takes, (pe, _, _), (room, held) = self.schedule.derived(clock_tables)[1], self._intake, self._own
        if not (waits > room).any():
            return False
        first, last = (times[takes[:, 0]] + takes[:, 1:2] * self.timing.hop).T
        order = np.lexsort((first, takes[:, 3], pe))
        one, other = order[:-1], order[1:]
        behind = (pe[one] == pe[other]) & (takes[one, 3] == takes[other, 3]) & (first[other] <= last[one] + waits[one])
        more = takes[one, 4] + takes[other, 4] > held[other]
        return bool((behind & more & (waits[other] > room[other])).any())
