"""A Hugging Face folder that can be executed: ``config.json``, ``*.safetensors``, and the text beside them."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.chat import ChatTemplate, load_template
from wsekern.workload.config import ModelConfig
from wsekern.workload.generation import GenerationSettings, load_settings
from wsekern.workload.load import bundled_models, load_config, read_json
from wsekern.workload.rope import frequencies
from wsekern.workload.text import Text
from wsekern.workload.tokenizer_files import load_text

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
    """All weights of a model, float32."""

    embedding: Matrix  # (vocab, hidden)
    layers: tuple[LayerWeights, ...]
    norm: Vector  # (hidden,)
    head: Matrix  # (hidden, vocab); the transposed embedding when tied


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be executed. Its weights are read when they are first asked for."""

    folder: Path
    config: ModelConfig
    text: Text
    chat: ChatTemplate | None = None  # None: its files hold no template
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    @cached_property
    def weights(self) -> Weights:
        """All weights, float32; :class:`InputError` names the tensor that is missing or wrong."""
        return load_weights(self.folder, self.config)

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
    """Load a Hugging Face folder; raise :class:`InputError` naming what is missing or wrong.

    Everything but the values of the weights is checked here: a model that does not fit should not be read for minutes first.
    """
    path = Path(folder)
    if not os.path.isfile(path / "config.json"):
        known = f": {folder} is known by its shape only, which `wsekern compare` and `predict` take;" \
            if str(folder) in bundled_models() else ":"
        raise InputError(f"no model folder {str(folder)!r}{known} expected a folder with config.json, model.safetensors and "
                         "tokenizer.json")
    config = load_config(path)
    check_executable(config, str(path / "config.json"))
    check_weights(path, config)
    text = load_text(path, config.vocab)
    return Checkpoint(folder=path, config=config, text=text, chat=load_template(path, text.special),
                      settings=load_settings(path, config.vocab))


def check_executable(config: ModelConfig, where: str) -> None:
    """Refuse a model that is known by its shape only."""
    if config.architecture not in EXECUTABLE:
        raise InputError(f"{where}: {config.architecture} cannot be executed yet; use one of {', '.join(EXECUTABLE)}")
    if config.activation not in ("silu", "swish"):
        raise InputError(f"{where}: activation {config.activation[:60]!r} cannot be executed yet; expected hidden_act silu")
    if config.quantization:
        raise InputError(f"{where}: weights stored as {config.quantization} cannot be executed yet; expected float16, bfloat16 "
                         "or float32")
    frequencies(config.rotary, where)


DERIVED = "rotary_emb.inv_freq"
"""End of the names of tensors that old checkpoints hold although config.json gives their values."""


def check_weights(path: Path, config: ModelConfig) -> None:
    """Check that every tensor of ``config`` is there with its shape and a known number format, and that there is no other,
    without reading values."""
    known = {_HEAD} if config.tied_embeddings else set()  # load_weights sees that it is the embedding once more
    with _TensorFiles(path) as tensors:
        for part in chain((_model_tensors(config),), (_layer_tensors(config, index) for index in range(config.layers))):
            for name, shape in part.values():
                tensors.check(name, shape)
                known.add(name)
        unused = sorted(name for name in tensors.names - known if not name.endswith(DERIVED))
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        raise InputError(f"{path}: the weights have {', '.join(unused[:3])}{more}, which config.json does not name: the model "
                         "that they belong to would run without them")


def load_weights(path: Path, config: ModelConfig) -> Weights:
    """Read every tensor of ``config`` from the safetensors file(s) in ``path`` as float32."""
    with _TensorFiles(path) as tensors:
        outer = {field: tensors.read(name, shape) for field, (name, shape) in _model_tensors(config).items()}
        # A file has matrices as (outputs, inputs); vectors stay as they are.
        layers = tuple(LayerWeights(**{field: tensors.read(name, shape).T
                                       for field, (name, shape) in _layer_tensors(config, index).items()})
                       for index in range(config.layers))
        if config.tied_embeddings and _HEAD in tensors.names:
            head = tensors.read(_HEAD, outer["embedding"].shape)
            if not np.array_equal(head, outer["embedding"]):
                raise InputError(f"{path}: {_HEAD} is not the embedding, although config.json says tie_word_embeddings: say "
                                 "false there, or leave the tensor out")
    return Weights(embedding=outer["embedding"], layers=layers, norm=outer["norm"],
                   head=outer.get("head", outer["embedding"]).T)


