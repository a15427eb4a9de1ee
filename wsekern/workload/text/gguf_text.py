"""The tokenizer, chat template and end tokens of a GGUF file, from its metadata.

A file names the way in which text is split before its merges (``tokenizer.ggml.pre``); the patterns themselves are published
with the models, and collected in llama.cpp's ``llama-vocab.cpp``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.text.chat import ChatTemplate
from wsekern.workload.text.generation import GenerationSettings
from wsekern.workload.text.text import Text, refusing
from wsekern.workload.weights.gguf import GgufFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens: control tokens are special; both are found whole in a text."""

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA_3 = rf"{_ENDS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN_2 = rf"{_ENDS}|{_WORDS}|\p{{N}}|{_REST}"
_QWEN_35 = (rf"{_ENDS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|"
            r"\s*[\r\n]+|\s+(?!\S)|\s+")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|{_CASED}"
_GPT_4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDS}?|"
           rf"\p{{N}}{{1,3}}|{_CASED}")
_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DEEPSEEK_3 = (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
               r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}")

SPLITS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "midm-2.0", "dbrx",
                     "smaug-bpe", "chatglm-bpe", "glm4"), (_LLAMA_3,)),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan", "kormo", "solar-open", "seed-coder"),
                    (_QWEN_2,)),
    "qwen35": (_QWEN_35,), "tekken": (_TEKKEN,),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "minimax-m2"), (_GPT_4O,)),
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "jais", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "trillion",
                     "granite-docling", "roberta-bpe"), (_GPT_2,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "exaone4", "minerva-7b"),
                    (r"\p{N}", _GPT_2)),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), _DEEPSEEK_3), "deepseek-coder": _DEEPSEEK_CODER,
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT_2, "[0-9][0-9][0-9]"),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"),
}
"""``tokenizer.ggml.pre`` -> patterns that split a text one behind the other. ``_GPT_2`` also keeps what no part matches."""

WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3", "tekken", "falcon3", "pixtral", "lfm2")
"""Names whose models take a word that is a token as it is, whatever its merges."""

STARTED = ("llama-bpe", "llama3", "llama-v3", "tekken", "falcon3", "pixtral")
"""Names whose texts begin with a token where ``add_bos_token`` is not stated."""


LONGEST_MERGED = 1000
"""Characters of a token that is looked for among merges: no vocabulary has longer ones, and time grows with the square."""


