"""Sampling: greedy, seeded draws, and every setting with the definition of transformers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.inference.sampling import Sampler, drawn_scores
from wsekern.workload.text.generation import GenerationSettings

LOGITS = np.log(np.array([0.1, 0.6, 0.25, 0.05], np.float32))


def draw(sampler, count=2000):
    choice = sampler.start([])
    return [choice.next(LOGITS) for _ in range(count)]


def test_greedy_takes_the_largest():
    assert set(draw(Sampler(), 5)) == {1}


def test_a_seed_repeats_and_another_differs():
    assert draw(Sampler(1.0, seed=3)) == draw(Sampler(1.0, seed=3))
    assert draw(Sampler(1.0, seed=3)) != draw(Sampler(1.0, seed=4))


def test_frequencies_follow_the_probabilities():
    counts = np.bincount(draw(Sampler(1.0)), minlength=4) / 2000
    np.testing.assert_allclose(counts, [0.1, 0.6, 0.25, 0.05], atol=0.04)


def test_draws_leave_out_the_tail():
    for likely in (Sampler(1.0, top_p=0.7), Sampler(1.0, top_k=2), Sampler(1.0, min_p=0.3)):
        assert set(draw(likely)) == {1, 2}
    assert set(draw(Sampler(1.0, top_p=0.5))) == set(draw(Sampler(1.0, top_k=1))) == {1}


def test_a_temperature_near_zero_is_greedy():
    assert set(draw(Sampler(1e-310), 5)) == {1}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(bad, temperature):
    with pytest.raises(InputError, match="not finite"):
        Sampler(temperature).start([]).next(np.array([0, bad], np.float32))


@pytest.mark.parametrize("bad", [dict(temperature=-1.0), dict(temperature=float("nan")), dict(top_p=0.0), dict(top_p=1.5),
                                 dict(seed=-1), dict(top_k=-1), dict(min_p=1.5), dict(repetition_penalty=0.0)])
def test_bad_settings(bad):
    with pytest.raises(InputError):
        Sampler(**bad)


def test_where_everything_is_forbidden():
    with pytest.raises(InputError, match="no token may come next"):
        Sampler(suppress_tokens=(0, 1, 2, 3)).start([]).next(LOGITS)


SETTINGS = st.fixed_dictionaries({}, optional={
    "repetition_penalty": st.sampled_from([0.5, 1.05, 2.0]), "no_repeat_ngram_size": st.integers(1, 4),
    "bad_words_ids": st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=3),
    "min_length": st.integers(1, 12), "min_new_tokens": st.integers(1, 5),
    "suppress_tokens": st.lists(st.integers(-1, 20), min_size=1, max_size=3),
    "begin_suppress_tokens": st.lists(st.integers(0, 5), min_size=1, max_size=3)})
DRAWS = st.fixed_dictionaries({}, optional={
    "temperature": st.sampled_from([0.25, 0.7, 1.5]), "top_k": st.integers(1, 9), "top_p": st.sampled_from([0.05, 0.5, 0.9]),
    "min_p": st.sampled_from([0.05, 0.5, 1.0])})


@pytest.fixture(scope="module")
def processors():
    """Scores of one sequence by the processors of transformers, in its order."""
    torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
    transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=12, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1))

    def scores(prompt: list[int], answer: list[int], logits: np.ndarray, eos: list[int], **asked) -> np.ndarray:
        asked = {"top_k": 0} | asked
        config, _ = model._prepare_generation_config(None, eos_token_id=eos, **asked)
        model._prepare_special_tokens(config, False, device="cpu")
        listed = model._get_logits_processor(config, input_ids_seq_length=len(prompt), device="cpu")
        return listed(torch.tensor([prompt + answer]), torch.tensor(logits[None]))[0].numpy()

    return scores


TOKENS = st.lists(st.integers(0, 11), min_size=1, max_size=8)


def our_choice(prompt, answer, sampler):
    choice = sampler.start(prompt)
    choice.tokens += answer
    return choice


@settings(max_examples=150, deadline=None)
@given(TOKENS, st.lists(st.integers(0, 11), max_size=6), SETTINGS, st.integers(0, 2**32 - 1))
def test_scores_are_those_of_transformers(processors, prompt, answer, asked, seed):
    logits = np.random.default_rng(seed).standard_normal(12).astype(np.float32)
    tuples = {name: tuple(map(tuple, value)) if name == "bad_words_ids" else tuple(value) if isinstance(value, list) else value
              for name, value in asked.items()}
    ours = our_choice(prompt, answer, Sampler(**tuples, eos_tokens=(3, 5))).processed(logits)
    np.testing.assert_array_equal(ours, processors(prompt, answer, logits, [3, 5], **asked))


@settings(max_examples=150, deadline=None)
@given(DRAWS, st.integers(0, 2**32 - 1), st.booleans())
def test_probabilities_of_draws_are_those_of_transformers(processors, asked, seed, ties):
    logits = 3 * np.random.default_rng(seed).standard_normal(12).astype(np.float32)
    logits = np.round(logits) if ties else logits
    theirs = processors([1], [], logits, [3], do_sample=True, **asked)
    ours = drawn_scores(logits, Sampler(**{"temperature": 1.0} | asked))
    if not (ties and asked.get("top_p")):  # which of equal ones top_p leaves out is chance
        np.testing.assert_array_equal(np.isinf(ours), np.isinf(theirs))
    shares = [np.sort(np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()) for scores in (ours, theirs)]
    np.testing.assert_allclose(*shares, atol=1e-5)


def test_the_user_wins_over_the_files():
    asked = GenerationSettings(do_sample=True, temperature=0.6, top_p=0.9, repetition_penalty=1.1, eos_tokens=(3,))
    assert Sampler.of(asked, 7) == Sampler(0.6, 0.9, 7, 50, repetition_penalty=1.1, eos_tokens=(3,))
    assert Sampler.of(asked, temperature=0.0).temperature == 0
    assert Sampler.of(asked, top_k=5, temperature=None, repetition_penalty=1.0) == Sampler(0.6, 0.9, 0, 5, eos_tokens=(3,))
    greedy = GenerationSettings(temperature=0.6, top_k=40)
    assert Sampler.of(greedy) == Sampler()
    assert Sampler.of(greedy, temperature=0.8) == Sampler(0.8) and Sampler.of(greedy, min_p=0.1) == Sampler(1.0, min_p=0.1)


def test_settings_in_words():
    assert Sampler().describe() == "the likeliest token"
    assert Sampler(top_k=5, repetition_penalty=1.05, suppress_tokens=(1, 2)).describe() == \
        "the likeliest token, repetition_penalty 1.05, 2 suppress_tokens"
    assert Sampler(0.6, 0.95, top_k=20).describe() == "draws with temperature 0.6, top_k 20, top_p 0.95"
