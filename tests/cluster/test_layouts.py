"""Every layout that eight GPUs allow, on a dense, a mixture and a latent-attention model: a number, or a refusal in words."""

from itertools import product
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import PRECISIONS, Layout, bundled_gpus, engine_levels, load_cluster, predict, serve
from wsekern.errors import BudgetError, InputError
from wsekern.workload import Request, load_config

MODELS = ("llama3-8b", "mixtral-8x7b", "deepseek-r1")
GPUS = 8
DEGREES = [degrees for degrees in product(range(1, GPUS + 1), repeat=4) if degrees[0] * degrees[1] * degrees[2] <= GPUS]


def allowed(model, cluster):
    """Layouts that :meth:`Layout.check` lets pass."""
    for degrees in DEGREES:
        layout = Layout(*degrees)
        try:
            layout.check(model, cluster)
        except InputError:
            continue
        yield layout


def numbers(result):
    """Every number of a prediction that has to be finite and not below zero."""
    return [value for value in result.to_dict().values() if isinstance(value, float)] + list(result.breakdown.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_layout_is_predicted_and_served(name):
    model, cluster = load_config(name), load_cluster("b200x8")
    layouts = list(allowed(model, cluster))
    assert len(layouts) > 20 and {layout.dp for layout in layouts} >= {1, 2, 4, 8}
    assert max(layout.ep for layout in layouts) == (8 if model.mixture else 1)
    fitted = 0
    for layout in layouts:
        degrees = {"tp": layout.tp, "pp": layout.pp, "dp": layout.dp, "ep": layout.ep}
        for phase in ("decode", "prefill"):
            found = predict(model, cluster, phase=phase, context=1024, batch=8, precision="fp8", check_memory=False, **degrees)
            assert found.layout == layout and found.seconds > 0.0 and found.watts > 0.0
            assert all(isfinite(value) and value >= 0.0 for value in numbers(found)), (layout, phase)
        served = serve(model, Request(1024, 128, 16, "bf16"), cluster, precision="fp8", check_memory=False, **degrees)
        assert served.time_per_output_token_seconds > 0.0 and served.time_to_first_token_seconds > 0.0
        assert all(isfinite(value) and value >= 0.0 for value in numbers(served)), layout
        try:
            fitted += predict(model, cluster, context=1024, batch=8, precision="fp8", **degrees).seconds > 0.0
        except BudgetError as error:
            assert "GB" in str(error) or "sequences" in str(error)
    assert fitted > 0


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(bundled_gpus()), st.sampled_from(DEGREES), st.sampled_from(sorted(PRECISIONS)),
       st.sampled_from([*engine_levels(), "stock-eager", "sglang-eager", "tuned-unchunked"]), st.sampled_from([1, 2, 7, 64]),
       st.sampled_from([16, 4096]))
def test_any_options_are_a_number_or_a_refusal(model, gpu, degrees, precision, level, batch, context):
    options = dict(zip(("tp", "pp", "dp", "ep"), degrees, strict=True))
    for phase in ("decode", "prefill"):
        try:
            found = predict(load_config(model), f"{gpu}x8", phase=phase, context=context, batch=batch, precision=precision,
                            engine_level=level, **options)
        except (InputError, BudgetError) as error:
            assert str(error)
            continue
        assert 0.0 < found.seconds < float("inf")


@pytest.mark.parametrize(("degrees", "words"), [
    ({"tp": 3}, "does not divide"), ({"tp": 4, "dp": 4}, "needs 16 GPUs"), ({"tp": 2, "ep": 2}, "has no experts"),
    ({"tp": 1, "pp": 64}, "GPUs"), ({"tp": 0}, "at least 1"), ({"dp": True}, "whole number")])
def test_degrees_that_do_not_fit_are_refused_in_words(degrees, words):
    with pytest.raises(InputError, match=words):
        predict(load_config("llama3-8b"), "h100x8", context=512, **degrees)
