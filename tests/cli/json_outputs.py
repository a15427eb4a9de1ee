"""The JSON of every command in ``commands.txt``, to compare two builds of the package.

    python tests/cli/json_outputs.py FOLDER

runs each line with the wsekern that this Python imports and writes FOLDER/01.json, FOLDER/02.json, ... Run it once with the
build before a change and once with the build after it: ``diff -r BEFORE AFTER`` shows which results have changed.
"""

import contextlib
import io
import shlex
import sys
from pathlib import Path

COMMANDS = [shlex.split(line) for line in Path(__file__).with_name("commands.txt").read_text().splitlines()]
"""Arguments of every command without ``--json -``."""


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and standard output of ``wsekern ARGUMENTS --json -``, run in this process as its entry point runs it."""
    from wsekern.cli import main

    before, sys.argv = sys.argv, ["wsekern", *arguments, "--json", "-"]
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            main()
    except SystemExit as end:
        return end.code, output.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("the entry point ends with SystemExit")


def main(folder: Path) -> int:
    """Write the JSON of every command into ``folder``; returns how many commands failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for number, arguments in enumerate(COMMANDS, 1):
        code, text = run(arguments)
        (folder / f"{number:02}.json").write_text(text)
        failed += code != 0
        print(f"{number:02} exit code {code}: wsekern {shlex.join(arguments)}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/cli/json_outputs.py FOLDER")
    sys.exit(1 if main(Path(sys.argv[1])) else 0)
