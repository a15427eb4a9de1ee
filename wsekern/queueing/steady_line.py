"""The steady state of a line of regions that users take turns on, in formulas (events: :mod:`wsekern.queueing.pipeline`)."""

from dataclasses import dataclass
from math import exp

from wsekern.queueing.closed import waiting
from wsekern.queueing.pipeline import LineCosts

ROUNDS = 60


@dataclass(frozen=True, kw_only=True)
class LineState:
    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    decoding: float
    busy: float
    together: float


@dataclass
class Pace:
    c: float
    rest: float
    n: int
    gs: list
    most: int
    costs: LineCosts

    def s(self, k):
        i = min(int(k), self.most) - 1
        if i + 1 >= self.most:
            return self.gs[self.most - 1]
        return self.gs[i] + (k - 1 - i) * (self.gs[i + 1] - self.gs[i])

    def alone(self, d):
        """token round trip with d decoders and no prompts"""
        co = self.costs
        x, h = co.crossing_seconds, co.head_seconds
        s1 = self.gs[0]
        t0 = co.passed * s1 + h + x
        if d * s1 <= t0:
            return t0, 1.0
        lo, hi = 1.0, float(self.most)
        f = lambda k: d * self.s(k) / k - (co.passed * self.s(k) + x + h * (k + 1) / 2)
        if f(hi) > 0:
            return max(d * h, d * self.s(hi) / hi), hi
        for _ in range(30):
            mid = (lo + hi) / 2
            if f(mid) > 0: lo = mid
            else: hi = mid
        return max(d * h, d * self.s(hi) / hi), hi

    def behind(self, d):
        """token round trip while prompts are read; (seconds, groups per chunk, tokens per group)"""
        co = self.costs
        x, h = co.crossing_seconds, co.head_seconds
        c = self.c
        g, k = 0.0, 1.0
        for _ in range(20):
            s = self.s(k)
            cycle = c + g * s
            t = (co.passed - 1) * max(c, s) + s + h * (k + 1) / 2 + x + cycle / 2
            per = d * cycle / t
            g2, k2 = min(1.0, per), min(max(1.0, per), self.most, max(1.0, d / co.regions))
            if abs(g2-g) + abs(k2-k) < 1e-6: break
            g, k = .5*(g+g2), .5*(k+k2)
        lim = min(self.most, max(1.0, d / co.regions))
        if per > lim:
            t = d * cycle / lim
            k = lim
        return t, g, k


def steady_line(costs: LineCosts, users: int, prompt: int, output: int, think: float = 0.0, debug=False) -> LineState:
    co = costs
    full, rest = divmod(prompt, co.chunk)
    mc = (prompt + 1) / 2
    c = co.chunk_base[co.chunk - 1] + co.chunk_slope[co.chunk - 1] * mc if full else co.chunk_base[rest - 1] + co.chunk_slope[rest - 1] * mc
    cr = co.chunk_base[rest - 1] + co.chunk_slope[rest - 1] * mc if rest else 0.0
    read, n = full * c + cr, full + (rest > 0)
    gs = (co.group_base + co.group_slope * (prompt + output / 2)).tolist()
    p = Pace(c, cr, n, gs, len(gs), co)
    tail = co.crossing_seconds + co.head_seconds
    N, o1 = users, output - 1
    tpot, k = p.alone(1.0)
    g, s, kb = 0.0, p.s(1.0), 1.0
    W = 0.0
    for it in range(ROUNDS):
        S = read + n * g * s
        travel = (co.passed - 1) * (c + g * max(0.0, s - c)) + tail
        Y = travel + o1 * tpot + think
        W = waiting(N, S, Y)
        W1 = waiting(N - 1, S, Y)
        X1 = (N - 1) / (W1 + S + Y)
        U1 = min(1.0, X1 * S)
        Do = X1 * o1 * tpot
        if o1 == 0: break
        TA, ka = p.alone(1 + Do)
        TB, g2, kb2 = p.behind(1 + Do)
        _, g3, kb3 = p.behind(Do)
        w = (co.passed - 1) * max(0.0, c - s)
        if N > 1:
            a = (N - 1) / Y
            U = 1 - (1 - U1) * exp(-a * w / 2) 
            b = a * (1 - U) / U
            pAB, pBA = U * (1 - exp(-(a + b) * TA)), (1 - U) * (1 - exp(-(a + b) * TB))
            pi = pAB / (pAB + pBA)
        else:
            pi = 0.0
        new = (1 - pi) * TA + pi * TB
        tpot = .5 * (tpot + new)
        g, s = .5 * (g + g3), .5*(s + p.s(kb3))
        if debug and it > ROUNDS-3: print(it, "W",W,"S",S,"U1",U1,"Do",Do,"TA",TA,"TB",TB,"g",g,"kb",kb3,"pi",pi,"tpot",tpot)
    ttft = W + S + travel
    X = N / (ttft + o1 * tpot + think)
    return LineState(time_to_first_token_seconds=ttft, time_per_output_token_seconds=tpot, decoding=X*o1*tpot, busy=X*(read+o1*s), together=kb)
