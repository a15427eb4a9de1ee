"""``python -m wsekern --cmake-dir | --include-dir | --pxd-dir | --libs``: where the C library and its declarations are, a line
for each option, for build systems. With anything else, the commands of ``wsekern``."""

from wsekern.interrupts import leaving_quietly

with leaving_quietly():
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
    "--libs": lambda: f"-L{(lib := installed() / 'lib')} -Wl,-rpath,{lib} -lwsekern",
}

if sys.argv[1:] and set(sys.argv[1:]) <= set(PLACES):
    print("\n".join(PLACES[option]() for option in sys.argv[1:]))
else:
    with leaving_quietly():
        from wsekern.cli import main

    main()
