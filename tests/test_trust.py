"""What SECURITY.md promises of the code itself: nothing is unpickled or evaluated, and nothing goes out to a network."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wsekern

PACKAGE = Path(wsekern.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "socket", "ssl", "http", "urllib",
                     "requests", "ftplib", "telnetlib", "xmlrpc"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
WATCH = """
import sys
from wsekern.cli import main

def hook(event, arguments):
    if event.startswith(("socket.", "pickle.", "os.system", "webbrowser.", "urllib.")):
        print("FORBIDDEN", event, flush=True)

sys.addaudithook(hook)
STATEMENT
"""


def names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """(modules that a file imports, functions that it calls by a bare name)."""
    modules = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return modules, calls


def test_no_module_unpickles_evaluates_or_connects():
    for path in MODULES:
        modules, calls = names(ast.parse(path.read_text()))
        assert not modules & FORBIDDEN_MODULES, f"{path.name} imports {modules & FORBIDDEN_MODULES}"
        assert not calls & FORBIDDEN_CALLS, f"{path.name} calls {calls & FORBIDDEN_CALLS}"
        assert not re.search(r"allow_pickle(?!=False)", path.read_text()), f"{path.name} lets numpy unpickle"


ALONE = {"calibration/measure.py", "calibration/extracts.py"}
"""Scripts that run where wsekern is not installed."""
ELSEWHERE = {"output.py", "sdk/shell.py"}
"""The one place that writes files; and what writes into a folder of its own that is thrown away."""


def test_every_file_is_written_whole_or_not_at_all():
    """By :func:`wsekern.output.write_file` and nothing else: no file is opened to be written, nor drawn into."""
    for path in MODULES:
        if path.relative_to(PACKAGE).as_posix() in ALONE | ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                given = [*node.args, *(key.value for key in node.keywords)]
                modes = {one.value for one in given if isinstance(one, ast.Constant)}
                opened = name == "open" and modes & {"w", "wb", "a", "x", "wt", "r+b", "w+b"}
                drawn = name == "savefig" and getattr(node.args[0], "id", "") != "buffer"
                devnull = "devnull" in ast.unparse(node)
                assert devnull or not (opened or drawn or name in ("write_text", "write_bytes", "tofile", "to_csv")), \
                    f"{path.name}, line {node.lineno}: {ast.unparse(node)[:80]}"


def watched(statement: str, *arguments: str) -> str:
    """What a process prints that runs ``statement`` while it is watched."""
    done = subprocess.run([sys.executable, "-c", WATCH.replace("STATEMENT", statement), *arguments], capture_output=True,
                          text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", ["compare llama3-8b --json -", "run sample --prompt The --tokens 1",
                                     "predict gpu llama3-8b --phase decode --gpu h100 --context 100 --json -"])
def test_commands_open_no_connection_and_unpickle_nothing(command):
    assert "FORBIDDEN" not in watched("main()", *command.split())


def test_the_watch_sees_what_it_forbids():
    seen = watched("import socket, pickle; socket.socket().close(); pickle.loads(b'cos\\ngetpid\\n.')")
    assert "socket.__new__" in seen and "pickle.find_class" in seen
