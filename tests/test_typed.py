"""What a type checker sees: every public name has a type, and stubs of compiled modules are complete."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wsekern

PACKAGE = Path(wsekern.__file__).parent


def _consumer() -> str:
    """A program that asks the type of every public name of every package."""
    lines = []
    packages = [wsekern.__name__, *sorted(m.name for m in pkgutil.walk_packages(wsekern.__path__, "wsekern.") if m.ispkg)]
    for package in packages:
        names = getattr(importlib.import_module(package), "__all__", [])
        alias = package.replace(".", "_")
        lines += [f"import {package} as {alias}"] * bool(names) + [f"reveal_type({alias}.{name})" for name in names]
    return "\n".join(lines) + "\n"


def _check(tmp_path: Path, *command: str) -> tuple[int, int, str]:
    """Names asked, types told, and all that the checker says."""
    consumer = tmp_path / "consumer.py"
    consumer.write_text(_consumer())
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(PACKAGE.parent)]}))
    environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)}
    if PACKAGE.parent.name != "site-packages":  # a working tree; mypy refuses to be told of a folder that it finds by itself
        environment["MYPYPATH"] = str(PACKAGE.parent)
    result = subprocess.run([sys.executable, "-m", *command, str(consumer)], capture_output=True, text=True, cwd=tmp_path,
                            env=environment, timeout=600)
    said = result.stdout + result.stderr
    told = len(re.findall(r"Revealed type is|information: Type of", said))
    return consumer.read_text().count("reveal_type"), told, said


def test_mypy_knows_every_public_name(tmp_path):
    pytest.importorskip("mypy")
    asked, told, said = _check(tmp_path, "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"))
    assert asked == told > 200, said[-2000:]
    errors = [line for line in said.splitlines() if ": error:" in line]
    assert not errors, errors[:10]
    untyped = [line for line in said.splitlines() if re.search(r'Revealed type is "Any"', line)]
    assert not untyped, untyped[:10]


@pytest.mark.by_hand
def test_pyright_knows_every_public_name(tmp_path):
    pytest.importorskip("pyright")
    asked, told, said = _check(tmp_path, "pyright", "--pythonpath", sys.executable)
    assert asked == told > 200, said[-2000:]
    wrong = [line for line in said.splitlines() if " error:" in line or re.search(r'is "(Any|Unknown)"', line)]
    assert not wrong, wrong[:10]
