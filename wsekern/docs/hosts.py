"""Hosts that embed wsekern, shown as they are tested: each a file of tests/hosts, or one of the files of a host."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from wsekern.errors import InputError

HOSTS = {"host-c": "host.c", "host-cpp": "host.cpp", "host-systemc": "systemc.hpp", "host-verilog": "verilator.sv",
         "host-network": "network.hpp", "host-astra": "astra.hpp", "host-cython": "cython/consumer.pyx",
         "host-cython-build": "cython/CMakeLists.txt", "host-simpy": "simpy_host.py", "host-cocotb": "cocotb_host.py"}
"""Part of a page -> file under tests/hosts."""
LANGUAGES = {".c": "c", ".cpp": "cpp", ".hpp": "cpp", ".sv": "systemverilog", ".pyx": "cython", ".txt": "cmake",
             ".py": "python"}
FEWER_LINES = 40


def hosts(root: Path) -> dict[str, Callable[[], str]]:
    """The parts of the source folder ``root``; none where it has no hosts."""
    folder = root / "tests" / "hosts"
    return {name: partial(listing, folder / file) for name, file in HOSTS.items()} if folder.is_dir() else {}


def listing(path: Path) -> str:
    """The file as a block of code; :class:`InputError` where it is too long to be read on a page."""
    text = path.read_text()
    lines = sum(bool(line.strip()) for line in text.splitlines())
    if lines >= FEWER_LINES:
        raise InputError(f"{path}: {lines} lines, but a page shows hosts of fewer than {FEWER_LINES}")
    return f"```{LANGUAGES[path.suffix]}\n{text}```"
