"""Parts of a quantized checkpoint that are stored otherwise than the rest, by the module names that it lists.

Lists name modules (``model.layers.3.self_attn.q_proj``), globs (``*.mlp.shared_expert.*``) or regular expressions
(``re:.*self_attn.*``), under several keys. A name is known by its words; a part counts as kept where that holds for at least
half of its layers.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from wsekern.workload.decoder import Block, FeedForward, Mixture, Recurrent

LISTS = ("ignore", "exclude_modules", "modules_to_not_convert")
"""Keys under which modules stand that are not quantized."""

_WORDS = (
    ("shared", r"shared_?experts?"),
    ("experts", r"experts?"),
    ("recurrent", r"linear_attn|mamba|mixer\.(in|out)_proj"),
    ("attention", r"self_attn|self_attention|attn|attention|mixer\.[qkvo]_proj"),
    ("dense", r"mlp|feed_forward|ffn|mixer\.(up|down)_proj"),
)
"""Parts by words of their modules' names, the first that is found."""

_SMALL = re.compile(r"norm\d*\b|\bgate$|router|gate\.|bias|_gate$|indexer|conv1d|embed|lm_head|head$|vision|mtp|projector")
"""Modules that no engine quantizes, or that weigh nothing."""

_LAYER = re.compile(r"(?:layers|h|blocks)\.(\d+)")


def kept_parts(
    stored: Mapping[str, Any], blocks: Iterable[Block], main: str, formats: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """(part, number format) of ``stored``, a ``quantization_config``, for a model of ``blocks`` that is stored in ``main`` but
    for these; the algorithms of ``quantized_layers`` are looked up in ``formats``."""
    layers = _layers_with(blocks)
    listed = stored.get("quantized_layers")
    found = _tallied(listed, formats) if isinstance(listed, Mapping) else {}
    if stored.get("quant_method") == "fp8" != main:  # experts in another format, in a checkpoint of FP8
        kept = {part: found.get(part, "fp8") for part in layers}
    elif found:
        kept = {part: found.get(part, "bf16") for part in layers}
    else:
        covered = _covered(name for key in LISTS for name in _names(stored.get(key)))
        kept = {part: "bf16" for part, count in layers.items() if 2 * covered(part) >= count}
    return tuple(sorted((part, form) for part, form in kept.items() if part != "experts" and form != main))


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _part(name: str) -> str:
    """The part that a module's name tells; empty for none, or for one that weighs little."""
    if _SMALL.search(name.rstrip("*.")):
        return ""
    return next((part for part, words in _WORDS if re.search(words, name)), "")


def _tallied(listed: Mapping[str, Any], formats: Mapping[str, str]) -> dict[str, str]:
    """The format that most modules of a part have."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, layer in listed.items():
        form = formats.get(str(layer.get("quant_algo"))) if isinstance(layer, Mapping) else None
        if form is not None and _part(name):
            votes[_part(name)][form] += 1
    return {part: count.most_common(1)[0][0] for part, count in votes.items()}


def _covered(names: Iterable[str]) -> Callable[[str], float]:
    """Of a part: in how many layers the names cover it, a name without a layer in all."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    everywhere: set[str] = set()
    for name in names:
        layer, part = _LAYER.search(name), _part(name)
        if layer and not name[layer.end():].strip(".*"):
            found[""].add(layer[1])
        elif layer and part:
            found[part].add(layer[1])
        elif part:
            everywhere.add(part)
    return lambda part: inf if part in everywhere else len(found[part] | found[""])


def _layers_with(blocks: Iterable[Block]) -> Counter[str]:
    """How many layers have a part."""
    count: Counter[str] = Counter()
    for block in blocks:
        count.update({"recurrent" if isinstance(mixer, Recurrent) else "attention" for mixer in block.mixers})
        if isinstance(block.feed, Mixture):
            count.update(["experts", *(["shared"] if block.feed.shared else []), *(["dense"] if block.feed.dense else [])])
        count.update(["dense"] if isinstance(block.feed, FeedForward) else [])
    return count
