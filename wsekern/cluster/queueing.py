"""How prompts wait for each other where they come at once, and ranks that go in step."""

from math import exp

from wsekern.cluster.constants import constants
from wsekern.cluster.operators import StepTime


def together(prompts: float, length: float) -> float:
    """Waiting prompts of ``length`` tokens that fit into one engine step, at least one."""
    return max(1.0, min(prompts, constants().step_tokens.value / length))


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
