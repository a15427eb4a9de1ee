"""A small derivative-free fit: medians of relative errors are robust to odd rows but have no useful gradient."""

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
