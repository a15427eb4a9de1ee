"""Published runs: the bars of the model, and the rules that read them."""

import csv

import pytest

from wsekern.errors import InputError
from wsekern.validation import gpu as validation
from wsekern.validation.gpu_rows import Refused, gpu_name, layout_of, model_of, understand, unfolded
from wsekern.workload import load_config


@pytest.fixture(scope="module")
def result():
    return validation.validate_rows()


def group(result, start):
    return [g for g in result["groups"] if g["group"].startswith(start) and g["tested"] >= 20]


def test_shape_of_the_result(result):
    assert {"id", "group", "measured", "predicted", "unit", "error", "note"} <= result["rows"][0].keys()
    assert {"group", "count", "predicted", "median_error", "worst_error"} <= result["groups"][0].keys()
    assert all(row["note"] for row in result["rows"] if row["predicted"] is None)
    apart = ("kernel gemm", "layer sparse", "layer state")  # of single kernels and layers, most set constants
    predicted = [row for row in result["rows"] if row["predicted"] is not None and not row["group"].startswith(apart)]
    assert sum(row["fitted"] for row in predicted) < 0.15 * len(predicted)


@pytest.mark.parametrize(("start", "bar"), [
    ("decode dense mean TPOT", 0.09), ("decode dense inter-token median (stock)", 0.08),
    ("decode batch 1 dense (compiled)", 0.10),
    ("prefill dense (eager)", 0.15), ("request latency dense", 0.15), ("decode MoE mean TPOT (sglang-", 0.15),
    ("throughput MoE (stock)", 0.12), ("throughput at most load MoE (tuned-2024)", 0.15), ("energy per token MoE", 0.15),
    ("throughput at most load dense (tuned", 0.15), ("energy per token dense", 0.15), ("kernel all-reduce", 0.12),
    ("decode MoE mean TPOT (stock", 0.12), ("decode MoE mean TPOT (tuned", 0.12), ("decode MoE inter-token", 0.15),
    ("first token under load dense", 0.16), ("first token under load MoE", 0.16), ("first token under assumed load", 0.21),
])
def test_bars(result, start, bar):
    groups = group(result, start)
    assert groups
    for found in groups:
        assert found["median_error"] <= bar, found


def test_a100_rows_of_osdi_are_in_order_and_near(result):
    """WaferLLM, table 4: for one user 16 GPUs are slower than 8."""
    rows = {row["id"]: row for row in result["rows"] if row["id"].startswith("osdi25-d")}
    for model in "01":
        one, eight, sixteen = (rows[f"osdi25-d{model}{n}"] for n in (1, 8, 16))
        assert one["predicted"] < sixteen["predicted"] < eight["predicted"]
        assert all(abs(row["error"]) <= 0.2 for row in (one, eight, sixteen))


def test_models_and_gpus_are_recognised_by_rule():
    assert model_of("meta-llama/Meta-Llama-3-8B").name == "llama3-8b"
    assert model_of("nvidia/Llama-3.1-8B-Instruct-FP8").name == "llama3.1-8b"
    assert model_of("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8").name == "qwen3-235b-a22b"
    assert model_of("Llama-4-Maverick").name == "llama4-maverick"
    assert gpu_name("A100", "suggests 40 GB") == "a100-40"
    assert gpu_name("NVIDIA H200-SXM-141GB", "") == "h200"
    assert gpu_name("NVIDIA H200-NVL-141GB", "") == "h200-nvl" and gpu_name("H100 PCIe", "") == "h100-pcie"
    assert gpu_name("GB200-NVL72", "") == "gb200" and gpu_name("A100-PCIE-80GB", "") == "a100-pcie"
    assert gpu_name("L40S", "") == "l40s" and gpu_name("NVIDIA L4", "") == "l4"
    for unknown in ("V100", "L40", "MI300X"):
        with pytest.raises(Refused, match="not described"):
            gpu_name(unknown, "")
    moe, dense = load_config("qwen3-235b-a22b"), load_config("llama3-70b")
    assert layout_of("TP1 EP8", 8, moe).dp == 8
    assert layout_of("TP8 EP8", 8, dense).ep == 1
    assert layout_of("DEP4", 4, moe) == layout_of("TP1 EP4", 4, moe)
    assert unfolded("TP64 EP8", 64) == ("TP8 EP8", 8) and unfolded("TP8 EP8", 8) == ("TP8 EP8", 8)
    assert unfolded("TP16", 16) == ("TP16", 16)
    assert model_of("Granite-4.2-8B").parameters == pytest.approx(8e9, rel=0.05)
    assert model_of("Qwen3.6-35B-A3B").active_parameters == pytest.approx(3e9, rel=0.3)
    with pytest.raises(Refused, match="does not divide"):
        layout_of("TP48", 48, load_config("deepseek-r1"))


def row(**changes):
    base = {"id": "x", "source": "mine", "gpu": "H100-SXM-80GB", "n_gpus": "1", "parallelism": "TP1", "model": "Llama-3.1-8B",
            "precision": "bf16", "isl": "1024", "osl": "128", "batch_or_concurrency": "1", "metric": "tpot_mean",
            "value": "7.5", "unit": "ms", "confidence": "high", "notes": "vllm 0.12"}
    return {**base, **changes}


def test_own_table(tmp_path):
    own = tmp_path / "own.csv"
    rows = [row(), row(id="y", notes="speculative decoding"), row(id="z", model="unheard-of"), row(id="w", n_gpus="3",
            parallelism="TP2"), row(id="v", value="fast"), row(id="u", unit="furlongs")]
    with own.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = {entry["id"]: entry for entry in validation.validate_rows(own)["rows"]}
    assert found["x"]["predicted"] == pytest.approx(7.5, rel=0.25)
    assert "speculative" in found["y"]["note"] and "not bundled" in found["z"]["note"]
    assert "does not multiply" in found["w"]["note"] and "not a number" in found["v"]["note"]
    assert "furlongs" in found["u"]["note"]
    own.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected the columns"):
        validation.validate_rows(own)
    with pytest.raises(InputError, match="cannot read"):
        validation.validate_rows(tmp_path / "none.csv")


def test_understanding_a_row():
    case = understand(row(isl="task:gpqa", notes="vLLM; avg batch 31.5"))
    assert case.batch == 31.5 and case.sampled and case.engine == "stock"
    assert understand(row(notes="sglang 0.5.9")).engine == "sglang"
    assert understand(row(precision="fp8", notes="trtllm 1.0")).precision.cache == 1.0
    with pytest.raises(Refused, match="MLPerf"):
        understand(row(isl="MLPerf dataset"))


def test_table_per_gpu_and_family():
    lines = {(line["kind"], line["gpu"], line["family"]): line for line in validation.family_table()}
    for key in (("decode", "h100", "qwen"), ("decode", "b200", "llama"), ("decode", "h200", "deepseek MoE")):
        assert lines[key]["tested"] > 10 and 0.0 < lines[key]["median_error"] < 0.3
