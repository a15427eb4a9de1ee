import numpy as np
from numpy.typing import NDArray

class GatherCosts:
    def __init__(
        self,
        *,
        call: int,
        setup: int,
        work: int,
        setup_stream: int,
        pace: int,
        words: int,
        depth: int,
        output: int,
        stage: int,
        hop: int,
        link: tuple[int, int],
        down: int,
        takes: int,
        buffer: int,
    ) -> None: ...

def allgather_line(line: NDArray[np.int64], segment: int, costs: GatherCosts) -> None: ...
