"""The fitted parameters the package ships (``data/kernels.json``), looked up with a stated fallback.

:data:`fits` are those in use; ``with fits.replaced(read_fits(path)):`` uses kernels that ``python -m
wsekern.calibration.kernels --output`` wrote, in place of the shipped ones of the same GPU, family and precision.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from wsekern.cluster.constants import Constants, constants
from wsekern.cluster.hardware import Gpu, bundled_gpus, family_gpu, load_gpu, typical_families
from wsekern.cluster.precision import Precision
from wsekern.cluster.scoped import Scoped
from wsekern.errors import InputError
from wsekern.garbage import lasting

KINDS = {
    "fp4": ("nvfp4", "w4a8_mxfp4_mxfp8", "fp8", "bfloat16"),
    "fp8": ("fp8", "fp8_block", "bfloat16"),
    "int8": ("fp8", "bfloat16"),
    "bf16": ("bfloat16", "bf16"),
    "fp16": ("bfloat16", "bf16"),
}
"""Measured number formats that serve an arithmetic, best first."""

FORMAT = 2
"""Of the files that :mod:`wsekern.calibration.kernels` writes: another number means other parameters."""

BEST = ("best",)
"""In place of a list of engines: the best that any of them reached."""


@dataclass(frozen=True)
class Fit:
    """Parameters of one kernel family, and how they were chosen: measured, other engine, or family."""

    parameters: dict[str, float]
    evidence: str
    test_median_error: float | None
    kind: str


class Fits:
    """Fitted kernels, each as calibrate wrote it. Compared by identity, so that caches keep two sets apart."""

    def __init__(self, entries: Iterable[dict[str, Any]]) -> None:
        self.entries = tuple(entries)
        self._index: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for entry in self.entries:
            self._index.setdefault((entry["family"], entry["system"]), []).append(entry)
        self.systems = frozenset(entry["system"] for entry in self.entries)

    def of(self, family: str, system: str, kind: str) -> list[dict[str, Any]]:
        """Kernels of ``family`` that were measured on ``system`` with ``kind`` of numbers."""
        return [entry for entry in self._index.get((family, system), []) if entry["kind"] == kind]


def shipped() -> dict[str, Any]:
    """What calibrate wrote for the package: ``fits`` with residuals, and ``families`` with the held-out error of each GPU."""
    return json.loads((files("wsekern.cluster") / "data" / "kernels.json").read_text())


fits: Scoped[Fits] = Scoped("fits", lambda: Fits(shipped()["fits"]))
"""The fitted kernels in use; ``fits.replaced`` uses others inside a ``with`` block."""


def read_fits(path: str | os.PathLike[str]) -> Fits:
    """The kernels that calibrate wrote to ``path``, and the shipped ones of all other GPUs, families and precisions.

    Raises :class:`InputError` where ``path`` is no such file, or one of another version.
    """
    try:
        result = json.loads(Path(path).read_text())
        own, form = result["fits"], result["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a file that calibrate wrote: {error!r}") from None
    if form != FORMAT:
        raise InputError(f"{path} was written by another version of wsekern (format {form!r}): run calibrate again")
    replaced = {_what(entry) for entry in own}
    return Fits([*own, *(entry for entry in shipped()["fits"] if _what(entry) not in replaced)])


def _what(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["family"], entry["system"], entry["kind"]


def kernel_fits(
    family: str, gpu: Gpu, engines: tuple[str, ...], arithmetic: str, packed: str = "", blocks: bool = True
) -> tuple[Fit, ...]:
    """Kernels of ``family`` that an engine can choose between on ``gpu``, all of one origin.

    Origins in order: this GPU and the first engine, then that engine on others of the family, then the next engine, then
    GPUs of other families; and the same again for the next precision. ``packed`` names the 4-bit format of weights that meet
    wider activations, FP8 is scaled in ``blocks`` or per tensor.
    """
    return _kernel_fits(fits(), family, gpu, engines, arithmetic, packed, blocks)


def kernel_fit(family: str, gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> Fit:
    """The first of :func:`kernel_fits`."""
    return _kernel_fits(fits(), family, gpu, engines, arithmetic, "", True)[0]


def gemm_parameters(
    gpu: Gpu, engines: tuple[str, ...], arithmetic: str, quantise: float, weight: float, blocks: bool = False
) -> dict[str, float]:
    """Fitted GEMM of ``weight`` bytes per weight; tables of narrow formats time a separate quantise step, of which an engine
    launches ``quantise`` kernels and fuses the rest. Weights scaled in ``blocks`` take kernels of
    their own, and all of the step."""
    return _gemm_parameters(fits(), constants(), gpu, engines, arithmetic, quantise, weight, blocks)


@lasting
@lru_cache(maxsize=4096)
def _gemm_parameters(
    known: Fits, used: Constants, gpu: Gpu, engines: tuple[str, ...], arithmetic: str, quantise: float, weight: float,
    blocks: bool
) -> dict[str, float]:
    """:func:`gemm_parameters` with fits and constants that are in use."""
    if blocks:
        return _kernel_fits(known, "gemm", gpu, engines, arithmetic, "", True)[0].parameters
    own = _kernel_fits(known, "gemm", gpu, engines, arithmetic, "", False)[0].parameters
    if arithmetic in ("bf16", "fp16"):
        return _kept(own, _unpacking(used, weight))
    plain = _kernel_fits(known, "gemm", gpu, engines, "bf16", "", True)[0].parameters
    return {**own, "fixed": min(own["fixed"], plain["fixed"] + quantise * small_kernel_seconds(gpu, used))}


def expert_parameters(gpu: Gpu, engines: tuple[str, ...], precision: Precision, blocks: bool) -> list[dict[str, float]]:
    """Every kernel of the experts that the engine may choose.

    FP8 is scaled in ``blocks`` where the checkpoint is (DeepSeek), or where an engine takes checkpoints as published; a tuned
    engine quantises per tensor, SGLang takes the faster. Narrow weights with 16-bit arithmetic take a measured kernel that
    unpacks them, or a 16-bit one that loses bandwidth while it does.
    """
    weight, arithmetic, _ = precision.part(experts=True)
    packed = precision.name if weight < 0.6 and arithmetic == "bf16" else ""
    found = kernel_fits("moe", gpu, engines, arithmetic, packed, blocks)
    kept = _unpacking(constants(), weight) if arithmetic in ("bf16", "fp16") else 1.0
    return [_kept(fit.parameters, kept if fit.kind in KINDS["bf16"] else 1.0) for fit in found]


def _kept(parameters: dict[str, float], share: float) -> dict[str, float]:
    """``parameters`` with ``share`` of their bandwidth."""
    return {**parameters, "memory": parameters["memory"] * share} if share < 1.0 else parameters


def _unpacking(used: Constants, weight: float) -> float:
    """Share of a 16-bit kernel's bandwidth that is left while it unpacks weights of ``weight`` bytes, at most 1."""
    if weight > 1.0:
        return 1.0
    return used.unpacking_8_bit.value if weight > 0.6 else used.unpacking_4_bit.value


