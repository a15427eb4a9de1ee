"""How sure a prediction is, in a word; what was never measured of it, and the range in which its times then lie."""

from functools import lru_cache
from typing import NamedTuple

from wsekern.cluster.constants import constants
from wsekern.cluster.engine import Engine, engine_levels
from wsekern.cluster.evidence import measured_format, measured_points, measured_precisions
from wsekern.cluster.layout import Deployment
from wsekern.cluster.parameters import kernel_fit
from wsekern.garbage import lasting

PHASES = ("decode", "prefill", "throughput")
"""Of measured points."""


class Trust(NamedTuple):
    """``lacking``: what no measured point has, a clause each, none where all was measured; times lie between ``least`` and
    ``most`` times those predicted."""

    lacking: tuple[str, ...]
    least: float
    most: float

    @property
    def factors(self) -> tuple[float, float]:
        """``least`` and ``most``."""
        return self.least, self.most

    @property
    def sentences(self) -> list[str]:
        """For people; none where all was measured."""
        if not self.lacking:
            return []
        return [f"not measured: {'; '.join(self.lacking)}: times lie between {self.least:g} and {self.most:g} times these"]


@lasting
@lru_cache(maxsize=1)
def _measured() -> frozenset[tuple[str, str]]:
    """(family, what) of every measured point: its precision, product and generation, and class of model."""
    found: set[tuple[str, str]] = set()
    products = {engine.title: _product(engine) for engine in engine_levels().values()}
    for phase in PHASES:
        for point in measured_points(phase)[0]:
            product = next((products[title] for title in products if point["engine"].startswith(title)), "")
            kinds = (measured_format(point["precision"]), product, _class(point["moe"]))
            found.update((point["family"], kind) for kind in kinds)
    return frozenset(found)


def _product(engine: Engine) -> str:
    """Whose kernels an engine level takes first, and of which year, whatever its host hides."""
    return f"{next((name for name in engine.kernels if name != 'nccl'), '')} {engine.year}".strip()


def _class(routed: bool) -> str:
    return "models with experts" if routed else "dense models"


def trust_of(deployment: Deployment) -> Trust:
    """What no measured point of the family of this machine has: its precision, engine and generation, class of model. The
    ideal engine, a bound, needs no point."""
    known, gpu, measured = constants(), deployment.gpu, _measured()
    if not any(family == gpu.family for family, _ in measured):
        lacking = (f"no machine of family {gpu.family}",)
        return Trust(lacking, known.other_family_least.value, known.other_family_most.value)
    engine = deployment.engine
    form, kind = measured_format(deployment.precision.name), _class(deployment.model.mixture is not None)
    asked = [(form, form), (kind, kind)]
    if float(engine.per_step) > 0.0:
        asked.append((_product(engine), engine.title))
    lacking = tuple(f"no {words} on {gpu.family}" for what, words in asked if (gpu.family, what) not in measured)
    if not lacking:
        return Trust((), 1.0, 1.0)
    return Trust(lacking, known.other_setting_least.value, known.other_setting_most.value)


def confidence(deployment: Deployment) -> str:
    """high: this GPU's kernels were measured with this engine and precision, and so were whole models in it; medium: another's
    stand in, weights are unpacked, or whole models alone were measured on it; low: only its family was. One less where
    collectives span more GPUs than any that were measured."""
    gpu, layout, precision = deployment.gpu, deployment.layout, deployment.precision
    if not gpu.kernels:
        own = (gpu.name, measured_format(precision.name)) in measured_precisions()
        return "medium" if own and not trust_of(deployment).lacking else "low"
    evidence = kernel_fit("gemm", gpu, deployment.engine.kernels, precision.arithmetic).evidence
    own = gpu.kernels.split("_")[0] == gpu.name.split("-")[0] and evidence == "measured"
    known = precision.lacking is None and (gpu.name, measured_format(precision.name)) in measured_precisions()
    level = 2 if own and known else 1
    return ("low", "medium", "high")[level - (layout.tp * layout.dp > constants().measured_ranks.value)]
