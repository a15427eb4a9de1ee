"""The machine: what a wafer is, number by number, each with its unit and source."""

from wsekern.machine.machine import Core, Fabric, Machine, Profile, System, bundled_machines, load_machine

__all__ = ["Core", "Fabric", "Machine", "Profile", "System", "bundled_machines", "load_machine"]
