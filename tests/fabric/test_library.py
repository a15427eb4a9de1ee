"""The C library of the fabric, tested from C (``library``): no Python in it, its allocations counted and each failing once."""

import os
import subprocess
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
HERE = Path(__file__).parent / "library"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests and the library in one program. ``WSEKERN_TEST_SANITIZE`` names sanitizers to watch it (``.ci/sanitize``)."""
    out = tmp_path_factory.mktemp("library") / "library_test"
    watched = os.environ.get("WSEKERN_TEST_SANITIZE")
    sources = [path for path in sorted((SRC / "fabric").glob("*.c")) if "_avx" not in path.name]
    sources += [*(SRC / "common" / name for name in ("simd.c", "status.c", "team.c")), *sorted(HERE.glob("*.c"))]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-g", "-DWSEKERN_TEST_ALLOC",
               *([f"-fsanitize={watched}", "-fno-sanitize-recover=all", "-O1"] if watched else ["-O0"]),
               *(f"-I{folder}" for folder in (SRC, SRC / "fabric", SRC / "common")), *map(str, sources),
               "-lpthread", "-o", str(out)]
    try:
        subprocess.run(command, check=True, env={**os.environ, "LD_PRELOAD": ""})
    except FileNotFoundError:
        pytest.skip(f"{command[0]}: no C compiler here")
    return out


@pytest.mark.parametrize(("what", "cases"), [
    pytest.param("save", 1000, id="saved, loaded with other threads, altered, cut: the same end bit for bit, or refused"),
    pytest.param("forge", 40, id="bytes that were altered and signed anew: refused, or a state that can be stepped"),
    pytest.param("skip", 200, id="from event to event as step by step, and blocked words known as such"),
    pytest.param("run", 200, id="a run stops for the reasons that a host would find"),
    pytest.param("host", 30, id="queues, credit, callbacks and sentences for a host"),
    pytest.param("memory", 2, id="every allocation fails once: a status, and nothing leaks"),
    pytest.param("abuse", 1000, id="anything for any argument: a status"),
    pytest.param("threads", 8, id="fabrics of one plan and of several in several threads"),
    pytest.param("clock", 1000, id="two clocks never drift"),
    pytest.param("connect", 150, id="ways lead to their destinations, whatever allocation failed; anything else: a status"),
    pytest.param("link", 150, id="a run of two wafers is its single steps; anything for any argument: a status"),
])
def test_the_c_library(library: Path, what: str, cases: int):
    done = subprocess.run([str(library), what, str(cases), "0"], capture_output=True, text=True,
                          env={**os.environ, "LD_PRELOAD": "", "ASAN_OPTIONS": "detect_leaks=1"})
    assert (done.returncode, done.stderr) == (0, "")
