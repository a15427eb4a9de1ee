"""The fitted parameters the package ships (``data/kernels.json``), looked up with a stated fallback."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from wsekern.cluster.gpu import Gpu
from wsekern.errors import InputError

FAMILY_SYSTEMS = {"ampere": "a100_sxm", "ada": "h100_sxm", "hopper": "h100_sxm", "blackwell": "b200_sxm"}
"""Measured system whose efficiencies a GPU of a family takes when it was not measured itself."""

_KINDS = {
    "fp4": ("nvfp4", "w4a8_mxfp4_mxfp8", "fp8", "bfloat16"),
    "fp8": ("fp8", "fp8_block", "bfloat16"),
    "int8": ("fp8", "bfloat16"),
    "bf16": ("bfloat16", "bf16"),
    "fp16": ("bfloat16", "bf16"),
}

BEST = ("best",)
"""In place of a list of engines: the best that any of them reached."""

ELEMENTWISE = {"ampere": 2.45e-6, "ada": 2.55e-6, "hopper": 2.55e-6, "blackwell": 1.78e-6}
"""Seconds of the smallest kernel in a CUDA graph (aiconfigurator, smallest bf16 GEMM, median over engines)."""
ELEMENTWISE_MEMORY = 0.8
"""Share of the memory bandwidth that a streaming kernel reaches (aiconfigurator systems/*.yaml)."""


@dataclass(frozen=True)
class Fit:
    """Parameters of one kernel family, and how they were chosen: measured, other engine, or family."""

    parameters: dict[str, float]
    evidence: str
    test_median_error: float | None


@lru_cache(maxsize=1)
def all_fits() -> tuple[dict, ...]:
    """Every fit that is shipped, with residuals."""
    text = (files("wsekern.cluster") / "data" / "kernels.json").read_text()
    return tuple(json.loads(text)["fits"])


@lru_cache(maxsize=1)
def _index() -> dict[tuple[str, str], list[dict]]:
    index: dict[tuple[str, str], list[dict]] = {}
    for fit in all_fits():
        index.setdefault((fit["family"], fit["system"]), []).append(fit)
    return index


def _kernel_system(gpu: Gpu) -> str:
    system = gpu.kernels or FAMILY_SYSTEMS.get(gpu.family, "")
    if not system:
        raise InputError(f"{gpu.name}: family {gpu.family!r} has no measured kernels; use one of {', '.join(FAMILY_SYSTEMS)}")
    return system


@lru_cache(maxsize=4096)
def kernel_fit(family: str, gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> Fit:
    """Parameters of ``family`` on ``gpu``: first choice its own system and engine, then other engines and precisions,
    then the systems measured nearest to it."""
    own = _kernel_system(gpu)
    systems = [own, *sorted({system for _, system in _index()} - {own}, key=lambda name: _distance(name, own))]
    kinds = (arithmetic,) if family == "collective" else _KINDS[arithmetic]
    for system in systems:
        fits = _index().get((family, system), [])
        for kind in kinds:
            found = [fit for fit in fits if fit["kind"] == kind]
            if found and engines == BEST:
                return Fit(_best_of(found), "best of all engines", None)
            if found:
                best = min(found, key=lambda fit: _preference(fit, engines))
                measured = system == gpu.kernels and kind == kinds[0]
                evidence = "measured" if measured else f"taken from {system} {kind}"
                return Fit(best["parameters"], evidence, best["test_median_error"])
    raise InputError(f"no fitted {family} for {gpu.name}")


def _best_of(fits: list[dict]) -> dict[str, float]:
    """The most favourable value of every parameter that any engine reached on this GPU: a bound, not a kernel."""
    most = ("memory", "compute", "overlap", "links", "direct", "skew")
    names = fits[0]["parameters"]
    return {name: (max if name in most else min)(fit["parameters"][name] for fit in fits) for name in names}


def _preference(fit: dict, engines: Iterable[str]) -> tuple[int, float]:
    engine = fit["engine"].split("/")[0]
    order = list(engines)
    return (order.index(engine) if engine in order else len(order), -fit["fitted"])


def _distance(system: str, own: str) -> int:
    order = ["a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm", "gb200"]
    if system not in order or own not in order:
        return len(order)
    return abs(order.index(system) - order.index(own))


def elementwise_fit(gpu: Gpu) -> dict[str, float]:
    """Parameters of a small streaming kernel."""
    return {"fixed": ELEMENTWISE.get(gpu.family, 2.5e-6), "memory": ELEMENTWISE_MEMORY}
