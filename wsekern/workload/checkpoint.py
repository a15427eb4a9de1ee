"""A model that can be executed: a Hugging Face folder or a GGUF file, its weights and the text beside them."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.gguf_config import gguf_config
from wsekern.workload.installed import locate
from wsekern.workload.load import bundled_models, load_config
from wsekern.workload.rope import frequencies
from wsekern.workload.text.chat import ChatTemplate, load_template
from wsekern.workload.text.generation import GenerationSettings, load_settings
from wsekern.workload.text.gguf_text import gguf_settings, gguf_template, gguf_text
from wsekern.workload.text.text import Text
from wsekern.workload.text.tokenizers import load_text
from wsekern.workload.weights.compared import is_compared
from wsekern.workload.weights.gguf import GgufFile, is_gguf
from wsekern.workload.weights.gguf_names import gguf_layout
from wsekern.workload.weights.quantized import open_folder
from wsekern.workload.weights.weights import StoredWeights


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be executed. Values of its weights are read when they are asked for."""

    folder: Path
    config: ModelConfig
    weights: StoredWeights
    text: Text
    chat: ChatTemplate | None = None  # None: its files hold no template
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    @property
    def eos_tokens(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        return self.settings.eos_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files say and is not done, or contradicts itself: a sentence each."""
        return (*self._not_compared, *self.weights.notes, *self.text.notes, *self.settings.notes)

    @property
    def _not_compared(self) -> tuple[str, ...]:
        architecture = self.config.architecture
        return () if is_compared(architecture) else (
            f"no test compares {architecture} with transformers: its values may be others",)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, as :meth:`Text.encode` gives them."""
        return self.text.encode(text)

    def decode(self, ids: list[int]) -> str:
        """Text of token ``ids``."""
        return self.text.decode(ids)

    def digest(self) -> str:
        """A number that other descriptions, tokenizers and weights change, and other names do not: all weights are read."""
        found = hashlib.sha256(f"{replace(self.config, name='')!r}\n{self.text.tokenizer.to_str()}".encode())
        for path in self.weights.files:
            with open(path, "rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Load a Hugging Face folder, a GGUF file, or an installed one by its name; raise :class:`InputError` naming what is
    missing or wrong.

    Everything but the values of the weights is checked here: a model that does not fit should not be read for minutes first.
    """
    path = locate(folder)
    if is_gguf(path):
        return _load_gguf(path)
    if not os.path.isfile(path / "config.json"):
        known = f": {folder} is known by its shape only, which `wsekern compare` and `predict` take;" \
            if str(folder) in bundled_models() else ":"
        raise InputError(f"no model folder {str(folder)!r}{known} expected a folder with config.json, model.safetensors and "
                         "tokenizer.json, or a GGUF file")
    config = load_config(path)
    _check_rotations(config, str(path / "config.json"))
    weights, text = StoredWeights(open_folder(path), config), load_text(path, config.vocab)
    return Checkpoint(folder=path, config=config, weights=weights, text=text, chat=load_template(path, text.special),
                      settings=load_settings(path, config.vocab))


def _load_gguf(path: Path) -> Checkpoint:
    file = GgufFile(path)
    config = gguf_config(file, path.stem)
    _check_rotations(config, str(path))
    weights, text = StoredWeights(file, config, gguf_layout(file.architecture)), gguf_text(file, config.vocab)
    return Checkpoint(folder=path, config=config, weights=weights, text=text,
                      chat=gguf_template(file, text), settings=gguf_settings(file, config.vocab))


def _check_rotations(config: ModelConfig, where: str) -> None:
    """Refuse angles that cannot be reckoned, before the weights are looked at."""
    for block, _ in config.kinds:
        for mixer in block.mixers:
            if getattr(mixer, "rotary", None) is not None:
                frequencies(mixer.rotary, where)
