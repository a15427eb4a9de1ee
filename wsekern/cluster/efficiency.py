"""What the kernels of one family of GPUs reach beside those that stand in for them, by engine and generation.

GPUs whose kernels were not timed one by one take those of the family that their file names as ``fallback``, with rates and
fixed times scaled by numbers that ``python -m wsekern.calibration.machines`` fits to measured steps of whole models
(``data/efficiency.toml``). An engine of another year has numbers of its own.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Annotated

import msgspec

from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Gpu
from wsekern.cluster.parameters import BEST
from wsekern.cluster.precision import Precision
from wsekern.cluster.scoped import Scoped
from wsekern.description import Quantity, Unit, check_units
from wsekern.garbage import lasting

Scale = Annotated[Quantity, Unit("ratio", 0.01, 100.0)]


class Efficiency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """Of kernels of ``engine`` on GPUs of ``family``, over those that stand in: rates of ``streaming`` weights, of ``reading``
    caches, of products (``compute``) and of products of ``experts``; times of kernels that do nothing (``fixed``), of
    ``exchanges``, and of what the ``host`` does for prompts and launches.

    ``arithmetic`` is that of the products, ``year`` that of an older engine, ``until`` the last day of a run, ``precisions``
    and ``kinds`` (dense, MoE) what was measured, ``rows`` on how many rows it was fitted.
    """

    family: str
    engine: str
    streaming: Scale
    reading: Scale
    compute: Scale
    experts: Scale
    fixed: Scale
    exchanges: Scale
    host: Scale
    arithmetic: str
    year: str = ""
    until: str = ""
    precisions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rows: int = 0

    @property
    def name(self) -> str:
        """In a file."""
        return "-".join(part for part in (self.family, self.engine, self.year, self.arithmetic) if part)


Efficiencies = tuple[Efficiency, ...]

SCALES: tuple[str, ...] = ("streaming", "reading", "compute", "experts", "fixed", "exchanges", "host")
"""The fitted numbers of an :class:`Efficiency`."""


def _shipped() -> Efficiencies:
    resource = files("wsekern.cluster") / "data" / "efficiency.toml"
    known = msgspec.toml.decode(resource.read_text(), type=dict[str, Efficiency])
    for name, entry in known.items():
        check_units(entry, f"{resource}: {name}")
    return tuple(known.values())


efficiencies: Scoped[Efficiencies] = Scoped("efficiencies", _shipped)
"""Those in use; ``efficiencies.replaced`` uses others inside a ``with`` block."""


def efficiency_of(gpu: Gpu, engine: Engine, precision: Precision) -> Efficiency | None:
    """Of the first product of ``engine`` in its generation and the arithmetic of ``precision``, else in another arithmetic, of
    its newest generation, or of any other engine on this family; None where the family has none, so that kernels are what was
    timed."""
    return _efficiency_of(efficiencies(), gpu.family, engine.kernels, engine.year, precision.part(experts=True)[1])


@lasting
@lru_cache(maxsize=1024)
def _efficiency_of(
    known: Efficiencies, family: str, products: tuple[str, ...], year: str, arithmetic: str
) -> Efficiency | None:
    """:func:`efficiency_of` among ``known``."""
    own = [entry for entry in known if entry.family == family]
    if not own:
        return None
    if products == BEST:
        return _best(tuple(own))

    def distance(entry: Efficiency) -> tuple[int, bool, bool, bool]:
        place = products.index(entry.engine) if entry.engine in products else len(products)
        return place, entry.year != year, entry.year != "", entry.arithmetic != arithmetic

    return min(own, key=distance)


@lasting
@lru_cache(maxsize=64)
def _best(entries: tuple[Efficiency, ...]) -> Efficiency:
    """The most favorable of each number: a bound, not an engine."""
    chosen = {}
    for name in SCALES:
        most = min if name in ("fixed", "exchanges", "host") else max
        chosen[name] = most((getattr(entry, name) for entry in entries), key=float)
    return msgspec.structs.replace(entries[0], engine="best", year="", **chosen)


def scaled(parameters: dict[str, float], used: Efficiency, streaming: float, compute: float) -> dict[str, float]:
    """Fitted ``parameters`` of a kernel with shares ``streaming`` and ``compute`` of its rates, at most the peaks, other fixed
    times, and walks over rows and caches that take as much longer as streaming."""
    fixed = float(used.fixed)
    changed = {name: value * fixed for name, value in parameters.items() if name in FIXED}
    changed |= {name: parameters[name] / streaming for name in WALKS if name in parameters}
    rates = {"memory": streaming, "compute": compute}
    changed |= {name: min(1.0, parameters[name] * share) for name, share in rates.items() if name in parameters}
    return {**parameters, **changed}


FIXED = ("fixed", "depth", "group", "route")
"""Parameters of kernels that are times whatever the rates."""

WALKS = ("rows", "length")
"""Times of a kernel that walks over sequences and caches."""
