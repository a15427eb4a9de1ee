"""A Hugging Face folder that can be executed: ``config.json``, ``*.safetensors``, and the text beside them."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.chat import ChatTemplate, load_template
from wsekern.workload.config import ModelConfig
from wsekern.workload.generation import GenerationSettings, load_settings
from wsekern.workload.gguf_config import gguf_config
from wsekern.workload.gguf_file import GgufFile, is_gguf
from wsekern.workload.gguf_names import gguf_layout
from wsekern.workload.gguf_text import gguf_settings, gguf_template, gguf_text
from wsekern.workload.installed import installed_model
from wsekern.workload.load import bundled_models, load_config
from wsekern.workload.quantized import open_folder
from wsekern.workload.rope import frequencies
from wsekern.workload.text import Text
from wsekern.workload.tokenizer_files import load_text
from wsekern.workload.weights import Arrays, StoredWeights

EXECUTABLE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Architectures whose weights wsekern can execute; others are known by their shape only."""

Matrix = np.ndarray
Vector = np.ndarray


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """Weights of one transformer layer, float32. Matrices are (inputs, outputs)."""

    attention_norm: Vector  # (hidden,)
    q: Matrix  # (hidden, heads * head_dim)
    k: Matrix  # (hidden, kv_heads * head_dim)
    v: Matrix  # (hidden, kv_heads * head_dim)
    o: Matrix  # (heads * head_dim, hidden)
    ffn_norm: Vector  # (hidden,)
    gate: Matrix  # (hidden, ffn)
    up: Matrix  # (hidden, ffn)
    down: Matrix  # (ffn, hidden)
    q_bias: Vector | None = None
    k_bias: Vector | None = None
    v_bias: Vector | None = None
    o_bias: Vector | None = None
    gate_bias: Vector | None = None
    up_bias: Vector | None = None
    down_bias: Vector | None = None
    q_norm: Vector | None = None  # (head_dim,)
    k_norm: Vector | None = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """All weights of a model, float32. On its way out, as is :class:`LayerWeights`: see :mod:`wsekern.workload.weights`."""

    embedding: Matrix  # (vocab, hidden)
    layers: tuple[LayerWeights, ...]
    norm: Vector  # (hidden,)
    head: Matrix  # (hidden, vocab); the transposed embedding when tied


def _layer(arrays: Arrays) -> LayerWeights:
    renamed = {"before_mixer": "attention_norm", "before_feed": "ffn_norm"}
    return LayerWeights(**{renamed.get(name, name): values for name, values in arrays.items()})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be executed. Its weights are read when they are first asked for."""

    folder: Path
    config: ModelConfig
    stored: StoredWeights
    text: Text
    chat: ChatTemplate | None = None  # None: its files hold no template
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    @cached_property
    def weights(self) -> Weights:
        """All weights, float32; :class:`InputError` names the tensor that holds infinities."""
        outer = self.stored.outer
        layers = tuple(_layer(self.stored.block(index)) for index in range(len(self.stored)))
        return Weights(embedding=outer["embedding"], layers=layers, norm=outer["norm"], head=outer["head"])

    @property
    def eos_tokens(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        return self.settings.eos_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files say and is not done, or contradicts itself: a sentence each."""
        return (*self.text.notes, *self.settings.notes)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, as :meth:`Text.encode` gives them."""
        return self.text.encode(text)

    def decode(self, ids: list[int]) -> str:
        """Text of token ``ids``."""
        return self.text.decode(ids)


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Load a Hugging Face folder, a GGUF file, or an installed one by its name; raise :class:`InputError` naming what is
    missing or wrong.

    Everything but the values of the weights is checked here: a model that does not fit should not be read for minutes first.
    """
    path = installed_model(folder)
    if is_gguf(path):
        return _load_gguf(path)
    if not os.path.isfile(path / "config.json"):
        known = f": {folder} is known by its shape only, which `wsekern compare` and `predict` take;" \
            if str(folder) in bundled_models() else ":"
        raise InputError(f"no model folder {str(folder)!r}{known} expected a folder with config.json, model.safetensors and "
                         "tokenizer.json")
    config = load_config(path)
    check_executable(config, str(path / "config.json"))
    stored = StoredWeights(open_folder(path), config)
    text = load_text(path, config.vocab)
    return Checkpoint(folder=path, config=config, stored=stored, text=text, chat=load_template(path, text.special),
                      settings=load_settings(path, config.vocab))


def _load_gguf(path: Path) -> Checkpoint:
    file = GgufFile(path)
    config = gguf_config(file, path.stem)
    check_executable(config, str(path))
    text = gguf_text(file, config.vocab)
    return Checkpoint(folder=path, config=config, stored=StoredWeights(file, config, gguf_layout(file.architecture)), text=text,
                      chat=gguf_template(file, text), settings=gguf_settings(file, config.vocab))


def check_executable(config: ModelConfig, where: str) -> None:
    """Refuse a model that is known by its shape only."""
    if config.architecture not in EXECUTABLE:
        raise InputError(f"{where}: {config.architecture} cannot be executed yet; use one of {', '.join(EXECUTABLE)}")
    if config.activation not in ("silu", "swish"):
        raise InputError(f"{where}: activation {config.activation[:60]!r} cannot be executed yet; expected hidden_act silu")
    frequencies(config.rotary, where)
