"""Which experts tokens choose: laws against drawing tokens one by one, traces against counting."""

import itertools

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.workload.popularity import ExpertLaw, block_counts, parse_expert_law, popularity


def test_the_fullest_block_is_that_of_all_choices_counted_one_by_one():
    choices = np.array(list(itertools.combinations(range(8), 3)))
    most = block_counts(choices, 4).max(axis=1)
    assert ExpertLaw(0.0).fullest(3, 8, 4) == pytest.approx(most.mean())
    pairs = np.maximum(most[:, None], most)
    assert ExpertLaw(0.0).fullest(3, 8, 4, tokens=2) == pytest.approx(pairs.mean())


def test_popular_experts_fill_their_block_as_when_tokens_are_drawn():
    random, chances = np.random.default_rng(0), popularity(1.5, 2, 12)
    most = []
    for _ in range(300):
        scores = random.random((400, 12)) < chances
        drawn = scores[scores.sum(axis=1) == 2]         # expert by expert, of which those count that are as many as wanted
        experts = random.permutation(12)[np.nonzero(drawn)[1].reshape(-1, 2)]
        most.append(block_counts(experts, 3).max(axis=1).mean())
    assert ExpertLaw(1.5).fullest(2, 12, 3) == pytest.approx(np.mean(most), rel=0.03)


def test_bounds_of_the_fullest_block():
    for law in (ExpertLaw(), ExpertLaw(0.0)):
        assert law.fullest(4, 16, 1) == 4 and law.fullest(4, 4, 2) == pytest.approx(2)
        found = [law.fullest(4, 16, 4, tokens) for tokens in (1, 2, 8, 1000)]
        assert found == sorted(found) and found[-1] > 3.5


def test_a_trace_is_counted_token_by_token(tmp_path):
    path = tmp_path / "choices.txt"
    path.write_text("0 4\n1, 2\n\n3 5\n0 2\n")
    law = parse_expert_law(str(path))
    assert str(law) == "as in a trace of 4 tokens" and law.chosen == 2 and law.text == str(path)
    assert law.fullest(2, 6, 2) == 7 / 4 and law.fullest(2, 6, 2, tokens=2) == 2 and law.fullest(2, 6, 2, tokens=99) == 2
    with pytest.raises(InputError, match="2 of 6 for each token: the model takes 3 of 6"):
        law.fullest(3, 6, 2)


@pytest.mark.parametrize(("text", "words"), [("zipf:x", "a number from 0 to 10"), ("zipf:11", "from 0 to 10"),
                                             ("nowhere.txt", "use zipf:NUMBER, uniform or a file")])
def test_a_law_that_is_none_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        parse_expert_law(text)


@pytest.mark.parametrize(("lines", "words"), [("1 2\n3", "line 2: 1 experts where the first token has 2"), ("1 1", "line 1"),
                                              ("a b", "numbers of different experts"), ("", "no token")])
def test_a_trace_that_is_none_is_refused(tmp_path, lines, words):
    path = tmp_path / "choices.txt"
    path.write_text(lines)
    with pytest.raises(InputError, match=words):
        parse_expert_law(str(path))


def test_laws_are_read_and_say_what_they_are():
    assert parse_expert_law("uniform") == ExpertLaw(0.0) and parse_expert_law("zipf:0.9") == ExpertLaw()
    assert all(parse_expert_law(text).text == text for text in ("uniform", "zipf:0.9", "zipf:2"))
    assert str(ExpertLaw()) == "the i-th most popular one in proportion to i^-0.9"
