"""Fit the kernel parameters to measured kernel times: ``python -m wsekern.calibration.kernels FOLDER``.

FOLDER holds any of ``gemm.csv``, ``attention.csv``, ``mla.csv``, ``collectives.csv`` and ``moe.csv`` (or the names of the
aiconfigurator extracts, ``aic_gemm_subset.csv`` and so on). Two thirds of the shapes, chosen by a hash of the shape,
are fitted; the others are the test. The result, with residuals and the worst shapes, is one JSON file; the package ships
its own as ``wsekern/cluster/data/kernels.json``, and :func:`wsekern.cluster.parameters.read_fits` reads one of yours.
"""

import argparse
import csv
import gzip
import json
import re
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.calibration.minimise import minimise, relative_loss
from wsekern.calibration.routing import TABLE_EXPONENT, in_tables
from wsekern.cluster import kernels
from wsekern.cluster.hardware import Gpu, bundled_gpus, load_gpu
from wsekern.cluster.parameters import FORMAT, shipped
from wsekern.errors import InputError
from wsekern.output import run_and_exit, write_file

DTYPES = {
    "bfloat16": ("bf16", 2.0, 2.0),
    "float16": ("fp16", 2.0, 2.0),
    "bf16": ("bf16", 2.0, 2.0),
    "fp16": ("fp16", 2.0, 2.0),
    "fp8": ("fp8", 1.0, 1.0),
    "fp8_block": ("fp8", 1.0, 1.0),
    "int8": ("int8", 1.0, 1.0),
    "nvfp4": ("fp4", 0.5625, 0.5625),
    "w4a16_mxfp4": ("bf16", 0.53125, 2.0),
    "w4a8_mxfp4_mxfp8": ("fp8", 0.53125, 1.0),
}
"""Name in the tables -> arithmetic, bytes per weight and per input (scales of block formats included)."""

FILES = {
    "gemm": ("gemm.csv", "aic_gemm_subset.csv"),
    "attention": ("attention.csv", "aic_attention_subset.csv"),
    "collectives": ("collectives.csv", "aic_collectives.csv"),
    "mla": ("mla.csv",),
    "moe": ("moe.csv", "aic_moe_subset.csv"),
}

ROUTING = f"power_law_{TABLE_EXPONENT}"
"""The only ``distribution`` of experts whose rows are read; also taken where a table has no such column."""

Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Form:
    """A kernel family: its formula on measured rows, the box of its parameters (start, least, greatest), the columns that make
    a shape, and what is worked out from them once before the fit."""

    time: Callable[[dict[str, float], Rows, Gpu, str], np.ndarray]
    box: dict[str, tuple[float, float, float]]
    shape: tuple[str, ...]
    prepare: Callable[[Rows], Rows] = lambda rows: rows


def _gemm(p: dict[str, float], rows: Rows, gpu: Gpu, dtype: str) -> np.ndarray:
    arithmetic, weight, inputs = DTYPES[dtype]
    return sum(
        kernels.gemm(
            p, rows["m"], rows["n"], rows["k"], weight, inputs, gpu.peak_flops(arithmetic), float(gpu.memory.bandwidth)
        )
    )


def _decode(p: dict[str, float], rows: Rows, gpu: Gpu, _: str) -> np.ndarray:
    batch, context, dim = rows["batch_size"], rows["kv_len"], rows["head_dim"]
    moved = 4.0 * batch * context * rows["num_key_value_heads"] * dim
    work = 4.0 * batch * context * rows["num_heads"] * dim
    return sum(
        kernels.decode_attention(
            p, batch, context, rows["num_heads"], moved, work, gpu.peak_flops("bf16"), float(gpu.memory.bandwidth)
        )
    )


def _latent(p: dict[str, float], rows: Rows, gpu: Gpu, cache: str) -> np.ndarray:
    """Absorbed latent attention of DeepSeek: all heads share a cache of 512 + 64 elements a token."""
    batch, context, heads = rows["batch_size"], rows["kv_len"], rows["num_heads"]
    moved = batch * context * LATENT * DTYPES[cache][1]
    work = 2.0 * batch * context * heads * (LATENT + LATENT_VALUE)
    peak = gpu.peak_flops("bf16")
    return sum(kernels.decode_attention(p, batch, context, heads, moved, work, peak, float(gpu.memory.bandwidth)))


LATENT, LATENT_VALUE = 576.0, 512.0
"""Elements of the cache of the latent attention that was timed, and those that values have."""


