"""What is asked of a model: how long a prompt, how long an answer, how many users at once, in which precision."""

from dataclasses import dataclass

from wsekern.errors import InputError
from wsekern.shown import Tabled

PRECISIONS = {"fp32": 4.0, "fp16": 2.0, "fp16_fp32": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5}
"""Bytes per stored value; fp16_fp32 stores fp16 and adds in fp32."""

WAFER_PRECISIONS = ("fp32", "fp16", "fp16_fp32", "bf16")
"""Precisions a wafer's cores have instructions for."""


@dataclass(frozen=True)
class Request(Tabled):
    """``batch`` users at once, each with ``prompt`` tokens in and ``output`` tokens out. The first ``shared`` tokens of every
    prompt are the same for all users and in the cache already, once."""

    prompt: int = 1024
    output: int = 256
    batch: int = 1
    precision: str = "fp16"
    shared: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt", "output", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
        if isinstance(self.shared, bool) or not isinstance(self.shared, int) or not 0 <= self.shared < self.prompt:
            raise InputError(f"shared is {self.shared!r}, expected 0 to {self.prompt - 1}, the prompt less a token")
        check_precision(self.precision, tuple(PRECISIONS))

    @property
    def context(self) -> int:
        """Tokens in the cache when the answer is complete."""
        return self.prompt + self.output

    @property
    def unread(self) -> int:
        """Tokens of a prompt that must be read."""
        return self.prompt - self.shared


def check_precision(precision: str, known: tuple[str, ...] = WAFER_PRECISIONS) -> str:
    """Return ``precision`` if it is one of ``known``; else raise :class:`InputError`."""
    if precision not in known:
        raise InputError(f"precision {precision!r} is unknown here; use one of {', '.join(known)}")
    return precision
