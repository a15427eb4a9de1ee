"""The C library of the fabric, tested from C (``library``): no Python in it, every allocation failing once, watched by gcc's
sanitizers, leaks included, where they are there."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from wsekern.fabric import _routing

SRC = Path(__file__).parents[2] / "src"
HERE = Path(__file__).parent / "library"


def compiled(folder: Path, options: Sequence[str]) -> Path | None:
    """The tests and the library, compiled together with ``options``; None where this compiler cannot."""
    sources = [path for path in sorted((SRC / "fabric").glob("*.c")) if "_avx" not in path.name]
    sources += [SRC / "common" / "simd.c", SRC / "common" / "status.c", *sorted(HERE.glob("*.c"))]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-g", "-Wall", "-DWSEKERN_TEST_ALLOC", *options,
               *(f"-I{SRC / name}" for name in ("", "fabric", "common")), *map(str, sources), "-lpthread"]
    out = folder / "library_test"
    try:
        done = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip(f"{command[0]}: no C compiler here")
    if done.returncode and "sanitize" not in done.stderr and "asan" not in done.stderr:
        pytest.fail(done.stderr)
    return None if done.returncode else out


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    watched = os.environ.get("WSEKERN_TEST_SANITIZE", "address,undefined")
    plain = compiled(folder, [f"-fsanitize={watched}", "-fno-sanitize-recover=all"]) or compiled(folder, [])
    assert plain is not None
    return plain


@pytest.mark.parametrize(("what", "cases"), [
    pytest.param("save", 1000, id="saved, loaded with other threads, altered, cut: the same end bit for bit, or refused"),
    pytest.param("skip", 400, id="from event to event as step by step, and blocked words known as such"),
    pytest.param("run", 400, id="a run stops for the reasons that a host would find"),
    pytest.param("host", 30, id="queues, credit, callbacks and sentences for a host"),
    pytest.param("memory", 2, id="every allocation fails once: a status, and nothing leaks"),
    pytest.param("abuse", 1000, id="anything for any argument: a status"),
    pytest.param("threads", 8, id="fabrics of one plan and of several in several threads"),
    pytest.param("clock", 1000, id="two clocks never drift"),
])
def test_the_c_library(library: Path, what: str, cases: int):
    done = subprocess.run([str(library), what, str(cases), "0"], capture_output=True, text=True,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"})
    assert (done.returncode, done.stderr) == (0, "")


def test_python_and_c_have_one_sentence_for_a_report():
    assert _routing.PORTS == ("N", "E", "S", "W", "RAMP")
