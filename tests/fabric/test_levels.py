"""Every SIMD level that this machine has moves the same words in the same cycles, each by code of its own (``step_*.c``)."""

import os
import subprocess
import sys

import pytest

import wsekern

LEVELS = ("base", "avx2", "avx512")

RUNS = """
import hashlib
import numpy as np
from wsekern.fabric import Fabric, FabricPlan

def lines(sink):
    # rows and columns cross and wait for each other, each PE hears their words; words of two more colors meet nobody
    plan = FabricPlan(150, 70, "wse2")
    plan.paint(0, "RAMP", "EAST", height=70)
    plan.paint(0, "WEST", "EAST RAMP", x=1, width=148, height=70)
    plan.paint(0, "WEST", "RAMP", x=149, height=70)
    plan.paint(1, "RAMP", "SOUTH", width=150)
    plan.paint(1, "NORTH", "SOUTH RAMP", y=1, width=150, height=68)
    plan.paint(1, "NORTH", "RAMP", y=69, width=150)
    for color, (come, go, first, last) in enumerate([("WEST", "EAST", 0, 149), ("EAST", "WEST", 149, 0)], 2):
        plan.paint(color, "RAMP", go, x=first, height=70)
        plan.paint(color, come, go, x=1, width=148, height=70)
        plan.paint(color, come, "RAMP", x=last, height=70)
    return Fabric(plan, sink)

def seen(fabric):
    digest = hashlib.sha256()
    for name, values in fabric.totals().items():
        digest.update(name.encode() + values.tobytes())
    for port in ("NORTH", "EAST", "SOUTH", "WEST", "RAMP"):
        digest.update(fabric.link_counts(port).tobytes())
    digest.update(repr(fabric.drain().tolist()).encode())
    return digest.hexdigest()

rng = np.random.default_rng(5)
for sink in ("count", "log"):
    fabric = lines(sink)
    fabric.inject(0, np.arange(70), 0, np.arange(300)[None, :])
    for round in range(6):
        fabric.inject(np.arange(0, 150, 7), 0, 1, np.arange(9)[None, :])
        for place in rng.choice(140, 60, replace=False).tolist():
            fabric.offer(149 * (place % 2), place // 2, 2 + place % 2, place)
        fabric.step(29)
    print(fabric.cycle, seen(fabric))
"""


def runs(level: str) -> str:
    environment = {**os.environ, "WSEKERN_SIMD": level}
    done = subprocess.run([sys.executable, "-c", RUNS], env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_levels_change_nothing():
    if wsekern.simd_level() == "base":
        pytest.skip("no other level here")
    here = LEVELS[:LEVELS.index(wsekern.simd_level()) + 1]
    expected = runs("base")
    assert len(expected.split()) == 4
    assert {level: runs(level) for level in here} == dict.fromkeys(here, expected)
