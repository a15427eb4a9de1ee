from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Sums:
    def __init__(self, strips: Sequence[tuple[int, int, float, Any]], length: int, most: int) -> None: ...
    def on(self, length: int) -> NDArray[np.float64]: ...
    def chosen(self, row: int, length: int) -> list[int]: ...