def gguf_text(file: GgufFile, vocab: int) -> Text:
    """The tokenizer of ``file``, whose embedding has ``vocab`` rows."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"{file.path} has no tokenizer.ggml.tokens: it comes without a tokenizer")
    model = file.metadata.get("tokenizer.ggml.model")
    makers = {"gpt2": _byte_level, "llama": _sentencepiece}
    if not isinstance(model, str) or model not in makers:
        raise InputError(f"{file.path}: its tokenizer is of kind {str(model)[:40]!r}; {' and '.join(makers)} are read")
    with refusing(f"{file.path}: its tokenizer cannot be used"):
        tokenizer = makers[model](file, tokens)
        _add_tokens(tokenizer, file, tokens)
    special = {f"{name}_token": tokens[index] for name, key in _NAMED.items()
               if (index := _token(file, key, tokens)) is not None}
    _put_around(tokenizer, file, special, model)
    return Text(tokenizer=tokenizer, vocab=vocab, where=str(file.path), special=special)


_NAMED = {"bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id", "pad": "padding_token_id"}


def gguf_template(file: GgufFile, text: Text) -> ChatTemplate | None:
    """The chat template in ``file``."""
    source = file.metadata.get("tokenizer.chat_template")
    return ChatTemplate(source=source, where=str(file.path), special=text.special) if isinstance(source, str) else None


def gguf_settings(file: GgufFile, vocab: int) -> GenerationSettings:
    """End tokens: that of a text, and those of a message where they are others."""
    found = (file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    ends = dict.fromkeys(token for token in found if type(token) is int and 0 <= token < vocab)
    return GenerationSettings(eos_tokens=tuple(ends))


def _token(file: GgufFile, key: str, tokens: list[str]) -> int | None:
    """The id of a named token, if the file states one that it has."""
    found = file.metadata.get(f"tokenizer.ggml.{key}")
    return found if type(found) is int and 0 <= found < len(tokens) else None


def _byte_level(file: GgufFile, tokens: list[str]) -> "Tokenizer":
    """Merges of bytes, after the text is split."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    merges, pre = file.metadata.get("tokenizer.ggml.merges"), file.metadata.get("tokenizer.ggml.pre", "default")
    if not isinstance(merges, list) or not all(isinstance(merge, str) and " " in merge for merge in merges):
        raise InputError(f"{file.path} has no tokenizer.ggml.merges, which a byte-level tokenizer needs")
    if not isinstance(pre, str) or pre not in SPLITS:
        raise InputError(f"{file.path}: how its text is split before the merges, tokenizer.ggml.pre, is {str(pre)[:40]!r}, "
                         f"which is not known; known are {', '.join(SPLITS)}")
    tokenizer = Tokenizer(models.BPE(_numbers(tokens), [tuple(merge.split(" ", 1)) for merge in merges],
                                     ignore_merges=pre in WHOLE_WORDS))
    splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in SPLITS[pre]]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(file: GgufFile, tokens: list[str]) -> "Tokenizer":
    """Merges in the order of the scores of what they give, after spaces become ``▁``; bytes for what no token covers."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = file.metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(tokens):
        raise InputError(f"{file.path} has no tokenizer.ggml.scores for its tokens, which a sentencepiece tokenizer needs")
    spelled = [token.replace(" ", "▁") if not token.strip() else token for token in tokens]
    unknown = _token(file, "unknown_token_id", tokens)
    numbers = _numbers(spelled)
    # Gemma's merges come in the order of its tokens, whatever their scores.
    order = range(0, -len(tokens), -1) if file.architecture.startswith("gemma") else [float(score) for score in scores]
    tokenizer = Tokenizer(models.BPE(numbers, _merges(numbers, order), byte_fallback=True,
                                     fuse_unk=True, unk_token=None if unknown is None else spelled[unknown]))
    prefix = file.metadata.get("tokenizer.ggml.add_space_prefix", True) is True
    start = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*start, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    return tokenizer


def _merges(numbers: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every pair of tokens that make a token, best first; of one token's pairs, that of the first pieces first."""
    found = []
    for token, number in numbers.items():
        if len(token) > LONGEST_MERGED:
            continue
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        made = [(numbers[left], numbers[right], left, right) for left, right in pairs if left in numbers and right in numbers]
        found += [(-scores[number], left, right) for _, _, left, right in sorted(made)]
    found.sort(key=lambda pair: pair[0])
    return [(left, right) for _, left, right in found]


def _numbers(tokens: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens)}


def _add_tokens(tokenizer: "Tokenizer", file: GgufFile, tokens: list[str]) -> None:
    """Control tokens, special, and those that the model's makers added, both taken whole out of a text."""
    from tokenizers import AddedToken

    kinds = file.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(kinds, np.ndarray) or len(kinds) != len(tokens):
        return
    for kind in (CONTROL, USER_DEFINED):
        special = kind == CONTROL
        added = [AddedToken(token, special=special, normalized=False)
                 for token, found in zip(tokens, kinds.tolist(), strict=True)
                 if found == kind and tokenizer.token_to_id(token) is not None]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


def _put_around(tokenizer: "Tokenizer", file: GgufFile, special: dict[str, str], model: str) -> None:
    """Tokens in front of and behind every text, as the file says, or llama.cpp where it does not."""
    from tokenizers.processors import TemplateProcessing

    started = model == "llama" or str(file.metadata.get("tokenizer.ggml.pre")) in STARTED
    begin = special.get("bos_token") if file.metadata.get("tokenizer.ggml.add_bos_token", started) is True else None
    end = special.get("eos_token") if file.metadata.get("tokenizer.ggml.add_eos_token") is True else None
    around = [token for token in (begin, end) if token]
    if around:
        tokenizer.post_processor = TemplateProcessing(
            single=[part for part in (begin, "$A", end) if part],
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in dict.fromkeys(around)])