def elementwise_parameters(gpu: Gpu) -> dict[str, float]:
    """Parameters of a small streaming kernel."""
    used = constants()
    return {"fixed": small_kernel_seconds(gpu, used), "memory": used.small_kernel_bandwidth.value}


def small_kernel_seconds(gpu: Gpu, used: Constants) -> float:
    """Seconds of the smallest kernel in a CUDA graph: the GPU's own, its family's, or a usual one."""
    if gpu.small_kernel is not None:
        return gpu.small_kernel.value
    typical = family_gpu(gpu)
    stated = typical.small_kernel if typical is not None else None
    return used.small_kernel.value if stated is None else stated.value


class _Origin(NamedTuple):
    """Where the kernels of a GPU come from."""

    measured: str  # the system on which the GPU itself was measured, or ""
    system: str  # the system whose kernels it takes
    family: str  # the family whose other systems come next
    fallback: str  # the family that comes after those


def _origin(gpu: Gpu) -> _Origin:
    typical = family_gpu(gpu)
    if gpu.kernels:
        return _Origin(gpu.kernels, gpu.kernels, gpu.family, typical.family if typical else "")
    if typical is None:
        raise InputError(
            f"{gpu.name}: family {gpu.family!r} has no measured kernels; state the family that stands in for it, "
            f"fallback = one of {', '.join(typical_families())}"
        )
    return _Origin("", typical.kernels, typical.family, typical.family)


