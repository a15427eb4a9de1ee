"""The fixed point of the steady line in plain Python: what ``_steady.pyx`` computes, formula by formula."""

from dataclasses import replace
from math import exp, expm1, sqrt

from wsekern.queueing._steady import CLOSE, ROUNDS
from wsekern.queueing.pipeline import JAM, LineCosts
from wsekern.queueing.steady_line import SteadyLine
from wsekern.queueing.traffic import SPREAD
from wsekern.queueing.waiting import waiting

NEVER = 1e-9
"""Stands for a share of zero where it divides."""


def steady_line(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float = 0.0,
                inside: int | None = None) -> SteadyLine:
    """As :func:`wsekern.queueing.steady_line`."""
    whole = settled(costs, users, prompt, output, think_seconds)
    if inside is None or users - _rate(whole, users, output, think_seconds) * think_seconds <= inside:
        return whole
    full = settled(costs, inside, prompt, output, 0.0)  # who comes in for who goes out
    rate = _rate(full, inside, output, 0.0)
    if users - rate * think_seconds <= inside:
        return whole
    first = users / rate - think_seconds - (output - 1) * full.time_per_output_token_seconds
    outside = first - full.time_to_first_token_seconds
    return replace(full, time_to_first_token_seconds=first, waiting_seconds=full.waiting_seconds + outside)


def _rate(steady: SteadyLine, users: int, output: int, think_seconds: float) -> float:
    """Requests a second."""
    answer = (output - 1) * steady.time_per_output_token_seconds
    return users / (steady.time_to_first_token_seconds + answer + think_seconds)


def settled(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float) -> SteadyLine:
    """The fixed point for ``users`` who are all served at once.

    As many passes with less to check in each are never slower: where two estimates say otherwise, which err by some percent,
    that of the passes without drafts gives the times.
    """
    steady = _estimated(costs, users, prompt, output, think_seconds)
    if costs.checked == 1 or users == 1:
        return steady
    alone = replace(costs, checked=1, draft_seconds=0.0, draft_busy_seconds=0.0, draft_in_line=False)
    plain = _estimated(alone, users, prompt, output, think_seconds)
    quicker = _rate(steady, users, output, think_seconds) / _rate(plain, users, output, think_seconds)
    if quicker <= 1.0:
        return steady
    return replace(plain, busy=steady.busy / quicker, tokens_together=steady.tokens_together)


def _estimated(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float) -> SteadyLine:
    state = State(costs, users, prompt, output, think_seconds)
    for _ in range(ROUNDS if users > 1 else 1):
        if state.improve() < CLOSE:
            break
    return state.result()


def chunks_of(costs: LineCosts, prompt: int) -> tuple[float, float, int, float]:
    """Seconds of a region for a chunk and for all chunks of a prompt, their number, and the mean pace of the line, in seconds a
    region, where prompts follow each other without a gap.

    The last chunks of a prompt, which see the most context, are the slowest, and those of the next prompt jam behind them: they
    take as long as these or, where the line has no room for more, ``JAM`` times their own.
    """
    full, rest = divmod(prompt, costs.chunk)
    size = (costs.chunk if full else rest) - 1
    base, slope = float(costs.chunk_base[size]), float(costs.chunk_slope[size])
    chunk = base + slope * 0.5 * (prompt + 1)
    last = float(costs.chunk_base[rest - 1] + costs.chunk_slope[rest - 1] * 0.5 * (prompt + 1)) if full and rest else 0.0
    ratio = base / (base + slope * prompt)
    held = max(0.0, (1.0 / JAM - ratio) / (1.0 - ratio)) if ratio < 1.0 else 0.0  # share of the chunks that are short of room
    speed = held / JAM + (1.0 - held) * 0.5 * (max(ratio, 1.0 / JAM) + 1.0)
    return chunk, (full or 1) * chunk + last, full + bool(rest), chunk / speed


