"""The layers of the package (``[tool.importlinter]`` in pyproject.toml), and that breaking them is noticed."""

import re
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
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


def imports_by_module(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """What each module imports. ``from wsekern.X import _kernel`` counts as nothing: grimp sees no compiled modules, and takes
    it for an import of the whole package."""

    def of_a_kernel(importer: str, imported: str) -> bool:
        details = graph.get_import_details(importer=importer, imported=imported)
        kernel = r"from \S+ import _\w+(, _\w+)*|from \S+\._\w+ import .+"
        return all(re.fullmatch(kernel, detail["line_contents"]) for detail in details)

    return {module: {name for name in graph.find_modules_directly_imported_by(module) if not of_a_kernel(module, name)}
            for module in graph.modules}


def test_no_circle_leads_through_a_package():
    """import-linter compares modules of one folder; here a module must not import its own package's public names either."""
    TopologicalSorter(imports_by_module(grimp.build_graph("wsekern", cache_dir=None))).prepare()


def test_a_circle_through_a_package_is_noticed():
    graph = grimp.build_graph("wsekern", cache_dir=None)
    graph.add_import(importer="wsekern.compare.side", imported="wsekern.compare", line_number=1,
                     line_contents="from wsekern.compare import Comparison")
    with pytest.raises(CycleError, match=r"wsekern\.compare\.side"):
        TopologicalSorter(imports_by_module(graph)).prepare()


@pytest.mark.parametrize(("file", "lines", "words"), [
    ("errors.py", "import wsekern.report", "wsekern.errors -> wsekern.report"),
    ("machine/timing.py", "def late():\n    from wsekern.fabric import plan", "wsekern.machine.timing -> wsekern.fabric.plan"),
    ("output.py", "if TYPE_CHECKING:\n    from wsekern.compare.side import Side", "wsekern.output -> wsekern.compare.side"),
    ("inference/mapping.py", "from wsekern.cluster import Gpu", "wsekern.inference.mapping -> wsekern.cluster"),
    ("compare/side.py", "def late():\n    from wsekern.compare.sweep import Cell", "No circle of imports BROKEN"),
    ("ops/lines/ring.py", "import wsekern.ops.engines.flow", "wsekern.ops.lines.ring -> wsekern.ops.engines.flow"),
    ("ops/engines/cycle.py", "from wsekern.ops.lines.ring import RingShift", "Engines import no operation BROKEN"),
    ("program/code.py", "def late():\n    import wsekern.program.layout", "wsekern.program.code -> wsekern.program.layout"),
    ("cli/run.py", "from wsekern.cli.__main__ import main", "wsekern.cli.run -> wsekern.cli.__main__"),
], ids=["at the top", "in a function", "for type checking", "beside", "in a circle", "of an engine", "of an operation",
        "in a program", "of an entry point"])
def test_an_upward_import_is_noticed(copy, file, lines, words):
    path = copy / "wsekern" / file
    path.write_text(f"{path.read_text()}\n\nfrom typing import TYPE_CHECKING\n\n{lines}\n")
    code, report = lint_imports(copy)
    assert code == 1 and words in report


def test_a_room_without_a_layer_is_noticed(copy):
    (copy / "wsekern" / "attic.py").write_text('"""A module that no layer names."""\n')
    code, report = lint_imports(copy)
    assert code == 1 and "attic" in report
