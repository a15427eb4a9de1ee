"""Whole models on wafers: the fewest wafers, regions that fit, times that behave."""

import dataclasses

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.inference.placement import place_model
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config
from wsekern.workload.sample import sample_path

WSE3 = load_machine("wse3")


@pytest.mark.parametrize(("model", "wafers"), [("qwen3-0.6b", 1), ("llama3-8b", 1), ("llama3-70b", 5), ("llama3.1-405b", 32),
                                              ("mixtral-8x7b", 3)])
def test_fewest_wafers(model, wafers):
    placement = place_model(load_config(model), Request(), WSE3)
    assert placement.mapping.fits(WSE3) and placement.head_mapping.fits(WSE3)
    assert placement.regions * placement.layers >= placement.config.layers
    assert placement.wafers == wafers
    assert placement.memory_used() <= placement.memory_there()


def test_too_few_wafers_is_refused():
    with pytest.raises(BudgetError, match="does not fit 2 wafers"):
        place_model(load_config("llama3-70b"), Request(), WSE3, wafers=2)
    with pytest.raises(InputError, match="at least 1"):
        place_model(load_config("llama3-8b"), Request(), WSE3, wafers=0)


def test_a_wafer_narrower_than_the_most_regions():
    def side(value):
        return msgspec.structs.replace(WSE3.fabric.width, value=value)

    fabric = msgspec.structs.replace(WSE3.fabric, user_width=side(40), user_height=side(30))
    small = msgspec.structs.replace(WSE3, fabric=fabric)
    placement = place_model(load_config(sample_path()), Request(64, 64), small)
    assert placement.wafers == 1 and placement.mapping.fits(small)
    with pytest.raises(BudgetError, match="does not fit 256 wafers"):
        place_model(load_config("llama3-8b"), Request(), small)


def test_more_experts_for_each_token_take_longer():
    two = load_config("mixtral-8x7b")
    four = dataclasses.replace(two, experts_per_token=4)
    assert place_model(four, Request(), WSE3, 3).token_seconds() > place_model(two, Request(), WSE3, 3).token_seconds()


def test_more_users_share_the_wafer():
    config = load_config("llama3-8b")
    one, many = (place_model(config, Request(batch=batch), WSE3) for batch in (1, 8))
    assert 8 / many.token_seconds() > 2 / one.token_seconds()


@settings(max_examples=5, deadline=None)
@given(prompt=st.integers(1, 4000), output=st.integers(1, 1000))
def test_longer_requests_take_longer(prompt, output):
    config = load_config("qwen3-0.6b")
    short, long = (place_model(config, Request(prompt * n, output * n), WSE3) for n in (1, 4))
    assert 0 < short.first_token_seconds() <= long.first_token_seconds()
    assert short.token_seconds() > 0
