"""The library ``<collectives_2d>`` of this package beside the published formulas, on WSE-2: whole operations, and what more
words and more PEs add to them.

The library is written in CSL: a list of steps that two tasks go through, and colors that are given routes and torn down again.
That costs every operation some hundred cycles of scalar code, which the formulas do not have; the words flow as there.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.build import Options, build
from wsekern.errors import InputError
from wsekern.sdk.runtime import MemcpyDataType, SdkRuntime
from wsekern.validation import formulas
from wsekern.validation.rows import Row

OPERATIONS = ("broadcast", "scatter", "gather", "reduce")
"""By the number that collective.csl takes; their root is the first PE of the row."""
FORMULAS = {"broadcast": formulas.broadcast, "scatter": formulas.star, "gather": formulas.star, "reduce": formulas.chain}
WHOLE = (("broadcast", 32, 4096), ("reduce", 32, 4096), ("scatter", 16, 256), ("gather", 16, 256))
"""(operation, PEs, words): the longest that memory has room for."""
MORE = (("broadcast", (16, 512), (16, 2048)), ("reduce", (16, 512), (16, 2048)), ("reduce", (32, 512), (128, 512)),
        ("scatter", (16, 64), (16, 256)), ("gather", (16, 64), (16, 256)))
"""(operation, PEs and words before, and after)."""
SOFTWARE = "the library's own code is in its cycles: steps of two tasks, routes, and a teardown behind every operation"
STEPS = "every PE takes its own part and hands on the rest in two instructions, with a task between them"
NOTES = {"broadcast": SOFTWARE, "reduce": SOFTWARE, "scatter": f"{SOFTWARE}; {STEPS}", "gather": f"{SOFTWARE}; {STEPS}"}


@lru_cache(maxsize=64)
def cycles_of(operation: str, pes: int, words: int) -> int:
    """Cycles from the first PE's call to the last PE's end; :class:`InputError` where a PE has got what it should not."""
    what = OPERATIONS.index(operation)
    room = words * (pes if operation in ("scatter", "gather") else 1)
    with as_file(files("wsekern.validation") / "data" / "csl") as folder:
        made = build(Path(folder) / "collective.csl", {"width": pes, "words": words, "what": what}, Options(arch="wse2"))
    runtime = SdkRuntime.of(made)
    runtime.run()
    sent = np.random.default_rng(pes + words).integers(0, 4, (pes, room)).astype(np.float32)
    runtime.memcpy_h2d(runtime.get_id("sent"), sent.reshape(-1), 0, 0, pes, 1, room)
    runtime.launch("compute")
    got, stamps = np.zeros((pes, room), np.float32), np.zeros(pes * 6, np.uint32)
    runtime.memcpy_d2h(got.reshape(-1), runtime.get_id("got"), 0, 0, pes, 1, room)
    if not np.array_equal(_part(operation, got, words), _expected(operation, sent, words)):
        raise InputError(f"collective.csl: {operation} of {words} words on {pes} PEs is not that of numpy")
    runtime.memcpy_d2h(stamps, runtime.get_id("stamps"), 0, 0, pes, 1, 6, data_type=MemcpyDataType.MEMCPY_16BIT)
    times = (stamps.reshape(pes, 2, 3).astype(np.int64) << np.array([0, 16, 32])).sum(2)
    return int(times[:, 1].max() - times[:, 0].min())


def _part(operation: str, got: NDArray[Any], words: int) -> NDArray[Any]:
    """What an operation has brought, of what all PEs hold."""
    if operation == "broadcast":
        return got[1:]
    return got[:, :words] if operation == "scatter" else got[0]


def _expected(operation: str, sent: NDArray[Any], words: int) -> NDArray[Any]:
    if operation == "broadcast":
        return np.repeat(sent[:1], len(sent) - 1, 0)
    if operation == "scatter":
        return sent[0].reshape(len(sent), words)
    return sent[:, :words].reshape(-1) if operation == "gather" else sent.sum(0)


def collective_rows() -> Iterator[Row]:
    """Rows of whole operations, then of what more words or PEs add."""
    for operation, pes, words in WHOLE:
        published, ours = FORMULAS[operation](pes, words), cycles_of(operation, pes, words)
        yield Row(id=f"HPDC24-csl-{operation}-{pes}x1-{words}", group="csl collectives wse2", measured=float(published),
                  predicted=float(ours), unit="cycles", note=NOTES[operation], source=formulas.SOURCE)
    for operation, before, after in MORE:
        formula = FORMULAS[operation]
        yield Row(id=f"HPDC24-csl-{operation}-{before[0]}x1-{before[1]}-to-{after[0]}x1-{after[1]}",
                  group="csl collectives growth wse2", measured=float(formula(*after) - formula(*before)),
                  predicted=float(cycles_of(operation, *after) - cycles_of(operation, *before)), unit="cycles",
                  note=STEPS if operation in ("scatter", "gather") else "", source=formulas.SOURCE)
