"""What is asked of a model: how long a prompt, how long an answer, how many users at once, in which precision."""

from dataclasses import dataclass

from wsekern.errors import InputError

PRECISIONS = {"fp32": 4.0, "fp16": 2.0, "fp16_fp32": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5}
"""Bytes per stored value; fp16_fp32 stores fp16 and adds in fp32."""

WAFER_PRECISIONS = ("fp32", "fp16", "fp16_fp32", "bf16")
"""Precisions a wafer's cores have instructions for."""


@dataclass(frozen=True)
class Request:
    """``batch`` users at once, each with ``prompt`` tokens in and ``output`` tokens out."""

    prompt: int = 1024
    output: int = 256
    batch: int = 1
    precision: str = "fp16"

    def __post_init__(self) -> None:
        for name in ("prompt", "output", "batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
        check_precision(self.precision, tuple(PRECISIONS))

    @property
    def context(self) -> int:
        """Tokens in the cache when the answer is complete."""
        return self.prompt + self.output


def check_precision(precision: str, known: tuple[str, ...] = WAFER_PRECISIONS) -> str:
    """Return ``precision`` if it is one of ``known``; else raise :class:`InputError`."""
    if precision not in known:
        raise InputError(f"precision {precision!r} is unknown here; use one of {', '.join(known)}")
    return precision
