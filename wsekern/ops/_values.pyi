import numpy as np
from numpy.typing import NDArray

DTYPE_CODES: dict[str, int]
OP_CODES: dict[str, int]

def line_values(
    kind: str,
    precision: str,
    op: str,
    outer: int,
    length: int,
    inner: int,
    segment: int,
    parameter: int | tuple[int, ...],
    once: bool,
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    threads: int,
) -> int: ...
def path_values(
    precision: str,
    pes: NDArray[np.int64],
    moves: NDArray[np.int64],
    arena: int,
    reserved: int,
    in_words: int,
    out_words: int,
    result: NDArray[np.int64],
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    threads: int,
) -> int: ...
