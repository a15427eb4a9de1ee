"""Machines beside NVIDIA's servers: names, files, kernels that stand in, and laws that hold on all of them."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import PRECISIONS, bundled_gpus, deploy, engine_levels, load_cluster, load_gpu, predict
from wsekern.cluster.deploy import resolve
from wsekern.cluster.efficiency import efficiencies, efficiency_of
from wsekern.cluster.families.gpu import GpuFamily
from wsekern.cluster.layout import Layout, memory_of
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.trust import trust_of
from wsekern.errors import BudgetError, InputError
from wsekern.workload import load_config

LLAMA, OSS = load_config("llama3-8b"), load_config("gpt-oss-120b")
MODELS = [LLAMA, OSS, load_config("deepseek-r1"), load_config("qwen3-next-80b-a3b")]


@pytest.mark.parametrize(("text", "name", "count"), [
    ("mi355x8", "mi355x", 8), ("mi355x-8", "mi355x", 8), ("MI300X:4", "mi300x", 4), ("rubin-nvl72", "rubin", 72),
    ("thor1", "jetson-thor", 1), ("spark2", "dgx-spark", 2), ("helios-72", "mi455x", 72), ("a100-80", "a100-80", 1),
    ("thor-70w", "jetson-thor-70w", 1), ("8xmi325x", "mi325x", 8),
])
def test_names_of_machines(text, name, count):
    cluster = load_cluster(text)
    assert (cluster.gpu.name, cluster.count) == (name, count)
    assert load_cluster(cluster.name) == cluster


@pytest.mark.parametrize(("name", "words"), [("jalapeno", "no published"), ("wse3", "--machine wse3")])
def test_a_machine_that_cannot_be_described_says_why(name, words):
    with pytest.raises(InputError, match=words):
        load_cluster(name)


def test_every_missing_key_of_a_file_is_named_at_once(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nmechanism = "systolic"\n[interconnect]\nkind = "torus"\n'
                   '[memory]\ncapacity = { value = 1e11, source = "here" }\n')
    with pytest.raises(InputError, match="are missing") as refused:
        load_cluster(f"{own}:8")
    message = str(refused.value)
    for key in ("title", "family", "peak.bf16", "memory.capacity.unit", "memory.bandwidth", "link.domain", "interconnect.axes",
                "power.tdp", "price.per_hour", "array.rows", "array.columns", "array.bucket"):
        assert f" {key}" in message
    assert "\n" not in message


def test_a_file_may_lack_what_no_machine_needs(tmp_path):
    found = {name: getattr(load_gpu("mi300x"), name) for name in ("multiprocessors", "clock", "array", "devices")}
    assert all(value is None for value in found.values())


def test_a_full_mesh_gives_few_chips_few_wires():
    """Two of eight talk over one wire of seven, four over three of them, eight over all."""
    seconds = {tp: GpuFamily(replaced(tp)).collective("all_reduce", tp, 1e9) for tp in (2, 4, 8)}
    wires = {tp: (tp - 1) / 7 for tp in seconds}
    traffic = {tp: 2.0 * (tp - 1) / tp * 1e9 for tp in seconds}
    rates = {tp: traffic[tp] / wires[tp] / seconds[tp] for tp in seconds}
    assert max(rates.values()) < 1.2 * min(rates.values())
    assert all(rate < float(load_gpu("mi300x").link.bandwidth) for rate in rates.values())


def replaced(tp):
    return deploy(LLAMA, "mi300x:8", context=1024, tp=tp)


def test_formats_without_arithmetic_are_widened():
    """MXFP4 on CDNA 3: as few bytes as on CDNA 4, products in 16 bit."""
    old, new = (resolve(LLAMA, f"{name}:8", "fp4", "stock").precision for name in ("mi300x", "mi355x"))
    assert (old.weight, old.arithmetic, old.lacking) == (new.weight, "bf16", "fp4")
    assert new.arithmetic == "fp4" and new.lacking is None


def test_the_processor_of_a_box_takes_its_share_of_the_memory():
    box, memory = resolve(LLAMA, "thor1", "fp4", "stock"), load_gpu("thor").memory
    assert memory_of(box, 1024, 1).available <= float(memory.capacity) * float(memory.shared)


def test_less_power_is_slower():
    times = [predict(LLAMA, name, context=1024, precision="fp4").seconds for name in ("thor1", "thor-70w", "thor-40w")]
    assert times == sorted(times) and times[0] < times[2]
    watts = [predict(LLAMA, name, context=1024, precision="fp4").watts for name in ("thor1", "thor-70w", "thor-40w")]
    assert watts == sorted(watts, reverse=True)


@pytest.mark.parametrize(("machine", "precision", "engine", "words"), [
    ("rubin-nvl72", "fp4", "stock", "no machine of family rubin"), ("mi355x:8", "int4", "stock", "no int4 on cdna4"),
    ("mi300x:8", "bf16", "tuned", "no tuned"),
])
def test_what_was_never_measured_is_said_with_a_range(machine, precision, engine, words):
    found = predict(LLAMA, machine, context=1024, precision=precision, engine_level=engine)
    assert any(words in clause for clause in found.not_measured)
    least, most = found.time_factors
    assert 0.0 < least < 1.0 < most and any("times lie between" in sentence for sentence in found.assumptions)
    assert found.nearest


def test_what_was_measured_has_no_range():
    for machine, engine, precision in (("h100x8", "stock", "bf16"), ("mi355x:8", "sglang-overlapped", "fp4")):
        trust = trust_of(resolve(load_config("deepseek-r1") if "mi" in machine else LLAMA, machine, precision, engine))
        assert trust.lacking == () and trust.factors == (1.0, 1.0)


def test_an_engine_of_last_year_is_another_engine():
    new, old = (resolve(load_config("deepseek-r1"), "mi300x:8", "fp8", level) for level in ("sglang-overlapped", "sglang-2025"))
    chosen = [efficiency_of(each.gpu, each.engine, each.precision) for each in (new, old)]
    assert chosen[0] != chosen[1] and (chosen[0].year, chosen[1].year) == ("", "2025")
    steps = [decode_step(replace_layout(each), 16, 1024).seconds for each in (new, old)]
    assert steps[0] < steps[1]


def replace_layout(deployment):
    return replace(deployment, layout=Layout(tp=8))


def test_gpus_that_were_timed_kernel_by_kernel_are_not_scaled():
    assert all(efficiency_of(load_gpu(name), engine_levels()["stock"], PRECISIONS["bf16"]) is None
               for name in bundled_gpus() if load_gpu(name).kernels)
    assert efficiencies()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([name for name in bundled_gpus() if not load_gpu(name).kernels]), st.sampled_from(MODELS),
       st.sampled_from(sorted(engine_levels())), st.sampled_from(sorted(PRECISIONS)), st.sampled_from([1, 3, 64, 700]),
       st.sampled_from([1, 130, 9000]))
def test_no_machine_beats_its_own_roofline(name, model, engine, precision, batch, context):
    gpu = load_gpu(name)
    try:
        deployment = deploy(model, f"{name}:{min(8, int(gpu.link.domain))}", context=context, batch=batch, precision=precision,
                            engine_level=engine)
    except (BudgetError, InputError):
        return
    for step in (decode_step(deployment, batch, context), prefill_step(deployment, batch, context)):
        assert step.seconds >= step.roofline * (1.0 - 1e-9) > 0.0


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([name for name in bundled_gpus() if not load_gpu(name).kernels]), st.sampled_from(MODELS),
       st.floats(1.0, 4.0), st.sampled_from([1, 64]))
def test_more_bandwidth_is_never_slower(name, model, more, batch):
    gpu = load_gpu(name)
    rate = msgspec.structs.replace(gpu.memory.bandwidth, value=float(gpu.memory.bandwidth) * more)
    wide = msgspec.structs.replace(gpu, memory=msgspec.structs.replace(gpu.memory, bandwidth=rate))
    cluster = load_cluster(f"{name}:1")
    steps = [decode_step(resolve(model, each, "bf16", "stock"), batch, 2048).seconds
             for each in (cluster, replace(cluster, gpu=wide))]
    assert steps[1] <= steps[0] * (1.0 + 1e-9)
