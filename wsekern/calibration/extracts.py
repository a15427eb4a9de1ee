"""Tables that :mod:`wsekern.calibration.kernels` reads, from a checkout of ai-dynamo/aiconfigurator.

``python -m wsekern.calibration.extracts CHECKOUT FOLDER`` writes ``gemm.csv``, ``attention.csv``, ``mla.csv`` and ``moe.csv``
of the engines and GPUs in :data:`TABLES` (commit 095f58a51 of 2026-08-21 is the one that the package was fitted to; Apache-2.0,
(c) NVIDIA CORPORATION & AFFILIATES). Needs pyarrow.
"""

import argparse
import csv
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import parquet

DATA = Path("aic-core/src/aiconfigurator_core/systems/data")
"""Where a checkout keeps its measured tables: GPU / kind / engine / version / table."""


class Table(NamedTuple):
    """One measured table: its kind, GPU, engine and version; number formats and kernels taken from it (none: all)."""

    kind: str
    system: str
    engine: str
    version: str
    formats: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


_STACKED = ("bfloat16", "fp8", "fp8_block", "nvfp4")
TABLES = (
    Table("gemm", "b200_sxm", "sglang", "0.5.10", ("bfloat16", "fp8", "nvfp4")),  # recipes: FlashInfer's, as TensorRT-LLM's
    Table("gemm", "h200_sxm", "sglang", "0.5.10", ("bfloat16", "fp8", "fp8_block")),
    *(Table("gemm", gpu, "vllm", "0.24.0", ("bfloat16", "fp8", "nvfp4")) for gpu in ("b200_sxm", "h200_sxm", "h100_sxm")),
    *(Table("gemm", gpu, "vllm", "0.19.0", ("fp8_block",)) for gpu in ("h200_sxm", "h100_sxm")),
    *(Table("gemm", gpu, "trtllm", "1.3.0rc20", _STACKED) for gpu in ("h200_sxm", "h100_sxm")),
    Table("gemm", "b200_sxm", "trtllm", "1.3.0rc20", ("fp8_block",)),
    *(Table("attention", gpu, "sglang", "0.5.10") for gpu in ("b200_sxm", "h200_sxm")),
    *(Table("attention", gpu, "vllm", "0.19.0") for gpu in ("b200_sxm", "h200_sxm")),
    *(Table("mla", gpu, "sglang", "0.5.10") for gpu in ("b200_sxm", "h200_sxm", "h100_sxm")),
    *(Table("mla", gpu, "trtllm", "1.3.0rc20") for gpu in ("b200_sxm", "h200_sxm", "h100_sxm")),
    Table("moe", "b200_sxm", "sglang", "0.5.14", ("nvfp4", "fp8_block", "bfloat16"), ("sglang_flashinfer_trtllm_moe",)),
    Table("moe", "b200_sxm", "sglang", "0.5.10", ("bfloat16",), ("sglang_fused_moe_triton",)),
    *(Table("moe", gpu, "sglang", "0.5.10", ("fp8_block", "bfloat16")) for gpu in ("h200_sxm", "h100_sxm")),
    *(Table("moe", gpu, "vllm", "0.19.0", _STACKED) for gpu in ("b200_sxm", "h200_sxm")),
)
"""What is taken: of each engine the version that was current when the runs of ``validate`` were made (spring of 2026), and the
kernels that their recipes choose (SemiAnalysisAI/InferenceX: ``--moe-runner-backend flashinfer_trtllm`` on Blackwell)."""

KEPT = 400
"""Rows that are kept at most of each GPU, engine, number format and kernel, those whose shapes have the least hashes."""

COLUMNS = {
    "gemm": ("gemm_dtype", "m", "n", "k"),
    "attention": ("phase", "batch_size", "isl", "kv_len", "num_heads", "num_key_value_heads", "head_dim"),
    "mla": ("kv_cache_dtype", "batch_size", "kv_len", "num_heads"),
    "moe": ("kernel_source", "moe_dtype", "num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size",
            "moe_ep_size"),
}  # fmt: skip
"""Columns of each file between those that say where a row is from and its ``latency_us``."""

FILES = {"gemm": "gemm_perf", "attention": "generation_attention_perf", "mla": "generation_mla_perf", "moe": "moe_perf"}


def extract(checkout: Path, table: Table) -> Iterator[dict[str, Any]]:
    """Rows of ``table`` as :mod:`wsekern.calibration.kernels` reads them, thinned to :data:`KEPT` of each fit."""
    path = checkout / DATA / table.system / table.kind / table.engine / table.version / f"{FILES[table.kind]}.parquet"
    groups: dict[tuple[str, ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in parquet.read_table(path).to_pylist():
        if not _wanted(table, row):
            continue
        row.update(system=table.system, framework=table.engine, version=table.version, latency_us=f"{1e3 * row['latency']:.5g}")
        if table.kind in ("attention", "mla"):
            row.update(phase="generation", kv_len=row["isl"] + row["step"])
        if table.kind == "moe":
            row["kernel_source"] = row["kernel_source"].removeprefix(f"{table.engine}_")
        shape = " ".join(str(row[name]) for name in COLUMNS[table.kind])
        fit = tuple(row[name] for name in COLUMNS[table.kind] if isinstance(row[name], str))
        groups[fit][shape] = {name: row[name] for name in header(table.kind)}
    for rows in groups.values():
        kept = sorted(rows, key=lambda shape: (zlib.crc32(shape.encode()), shape))[:KEPT]
        yield from (rows[shape] for shape in sorted(kept))


def header(kind: str) -> tuple[str, ...]:
    """Columns of the file of ``kind``."""
    return ("system", "framework", "version", *COLUMNS[kind], "latency_us")


def _wanted(table: Table, row: dict[str, Any]) -> bool:
    """Whether a row is of the formats and kernels that ``table`` names, and of a shape that the forms describe."""
    if table.sources and row["kernel_source"] not in table.sources:
        return False
    if table.kind == "attention":  # the caches of the shipped fits: 16 bit, whole context
        return row["kv_cache_dtype"] == "bfloat16" and not row.get("window_size") and row["head_dim"] == 128
    if table.kind == "moe":
        routed = row["distribution"] == "power_law_1.2" and row["num_tokens"] <= 8192 and row["num_experts"] >= 64
        return routed and row["moe_dtype"] in table.formats
    if table.kind == "gemm":  # the widths of models, whose least are a rank's share of keys and values
        return row["gemm_dtype"] in table.formats and min(row["n"], row["k"]) >= 512
    return True


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m wsekern.calibration.extracts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", type=Path, help="folder of a checkout of ai-dynamo/aiconfigurator")
    parser.add_argument("folder", type=Path, help="where to write the tables")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for kind in COLUMNS:
        with (options.folder / f"{kind}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, header(kind), lineterminator="\n")
            writer.writeheader()
            for table in TABLES:
                if table.kind == kind:
                    writer.writerows(extract(options.checkout, table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
