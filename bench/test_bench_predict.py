"""How long a prediction takes in process. Bound by the interpreter: the clocks of an operation cost microseconds."""

import pytest

from wsekern.inference.predict import predict_layer
from wsekern.ops.predict import predict_op
from wsekern.validation.wafer import validate_rows

CASES = {"meshgemv": {"tile": (8, 8), "groups": 24}, "meshgemm": {"tile": (8, 8, 8)}, "shift": {"tile": (8, 8), "relays": 32}}


@pytest.mark.parametrize("name", CASES)
def test_predict_op(benchmark, name):
    benchmark.group = "predict"
    benchmark.extra_info.update(width=720, height=720, engine="flow", goal="<= 20 ms, clocks only")
    assert benchmark(predict_op, name, "wse3", grid=(720, 720), **CASES[name])["cycles"] > 1000


@pytest.mark.parametrize("mapping", ["waferllm", "ours"])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_predict_layer(benchmark, phase, mapping):
    benchmark.group = "predict"
    benchmark.extra_info.update(width=660, height=660, engine="flow", goal="<= 50 ms in process")
    found = benchmark(predict_layer, "llama3-8b", phase, "wse2", 660, 4096, mapping=mapping)
    assert found["layers"] == 32 and found["cycles_per_layer"] > 5_000


def test_validate_wafer(benchmark):
    benchmark.group = "predict"
    benchmark.extra_info.update(rows=210, engine="flow", goal="<= 1 s for all published rows")
    assert len(benchmark(validate_rows)["rows"]) == 210
