"""Tables of aiconfigurator become those that the fit of kernels reads."""

import pyarrow as pa
from pyarrow import parquet

from wsekern.calibration import extracts
from wsekern.calibration.extracts import COLUMNS, DATA, FILES, KEPT, TABLES, Table, extract, header, main
from wsekern.calibration.kernels import read_tables

COMMON = {"framework": "x", "version": "1", "device": "B200", "op_name": "x", "kernel_source": "sglang_flashinfer_trtllm_moe"}
ROWS = {
    "gemm": [{**COMMON, "gemm_dtype": kind, "m": m, "n": n, "k": 2048, "latency": 0.01 + 1e-6 * m}
             for kind in ("bfloat16", "int8") for m in (1, 64) for n in (64, 4096)],
    "attention": [{**COMMON, "batch_size": b, "isl": 1, "step": 1023, "num_heads": 8, "num_key_value_heads": 1,
                   "head_dim": 128, "kv_cache_dtype": cache, "window_size": 0, "latency": 0.02}
                  for b in (1, 2) for cache in ("bfloat16", "fp8")],
    "mla": [{**COMMON, "batch_size": b, "isl": 1, "step": 7, "num_heads": 16, "kv_cache_dtype": "fp8", "latency": 0.01}
            for b in (1, 2)],
    "moe": [{**COMMON, "moe_dtype": "nvfp4", "num_tokens": tokens, "hidden_size": 4096, "inter_size": 1536, "topk": 8,
             "num_experts": 128, "moe_tp_size": 1, "moe_ep_size": 8, "distribution": law, "latency": 0.03}
            for tokens in (1, 16) for law in ("balanced", "power_law_1.2")],
}


def write(checkout, table):
    path = checkout / DATA / table.system / table.kind / table.engine / table.version / f"{FILES[table.kind]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(ROWS[table.kind]), path)


def test_every_table_becomes_one_that_the_fit_reads(tmp_path):
    for table in TABLES:
        write(tmp_path / "checkout", table)
    assert main([str(tmp_path / "checkout"), str(tmp_path / "out")]) == 0
    found = {(family, key) for family, key, _ in read_tables(tmp_path / "out")}
    assert {family for family, _ in found} == {"gemm", "decode_attention", "latent_attention", "moe"}
    assert ("moe", ("b200_sxm", "sglang/flashinfer_trtllm_moe", "nvfp4")) in found
    assert ("gemm", ("h200_sxm", "vllm", "int8")) not in found


def test_shapes_that_the_forms_do_not_describe_are_left_out(tmp_path):
    counts = {"gemm": 2, "attention": 2, "mla": 2, "moe": 2}  # widths of models, 16-bit caches, one law of routing
    for kind, count in counts.items():
        table = Table(kind, "b200_sxm", "sglang", "1", ("bfloat16", "nvfp4"))
        write(tmp_path, table)
        rows = list(extract(tmp_path, table))
        assert len(rows) == count
        assert all(tuple(row) == header(kind) for row in rows)
        assert all(set(COLUMNS[kind]) < set(row) and float(row["latency_us"]) >= 10.0 for row in rows)


def test_thinning_keeps_the_same_rows(tmp_path, monkeypatch):
    table = Table("gemm", "b200_sxm", "sglang", "1", ("bfloat16",))
    write(tmp_path, table)
    whole = list(extract(tmp_path, table))
    monkeypatch.setattr(extracts, "KEPT", 1)
    (kept,) = extract(tmp_path, table)
    assert kept in whole and len(whole) == 2 <= KEPT
