"""Lines that tests run.

    python tests/coverage/count.py c [--floor SHARE] [--add FILE.json]
    python tests/coverage/count.py python [--floor SHARE] [--add FILE.json] [TEST ...]

``c``: the C of fabric and programs, by some of its tests in C and gcov, in about ten seconds of a processor; CI holds a floor.
``python``: the package, by coverage.py and all tests, or those that are named, in the processes that they start too; it wants
``pip install "coverage>=7.10"`` and takes about twice as long as the tests alone, all of them on all cores: by hand. Where no
package is installed, that of this folder is run. Prints the share of each folder, of the package's that of each room, and the
least covered files; what no test imports counts as not run. Exit code 1 where less than ``--floor`` of all lines is run;
``--add`` keeps the figures in a file, of which docs/reliability.md is written.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))     # behind everything: the package that is tested is the installed one

from wsekern.soak.figures import keep

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
FABRIC = {"save": 150, "forge": 20, "skip": 60, "run": 60, "host": 6, "memory": 1, "abuse": 600, "threads": 2, "clock": 200,
          "connect": 40, "link": 20,
          "registers": 100}
"""Tests of the fabric in C, and how many cases of each."""
PROGRAMS = {"save": 2, "alter": 3, "memory": 1, "abuse": 3, "threads": 1, "profile": 2, "tape": 2}
"""Tests of programs in C, and how many seeds of each."""
Lines = dict[str, dict[int, bool]]
"""Of each file, the lines that have code, and whether one was run."""


def built(folder: Path, room: str, tests: Path) -> Path:
    """A program of the sources of the library that a room needs, and its tests, which counts the lines that it runs."""
    rooms = ["fabric"] if room == "fabric" else ["fabric", "program"]
    sources = {each: [path for path in sorted((SRC / each).glob("*.c")) if "_avx" not in path.name] for each in rooms}
    sources["common"] = [SRC / "common" / f"{each}.c" for each in ("simd", "status", "team", "rounds")]
    sources["tests"] = sorted(tests.glob("*.c"))
    compiler, objects = os.environ.get("CC", "cc"), []
    includes = [f"-I{SRC}", *(f"-I{SRC / each}" for each in (*rooms, "common"))]
    for each, paths in sources.items():
        (folder / each).mkdir(parents=True)
        counted = [] if each == "tests" else ["--coverage"]
        subprocess.run([compiler, "-std=gnu11", "-O0", "-DWSEKERN_TEST_ALLOC", *includes, *counted, "-c", *map(str, paths)],
                       cwd=folder / each, check=True)
        objects += sorted(map(str, (folder / each).glob("*.o")))
    subprocess.run([compiler, "--coverage", *objects, "-lpthread", "-lm", "-o", str(folder / "tests_of")], check=True)
    return folder / "tests_of"


def lines_of(folder: Path) -> Lines:
    """What gcov says of all that ran in a folder."""
    found: Lines = defaultdict(dict)
    for data in sorted(folder.glob("*/*.gcda")):
        command = ["gcov", "--json-format", "--stdout", data.name]
        said = subprocess.run(command, cwd=data.parent, check=True, capture_output=True)
        for document in said.stdout.splitlines():
            for file in json.loads(document)["files"]:
                path = (data.parent / file["file"]).resolve()
                if path.is_relative_to(SRC):
                    lines = found[str(path.relative_to(ROOT))]
                    for line in file["lines"]:
                        lines[line["line_number"]] = lines.get(line["line_number"], False) or line["count"] > 0
    return found


def of_c() -> Lines:
    """Lines of the C library of fabric and programs."""
    from tests.fuzz.test_library import operations_on_lines, random_programs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fabric = built(folder / "f", "fabric", ROOT / "tests" / "fabric" / "library")
        programs = built(folder / "p", "program", ROOT / "tests" / "program" / "library")
        for what, cases in FABRIC.items():
            subprocess.run([fabric, what, str(cases), "0"], check=True, env={**os.environ, "LD_PRELOAD": ""})
        files = []
        for number, (layout, state) in enumerate([*random_programs(), *operations_on_lines()]):
            for kind, content in (("program", layout.to_bytes()), ("state", state)):
                files.append(folder / f"{number}.{kind}")
                files[-1].write_bytes(content)
        for what, seeds in PROGRAMS.items():
            subprocess.run([programs, what, str(seeds), *map(str, files)], check=True, env={**os.environ, "LD_PRELOAD": ""})
        found = lines_of(folder / "f")
        for path, lines in lines_of(folder / "p").items():
            for number, ran in lines.items():
                found[path][number] = found[path].get(number, False) or ran
        return found


def of_python(tests: list[str]) -> Lines:
    """Lines of the package."""
    import wsekern

    with tempfile.TemporaryDirectory() as name:
        folder, package = Path(name), Path(wsekern.__file__).parent
        (folder / "settings").write_text(f"[run]\nsource = {package}\ndata_file = {folder / 'data'}\nparallel = true\n"
                                         "patch = subprocess\n")
        run = [sys.executable, "-P", "-m", "coverage"]

        def coverage(*words: str, check: bool = True) -> None:
            subprocess.run([*run, words[0], f"--rcfile={folder / 'settings'}", *words[1:]], cwd=ROOT, check=check,
                           env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(package.parent)})

        coverage("run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tests or ["tests"]), check=False)
        coverage("combine", "-q")
        coverage("json", "-q", "-o", str(folder / "found"))
        files = json.loads((folder / "found").read_text())["files"]
    return {str(Path("wsekern") / (Path(ROOT / path).resolve().relative_to(package))):
            {**dict.fromkeys(file["missing_lines"], False), **dict.fromkeys(file["executed_lines"], True)}
            for path, file in files.items()}


def shares(found: Lines, tests: str, depth: int) -> dict[str, dict[str, Any]]:
    """Of each folder of some depth: lines that have code, lines that were run."""
    rows: dict[str, dict[str, Any]] = {}
    for path, lines in sorted(found.items()):
        folder = "/".join(Path(path).parts[:-1][:depth])
        row = rows.setdefault(folder, {"tests": tests, "lines": 0, "run": 0})
        row["lines"] += len(lines)
        row["run"] += sum(lines.values())
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["c", "python"])
    parser.add_argument("--floor", type=float, default=0.0)
    parser.add_argument("--add", type=Path)
    asked, tests = parser.parse_known_args()
    found = of_c() if asked.what == "c" else of_python(tests)
    words = "in C" if asked.what == "c" else " ".join(tests) or "all"
    rows = shares(found, words, 2 if asked.what == "c" else 1)
    for name, row in shares(found, words, 2).items():
        print(f"{name:20} {row['run']:7,} of {row['lines']:7,} lines run: {row['run'] / max(1, row['lines']):.1%}")
    share = sum(row["run"] for row in rows.values()) / max(1, sum(row["lines"] for row in rows.values()))
    print(f"all: {share:.1%}, at least {asked.floor:.0%} wanted")
    least = sorted((sum(lines.values()) / len(lines), path) for path, lines in found.items() if lines)[:8]
    print("least covered: " + ", ".join(f"{path} {share:.0%}" for share, path in least))
    if asked.add:
        keep(asked.add, "coverage", rows)
    return int(share < asked.floor)


if __name__ == "__main__":
    sys.exit(main())
