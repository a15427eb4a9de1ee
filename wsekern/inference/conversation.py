"""A chat with a model on a wafer, whose cache keeps what both have said."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wsekern.errors import InputError
from wsekern.inference.generate import Generation, generate
from wsekern.inference.sampling import Sampler
from wsekern.inference.wafer import WaferModel
from wsekern.workload.checkpoint import Checkpoint
from wsekern.workload.text.chat import ChatTemplate


class Stopped(Exception):
    """Raised by a callback: the prompt is not read to its end."""


@dataclass(frozen=True)
class Answer:
    """What the model said."""

    text: str
    generation: Generation


class Conversation:
    """Messages so far, and the model that holds those it has read in its cache."""

    def __init__(self, checkpoint: Checkpoint, model: WaferModel, sampler: Sampler, system: str | None = None):
        self._checkpoint, self._model, self._sampler, self._system = checkpoint, model, sampler, system
        self._template = template_of(checkpoint)
        self.start_anew()

    def start_anew(self) -> None:
        """Forget what was said."""
        self.messages = opening(self._system)
        self._held: list[int] = []  # tokens whose keys and values the cache holds
        self._model.reset()

    def ask(self, text: str, count: int, on_chunk: Callable[[int], None] | None = None,
            on_text: Callable[[str], None] | None = None, stop: Callable[[], bool] = lambda: False) -> Answer:
        """Say ``text`` and get an answer of up to ``count`` tokens; callbacks as in :func:`generate`.

        Tokens that the cache holds are not read again as far as the new prompt starts with them. After :class:`Stopped` or
        another error the messages are as before.
        """
        asked = [*self.messages, {"role": "user", "content": text}]
        prompt = self._checkpoint.text.encode(self._template.render(asked), special=False)
        room = self._model.mapping.context - len(prompt)
        if room < 1:
            raise InputError(f"the conversation has {len(prompt)} tokens, and the cache holds {self._model.mapping.context}: "
                             "start anew, or give more with --context")
        self._keep(common_prefix(self._held, prompt[:-1]))  # the last token is read, for what follows it
        sampler = replace(self._sampler, seed=self._sampler.seed + len(asked))  # other draws in every turn
        read = self._run(prompt, min(count, room), sampler, on_chunk, on_text, stop)
        said = self._checkpoint.decode(read.tokens)
        self.messages = [*asked, {"role": "assistant", "content": said}]
        return Answer(said, read)

    def _keep(self, length: int) -> None:
        """Of what the cache holds, its first ``length`` tokens, or none where the model cannot go back."""
        if length and (length == len(self._held) or self._model.can_rewind_to(length)):
            self._model.rewind(length)
            self._held = self._held[:length]
        else:
            self._held = []
            self._model.reset()

    def _run(self, prompt: list[int], count: int, sampler: Sampler, *callbacks: Callable) -> Generation:
        """One generation; whatever happens, ``_held`` tells afterwards what the cache holds."""
        on_chunk, on_text, stop = callbacks
        try:
            done = generate(self._checkpoint, self._model, prompt, count, sampler, None, on_chunk, on_text, stop)
        except Stopped:
            self._held = prompt[:self._model.length]  # raised between two steps: what was read is whole
            raise
        except BaseException:
            self._held = []
            self._model.reset()
            raise
        self._held = [*prompt, *done.tokens][:self._model.length]
        return done


def common_prefix(one: list[int], other: list[int]) -> int:
    """How many first tokens are the same."""
    return next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def template_of(checkpoint: Checkpoint) -> ChatTemplate:
    """The model's chat template; :class:`InputError` where it has none."""
    if checkpoint.chat is None:
        raise InputError(f"{checkpoint.text.where} has no chat template (chat_template.jinja, or chat_template in "
                         "tokenizer_config.json): use `wsekern run MODEL --prompt TEXT`, or a model that was trained to chat")
    return checkpoint.chat


def opening(system: str | None) -> list[dict[str, str]]:
    """The messages before the user's first: what the system says, if anything."""
    return [] if system is None else [{"role": "system", "content": system}]
