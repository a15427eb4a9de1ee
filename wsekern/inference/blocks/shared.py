"""Local work that all PEs of a line would do alike, done once: each PE does a share of it and gathers those of the others.

Every element is the same function of the same numbers, and a gather adds nothing: the values are those of redundant work, bit
for bit.
"""

from collections.abc import Callable, Sequence

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, first, reshape, share
from wsekern.ops import AllGather, Local
from wsekern.ops.operation import Axis

WORTH = 4
"""Elements for each PE of a line from which on vector instructions are shared: a gather goes from core to core, and takes about
as long at each as a function of so many elements. Library calls take a hundred times as long: one element is worth it."""


def is_shared(mapping: Grid, elements: int, axis: Axis) -> bool:
    """Whether ``elements`` elements that all PEs of a line along ``axis`` hold alike are shared among them."""
    worth = 1 if mapping.form == "scalar" else WORTH * _line(mapping, axis)
    return mapping.programs.local == "shared" and elements >= worth and _line(mapping, axis) > 1


def shared_buffers(mapping: Grid, elements: int, axis: Axis) -> int:
    """Elements on a PE that sharing takes beside what comes in and goes out: padding of the result, and a share of up to two
    tiles and of the result."""
    if not is_shared(mapping, elements, axis):
        return 0
    share_of = _share(mapping, elements, axis)
    return share_of * _line(mapping, axis) - elements + 3 * share_of


def local_work(mapping: Grid, label: str, work: Callable[[int, int], Local], rows: int, n: int, inputs: Sequence[str],
               output: str, axis: Axis = "y") -> Steps:
    """``output`` (rows, n): ``work`` (of so many elements and rows), element by element, of ``inputs`` (rows, n), which are
    alike along ``axis``; shared or not as the programs of ``mapping`` say."""
    whole = work(n, rows)
    if not is_shared(mapping, rows * n, axis):
        return [LayerStep(label, whole.kind, whole, tuple(inputs), output)]
    size = _share(mapping, rows * n, axis)
    own = [f"{name}.share" for name in inputs]
    return [*(share(name, part, size, axis) for name, part in zip(inputs, own, strict=True)),
            LayerStep(label, whole.kind, work(size, 1), tuple(own), output),
            LayerStep(label, f"{whole.kind}_gather", AllGather(size, axis), (output,), output),
            first(output, output, 0, rows * n), reshape(output, rows, n)]


def _line(mapping: Grid, axis: Axis) -> int:
    return mapping.height if axis == "y" else mapping.width


def _share(mapping: Grid, elements: int, axis: Axis) -> int:
    """Elements of a share: an even number, which fills its wavelets in 16 bits."""
    return 2 * -(-elements // (2 * _line(mapping, axis)))
