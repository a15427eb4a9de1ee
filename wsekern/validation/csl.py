"""Published cycles beside those of programs in CSL of our own, compiled and run (``validate --only wafer``).

A program takes its own time stamps, as the published ones do; what it computes is checked against numpy.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.csl.build import Options, build
from wsekern.errors import InputError
from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from wsekern.validation import formulas
from wsekern.validation.csl_collectives import collective_rows
from wsekern.validation.csl_products import product_rows
from wsekern.validation.csl_vectors import vector_rows
from wsekern.validation.rows import Row, summarise

GROUP = "csl chain-reduce wse2"
MEASURED = ((512, 4096, 7218.0),)
"""(PEs, words, cycles) of the vendor's simulator."""
MEASURED_SOURCE = "pr0f3ss/SpMM_Cerebras @a962552 src/mpi_collectives/.../results.txt"
STATED = ((64, 512), (64, 4096))
"""(PEs, words) beside the published formula."""
NOTE = "the program's time stamps and the start of its tasks are in its cycles, and the formula leaves them out"


@lru_cache(maxsize=64)
def chain_cycles(pes: int, words: int, arch: str = "wse2") -> int:
    """Cycles at the first PE of a row that adds ``words`` fp32 numbers of ``pes`` PEs; :class:`InputError` where the sums are
    not those of numpy."""
    with as_file(files("wsekern.validation") / "data" / "csl") as folder:
        made = build(Path(folder) / "chain.csl", {"width": pes, "words": words}, Options(arch=arch))
    runtime = SdkRuntime.of(made)
    runtime.run()
    values = np.random.default_rng(pes + words).integers(0, 4, (pes, words)).astype(np.float32)
    runtime.memcpy_h2d(runtime.get_id("values"), values.reshape(-1), 0, 0, pes, 1, words, order=MemcpyOrder.ROW_MAJOR)
    runtime.launch("compute")
    sums, stamps = np.zeros(words, np.float32), np.zeros(6, np.uint32)
    runtime.memcpy_d2h(sums, runtime.get_id("values"), 0, 0, 1, 1, words, order=MemcpyOrder.ROW_MAJOR)
    if not np.array_equal(sums, values.sum(0)):
        raise InputError("chain.csl: its sums are not those of numpy")
    runtime.memcpy_d2h(stamps, runtime.get_id("stamps"), 0, 0, 1, 1, 6, order=MemcpyOrder.ROW_MAJOR,
                       data_type=MemcpyDataType.MEMCPY_16BIT)
    began, ended = (sum(int(part) << 16 * k for k, part in enumerate(each)) for each in (stamps[:3], stamps[3:]))
    return ended - began


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the programs; nothing for a table of the user's own."""
    return summarise(() if path is not None else _rows())


def _rows() -> Iterator[Row]:
    for pes, words, cycles in MEASURED:
        yield _row("M0067", pes, words, cycles, MEASURED_SOURCE, "")
    for pes, words in STATED:
        yield _row("HPDC24", pes, words, formulas.chain(pes, words), formulas.SOURCE, NOTE)
    yield from collective_rows()
    yield from product_rows()
    yield from vector_rows()


def _row(name: str, pes: int, words: int, published: float, source: str, note: str) -> Row:
    return Row(id=f"csl-{name}-chain-reduce-{pes}x1-{words}", group=GROUP, measured=published,
               predicted=float(chain_cycles(pes, words)), unit="cycles", note=note, source=source)
