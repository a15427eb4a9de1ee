"""Speculation, executed: the tokens of plain decoding, whoever drafts; and the time of tokens that follow each other."""

import dataclasses
import heapq
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.inference.drafts import FirstLayers, NGrams, SmallModel, following
from wsekern.inference.execution import Drafting, execute
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PROGRAM_SETS, program_set
from wsekern.inference.reference import Activations, ReferenceModel
from wsekern.inference.sampling import Sampler
from wsekern.inference.speculative import Speculator, speculator
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

WSE3, GREEDY = load_machine("wse3"), Sampler()
TOKENS = 8


@pytest.fixture(scope="module")
def sample():
    return load_checkpoint(sample_path())


def wafer(model, precision="fp16", engine=FlowEngine, grid=(3, 3), context=32, programs="default", chunk=5) -> WaferModel:
    mapping = Mapping(model[0], *grid, precision, context, chunk, programs=program_set(programs).programs)
    return WaferModel(*model, WSE3, mapping, engine=engine)


def near(model, seed, size=0.05):
    """The model with other weights near its own: it mostly drafts what the model says."""
    random = np.random.default_rng(seed)
    blocks = [{name: values * (1 + size * random.standard_normal(values.shape)).astype(np.float32)
               for name, values in block.items()} for block in map(model[1].block, range(model[0].layers))]
    return model[0], type(model[1])(blocks, model[1].outer)


def drafter(name, model, seed, **options):
    if name == "ngram":
        return NGrams()
    if name.startswith("layer:"):
        return FirstLayers(model[0], int(name[6:]))
    return SmallModel(wafer(near(model, seed), **options))


def written(decoder, logits, prompt, sampler=GREEDY, number=TOKENS) -> list[int]:
    """Tokens of ``decoder`` behind ``prompt``, whose ``logits`` are known."""
    choice = sampler.start(prompt)
    tokens = [choice.next(logits)]
    while len(tokens) < number:
        tokens.append(choice.next(decoder(tokens[-1])))
    return tokens


def checked(model, draft, drafted, prompt, sampler=GREEDY, regions=2, handover=7, number=TOKENS):
    """Tokens that speculation writes, what it found, and the model."""
    one = Speculator(model, draft, drafted, regions, handover)
    one.start(prompt, number)
    tokens = written(one.decode, model.prefill(prompt), prompt, sampler, number)
    return tokens, one.finish(), model


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate),
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 999), drafted=st.integers(1, 5), name=st.sampled_from(["ngram", "layer:1", "layer:2", "model"]),
       prompt=st.lists(st.integers(0, 12), min_size=1, max_size=9), temperature=st.sampled_from([0.0, 0.0, 0.7]),
       penalty=st.sampled_from([1.0, 1.2]), precision=st.sampled_from(["fp16", "bf16", "fp32"]),
       programs=st.sampled_from(sorted(PROGRAM_SETS)))
def test_tokens_are_those_of_plain_decoding_whoever_drafts(make_model, seed, drafted, name, prompt, temperature, penalty,
                                                          precision, programs):
    model = make_model(seed=seed, layers=3, vocab=13, heads=2, kv_heads=1, ffn=20, hidden=16, windows=(0, 5, 0))
    sampler = Sampler(temperature=temperature, seed=seed, repetition_penalty=penalty)
    plain, one = (wafer(model, precision, programs=programs) for _ in range(2))
    expected = written(plain.decode, plain.prefill(prompt), prompt, sampler)
    tokens, found, _ = checked(one, drafter(name, model, seed), drafted, prompt, sampler)
    assert tokens == expected and one.length == plain.length == len(prompt) + TOKENS - 1
    assert found.tokens == TOKENS - 1 and found.accepted <= found.judged <= found.proposed <= drafted * found.passes
    assert found.passes + found.accepted == found.tokens
    np.testing.assert_array_equal(one.decode(3), plain.decode(3))  # the cache holds the same
    if precision == "fp32":
        reference = ReferenceModel(*model, Activations.of(one.mapping.form, precision))
        assert tokens == written(lambda token: reference.forward([token])[-1], reference.forward(prompt)[-1], prompt, sampler)


def test_both_engines_write_the_same_in_the_same_time(make_model):
    model = make_model(layers=2, vocab=13)
    flow, cycle = (checked(wafer(model, engine=engine, grid=(4, 4)), FirstLayers(model[0], 1), 2, [1, 2, 3, 1, 2], number=4)
                   for engine in (FlowEngine, CycleEngine))
    assert flow[0] == cycle[0] and flow[1] == cycle[1] and flow[1].cycles > 0


def test_a_draft_that_says_what_the_model_says_is_always_accepted(make_model):
    model = make_model()
    tokens, found, _ = checked(wafer(model), SmallModel(wafer(model)), 3, [5, 6, 7], number=9)
    assert len(tokens) == 9 and found.acceptance == 1.0 and found.passes == 2
    assert found.to_dict()["tokens_per_pass"] == 4.0 and found.draft_cycles > found.slowest_cycles


