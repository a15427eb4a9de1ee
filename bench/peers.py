"""This package beside other programs on the same load:

    python bench/peers.py [--libxsmm FOLDER] [--llama FOLDER] [--keep docs/performance.json]

* BookSim2: 64x64 routers, every one sends to its four neighbors; its rate was measured once (test_bench_fabric.py).
* numpy and libxsmm: products of fp32 tiles, each PE's own, on a grid of 256x256 (128x128 from 64 on), on one thread. FOLDER has
  libxsmm's sources, in which ``make BLAS=0 STATIC=0`` was run; nothing here depends on it.

* llama.cpp: a decode layer of Llama-3-8B's shape in fp16 behind 4,000 tokens, by the clock, on two threads. FOLDER: see
  peer_llama_cpp.py, which also sets a whole model beside it.

But for that, one thread and its processor time, rounds in turn, medians.
"""

import argparse
import ctypes
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import beside
import numpy as np
from beside import HERE, benchmarks, keep, machine_name

from wsekern import tiles

ROUNDS = 5
SIZES = (4, 8, 16, 32, 64)


def in_turn(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of processor time of each work."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def booksim() -> list[dict[str, Any]]:
    """The load that BookSim2 can run too."""
    bench = benchmarks("test_bench_fabric")
    fabric, found = bench.neighbors(64), []
    saved = fabric.snapshot()
    before = int(fabric.totals()["hops"].sum())
    for _ in range(ROUNDS):
        fabric.restore(saved)
        start = time.process_time()
        fabric.step(100)
        found.append((int(fabric.totals()["hops"].sum()) - before) / (time.process_time() - start))
    return [row("64x64 routers, each to its four neighbors", "hops/s", statistics.median(found), "BookSim2, as measured once",
                bench.BOOKSIM_NEIGHBORS[64])]


def libxsmm(folder: Path, into: str) -> Callable[..., int]:
    """The products of tiles by libxsmm."""
    path, lib = f"{into}/peer.so", folder / "lib"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(HERE / "peer_libxsmm.c"), f"-I{folder / 'include'}", f"-L{lib}",
                    f"-Wl,-rpath,{lib}", "-lxsmm", "-o", path], check=True)
    return ctypes.CDLL(path).peer_libxsmm


def tile_products(product: Callable[..., int] | None) -> list[dict[str, Any]]:
    """fp32 tiles of all sizes."""
    rows, bench = [], benchmarks("test_bench_tiles")
    for size in SIZES:
        grid = bench.grid_for(size)
        x, w = bench.make("fp32", grid, size)
        outs = {name: tiles.mov(x) for name in ("ours", "numpy", "libxsmm")}
        works: dict[str, Callable[[], Any]] = {
            "ours": lambda x=x, w=w, out=outs["ours"]: tiles.gemm(x, w, out=out),
            "numpy": lambda x=x, w=w, out=outs["numpy"]: np.matmul(x, w, out=out)}
        if product:
            given = [size, ctypes.c_long(grid * grid), *(ctypes.c_void_p(a.ctypes.data) for a in (x, w, outs["libxsmm"]))]
            works["libxsmm"] = lambda given=given: product(*given)
        seconds = in_turn(works)
        for name in list(works)[1:]:
            np.testing.assert_allclose(outs[name], outs["ours"], atol=1e-4)
            rates = [grid**2 * size**3 / seconds[side] for side in ("ours", name)]
            rows.append(row(f"fp32 tiles {size}x{size} on {grid}x{grid} PEs", "multiply-adds/s", rates[0], name, rates[1]))
    return rows


def decode_layer(llama: str, threads: int) -> list[dict[str, Any]]:
    """A layer of Llama-3-8B with values on the flow engine, and by llama.cpp."""
    os.environ.setdefault("BENCH", str(HERE))
    ours, found = beside.layer(False), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ours(threads)
        found.append(time.perf_counter() - start)
    theirs = benchmarks("peer_llama_cpp").layer_seconds(llama, threads, beside.CACHED)
    load = f"decode layer of Llama-3-8B, fp16, {beside.CACHED:,} tokens cached, {threads} thread{'s' * (threads > 1)}"
    return [row(load, "s", statistics.median(found), "llama.cpp", theirs)]


def row(load: str, unit: str, ours: float, peer: str, theirs: float) -> dict[str, Any]:
    """A row of the table."""
    print(f"{load}: {ours:.3g} {unit}, {peer} {theirs:.3g}", flush=True)
    ratio = theirs / ours if unit == "s" else ours / theirs
    return {"load": load, "unit": unit, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ratio}


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libxsmm", type=Path, metavar="FOLDER")
    parser.add_argument("--llama", metavar="FOLDER")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as into:
        product = libxsmm(given.libxsmm.resolve(), into) if given.libxsmm else None
        rows = [*booksim(), *tile_products(product)]
    for threads in (1, 2) if given.llama else ():
        rows += decode_layer(given.llama, threads)
    if given.keep:
        keep(given.keep, "peers", {"machine": machine_name(), "rows": rows})


if __name__ == "__main__":
    main()
