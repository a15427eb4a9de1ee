"""Settings that the words of a row state: each is used by the prediction, or refuses the row with the reason, never dropped.

Used: eager launches, chunked prefill off, the width of the cache, attention in data parallel, limits of an engine (tokens of
a step, sequences, memory), a static batch, decode only. Refused: drafted tokens, cached prompts, prompts read on other GPUs, of
which the rows never say how much.
"""

import re

SPECULATIVE = "speculative decoding: not the time of one step"
CACHED_PROMPTS = "prompts may come from a prefix cache, and how much of them did is not stated"
APART = "prompts are read on other GPUs, and how many serve which part is not stated"
CONTEXT = 28
"""Characters before and after a word that may say whether a setting is on or off."""

_OFF_BEFORE = re.compile(
    r"(?:\bno|\bnot|\bnon|\bwithout|\bw/o|disabled?|disabling|\bnever)[\s_:-]*(?:enabled?[\s_-]*)?(?:in )?$"
)
_OFF_AFTER = re.compile(r"s?[\s_:=\"'-]*(?:is |are |was |were |set to )?(?:off\b|disabled|false|none\b|0\b|not used|unused)")


def stated(subject: str, text: str) -> bool | None:
    """Whether ``text`` says that ``subject`` (a regular expression in lower case) is on; None where it does not say so.

    It is off after "no", "without" or "disable", and before "off", "disabled", "false", "none" or "0".
    """
    lower, said = text.lower(), None
    for match in re.finditer(subject, lower):
        off = _OFF_BEFORE.search(lower[max(0, match.start() - CONTEXT) : match.start()])
        if not off and not _OFF_AFTER.match(lower[match.end() : match.end() + CONTEXT]):
            return True
        said = False
    return said


def words(row: dict[str, str]) -> str:
    """What a row says of its run in its own words."""
    return " ; ".join(row.get(name) or "" for name in ("notes", "source", "parallelism"))


def is_eager(text: str) -> bool:
    """Whether kernels were launched one by one, without CUDA graphs."""
    eager = stated(r"enforce[\s_-]?eager|\beager\b", text)
    graphs = stated(r"cuda[\s_-]?graphs?(?:[\s_]?mode)?", text)
    return eager is True or (graphs is False and eager is None)


def is_unchunked(text: str) -> bool:
    """Whether prompts were read whole, not in chunks beside the decoding."""
    return stated(r"chunked[\s_-]?prefills?|chunked[\s_-]context", text) is False


def is_static(text: str) -> bool:
    """Whether one batch was served from its first prompt to its last token, without others in between."""
    return stated(r"static batch(?:ing|es)?", text) is True or stated(r"(?:in-?flight|continuous) batching", text) is False


def is_decode_only(row: dict[str, str]) -> bool:
    """Whether a run says that no prompt was read in it: every cache was there when it began."""
    return bool(re.search(r"decode[\s_-]?only\b(?![\s_]*(?:cuda|graph))", (row.get("notes") or "").lower()))


def has_attention_copies(text: str) -> bool:
    """Whether the GPUs of a tensor-parallel group keep copies of the attention, each with users of its own."""
    return stated(r"attention[\s_-]dp\b|\bdp[\s_-]attention", text) is True


def cache_bytes_stated(text: str) -> float | None:
    """Bytes of a cached element that a text states (kv_cache_dtype=fp8, "8-bit KV cache"), None where it states none."""
    width = r"(fp8|int8|e4m3|e5m2|8[\s-]?bit|bf16|fp16|bfloat16|float16|16[\s-]?bit)(?:_e\dm\d)?"
    found = (re.search(rf"kv[\s_-]?(?:cache)?[\s_-]?(?:dtype|precision|type)?[\s_:=-]*{width}", text.lower())
             or re.search(rf"{width}[\s_-]*kv\b", text.lower()))
    if not found:
        return None
    return 2.0 if "16" in found[1] else 1.0


_LIMITS = {
    "step_tokens": r"(?:max[\s_-]num[\s_-](?:batched[\s_-])?tokens|chunked[\s_-]prefill[\s_-]size)[\s_:=]*(\d{1,7})\b",
    "scheduled_sequences": r"max[\s_-](?:num[\s_-]seqs|batch[\s_-]size|running[\s_-]requests)[\s_:=]*(\d{1,7})\b",
    "memory_share": r"(?:gpu[\s_-]memory[\s_-]utilization|mem[\s_-]fraction[\s_-]static)[\s_:=]*(0?\.\d{1,4}|1(?:\.0+)?)\b",
}
"""Constants of :mod:`wsekern.cluster.constants` that an option of an engine sets, and how a text states it."""


def limits_stated(text: str) -> dict[str, float]:
    """Values of the constants that a text states: most tokens of a step, most sequences, part of the memory in use."""
    found = {name: re.search(option, text.lower()) for name, option in _LIMITS.items()}
    return {name: float(match[1]) for name, match in found.items() if match and float(match[1]) > 0.0}


def refused_setting(text: str) -> str:
    """Why a run with the settings of ``text`` cannot be predicted; empty where nothing speaks against it."""
    drafts = (r"speculat\w+(?: decoding)?", r"\bmtp[\s-]?[1-9]\d*|\bmtp on\b", r"\beagle(?:[\s-]?\d)?\b|\bmedusa\b",
              r"draft(?:ed)? (?:model|tokens)")
    if any(stated(subject, text) for subject in drafts):
        return SPECULATIVE
    if stated(r"prefix[\s_-]?cach(?:ing|e)|cached prompts?|prompt cach(?:ing|e)", text):
        return CACHED_PROMPTS
    if stated(r"disaggregat\w+|\bp/d split|\bpd[\s_-]disagg\w*", text):
        return APART
    return ""
