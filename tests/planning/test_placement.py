"""Whole models on wafers: the fewest wafers, regions that fit, times that behave."""

import dataclasses
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planning.small import SMALL, WSE3, wafer
from wsekern.errors import BudgetError, InputError
from wsekern.planning.candidates import Demand
from wsekern.planning.causes import too_large_part
from wsekern.planning.placement import MAX_WAFERS, _facing, place_model, search_for
from wsekern.workload import Request, load_config
from wsekern.workload.decoder import Mixture
from wsekern.workload.sample import sample_path


@pytest.mark.parametrize(("model", "wafers"), [("llama3-8b", 1), ("llama3-70b", 5), ("llama3.1-405b", 32), ("mixtral-8x7b", 3)])
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
    with pytest.raises(BudgetError, match=r"one layer needs 0\.445 GB, a wafer has 0\.049\d* GB, and nothing but"):
        place_model(load_config("llama3-8b"), Request(), small)


def with_feed(config, **changes):
    """The same model with another feed-forward part in every block."""
    return dataclasses.replace(config, blocks=tuple(
        dataclasses.replace(block, feed=dataclasses.replace(block.feed, **changes)) for block in config.blocks))


def refusal(config, request: Request, wafers: int | None = None) -> str:
    """Why a request is refused."""
    with pytest.raises(BudgetError) as caught:
        place_model(config, request, WSE3, wafers)
    return str(caught.value)


def test_a_wafer_is_turned_where_a_layer_fits_only_so():
    """Llama 4 Maverick's 5,120 x 8,192 of an expert: 7 x 7.002 on 755 rows and 1,170 columns, 5 x 10.85 the other way round;
    with 120 of its experts, as its 128 do not fit beside the code of its layers."""
    whole = load_config("llama4-maverick")
    fewer = [dataclasses.replace(block.feed, experts=120) if isinstance(block.feed, Mixture) else block.feed
             for block in whole.blocks]
    maverick = dataclasses.replace(whole, blocks=tuple(
        dataclasses.replace(block, feed=feed) for block, feed in zip(whole.blocks, fewer, strict=True)))
    llama = load_config("llama3-8b")
    turned = _facing(maverick, "fp16", WSE3)
    assert (int(turned.fabric.user_width), int(turned.fabric.user_height)) == (1170, 755)
    assert too_large_part(maverick, "fp16", WSE3).startswith("one layer, with its 120 experts, needs")
    assert not too_large_part(maverick, "fp16", turned)
    assert _facing(llama, "fp16", WSE3) is WSE3 and _facing(load_config("kimi-k2"), "fp16", WSE3) is WSE3


def test_the_part_of_a_model_that_no_wafer_holds_is_the_cause():
    """No smaller request helps then: the advice is not to ask for one."""
    wide = with_feed(load_config("llama3-8b"), width=2_000_000)
    for wafers in (None, 7):
        said = refusal(wide, Request(), wafers)
        assert "one layer needs" in said and "a wafer has" in said and "request" not in said
    words = dataclasses.replace(load_config("llama3-8b"), vocab=4_000_000)
    assert "embedding and LM head need" in refusal(words, Request())


def test_wafers_share_the_experts_of_a_layer_that_is_larger_than_one():
    placement = place_model(load_config("kimi-k2"), Request(), WSE3)
    assert too_large_part(placement.config, "fp16", WSE3) and placement.fits()
    assert placement.expert_wafers > 1 and not placement.wafers % placement.expert_wafers
    beside = placement.rectangles[:placement.expert_wafers]
    assert [region.wafer for region in beside] == list(range(placement.expert_wafers))
    assert len({(region.x, region.y, region.first_layer) for region in beside}) == 1


@pytest.mark.by_hand
def test_weights_that_too_few_wafers_do_not_hold_are_the_cause():
    said = refusal(load_config("llama3-70b"), Request(), 3)
    assert "its weights alone do not, 80 layers of 1.71 GB" in said and "4 wafers hold this request" in said
    assert place_model(load_config("llama3-70b"), Request(), WSE3, 4).wafers == 4


def holds(config, request: Request, wafers: int | None) -> bool:
    """Whether so many wafers do, or any."""
    search = search_for(config, Demand.of(((request, 1.0),)), WSE3)
    return search.holds_all(wafers) if wafers else bool(search.fewest(MAX_WAFERS))


@settings(max_examples=6, deadline=None)
@given(users=st.integers(1, 3000), prompt=st.integers(1, 200_000), wafers=st.sampled_from([1, 2, 5, None]))
def test_what_is_said_to_fit_fits_and_one_more_does_not(users, prompt, wafers):
    config, request = load_config("llama3-8b"), Request(prompt, 16, users)
    if holds(config, request, wafers):
        return
    said = refusal(config, request, wafers)
    assert "its weights do, the cache and buffers of" in said and f"{request.context:,} tokens" in said
    count = wafers or MAX_WAFERS
    fewer = re.search(r"([\d,]+) users? of this length", said)
    if fewer:
        fitting = int(fewer[1].replace(",", ""))
        assert holds(config, dataclasses.replace(request, batch=fitting), count)
        assert "does not fit" in refusal(config, dataclasses.replace(request, batch=fitting + 1), count)
    shorter = re.search(r"x ([\d,]+) tokens would fit", said)
    if shorter:
        fitting = int(shorter[1].replace(",", ""))
        assert holds(config, Request(fitting - 1, 1, users), count)
        assert "does not fit" in refusal(config, Request(fitting, 1, users), count)
    enough = re.search(r"; (\d+) wafers hold this request", said)
    if enough:
        assert holds(config, request, int(enough[1]))
        assert "does not fit" in refusal(config, request, int(enough[1]) - 1)


def test_more_experts_for_each_token_take_longer():
    two = load_config("mixtral-8x7b")
    four = with_feed(two, chosen=4)
    assert place_model(four, Request(), WSE3, 3).token_seconds() > place_model(two, Request(), WSE3, 3).token_seconds()


def test_more_users_share_the_wafer():
    config = load_config("llama3-8b")
    one, many = (place_model(config, Request(batch=batch), WSE3) for batch in (1, 8))
    assert 8 / many.token_seconds() > 2 / one.token_seconds()


@settings(max_examples=3, deadline=None)
@given(prompt=st.integers(1, 4000), output=st.integers(1, 1000))
def test_longer_requests_take_longer(prompt, output):
    short, long = (place_model(SMALL, Request(prompt * n, output * n), wafer()) for n in (1, 4))
    assert 0 < short.first_token_seconds() <= long.first_token_seconds()
    assert short.token_seconds() > 0


def test_vector_forms_answer_sooner_than_library_calls():
    """Each as it is placed best."""
    found = {form: place_model(SMALL, Request(), wafer(), activations=form)
             for form in ("scalar", "vector-fp32", "vector")}
    assert found["scalar"].token_seconds() > found["vector-fp32"].token_seconds() > found["vector"].token_seconds()
    assert place_model(SMALL, Request(), wafer()).token_seconds() == found["vector"].token_seconds()
