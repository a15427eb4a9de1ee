"""Every kernel gives the same bits at every SIMD level of this machine and for one and two threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("digest.py")


def run(level: str | None, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "WSEKERN_SIMD"}
    if level:
        environment["WSEKERN_SIMD"] = level
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)


def levels() -> list[str]:
    """The levels that this machine has."""
    highest = run(None, "-c", "import wsekern; print(wsekern.simd_level())").stdout.strip()
    names = ["base", "avx2", "avx512"]
    return names[:names.index(highest) + 1]


@pytest.fixture(scope="module")
def base() -> list[str]:
    return digest("base")


def digest(level: str | None) -> list[str]:
    done = run(level, str(SCRIPT))
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == (level or levels()[-1])
    return done.stdout.splitlines()


@pytest.mark.parametrize("level", [*levels(), None], ids=lambda level: level or "unforced")
def test_same_bits(level: str | None, base: list[str]):
    """Unforced, fp16 products may use the CPU's own fp16 arithmetic."""
    assert len(base) > 100
    assert [line for line in digest(level) if line not in base] == []
