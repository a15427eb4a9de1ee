import numpy as np
from numpy.typing import NDArray

class Steady:
    def __init__(
        self,
        base: NDArray[np.float64],
        slope: NDArray[np.float64],
        users: float,
        prompt: float,
        output: float,
        think: float,
        more: float,
        tail: float,
        last_tokens: float,
        chunks: tuple[float, float, int, float],
        passed: float,
        checked: float,
        kept: float,
        regions: float,
        head: float,
        crossing_token: float,
        draft: float,
        draft_busy: float,
        draft_in_line: bool,
    ) -> None: ...
    def settle(self, rounds: int, close: float) -> tuple[float, float, float, float, float, float]: ...
