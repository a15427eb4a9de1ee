"""How a model's files ask for its text to be chosen: ``generation_config.json``, as ``transformers`` 5.24 reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.json_files import read_object


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Settings of a generation by their names in the file; the defaults change nothing."""

    eos_tokens: tuple[int, ...] = ()  # tokens that end a text
    do_sample: bool = False  # False: the likeliest token
    temperature: float = 1.0
    top_k: int = 50  # of draws alone; 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    min_length: int = 0  # tokens of prompt and answer together before an end token may come
    min_new_tokens: int = 0
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()  # what the file asks for and is not done, in a sentence


IGNORED = {"num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": None, "dola_layers": None,
           "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "top_h": None, "sequence_bias": None,
           "guidance_scale": 1.0, "encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0,
           "forced_bos_token_id": None, "forced_eos_token_id": None, "exponential_decay_length_penalty": None,
           "watermarking_config": None, "stop_strings": None}
"""Settings that change a text and are not obeyed, with the value that asks for nothing; a note names the others."""


def load_settings(path: Path, vocab: int) -> GenerationSettings:
    """Settings of folder ``path`` whose model has ``vocab`` tokens; :class:`InputError` where a value has no meaning.

    Where there is no generation_config.json, those that config.json holds itself are taken (as older folders have them).
    """
    file = path / "generation_config.json"
    if not file.is_file():
        file = path / "config.json"
    data, ends = read_object(file), None
    config = read_object(path / "config.json")
    inner = config["text_config"] if isinstance(config.get("text_config"), dict) else {}
    for given in (inner, config, read_object(path / "generation_config.json")):
        ends = ends if given.get("eos_token_id") is None else given["eos_token_id"]
    return _settings(data, _end_tokens(ends, vocab, str(path)), str(file))


def _settings(data: dict[str, Any], ends: tuple[int, ...], where: str) -> GenerationSettings:
    """``data`` checked key by key; a null asks for nothing."""
    read = _Reader(data, where)
    ignored = [name for name, plain in IGNORED.items() if data.get(name) is not None and data[name] != plain]
    note = f"{where}: {', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"
    return GenerationSettings(
        eos_tokens=ends, do_sample=read.flag("do_sample"), temperature=read.number("temperature", 1.0, above=0.0),
        top_k=read.count("top_k", 50), top_p=read.number("top_p", 1.0, above=0.0, most=1.0),
        min_p=read.number("min_p", 0.0, most=1.0), repetition_penalty=read.number("repetition_penalty", 1.0, above=0.0),
        no_repeat_ngram_size=read.count("no_repeat_ngram_size", 0), bad_words_ids=read.words("bad_words_ids"),
        min_length=read.count("min_length", 0), min_new_tokens=read.count("min_new_tokens", 0),
        suppress_tokens=read.tokens("suppress_tokens"), begin_suppress_tokens=read.tokens("begin_suppress_tokens"),
        notes=(note,) if ignored else ())


class _Reader:
    """Values of the object ``data`` of file ``where``."""

    def __init__(self, data: dict[str, Any], where: str):
        self._data, self._where = data, where

    def _refuse(self, name: str, expected: str) -> InputError:
        return InputError(f"{self._where}: {name} is {str(self._data[name])[:60]!r}, expected {expected}")

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._refuse(name, "true or false")
        return bool(value)

    def number(self, name: str, absent: float, above: float | None = None, most: float = 1e6) -> float:
        """A number of at least 0 (of more than ``above``) and at most ``most``."""
        value = self._data.get(name)
        if value is None:
            return absent
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not (value >= 0 if above is None else value > above) or not value <= most:
            raise self._refuse(name, f"a number of {'at least 0' if above is None else f'more than {above:g}'} and at most "
                                     f"{most:g}")
        return float(value)

    def count(self, name: str, absent: int) -> int:
        """A whole number of at least 0."""
        value = self._data.get(name)
        if value is None:
            return absent
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise self._refuse(name, "a whole number of at least 0")
        return value

    def tokens(self, name: str) -> tuple[int, ...]:
        """A list of token ids."""
        value = self._data.get(name)
        if value is not None and not _are_tokens(value):
            raise self._refuse(name, "a list of token ids")
        return tuple(value or ())

    def words(self, name: str) -> tuple[tuple[int, ...], ...]:
        """A list of words, each a list of token ids."""
        value = self._data.get(name)
        if value is not None and not (isinstance(value, list) and all(_are_tokens(word) and word for word in value)):
            raise self._refuse(name, "a list of lists of token ids")
        return tuple(tuple(word) for word in value or ())


def _are_tokens(value: Any) -> bool:
    """Whether ``value`` is a list of token ids; -1 stands in some old files and is none."""
    return isinstance(value, list) and all(isinstance(token, int) and not isinstance(token, bool) for token in value)


def _end_tokens(found: Any, vocab: int, where: str) -> tuple[int, ...]:
    """Tokens that end a text, from one id or a list; ids that no token has can never come."""
    tokens = found if isinstance(found, list) else [] if found is None else [found]
    if not _are_tokens(tokens):
        raise InputError(f"{where}: eos_token_id is {str(found)[:60]!r}, expected a token id or a list of them")
    return tuple(token for token in tokens if 0 <= token < vocab)
