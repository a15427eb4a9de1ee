"""The machines beside the wafers: one cluster, or several that are looked at together, and what became of each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from wsekern.cluster import Cluster, load_cluster
from wsekern.errors import BudgetError, InputError
from wsekern.shown import Shown

MOST_CLUSTERS = 16
"""Machines that one comparison sets beside the wafers at most: more columns than a reader compares."""

T = TypeVar("T")

Named = str | Cluster | Iterable[str | Cluster]
"""How a user names the machines beside the wafers: one, or several."""


def names_of(named: Named) -> list[str | Cluster]:
    """One name as a list, several as they are."""
    return [named] if isinstance(named, str | Cluster) else list(named)


def clusters_of(named: Named) -> tuple[Cluster, ...]:
    """The clusters of names such as ``h100x8``. :class:`InputError` for a name that is unknown, for two machines of one name,
    for none, and for more than :data:`MOST_CLUSTERS`."""
    names = names_of(named)
    if not 1 <= len(names) <= MOST_CLUSTERS:
        raise InputError(f"cluster names {len(names)} machines, expected 1 to {MOST_CLUSTERS}")
    if "auto" in names and len(names) > 1:
        raise InputError("cluster auto takes one of the usual clusters and stands alone: name the machines")
    clusters = [load_cluster(name) for name in names]
    for number, cluster in enumerate(clusters):
        for before in clusters[:number]:
            if before.name == cluster.name:
                what = "is named twice" if before == cluster else "names two different machines"
                raise InputError(f"cluster {cluster.name} {what}: give every machine once, and each a name of its own")
    return tuple(clusters)


@dataclass(frozen=True, kw_only=True)
class Beside(Generic[T]):
    """One machine beside the wafers: what it does with the software that is asked for (``cluster``) and with ideal software.

    Either is None where it cannot serve, and ``not_served`` says why under its name, or where it is not asked for.
    """

    name: str
    cluster: T | None
    cluster_ideal: T | None = None
    not_served: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, **tried: "T | InputError") -> "Beside[T]":
        """From what came of the attempts under the names of the fields."""
        return cls(name=name, **{key: served(one) for key, one in tried.items()}, not_served=reasons_of(tried))


@dataclass(frozen=True, kw_only=True, repr=False)
class SideBySide(Shown, Generic[T]):
    """Wafers and each of ``clusters``; wafers that cannot serve are None, and ``why_no_wafers`` says why."""

    NAMES: ClassVar[tuple[str, ...]] = ("wafer", "cluster", "cluster_ideal")
    """What the wafers, one cluster alone and, where it is looked at, its ideal software are called in :meth:`sides`."""

    wafer: T | None
    clusters: tuple[Beside[T], ...]
    why_no_wafers: str = ""

    @property
    def cluster(self) -> T | None:
        """The first cluster."""
        return self.clusters[0].cluster

    @property
    def cluster_ideal(self) -> T | None:
        """The first cluster with ideal software."""
        return self.clusters[0].cluster_ideal

    def sides(self) -> dict[str, T | None]:
        """What stands side by side, by name: beside the wafers one cluster and its ideal software, or several clusters."""
        if len(self.clusters) == 1:
            return dict(zip(self.NAMES, (self.wafer, self.cluster, self.cluster_ideal), strict=False))
        return self.chosen()

    def chosen(self) -> dict[str, T | None]:
        """The sides but for ideal software, which is a bound and no system."""
        alone = len(self.clusters) == 1
        clusters = {self.NAMES[1] if alone else one.name: one.cluster for one in self.clusters}
        return {self.NAMES[0]: self.wafer, **clusters}

    def titles(self) -> dict[str, str]:
        """What to call a side of :meth:`sides` that serves nothing and so has no name of its own."""
        first = self.clusters[0].name
        names = dict(zip(self.NAMES, ("wafers", first, f"{first} (ideal)"), strict=False))
        return names | {one.name: one.name for one in self.clusters}

    def served(self) -> list[T]:
        """The sides that serve."""
        return [side for side in self.sides().values() if side is not None]

    @property
    def not_served(self) -> dict[str, str]:
        """Why a side of :meth:`sides` that was asked for is None."""
        found = {self.NAMES[0]: self.why_no_wafers} if self.wafer is None else {}
        if len(self.clusters) == 1:
            names = dict(zip(("cluster", "cluster_ideal"), self.NAMES[1:], strict=False))
            return {**found, **{names[key]: why for key, why in self.clusters[0].not_served.items()}}
        return {**found, **{one.name: one.not_served["cluster"] for one in self.clusters if one.cluster is None}}

    def data(self, plain: Callable[[T], Any], more: Callable[[Beside[T]], dict[str, Any]] = lambda one: {}) -> dict[str, Any]:
        """The sides as data, with ``plain`` for each: several clusters are a list, with ``more`` of each."""

        def told(side: T | None) -> Any:
            return None if side is None else plain(side)

        if len(self.clusters) == 1:
            return {**{name: told(side) for name, side in self.sides().items()}, **more(self.clusters[0])}
        listed = []
        for one in self.clusters:
            sides = dict(zip(("cluster", "cluster_ideal"), (one.cluster, one.cluster_ideal), strict=True))
            listed.append({"name": one.name, **{name: told(side) for name, side in sides.items()}, **more(one)})
        return {self.NAMES[0]: told(self.wafer), "clusters": listed}


def attempt(serve: Callable[..., T], *arguments: Any) -> T | InputError:
    """What ``serve`` gives, or why it cannot."""
    try:
        return serve(*arguments)
    except InputError as error:
        return error


def served(tried: T | InputError) -> T | None:
    """What an attempt gave; None where it could not."""
    return None if isinstance(tried, InputError) else tried


def reason_of(tried: Any) -> str:
    """Why an attempt could not; nothing where it could."""
    return str(tried) if isinstance(tried, InputError) else ""


def reasons_of(tried: dict[str, Any]) -> dict[str, str]:
    """Why attempts could not, by their names."""
    return {name: reason_of(one) for name, one in tried.items() if isinstance(one, InputError)}


def refuse_all(tried: Sequence[Any], kind: type[InputError] = InputError) -> None:
    """Raise the sentences of all attempts, each once, where every one of them failed with an error of ``kind``."""
    if all(isinstance(one, kind) for one in tried):
        budget = all(isinstance(one, BudgetError) for one in tried)
        raise (BudgetError if budget else InputError)("; ".join(dict.fromkeys(map(str, tried))))
