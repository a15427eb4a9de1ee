"""``python -m wsekern --cmake-dir | --include-dir | --pxd-dir | --libs``: where the C library and its declarations are, one line
for each option, for build systems. With anything else, the commands of ``wsekern``."""

import sys
from collections.abc import Callable
from pathlib import Path

from wsekern import get_include


def installed() -> Path:
    """The folder that the compiled package was installed to."""
    return Path(get_include()).parent


PLACES: dict[str, Callable[[], str]] = {
    "--cmake-dir": lambda: str(installed() / "cmake"),                    # wsekern_DIR of find_package(wsekern CONFIG)
    "--include-dir": get_include,
    "--pxd-dir": lambda: str(installed().parent),                         # for `cython -I`
    "--libs": lambda: "-L{0} -Wl,-rpath,{0} -lwsekern".format(installed() / "lib"),
}

if sys.argv[1:] and set(sys.argv[1:]) <= set(PLACES):
    print("\n".join(PLACES[option]() for option in sys.argv[1:]))
else:
    from wsekern.cli import main

    main()
