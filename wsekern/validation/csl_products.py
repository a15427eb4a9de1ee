"""Products on a mesh in CSL of our own beside silicon: MeshGEMM and MeshGEMV, compiled and run as the published ones were."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.build import Options, build
from wsekern.errors import InputError
from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from wsekern.validation.rows import Row
from wsekern.validation.wafer import shipped_rows

GEMM_ROWS = ("W0211", "W0212", "W0214")
GEMV_ROWS = ("W0333", "W0334", "W0335", "W0336", "W0337", "W0338")
"""Measurements of :mod:`wsekern.validation.wafer` that the programs run beside."""
GEMM_NOTE = ("the same algorithm in a program of our own: it stores its tiles' pointers less often than the published one, "
             "whose own source takes 1 to 4 % less than silicon (docs/csl.md)")
GEMV_NOTE = "the same algorithm in a program of our own; where a PE stands it finds out at run time, as the published one"
GEMM_REPEATS, GEMV_REPEATS = 3, 20
HALVES: dict[str, Any] = {"order": MemcpyOrder.ROW_MAJOR, "data_type": MemcpyDataType.MEMCPY_16BIT}


class _Mesh:
    """A program of the package on ``pes`` x ``pes`` PEs of WSE-3."""

    def __init__(self, name: str, pes: int, profile: str, **params: int) -> None:
        with as_file(files("wsekern.validation") / "data" / "csl") as folder:
            made = build(Path(folder) / name, {"pes": pes, **params}, Options(arch="wse3", profile=profile))
        self.name, self.pes, self.runtime = name, pes, SdkRuntime.of(made)
        self.runtime.run()

    def put(self, name: str, values: NDArray[np.float16]) -> None:
        """Values [row][column][element] of all PEs."""
        words = np.ascontiguousarray(values).view(np.uint16).astype(np.uint32).ravel()
        self.runtime.memcpy_h2d(self.runtime.get_id(name), words, 0, 0, self.pes, self.pes, values.shape[2], **HALVES)

    def halves(self, name: str, count: int) -> NDArray[np.uint16]:
        """So many halves of all PEs, [row][column][element]."""
        words = np.zeros(self.pes * self.pes * count, np.uint32)
        self.runtime.memcpy_d2h(words, self.runtime.get_id(name), 0, 0, self.pes, self.pes, count, **HALVES)
        return words.astype(np.uint16).reshape(self.pes, self.pes, count)

    def period(self, repeats: int) -> float:
        """Cycles of one of so many repeats, the mean over PEs."""
        self.runtime.launch("compute", np.int16(repeats))
        stamps = self.halves("stamps", 6).astype(np.int64).reshape(-1, 2, 3)
        cycles = stamps[..., 0] + (stamps[..., 1] << 16) + (stamps[..., 2] << 32)
        return float((cycles[:, 1] - cycles[:, 0]).mean() / repeats)

    def require(self, same: bool) -> None:
        """Refuse a program whose result is not that of numpy."""
        if not same:
            raise InputError(f"{self.name}: its product is not that of numpy")


def place_in_ring(at: int, pes: int) -> int:
    """Where a PE stands in a ring that is folded: even places count up, odd ones come back."""
    return at // 2 if at % 2 == 0 else pes - (at + 1) // 2


@lru_cache(maxsize=64)
def gemm_cycles(pes: int, m: int, k: int, n: int, profile: str = "silicon") -> float:
    """Cycles of a product of (pes m) x (pes k) and (pes k) x (pes n) in fp16; :class:`InputError` where it is not that of
    numpy."""
    mesh = _Mesh("gemm.csl", pes, profile, m=m, k=k, n=n)
    numbers = np.random.default_rng(pes)
    left = numbers.integers(0, 3, (pes, m, pes, k)).astype(np.float16)
    right = numbers.integers(0, 3, (pes, k, pes, n)).astype(np.float16)
    ring = np.array([place_in_ring(at, pes) for at in range(pes)])
    inner = (ring[:, None] + ring) % pes
    mesh.put("X", left[ring][:, :, ring].transpose(0, 2, 3, 1).reshape(pes, pes, k * m))
    mesh.put("W", right[inner, :, ring].reshape(pes, pes, k * n))
    mesh.period(1)
    found = mesh.halves("C", m * n + 2)[..., 2:].view(np.float16).reshape(pes, pes, n, m)
    product = np.einsum("imjk,jkln->ilnm", left.astype(np.float32), right.astype(np.float32))
    mesh.require(np.array_equal(found, product[ring][:, ring]))
    return mesh.period(GEMM_REPEATS)


@lru_cache(maxsize=64)
def gemv_cycles(pes: int, m: int, n: int, groups: int, profile: str = "silicon") -> float:
    """Cycles of a product of a vector of pes m and a matrix of (pes m) x (pes n) in fp16, once those before it are under way;
    :class:`InputError` where it is not that of numpy."""
    mesh = _Mesh("gemv.csl", pes, profile, m=m, n=n, groups=groups)
    numbers = np.random.default_rng(pes)
    vector = numbers.integers(0, 2, (pes, m)).astype(np.float16)
    matrix = numbers.integers(0, 2, (pes, m, pes, n)).astype(np.float16)
    mesh.put("x", np.repeat(vector[:, None], pes, 1))
    mesh.put("W", matrix.transpose(0, 2, 1, 3).reshape(pes, pes, m * n))
    mesh.runtime.launch("prepare")
    mesh.period(1)
    product = np.einsum("im,imjn->jn", vector.astype(np.float32), matrix.astype(np.float32))
    mesh.require(bool((mesh.halves("y", n).view(np.float16) == product).all()))
    return mesh.period(GEMV_REPEATS)


def product_rows() -> Iterator[Row]:
    """Rows of both programs beside silicon."""
    measured = {row["id"]: row for row in shipped_rows()}
    for name in GEMM_ROWS:
        row = measured[name]
        yield _row(row, "gemm", gemm_cycles(_side(row), *map(int, row["tile"].split("x"))), GEMM_NOTE)
    for name in GEMV_ROWS:
        row = measured[name]
        yield _row(row, "gemv", gemv_cycles(_side(row), *map(int, row["tile"].split("x")), int(row["groups"])), GEMV_NOTE)


def _side(row: dict[str, str]) -> int:
    return int(row["grid"].split("x")[0])


def _row(row: dict[str, str], program: str, cycles: float, note: str) -> Row:
    return Row(id=f"csl-{row['id']}-mesh{program}-{row['grid']}-{row['tile']}", group=f"csl mesh{program} wse3 silicon",
               measured=float(row["value"]), predicted=cycles, unit="cycles", note=note, source=row["source"])