def _prefill(p: dict[str, float], rows: Rows, gpu: Gpu, _: str) -> np.ndarray:
    batch, tokens, heads, dim = rows["batch_size"], rows["isl"], rows["num_heads"], rows["head_dim"]
    moved = 4.0 * batch * tokens * dim * (heads + rows["num_key_value_heads"])
    work = 2.0 * batch * heads * dim * tokens * tokens
    return sum(kernels.prefill_attention(p, tokens, moved, work, gpu.peak_flops("bf16"), float(gpu.memory.bandwidth)))


def _moe(p: dict[str, float], rows: Rows, gpu: Gpu, dtype: str) -> np.ndarray:
    arithmetic, weight, inputs = DTYPES[dtype]
    return sum(
        kernels.expert_ffn(
            p,
            rows["rows"],
            rows["active"],
            rows["hidden_size"],
            rows["inter_size"] / rows["moe_tp_size"],
            3.0,
            weight,
            inputs,
            gpu.peak_flops(arithmetic),
            float(gpu.memory.bandwidth),
        )
    )


def _busiest_rank(rows: Rows) -> Rows:
    """``rows`` with what the routing of the tables gives the timed GPU: ``rows`` of tokens and ``active`` experts."""
    names = ("num_tokens", "topk", "num_experts", "moe_ep_size")
    drawn = [in_tables(*map(int, choice)) for choice in zip(*(rows[name] for name in names), strict=True)]
    return {**rows, "rows": np.array([count for count, _ in drawn]), "active": np.array([active for _, active in drawn])}


def _collective(p: dict[str, float], rows: Rows, gpu: Gpu, operation: str) -> np.ndarray:
    return kernels.collective(p, operation, rows["num_gpus"], rows["message_bytes"], float(gpu.link.bandwidth))


_RATE = (0.8, 0.05, 1.0)
_OVERLAP = (3.0, 1.0, 12.0)
_OF_DECODE = {
    "fixed": (8e-6, 1e-6, 5e-5),
    "memory": _RATE,
    "compute": (0.4, 0.02, 1.0),
    "overlap": _OVERLAP,
    "rows": (2e-6, 1e-9, 1e-4),
    "length": (5e-7, 1e-10, 1e-4),
    "ramp": (5e-6, 1e-9, 1e-4),
    "fill": (1e-5, 1e-6, 1e-3),
}
"""Of attention in decode, of heads and latent."""
FORMS = {
    "gemm": Form(
        _gemm,
        {
            "fixed": (3e-6, 5e-7, 4e-5),
            "memory": _RATE,
            "compute": (0.7, 0.05, 1.0),
            "overlap": _OVERLAP,
            "depth": (2e-6, 1e-9, 1e-4),
        },
        ("m", "n", "k"),
    ),
    "decode_attention": Form(
        _decode,
        _OF_DECODE,
        ("batch_size", "kv_len", "num_heads", "num_key_value_heads", "head_dim"),
    ),
    "latent_attention": Form(
        _latent,
        _OF_DECODE,
        ("batch_size", "kv_len", "num_heads"),
    ),
    "prefill_attention": Form(
        _prefill,
        {
            "fixed": (1e-5, 1e-6, 5e-5),
            "memory": (0.3, 0.05, 1.0),
            "compute": (0.6, 0.05, 1.0),
            "overlap": (1.2, 1.0, 12.0),
            "length": (5e-6, 1e-9, 1e-3),
        },
        ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"),
    ),
    "moe": Form(
        _moe,
        {
            "fixed": (2.2e-5, 2e-6, 3e-4),
            "memory": (0.9, 0.05, 1.0),
            "compute": (0.6, 0.05, 1.0),
            "overlap": (1.2, 1.0, 12.0),
            "pad": (1.0, 0.1, 128.0),
            "group": (3e-5, 1e-9, 1e-3),
            "depth": (5e-6, 1e-9, 1e-3),
            "route": (3e-5, 1e-9, 1e-3),
        },
        ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"),
        _busiest_rank,
    ),
    "collective": Form(
        _collective,
        {
            "fixed": (5e-6, 5e-7, 1e-4),
            "rank": (3e-7, 1e-10, 1e-5),
            "links": (0.8, 0.05, 1.0),
            "direct": (0.4, 0.01, 1.0),
            "extra": (5e-6, 1e-9, 1e-3),
            "ramp": (1.0, 1e-3, 30.0),
        },
        ("num_gpus", "message_bytes"),
    ),
}


def is_held_out(shape: tuple[float, ...]) -> bool:
    """True for the third of all shapes that only tests: a fixed hash, the same on every GPU and engine."""
    return zlib.crc32(",".join(f"{value:g}" for value in shape).encode()) % 3 == 2


