"""Weights and tokenizer of a Hugging Face folder: ``config.json``, ``*.safetensors``, ``tokenizer.json``."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.load import bundled_models, load_config, read_json
from wsekern.workload.rope import frequencies
from wsekern.workload.tensors import Safetensors
from wsekern.workload.weights import StoredWeights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EXECUTABLE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Architectures whose weights wsekern can execute; others are known by their shape only."""

@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be executed. Values of its weights are read when they are asked for."""

    folder: Path
    config: ModelConfig
    weights: StoredWeights
    tokenizer: "Tokenizer"
    special_tokens: bool = True  # whether the tokenizer adds those that its own file tells it to
    first_token: int | None = None  # put in front of every text, where the tokenizer does not do so itself
    eos_tokens: tuple[int, ...] = field(default=())

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, as ``transformers`` encodes it."""
        try:
            ids = self.tokenizer.encode(text, add_special_tokens=self.special_tokens).ids
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{self.folder}: the tokenizer cannot encode the prompt: {error}") from None
        if self.first_token is not None and ids[:1] != [self.first_token]:
            ids = [self.first_token, *ids]
        if not ids:
            raise InputError("the prompt is empty: give at least one word")
        if max(ids) >= self.config.vocab:
            raise InputError(f"{self.folder}: the tokenizer gives token {max(ids)}, but config.json says vocab_size "
                             f"{self.config.vocab}")
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of token ``ids``."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


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
    weights = StoredWeights(Safetensors(path), config)
    tokenizer = _load_tokenizer(path, config)
    adds, first = _text_start(path, tokenizer)
    return Checkpoint(folder=path, config=config, weights=weights, tokenizer=tokenizer, special_tokens=adds, first_token=first,
                      eos_tokens=_end_tokens(path, config))


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
    tokenizer.no_truncation()  # settings that a training run left in the file
    tokenizer.no_padding()
    return tokenizer


def _read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file."""
    if not file.is_file():
        return {}
    data = read_json(file)
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected a JSON object")
    return data


def _text_start(path: Path, tokenizer: "Tokenizer") -> tuple[bool, int | None]:
    """(whether special tokens are those of tokenizer.json, the one in front of every text otherwise).

    As in ``transformers``, tokenizer.json decides unless tokenizer_config.json has a word on the begin-of-text token;
    ``bos_token_id`` in config.json says which it is, not that it is put there.
    """
    file = path / "tokenizer_config.json"
    data = _read_object(file)
    adds, token = data.get("add_bos_token"), data.get("bos_token")
    if adds is None or token is None:
        return True, None
    token = token.get("content") if isinstance(token, dict) else token
    number = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if not isinstance(adds, bool) or (adds and number is None):
        raise InputError(f"{file}: add_bos_token is {adds!r} and bos_token {token!r}, expected true or false and a token of "
                         "tokenizer.json")
    return False, number if adds else None


def _end_tokens(path: Path, config: ModelConfig) -> tuple[int, ...]:
    """Tokens that end a text: generation_config.json wins over config.json; ids that no token has can never come."""
    found: Any = None
    for name in ("config.json", "generation_config.json"):
        given = _read_object(path / name).get("eos_token_id")
        found = found if given is None else given
    tokens = found if isinstance(found, list) else [] if found is None else [found]
    for token in tokens:
        if isinstance(token, bool) or not isinstance(token, int):
            raise InputError(f"{path}: eos_token_id is {str(found)[:60]!r}, expected a token id or a list of them")
    return tuple(token for token in tokens if 0 <= token < config.vocab)
