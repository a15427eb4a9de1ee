"""Idle threads sleep, so that they take no core from those that work, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

SHOWS = "import os, wsekern; print('left', os.environ.get('OMP_WAIT_POLICY'))"


def policy(**given: str) -> tuple[str, str]:
    """What OpenMP says that it was told, and what programs started from here would inherit."""
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", SHOWS], env={**clean, **given, "OMP_DISPLAY_ENV": "verbose"}, check=True,
                          capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    if not said:
        pytest.skip("this OpenMP does not show its settings")
    return said[0].partition("=")[2].strip(" '"), done.stdout.split()[-1]


def test_idle_threads_sleep():
    assert policy() == ("PASSIVE", "None")


def test_the_users_own_policy_holds():
    assert policy(OMP_WAIT_POLICY="active") == ("ACTIVE", "active")
