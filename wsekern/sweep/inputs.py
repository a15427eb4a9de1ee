"""The inputs of a comparison by name, as on the command line, and numbers of the machines by their place in the description."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec

import wsekern
from wsekern.cluster import Cluster, load_cluster
from wsekern.compare.pairing import Pairing
from wsekern.compare.serving import Serving, WaferChoices
from wsekern.description import with_value
from wsekern.errors import InputError
from wsekern.garbage import lasting
from wsekern.machine import Machine, load_machine
from wsekern.machine.machine import check_machine
from wsekern.sweep.axes import Value
from wsekern.sweep.load import LOAD, AskedLoad, load_of, sides_of, trace_hash
from wsekern.workload import Request, load_config
from wsekern.workload.config import ModelConfig
from wsekern.workload.popularity import parse_expert_law
from wsekern.workload.request import check_precision
from wsekern.workload.speculation import FREE, Draft, Speculation

DEFAULTS: dict[str, Value | None] = {
    "model": None, "wafer": "wse3", "wafers": "auto", "cluster": "h100x8", "prompt": 1024, "output": 256, "batch": 1,
    "precision": "fp16", "weight_precision": "", "cache_precision": "", "program_set": "default", "expert_law": "zipf:0.9",
    "profile": "silicon", "engine_level": "stock", "think": 0.0, "tp": None, "pp": None, "dp": None, "ep": None,
    "gpu_precision": None, "kv_precision": None, "chunked_prefill": True, "speculate": None, "acceptance": None, "draft": None,
    "shared_prefix": 0.0, "prefill_cluster": None, "slo_ttft": None, "slo_tpot": None, **LOAD,
}
"""Inputs with what they are unless said, as options of ``wsekern compare``. ``slo_ttft`` and ``slo_tpot`` are objectives in
seconds for which each side says whether it keeps them; with ``rate`` or ``trace`` requests are served one by one."""

WHOLE = ("prompt", "output", "batch", "tp", "pp", "dp", "ep", "speculate", "requests")
TEXT = ("model", "wafer", "cluster", "precision", "weight_precision", "cache_precision", "program_set", "expert_law", "profile",
        "engine_level", "gpu_precision", "kv_precision", "draft", "prefill_cluster", "trace")
NUMBERS = ("think", "acceptance", "shared_prefix", "slo_ttft", "slo_tpot", "rate", "trace_scale", "slo_share")
PLACES = ("machine.", "gpu.")
"""What stands before the place of a number in the description of the wafer, and of the chips beside it."""

LAST = ("machine.clock", "machine.system.price", "machine.system.power", "machine.system.idle_fraction",
        "machine.system.half_load_fraction", "gpu.price.", "gpu.power.", "slo_", "rate", "trace_scale", "seed", "systems")
"""How inputs begin that change no layout of a model: points that differ in nothing else are answered one after the other."""

MOST_WAFERS = 2048
"""Systems in the largest cluster that the vendor offers."""


def check_name(name: str, where: str) -> None:
    """Refuse a name of no input."""
    if name not in DEFAULTS and not name.startswith(PLACES):
        raise InputError(f"{where}: unknown input {name[:60]!r}, expected one of {', '.join(DEFAULTS)}, or the place of a "
                         "number in the description of a machine, such as machine.fabric.hop_latency or gpu.price.per_hour")


@dataclass(frozen=True)
class Case:
    """All that a point asks, ready to be answered; ``slo`` are the objectives in seconds for the first token and for each
    further one."""

    pairing: Pairing
    request: Request
    slo: tuple[float | None, float | None]
    inputs: tuple[tuple[str, Value], ...]
    load: AskedLoad | None = None

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of the wafer, the chips beside it, the model's shape, and of all data that predictions stand on."""
        return {"machine": machine_hash(self.pairing.machine), "cluster": cluster_hash(self.pairing.cluster),
                "model": model_hash(dict(self.inputs)["model"]), "data": data_hash(),
                **({} if self.load is None or self.load.trace is None else {"trace": trace_hash(self.load.trace)})}

    @cached_property
    def key(self) -> str:
        """The same for the same question to the same machines, models, data and version."""
        return _hash(json.dumps([dict(self.inputs), self.hashes, version()], sort_keys=True).encode(), 16)


@lasting
@lru_cache(maxsize=1)
def version() -> str:
    """Of wsekern."""
    return str(wsekern.__version__)


def _hash(content: bytes, length: int = 12) -> str:
    return hashlib.sha256(content).hexdigest()[:length]


@lasting
@lru_cache(maxsize=4096)
def machine_hash(machine: Machine) -> str:
    """Of all that a wafer's description holds."""
    return _hash(msgspec.msgpack.encode(machine, order="deterministic"))


@lasting
@lru_cache(maxsize=4096)
def cluster_hash(cluster: Cluster) -> str:
    """Of all that the chips' description holds, and how many there are."""
    return _hash(msgspec.msgpack.encode((cluster.gpu, cluster.count), order="deterministic"))


@lru_cache(maxsize=1024)
def model_hash(model: str) -> str:
    """Of the shape of the model that goes by this name now."""
    return _hash(json.dumps(asdict(load_config(model)), sort_keys=True, default=str).encode())


@lasting
@lru_cache(maxsize=1)
def data_hash() -> str:
    """Of the data in the package: descriptions of machines, constants, measurements."""
    found = hashlib.sha256()
    for package in ("wsekern.machine", "wsekern.cluster"):
        for name, entry in sorted(_files(files(package) / "data", "")):
            found.update(name.encode() + b"\0" + entry.read_bytes())
    return found.hexdigest()[:12]


