"""A chat: the cache keeps what was said, what is stopped leaves a whole cache, and a full one is told."""

from dataclasses import replace

import pytest

from wsekern.errors import InputError
from wsekern.inference.conversation import Conversation, Stopped, common_prefix, template_of
from wsekern.inference.execution import execute, place
from wsekern.inference.sampling import Sampler
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path
from wsekern.workload.text.chat import ChatTemplate

WSE3 = load_machine("wse3")
TEMPLATE = "{% for m in messages %}{{ m.content }}{{ '. ' if m.role == 'user' else ' ' }}{% endfor %}"


@pytest.fixture(scope="module")
def checkpoint():
    loaded = load_checkpoint(sample_path())
    return replace(loaded, chat=ChatTemplate(source=TEMPLATE, where="here"))


@pytest.fixture
def chat(checkpoint):
    return Conversation(checkpoint, place(checkpoint, WSE3, 64), Sampler())


def alone(checkpoint, messages, count):
    """The answer of a model that reads the whole conversation anew."""
    ids = checkpoint.text.encode(checkpoint.chat.render(messages), special=False)
    return execute(checkpoint, WSE3, "", count, prompt_tokens=ids, check="none").generation


def test_only_what_is_new_is_read_and_the_answers_are_those_of_the_whole(checkpoint, chat):
    pieces = []
    first = chat.ask("The fox was hungry", 6, on_text=pieces.append)
    assert first.generation.tokens == alone(checkpoint, chat.messages[:1], 6).tokens
    assert "".join(pieces) == checkpoint.text.continuation(first.generation.prompt_tokens, first.generation.tokens)
    second = chat.ask("And the wolf", 6).generation
    assert second.tokens == alone(checkpoint, chat.messages[:3], 6).tokens
    held = len(first.generation.prompt_tokens) + 5  # the last token was not fed
    assert second.read_tokens == len(second.prompt_tokens) - held
    assert 0 < second.prefill_cycles < first.generation.prefill_cycles * 2
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2


@pytest.mark.parametrize("can_rewind", [True, False])
def test_a_prompt_that_strays_from_the_cache_is_read_from_there_on(checkpoint, chat, monkeypatch, can_rewind):
    monkeypatch.setattr(WaferModel, "can_rewind", can_rewind)
    first = chat.ask("The fox", 4).generation
    chat.messages[0]["content"] = "The old king"  # as templates do that leave out what was thought
    later = chat.ask("And then", 4).generation
    same = common_prefix(first.prompt_tokens, later.prompt_tokens)
    assert 0 < same < len(first.prompt_tokens)
    assert later.read_tokens == len(later.prompt_tokens) - (same if can_rewind else 0)
    assert later.tokens == alone(checkpoint, chat.messages[:3], 4).tokens


def test_what_is_stopped_while_it_is_written_stays(checkpoint, chat):
    seen = []
    answer = chat.ask("The fox", 9, on_text=seen.append, stop=lambda: len(seen) >= 3)
    assert len(answer.generation.tokens) < 9 and chat.messages[-1]["content"] == answer.text
    again = chat.ask("And", 3).generation
    assert again.read_tokens < len(again.prompt_tokens) and again.tokens == alone(checkpoint, chat.messages[:3], 3).tokens


def test_what_is_stopped_while_it_is_read_is_not_said(checkpoint, chat):
    def stop(count):
        raise Stopped

    chat.ask("The fox", 3)
    before = list(chat.messages)
    with pytest.raises(Stopped):
        chat.ask("And so the wolf and the old woman and the king went into the forest to gather wood", 3, on_chunk=stop)
    assert chat.messages == before
    assert chat.ask("And", 3).generation.tokens == alone(checkpoint, chat.messages[:3], 3).tokens


def test_an_interrupt_in_the_middle_of_a_step_forgets_the_cache(checkpoint, chat, monkeypatch):
    chat.ask("The fox", 3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WaferModel, "decode", lambda self, token: (_ for _ in ()).throw(KeyboardInterrupt))
        chat.ask("And", 3)
    after = chat.ask("And", 3).generation
    assert after.read_tokens == len(after.prompt_tokens) and after.tokens == alone(checkpoint, chat.messages[:3], 3).tokens


def test_a_full_cache_is_told_and_a_new_start_empties_it(chat):
    with pytest.raises(InputError, match=r"cache holds 64: start anew"):
        chat.ask("fox " * 60, 3)
    assert len(chat.ask("a fox and a wolf " * 7, 60).generation.tokens) < 60
    chat.start_anew()
    assert chat.messages == [] and len(chat.ask("The fox", 2).generation.tokens) == 2


def test_the_system_speaks_first_and_draws_differ_by_turn(checkpoint):
    chat = Conversation(checkpoint, place(checkpoint, WSE3, 64), Sampler(1.0, seed=1), system="There was")
    chat.ask("The fox", 2)
    assert [message["role"] for message in chat.messages] == ["system", "user", "assistant"]


def test_a_model_without_a_template_is_refused():
    with pytest.raises(InputError, match=r"has no chat template.*--prompt"):
        template_of(load_checkpoint(sample_path()))
