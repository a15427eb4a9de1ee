"""Drafted tokens."""

from dataclasses import replace

import pytest

from wsekern.cluster import deploy, speculate
from wsekern.cluster.layout import memory_of
from wsekern.cluster.step import decode_step
from wsekern.errors import InputError
from wsekern.workload import load_config
from wsekern.workload.speculation import Draft, Speculation

LLAMA = load_config("llama3-70b")


def test_speculation_pays_with_acceptance():
    none = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.0, context=2048)
    some = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.7, context=2048)
    every = speculate(LLAMA, "h100x8", drafted=3, acceptance=1.0, context=2048)
    assert none.tokens_per_step == 1.0 and every.tokens_per_step == 4.0
    assert some.tokens_per_step == pytest.approx(1 + 0.7 + 0.49 + 0.343)
    assert none.speedup < 1.0 < some.speedup < every.speedup
    drafted = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.7, context=2048, draft=load_config("llama3.2-1b"))
    assert drafted.step_seconds > some.step_seconds
    with pytest.raises(InputError, match="acceptance"):
        speculate(LLAMA, "h100x8", drafted=3, acceptance=1.5, context=64)


def test_precision_and_degrees_are_the_callers():
    wide, narrow = (speculate(LLAMA, "h100x8", drafted=2, acceptance=0.5, context=512, precision=precision)
                    for precision in ("bf16", "fp8"))
    assert narrow.step_seconds < wide.step_seconds
    few, many = (speculate(LLAMA, "h200x8", drafted=2, acceptance=0.5, context=512, tp=tp) for tp in (2, 8))
    assert many.step_seconds < few.step_seconds


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="drafted is 0"):
        speculate(LLAMA, "h100x8", drafted=0, acceptance=0.5, context=64)
    with pytest.raises(InputError, match="no cluster 'h101x8'"):
        speculate(LLAMA, "h101x8", drafted=1, acceptance=0.5, context=64)


def test_a_draft_that_is_named_takes_its_steps_and_its_memory():
    def served(draft: Draft, drafted: int = 3):
        alone = deploy(LLAMA, "h100x2", context=2048, precision="fp8")
        return replace(alone, speculation=Speculation(drafted, 0.7, draft))

    free, grams, layer, small = (served(draft) for draft in (Draft(), Draft.of("ngram"), Draft.of("layer:1"),
                                                             Draft.of("llama3.2-1b")))
    times = [decode_step(one, 4, 2048).seconds for one in (free, grams, layer, small)]
    assert times[0] == times[1] < times[2] < times[3]
    more = [decode_step(served(Draft.of("llama3.2-1b"), drafted), 4, 2048).seconds - decode_step(served(Draft(), drafted), 4,
                                                                                                2048).seconds
            for drafted in (2, 4)]
    assert more[1] == pytest.approx(2 * more[0])
    room = [memory_of(one, 2048, 4) for one in (free, layer, small)]
    assert room[0] == room[1] and room[2].weights - room[0].weights > 0.7e9 and room[2].sequences < room[0].sequences
