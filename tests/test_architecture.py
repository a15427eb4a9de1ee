"""The layers of the package (``[tool.importlinter]`` in pyproject.toml), and that breaking them is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> tuple[int, str]:
    """Exit code and report of import-linter on ``folder``, which holds a pyproject.toml and the package's sources."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """A copy of the package's Python files and its contracts."""
    shutil.copytree(ROOT / "wsekern", tmp_path / "wsekern", ignore=lambda folder, names: [
        name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_calls_go_downward_only_without_circles():
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(("file", "lines", "words"), [
    ("errors.py", "import wsekern.report", "wsekern.errors -> wsekern.report"),
    ("machine/timing.py", "def late():\n    from wsekern.fabric import plan", "wsekern.machine.timing -> wsekern.fabric.plan"),
    ("output.py", "if TYPE_CHECKING:\n    from wsekern.compare.side import Side", "wsekern.output -> wsekern.compare.side"),
    ("inference/mapping.py", "from wsekern.cluster import Gpu", "wsekern.inference.mapping -> wsekern.cluster"),
    ("compare/side.py", "def late():\n    from wsekern.compare.sweep import Cell", "No circle of imports BROKEN"),
    ("cli/run.py", "from wsekern.cli.__main__ import main", "wsekern.cli.run -> wsekern.cli.__main__"),
], ids=["at the top", "in a function", "for type checking", "beside", "in a circle", "of an entry point"])
def test_an_upward_import_is_noticed(copy, file, lines, words):
    path = copy / "wsekern" / file
    path.write_text(f"{path.read_text()}\n\nfrom typing import TYPE_CHECKING\n\n{lines}\n")
    code, report = lint_imports(copy)
    assert code == 1 and words in report


def test_a_room_without_a_layer_is_noticed(copy):
    (copy / "wsekern" / "attic.py").write_text('"""A module that no layer names."""\n')
    code, report = lint_imports(copy)
    assert code == 1 and "attic" in report
