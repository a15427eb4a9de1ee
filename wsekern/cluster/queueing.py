"""How prompts wait for each other: users that take turns, prompts that come at once, ranks that go in step."""

from math import exp

from wsekern.cluster.constants import constants
from wsekern.cluster.operators import StepTime


def together(prompts: float, length: float) -> float:
    """Waiting prompts of ``length`` tokens that fit into one engine step, at least one."""
    return max(1.0, min(prompts, constants().step_tokens.value / length))


def waiting(users: float, service: float, answer: float) -> float:
    """Seconds that a prompt waits for others where ``users`` take turns: each sends its next prompt when its answer, which
    takes ``answer`` seconds, is done; prompts of ``service`` seconds are served one after the other.

    Mean value analysis of the closed queue with Schweitzer's approximation, and half a service for the prompt that is found
    in service (Reiser and Lavenberg 1980; Schweitzer 1979): the positive root of a quadratic. No wait for one user; with no
    time between answer and prompt nearly all users wait in line.
    """
    if users <= 1.0:
        return 0.0
    excess = users * service - answer
    root = excess * excess + 4.0 * service * answer - 2.0 * service * service * (users - 1.0)
    return max(0.0, 0.5 * (excess + max(0.0, root) ** 0.5) - service)


def burst(users: float, prompt: float, prefill: StepTime) -> float:
    """Mean seconds to the end of its prefill where ``users`` prompts come at once and steps take :func:`together`."""
    shared = together(users, prompt)
    each = shared * prefill.device + prefill.engine
    return each * 0.5 * (max(1.0, users / shared) + 1.0)


def busiest(mean: float, ranks: int) -> float:
    """Expected largest of ``ranks`` Poisson counts of the same ``mean``."""
    total, term, below = 0.0, exp(-mean), 0.0
    for count in range(1, 10 + int(3.0 * mean)):
        below += term
        total += 1.0 - below**ranks
        term *= mean / count
    return total
