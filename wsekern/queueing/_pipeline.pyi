import numpy as np
from numpy.typing import NDArray

class Line:
    arrival: NDArray[np.float64]
    first: NDArray[np.float64]
    finish: NDArray[np.float64]
    busy: float
    def __init__(
        self,
        arrival: NDArray[np.float64],
        prompt: NDArray[np.int64],
        output: NDArray[np.int64],
        need: NDArray[np.int64],
        users: int,
        think: float,
        regions: int,
        last_share: float,
        group_base: NDArray[np.float64],
        group_slope: NDArray[np.float64],
        chunk_base: NDArray[np.float64],
        chunk_slope: NDArray[np.float64],
        head: float,
        crossing: float,
        crossing_token: float,
        slots: int,
        jam: int,
    ) -> None: ...
    def run(self, jobs: int) -> bool: ...
