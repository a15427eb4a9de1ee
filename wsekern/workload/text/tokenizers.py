"""The tokenizer of a Hugging Face folder: tokenizer.json, or vocab.json with merges.txt, and the settings beside them.

As in ``transformers`` 5.24, tokenizer.json decides over ``add_bos_token`` of tokenizer_config.json, and tokens that only the
latter names are added. Unlike there, tokenizer.json also decides over the rules of the class that tokenizer_config.json names.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsekern.errors import InputError
from wsekern.workload.json_files import read_object
from wsekern.workload.text.text import Text, refusing

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Special tokens that have a name of their own."""

QWEN_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                r"\s+(?!\S)|\s+")
"""How Qwen 2 splits a text before its merges (published with the model)."""

BYTE_LEVEL = {"GPT2Tokenizer": None, "Qwen2Tokenizer": QWEN_PATTERN}
"""Classes whose vocab.json and merges.txt are read: byte-level, split by GPT-2's rule or by a pattern of their own."""

END_OF_TEXT = {"GPT2Tokenizer": NAMED[:3], "Qwen2Tokenizer": ("eos_token", "unk_token", "pad_token")}
"""Named tokens of each class that are <|endoftext|> where no file says otherwise."""


def load_text(path: Path, vocab: int) -> Text:
    """Read the tokenizer of folder ``path``; ``vocab``: rows of the model's embedding."""
    settings = read_object(path / "tokenizer_config.json")
    special = _named_tokens(path, settings)
    file = path / "tokenizer.json"
    if file.is_file():
        tokenizer = _from_json(file)
        notes = (*_add_tokens(tokenizer, path, settings, special), *_start_notes(path, settings, tokenizer, special),
                 *_class_notes(path, settings, tokenizer))
    else:
        tokenizer, special, notes = _from_merges(path, settings, special)
    tokenizer.no_truncation()  # settings that a training run left in the file
    tokenizer.no_padding()
    return Text(tokenizer=tokenizer, vocab=vocab, where=str(path), notes=notes,
                special={name: _content(token) for name, token in special.items()})


