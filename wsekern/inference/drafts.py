"""What drafts tokens for a model that checks them: n-grams of the text, its own first layers, or a smaller model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec
import numpy as np

from wsekern.errors import InputError
from wsekern.inference.saved_model import SavedModel
from wsekern.inference.wafer import WaferModel
from wsekern.workload.config import ModelConfig
from wsekern.workload.speculation import Draft, check_layers

LONGEST = 3
"""Tokens of the longest n-gram that is looked for: those of prompt lookup decoding."""


class SavedDrafter(msgspec.Struct, forbid_unknown_fields=True):
    """A smaller model, the tokens ``read`` that its cache holds, and its cycles for the last draft."""

    model: SavedModel
    read: list[int]
    cycles: int


class Drafter(ABC):
    """Proposes tokens, one behind the other."""

    @abstractmethod
    def start(self, text: list[int]) -> None:
        """A pass begins behind ``text``, whose last token is the first that it checks."""

    @abstractmethod
    def next(self) -> int | None:
        """The token behind the last one; None: nothing is proposed."""

    @abstractmethod
    def describe(self) -> str:
        """In words."""

    def saved(self) -> SavedDrafter | None:
        """What is kept from pass to pass, as data; None: nothing is."""
        return None

    def restore(self, saved: SavedDrafter | None) -> None:
        """Be where :meth:`saved` was."""
        if saved is not None:
            raise InputError("saved with a smaller model that drafts, which this run lacks")


class NGrams(Drafter):
    """What stood behind the last tokens where they stood before (prompt lookup decoding): the longest of up to ``LONGEST`` that
    did, at the latest place. The host finds it, in no time."""

    def __init__(self) -> None:
        self._text: list[int] = []

    def start(self, text: list[int]) -> None:
        """Look in ``text``."""
        self._text = list(text)

    def next(self) -> int | None:
        """The token behind the last n-gram, which is then one of those that are looked for."""
        token = following(self._text)
        if token is not None:
            self._text.append(token)
        return token

    def describe(self) -> str:
        """In words."""
        return Draft("ngram").describe()


def following(text: Sequence[int]) -> int | None:
    """What follows the longest n-gram at the end of ``text`` where it stood last before; None where none did.

    >>> following([7, 1, 2, 9, 4, 1, 2])
    9
    """
    for size in range(min(LONGEST, len(text) - 1), 0, -1):
        end = list(text[-size:])
        for start in range(len(text) - size - 1, -1, -1):
            if list(text[start:start + size]) == end:
                return text[start + size]
    return None


class FirstLayers(Drafter):
    """The first ``layers`` layers of the model that checks, and its head: their work is part of the check."""

    def __init__(self, config: ModelConfig, layers: int) -> None:
        check_layers(layers, config)
        self.layers = layers
        self._token: int | None = None

    def start(self, text: list[int]) -> None:
        """Nothing is seen yet."""
        self._token = None

    def see(self, logits: np.ndarray) -> None:
        """Logits (vocab,) behind the last token and :attr:`layers` layers, of which the likeliest token is drafted."""
        self._token = int(np.argmax(logits))

    def next(self) -> int | None:
        """What was seen."""
        return self._token

    def describe(self) -> str:
        """In words."""
        return Draft("layers", self.layers).describe()


class SmallModel(Drafter):
    """Another ``model`` with the same vocabulary, on a grid of its own."""

    def __init__(self, model: WaferModel) -> None:
        if not model.can_rewind:
            raise InputError(f"{model.config.name} cannot draft: it has recurrent layers, whose state cannot go back behind a "
                             "token that is not accepted")
        self.model = model
        self.cycles = 0  # from a token to the one that was drafted behind it last
        self._read: list[int] = []  # tokens whose keys and values the cache holds
        self._text: list[int] = []

    def start(self, text: list[int]) -> None:
        """Forget what was not accepted, and read what is new but for the last token."""
        same = next((place for place, (read, token) in enumerate(zip(self._read, text, strict=False)) if read != token),
                    min(len(self._read), len(text)))
        self._read, self._text = self._read[:min(same, len(text) - 1)], list(text)
        self.model.rewind(len(self._read))
        new = text[len(self._read):-1]
        if len(new) > 1:
            self.model.prefill(new)
        else:  # the last token that was drafted, read while the model checks it
            for token in new:
                self.model.decode(token)
        self._read += new

    def next(self) -> int | None:
        """The likeliest token behind the last one."""
        before, token = self.model.engine.cycles, self._text[-1]
        self._text.append(int(np.argmax(self.model.decode(token))))
        self._read.append(token)
        self.cycles = self.model.engine.cycles - before
        return self._text[-1]

    def saved(self) -> SavedDrafter:
        """The model and what it has read."""
        return SavedDrafter(self.model.saved(), list(self._read), self.cycles)

    def restore(self, saved: SavedDrafter | None) -> None:
        """Be where :meth:`saved` was."""
        if saved is None:
            raise InputError("saved without a smaller model that drafts, which this run has")
        self.model.restore(saved.model)
        self._read, self.cycles = list(saved.read), saved.cycles

    def describe(self) -> str:
        """In words."""
        mapping = self.model.mapping
        return f"{Draft('model', model=self.model.config).describe()} on {mapping.width}x{mapping.height} PEs of its own"