_HEAD = "lm_head.weight"

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Field of our weights -> name and shape of the tensor in the file."""


def _model_tensors(config: ModelConfig) -> Tensors:
    """Tensors outside the layers."""
    table = (config.vocab, config.hidden)
    head: Tensors = {} if config.tied_embeddings else {"head": (_HEAD, table)}
    return {"embedding": ("model.embed_tokens.weight", table), "norm": ("model.norm.weight", (config.hidden,)), **head}


def _layer_tensors(config: ModelConfig, index: int) -> Tensors:
    """Tensors of layer ``index``."""
    prefix, hidden = f"model.layers.{index}.", config.hidden
    outputs = {"q": config.q_size, "k": config.kv_size, "v": config.kv_size, "o": hidden,
               "gate": config.ffn, "up": config.ffn, "down": hidden}
    inputs = {"o": config.q_size, "down": config.ffn}
    biased = {**dict.fromkeys("qkv", config.attention_bias), "o": config.output_bias}
    found: Tensors = {"attention_norm": (f"{prefix}input_layernorm.weight", (hidden,)),
                      "ffn_norm": (f"{prefix}post_attention_layernorm.weight", (hidden,))}
    for name, size in outputs.items():
        place = f"{prefix}{'self_attn' if name in 'qkvo' else 'mlp'}.{name}_proj"
        found[name] = (f"{place}.weight", (size, inputs.get(name, hidden)))
        if biased.get(name, config.mlp_bias):
            found[f"{name}_bias"] = (f"{place}.bias", (size,))
    if config.qk_norm:
        found |= {f"{name}_norm": (f"{prefix}self_attn.{name}_norm.weight", (config.head_dim,)) for name in "qk"}
    return found


class _TensorFiles:
    """The safetensors file, or the shards, of a folder."""

    def __init__(self, path: Path):
        self._path = path
        index = path / "model.safetensors.index.json"
        single = path / "model.safetensors"
        if single.is_file():
            names = [single.name]
        elif index.is_file():
            names = _shard_names(index)
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

    @property
    def names(self) -> set[str]:
        """Of all tensors in the files."""
        return set(self._where)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a tensor that is missing, of another shape, or of a number format that is not read."""
        if name not in self._where:
            raise InputError(f"{self._path}: tensor {name} is missing from the weights")
        handle, file = self._where[name]
        tensor = handle.get_slice(name)
        found, dtype = tuple(tensor.get_shape()), tensor.get_dtype()
        if found != shape:
            raise InputError(f"{file}: tensor {name} has shape {list(found)}, but config.json asks for {list(shape)}")
        if dtype not in ("F16", "BF16", "F32", "F64"):
            raise InputError(f"{file}: tensor {name} is stored as {dtype}; expected F16, BF16 or F32")

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Values of a tensor, float32."""
        self.check(name, shape)
        handle, file = self._where[name]
        with np.errstate(over="ignore"):
            tensor = handle.get_tensor(name).astype(np.float32)
        if not np.isfinite(tensor).all():
            raise InputError(f"{file}: tensor {name} holds values that are not finite")
        return tensor


def _shard_names(index: Path) -> list[str]:
    """Files that a shard index names, all of them in its own folder."""
    data = read_json(index)
    shards = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index} is not a shard index: expected an object with a weight_map of file names")
    for name in shards.values():
        if Path(name).name != name:
            raise InputError(f"{index}: shard name {name[:80]!r} leads out of the folder")
    return sorted(set(shards.values()))
