"""Local work that all PEs of a line would do alike, done once: each PE does a share of it and gathers those of the others.

Every element is the same function of the same numbers, and a gather adds nothing: the values are those of redundant work, bit
for bit.
"""

from collections.abc import Callable, Sequence

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, first, reshape, share, swap
from wsekern.ops import AllGather, Local
from wsekern.ops.operation import Axis

WORTH = 4
"""Elements for each PE of a line from which on vector instructions are shared: a gather goes from core to core, and takes about
as long at each as a function of so many elements. Library calls take a hundred times as long: one element is worth it."""
EXPONENTIALS_WORTH = 2 * WORTH
"""The same of exponentials, which take little more than half as many instructions as a SiLU."""


def is_shared(mapping: Grid, elements: int, axis: Axis, segment: int = 0) -> bool:
    """Whether ``elements`` elements that all PEs of a line along ``axis`` hold alike are shared among them; exponentials of
    scores, where those of each ``segment`` do."""
    line = segment or _line(mapping, axis)
    worth = 1 if mapping.form == "scalar" else (EXPONENTIALS_WORTH if segment else WORTH) * line
    return mapping.programs.local == "shared" and elements >= worth and line > 1


def shared_buffers(mapping: Grid, elements: int, axis: Axis) -> int:
    """Elements on a PE that sharing takes beside what comes in and goes out: padding of the result, and a share of up to two
    tiles and of the result."""
    if not is_shared(mapping, elements, axis):
        return 0
    share_of, line = _share(elements, _line(mapping, axis)), _line(mapping, axis)
    return share_of * line - elements + 3 * share_of


def rows_shared(mapping: Grid, rows: int, n: int, segment: int) -> bool:
    """Whether ``rows`` rows of ``n`` elements that each ``segment`` of PEs along x holds alike are shared, by elements of a
    row: not where these are fewer than the PEs, and most shares would be padding."""
    return n >= segment and is_shared(mapping, rows * n, "x", segment)


def rows_buffers(mapping: Grid, rows: int, n: int, segment: int) -> int:
    """As :func:`shared_buffers`, of such rows."""
    if not rows_shared(mapping, rows, n, segment):
        return 0
    share_of = _columns(rows, n, segment) * rows
    return share_of * segment - rows * n + 3 * share_of


def local_work(mapping: Grid, label: str, work: Callable[[int, int], Local], rows: int, n: int, inputs: Sequence[str],
               output: str, axis: Axis = "y") -> Steps:
    """``output`` (rows, n): ``work`` (of so many elements and rows), element by element, of ``inputs`` (rows, n), which are
    alike along ``axis``; shared or not as the programs of ``mapping`` say."""
    whole = work(n, rows)
    if not is_shared(mapping, rows * n, axis):
        return [LayerStep(label, whole.kind, whole, tuple(inputs), output)]
    size = _share(rows * n, _line(mapping, axis))
    own = [f"{name}.share" for name in inputs]
    return [*(share(name, part, size, axis) for name, part in zip(inputs, own, strict=True)),
            LayerStep(label, whole.kind, work(size, 1), tuple(own), output),
            LayerStep(label, f"{whole.kind}_gather", AllGather(size, axis), (output,), output),
            first(output, output, 0, rows * n), reshape(output, rows, n)]


def _line(mapping: Grid, axis: Axis) -> int:
    return mapping.height if axis == "y" else mapping.width


def _share(elements: int, line: int) -> int:
    """Elements of a share: an even number, which fills its wavelets in 16 bits."""
    return 2 * -(-elements // (2 * line))


def _columns(rows: int, n: int, segment: int) -> int:
    """Elements of each row in a share, so many that they fill their wavelets in 16 bits."""
    each = -(-n // segment)
    return each + each * rows % 2


def rows_work(mapping: Grid, label: str, name: str, work: Callable[[int, int], Local], rows: int, n: int, x: str, number: str,
              output: str, segment: int) -> Steps:
    """``output`` (rows, n): ``work`` (of so many elements and rows) of ``x`` (rows, n) and a number for each row, which are
    alike on each ``segment`` of PEs along x; shared or not as the programs of ``mapping`` say: a PE takes some elements of
    every row."""
    if not rows_shared(mapping, rows, n, segment):
        return [LayerStep(label, name, work(n, rows), (x, number), output)]
    each, own = _columns(rows, n, segment), f"{x}.share"
    return [swap(x, 0), share(x, own, each * rows, "x", segment), reshape(own, each, rows), swap(own, 0),
            LayerStep(label, name, work(each, rows), (own, number), output), swap(output, 0), reshape(output, each * rows),
            LayerStep(label, f"{name}_gather", AllGather(each * rows, "x", segment), (output,), output),
            first(output, output, 0, n * rows), reshape(output, n, rows), swap(output, 0)]