def _files(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        found += _files(entry, f"{prefix}{entry.name}/") if entry.is_dir() else [(f"{prefix}{entry.name}", entry)]
    return found


def case_of(inputs: Mapping[str, Value]) -> Case:
    """What ``inputs`` ask; :class:`InputError` for a name, number or layout that no comparison would take."""
    given = DEFAULTS | dict(inputs)
    for name, value in inputs.items():
        _check_kind(name, value)
    if given["model"] is None:
        raise InputError("no point says which model: give one, such as model = \"llama3-8b\"")
    changes = tuple((name, value) for name, value in inputs.items() if name.startswith(PLACES))
    pairing = _pairing(tuple(given[name] for name in _OF_PAIRING), changes)
    request = Request(given["prompt"], given["output"], given["batch"], given["precision"])
    slo = tuple(None if given[name] is None else _seconds(name, given[name]) for name in ("slo_ttft", "slo_tpot"))
    load = load_of(inputs)
    if load is not None:
        sides_of(pairing, request, load)
    return Case(pairing, request, slo, tuple(inputs.items()), load)


_OF_PAIRING = tuple(name for name in DEFAULTS if name not in ("prompt", "output", "batch", "slo_ttft", "slo_tpot", *LOAD))


MOST = 10**9
"""Sanity limit of whole numbers."""


def _check_kind(name: str, value: Value) -> None:
    """Refuse text for a number and the like."""
    flag, number = isinstance(value, bool), isinstance(value, int | float) and not isinstance(value, bool)
    if name in WHOLE and not (isinstance(value, int) and not flag and 1 <= value <= MOST):
        raise InputError(f"{name} is {value!r}, expected a whole number from 1 to {MOST:,}")
    if name in TEXT and not isinstance(value, str):
        raise InputError(f"{name} is {value!r}, expected a name in quotes")
    if name == "chunked_prefill" and not flag:
        raise InputError(f"{name} is {value!r}, expected true or false")
    if name in NUMBERS and not number:
        raise InputError(f"{name} is {value!r}, expected a number")
    if name in ("rate", "trace_scale", "slo_share") and not 0.0 < value < (1.0 + 1e-12 if name == "slo_share" else math.inf):
        raise InputError(f"{name} is {value!r}, expected a finite number above 0{', at most 1' if name == 'slo_share' else ''}")
    if name == "seed" and not (isinstance(value, int) and not flag and value >= 0):
        raise InputError(f"seed is {value!r}, expected a whole number of at least 0")


def _seconds(name: str, value: Any) -> float:
    if not 0.0 < value < float("inf"):
        raise InputError(f"{name} is {value!r}, expected a finite number of seconds above 0")
    return float(value)


@lru_cache(maxsize=4096)
def _pairing(values: tuple[Any, ...], changes: tuple[tuple[str, Value], ...]) -> Pairing:
    """Both systems, checked as far as no request could change."""
    given = dict(zip(_OF_PAIRING, values, strict=True))
    check_precision(given["precision"])
    machine, cluster = _machine(given["wafer"], changes), _cluster(given["cluster"], changes)
    names = ("tp", "pp", "dp", "ep", "gpu_precision", "kv_precision", "chunked_prefill", "shared_prefix", "prefill_cluster")
    choices = WaferChoices(programs=given["program_set"], weight_precision=given["weight_precision"],
                           cache_precision=given["cache_precision"], expert_law=parse_expert_law(given["expert_law"]))
    serving = Serving(think_seconds=given["think"], speculation=_speculation(given), wafers=choices,
                      **{name: given[name] for name in names})
    pairing = Pairing(_model(given["model"]), machine, cluster, _wafers(given["wafers"]), given["profile"],
                      given["engine_level"], serving)
    pairing.check()
    return pairing


@lru_cache(maxsize=1024)
def _model(name: str) -> ModelConfig:
    return load_config(name)


def _wafers(value: Value) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WAFERS:
        raise InputError(f"wafers is {value!r}, expected \"auto\" or a whole number of 1 to {MOST_WAFERS:,}")
    return value


def _speculation(given: dict[str, Any]) -> Speculation | None:
    drafted, acceptance, draft = given["speculate"], given["acceptance"], given["draft"]
    if (drafted is None) != (acceptance is None) or (drafted is None and draft is not None):
        raise InputError("speculate and acceptance go together, and draft with both: how many tokens are drafted, and how "
                         "often one is accepted")
    return None if drafted is None else Speculation(drafted, acceptance, FREE if draft is None else Draft.of(draft))


@lasting
@lru_cache(maxsize=4096)
def _machine(name: str, changes: tuple[tuple[str, Value], ...]) -> Machine:
    machine = _changed(load_machine(name), "machine.", changes)
    check_machine(machine, name)
    return machine


@lasting
@lru_cache(maxsize=4096)
def _cluster(name: str, changes: tuple[tuple[str, Value], ...]) -> Cluster:
    if name == "auto":
        raise InputError("cluster is 'auto', which a sweep does not take: name the machines, each a value of its own")
    cluster = load_cluster(name)
    return replace(cluster, gpu=_changed(cluster.gpu, "gpu.", changes))


def _changed(description: Any, prefix: str, changes: tuple[tuple[str, Value], ...]) -> Any:
    """``description`` with those numbers that ``changes`` name behind ``prefix``."""
    for name, value in changes:
        if name.startswith(prefix):
            description = with_value(description, name.removeprefix(prefix), value, name)
    return description
