"""What whole requests cost on wafers and on every machine beside them, in the same words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wsekern.cluster import Cluster, best_cluster, load_cluster
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.choose import CANDIDATES
from wsekern.compare.beside import Beside, Named, SideBySide, attempt, clusters_of, names_of, reason_of, refuse_all, served
from wsekern.compare.cluster_side import engine_of
from wsekern.compare.forced import with_note
from wsekern.compare.front import fronts
from wsekern.compare.pairing import Pairing, check_all
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side
from wsekern.compare.verdict import ratios, reasons
from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(SideBySide[Side]):
    """Requests on wafers and on one cluster or several, with the software asked for and as perfect software would serve them.

    What cannot serve them is None, and ``not_served`` says why, by the name of the side.
    """

    model: str
    request: Request
    pairings: tuple[Pairing, ...] = field(default=(), repr=False)
    """What was asked of the wafers and of each cluster."""

    def _facts(self) -> dict[str, Any]:
        speeds = {f"{name}, tokens/s for each user": round(side.tokens_per_second_per_user, 1) if side else "cannot serve it"
                  for name, side in self.chosen().items()}
        return {"model": self.model, "request": self.request, **speeds, "reasons": self.reasons()}

    def ratios(self, cluster: int = 0) -> dict[str, float]:
        """How many times better the wafer is than a cluster, counted from 0 (below 1: worse); empty where either is None."""
        against = self.clusters[cluster].cluster
        return ratios(self.wafer, against) if self.wafer and against else {}

    def reasons(self) -> list[str]:
        """The comparison in sentences."""
        return reasons(self.wafer, [one.cluster for one in self.clusters])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; keys carry units. Several clusters are a list."""

        def more(one: Beside[Side]) -> dict[str, Any]:
            return {"wafer_better_by": self.ratios(self.clusters.index(one))}

        return {"model": self.model, "request": asdict(self.request), **self.data(Side.to_dict, more),
                "not_served": self.not_served, "front": fronts(self.chosen()), "reasons": self.reasons()}


def compare(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, cluster: Named,
            profile: str = "silicon", engine_level: str = "stock", serving: Serving = PLAIN) -> Comparison:
    """Serve ``request`` on ``machine`` (the fewest wafers that hold it, or ``wafers``) and on one ``cluster``, or on each of
    several.

    A cluster is a name such as ``h100x8``; ``auto``, alone, is the usual system that answers a request soonest.
    Raises :class:`InputError` for what is unknown and where neither side can serve the request, :class:`BudgetError`
    where a number of wafers or a layout that is asked for cannot hold it.
    """
    auto = names_of(cluster) == ["auto"]
    described = (chosen_cluster(config, request, engine_level, serving),) if auto else clusters_of(cluster)
    pairings = [Pairing(config, machine, one, wafers, profile, engine_level, serving) for one in described]
    check_all(pairings)
    found = compare_pairings(pairings, request)
    if wafers is None or found.wafer is None:
        return found
    return replace(found, wafer=with_note(found.wafer, replace(pairings[0], wafers=None).wafer(request), machine))


def compare_pairings(pairings: Sequence[Pairing], request: Request) -> Comparison:
    """:func:`compare` for ``pairings`` that differ in their clusters alone and are checked, without a note on what a number of
    wafers that is asked for costs."""
    wafer = attempt(pairings[0].wafer, request)
    if pairings[0].wafers is not None:
        refuse_all([wafer], BudgetError)  # whatever the clusters say
    tried = [{"cluster": attempt(pairing.gpus, request), "cluster_ideal": attempt(pairing.ideal_gpus, request)}
             for pairing in pairings]
    _refuse(wafer, tried, bool(pairings[0].serving.degrees))
    beside = tuple(Beside.of(one.cluster.name, **sides) for one, sides in zip(pairings, tried, strict=True))
    return Comparison(model=pairings[0].config.name, request=pairings[0].load(request), wafer=served(wafer), clusters=beside,
                      why_no_wafers=reason_of(wafer), pairings=tuple(pairings))


def _refuse(wafer: Side | InputError, clusters: list[dict[str, Side | InputError]], layout: bool) -> None:
    """Refuse a ``layout`` that a user has forced and that is too small, and what nothing can serve."""
    if layout:
        refuse_all([sides["cluster"] for sides in clusters], BudgetError)
    refuse_all([wafer, *(side for sides in clusters for side in sides.values())])


def chosen_cluster(config: ModelConfig, request: Request, engine_level: str, serving: Serving) -> Cluster:
    """The usual cluster that answers a request soonest; where none serves, the largest, which says what is missing."""
    precision = served_precision(config, engine_level, serving.gpu_precision, serving.kv_precision)
    try:
        return best_cluster(config, request, engine_level=engine_of(engine_level, serving), precision=precision)[0]
    except InputError:
        return load_cluster(CANDIDATES[-1])
