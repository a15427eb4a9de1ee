"""``wsekern doctor``: what this computer offers, what is missing, and a short run that shows that the kernels work."""

import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import Any

import click

from wsekern.cli.options import JSON, Command, show

COMPILERS = ("cc", "gcc", "clang")
"""Names of C compilers, in the order in which CMake looks for them."""


@click.command(cls=Command)
@JSON
def doctor(json_path: str | None) -> None:
    """What this computer offers: version, SIMD level, cores, memory, compiler, extras; and whether the kernels work."""
    show(json_path, "This computer", diagnosis())


def diagnosis() -> dict[str, Any]:
    """Name -> what was found, in words for people."""
    return {"wsekern": _version("wsekern") or "not installed: this is the source folder", "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}", **_computer(), **_software(),
            "kernels": _checked()}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _computer() -> dict[str, str]:
    """SIMD level, cores, memory."""
    from wsekern._common import simd_forced, simd_level

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = " (WSEKERN_SIMD asks for it)" if simd_forced() else ""
    return {"simd": f"{simd_level()}{asked}", "cores": f"{cores}, so --threads {cores} at most helps", "memory": _memory()}


def _memory() -> str:
    """What is free and what there is, where the system says so."""
    try:
        page, free, all_ = (os.sysconf(name) for name in ("SC_PAGE_SIZE", "SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return "not known on this system"
    return f"{free * page / 1e9:.1f} of {all_ * page / 1e9:.1f} GB free"


def _software() -> dict[str, str]:
    """The compiler, and each extra with what it lacks."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    found = {"compiler": compiler or "none: only `pip install .` from source and hosts in C need one"}
    for extra, needs in _extras().items():
        missing = [name for name in needs if not _version(name)]
        advice = f"{', '.join(missing)} missing: type `pip install \"wsekern[{extra}]\"`"
        found[f"extra {extra}"] = advice if missing else "installed"
    return found if _stated() else found | {"extras": "not known: they are stated by the installed package"}


def _stated() -> list[str]:
    """What the installed package says that it and its extras need."""
    try:
        return metadata("wsekern").get_all("Requires-Dist") or []
    except PackageNotFoundError:
        return []


def _extras() -> dict[str, list[str]]:
    """Extra -> names of the packages it needs; those for development left out."""
    extras: dict[str, list[str]] = {}
    for line in _stated():
        need = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", line)
        if need and need[2] not in ("test", "docs"):
            extras.setdefault(need[2], []).append(need[1])
    return extras


def _checked() -> str:
    """One all-reduce on both engines: they must compute the same bits in the same cycles."""
    import numpy as np

    from wsekern.ops import AllReduce, CycleEngine, FlowEngine

    tile = np.random.default_rng(1).standard_normal((1, 8, 16)).astype(np.float16)
    flow, cycle = (engine("wse3", 8, 1) for engine in (FlowEngine, CycleEngine))
    one, other = flow.run(AllReduce(16, "x"), tile.copy()), cycle.run(AllReduce(16, "x"), tile.copy())
    alike = one.tobytes() == other.tobytes() and np.array_equal(flow.clock, cycle.clock)
    return "work: both engines agree" if alike else "DIFFER: the two engines disagree; please report this"
