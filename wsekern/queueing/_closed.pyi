import numpy as np
from numpy.typing import NDArray

from wsekern.queueing.batching import StepCosts

def lines(grid: NDArray[np.float64], values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]: ...

class Turn:
    away: float
    held: float
    full: float
    def __init__(self, costs: StepCosts, prompt: float, output: float, think_seconds: float) -> None: ...
    def settle(self, users: float) -> tuple[float, float, float, float, float, float]: ...
