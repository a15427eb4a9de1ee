"""Choices beside the request: each is used on the side that it names, or refused in a sentence."""

import pytest

from wsekern.cluster import load_cluster
from wsekern.compare import Serving, compare
from wsekern.compare.datacentre import Budget, datacentre
from wsekern.compare.sweep import sweep
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
LLAMA = load_config("llama3-8b")


def gpus(request=Request(), cluster="h100x8", model=LLAMA, **choices):  # noqa: B008
    return compare(model, request, WSE3, None, cluster, serving=Serving(**choices)).cluster


@pytest.mark.parametrize(("choices", "users", "copies", "used"), [
    ({"tp": 8}, 64, 1, 8), ({"tp": 2}, 64, 4, 8), ({"tp": 2}, 3, 3, 6), ({"tp": 2, "dp": 2}, 64, 1, 4),
    ({"tp": 2, "pp": 2}, 1, 1, 4),
])
def test_a_layout_is_used_and_copies_of_it_fill_the_cluster(choices, users, copies, used):
    side = gpus(Request(batch=users), **choices)
    assert {name: side.facts[name] for name in choices} == choices
    assert side.facts["copies"] == copies and side.facts["gpus"] == used
    assert side.usd_per_hour == pytest.approx(used * float(load_cluster("h100x8").gpu.price.per_hour))
    assert any("as asked" in line for line in side.assumptions)


@pytest.mark.parametrize(("choices", "words"), [
    ({"tp": 3}, "tp 3 does not divide"), ({"tp": 16}, "needs 16 GPUs"), ({"ep": 2}, "no experts"), ({"pp": 64}, "GPUs"),
    ({"gpu_precision": "fp3"}, "fp3"), ({"kv_precision": "fp3"}, "fp3"), ({"think_seconds": -1.0}, "think"),
    ({"think_seconds": float("nan")}, "think"),
])
def test_what_cannot_be_is_refused_by_every_kind_of_comparison(choices, words):
    for run in (lambda serving: compare(LLAMA, Request(), WSE3, None, "h100x8", serving=serving),
                lambda serving: sweep(LLAMA, WSE3, "h100x8", batches=(1,), serving=serving),
                lambda serving: datacentre(LLAMA, WSE3, "h100x8", Budget(1e6), batches=(1,), serving=serving)):
        with pytest.raises(InputError, match=words):
            run(Serving(**choices))


def test_the_precision_of_gpus_is_apart_from_that_of_the_wafer():
    found = compare(LLAMA, Request(precision="fp32"), WSE3, None, "h100x8", serving=Serving(gpu_precision="fp8"))
    assert found.cluster.facts["gpu_precision"] == "fp8" and "weights in fp8 on the GPUs, as asked" in found.cluster.assumptions
    assert "weights and cache in fp32 on the wafers" in found.wafer.assumptions
    own = gpus()
    assert own.facts["gpu_precision"] == "bf16" and "as the checkpoint is stored" in own.assumptions[1]
    assert found.cluster.memory_used_bytes < own.memory_used_bytes


@pytest.mark.parametrize("precision", ["fp8", "int8", "int4", "fp16", "bf16"])
def test_every_weight_format_is_served_and_narrow_weights_take_less_memory(precision):
    side = gpus(gpu_precision=precision)
    assert side.facts["gpu_precision"] == precision
    assert (side.memory_used_bytes < gpus().memory_used_bytes) == (precision not in ("fp16", "bf16"))


def test_a_narrow_cache_takes_half_the_memory_on_gpus_and_is_refused_by_wafers():
    load = Request(4096, 256, 64)
    found = compare(LLAMA, load, WSE3, None, "h100x8", serving=Serving(kv_precision="fp8"))
    assert found.wafer is None and "cannot hold one in fp8" in found.not_served["wafer"]
    wide = compare(LLAMA, load, WSE3, None, "h100x8", serving=Serving(kv_precision="fp16"))
    assert wide.wafer is not None and wide.cluster.facts["cache_bytes_per_element"] == 2.0
    assert found.cluster.facts["cache_bytes_per_element"] == 1.0
    assert found.cluster.memory_used_bytes < wide.cluster.memory_used_bytes


def test_an_eager_engine_is_slower_than_one_with_graphs():
    eager = compare(LLAMA, Request(), WSE3, None, "h100x8", engine_level="eager").cluster
    assert eager.name == "h100x8 (eager)" and eager.time_per_output_token_seconds > gpus().time_per_output_token_seconds


def test_choices_reach_sweeps_and_datacentres():
    (cell,) = sweep(LLAMA, WSE3, "h100x8", batches=(16,), prompts=(512,), output=64, serving=Serving(tp=2, think_seconds=5.0))
    assert cell.cluster.facts["tp"] == 2 and cell.cluster.measure.think_seconds == cell.wafer.measure.think_seconds == 5.0
    sites = datacentre(LLAMA, WSE3, "h100x8", Budget(1e6), request=Request(512, 64), batches=(16,),
                       serving=Serving(tp=2, think_seconds=5.0))
    assert sites.cluster.requests_per_second == pytest.approx(sites.cluster.users / (sites.cluster.request_seconds + 5.0))
