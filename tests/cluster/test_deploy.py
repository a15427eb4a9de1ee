"""The edge: names become a deployment once; results say their layout."""

import pytest

from wsekern.cluster import (
    Deployment,
    Layout,
    best_deployment,
    deploy,
    load_cluster,
    predict,
    predict_on,
    serve,
    serve_on,
    sweep,
)
from wsekern.cluster.engine import load_engine
from wsekern.cluster.precision import PRECISIONS
from wsekern.errors import InputError
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-8b")
DEGREES = ["tp", "pp", "dp", "ep", "gpus"]


def test_names_and_objects_make_the_same_deployment():
    named = deploy(LLAMA, "h100x8", context=1024, precision="fp8", engine_level="tuned")
    built = deploy(LLAMA, load_cluster("h100x8"), context=1024, precision=PRECISIONS["fp8"],
                   engine_level=load_engine("tuned"))
    assert named == built == Deployment(LLAMA, load_cluster("h100x8"), Layout(tp=8), PRECISIONS["fp8"], load_engine("tuned"))
    assert named.gpu.name == "h100"


def test_open_degrees_are_chosen():
    assert deploy(LLAMA, "h100x8", context=64).layout == Layout(tp=8)
    assert deploy(LLAMA, "h100x8", context=64, pp=2).layout == Layout(tp=4, pp=2)
    assert deploy(LLAMA, "h100x8", context=64, dp=2, pp=None).layout == Layout(tp=4, dp=2)
    assert deploy(load_config("qwen3-235b-a22b"), "h200x8", context=64).layout == Layout(tp=8, ep=8)
    for name, value in (("tp", 0), ("tp", -1), ("pp", True)):
        with pytest.raises(InputError, match=f"{name} is {value}"):
            deploy(LLAMA, "h100x8", context=64, **{name: value})
    with pytest.raises(TypeError, match="cp"):
        predict(LLAMA, "h100x8", cp=2)


def test_the_edge_and_the_deployment_predict_the_same():
    request = Request(1024, 256, 8, "bf16")
    assert predict(LLAMA, "h100x4", context=1024, batch=8, tp=2, pp=2) == predict_on(
        deploy(LLAMA, "h100x4", context=1024, tp=2, pp=2), "decode", 1024, 8)
    assert serve(LLAMA, request, "h100x4", tp=4) == serve_on(deploy(LLAMA, "h100x4", context=1024, tp=4), request)
    deployment, copies = best_deployment(LLAMA, request, "h100x4")
    assert copies * deployment.layout.gpus <= 4 and serve_on(deployment, request).layout is deployment.layout


def test_layouts_are_flat_in_json():
    layout = {"tp": 2, "pp": 2, "dp": 1, "ep": 1, "gpus": 4}
    for result in (predict(LLAMA, "h100x4", context=512, tp=2, pp=2),
                   serve(LLAMA, Request(512, 64, 4, "bf16"), "h100x4", tp=2, pp=2)):
        data = result.to_dict()
        keys = list(data)
        assert "layout" not in keys and {name: data[name] for name in DEGREES} == layout
        assert keys[keys.index("tp"):][:6] == [*DEGREES, "engine_level"]
    point = sweep(LLAMA, "h100x4")[-1]
    assert list(point.to_dict())[:7] == ["cluster", "gpus", "tp", "pp", "dp", "ep", "batch"]
    assert point.to_dict()["gpus"] == point.layout.gpus


def test_a_model_too_large_for_one_stage_is_cut_inside_the_domain():
    """GLM-5 in bf16: 64 heads, so tp 8 of the 72 GPUs of a rack, whose memory does not hold it."""
    layout = deploy(load_config("glm-5"), "gb200x72", context=8192, precision="bf16").layout
    assert (layout.tp, layout.pp) == (8, 2)
