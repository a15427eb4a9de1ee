"""Laws that hold for any parameters: monotone in hardware and work, never faster than the roofline, additive."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import Cluster, load_gpu, predict
from wsekern.cluster.engine import load_engine
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.workload import load_config

MODELS = ("llama3-8b", "llama3-70b", "mixtral-8x7b", "deepseek-r1", "gpt-oss-20b", "gemma3-12b", "qwen3-next-80b-a3b")
GPUS = ("a100-80", "h100", "h200", "b200", "gb200", "l40s")
LEVELS = ("ideal", "tuned", "tuned-overlapped", "stock", "stock-overlapped", "sglang", "eager")
SETTINGS = settings(max_examples=25, deadline=None)

cases = st.fixed_dictionaries({
    "model": st.sampled_from(MODELS), "gpu": st.sampled_from(GPUS), "level": st.sampled_from(LEVELS),
    "precision": st.sampled_from(["bf16", "fp8", "fp4", "int8", "int4"]), "tp": st.sampled_from([1, 2, 4, 8]),
    "batch": st.sampled_from([1, 3, 16, 200]), "context": st.integers(1, 30000), "prefill": st.booleans(),
})


def faster(gpu, **factors):
    """``gpu`` with some of its rates multiplied."""
    peak = gpu.peak
    if "flops" in factors:
        peak = msgspec.structs.replace(peak, **{
            name: msgspec.structs.replace(getattr(peak, name), value=getattr(peak, name).value * factors["flops"])
            for name in peak.__struct_fields__ if getattr(peak, name) is not None})
    memory = gpu.memory
    if "bandwidth" in factors:
        value = memory.bandwidth.value * factors["bandwidth"]
        memory = msgspec.structs.replace(memory, bandwidth=msgspec.structs.replace(memory.bandwidth, value=value))
    return msgspec.structs.replace(gpu, peak=peak, memory=memory)


def step(case, gpu=None, model=None, **changes):
    """Step of a case, with some of it changed."""
    case = {**case, **changes}
    gpu = gpu or load_gpu(case["gpu"])
    model = model or load_config(case["model"])
    make = prefill_step if case["prefill"] else decode_step
    sequences, tokens = (1, min(case["context"], 8192)) if case["prefill"] else (case["batch"], case["context"])
    deployment = Deployment(model, Cluster(gpu, 8), Layout(tp=case["tp"]), PRECISIONS[case["precision"]],
                            load_engine(case["level"]))
    return make(deployment, sequences, tokens)


@SETTINGS
@given(cases, st.floats(1.0, 4.0))
def test_better_hardware_is_never_slower(case, factor):
    gpu = load_gpu(case["gpu"])
    base = step(case).seconds
    assert step(case, faster(gpu, bandwidth=factor)).seconds <= base * (1 + 1e-9)
    assert step(case, faster(gpu, flops=factor)).seconds <= base * (1 + 1e-9)


@SETTINGS
@given(cases)
def test_less_work_is_never_slower(case):
    import dataclasses

    model = load_config(case["model"])
    base = step(case).seconds
    fewer = dataclasses.replace(model, blocks=model.blocks[:-2])
    assert step(case, model=fewer).seconds < base
    assert step(case, context=max(1, case["context"] // 2)).seconds <= base * (1 + 1e-9)


@SETTINGS
@given(cases)
def test_never_faster_than_the_plain_roofline_and_additive(case):
    found = step(case)
    assert found.seconds >= found.roofline * (1 - 1e-9)
    assert sum(found.breakdown.values()) == pytest.approx(found.seconds)
    assert min(found.breakdown.values()) >= 0


@SETTINGS
@given(cases)
def test_ideal_is_a_bound(case):
    assert step(case, level="ideal").seconds <= step(case).seconds * (1 + 1e-9)


@SETTINGS
@given(cases, st.sampled_from([2, 4, 8]))
def test_tensor_parallel_keeps_the_work(case, tp):
    """Whole heads only: latent projections and small key-value heads are replicated by any engine, so not counted."""
    if case["model"] not in ("llama3-8b", "llama3-70b"):
        case = {**case, "model": "llama3-70b"}
    alone, split = step(case, tp=1), step(case, tp=tp)
    assert split.flops * tp == pytest.approx(alone.flops)


@SETTINGS
@given(st.sampled_from(MODELS), st.sampled_from(["h100", "b200"]), st.sampled_from([1, 8]), st.integers(16, 4096))
def test_energy_and_cost_are_positive_and_linear_in_gpus(model, gpu, batch, context):
    found = predict(load_config(model), Cluster(load_gpu(gpu), 8), context=context, batch=batch, tp=8, check_memory=False)
    assert found.joules_per_token == pytest.approx(found.watts * found.seconds / batch)
    assert found.usd_per_million_tokens == pytest.approx(
        8 * float(load_gpu(gpu).price.per_hour) / 3600 * found.seconds / batch * 1e6)
    assert found.watts > 8 * float(load_gpu(gpu).power.host)
