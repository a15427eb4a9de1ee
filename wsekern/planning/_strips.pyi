import numpy as np
from numpy.typing import NDArray

def fill(
    cycles: NDArray[np.float64],
    sizes: NDArray[np.int64],
    layers: NDArray[np.int64],
    each: NDArray[np.float64],
    least: NDArray[np.int64],
) -> None: ...
def chosen(
    cycles: NDArray[np.float64],
    sizes: NDArray[np.int64],
    layers: NDArray[np.int64],
    each: NDArray[np.float64],
    row: int,
    length: int,
) -> list[int]: ...
