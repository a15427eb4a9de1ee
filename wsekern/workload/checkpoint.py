"""Weights and tokenizer of a Hugging Face folder: ``config.json``, ``*.safetensors``, ``tokenizer.json``."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig, load_config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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
    q_norm: Vector | None = None  # (head_dim,)
    k_norm: Vector | None = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """All weights of a model, float32."""

    embedding: Matrix  # (vocab, hidden)
    layers: tuple[LayerWeights, ...]
    norm: Vector  # (hidden,)
    head: Matrix  # (hidden, vocab); the transposed embedding when tied


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be executed."""

    config: ModelConfig
    weights: Weights
    tokenizer: "Tokenizer"
    bos_token: int | None = None
    eos_tokens: tuple[int, ...] = field(default=())

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, with the begin-of-text token in front where the model has one."""
        ids = self.tokenizer.encode(text).ids
        if self.bos_token is not None and ids[:1] != [self.bos_token]:
            ids = [self.bos_token, *ids]
        if not ids:
            raise InputError("the prompt is empty: give at least one word")
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of token ``ids``."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Load a Hugging Face folder; raise :class:`InputError` naming what is missing or wrong."""
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"no model folder {str(folder)!r}: expected a folder with config.json, model.safetensors and "
                         "tokenizer.json")
    config = load_config(path)
    check_executable(config, str(path / "config.json"))
    bos, eos = _special_tokens(path, config)
    return Checkpoint(config=config, weights=load_weights(path, config), tokenizer=_load_tokenizer(path, config),
                      bos_token=bos, eos_tokens=eos)


def check_executable(config: ModelConfig, where: str) -> None:
    """Refuse a model that is known by its shape only."""
    if config.architecture not in EXECUTABLE:
        raise InputError(f"{where}: {config.architecture} cannot be executed yet; use one of {', '.join(EXECUTABLE)}")
    if 0 < config.sliding_window < config.max_context:
        raise InputError(f"{where}: a sliding window of {config.sliding_window} tokens cannot be executed yet; expected "
                         "full attention")


def load_weights(path: Path, config: ModelConfig) -> Weights:
    """Read every tensor of ``config`` from the safetensors file(s) in ``path`` as float32."""
    with _TensorFiles(path) as tensors:
        embedding = tensors.read("model.embed_tokens.weight", (config.vocab, config.hidden))
        layers = tuple(_load_layer(tensors, config, index) for index in range(config.layers))
        norm = tensors.read("model.norm.weight", (config.hidden,))
        tied = config.tied_embeddings
        head = embedding if tied else tensors.read("lm_head.weight", (config.vocab, config.hidden))
    return Weights(embedding=embedding, layers=layers, norm=norm, head=head.T)


def _load_layer(tensors: "_TensorFiles", config: ModelConfig, index: int) -> LayerWeights:
    prefix = f"model.layers.{index}."
    hidden, ffn, q, kv = config.hidden, config.ffn, config.q_size, config.kv_size

    def matrix(name: str, inputs: int, outputs: int) -> Matrix:
        return tensors.read(f"{prefix}{name}.weight", (outputs, inputs)).T

    def vector(name: str, size: int) -> Vector:
        return tensors.read(prefix + name, (size,))

    extra: dict[str, Vector] = {}
    if config.attention_bias:
        extra |= {f"{name}_bias": vector(f"self_attn.{name}_proj.bias", size)
                  for name, size in (("q", q), ("k", kv), ("v", kv))}
    if config.qk_norm:
        extra |= {f"{name}_norm": vector(f"self_attn.{name}_norm.weight", config.head_dim) for name in ("q", "k")}
    return LayerWeights(
        attention_norm=vector("input_layernorm.weight", hidden),
        q=matrix("self_attn.q_proj", hidden, q), k=matrix("self_attn.k_proj", hidden, kv),
        v=matrix("self_attn.v_proj", hidden, kv), o=matrix("self_attn.o_proj", q, hidden),
        ffn_norm=vector("post_attention_layernorm.weight", hidden),
        gate=matrix("mlp.gate_proj", hidden, ffn), up=matrix("mlp.up_proj", hidden, ffn),
        down=matrix("mlp.down_proj", ffn, hidden), **extra)


class _TensorFiles:
    """The safetensors file, or the shards, of a folder."""

    def __init__(self, path: Path):
        self._path = path
        index = path / "model.safetensors.index.json"
        single = path / "model.safetensors"
        if single.is_file():
            names = [single.name]
        elif index.is_file():
            try:
                names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            except (ValueError, KeyError, AttributeError, OSError) as error:
                raise InputError(f"{index} is not a shard index: {error}") from None
        else:
            raise InputError(f"{path} has no model.safetensors (nor model.safetensors.index.json); other checkpoint "
                             "formats are not read")
        self._names = names

    def __enter__(self) -> "_TensorFiles":
        import ml_dtypes  # noqa: F401  registers bfloat16 with numpy
        from safetensors import SafetensorError, safe_open

        self._where: dict[str, tuple] = {}
        self._handles = []
        for name in self._names:
            file = self._path / name
            if Path(name).name != name:
                raise InputError(f"{self._path}: shard name {name!r} leads out of the folder")
            try:
                handle = safe_open(file, framework="np")
            except (SafetensorError, OSError) as error:
                raise InputError(f"{file} cannot be read as safetensors: {error}") from None
            self._handles.append(handle.__enter__())
            self._where |= {key: (handle, file) for key in handle.keys()}  # noqa: SIM118  not a dict
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.__exit__(None, None, None)

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self._where:
            raise InputError(f"{self._path}: tensor {name} is missing from the weights")
        handle, file = self._where[name]
        found = tuple(handle.get_slice(name).get_shape())
        if found != shape:
            raise InputError(f"{file}: tensor {name} has shape {list(found)}, but config.json asks for {list(shape)}")
        tensor = handle.get_tensor(name)
        if tensor.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
            raise InputError(f"{file}: tensor {name} is {tensor.dtype.name}; expected float16, bfloat16 or float32")
        tensor = tensor.astype(np.float32)
        if not np.isfinite(tensor).all():
            raise InputError(f"{file}: tensor {name} holds values that are not finite")
        return tensor


def _load_tokenizer(path: Path, config: ModelConfig) -> "Tokenizer":
    from tokenizers import Tokenizer

    file = path / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{path} has no tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{file} cannot be read as a tokenizer: {error}") from None
    if tokenizer.get_vocab_size() > config.vocab:
        raise InputError(f"{file} has {tokenizer.get_vocab_size()} tokens, but config.json says vocab_size "
                         f"{config.vocab}")
    return tokenizer


def _special_tokens(path: Path, config: ModelConfig) -> tuple[int | None, tuple[int, ...]]:
    """Begin and end tokens: generation_config.json wins over config.json."""
    merged: dict = {}
    for name in ("config.json", "generation_config.json"):
        if (path / name).is_file():
            try:
                data = json.loads((path / name).read_text())
            except ValueError as error:
                raise InputError(f"{path / name} is not valid JSON: {error}") from None
            merged |= {key: data[key] for key in ("bos_token_id", "eos_token_id") if data.get(key) is not None}
    bos, eos = merged.get("bos_token_id"), merged.get("eos_token_id", [])
    eos = tuple(eos) if isinstance(eos, list) else (eos,)
    for token in (*eos, *(() if bos is None else (bos,))):
        if not isinstance(token, int) or not 0 <= token < config.vocab:
            raise InputError(f"{path}: special token id {token!r} is not a token of the vocabulary (0 to "
                             f"{config.vocab - 1})")
    return bos, eos
