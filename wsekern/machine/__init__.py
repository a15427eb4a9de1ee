"""The machine: what a wafer is, number by number, each with its unit and source."""

from wsekern.machine.machine import Core, Fabric, Machine, Profile, System, bundled_machines, load_machine
from wsekern.machine.timing import PRECISIONS, Timing, timing

__all__ = [
    "PRECISIONS",
    "Core",
    "Fabric",
    "Machine",
    "Profile",
    "System",
    "Timing",
    "bundled_machines",
    "load_machine",
    "timing",
]
