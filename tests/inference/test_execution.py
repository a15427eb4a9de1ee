"""Executing one model: the caller sees every token as it comes, so an interrupt loses none of them."""

import pytest

from wsekern.errors import InputError
from wsekern.inference.execution import execute
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

WSE3 = load_machine("wse3")


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(sample_path())


def test_callbacks_see_every_token_of_prompt_and_answer(checkpoint):
    read, written = [], []
    done = execute(checkpoint, WSE3, "Once upon a time there was", 3, on_token=written.append, on_chunk=read.append)
    assert written == done.generation.tokens and sum(read) == len(done.generation.prompt_tokens)


def test_a_prompt_that_is_encoded_already_gives_the_same(checkpoint):
    prompt = "There was a wolf"
    plain, encoded = (execute(checkpoint, WSE3, prompt, 2, prompt_tokens=tokens).to_dict()
                      for tokens in (None, checkpoint.encode(prompt)))
    assert plain == encoded


def test_an_interrupt_leaves_the_tokens_that_the_caller_saw(checkpoint, monkeypatch):
    whole, seen = [], []
    execute(checkpoint, WSE3, "The fox", 5, on_token=whole.append)
    decode = WaferModel.decode

    def decode_three(self, token):
        if len(seen) == 3:
            raise KeyboardInterrupt
        return decode(self, token)

    monkeypatch.setattr(WaferModel, "decode", decode_three)
    with pytest.raises(KeyboardInterrupt):
        execute(checkpoint, WSE3, "The fox", 5, on_token=seen.append)
    assert seen == whole[:3]


def test_an_unknown_engine_is_refused_by_name(checkpoint):
    with pytest.raises(InputError, match="no engine 'fast': use one of flow, cycle"):
        execute(checkpoint, WSE3, "The fox", 1, engine="fast")


@pytest.mark.parametrize("form", ["scalar", "vector", "vector-fp32"])
def test_every_form_of_activations_writes_what_the_reference_writes(checkpoint, form):
    done = execute(checkpoint, WSE3, "The fox said", 6, activations=form, check="every").to_dict()
    assert done["same_tokens_as_reference"] and done["activations"] == form
