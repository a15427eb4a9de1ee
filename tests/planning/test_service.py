"""Services: one placement, and the answers for any request on it."""

import pytest

from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.planning import service
from wsekern.planning.placement import place_model
from wsekern.planning.service import Service, Share, largest_context, plan_service, users_held
from wsekern.workload import Request
from wsekern.workload.config import uniform

WSE3 = load_machine("wse3")
SMALL = uniform(name="small", layers=3, hidden=1024, heads=16, kv_heads=4, head_dim=64, ffn=4096, vocab=32_000,
                max_context=1 << 17)
SERVICE = Service(4096, 1, 4, (Share(1024, 256), Share(2048, 512, 0.5)))


@pytest.fixture(scope="module")
def plan():
    return plan_service(SMALL, WSE3, SERVICE)


def test_no_offer_of_the_front_beats_another(plan):
    assert plan.offers and plan.chosen in plan.offers
    assert not any(one.beats(other) for one in plan.offers for other in plan.offers)
    assert all(offer.held >= SERVICE.fewest for offer in plan.offers)


def test_an_answer_on_a_placement_is_that_of_its_regions(plan):
    offer = plan.chosen
    asked = offer.placement.serving(Request(1024, 256, 4))
    assert asked.shapes == offer.placement.shapes
    one = Service(4096, 1, 16, (Share(1024, 256),))
    alone = type(offer)(one, offer.placement)
    assert alone.token_seconds(4) == pytest.approx(asked.token_seconds())
    assert alone.total_tokens_per_second(4) == pytest.approx(4 * 256 / asked.request_seconds())
    assert offer.token_seconds(4) > alone.token_seconds(4)      # the mix has longer requests


def test_a_mix_of_one_length_twice_is_that_length(plan):
    placement = plan.chosen.placement
    once, twice = (type(plan.chosen)(Service(4096, 1, 4, mix), placement)
                   for mix in ((Share(500, 100),), (Share(500, 100, 0.25), Share(500, 100, 3))))
    assert once.token_seconds(2) == pytest.approx(twice.token_seconds(2))
    assert once.total_tokens_per_second(2) == pytest.approx(twice.total_tokens_per_second(2))


def test_more_users_and_longer_contexts_are_never_quicker_for_one(plan):
    speeds = [speed for _, speed, _ in plan.chosen.over_users()]
    totals = [total for *_, total in plan.chosen.over_users()]
    assert speeds == sorted(speeds, reverse=True) and totals == sorted(totals)
    at = [speed for _, speed, _ in plan.chosen.over_contexts()]
    assert at == sorted(at, reverse=True)


def test_the_longest_context_fits_and_one_token_more_does_not(plan):
    placement = plan.chosen.placement
    for users, tokens in plan.chosen.contexts_for_users():
        assert users_held(placement, tokens, users) == users
        assert users_held(placement, tokens + 1, users) < users
    assert largest_context(placement, 1) >= largest_context(placement, 4) > 0


def test_a_share_of_the_bound_is_less_than_all_and_the_causes_are_the_whole_token(plan):
    offer = plan.chosen
    assert 0 < offer.share < 1
    assert sum(offer.binding.seconds.values()) == pytest.approx(offer.serving(SERVICE.mix[0], 1).token_seconds(), rel=0.01)
    assert offer.binding.name in (*offer.binding.seconds, "memory")


def test_what_no_number_of_wafers_holds_is_refused_with_the_first_reason(monkeypatch):
    def refuse(*arguments, wafers, **choices):
        raise BudgetError(f"no room on {wafers}")

    monkeypatch.setattr(service, "place_service", refuse)
    with pytest.raises(BudgetError, match="no room on 2"):
        plan_service(SMALL, WSE3, SERVICE, (2, 3))


@pytest.mark.parametrize("users", [40, 200])
def test_one_number_of_users_is_held_whole(users):
    found = plan_service(SMALL, WSE3, Service(4096, users, users, (Share(1024, 256),)))
    assert found.offers and all(offer.held >= users for offer in found.offers)


def test_programs_of_2024_are_slower_on_the_same_wafer():
    today, then = (1 / place_model(SMALL, Request(), WSE3, programs=name).token_seconds() for name in ("default", "2024-08"))
    assert then < today


@pytest.mark.parametrize(("text", "share"), [("1024/256", Share(1024, 256)), ("4096/512:0.3", Share(4096, 512, 0.3)),
                                             (" 1/1:.5", Share(1, 1, 0.5)), ("1/1:12", Share(1, 1, 12.0))])
def test_lengths_of_a_mix_are_read_and_written(text, share):
    assert Share.parse(text) == share == Share.parse(str(share))


@pytest.mark.parametrize("text", ["", "1024", "0/1", "1/0", "1/1:0", "1/1:-1", "a/b", "1/1:1e9", "1024/256:0.3:1", "1/1:nan"])
def test_other_lengths_are_refused(text):
    with pytest.raises(InputError, match="mix is"):
        Share.parse(text)


@pytest.mark.parametrize(("arguments", "words"), [((1,), "context is 1"), ((100, 2, 1), "users are 2:1"),
                                                  ((100,), "1,024 [+] 256 tokens, more than the context of 100"),
                                                  ((100, 1, 1, ()), "mix is empty")])
def test_services_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Service(*arguments)
