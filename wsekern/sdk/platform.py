"""What host scripts say of the machine that they run on: a generation, and settings that a simulation here does not need."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from wsekern.errors import InputError


class SdkTarget(Enum):
    """Generations."""

    WSE2 = "wse2"
    WSE3 = "wse3"


class FP16TYPE(Enum):
    """Formats of 16-bit floats."""

    F16 = "f16"
    BF16 = "bf16"
    CB16 = "cb16"


class SimfabConfig:
    """Settings of the vendor's simulator, which change nothing here."""

    def __init__(self, num_threads: int = 16, suppress_trace: bool = False, dump_core: bool = False,
                 core_path: str = "corefile.cs1", **others: Any) -> None:
        self.num_threads, self.suppress_trace = num_threads, suppress_trace
        self.dump_core, self.core_path = dump_core, core_path


@dataclass(frozen=True)
class Platform:
    """A simulated wafer of a generation."""

    arch: str


def get_platform(cmaddr: str | None = None, config: Any = None, target: SdkTarget = SdkTarget.WSE3) -> Platform:
    """The simulated wafer; there is no system to connect to."""
    if cmaddr:
        raise InputError(f"cmaddr is {cmaddr!r}: there is no system to connect to; leave it out to simulate")
    return Platform(target.value)


def get_simulator(config: Any = None, target: SdkTarget = SdkTarget.WSE3) -> Platform:
    """The simulated wafer."""
    return get_platform(None, config, target)


def get_system(cmaddr: str) -> Platform:
    """Refused: there is no system to connect to."""
    return get_platform(cmaddr or "none")


def platform_of(given: Any) -> Platform:
    """A platform, from one, from a target, or from nothing."""
    if isinstance(given, Platform):
        return given
    if isinstance(given, SdkTarget):
        return Platform(given.value)
    if given is None:
        return Platform(SdkTarget.WSE3.value)
    if isinstance(given, (str, Path)):
        raise InputError(f"{given} as a platform: files that describe a fabric are not read; use get_platform or an SdkTarget")
    raise InputError(f"{given!r} is no platform: use get_platform, get_simulator or an SdkTarget")
