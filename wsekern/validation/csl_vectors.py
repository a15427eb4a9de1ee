"""One vector instruction in CSL of our own beside the vendor's simulator: products of fp32 whose operands meet in a memory
bank, or do not."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from wsekern.csl.build import Options, build
from wsekern.errors import InputError
from wsekern.sdk.runtime import MemcpyDataType, SdkRuntime
from wsekern.validation.rows import Row
from wsekern.validation.wafer import shipped_rows

GROUP = "csl vector-fmuls wse2"
ROWS = ("M0072", "M0073", "M0076", "M0077")
"""Measurements of :mod:`wsekern.validation.wafer` that the program runs beside."""
NOTE = "the program's time stamps are in its cycles, some 60; the published ones are 2 N + 6 and N + 6, without them"


@lru_cache(maxsize=64)
def product_cycles(words: int, conflict: bool) -> int:
    """Cycles of ``first = first * second``; :class:`InputError` where it is not that of numpy."""
    with as_file(files("wsekern.validation") / "data" / "csl") as folder:
        made = build(Path(folder) / "vector.csl", {"words": words, "apart": int(not conflict)}, Options(arch="wse2"))
    runtime = SdkRuntime.of(made)
    runtime.run()
    given = np.random.default_rng(words).integers(0, 4, (2, words)).astype(np.float32)
    for name, values in zip(("first", "second"), given, strict=True):
        runtime.memcpy_h2d(runtime.get_id(name), values, 0, 0, 1, 1, words)
    runtime.launch("compute")
    found, stamps = np.zeros(words, np.float32), np.zeros(6, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("first"), 0, 0, 1, 1, words)
    if not np.array_equal(found, given[0] * given[1]):
        raise InputError("vector.csl: its products are not those of numpy")
    runtime.memcpy_d2h(stamps, runtime.get_id("stamps"), 0, 0, 1, 1, 6, data_type=MemcpyDataType.MEMCPY_16BIT)
    began, ended = (sum(int(part) << 16 * k for k, part in enumerate(each)) for each in (stamps[:3], stamps[3:]))
    return ended - began


def vector_rows() -> Iterator[Row]:
    """Rows of the program beside the simulator's."""
    measured = {row["id"]: row for row in shipped_rows()}
    for name in ROWS:
        row = measured[name]
        conflict = "bank-conflicting" in row["note"]
        yield Row(id=f"csl-{name}-fmuls-{row['words']}", group=GROUP, measured=float(row["value"]),
                  predicted=float(product_cycles(int(row["words"]), conflict)), unit="cycles", note=NOTE, source=row["source"])