def last_back(passages, regions, handover, draft):
    """When the last of some tokens is back, event by event: regions and the head work on one token at a time, in the order in
    which tokens come. ``draft``: cycles of a small model from token to token; or how many layers draft with the head."""
    events, number, free, done = [], count(), [0] * (regions + 1), []
    layers = -(-len(passages[0].parts[1:]) // regions)

    def at(time, token, stage):
        heapq.heappush(events, (time, next(number), token, stage))

    early = draft if isinstance(draft, int) else 0
    for token in range(1 if early else len(passages)):
        at(token * draft[0] if isinstance(draft, tuple) else 0, token, 0)
    while events:
        now, _, token, stage = heapq.heappop(events)
        one = passages[token]
        work = [sum(one.parts[1 + start:1 + start + layers]) + handover for start in range(0, len(one.parts) - 1, layers)]
        if stage == "draft":
            end = free[-1] = max(now, free[-1]) + one.early
            at(end, token + 1, 0)
        elif stage < regions:
            embedding = one.parts[0] if stage == 0 else 0
            begin = max(now + embedding, free[stage])
            if early and token + 1 < len(passages) and (early - 1) // layers == stage:
                at(begin + sum(one.parts[1 + stage * layers:1 + early]) + handover, token, "draft")
            free[stage] = begin + work[stage]
            at(free[stage], token, stage + 1)
        else:
            free[-1] = max(now, free[-1]) + one.head
            done.append(free[-1])
    return done[-1]


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate),
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drafted=st.integers(1, 5), name=st.sampled_from(["ngram", "layer:1", "layer:2", "layer:3", "model"]),
       regions=st.integers(1, 4), handover=st.integers(0, 900))
def test_the_time_of_a_pass_is_that_of_tokens_which_follow_each_other_event_by_event(make_model, drafted, name, regions,
                                                                                    handover):
    model, prompt = make_model(layers=4, vocab=13), [1, 2, 3, 4, 1, 2]
    draft = drafter(name, model, 1)
    one = Speculator(wafer(model), draft, drafted, regions, handover)
    seen, passage = [], one._passage

    def watched(token, early):
        seen.append(passage(token, early))
        return seen[-1]

    one._passage = watched
    one.start(prompt, 99)
    one.decode(int(np.argmax(one.model.prefill(prompt))))
    how = (draft.cycles,) if name == "model" else int(name[6:]) if name != "ngram" else None
    expected = last_back([one for one, _ in seen], one.found.regions, handover, how)
    assert 0.998 * expected <= one.cycles <= 1.02 * expected  # tokens take a few cycles more or less than each other
    if regions > 1 and len(seen) > 1 and name != "model":
        assert one.cycles < sum(one._alone(passage) for passage, _ in seen)


@pytest.mark.parametrize(("text", "token"), [([], None), ([4], None), ([4, 4], 4), ([1, 2, 3], None), ([1, 2, 9, 1, 2], 9),
                                             ([1, 2, 3, 8, 2, 3, 7, 1, 2, 3], 8), ([3, 7, 3, 8, 3], 8)])
def test_n_grams_that_are_longer_and_later_come_first(text, token):
    assert following(text) == token


def test_an_answer_ends_where_plain_decoding_ends_it(sample):
    plain = execute(sample, WSE3, "The fox", 8, check="none")
    end = plain.generation.tokens[5]
    ended = dataclasses.replace(sample, settings=dataclasses.replace(sample.settings, eos_tokens=(end,)))
    some = execute(sample, WSE3, "The fox", 8, check="none", drafting=Drafting(3, "layer:2"))
    assert some.generation.tokens == plain.generation.tokens and some.text == plain.text
    assert sum(some.generation.token_cycles) == some.speculated.cycles > 0
    stops = execute(ended, WSE3, "The fox", 8, check="none", drafting=Drafting(3, sample))
    assert stops.generation.tokens == plain.generation.tokens[:plain.generation.tokens.index(end) + 1]


def test_no_more_is_drafted_than_windows_have_room_for(make_model):
    model = make_model(windows=(0, 5))
    Speculator(wafer(model, grid=(3, 1), chunk=1), NGrams(), 1, 1, 0)
    with pytest.raises(BudgetError, match="with room for 2 drafted tokens, not 9: draft fewer"):
        Speculator(wafer(model, grid=(3, 1), chunk=1), NGrams(), 9, 1, 0)
    Speculator(wafer(model, grid=(3, 1), chunk=9), NGrams(), 9, 1, 0)


def test_what_cannot_draft_or_check_is_refused(sample, make_model, monkeypatch):
    def refused(words, draft, drafted=2, checkpoint=sample, error=InputError, **options):
        with pytest.raises(error, match=words):
            execute(checkpoint, WSE3, "The fox", 3, check="none", drafting=Drafting(drafted, draft, **options))

    refused("drafted is 65", "ngram", 65)
    refused("made by 6 layers, but fairy-tales has 6: use layer:N with N below 6", "layer:6")
    refused("regions is 7, expected 1 to 6", "ngram", regions=7)
    other = dataclasses.replace(sample, config=dataclasses.replace(sample.config, vocab=7))
    refused("has 7 tokens and fairy-tales", other)
    monkeypatch.setattr(type(sample.text), "encode", lambda text, words, special=True: [5, id(text) % 500])
    refused("cuts the prompt into other tokens", dataclasses.replace(sample, text=dataclasses.replace(sample.text)))
    model = wafer(make_model())
    monkeypatch.setattr(model, "mapping", dataclasses.replace(model.mapping, width=500, height=500))
    with pytest.raises(BudgetError, match=r"3 regions of 500x500 PEs .* has room for 2: use fewer with --regions"):
        speculator(model, WSE3, "silicon", NGrams(), 2)
    monkeypatch.setattr(WaferModel, "can_rewind", False)
    for made in (lambda: SmallModel(model), lambda: Speculator(model, NGrams(), 2, 1, 0)):
        with pytest.raises(InputError, match="recurrent layers, whose state cannot go back behind a"):
            made()