def system_gpu(system: str) -> Gpu:
    """The described GPU on which ``system`` (a name such as h100_sxm, or a GPU's own name) was measured."""
    stem = system.split("_")[0]
    same = [load_gpu(name) for name in bundled_gpus() if re.fullmatch(rf"{re.escape(stem)}(-\d+)?", name)]
    return max(same, key=lambda gpu: float(gpu.memory.capacity)) if same else load_gpu(system)


def read_tables(folder: Path) -> Iterator[tuple[str, tuple[str, str, str], dict[str, list[float]]]]:
    """(family, (system, engine, kind), columns) of every group of measured kernels in ``folder``."""
    found = False
    for table, names in FILES.items():
        for name in names:
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    found = True
                    yield from _groups(table, path)
    if not found:
        raise InputError(
            f"{folder} has none of the tables that calibrate reads: expected one of "
            f"{', '.join(name for names in FILES.values() for name in names)}"
        )


def _groups(table: str, path: Path) -> Iterator[tuple[str, tuple[str, str, str], dict[str, list[float]]]]:
    groups: dict[tuple[str, tuple[str, str, str]], dict[str, list[float]]] = {}
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as stream:
        for row in _newest(list(csv.DictReader(stream))):
            try:
                family, key = _classify(table, row)
                if family is None:
                    continue
                columns = groups.setdefault((family, key), {})
                for name in (*FORMS[family].shape, "latency_us"):
                    columns.setdefault(name, []).append(float(row[name]))
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}: in {dict(row)} column {error} is missing or not a number") from None
    for (family, key), columns in sorted(groups.items()):
        yield family, key, columns


