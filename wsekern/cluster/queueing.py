"""How ranks that go in step wait for each other."""

from math import exp


def busiest(mean: float, ranks: int) -> float:
    """Expected largest of ``ranks`` Poisson counts of the same ``mean``."""
    total, term, below = 0.0, exp(-mean), 0.0
    for count in range(1, 10 + int(3.0 * mean)):
        below += term
        total += 1.0 - below**ranks
        term *= mean / count
    return total