@lasting
@lru_cache(maxsize=1024)
def system_family(system: str) -> str:
    """Family of the bundled GPU on which ``system`` was measured (h100_sxm, or a GPU's own name); of others their own name."""
    gpus = [load_gpu(name) for name in bundled_gpus()]
    stem = system.split("_")[0]
    return next((gpu.family for gpu in gpus if gpu.name in (system, stem) or gpu.kernels == system), system)


@lasting
@lru_cache(maxsize=4096)
def _kernel_fits(
    known: Fits, family: str, gpu: Gpu, engines: tuple[str, ...], arithmetic: str, packed: str, blocks: bool
) -> tuple[Fit, ...]:
    """:func:`kernel_fits` among ``known``."""
    origin = _origin(gpu)
    families = {system: system_family(system) for system in known.systems} | {origin.system: origin.family}

    def distance(system: str) -> tuple[bool, bool, bool, str]:
        return system != origin.system, families[system] != origin.family, families[system] != origin.fallback, system

    systems = sorted(families, key=distance)
    near = [system for system in systems if families[system] == origin.family]
    kinds = _kinds(family, gpu, arithmetic, packed, blocks)
    for candidates in (near, systems):
        for kind in kinds:
            entries = _first_origin(known, family, candidates, engines, kind)
            if entries:
                exact = kind == kinds[0]
                entries = sorted(entries, key=lambda entry: -entry["fitted"])
                return tuple(_as_fit(entry, exact and entry["system"] == origin.measured, engines) for entry in entries)
    raise InputError(f"no fitted {family} for {gpu.name}")


def _first_origin(
    known: Fits, family: str, systems: list[str], engines: tuple[str, ...], kind: str
) -> list[dict[str, Any]]:
    by_system = {system: known.of(family, system, kind) for system in systems}
    if engines == BEST:  # of what each engine would take, so that none of them is better
        names = sorted({_engine(entry) for entries in by_system.values() for entry in entries})
        taken = [entry for name in names for entry in _first_origin(known, family, systems, (name,), kind)]
        taken.sort(key=lambda entry: systems.index(entry["system"]))
        return [{**taken[0], "parameters": _best_of(taken)}] if taken else []
    for engine in (*engines, ""):
        for entries in by_system.values():
            taken = [entry for entry in entries if not engine or _engine(entry) == engine]
            if taken:
                return taken
    return []


def _engine(entry: dict[str, Any]) -> str:
    return entry["engine"].split("/")[0]


def _as_fit(entry: dict[str, Any], measured: bool, engines: tuple[str, ...]) -> Fit:
    evidence = "measured" if measured else f"taken from {entry['system']} {entry['kind']}"
    return Fit(entry["parameters"], evidence, None if engines == BEST else entry["test_median_error"], entry["kind"])


def _kinds(family: str, gpu: Gpu, arithmetic: str, packed: str, blocks: bool) -> tuple[str, ...]:
    """Kinds of numbers that serve, best first. Products of MXFP4 and MXFP8 need tensor cores for 4 bits; other 4-bit weights
    are unpacked as MXFP4 is."""
    if family == "collective":
        return (arithmetic,)
    if family == "latent_attention":
        return (arithmetic, "bfloat16") if arithmetic == "fp8" else ("bfloat16",)
    if family == "moe" and packed:
        native = ("w4a8_mxfp4_mxfp8",) if packed == "mxfp4" and "fp4" in gpu.arithmetics else ()
        return (*native, "w4a16_mxfp4", *KINDS["bf16"])
    if family in ("moe", "gemm") and arithmetic == "fp8" and blocks:
        return ("fp8_block", *KINDS["fp8"])
    return KINDS[arithmetic]


def _best_of(entries: list[dict[str, Any]]) -> dict[str, float]:
    """The most favourable value of every parameter that any engine reached on this GPU: a bound, not a kernel."""
    rates = ("memory", "compute", "overlap", "links", "direct")
    names = entries[0]["parameters"]
    return {name: (max if name in rates else min)(entry["parameters"][name] for entry in entries) for name in names}
