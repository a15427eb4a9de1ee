"""``cslc``, ``sdk_debug_shell`` and ``cs_python`` for one command: small scripts in a temporary folder, first on its path."""

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
from typing import IO

from wsekern.errors import InputError
from wsekern.sdk.left import WANTED

MARKS = """wsekern_mark() {
    case "$BASH_COMMAND" in
        %python*)
            shopt -s extdebug
            case "$BASH_COMMAND" in *' '*) set -- "${BASH_COMMAND#* }" ;; *) set -- "" ;; esac
            eval "cs_python run.py $1" || exit $?
            return 1 ;;
    esac
}
trap 'wsekern_mark || ! :' DEBUG
"""
"""What bash reads first where a script has lines such as ``%python_sdk_paint --arch=wse3``: marks that the tests of the vendor
replace by the Python of the SDK and the script ``run.py``, published as they are."""

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
        _script(Path(folder) / "sdk_debug_shell", 'case "$1" in compile) shift; exec cslc "$@" ;; esac; '
                                                  'echo "sdk_debug_shell: expected compile, found \'$1\'" >&2; exit 2')
        for name in ("python", "python3"):
            shutil.copy(Path(folder) / "cs_python", Path(folder) / name)
        yield {**os.environ, WANTED: "1", "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run(command: list[str], more: dict[str, str] | None = None, out: IO[str] | None = None) -> int:
    """Run a command with the tools, and ``more`` in its environment; its exit status. What it prints goes ``out``, or where
    ours does."""
    with tools() as environment:
        environment |= more or {}
        if _has_marks(command):
            folder = Path(environment["PATH"].split(os.pathsep)[0])
            (folder / "marks.sh").write_text(MARKS)
            environment["BASH_ENV"] = str(folder / "marks.sh")
        try:
            return subprocess.run(command, env=environment, stdout=out, check=False).returncode
        except FileNotFoundError:
            raise InputError(f"no command {command[0]!r}") from None


def _has_marks(command: list[str]) -> bool:
    """Whether a command is a script of bash with lines that begin with ``%python``."""
    script = next((Path(each) for each in command[1:] if not each.startswith("-")), None)
    if Path(command[0]).name != "bash" or script is None or not script.is_file():
        return False
    return any(line.lstrip().startswith("%python") for line in script.read_text(errors="replace").splitlines())
