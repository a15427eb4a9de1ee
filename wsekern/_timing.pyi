from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CAUSE_NAMES: tuple[str, ...]
DTYPE_CODES: dict[str, int]
OP_CODES: dict[str, int]

class LineCosts:
    def __init__(
        self,
        *,
        call: int,
        setup_send: int,
        setup_add: int,
        setup_receive: int,
        stage: int,
        hop: int,
        convert: int,
        words_send: int,
        words_add: int,
        paced_add: int,
        words_broadcast: int,
        words_receive: int,
        paced_broadcast: int,
        sums: int,
        step_send: int,
        step_add: int,
        down: int,
        link: tuple[int, int],
        depths: Sequence[int],
    ) -> None: ...

def allreduce_line(line: NDArray[np.int64], segment: int, groups: int, costs: LineCosts) -> None: ...
def reduce_line(line: NDArray[np.int64], segment: int, root: int, costs: LineCosts) -> None: ...
def broadcast_line(line: NDArray[np.int64], segment: int, root: int, costs: LineCosts) -> None: ...
def shift_line(
    line: NDArray[np.int64], relays: int, start: int, relay: int, stage: int, hop: int, words: int
) -> None: ...
def level_line(line: NDArray[np.int64]) -> None: ...
def spend(line: NDArray[np.int64], cycles: NDArray[np.int64]) -> None: ...
def line_values(
    kind: str,
    dtype: str,
    op: str,
    shape: tuple[int, int, int],
    axis: str,
    segment: int,
    parameter: int,
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    threads: int,
) -> int: ...
