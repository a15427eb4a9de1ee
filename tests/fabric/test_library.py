"""The C library of the fabric, tested from C (``library``): no Python in it, its allocations counted and each failing once."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(("what", "cases"), [
    pytest.param("save", 1000, id="saved, loaded with other threads, altered, cut: the same end bit for bit, or refused"),
    pytest.param("forge", 40, id="bytes that were altered and signed anew: refused, or a state that can be stepped"),
    pytest.param("skip", 200, id="from event to event as step by step, and blocked words known as such"),
    pytest.param("run", 120, id="a run stops for the reasons that a host would find"),
    pytest.param("host", 12, id="queues, credit, callbacks and sentences for a host"),
    pytest.param("memory", 2, id="every allocation fails once: a status, and nothing leaks"),
    pytest.param("abuse", 1000, id="anything for any argument: a status"),
    pytest.param("threads", 8, id="fabrics of one plan and of several in several threads"),
    pytest.param("registers", 200, id="registers of routers: what was written is read, or nothing was written"),
    pytest.param("clock", 1000, id="two clocks never drift"),
])
def test_the_c_library(library: Path, what: str, cases: int):
    done = subprocess.run([str(library), what, str(cases), "0"], capture_output=True, text=True,
                          env={**os.environ, "LD_PRELOAD": "", "ASAN_OPTIONS": "detect_leaks=1"})
    assert (done.returncode, done.stderr) == (0, "")
