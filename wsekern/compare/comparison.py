"""What whole requests cost on either side, in the same words."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wsekern.cluster import Cluster, best_cluster, load_cluster
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.choose import CANDIDATES
from wsekern.compare.cluster_side import engine_of
from wsekern.compare.forced import with_note
from wsekern.compare.pairing import Pairing
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side
from wsekern.compare.verdict import ratios, reasons
from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


@dataclass(frozen=True)
class Comparison:
    """Requests on both sides; a second cluster side shows the bound that perfect software would reach.

    A side is None where it cannot serve them, and ``not_served`` says why, by the side's name.
    """

    model: str
    request: Request
    wafer: Side | None
    cluster: Side | None
    cluster_ideal: Side | None
    not_served: dict[str, str] = field(default_factory=dict)

    def sides(self) -> dict[str, Side | None]:
        """All three by name."""
        return {"wafer": self.wafer, "cluster": self.cluster, "cluster_ideal": self.cluster_ideal}

    def served(self) -> list[Side]:
        """The sides that serve the requests."""
        return [side for side in self.sides().values() if side is not None]

    def ratios(self) -> dict[str, float]:
        """How many times better the wafer is than the cluster (below 1: worse); empty where one of them is None."""
        return ratios(self.wafer, self.cluster) if self.wafer and self.cluster else {}

    def reasons(self) -> list[str]:
        """The comparison in sentences."""
        return reasons(self.wafer, self.cluster)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; keys carry units."""
        sides = {name: None if side is None else side.to_dict() for name, side in self.sides().items()}
        return {"model": self.model, "request": asdict(self.request), **sides, "not_served": self.not_served,
                "wafer_better_by": self.ratios(), "reasons": self.reasons()}


def compare(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, cluster: str | Cluster,
            profile: str = "silicon", engine_level: str = "stock", serving: Serving = PLAIN) -> Comparison:
    """Serve ``request`` on ``machine`` (the fewest wafers that hold it, or ``wafers``) and on a GPU ``cluster``.

    ``cluster`` may be a name such as ``h100x8``, or ``auto``: the usual system that answers a request soonest.
    Raises :class:`InputError` for what is unknown and where neither side can serve the request, :class:`BudgetError`
    where a number of wafers or a layout that is asked for cannot hold it.
    """
    described = chosen_cluster(config, request, engine_level, serving) if cluster == "auto" else load_cluster(cluster)
    pairing = Pairing(config, machine, described, wafers, profile, engine_level, serving)
    pairing.check()
    tried = {"wafer": _attempt(pairing.wafer, request, wafers is not None),
             "cluster": _attempt(pairing.gpus, request, bool(serving.degrees)),
             "cluster_ideal": _attempt(pairing.ideal_gpus, request, bool(serving.degrees))}
    sides = {name: side if isinstance(side, Side) else None for name, side in tried.items()}
    not_served = {name: side for name, side in tried.items() if isinstance(side, str)}
    if not any(sides.values()):
        raise InputError("; ".join(dict.fromkeys(not_served.values())))
    if wafers is not None and sides["wafer"] is not None:
        fewest = replace(pairing, wafers=None).wafer(request)
        sides["wafer"] = with_note(sides["wafer"], fewest, machine)
    return Comparison(config.name, pairing.load(request), **sides, not_served=not_served)


def _attempt(serve: Callable[[Request], Side], request: Request, forced: bool) -> Side | str:
    """A side, or why it cannot serve ``request``. A size that a user has ``forced`` and that is too small is refused."""
    try:
        return serve(request)
    except InputError as error:
        if forced and isinstance(error, BudgetError):
            raise
        return str(error)


def chosen_cluster(config: ModelConfig, request: Request, engine_level: str, serving: Serving) -> Cluster:
    """The usual cluster that answers a request soonest; where none serves, the largest, which says what is missing."""
    precision = served_precision(config, engine_level, serving.gpu_precision, serving.kv_precision)
    try:
        return best_cluster(config, request, engine_level=engine_of(engine_level, serving), precision=precision)[0]
    except InputError:
        return load_cluster(CANDIDATES[-1])
