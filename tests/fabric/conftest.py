"""What the tests of the fabric share."""

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
    sources += [SRC / "common" / "simd.c", SRC / "common" / "status.c", SRC / "common" / "team.c", SRC / "common" / "rounds.c",
                *sorted(HERE.glob("*.c"))]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-g", "-DWSEKERN_TEST_ALLOC",
               *([f"-fsanitize={watched}", "-fno-sanitize-recover=all", "-O1"] if watched else ["-O0"]),
               *(f"-I{folder}" for folder in (SRC, SRC / "fabric", SRC / "common")), *map(str, sources),
               "-lpthread", "-o", str(out)]
    try:
        subprocess.run(command, check=True, env={**os.environ, "LD_PRELOAD": ""})
    except FileNotFoundError:
        pytest.skip(f"{command[0]}: no C compiler here")
    return out