class State:
    """An estimate of the steady state, improved from round to round."""

    def __init__(self, costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float) -> None:
        self.costs, self.users, self.prompt, self.output, self.think = costs, users, prompt, output, think_seconds
        self.more, self.others = (output - 1) / costs.kept, users - 1  # passes of an answer, other users
        self.base, self.slope = costs.group_base.tolist(), costs.group_slope.tolist()
        self.tail = costs.head_seconds + costs.crossing_seconds + costs.crossing_token_seconds
        self.last_tokens = prompt % costs.chunk or costs.chunk
        self.chunk, self.read, self.chunks, self.jam = chunks_of(costs, prompt)
        self.together = self.behind_together = 1.0
        self.decoding = self.groups = self.contiguous = self.share = self.wait = self.service = 0.0
        self.phase, self.step, self.last = self.read, 0.5, 0.0
        self.token = self.free_pass()  # of a pass

    def train(self, own: float, chunk: float = 0.0) -> float:
        """Seconds between a user's first and last token in a pass, of which a region takes ``own`` each: each follows when it
        is drafted and the slowest server is free. Drafts of the regions wait for one ``chunk`` each."""
        costs = self.costs
        drafted = costs.draft_seconds + (chunk if costs.draft_in_line else 0.0)
        return (costs.checked - 1) * max(own, costs.head_seconds, costs.draft_busy_seconds, drafted)

    def group(self, together: float, users: float) -> float:
        """Seconds of a region for a group of ``together`` tokens (or a fraction between two numbers of them) of ``users``.

        All come to follow the group with the most context: of g contexts spread evenly over an answer the largest is at
        g / (g + 1) of it on average, nearer to the middle where a group takes the mean of several.
        """
        groups = users / together
        context = self.prompt + self.output * (0.5 + (groups / (groups + 1.0) - 0.5) / sqrt(together))
        low = min(int(together), len(self.base)) - 1
        high = min(low + 1, len(self.base) - 1)
        below, above = self.base[low] + self.slope[low] * context, self.base[high] + self.slope[high] * context
        return below + (together - 1.0 - low) * (above - below)

    def free_pass(self) -> float:
        """Seconds of a token's pass while no prompt is read, in groups as large as it takes to keep all on their way."""
        costs, users = self.costs, 1.0 + self.decoding
        own = self.group(self.together, users)
        seconds = costs.passed * own + self.train(own) + 0.5 * (self.together - 1.0) * costs.head_seconds + self.tail
        turn = users / self.together * costs.checked * own
        self.together = min(max(1.0, self.together * turn / seconds), float(costs.most_together))
        self.queued = max(0.0, turn - seconds)
        return max(seconds, turn, self.ends(users))

    def ends(self, users: float) -> float:
        """Seconds in which the head ends the tokens of a pass of ``users`` and drafts are made: the least of a turn."""
        return users * self.costs.checked * max(self.costs.head_seconds, self.costs.draft_busy_seconds)

    def behind_pass(self) -> float:
        """Seconds of a token's pass while prompts are read."""
        costs, users = self.costs, 1.0 + self.decoding
        most = min(float(costs.most_together), max(1.0, users * costs.checked / costs.regions))
        own = self.group(self.behind_together, users)
        pace = self.chunk + self.contiguous * (self.jam - self.chunk)
        cycle = self.chunk + self.groups * costs.checked * own
        seconds = (costs.passed - 1.0) * max(pace, own) + own + self.train(own, self.chunk) + 0.5 * cycle + self.tail
        seconds += 0.5 * (self.behind_together - 1.0) * costs.head_seconds
        # When reading begins, all tokens on their way come to the gate at once.
        reading = self.service / max(NEVER, 1.0 - self.contiguous)
        crowd = min(self.decoding / most * (self.chunk + costs.checked * own), reading)
        first = 0.5 * crowd * seconds / (seconds + reading) if crowd else 0.0
        turn = users * cycle / most
        here = users * cycle / max(seconds, turn)
        self.groups += 0.5 * (min(1.0, here) - self.groups)
        self.behind_together += 0.5 * (min(max(1.0, here), most) - self.behind_together)
        return max(seconds + first, turn, self.ends(users))

    def improve(self) -> float:
        """One round; the largest relative change."""
        token, decoding = self.token, self.decoding
        free, behind = self.free_pass(), self.behind_pass()
        own = self.group(self.behind_together, 1.0 + decoding)
        crowded = self.groups * decoding / (1.0 + decoding)
        checked = self.costs.checked
        self.service = self.read + self.chunks * crowded * checked * own
        self.service += decoding * (1.0 - self.contiguous) * (1.0 - crowded) * checked * self.group(1.0, 1.0 + decoding)
        travel = (self.costs.passed - 1.0) * (self.chunk + crowded * max(0.0, own - self.chunk)) + self.tail
        travel += self.costs.crossing_token_seconds * (self.last_tokens - 1)
        self.first = self.service + travel
        if self.others:
            self.queue(travel + self.think, free, behind)
            self.mix(free, behind, max(0.0, (self.chunk - own) * (self.costs.passed - 1.0) - self.queued))
        self.work = (1.0 - self.share) * self.group(self.together, 1.0 + decoding) / self.together
        self.work = checked * (self.work + self.share * own / self.behind_together)
        return max(abs(self.token / token - 1.0), abs(self.decoding - decoding) / self.users)

    def queue(self, rest: float, free: float, behind: float) -> None:
        """How long prompts wait, and how others' prompts come: ``rest`` seconds are neither waiting, read nor decoded."""
        slow, mean = rest + self.more * behind, rest + self.more * self.token
        phases = max(1.0, self.more * self.token / self.phase)
        variance = (SPREAD * self.more * self.token) ** 2 / 3.0
        variance += (self.more * (behind - free)) ** 2 * self.share * (1.0 - self.share) / phases
        # Users whose turns vary by less than the time between two of them keep their order and hardly meet.
        apart = (self.wait + self.service + mean) / self.users
        vary = min(1.0, variance / apart**2)
        self.met = vary + (1.0 - vary) * min(1.0, self.more * self.token / apart)

        def wait(users: int) -> float:
            least = max(0.0, (users - 1) * self.service - slow)
            return least + vary * (waiting(users, self.service, slow) - least)

        self.wait = wait(self.users)
        self.reading = min(1.0, self.others * self.service / (wait(self.others) + self.service + mean))
        cycle = wait(self.others - 1) + self.service + slow
        self.contiguous = min(1.0, (self.others - 1) * self.service / cycle) if self.others > 1 else 0.0

    def mix(self, free: float, behind: float, held: float) -> None:
        """The mean token: each pass takes ``free`` or ``behind`` seconds, by the phase that it meets at the gate.

        Phases change at random, so that what a pass meets depends on what the one before met and how long it took. A pass that
        enters soon after the last chunk of a prompt is held up behind it, by ``held`` seconds and less the later it enters.
        """
        busy = self.service / max(NEVER, 1.0 - self.contiguous)
        idle = busy * max(NEVER, 1.0 - self.reading) / max(NEVER, self.reading)
        self.phase = busy + idle
        slow = 1.0 - (1.0 - self.reading) * exp(-0.5 * held / idle)
        rate = 1.0 / idle + (1.0 - slow) / slow / idle
        into, out = -slow * expm1(-rate * free), -(1.0 - slow) * expm1(-rate * behind)
        self.share = into / (into + out)
        if self.more:
            # An answer starts in either phase as it meets it; that fades from pass to pass.
            faded = 1.0 - (1.0 - into - out) ** self.more
            self.share += (slow - self.share) * faded / (self.more * (into + out))
        self.share *= self.met
        change = free + self.share * (behind - free) - self.token
        if change * self.last < 0.0:  # past the fixed point: slower tokens bring fewer prompts, which make them quicker
            self.step *= 0.7
        self.last = change
        self.token += self.step * change
        decoding = self.reading / self.service * self.more * self.token
        self.decoding += self.step * (min(float(self.others), decoding) - self.decoding)

    def result(self) -> SteadyLine:
        """The figures of this estimate."""
        work = self.read + self.more * self.work
        cycle = self.first + self.wait + self.more * self.token + self.think
        more = max(0.0, self.users * work - cycle)  # regions work no more than all the time
        token = self.token + more / self.more if self.more else self.token
        wait = self.wait if self.more else self.wait + more
        first, rate = self.first + wait, self.users / (cycle + more)
        together = (1.0 - self.share) * self.together + self.share * self.behind_together
        kept = self.costs.kept
        return SteadyLine(time_to_first_token_seconds=first, time_per_output_token_seconds=token / kept,
                          waiting_seconds=wait, decoding_users=rate * self.more * token, busy=rate * work,
                          tokens_together=together)
