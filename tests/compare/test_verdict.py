"""Who is better, in words that agree with the numbers beside them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.compare import Serving, compare
from wsekern.compare.sweep import sweep
from wsekern.compare.verdict import amount, ranking, speed
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
LLAMA = load_config("llama3-8b")


@given(st.floats(1e-9, 1e9))
def test_nothing_is_once_as_much_and_the_better_one_stands_first(factor):
    for words in (speed(factor), amount("per joule", factor, "one", "two")):
        assert " 1.0 times" not in f" {words}"
    if not 1 / 1.06 < factor < 1.06:
        assert f" {'faster' if factor > 1.0 else 'slower'} than" in speed(factor)
        assert words.startswith(f"per joule, {'one' if factor > 1.0 else 'two'} answers")


def test_equal_sides_are_as_fast_and_answer_as_many_requests():
    assert speed(1.0) == speed(1.04) == speed(1 / 1.04) == "as fast as"
    assert amount("per joule", 1.0, "one", "two") == "per joule, one answers as many requests as two"
    assert speed(2.0) == "2.0 times faster than" and speed(0.5) == "2.0 times slower than"


def test_an_answer_of_one_token_is_not_said_to_grow():
    assert not any("tokens of one answer" in line for line in compare(LLAMA, Request(output=1), WSE3, None, "h100x8").reasons())
    assert any("tokens of one answer" in line for line in compare(LLAMA, Request(output=2), WSE3, None, "h100x8").reasons())


def test_machines_that_cost_nothing_are_compared_in_all_but_prices():
    priceless = msgspec.structs.replace(WSE3.system.price_per_hour, value=0)
    free = msgspec.structs.replace(WSE3, system=msgspec.structs.replace(WSE3.system, price_per_hour=priceless))
    found = compare(LLAMA, Request(), free, 1, "h100x8")
    assert "tokens_per_usd" not in found.ratios() and found.ratios()["tokens_per_joule"] > 0
    assert any("do not compare: one of them costs nothing" in line for line in found.reasons())
    assert ranking("price", {"a": (2.0, 2.0, 2.0), "b": (0.0, 0.0, 0.0), "c": (0.0, 0.0, 0.0)}) == (
        "price first: b; c the same; a not free")
    with pytest.raises(InputError, match="a system costs nothing"):
        sweep(LLAMA, free, "h100x8", batches=(1,), prompts=(64,), mode="equal-cost")


@pytest.mark.parametrize(("model", "asked", "said"), [
    ("gpt-oss-120b", "fp8", "weights in mxfp4 on the GPUs, where fp8 is asked for"),
    ("llama3-8b", "fp8", "weights in fp8 on the GPUs, as asked"),
    ("llama3-8b", None, "weights in bf16 on the GPUs, as the checkpoint is stored")])
def test_weights_that_stay_as_they_are_stored_are_not_said_to_be_as_asked(model, asked, said):
    found = compare(load_config(model), Request(), WSE3, None, "h100x8", serving=Serving(gpu_precision=asked))
    assert said in found.cluster.assumptions
