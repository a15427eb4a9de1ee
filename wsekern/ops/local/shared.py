"""Products of tiles where neighbors share the left one.

A PE whose left tile is also that of its neighbors multiplies it by its own right tile; side by side these are one wide tile,
and one long product does the work of all. Every element is the same chain of multiply-adds, so the values are the same bits.
"""

import numpy as np

from wsekern.ops.repeated import Repeated, common
from wsekern.tiles import gemm


def multiply(left: Repeated, right: Repeated, precision: str, threads: int) -> Repeated:
    """Left tiles (m, k) times right tiles (k, n) on every PE -> (m, n)."""
    down, across = common((left, right))
    for axis, shared, block in ((1, left.across, across), (0, left.down, down)):
        if shared > block and shared % block == 0 and (left.height, left.width)[axis] % shared == 0:
            held = (down, shared) if axis else (shared, across)
            found = _wide(left.at(*held), right.at(down, across), axis, shared // block, precision, threads)
            if found is not None:
                return Repeated(found, left.height, left.width, down, across)
    out = gemm(left.at(down, across), right.at(down, across), precision, threads=threads)
    return Repeated(out, left.height, left.width, down, across)


def _wide(left: np.ndarray, right: np.ndarray, axis: int, share: int, precision: str, threads: int) -> np.ndarray | None:
    """The product of ``left`` (rows, columns, m, k), each for ``share`` tiles along ``axis`` of ``right`` (rows, columns, k,
    n); None where those do not lie side by side."""
    if axis == 0:           # the same with rows and columns changed over
        found = _wide(left.swapaxes(0, 1), right.swapaxes(0, 1), 1, share, precision, threads)
        return None if found is None else found.swapaxes(0, 1)
    (rows, blocks, m, _), (columns, k, n) = left.shape, right.shape[1:]
    apart = right.reshape(rows, blocks, share, k, n).transpose(0, 1, 3, 2, 4)
    pes_first = _side_by_side(apart)
    if not pes_first and not _side_by_side(apart.swapaxes(3, 4)):
        return None
    wide = (apart if pes_first else apart.swapaxes(3, 4)).reshape(rows, blocks, k, share * n)
    # One memory for all blocks, so that (blocks, share) is one axis of the result.
    out = np.empty((rows, m, blocks, share * n), left.dtype).swapaxes(1, 2)
    gemm(left, wide, precision, threads=threads, out=out)
    if pes_first:
        return out.swapaxes(1, 2).reshape(rows, m, columns, n).swapaxes(1, 2)
    return out.reshape(rows, blocks, m, n, share).transpose(0, 1, 4, 2, 3).reshape(rows, columns, m, n)


def _side_by_side(array: np.ndarray) -> bool:
    """Whether the last two axes are one run of elements in memory."""
    *_, many, few = array.shape
    step, one = array.strides[-2:]
    return (few == 1 or one == array.itemsize) and (many == 1 or step == few * array.itemsize)
