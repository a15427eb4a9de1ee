"""Drafts on wafers: what they take, and the time of a pass against tokens that follow each other event by event."""

import heapq
from dataclasses import replace
from functools import lru_cache
from itertools import count

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.planning.load import serve_on_wafers
from wsekern.planning.placement import Placement, place_model
from wsekern.workload import Request, load_config
from wsekern.workload.speculation import Draft, Speculation

WSE3 = load_machine("wse3")


@lru_cache
def placed(model="qwen3-0.6b", draft=None, drafted=4, acceptance=0.7) -> Placement:
    speculation = None if draft is None else Speculation(drafted, acceptance, Draft.of(draft) if draft else Draft())
    return place_model(load_config(model), Request(256, 64), WSE3, speculation=speculation)


def last_back(regions: list[float], head: float, tokens: int, drafted: float, early: float | None) -> float:
    """When the last of ``tokens`` tokens is back, event by event, where each region and the head work on one at a time.

    A token is drafted ``drafted`` seconds after the one before it; or, where ``early`` is given, by the head, so long after
    that entered the first region.
    """
    events, number, free = [(0.0, 0, 0, 0)], count(1), [0.0] * (len(regions) + 1)
    if early is None:
        events = [(token * drafted, next(number), token, 0) for token in range(tokens)]
    last = 0.0
    while events:
        now, _, token, stage = heapq.heappop(events)
        if stage == "draft":
            free[-1] = max(now, free[-1]) + head
            heapq.heappush(events, (free[-1], next(number), token + 1, 0))
            continue
        begin = max(now, free[stage])
        if stage == 0 and early is not None and token + 1 < tokens:
            heapq.heappush(events, (begin + early, next(number), token, "draft"))
        free[stage] = begin + (regions[stage] if stage < len(regions) else head)
        if stage < len(regions):
            heapq.heappush(events, (free[stage], next(number), token, stage + 1))
        else:
            last = free[stage]
    return last


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.integers(1, 12), st.sampled_from(["", "ngram", "layer:1", "layer:2", "sample"]), st.floats(0.0, 1.0))
def test_a_pass_takes_what_tokens_take_that_follow_each_other(drafted, draft, acceptance):
    model = placed()
    if draft == "sample":  # any small model's time
        draft, speculation = "", Speculation(drafted, acceptance)
        model = replace(model, draft=placed())
    else:
        speculation = Speculation(drafted, acceptance, Draft.of(draft) if draft else Draft())
    model = replace(model, speculation=speculation)
    drafting = model.drafting
    regions = [seconds for shape, seconds in zip(model.shapes, model.own_seconds, strict=True) for _ in range(shape.count)]
    early = drafting.seconds - model.head_seconds if drafting.in_line else None
    expected = last_back(regions, model.head_seconds, drafted + 1, drafting.seconds, early)
    expected += model.crossing_seconds(1) + drafting.crossing_seconds
    passed = model.lone.time_per_output_token_seconds * speculation.kept
    assert model.pass_seconds() == pytest.approx(passed)
    meeting = model.head_seconds * drafting.in_line  # a token that is done and one that is drafted may meet at the head
    assert expected * (1 - 1e-9) - meeting <= passed <= expected * (1 + 1e-9) + meeting


def test_a_draft_costs_its_time_its_memory_and_its_power():
    small = placed(draft="qwen3-0.6b")
    free, grams, layer = (replace(small, draft=None, speculation=Speculation(4, 0.7, draft))
                          for draft in (Draft(), Draft.of("ngram"), Draft.of("layer:1")))
    assert free.drafting == grams.drafting and free.drafting.seconds == 0.0 and grams.lone == free.lone
    assert 0.0 < layer.drafting.seconds < small.drafting.seconds
    fixed = [free, layer, small]
    speeds = [one.lone.time_per_output_token_seconds for one in fixed]
    assert speeds == sorted(speeds) and speeds[0] < speeds[1] < speeds[2]
    assert fixed[2].memory_used() == pytest.approx(fixed[0].memory_used() + small.draft.memory_used())
    work = [one.all_wafers * serve_on_wafers(one).activity for one in fixed]
    assert work[2] > work[0] * speeds[0] / speeds[2]


def test_a_head_on_another_wafer_drafts_two_crossings_later():
    model = place_model(load_config("llama3-70b"), Request(), WSE3, speculation=Speculation(4, 0.7, Draft.of("layer:1")))
    near = replace(model, config=replace(model.config, blocks=model.config.blocks[:4]), wafers=1,
                   shapes=(replace(model.shapes[0], count=4 // model.layers),))
    assert model.places[0][0] != model.places[-1][0] and near.places[0][0] == near.places[-1][0]
    assert model.drafting.seconds == pytest.approx(near.drafting.seconds + 2 * float(WSE3.system.io_latency))


def test_a_draft_lies_beside_the_others_where_there_is_room():
    shapes = tuple(replace(shape, width=shape.width // 2, height=shape.height // 2) for shape in placed().shapes)
    model = replace(placed(), shapes=shapes, head=(150, 150))
    beside = replace(model, draft=model)
    assert beside.all_wafers == 1 and beside.drafting.crossing_seconds == 0.0
    full = replace(model, head=(755, 600), draft=placed())
    assert full.all_wafers == 2 and full.memory_there() == 2 * beside.memory_there()
    assert full.drafting.crossing_seconds == 2 * float(WSE3.system.io_latency)
    assert serve_on_wafers(full).watts > serve_on_wafers(beside).watts + 0.2 * float(WSE3.system.power)


@pytest.mark.parametrize(("users", "drafted", "together"), [(1, 64, 1), (1, 1, 1), (3, 64, 3), (400, 1, 30)])
def test_tokens_of_one_user_follow_each_other_and_never_fill_a_region_together(users, drafted, together):
    model = placed()
    model = replace(model, request=replace(model.request, batch=users), speculation=Speculation(drafted, 0.5))
    assert model.tokens_per_stage == (together if users < 400 else -(-800 // model.stages))


def test_more_users_draft_with_one_head():
    """The head makes a draft for each token that it ends: it is the first to be busy."""
    model = replace(placed(), request=Request(16, 512, 512), speculation=Speculation(4, 0.7, Draft.of("layer:1")), inside=512)
    line = model.line
    assert line.draft_busy_seconds == 2 * line.head_seconds
    token = model.steady.time_per_output_token_seconds * line.kept
    assert token >= 0.99 * model.steady.decoding_users * line.checked * line.draft_busy_seconds


@pytest.mark.parametrize(("model", "draft", "words"), [
    ("qwen3-0.6b", "layer:28", "use layer:N with N below 28"), ("qwen3-0.6b", "layer:x", "expected layer:N"),
    ("qwen3-0.6b", "layer:0", "expected layer:N"), ("qwen3-0.6b", "llama3-8b", "151,936 and|needs the vocabulary"),
    ("qwen3-next-80b-a3b", "ngram", "recurrent layers, whose state cannot go back"),
])
def test_what_cannot_draft_or_check_is_refused(model, draft, words):
    with pytest.raises(InputError, match=words):
        placed(model, draft)
