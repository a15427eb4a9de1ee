"""How either side is asked to serve, beyond the request itself."""

from dataclasses import dataclass

from wsekern.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Choices of a user; what is None is chosen or taken from the checkpoint, and printed.

    ``think_seconds`` pass between an answer and the next prompt of the same user. ``tp``, ``pp``, ``dp`` and ``ep`` lay the
    model over the GPUs; without ``dp``, copies of that layout fill the cluster. ``gpu_precision`` is that of the GPUs' weights,
    ``kv_precision`` that of the cache on either side. Without ``chunked_prefill`` GPUs stop decoding while they read a prompt.
    """

    think_seconds: float = 0.0
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    gpu_precision: str | None = None
    kv_precision: str | None = None
    chunked_prefill: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.think_seconds < float("inf"):
            raise InputError(f"think is {self.think_seconds!r}, expected a finite number of seconds of at least 0")

    @property
    def degrees(self) -> dict[str, int]:
        """The degrees of parallelism that are given."""
        given = {"tp": self.tp, "pp": self.pp, "dp": self.dp, "ep": self.ep}
        return {name: degree for name, degree in given.items() if degree is not None}


PLAIN = Serving()
"""Nothing asked for."""
