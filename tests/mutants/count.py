"""Mutants of numerics, by hand: one operator, number or condition of a module is another one, and its tests should fail.

    python tests/mutants/count.py N [--only MODULE] [--seed S] [--seconds S] [--add FILE.json]

takes N places of each module by chance (all, if there are fewer), changes one at a time and runs the module's tests in a child
process that imports the changed source. Prints how many were killed, and each that survived with its line. What stands in
docstrings, types and messages of errors is not changed. ``--add`` puts the figures into a file, of which docs/reliability.md is
written.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import hypothesis.strategies  # noqa: F401  (what every child would import anew)
import msgspec  # noqa: F401
import numpy  # noqa: F401
import pytest

sys.path.append(str(Path(__file__).parents[2]))     # behind everything: the package that is tested is the installed one

from wsekern.soak.figures import keep

ROOT = Path(__file__).parents[2]
LONGER = 5
"""Times the processor's time of the tests as they are: a mutant whose tests take longer is killed too."""

TARGETS = {
    "wsekern/number_formats.py": ("tests/test_number_formats.py", "tests/tiles/test_half.py"),
    "wsekern/machine/timing.py": ("tests/machine/test_timing.py", "tests/machine", "tests/program/test_timing.py"),
    "wsekern/cluster/kernels.py": ("tests/cluster/test_kernels.py", "tests/validation/test_gpu_kernels.py"),
    "wsekern/inference/mapping.py": (
        "tests/inference/test_memory.py", "tests/inference/test_mapping.py", "tests/inference/test_predict.py"),
}
"""Modules, and the tests that should notice: the first ones first, the others where these do not."""

SAME = {
    ("wsekern/machine/timing.py", "step * words >= frame -> step * words > frame"):
        "where they are equal, both ways count alike",
}
"""Mutants that no test can notice, since they do what the module does; and why."""

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or,
    ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
NAMES = {"min": "max", "max": "min", "floor": "ceil", "ceil": "floor", "any": "all", "all": "any"}


def changed(node: ast.AST) -> ast.AST | None:
    """The node with one thing changed; None where nothing is."""
    new: Any = copy.deepcopy(node)
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        new.op = SWAPS[type(node.op)]()
        return new
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        new.ops[0] = SWAPS[type(node.ops[0])]()
        return new
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        new.value = not node.value if isinstance(node.value, bool) else node.value + 1
        return new
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return new.operand
    if isinstance(node, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
        return new
    if isinstance(node, ast.Name) and node.id in NAMES:
        new.id = NAMES[node.id]
        return new
    return None


def fields_of(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """What of a node may be changed: no types, no messages of errors, no text that is shown."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Global):
        return
    hidden = {"annotation", "returns", "decorator_list", "bases", "type_params"}
    yield from ((name, value) for name, value in ast.iter_fields(node) if name not in hidden)


def places(node: ast.AST, at: tuple = ()) -> Iterator[tuple]:
    """Ways to all nodes that can be changed."""
    for name, value in fields_of(node):
        for number, inner in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(inner, ast.AST):
                way = (*at, (name, number))
                if changed(inner) is not None:
                    yield way
                yield from places(inner, way)


def mutant(tree: ast.Module, way: tuple) -> tuple[ast.Module, str]:
    """The tree with the node at a place changed, and what was changed."""
    tree = copy.deepcopy(tree)
    holder: Any = tree
    for name, number in way[:-1]:
        holder = getattr(holder, name) if number is None else getattr(holder, name)[number]
    name, number = way[-1]
    before = getattr(holder, name) if number is None else getattr(holder, name)[number]
    after = ast.copy_location(changed(before), before)
    if number is None:
        setattr(holder, name, after)
    else:
        getattr(holder, name)[number] = after
    return ast.fix_missing_locations(tree), f"line {before.lineno}: {ast.unparse(before)[:60]} -> {ast.unparse(after)[:60]}"


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module as its changed tree."""

    def __init__(self, module: str, path: Path, tree: ast.Module):
        self._module, self._path, self._tree = module, path, tree

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The module's own spec, but for who executes it."""
        return importlib.util.spec_from_file_location(name, self._path, loader=self) if name == self._module else None

    def create_module(self, spec: Any) -> None:
        """As always."""

    def exec_module(self, module: Any) -> None:
        """Of the changed tree."""
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)


def tested(target: str, tree: ast.Module | None, place: Path, limit: float) -> tuple[bool, float]:
    """Whether the tests of a module pass with a tree of it, and the processor's time that they took, ``limit`` s at most."""
    process = os.fork()
    if process == 0:
        code = 99
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            signal.setitimer(signal.ITIMER_PROF, limit)
            if tree is not None:
                sys.meta_path.insert(0, Changed(target.removesuffix(".py").replace("/", "."), place, tree))
            options = ["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
            code = next((code for code in (int(pytest.main([*options, tests])) for tests in TARGETS[target]) if code), 0)
        finally:
            os._exit(code)
    _, status, used = os.wait4(process, 0)
    return status == 0, used.ru_utime + used.ru_stime


def count(target: str, most: int, random: Random, seconds: float) -> dict[str, Any]:
    """Mutants of a module by chance, as many as the time allows: how many there could be, were tried, and killed."""
    began = time.monotonic()
    spec = importlib.util.find_spec("wsekern")
    place = Path(spec.origin).parents[1] / target
    tree = ast.parse(place.read_text())
    ways = list(places(tree))
    survivors, tried = [], 0
    passed, used = tested(target, None, place, 600)
    if not passed:
        raise SystemExit(f"{target}: its tests fail as it is")
    for way in random.sample(ways, min(most, len(ways))):
        if time.monotonic() - began > seconds:
            break
        made, what = mutant(tree, way)
        lives, tried = tested(target, made, place, LONGER * used + 5)[0], tried + 1
        reason = SAME.get((target, what.partition(": ")[2]))
        survivors += [f"{what} (does the same: {reason})" if reason else what] * lives
        print(f"    {'survived' if lives else 'killed'}: {target} {what}", flush=True)
    return {"places": len(ways), "mutants": tried, "killed": tried - len(survivors), "survivors": survivors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mutants", type=int, help="of each module")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="for each module")
    parser.add_argument("--add", type=Path)
    asked = parser.parse_args()
    os.chdir(ROOT)
    os.environ["CI"] = "true"       # Hypothesis tries the same examples on every mutant
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for target in asked.only or TARGETS:
        began = time.monotonic()
        found = count(target, asked.mutants, Random(f"{target} {asked.seed}"), asked.seconds)
        share = found["killed"] / max(1, found["mutants"])
        print(f"{target:32} {found['mutants']:4} of {found['places']:4} mutants, {found['killed']:4} killed: {share:.0%} "
              f"({time.monotonic() - began:,.0f} s)", flush=True)
        if asked.add:
            keep(asked.add, "mutants", {target: found})


if __name__ == "__main__":
    main()
