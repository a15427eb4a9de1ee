"""``cslc`` and ``cs_python`` for one command: two small scripts in a temporary folder that is first on its path."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from wsekern.errors import InputError

SHIM = Path(str(files("wsekern.sdk"))) / "shim"


@contextmanager
def tools() -> Iterator[dict[str, str]]:
    """An environment in which scripts find the two tools and modules; nothing is installed by these names."""
    with tempfile.TemporaryDirectory(prefix="wsekern-sdk-") as folder:
        python, source = shlex.quote(sys.executable), Path(str(files("wsekern"))).parent
        here = shlex.quote(str(source))
        _script(Path(folder) / "cslc", f'PYTHONPATH={here}:"$PYTHONPATH" exec {python} -m wsekern.sdk.cslc "$@"')
        _script(Path(folder) / "cs_python", f'unset PYTHONSAFEPATH; PYTHONPATH={shlex.quote(str(SHIM))}:{here}:"$PYTHONPATH" '
                                            f'exec {python} "$@"')
        for name in ("python", "python3"):
            shutil.copy(Path(folder) / "cs_python", Path(folder) / name)
        yield {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run(command: list[str]) -> int:
    """Run a command with the tools; its exit status."""
    with tools() as environment:
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except FileNotFoundError:
            raise InputError(f"no command {command[0]!r}") from None