def _newest(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of the newest version that each engine was measured with: kernels are replaced between versions."""

    def place(row: dict[str, str]) -> tuple[str, ...]:
        names = ("system", "framework", "op", "gemm_dtype", "phase", "moe_dtype", "kv_cache_dtype")
        return tuple(row.get(name, "") for name in names)

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(digits) for digits in re.findall(r"\d+", version))

    newest: dict[tuple[str, ...], tuple[int, ...]] = {}
    for row in rows:
        newest[place(row)] = max(newest.get(place(row), ()), number(row.get("version", "")))
    return [row for row in rows if number(row.get("version", "")) == newest[place(row)]]


def _classify(table: str, row: dict[str, str]) -> tuple[str | None, tuple[str, str, str]]:
    system, engine = row["system"], row["framework"]
    if table == "gemm":
        return "gemm", (system, engine, row["gemm_dtype"])
    if table == "attention":
        return ("decode_attention" if row["phase"] == "generation" else "prefill_attention"), (system, engine, "bf16")
    if table == "mla":
        return "latent_attention", (system, engine, row["kv_cache_dtype"])
    if table == "moe":
        if row.get("distribution") not in (None, "", ROUTING):
            raise InputError(f"experts chosen by {row['distribution']!r} are not modelled: keep the rows of {ROUTING}")
        if row["kernel_source"] == "mtf_min_latency" and _gated(row):
            return None, (system, engine, "")
        return "moe", (system, f"{engine}/{row['kernel_source']}", row["moe_dtype"])
    if row["kernel"].endswith("_eager"):
        return None, (system, engine, "")
    return "collective", (system, engine, row["op"])


def _gated(row: dict[str, str]) -> bool:
    """Whether the routing of a row timed behind DeepSeek's gate is unknown: the collector of aiconfigurator gives that gate to
    every model, which keeps 4 of 8 groups of experts, and its ties favour the first. Eight experts always come out as one, and
    a GPU that holds one group gets more than its share; where one GPU holds all, the gate changes nothing that is timed."""
    return int(row["num_experts"]) <= 8 or int(row["moe_ep_size"]) > 1


def fit_group(family: str, key: tuple[str, str, str], columns: dict[str, list[float]]) -> tuple[dict[str, Any], np.ndarray]:
    """Fit one family on one GPU and engine: parameters, residuals and worst shapes; and the errors of all held-out shapes."""
    form, gpu = FORMS[family], system_gpu(key[0])
    rows = form.prepare({name: np.asarray(values, float) for name, values in columns.items()})
    measured = rows.pop("latency_us") * 1e-6
    if np.any(measured <= 0):
        raise InputError(f"{family} of {'/'.join(key)}: a latency is not positive")
    shapes = list(zip(*(rows[name] for name in form.shape), strict=True))
    test = np.array([is_held_out(shape) for shape in shapes])
    if test.all() or not test.any():
        test = np.arange(len(shapes)) % 3 == 2
    train = {name: values[~test] for name, values in rows.items()}
    names = list(form.box)
    start, low, high = (np.array(values) for values in zip(*form.box.values(), strict=True))

    def loss(x: np.ndarray) -> float:
        return relative_loss(form.time(dict(zip(names, x, strict=True)), train, gpu, key[2]), measured[~test])

    trials = [minimise(loss, np.clip(start * scale, low, high), low, high, 200 * len(names)) for scale in (1.0, 0.6, 1.5)]
    best = min(trials, key=loss)
    parameters = {name: float(f"{value:.5g}") for name, value in zip(names, best, strict=True)}
    error = np.abs(form.time(parameters, rows, gpu, key[2]) / measured - 1.0)
    fit = {
        "family": family,
        "system": key[0],
        "engine": key[1],
        "kind": key[2],
        "parameters": parameters,
        "fitted": int((~test).sum()),
        "tested": int(test.sum()),
        "fit_median_error": _round(np.median(error[~test])),
        "test_median_error": _round(np.median(error[test])) if test.any() else None,
        "test_p90_error": _round(np.percentile(error[test], 90)) if test.any() else None,
        "worst": _worst(form.shape, shapes, test, error, measured),
    }
    return fit, error[test]


def _worst(names: tuple[str, ...], shapes: list, test: np.ndarray, error: np.ndarray, measured: np.ndarray) -> list[dict]:
    order = [index for index in np.argsort(-error) if test[index]][:3]
    return [
        {
            **{name: float(value) for name, value in zip(names, shapes[index], strict=True)},
            "seconds": float(f"{measured[index]:.4g}"),
            "error": _round(error[index]),
        }
        for index in order
    ]


def _round(value: float) -> float:
    return round(float(value), 4)


def calibrate(folder: Path, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Fit everything in ``folder``; the result is what the package ships as ``kernels.json``."""
    fits, errors = [], defaultdict(list)
    seen = set()
    for family, key, columns in read_tables(folder):
        if (family, key) in seen:  # the first table that has a group counts
            continue
        seen.add((family, key))
        fit, held_out = fit_group(family, key, columns)
        errors[family, key[0]].extend(held_out)
        fits.append(fit)
        progress(residuals(fit))
    families = [
        {"family": family, "system": system, "tested": len(found), "test_median_error": _round(np.median(found))}
        for (family, system), found in sorted(errors.items())
    ]
    split = "crc32 of the shape, modulo 3: remainder 2 is held out"
    return {"format": FORMAT, "split": split, "families": families, "fits": fits}


def residuals(fit: dict[str, Any]) -> str:
    """Errors of one fit in a line."""
    return (
        f"{fit['family']:18s} {fit['system']:10s} {fit['engine'][:44]:44s} {fit['kind']:18s} {fit['fitted']:5d} fitted "
        f"{fit['fit_median_error']:7.1%}  {fit['tested']:5d} tested {fit['test_median_error']:7.1%} "
        f"p90 {fit['test_p90_error']:6.1%}"
    )


def summary(result: dict[str, Any], worst: int = 15) -> Iterator[str]:
    """Lines for people: median error over all held-out shapes of each family and GPU, then the worst held-out shapes."""
    yield "held-out median error per family and GPU"
    for group in result["families"]:
        yield f"{group['family']:18s} {group['system']:10s} {group['tested']:6d} shapes {group['test_median_error']:6.1%}"
    yield "worst held-out shapes"
    shapes = [(shape["error"], fit, shape) for fit in result["fits"] if fit["tested"] for shape in fit["worst"]]
    for error, fit, shape in sorted(shapes, key=lambda entry: -entry[0])[:worst]:
        place = " ".join(f"{name}={value:g}" for name, value in shape.items() if name not in ("error", "seconds"))
        where = f"{fit['family']} {fit['system']} {fit['engine'][:24]} {fit['kind']}"
        yield f"{error:7.1%} of {1e6 * shape['seconds']:.4g} us: {where}: {place}"


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m wsekern.calibration.kernels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder with the measured tables (default: list the shipped fits)")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: only print the residuals)")
    parser.add_argument("--source", default="measured by the user", help="where the tables come from")
    options = parser.parse_args(arguments)
    if options.folder is None:
        result = shipped()
        print("\n".join([*map(residuals, result["fits"]), *summary(result)]))
        return 0
    try:
        result = {"source": options.source, **calibrate(options.folder, print)}
    except InputError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    print("\n".join(summary(result)))
    if options.output:
        write_file(options.output, json.dumps(result, indent=0) + "\n")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
