"""Public programs in a folder, run as they are: ``python -m wsekern.csl.suite PATH``.

Every ``commands_wse2.sh`` and ``commands_wse3.sh`` below PATH runs unmodified on a copy of what lies around it; a line a
program says whether it passed its own check, in how many seconds, or why not.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wsekern.output import run_and_exit


@dataclass(frozen=True)
class Result:
    """Of a script: whether it ended well, in seconds, and the last that it said."""

    name: str
    passed: bool
    seconds: float
    said: str


def scripts_of(root: Path, arch: str, names: tuple[str, ...]) -> list[Path]:
    """Scripts below a folder, of a generation or of both."""
    kinds = ("wse2", "wse3") if arch == "both" else (arch,)
    found = sorted(path for kind in kinds for path in root.rglob(f"commands_{kind}.sh"))
    return [path for path in found if not names or any(name in str(path) for name in names)]


def run(script: Path, root: Path, seconds: float) -> Result:
    """Run a script in a copy of the folder two above it, where its relative paths lead."""
    top = script.parent.parent if script.parent != root else root
    with tempfile.TemporaryDirectory(prefix="wsekern-suite-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(top, copy, symlinks=True, ignore=_others(top, script.parent))
        command = [sys.executable, "-P", "-m", "wsekern.cli", "sdk", "bash", script.name]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=copy / script.parent.relative_to(top), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            said, _ = process.communicate(timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, status = f"it runs for more than {seconds:g} s", 1
            process.communicate()
        taken = time.perf_counter() - began
    lines = [line for line in said.strip().splitlines() if line.strip()]
    reason = next((line for line in lines if "error:" in line or "Error:" in line), lines[-1] if lines else "")
    name = f"{script.parent.relative_to(root)} {script.stem.removeprefix('commands_')}"
    return Result(name, status == 0, taken, reason.strip())


def _others(top: Path, chosen: Path) -> Callable[[str, list[str]], set[str]]:
    """Leave out the folders of other programs, which have scripts of their own."""
    def ignore(folder: str, names: list[str]) -> set[str]:
        if Path(folder) != top:
            return {name for name in names if name == ".git"}
        return {name for name in names if (top / name) != chosen and any((top / name).glob("commands_wse*.sh"))}

    return ignore


def main() -> int:
    """Run them all; 0 where all passed."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.csl.suite", description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("names", nargs="*", help="parts of paths: only scripts with one of them")
    parser.add_argument("--arch", choices=("wse2", "wse3", "both"), default="both")
    parser.add_argument("--seconds", type=float, default=300.0, help="limit of a script")
    given = parser.parse_intermixed_args()
    scripts = scripts_of(given.path, given.arch, tuple(given.names))
    if not scripts:
        print(f"no commands_wse2.sh or commands_wse3.sh below {given.path}", file=sys.stderr)
        return 2
    passed = 0
    for script in scripts:
        result = run(script, given.path, given.seconds)
        passed += result.passed
        print(f"{'passed' if result.passed else 'FAILED'} {result.name:50s} {result.seconds:6.1f} s"
              + ("" if result.passed else f"  {result.said[:200]}"), flush=True)
    print(f"{passed} of {len(scripts)} passed")
    return 0 if passed == len(scripts) else 1


if __name__ == "__main__":
    run_and_exit(main)
