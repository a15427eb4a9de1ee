"""The measuring script as far as a CPU can check it: shapes, names, files that calibrate and validate read, the stack."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wsekern.calibration import measure
from wsekern.calibration.kernels import read_tables
from wsekern.validation.gpu import validate_rows


def test_it_needs_nothing_of_the_package(tmp_path):
    """One file, copied away and run without wsekern: it says what it lacks."""
    copy = tmp_path / "measure.py"
    copy.write_text(Path(measure.__file__).read_text())
    assert "import wsekern" not in copy.read_text() and "from wsekern" not in copy.read_text()
    done = subprocess.run([sys.executable, "-I", str(copy), str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if torch.cuda.is_available() else 2)
    assert done.returncode == 0 or done.stderr.startswith("measure: no CUDA device")


@pytest.mark.parametrize(("device", "system"), [
    ("NVIDIA H100 80GB HBM3", "h100_sxm"), ("NVIDIA A100-SXM4-80GB", "a100_sxm"), ("NVIDIA H200", "h200_sxm"),
    ("NVIDIA B200", "b200_sxm"), ("NVIDIA GB200", "gb200"), ("NVIDIA L40S", "l40s"), ("NVIDIA RTX 5090", "rtx_5090"),
])
def test_system_names(device, system):
    assert measure.system_name(device) == system


def test_shapes_are_bounded():
    assert all(4.0 * batch * context * kv * 128 <= measure.CACHE_LIMIT
               for batch, context, _, kv in measure.decode_shapes())


def test_tables_are_read_back(tmp_path):
    head = ("h100_sxm", "torch", "2.0")
    gemm = [dict(zip(measure.GEMM_COLUMNS, (*head, "bfloat16", m, n, k, 5.0 + m * n * k / 1e9), strict=True))
            for m in measure.GEMM_M for n, k in measure.GEMM_NK]
    measure.write_table(tmp_path / "gemm.csv", measure.GEMM_COLUMNS, gemm)
    rows = [dict(zip(measure.ATTENTION_COLUMNS, (*head, "generation", b, 1, c, h, kv, 128, 9.0), strict=True))
            for b, c, h, kv in measure.decode_shapes()]
    measure.write_table(tmp_path / "attention.csv", measure.ATTENTION_COLUMNS, rows)
    groups = {family: key for family, key, _ in read_tables(tmp_path)}
    assert groups == {"gemm": ("h100_sxm", "torch", "bfloat16"), "decode_attention": ("h100_sxm", "torch", "bf16")}
    step = measure.step_row(measure.Shape(), "NVIDIA H100 80GB HBM3", 1024, 4, 0.0066, "2.0")
    measure.write_table(tmp_path / "steps.csv", measure.STEP_COLUMNS, [step])
    (row,) = validate_rows(tmp_path / "steps.csv")["rows"]
    assert "(graph)" in row["group"] and row["predicted"] == pytest.approx(6.6, rel=0.2)


def test_the_stack_decodes_a_token():
    shape = measure.Shape(layers=2, hidden=32, heads=4, kv_heads=2, head_dim=8, ffn=48, vocab=50)
    torch.manual_seed(0)
    weights = measure.make_stack(torch, shape, "cpu", torch.float32)
    caches = measure.make_caches(torch, shape, 3, 7, "cpu", torch.float32)
    x = torch.randn(3, 32)
    logits = measure.decode_step(torch, shape, weights, caches, x)
    assert logits.shape == (3, 50) and torch.isfinite(logits).all()
    alone = [(k[1:2].clone(), v[1:2].clone()) for k, v in caches]
    assert torch.allclose(measure.decode_step(torch, shape, weights, alone, x[1:2]), logits[1:2], atol=1e-5)


def test_rotation_visits_every_copy():
    take = measure.rotated(["a", "b", "c"], 3)
    assert {take() for _ in range(3)} == {"a", "b", "c"}
