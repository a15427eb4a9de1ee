"""Speed of the wavelet fabric in wavelet-hops (link crossings) per second.

What bounds it (callgrind with the caches of a core, 48 KB and 2 MB, on 256x256 PEs, avx2):

* dense rows: 30 instructions a hop, 42 % of them in a strip's loop over its blocks of 64 PEs (bit planes, and copies of words
  to the links and back, `copy_words.h`); 0.3 misses of the first level a hop, 0.01 of the second: rows are finished while they
  are cached, and what the next block needs is asked for before its turn.
* mixed load: misses of the second level, one in 100 instructions. A lane in use touches 1.5 KB in each cycle.
* scattered words (`scattered`): 145 instructions, 1.4 misses of the first level and 0.4 of the second a hop: counters of links
  north and south, and the two ends of each word's straight way (`flight.c`, `lone.c`).

BookSim2's rates stand in shared/data/noc-peers-measured.csv (its tuned build, one core, router-to-router link crossings).
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from wsekern.fabric import Fabric, FabricPlan


def rate(benchmark, fabric: Fabric, cycles: int, goal: float, **extra) -> float:
    """Run ``cycles`` cycles from the saved state of ``fabric``, several rounds; the rate of the median round.

    ``wavelet_hops_per_cpu_s`` is the same per second of processor time: it says more on a machine that others use too.
    """
    saved = fabric.snapshot()
    before = int(fabric.totals()["hops"].sum())
    times, busy = [], []

    def restore():
        fabric.restore(saved)

    def run():
        start, start_busy = time.perf_counter(), time.process_time()
        fabric.step(cycles)
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - start_busy)

    benchmark.pedantic(run, setup=restore, rounds=5, warmup_rounds=1)
    hops = int(fabric.totals()["hops"].sum()) - before
    found = hops / float(np.median(times))
    benchmark.extra_info.update(wavelet_hops_per_s=found, wavelet_hops_per_cpu_s=hops / float(np.median(busy)),
                                goal=goal, width=fabric.width, height=fabric.height, hops=hops,
                                cycles=cycles, threads=fabric.state.threads, **extra)
    return found


def broadcast_rows(size: int, threads: int = 1, cycles: int = 60) -> Fabric:
    """Every row broadcasts from its west end to all its PEs, one word per cycle, in full stream."""
    plan = FabricPlan(size, size, "wse2")
    plan.paint(0, "RAMP", "EAST", height=size)
    plan.paint(0, "WEST", "EAST RAMP", x=1, width=size - 2, height=size)
    plan.paint(0, "WEST", "RAMP", x=size - 1, height=size)
    fabric = Fabric(plan, "count", threads=threads)
    fabric.inject(0, np.arange(size), 0, np.arange(size + 7 * cycles + 20)[None, :])
    fabric.step(size + 10)
    return fabric


def crossing_colors(size: int, threads: int = 1) -> Fabric:
    """Eight colors: two eastwards, two westwards, two south, two north; segments of 64 PEs, so links are shared by two."""
    plan = FabricPlan(size, size, "wse2")
    starts = []
    for color in range(8):
        forward, across = color % 2 == 0, color < 4
        come, go = ("WEST", "EAST") if across else ("NORTH", "SOUTH")
        if not forward:
            come, go = go, come
        for i in range(size):
            along = i if forward else size - 1 - i
            place = (along + 8 * color) % 64
            first, last = along == 0 or place == 0, along == size - 1 or place == 63
            if first and last:
                continue
            box = {"x": i, "height": size} if across else {"y": i, "width": size}
            plan.paint(color, "RAMP" if first else come, "RAMP" if last else go, **box)
            if first:
                starts.append((color, i, across))
    fabric = Fabric(plan, "count", threads=threads)
    everywhere = np.arange(size)
    for color, i, across in starts:
        fabric.inject(*((i, everywhere) if across else (everywhere, i)), color, np.arange(300)[None, :])
    fabric.step(100)
    return fabric


def streaming_rows(size: int) -> Fabric:
    """One row in 25 broadcasts nothing but passes words on: 1 % of all links (4 per PE) are busy."""
    plan = FabricPlan(size, size, "wse2")
    rows = np.arange(0, size, 25)
    for y in rows.tolist():
        plan.paint(0, "RAMP", "EAST", y=y)
        plan.paint(0, "WEST", "EAST", x=1, y=y, width=size - 2)
        plan.paint(0, "WEST", "RAMP", x=size - 1, y=y)
    fabric = Fabric(plan, "count")
    fabric.inject(0, rows, 0, np.arange(size + 4000)[None, :])
    fabric.step(size + 10)
    return fabric


def scattered_words(size: int) -> Fabric:
    """Single words far from each other, 1 % of all links busy: every color flies one way and any ramp may send."""
    plan = FabricPlan(size, size, "wse2")
    for color, (come, go, box, end) in enumerate([
            ("WEST", "EAST", {"width": size - 1}, {"x": size - 1}), ("EAST", "WEST", {"x": 1, "width": size - 1}, {}),
            ("NORTH", "SOUTH", {"height": size - 1}, {"y": size - 1}), ("SOUTH", "NORTH", {"y": 1, "height": size - 1}, {})]):
        whole = {"width": size, "height": size}
        plan.paint(color, [come, "RAMP"], go, **(whole | box))
        line = {"height": size} if color < 2 else {"width": size}
        plan.paint(color, [come, "RAMP"], "RAMP", **(line | end))
    fabric = Fabric(plan, "count")
    rng = np.random.default_rng(1)
    places = rng.choice(size * size, size * size * 4 // 100, replace=False)
    for i, pe in enumerate(places.tolist()):
        fabric.offer(pe % size, pe // size, i % 4, i)
    fabric.step(10)
    return fabric


def neighbors(size: int) -> Fabric:
    """Every PE sends a word in every cycle, in turn to its four neighbors: two colors a direction, by parity."""
    plan = FabricPlan(size, size, "wse2")
    for direction, (come, go, across) in enumerate([("WEST", "EAST", True), ("EAST", "WEST", True), ("NORTH", "SOUTH", False),
                                                    ("SOUTH", "NORTH", False)]):
        for parity in (0, 1):
            for i in range(size):
                sends = i % 2 == parity
                if i == (size - 1 if direction % 2 == 0 else 0) and sends:
                    continue
                box = {"x": i, "height": size} if across else {"y": i, "width": size}
                plan.paint(2 * direction + parity, "RAMP" if sends else come, go if sends else "RAMP", **box)
    fabric = Fabric(plan, "count")
    along, everywhere = np.arange(size), np.arange(size)
    for direction in range(4):
        for parity in (0, 1):
            ends = size - 1 if direction % 2 == 0 else 0
            senders = along[(along % 2 == parity) & (along != ends)]
            first, second = np.meshgrid(senders, everywhere)
            x, y = (first, second) if direction < 2 else (second, first)
            fabric.inject(x.ravel(), y.ravel(), 2 * direction + parity, np.arange(400)[None, :])
    fabric.step(20)
    return fabric


# BookSim2, tuned build, mesh of the same size, DOR, one virtual channel, 1-flit packets to the four neighbors (nn4), offered
# 0.8 flits per node and cycle, the quickest of its loads: flit-hops per second.
BOOKSIM_NEIGHBORS = {64: 42_942.0}


@pytest.mark.parametrize("size", [64])
def test_neighbors_beside_booksim(benchmark, size):
    """The load that both can run: every node sends to its four neighbors (here 1 word per PE and cycle, entries included)."""
    fabric = neighbors(size)
    rate(benchmark, fabric, 100, 100 * BOOKSIM_NEIGHBORS[size], case="neighbors")
    assert benchmark.extra_info["hops"] > 0.95 * 100 * size * size
    yardstick, per_s = BOOKSIM_NEIGHBORS[size], benchmark.extra_info["wavelet_hops_per_cpu_s"]
    benchmark.extra_info.update(booksim_flit_hops_per_s=yardstick, times_booksim=per_s / yardstick)


@pytest.mark.parametrize("size", [512, 1024])
def test_dense_rows(benchmark, size):
    fabric = broadcast_rows(size)
    rate(benchmark, fabric, 60, 300e6, case="dense")
    assert benchmark.extra_info["hops"] == 60 * size * (size - 1)
    assert fabric.totals()["stalls"].sum() == 0


def test_mixed_colors(benchmark):
    fabric = crossing_colors(512)
    rate(benchmark, fabric, 40, 60e6, case="mixed")
    totals = fabric.totals()
    assert totals["stalls"].sum() > 0
    assert totals["injected"].sum() == totals["delivered"].sum() + fabric.in_flight


def test_sparse_rows(benchmark):
    fabric = streaming_rows(512)
    rate(benchmark, fabric, 400, 60e6, case="sparse")
    assert benchmark.extra_info["hops"] == 400 * 511 * 21


def test_sparse_scattered(benchmark):
    fabric = scattered_words(512)
    rate(benchmark, fabric, 40, 60e6, case="scattered")
    assert fabric.in_flight > 8000


CASES = {"dense": (broadcast_rows, 60), "mixed": (crossing_colors, 20), "sparse": (streaming_rows, 1000),
         "scattered": (scattered_words, 40)}


@pytest.mark.parametrize("case", list(CASES))
def test_two_threads(benchmark, case):
    """One thread and two in turn, from the same state: the ratio of the medians."""
    build, cycles = CASES[case]
    one = build(512)
    two, times = one.snapshot(), {1: [], 2: []}
    saved, two.state.threads = one.snapshot(), 2

    def both():
        for threads, fabric in ((1, one), (2, two)):
            fabric.restore(saved)
            start = time.perf_counter()
            fabric.step(cycles)
            times[threads].append(time.perf_counter() - start)

    benchmark.pedantic(both, rounds=7, warmup_rounds=1)
    for port in ("EAST", "SOUTH", "RAMP"):
        np.testing.assert_array_equal(one.link_counts(port), two.link_counts(port))
    benchmark.extra_info.update(goal=1.7, speedup=float(np.median(times[1]) / np.median(times[2])), threads=2, width=512,
                                height=512, case=case)


@pytest.mark.parametrize("case, size", [("dense", 128), ("scattered", 512)])
def test_two_threads_beside_other_work(benchmark, case, size):
    """One thread and two in turn while every core has other work: the ratio of the medians."""
    build, cycles = CASES[case]
    fabric, times = build(size), {1: [], 2: []}
    saved = fabric.snapshot()
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]

    def both():
        for threads, found in times.items():
            fabric.restore(saved)
            fabric.state.threads = threads
            start = time.perf_counter()
            fabric.step(4 * cycles)
            found.append(time.perf_counter() - start)

    try:
        benchmark.pedantic(both, rounds=7, warmup_rounds=1)
    finally:
        for other in others:
            other.kill()
            other.wait()
    benchmark.extra_info.update(goal=1.3, slower=float(np.median(times[2]) / np.median(times[1])), threads=2, width=size,
                                height=size, case=case)


def busy_corner(width: int, height: int) -> Fabric:
    """8x8 PEs broadcast along their rows for ever; the rest of the fabric is idle."""
    plan = FabricPlan(width, height, "wse2")
    plan.paint(0, "RAMP", "EAST", height=8)
    plan.paint(0, "WEST", "EAST RAMP", x=1, width=6, height=8)
    plan.paint(0, "WEST", "RAMP", x=7, height=8)
    fabric = Fabric(plan, "count")
    fabric.inject(0, np.arange(8), 0, np.arange(200_000)[None, :])
    fabric.step(20)
    return fabric


def test_idle_pes_cost_nothing(benchmark):
    small, large = busy_corner(8, 8), busy_corner(757, 996)
    times = {"small": [], "large": []}

    def both():
        for name, fabric in (("small", small), ("large", large)):
            start = time.perf_counter()
            fabric.step(4000)
            times[name].append(time.perf_counter() - start)

    benchmark.pedantic(both, rounds=7, warmup_rounds=1)
    np.testing.assert_array_equal(small.link_counts("EAST"), large.link_counts("EAST")[:8, :8])
    benchmark.extra_info.update(goal=1.2, ratio=float(np.median(times["large"]) / np.median(times["small"])),
                                width=757, height=996)


def test_corner_to_corner(benchmark):
    """A word from the north-west corner to all PEs; then one from the far end of every row back west, one back north."""
    width, height = 750, 994
    plan = FabricPlan(width, height, "wse2")
    plan.paint(0, "RAMP", "EAST SOUTH")
    plan.paint(0, "NORTH", "EAST SOUTH RAMP", y=1, height=height - 2)
    plan.paint(0, "NORTH", "EAST RAMP", y=height - 1)
    plan.paint(0, "WEST", "EAST RAMP", x=1, width=width - 2, height=height)
    plan.paint(0, "WEST", "RAMP", x=width - 1, height=height)
    plan.paint(1, "RAMP", "WEST", x=width - 1, height=height)
    plan.paint(1, "EAST", "WEST", x=1, width=width - 2, height=height)
    plan.paint(1, "EAST", "RAMP", height=height)
    plan.paint(2, "RAMP", "NORTH", y=height - 1)
    plan.paint(2, "SOUTH", "NORTH", y=1, height=height - 2)
    plan.paint(2, "SOUTH", "RAMP")
    compiled = plan.build()

    def run():
        fabric = Fabric(compiled, "count")
        fabric.inject(0, 0, 0, [5])
        there = fabric.run_until_idle()
        fabric.inject(width - 1, np.arange(height), 1, np.ones((height, 1), int))
        fabric.run_until_idle()
        fabric.inject(0, height - 1, 2, [height])
        return there, fabric.run_until_idle(), fabric.totals()

    there, back, totals = benchmark.pedantic(run, rounds=1)
    assert there == 2 + (width - 1) + (height - 1) + 2
    assert back == there + (2 + (width - 1) + 2) + (2 + (height - 1) + 2)
    assert totals["delivered"][:3].tolist() == [width * height - 1, height, 1]
    assert totals["checksum"][0] == 5 * (width * height - 1)
    benchmark.extra_info.update(goal_seconds=5.0, width=width, height=height)


MEMORY = """
import numpy as np
from wsekern.fabric import Fabric, FabricPlan
plan = FabricPlan(762, 1172, "wse3")
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak()
for color in range(8):
    plan.paint(color, "RAMP", "EAST", height=1172)
    plan.paint(color, "WEST", "EAST RAMP", x=1, width=760, height=1172)
    plan.paint(color, "WEST", "RAMP", x=761, height=1172)
fabric = Fabric(plan, "count")
for color in range(8):
    fabric.inject(0, np.arange(1172), color, np.arange(1)[None, :])
fabric.run_until_idle()
assert fabric.totals()["delivered"].sum() == 8 * 761 * 1172
print(peak() - before)
"""


def test_memory_of_a_full_wafer(benchmark):
    """Resident memory of a full WSE-3 fabric with 8 colors, after words of all colors have passed every router."""
    done = benchmark.pedantic(subprocess.run, args=([sys.executable, "-c", MEMORY],), rounds=1,
                              kwargs={"capture_output": True, "text": True, "check": True})
    megabytes = int(done.stdout) / 1024
    benchmark.extra_info.update(goal_megabytes=600, megabytes=megabytes, width=762, height=1172, colors=8)
    assert 0 < megabytes < 600
