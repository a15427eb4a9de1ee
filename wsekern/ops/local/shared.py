"""Products of tiles where neighbors share the left one.

A PE whose left tile is also that of its neighbors multiplies it by its own right tile; side by side these are one wide tile,
and one long product does the work of all. Every element is the same chain of multiply-adds, so the values are the same bits.
"""

import numpy as np

from wsekern.ops.repeated import Repeated, common
from wsekern.tiles import gemm
from wsekern.tiles.arguments import empty


def multiply(left: Repeated, right: Repeated, precision: str, threads: int) -> Repeated:
    """Left tiles (m, k) times right tiles (k, n) on every PE -> (m, n)."""
    down, across = common((left, right))
    for axis, shared, block in ((1, left.across, across), (0, left.down, down)):
        if shared > block and shared % block == 0:
            held = (down, shared) if axis else (shared, across)
            found = _wide(left.at(*held), right.at(down, across), axis, shared // block, precision, threads)
            if found is not None:
                return Repeated(found, left.height, left.width, down, across)
    out = gemm(left.at(down, across), right.at(down, across), precision, threads=threads)
    return Repeated(out, left.height, left.width, down, across)


def _wide(left: np.ndarray, right: np.ndarray, axis: int, share: int, precision: str, threads: int) -> np.ndarray | None:
    """The product of ``left`` (rows, blocks, m, k), each for ``share`` tiles along ``axis`` of ``right`` (rows, columns, k, n),
    the last one for those that are left; None where those do not lie side by side."""
    if axis == 0:           # the same with rows and columns changed over
        found = _wide(left.swapaxes(0, 1), right.swapaxes(0, 1), 1, share, precision, threads)
        return None if found is None else found.swapaxes(0, 1)
    columns, whole = right.shape[1], right.shape[1] // share * share
    row = right.transpose(0, 2, 1, 3)
    if _side_by_side(row):
        out = empty((len(left), left.shape[2], columns, right.shape[3]), left.dtype)
        for part, size in ((slice(whole), share), (slice(whole, columns), columns - whole)):
            if part.start != columns and part.stop:
                blocks = slice(whole // share, None) if part.start else slice(whole // share)
                _blocks(left[:, blocks], row[:, :, part], out[:, :, part], size, precision, threads)
        return out.swapaxes(1, 2)
    return None if columns > whole else _elements_first(left, right, share, precision, threads)


def _blocks(left: np.ndarray, right: np.ndarray, out: np.ndarray, share: int, precision: str, threads: int) -> None:
    """``out`` (rows, m, columns, n) = ``left`` (rows, blocks, m, k) times ``right`` (rows, k, columns, n), whose columns are
    blocks of ``share``: one wide tile for each block."""
    wide, found = (array.reshape(*array.shape[:2], left.shape[1], -1).swapaxes(1, 2) for array in (right, out))
    gemm(left, wide, precision, threads=threads, out=found)


def _elements_first(left: np.ndarray, right: np.ndarray, share: int, precision: str, threads: int) -> np.ndarray | None:
    """The same as :func:`_wide` where each element of all tiles of a block lies side by side."""
    (rows, blocks, m, _), (columns, k, n) = left.shape, right.shape[1:]
    apart = right.reshape(rows, blocks, share, k, n).transpose(0, 1, 3, 4, 2)
    if not _side_by_side(apart):
        return None
    out = empty((rows, blocks, m, n * share), left.dtype)
    gemm(left, apart.reshape(rows, blocks, k, n * share), precision, threads=threads, out=out)
    return out.reshape(rows, blocks, m, n, share).transpose(0, 1, 4, 2, 3).reshape(rows, columns, m, n)


def _side_by_side(array: np.ndarray) -> bool:
    """Whether the last two axes are one run of elements in memory."""
    *_, many, few = array.shape
    step, one = array.strides[-2:]
    return (few == 1 or one == array.itemsize) and (many == 1 or step == few * array.itemsize)
