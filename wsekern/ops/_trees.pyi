import numpy as np
from numpy.typing import NDArray

def best_children(
    first: NDArray[np.int64], free: NDArray[np.int64], choice: NDArray[np.int64], stage: int, hop: int, run: int
) -> None: ...
def lowest_colors(spans: NDArray[np.int64], length: int) -> NDArray[np.int64]: ...
