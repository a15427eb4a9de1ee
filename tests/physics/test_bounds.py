"""What no machine can do, over models, lengths, users and wafers: metamorphic laws of either side."""

import math

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from wsekern.cluster import load_cluster
from wsekern.compare import Serving
from wsekern.compare.comparison import compare
from wsekern.compare.pairing import Pairing
from wsekern.compare.side import Side
from wsekern.errors import BudgetError, InputError
from wsekern.inference.predict import predict_layer
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

SETTINGS = settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
                    suppress_health_check=list(HealthCheck))
WSE3 = load_machine("wse3")
MODELS = ("llama3.2-1b", "qwen3-0.6b", "llama3-8b", "qwen3-30b-a3b", "gpt-oss-20b")

loads = st.fixed_dictionaries({
    "model": st.sampled_from(MODELS), "is_wafer": st.booleans(), "wafers": st.sampled_from([None, 1, 2, 5]),
    "cluster": st.sampled_from(["h100x1", "h100x8", "b200x4"]), "prompt": st.integers(1, 20_000),
    "output": st.integers(1, 2048), "users": st.integers(1, 300),
})


def side_of(load: dict) -> Side | None:
    """The side of a load; None where it is refused."""
    pairing = Pairing(load_config(load["model"]), WSE3, load_cluster(load["cluster"]), load["wafers"], "silicon", "stock",
                      Serving())
    request = Request(load["prompt"], load["output"], load["users"])
    try:
        return pairing.wafer(request) if load["is_wafer"] else pairing.gpus(request)
    except InputError:
        return None


def numbers(data: object) -> list[float]:
    """Every number in plain data."""
    if isinstance(data, dict):
        return [number for item in data.values() for number in numbers(item)]
    return [float(data)] if isinstance(data, int | float) and not isinstance(data, bool) else []


@SETTINGS
@given(loads)
def test_nothing_is_negative_or_infinite_or_beyond_memory_and_meter(load):
    side = side_of(load)
    assume(side is not None)
    assert all(math.isfinite(number) and number >= 0 for number in numbers(side.to_dict()))
    assert 0 < side.memory_used_bytes <= side.memory_available_bytes
    assert 0 < side.watts <= side.rated_watts
    assert sum(side.shares.values()) == pytest.approx(1.0)
    weights = load_config(load["model"]).parameters / 2     # at four bits, the fewest that any of them is served in
    assert side.memory_used_bytes > 0.9 * weights


@SETTINGS
@given(loads, st.integers(2, 8))
def test_a_request_with_a_longer_prompt_is_never_quicker(load, longer):
    """The whole request, for which the layout is chosen: another layout may well bring the first token sooner."""
    load = load | {"users": 1, "wafers": load["wafers"] or 2}
    short, long = side_of(load), side_of(load | {"prompt": longer * load["prompt"]})
    assume(short is not None and long is not None)
    assert long.request_seconds >= 0.999 * short.request_seconds


@SETTINGS
@given(st.sampled_from(["llama3-8b", "qwen3-0.6b", "llama2-13b"]), st.sampled_from(["decode", "prefill"]),
       st.sampled_from(["waferllm", "ours"]), st.integers(1, 30_000), st.integers(1, 8), st.integers(1, 4))
def test_a_layer_with_more_context_or_users_is_never_quicker_and_never_beyond_a_pe(model, phase, mapping, context, users, more):
    found = []
    for change in ({}, {"context": more * context}, {"batch": more * users}):
        try:
            sizes = {"context": context, "batch": users} | change
            found.append(predict_layer(model, phase, "wse3", 500, mapping=mapping, **sizes))
        except BudgetError:
            assume(found)
    for one in found:
        assert sum(one["memory_bytes"].values()) <= 49_152
        assert all(math.isfinite(number) and number >= 0 for number in numbers(one))
        assert one["layers_per_grid"] * one["grids"] >= one["layers"] and one["seconds"] >= 0.999 * found[0]["seconds"]


@SETTINGS
@given(st.sampled_from(["llama3.2-1b", "llama3-8b"]), st.integers(1, 4096), st.integers(1, 512), st.sampled_from([2, 3, 8, 40]))
def test_more_wafers_that_are_slower_for_one_user_say_why(model, prompt, output, wafers):
    request = Request(prompt, output)
    few, many = (compare(load_config(model), request, WSE3, count, "h100x8").wafer for count in (None, wafers))
    assume(few is not None and many is not None)
    says = any("were asked for" in note and "a token pays" in note for note in many.assumptions)
    assert says == (many.request_seconds > few.request_seconds and many.facts["wafers"] != few.facts["wafers"])
