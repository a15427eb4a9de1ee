"""Text to token ids and back, as ``transformers`` 5.24 does it with a folder's tokenizer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsekern.errors import InputError, check_flag, one_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "�"
"""What a decoder writes for bytes that are no character (yet)."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """What the tokenizers library raises inside, as :class:`InputError`: ``what`` is its sentence's beginning.

    The library raises bare Exception, and where it panics something that is none (pyo3's PanicException).
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise InputError(f"{what}: {one_line(error)[:300]}") from None


@dataclass(frozen=True, kw_only=True)
class Text:
    """A tokenizer, and what its files say beside it. ``vocab``: rows of the model's embedding."""

    tokenizer: "Tokenizer"
    vocab: int
    where: str  # folder or file, for errors
    special: Mapping[str, str] = field(default_factory=dict)  # bos_token, eos_token, ...: the token
    notes: tuple[str, ...] = ()  # where the files contradict each other, a sentence each

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Token ids of ``text``; ``special``: with the tokens that tokenizer.json puts around a text.

        Raises :class:`InputError` where there is no token, or one without a row in the embedding.
        """
        with refusing(f"{self.where}: the tokenizer cannot encode the prompt"):
            ids = self.tokenizer.encode(text, add_special_tokens=check_flag(special, "special of a text")).ids
        if not ids:
            raise InputError("the prompt is empty: give at least one word")
        if max(ids) >= self.vocab:
            raise InputError(f"{self.where}: the tokenizer gives token {max(ids)} "
                             f"({self.tokenizer.id_to_token(max(ids))!r}), but config.json says vocab_size {self.vocab}")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ``ids``, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def continuation(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """What ``ids`` add to the text of ``prompt``: sentencepiece's decoders drop the space in front of ``ids`` alone."""
        stream = self.stream(prompt)
        return "".join(stream.push(token) for token in ids) + stream.finish()

    def stream(self, prompt: Sequence[int]) -> "TextStream":
        """The text that tokens add to that of ``prompt``, piece by piece."""
        return TextStream(self, prompt)


class TextStream:
    """Pieces of text as tokens come; bytes that are no whole character yet wait for those that complete it."""

    def __init__(self, text: Text, prompt: Sequence[int]):
        self._text, self._ids = text, list(prompt)
        self._shown = text.decode(self._ids).rstrip(UNFINISHED)

    def push(self, token: int) -> str:
        """What ``token`` adds to the text so far."""
        self._ids.append(token)
        return self._advance(self._text.decode(self._ids).rstrip(UNFINISHED))

    def finish(self) -> str:
        """What still waits: bytes that nothing has completed."""
        return self._advance(self._text.decode(self._ids))

    def _advance(self, whole: str) -> str:
        """The end of ``whole`` that was not shown. What was shown stays, where a decoder changes its mind about it."""
        piece = whole[len(self._shown):]
        self._shown = whole if piece else self._shown
        return piece
