"""The package's own threads: a fork after threaded work goes on, and no kernel brings a thread library of its own."""

import os
import subprocess
import sys

FORKS = """
import os, threading
import numpy as np
from wsekern import tiles
from wsekern.fabric import Fabric, FabricPlan
from wsekern.ops._values import line_values

def work():
    ones = np.ones((8, 8, 16, 16), np.float32)
    product = tiles.gemm(ones, ones, threads=3)
    line, out = np.ones(8 * 64, np.float32), np.zeros(8 * 64, np.float32)
    line_values("allreduce", "fp32", "sum", 1, 8, 64, 8, (1,), False, line.view(np.uint8), out.view(np.uint8), 3)
    plan = FabricPlan(4, 200, "wse2")
    plan.paint(1, "RAMP", "SOUTH", y=0, height=1)
    plan.paint(1, "NORTH", "SOUTH", y=1, height=198)
    plan.paint(1, "NORTH", "RAMP", y=199, height=1)
    fabric = Fabric(plan, threads=3)
    fabric.inject(0, 0, 1, np.arange(4, dtype=np.uint32))
    fabric.run_until_idle()
    return product[0, 0, 0, 0] == 16 and (out == 8).all() and fabric.state.totals()["delivered"][1] == 4

assert work()
stop = threading.Event()
beside = threading.Thread(target=lambda: [work() for _ in iter(stop.is_set, True)]) if BESIDE else None
if beside:
    beside.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() and work() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert work()
stop.set()
if beside:
    beside.join()
print("libgomp" in open("/proc/self/maps").read())
"""


def run(beside: bool) -> str:
    """What the program prints: the children end, and warnings are errors (Python's own, of a fork beside threads, included)."""
    warnings = [] if beside else ["-W", "error"]
    done = subprocess.run([sys.executable, *warnings, "-c", FORKS.replace("BESIDE", str(beside))], timeout=60, text=True,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fork_after_threaded_work_finds_no_thread_and_makes_its_own():
    assert run(beside=False) == "False\n", "no kernel loads OpenMP"


def test_a_fork_while_another_thread_has_a_team_at_work():
    run(beside=True)
