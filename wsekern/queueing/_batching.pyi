from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.queueing.traffic import Traffic

class Batching:
    now: float
    busy_seconds: float
    prompt_tokens: int
    preemptions: int
    def __init__(
        self, costs: Any, traffic: Traffic, delay: NDArray[np.float64], arrival: NDArray[np.float64],
        first: NDArray[np.float64], finish: NDArray[np.float64]
    ) -> None: ...
    def advance(self, events: int) -> bool: ...
