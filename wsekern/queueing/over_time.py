"""How many requests are somewhere, over time: exact means in intervals, and the most at any moment."""

import numpy as np
from numpy.typing import NDArray


def mean_present(enter: NDArray[np.float64], leave: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """[b] time average of the number of requests present in each of the intervals between ``edges`` [b + 1], ascending.

    Request i is present from ``enter[i]`` to ``leave[i]`` [n each].
    """
    inside = _seconds_since(enter, edges) - _seconds_since(leave, edges)
    return np.maximum(0.0, np.diff(inside)) / np.diff(edges)


def _seconds_since(moments: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """[t] sum over all ``moments`` before a time of the seconds from the moment to that time."""
    ordered = np.sort(moments)
    origin = ordered[0]
    sums = np.concatenate([[0.0], np.cumsum(ordered - origin)])
    before = np.searchsorted(ordered, times)
    return before * (times - origin) - sums[before]


def most_present(enter: NDArray[np.float64], leave: NDArray[np.float64]) -> int:
    """Largest number of requests present at once; a request that leaves as another enters does not meet it."""
    enter, leave = np.sort(enter), np.sort(leave)
    return int((np.arange(1, len(enter) + 1) - np.searchsorted(leave, enter, side="right")).max())