def _from_json(file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    with refusing(f"{file} cannot be read as a tokenizer"):
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.encode("a")  # what a template names and the file lacks is met only here
    return tokenizer


# -- vocab.json and merges.txt -------------------------------------------------------------------------------------------
def _from_merges(path: Path, settings: dict[str, Any],
                 special: dict[str, Any]) -> tuple["Tokenizer", dict[str, Any], tuple[str, ...]]:
    """A byte-level tokenizer from its two files, its named tokens, notes; one sentence where ``path`` has other files."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    if not ((path / "vocab.json").is_file() and (path / "merges.txt").is_file()):
        raise InputError(_how_to_convert(path))
    name = str(settings.get("tokenizer_class") or "GPT2Tokenizer").removesuffix("Fast")
    if name not in BYTE_LEVEL:
        raise InputError(f"{path} has vocab.json and merges.txt of class {name[:60]}, and no tokenizer.json; those of "
                         f"{' and '.join(BYTE_LEVEL)} are read: {_COMMAND.format(path)} writes a tokenizer.json")
    with refusing(f"{path}: vocab.json and merges.txt cannot be read as a tokenizer"):
        model = models.BPE.from_file(str(path / "vocab.json"), str(path / "merges.txt"))
    tokenizer, prefix = Tokenizer(model), settings.get("add_prefix_space") is True
    if (pattern := BYTE_LEVEL[name]) is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    else:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = dict.fromkeys(END_OF_TEXT[name], "<|endoftext|>") | special
    notes = _add_tokens(tokenizer, path, settings, special)
    _put_around(tokenizer, settings, special)
    return tokenizer, special, notes


def _put_around(tokenizer: "Tokenizer", settings: dict[str, Any], special: dict[str, Any]) -> None:
    """Tokens in front of and behind every text, where no tokenizer.json decides."""
    from tokenizers.processors import TemplateProcessing

    ends = {place: _content(special[name]) for place, key, name in (("BEGIN", "add_bos_token", "bos_token"),
                                                                    ("END", "add_eos_token", "eos_token"))
            if settings.get(key) is True and name in special}
    if ends:  # the template names places: a token in it might be read as a part of the template
        tokenizer.post_processor = TemplateProcessing(
            single=[*(place for place in ends if place == "BEGIN"), "$A", *(place for place in ends if place == "END")],
            special_tokens=[{"id": place, "ids": [tokenizer.token_to_id(token)], "tokens": [token]}
                            for place, token in ends.items()])


_COMMAND = ("`python -c \"from transformers import AutoTokenizer as T; T.from_pretrained('{0}').save_pretrained('{0}')\"` "
            "(with transformers and sentencepiece or mistral-common installed)")


def _how_to_convert(path: Path) -> str:
    """Why there is no tokenizer, and how to make one of what is there."""
    others = ("tokenizer.model", "tekken.json", "tiktoken.model", "spiece.model", "vocab.json")
    found = [name for name in others if (path / name).is_file()]
    if not found:
        return f"{path} has no tokenizer.json"
    return f"{path} has {found[0]} but no tokenizer.json: {_COMMAND.format(path)} writes one"


# -- tokens that tokenizer_config.json names -----------------------------------------------------------------------------
def _named_tokens(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """bos_token, eos_token, ... as a string or as an object with its flags."""
    given = settings
    if "added_tokens_decoder" not in settings:  # before that key there was a file of its own, which wins
        given = settings | read_object(path / "special_tokens_map.json")
    return {name: given[name] for name in NAMED if isinstance(given.get(name), str | dict) and _content(given[name])}


def _content(token: Any) -> str:
    """The text of a token: itself, or the content of an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _added(token: Any, special: bool) -> "AddedToken":
    """A token of the library from a string, or from an object with flags."""
    from tokenizers import AddedToken

    flags = ("single_word", "lstrip", "rstrip", "normalized")
    given = {name: token[name] for name in flags if isinstance(token.get(name), bool)} if isinstance(token, dict) else {}
    return AddedToken(_content(token), special=special, **({"normalized": not special} | given))


def _extra_tokens(settings: dict[str, Any]) -> Iterator[Any]:
    """Special tokens without a name of the standard, or with one of the model's own."""
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    yield from extra.values() if isinstance(extra, dict) else extra if isinstance(extra, list) else ()
    yield from (value for key, value in settings.items() if key.endswith("_token") and key not in NAMED)


def _add_tokens(tokenizer: "Tokenizer", path: Path, settings: dict[str, Any], special: dict[str, Any]) -> tuple[str, ...]:
    """Add what the settings name and the tokenizer does not know as an added token yet, in the order of ``transformers``.

    Returns a note where one gets another id than it was to have.
    """
    known = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    named = {_content(token) for token in special.values()}
    missing, asked = [], {}
    for index, token in _decoder_tokens(path, settings):
        added = _added(token, token.get("special") is True or _content(token) in named)
        asked[added.content] = index
        if repr(added) != repr(known.get(added.content)):
            missing.append(added)
    seen = set(known) | {added.content for added in missing}
    for token in (*special.values(), *_extra_tokens(settings)):
        if _content(token) and _content(token) not in seen:
            seen.add(_content(token))
            missing.append(_added(token, True))
    if missing:
        tokenizer.add_tokens(missing)
    moved = [f"{token} is {tokenizer.token_to_id(token)} instead of {index}" for token, index in asked.items()
             if tokenizer.token_to_id(token) != index]
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return (f"{path}: added tokens have other ids than tokenizer_config.json says, as in transformers 5: "
            f"{', '.join(moved[:3])}{more}",) if moved else ()


def _decoder_tokens(path: Path, settings: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """(id, token) of added_tokens_decoder by their ids, or of the added_tokens.json before it."""
    table, file = settings.get("added_tokens_decoder"), path / "tokenizer_config.json"
    if table is None:
        file = path / "added_tokens.json"
        old = read_object(file)
        table = {index: {"content": text} for text, index in old.items()}
    if not isinstance(table, dict):
        raise InputError(f"{file}: added_tokens_decoder is {str(table)[:60]!r}, expected an object")
    try:
        rows = sorted((int(index), token) for index, token in table.items()) if table else []
    except (TypeError, ValueError):
        raise InputError(f"{file}: added tokens are expected as numbers, each with one token of its own") from None
    for index, token in rows:
        if not isinstance(token, dict) or not _content(token):
            raise InputError(f"{file}: an added token is {str(token)[:60]!r}, expected an object with its content")
        yield index, token


def _start_notes(path: Path, settings: dict[str, Any], tokenizer: "Tokenizer", special: dict[str, Any]) -> tuple[str, ...]:
    """Where tokenizer_config.json asks for another begin or end of a text than tokenizer.json gives."""
    ids, notes = tokenizer.encode("a").ids, []
    for key, name, place in (("add_bos_token", "bos_token", slice(0, 1)), ("add_eos_token", "eos_token", slice(-1, None))):
        asked, token = settings.get(key), tokenizer.token_to_id(_content(special.get(name, "")))
        if not isinstance(asked, bool) or token is None:
            continue
        if (ids[place] == [token]) != asked:
            verb = "does not put" if asked else "puts"
            notes.append(f"{path}: tokenizer_config.json says {key} {str(asked).lower()}, but tokenizer.json {verb} "
                         f"{_content(special[name])} there; tokenizer.json decides, as in transformers 5")
    return tuple(notes)


def _class_notes(path: Path, settings: dict[str, Any], tokenizer: "Tokenizer") -> tuple[str, ...]:
    """Where ``transformers`` 5 would split a text by the rule of a class, and not as tokenizer.json says."""
    name = str(settings.get("tokenizer_class")).removesuffix("Fast")
    pattern = BYTE_LEVEL.get(name)
    rule = json.loads(tokenizer.pre_tokenizer.__getstate__()) if tokenizer.pre_tokenizer else None
    if pattern is None or json.dumps(pattern) in json.dumps(rule):
        return ()
    return (f"{path}: tokenizer.json splits texts otherwise than {name}, whose rule transformers 5 would put in its place; "
            "tokenizer.json decides",)
