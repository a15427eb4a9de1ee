"""Sweeps, the Pareto front, the best cluster, and how users are spread over copies."""

import pytest

from wsekern.cluster import (
    Constraint,
    best_cluster,
    best_deployment,
    deploy,
    load_cluster,
    pareto,
    serve,
    sweep,
)
from wsekern.cluster.layout import cache_bytes, memory_of
from wsekern.cluster.precision import PRECISIONS
from wsekern.errors import InputError
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-70b")


def test_pareto_front_is_undominated():
    points = sweep(LLAMA, "h100x8")
    front = pareto(points)
    assert len(front) >= 4
    for point in points:
        assert any(p.tokens_per_second_per_user >= point.tokens_per_second_per_user
                   and p.tokens_per_second_per_gpu >= point.tokens_per_second_per_gpu for p in front)
    users = [p.tokens_per_second_per_user for p in front]
    assert users == sorted(users, reverse=True)


def test_best_cluster_keeps_its_bounds():
    request = Request(1024, 256, 4, "fp8")
    cluster, served = best_cluster(LLAMA, request, Constraint(gpus=8), clusters=("h100x8", "b200x8"))
    assert cluster.gpu.name == "b200" and served.layout.gpus <= 8
    bound = Constraint(time_per_output_token_seconds=0.02)
    _, cheap = best_cluster(LLAMA, request, bound, clusters=("h100x8",), objective="throughput")
    assert cheap.time_per_output_token_seconds <= 0.02
    assert cheap.usd_per_million_tokens < best_cluster(LLAMA, request, clusters=("h100x8",))[1].usd_per_million_tokens
    with pytest.raises(InputError, match="relax a bound"):
        best_cluster(LLAMA, request, Constraint(time_per_output_token_seconds=1e-5), clusters=("h100x8",))
    with pytest.raises(InputError, match="objective"):
        best_cluster(LLAMA, request, objective="beauty")


def test_expert_models_sweep_expert_layouts():
    points = sweep(load_config("qwen3-235b-a22b"), "h200x8", precision="fp8", batches=(8, 64))
    assert any(p.layout.dp > 1 and p.layout.ep == p.layout.tp * p.layout.dp for p in points)
    assert any(p.layout.ep == p.layout.tp > 1 for p in points)


def test_memory_counts_pages_and_heads():
    bf16 = PRECISIONS["bf16"]
    assert cache_bytes(LLAMA, bf16, 1) == cache_bytes(LLAMA, bf16, 16) == 80 * 2 * 8 * 128 * 2 * 16
    assert cache_bytes(LLAMA, bf16, 4096, tp=8) == cache_bytes(LLAMA, bf16, 4096) / 8
    assert cache_bytes(LLAMA, bf16, 4096, tp=64) == cache_bytes(LLAMA, bf16, 4096, tp=8)
    r1 = load_config("deepseek-r1")
    assert cache_bytes(r1, bf16, 16, tp=8) == 61 * 576 * 2 * 16
    memory = memory_of(deploy(LLAMA, "h100x8", context=4096, tp=8), 4096, 16)
    assert memory.weights == pytest.approx(2 * LLAMA.parameters / 8)
    assert memory.sequences > 16


def test_many_users_are_spread_over_copies():
    model, cluster = load_config("llama3-8b"), load_cluster("h100x8")
    alone, copies = best_deployment(model, Request(1024, 256, 1, "bf16"), cluster)
    assert copies == 1 and alone.layout.tp == 8
    found, copies = best_deployment(model, Request(1024, 256, 512, "bf16"), cluster)
    many = found.layout
    assert copies * many.gpus <= 8 and copies > 1
    whole = serve(model, Request(1024, 256, 512, "bf16"), cluster).tokens_per_second
    each = serve(model, Request(1024, 256, 512 // copies, "bf16"), cluster, tp=many.tp, pp=many.pp).tokens_per_second
    assert copies * each > whole
    huge, copies = best_deployment(load_config("llama3.1-405b"), Request(1024, 256, 1, "bf16"), load_cluster("h100x1"))
    assert copies == 1 and huge.layout.gpus == 1  # nothing fits: serve says so
