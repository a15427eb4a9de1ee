"""The fitted parameters the package ships (``data/kernels.json``), looked up with a stated fallback."""

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from wsekern.cluster.hardware import Gpu
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

FORMAT = 2
"""Of the files that calibrate writes: another one has other parameters."""

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


def shipped() -> dict[str, Any]:
    """What calibrate wrote for the package: ``fits`` with residuals, and ``families`` with the held-out error of each GPU."""
    return json.loads((files("wsekern.cluster") / "data" / "kernels.json").read_text())


@lru_cache(maxsize=1)
def all_fits() -> tuple[dict, ...]:
    """Every fit in use, with residuals: those shipped, and those of :func:`use_fits` in place of theirs."""
    replaced = {(fit["family"], fit["system"], fit["kind"]) for fit in _own}
    others = (fit for fit in shipped()["fits"] if (fit["family"], fit["system"], fit["kind"]) not in replaced)
    return (*_own, *others)


_own: list[dict] = []


def use_fits(path: str | os.PathLike[str] | None) -> None:
    """Use the kernels that ``calibrate --output`` wrote to ``path`` in place of the shipped ones of the same GPU, family and
    precision; None goes back to those shipped."""
    fits: list[dict] = []
    if path is not None:
        try:
            result = json.loads(Path(path).read_text())
            fits, form = result["fits"], result["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a file that calibrate wrote: {error!r}") from None
        if form != FORMAT:
            raise InputError(f"{path} was written by another version of wsekern (format {form!r}): run calibrate again")
    _own[:] = fits
    for cache in (all_fits, _index, kernel_fits):
        cache.cache_clear()
    step_caches_clear()


def step_caches_clear() -> None:
    """Forget parameters that steps have looked up."""
    from wsekern.cluster import step

    for name in ("_gemm_parameters", "_moe_parameters"):
        getattr(step, name).cache_clear()


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
def kernel_fits(
    family: str,
    gpu: Gpu,
    engines: tuple[str, ...],
    arithmetic: str,
    packed: bool = False,
    blocks: bool = True,
) -> tuple[Fit, ...]:
    """Kernels of ``family`` that an engine can choose between on ``gpu``, all of one origin.

    Origins in order: this GPU and the first engine, then that engine on others of the family, then the next engine, then
    GPUs of other families; and the same again for the next precision. ``packed`` weights are MXFP4, FP8 is
    scaled in ``blocks`` or per tensor.
    """
    own = _kernel_system(gpu)
    systems = sorted({system for _, system in _index()} | {own}, key=lambda name: (_distance(name, own), name))
    near = [system for system in systems if _generation(system) == _generation(own)]
    kinds = _kinds(family, arithmetic, packed, blocks)
    for place in (near, systems):
        for kind in kinds:
            found = _first_origin(family, place, engines, kind)
            if found:
                found = sorted(found, key=lambda fit: -fit["fitted"])
                return tuple(_as_fit(fit, gpu, kind == kinds[0], engines) for fit in found)
    raise InputError(f"no fitted {family} for {gpu.name}")


def kernel_fit(family: str, gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> Fit:
    """The first of :func:`kernel_fits`."""
    return kernel_fits(family, gpu, engines, arithmetic)[0]


def _first_origin(family: str, systems: list[str], engines: tuple[str, ...], kind: str) -> list[dict]:
    fits = {system: [fit for fit in _index().get((family, system), []) if fit["kind"] == kind] for system in systems}
    if engines == BEST:  # of what each engine would take, so that none of them is better
        names = sorted({fit["engine"].split("/")[0] for there in fits.values() for fit in there})
        found = [fit for name in names for fit in _first_origin(family, systems, (name,), kind)]
        found.sort(key=lambda fit: systems.index(fit["system"]))
        return [{**found[0], "parameters": _best_of(found)}] if found else []
    for engine in (*engines, ""):
        for system in systems:
            found = [fit for fit in fits[system] if not engine or fit["engine"].split("/")[0] == engine]
            if found:
                return found
    return []


def _as_fit(fit: dict, gpu: Gpu, exact: bool, engines: tuple[str, ...]) -> Fit:
    measured = exact and fit["system"] == gpu.kernels
    evidence = "measured" if measured else f"taken from {fit['system']} {fit['kind']}"
    return Fit(fit["parameters"], evidence, None if engines == BEST else fit["test_median_error"])


def _generation(system: str) -> str:
    return {"a": "ampere", "h": "hopper", "b": "blackwell", "g": "blackwell"}.get(system[:1], system)


def _kinds(family: str, arithmetic: str, packed: bool, blocks: bool) -> tuple[str, ...]:
    if family == "collective":
        return (arithmetic,)
    if family == "moe" and packed:
        return ("w4a8_mxfp4_mxfp8", "w4a16_mxfp4", *_KINDS["bf16"])
    if family == "moe" and arithmetic == "fp8" and blocks:
        return ("fp8_block", *_KINDS["fp8"])
    return _KINDS[arithmetic]


def _best_of(fits: list[dict]) -> dict[str, float]:
    """The most favourable value of every parameter that any engine reached on this GPU: a bound, not a kernel."""
    most = ("memory", "compute", "overlap", "links", "direct")
    names = fits[0]["parameters"]
    return {name: (max if name in most else min)(fit["parameters"][name] for fit in fits) for name in names}


def _distance(system: str, own: str) -> int:
    order = ["a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm", "gb200"]
    if system not in order or own not in order:
        return len(order)
    return abs(order.index(system) - order.index(own))


def elementwise_fit(gpu: Gpu) -> dict[str, float]:
    """Parameters of a small streaming kernel."""
    return {"fixed": ELEMENTWISE.get(gpu.family, 2.5e-6), "memory": ELEMENTWISE_MEMORY}
