"""How either side is asked to serve, beyond the request itself."""

from dataclasses import dataclass

from wsekern.cluster import Cluster
from wsekern.errors import InputError, check_flags
from wsekern.planning.layout import Placement
from wsekern.shown import Shown
from wsekern.workload.popularity import DEFAULT_LAW, ExpertLaw
from wsekern.workload.speculation import Speculation


@dataclass(frozen=True, kw_only=True)
class WaferChoices:
    """How the wafers run a model: ``programs`` by the name of their set, the formats in which PEs keep matrices and cache
    (empty: the precision of the request), which experts tokens choose, or all of it by a ``plan``, the placement of a plan
    file."""

    programs: str = "default"
    weight_precision: str = ""
    cache_precision: str = ""
    expert_law: ExpertLaw = DEFAULT_LAW
    plan: Placement | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Serving(Shown):
    """Choices of a user; what is None is chosen or taken from the checkpoint, and printed.

    ``think_seconds`` pass between an answer and the next prompt of the same user. ``tp``, ``pp``, ``dp`` and ``ep`` lay the
    model over the GPUs; without ``dp``, copies of that layout fill the cluster. ``gpu_precision`` is that of the GPUs' weights,
    ``kv_precision`` that of the cache on either side. Without ``chunked_prefill`` GPUs stop decoding while they read a prompt.
    With ``speculation`` both sides check drafted tokens. ``shared_prefix`` is the share of every prompt that all users share:
    it is in the cache already, once. ``prefill_cluster`` reads the prompts of either side and sends it the cache. ``wafers``:
    how those run the model.
    """

    think_seconds: float = 0.0
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    gpu_precision: str | None = None
    kv_precision: str | None = None
    chunked_prefill: bool = True
    speculation: Speculation | None = None
    shared_prefix: float = 0.0
    prefill_cluster: str | Cluster | None = None
    wafers: WaferChoices = WaferChoices()

    def __post_init__(self) -> None:
        check_flags(self)
        if not 0.0 <= self.think_seconds < float("inf"):
            raise InputError(f"think is {self.think_seconds!r}, expected a finite number of seconds of at least 0")
        if not 0.0 <= self.shared_prefix <= 1.0:
            raise InputError(f"shared-prefix is {self.shared_prefix!r}, expected a share of the prompt from 0 to 1")

    @property
    def degrees(self) -> dict[str, int]:
        """The degrees of parallelism that are given."""
        given = {"tp": self.tp, "pp": self.pp, "dp": self.dp, "ep": self.ep}
        return {name: degree for name, degree in given.items() if degree is not None}

    def shared_tokens(self, prompt: int) -> int:
        """Tokens of a prompt that are in the cache already; at least one is left to read."""
        return min(round(self.shared_prefix * prompt), prompt - 1)


PLAIN = Serving()
"""Nothing asked for."""
