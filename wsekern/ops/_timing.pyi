from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HELD_FLAG: int
CONTENDED_FLAG: int
TURNED_FLAG: int
EARLY_FLAG: int
QUEUED_FLAG: int
SHALLOW_FLAG: int
CAUSE_NAMES: tuple[str, ...]

class LineCosts:
    notes: bool
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
        stream_send: int,
        stream_add: int,
        paced_add: int,
        stream_broadcast: int,
        stream_receive: int,
        paced_broadcast: int,
        sums: int,
        step_send: int,
        step_add: int,
        down: int,
        link: tuple[int, int],
        depths: Sequence[int],
        output: int,
        sends: int,
        buffer: int,
    ) -> None: ...

class LineRates:
    def __init__(
        self,
        base: LineCosts,
        *,
        sum_packing: int,
        result_packing: int,
        receive: int,
        convert: tuple[int, int, int],
    ) -> None: ...
    def costs(self, elements: int) -> LineCosts: ...

def allreduce_line(
    line: NDArray[np.int64],
    segment: int,
    groups: tuple[int, ...],
    complete: bool,
    costs: LineCosts,
    tail: LineCosts | None = None,
) -> int: ...
def allreduce_alone(
    length: int, groups: tuple[int, ...], complete: bool, costs: LineCosts, tail: LineCosts | None = None
) -> int: ...
def reduce_line(line: NDArray[np.int64], segment: int, root: int, costs: LineCosts) -> int: ...
def broadcast_line(line: NDArray[np.int64], segment: int, root: int, costs: LineCosts) -> int: ...
def broadcast_alone(length: int, root: int, costs: LineCosts) -> int: ...
def latest_clock(grid: NDArray[np.int64]) -> tuple[int, int]: ...
def reduce_snake(grid: NDArray[np.int64], costs: LineCosts) -> int: ...
def broadcast_plane(grid: NDArray[np.int64], root_x: int, root_y: int, costs: LineCosts) -> int: ...
def shift_line(
    line: NDArray[np.int64], relays: int, start: int, relay: int, stage: int, hop: int, stream: int
) -> None: ...
def synchronise_line(line: NDArray[np.int64]) -> None: ...
def spend(line: NDArray[np.int64], cycles: NDArray[np.int64]) -> None: ...
def run_steps(
    line: NDArray[np.int64],
    steps: NDArray[np.int64],
    takes: NDArray[np.int64],
    times: NDArray[np.int64],
    waits: NDArray[np.int64],
    costs: LineCosts,
) -> int: ...
