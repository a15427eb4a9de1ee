"""Small fits of mean relative errors, which are robust to odd rows: without slopes, or with them where every call is dear."""

from collections.abc import Callable

import numpy as np


def relative_loss(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Mean of |ln(predicted / measured)|: 10 % too slow weighs as much as 10 % too fast."""
    return float(np.mean(np.abs(np.log(predicted / measured))))


def minimise(
    loss: Callable[[np.ndarray], float], start: np.ndarray, low: np.ndarray, high: np.ndarray, iterations: int = 600
) -> np.ndarray:
    """Least ``loss`` by Nelder and Mead's simplex inside the box ``low``..``high``; deterministic, restarted once.

    Parameters are searched as logarithms, since all of them are positive scales.
    """
    best = np.log(np.clip(start, low, high))
    bounds = np.log(low), np.log(high)
    for step in (0.4, 0.1):
        best = _simplex(lambda x: loss(np.exp(np.clip(x, *bounds))), best, step, iterations)
    return np.exp(np.clip(best, *bounds))


def _simplex(loss: Callable[[np.ndarray], float], start: np.ndarray, step: float, iterations: int) -> np.ndarray:
    count = len(start)
    points = np.vstack([start, start + step * np.eye(count)])
    values = np.array([loss(point) for point in points])
    for _ in range(iterations):
        order = np.argsort(values, kind="stable")
        points, values = points[order], values[order]
        if values[-1] - values[0] < 1e-7 and np.max(np.abs(points - points[0])) < 1e-4:
            break
        centre = points[:-1].mean(axis=0)
        reflected = centre + (centre - points[-1])
        value = loss(reflected)
        if value < values[0]:
            stretched = centre + 2.0 * (centre - points[-1])
            stretched_value = loss(stretched)
            reflected, value = (stretched, stretched_value) if stretched_value < value else (reflected, value)
        elif value >= values[-2]:
            inside = centre + 0.5 * ((reflected if value < values[-1] else points[-1]) - centre)
            inside_value = loss(inside)
            if inside_value >= min(value, values[-1]):
                points[1:] = points[0] + 0.5 * (points[1:] - points[0])
                values[1:] = [loss(point) for point in points[1:]]
                continue
            reflected, value = inside, inside_value
        points[-1], values[-1] = reflected, value
    return points[int(np.argmin(values))]


def settle(
    misses: Callable[[np.ndarray], np.ndarray], start: np.ndarray, low: np.ndarray, high: np.ndarray, pull: float,
    rounds: int = 5
) -> np.ndarray:
    """Least mean of |``misses``| plus ``pull`` times the mean |ln(number / start)| inside the box ``low``..``high``.

    Gauss and Newton's steps on logarithms, reweighted so that absolute misses count, each no further than it helps: a few dozen
    calls of ``misses`` for a dozen numbers, for fits whose every call is dear. Deterministic.
    """
    first = np.log(np.clip(start, low, high))
    bounds = np.log(low), np.log(high)

    def cost(at: np.ndarray, found: np.ndarray) -> float:
        return float(np.abs(found).mean() + pull * np.abs(at - first).mean())

    best, found = first, misses(np.exp(first))
    for _ in range(rounds):
        slopes = np.column_stack([(misses(np.exp(moved)) - found) / (moved - best).sum() for moved in _moved(best, bounds)])
        weights = 1.0 / np.maximum(np.abs(found), 0.03) / len(found)
        drawn = pull / len(best) / np.maximum(np.abs(best - first), 0.1)
        normal = slopes.T @ (weights[:, None] * slopes) + np.diag(drawn + 1e-9)
        way = np.linalg.solve(normal, -(slopes.T @ (weights * found) + drawn * (best - first)))
        tried = [np.clip(best + share * np.clip(way, -1.5, 1.5), *bounds) for share in (1.0, 0.5, 0.25, 0.1)]
        places = [(at, misses(np.exp(at))) for at in tried]
        nearest = min(places, key=lambda place: cost(*place))
        if cost(*nearest) > cost(best, found) - 1e-4:
            break
        best, found = nearest
    return np.exp(best)


def _moved(at: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """``at`` with one logarithm after the other moved a little, away from the nearer bound."""
    middle = 0.5 * (bounds[0] + bounds[1])
    return [at + np.eye(len(at))[i] * (0.1 if at[i] <= middle[i] else -0.1) for i in range(len(at))]
