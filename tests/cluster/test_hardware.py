"""Descriptions: every GPU loads with unit and source; names, own files and refusals."""

import pytest

from wsekern.cluster import bundled_clusters, bundled_gpus, engine_levels, load_cluster, load_gpu, predict
from wsekern.errors import InputError
from wsekern.workload import load_config

EXPECTED = {"a100-80": "high", "h100": "high", "b200": "high"}
"""Measured themselves with vLLM's kernels, and whole models on them in 16 bit; others borrow."""


def test_every_gpu_is_described_and_predicted():
    model = load_config("qwen3-4b")
    for name in bundled_gpus():
        gpu = load_gpu(name)
        assert gpu.memory.bandwidth.source and gpu.power.tdp.unit == "W"
        assert gpu.peak_flops("fp4") >= gpu.peak_flops("bf16")
        found = predict(model, f"{name}:1", context=512, check_memory=False)
        assert found.confidence == EXPECTED.get(name, "medium") or not gpu.kernels
        assert found.nearest and {"what", "source", "error", "distance"} <= found.nearest[0].keys()


@pytest.mark.parametrize(("text", "gpu", "count"), [
    ("h100x8", "h100", 8), ("8xh100", "h100", 8), ("H200x4", "h200", 4), ("gb200-nvl72", "gb200", 72),
    ("a100x16", "a100-80", 16),
    ("a100-40x2", "a100-40", 2), ("b200", "b200", 1),
])
def test_cluster_names(text, gpu, count):
    cluster = load_cluster(text)
    assert (cluster.gpu.name, cluster.count) == (gpu, count)
    assert load_cluster(cluster) is cluster
    assert cluster.power_max > cluster.count * float(cluster.gpu.power.tdp)


def test_bundled_clusters_all_load():
    assert {"h100x8", "gb200-nvl72", "b200x8"} <= set(bundled_clusters())
    for name in bundled_clusters():
        assert load_cluster(name).nodes == 1


def test_own_gpu_by_path_always_answers(tmp_path):
    from importlib.resources import files

    text = (files("wsekern.cluster") / "data" / "machines" / "h100.toml").read_text()
    own = tmp_path / "mine.toml"
    own.write_text(text.replace('name = "h100"', 'name = "mine"').replace('kernels = "h100_sxm"', 'kernels = ""')
                   .replace("3350e9", "6700e9"))
    found = predict(load_config("llama3-8b"), f"{own}x2", context=1024)
    assert found.confidence == "low"
    assert found.seconds < predict(load_config("llama3-8b"), "h100x2", context=1024).seconds
    own.write_text(text.replace('unit = "B/s"', 'unit = "GB/s"', 1))
    with pytest.raises(InputError, match=r"unit is 'GB/s', expected 'B/s'"):
        load_gpu(str(own))
    own.write_text(text.replace('family = "hopper"', 'family = "volta"').replace('kernels = "h100_sxm"', 'kernels = ""'))
    with pytest.raises(InputError, match="family 'volta'"):
        predict(load_config("llama3-8b"), f"{own}x1", context=64)


def test_engine_levels_are_sourced():
    known = ["ideal", "graph", "compiled", "tuned", "tuned-overlapped", "tuned-2024", "stock", "stock-overlapped", "stock-2024",
             "sglang", "sglang-overlapped", "sglang-2025", "sglang-2024", "eager"]
    assert [level for level in engine_levels() if level in known] == known and "atom" in engine_levels()
    for engine in engine_levels().values():
        assert engine.generation and engine.per_step.source
    with pytest.raises(InputError, match="engine level 'fast'"):
        predict(load_config("llama3-8b"), "h100x1", engine_level="fast")


def test_a_cluster_has_a_largest_size():
    with pytest.raises(InputError, match="count is 1000001, expected at most 1000000 GPUs"):
        load_cluster("h100x1000001")
    assert load_cluster("h100x1000000").count == 1_000_000
