"""Layers of hybrids and of models without attention that are laid out in a way of their own."""

from dataclasses import replace

from wsekern.workload.decoder import Block, FeedForward, Norm
from wsekern.workload.parsing.attention import KINDS, attention
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.feed import activation, dense_feed, needed_mixture
from wsekern.workload.parsing.keys import MOST_LAYERS, Keys
from wsekern.workload.parsing.recurrent import recurrent

_LETTERS = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}


def nemotron_h(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Nemotron-H: each layer is one part, named in a list or by a letter: Mamba (M), attention (*), MLP (-) or experts (E)."""
    pattern = keys.data.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        if not pattern or len(pattern) > MOST_LAYERS or set(pattern) - _LETTERS.keys():
            raise keys.refuse("hybrid_override_pattern", "letters M, E, * and -")
        kinds = [_LETTERS[letter] for letter in pattern]
    else:
        kinds = [KINDS.get(name, name) for name in keys.names("layer_types")]
        if not kinds or len(kinds) > MOST_LAYERS or set(kinds) - set(_LETTERS.values()):
            raise keys.refuse("layer_types", f"a list of {', '.join(_LETTERS.values())}")
    made = {kind: _part(keys, family, hidden, norm, kind) for kind in dict.fromkeys(kinds)}
    return [made[kind] for kind in kinds]


def _part(keys: Keys, family: Family, hidden: int, norm: Norm, kind: str) -> Block:
    """One layer of Nemotron-H."""
    if kind == "linear_attention":
        return Block(mixer=recurrent(keys, "mamba2", hidden, norm), before_mixer=norm)
    if kind == "full_attention":
        return Block(mixer=attention(keys, family, hidden), before_mixer=norm)
    feed = dense_feed(keys, family, hidden) if kind == "mlp" else needed_mixture(keys, family)
    return Block(feed=feed, before_feed=norm)


def states_only(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Mamba and Mamba 2: nothing but mixers."""
    mixer = recurrent(keys, family.recurrent, hidden, norm)
    return [Block(mixer=mixer, before_mixer=norm)] * keys.size("num_hidden_layers", maximum=MOST_LAYERS)


def falcon_h1(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Attention and Mamba 2 read the same input, and their outputs are added. Many products are scaled by stated numbers."""
    mixer = recurrent(with_rms_norm(keys), "mamba2", hidden, norm)
    named = [key for key in keys.data if key.endswith(("_multiplier", "_multipliers")) and key not in (
        "embedding_multiplier", "lm_head_multiplier")]
    scales = tuple((key, tuple(value) if isinstance(value, list) else value) for key in sorted(named)
                   if (value := keys.data[key]) is not None and isinstance(value, int | float | list))
    plain = attention(keys, family, hidden)
    return [replace(block, mixer=plain, beside=mixer, multipliers=scales) for block in blocks]


def with_rms_norm(keys: Keys) -> Keys:
    """Falcon-H1's states have a norm only if it is stated."""
    return Keys({**keys.data, "mamba_rms_norm": keys.flag("mamba_rms_norm")}, keys.where, keys.stored)


def zamba2(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Mamba 2 layers; before some of them stands a transformer block that reads the stream beside the embedding, one of
    ``num_mem_blocks`` that repeat, with a low-rank change of its own at each place, and a projection behind it."""
    kinds = [KINDS.get(name, name) for name in keys.names("layer_types")] or (
        ["linear_attention"] + (["linear_attention"] * 5 + ["hybrid"]) * 7 + ["linear_attention"] * 4 + ["hybrid"]
        + ["linear_attention"] * 3 + ["hybrid"] + ["linear_attention"] * 2)
    if len(kinds) > MOST_LAYERS or set(kinds) - {"linear_attention", "hybrid"}:
        raise keys.refuse("layer_types", "a list of linear_attention and hybrid")
    heads = keys.size("num_attention_heads")
    double = Keys({**keys.data, "head_dim": 2 * hidden // heads}, keys.where, keys.stored)
    mixer = attention(double, replace(family, rotates=keys.flag("use_mem_rope")), hidden)
    mixer = replace(mixer, scale=(mixer.head_dim / 2) ** -0.5)
    feed = dense_feed(keys, family, hidden)
    rank, blocks = keys.size("adapter_rank", 128), keys.size("num_mem_blocks", 1)
    own = rank * (hidden + 2 * feed.width) + (3 * rank * 4 * hidden if keys.flag("use_shared_attention_adapter") else 0)
    wider = hidden * (mixer.q_size + mixer.kv_size + mixer.value_size)
    state = Block(mixer=recurrent(keys, "mamba2", hidden, norm), before_mixer=norm)
    found: list[Block] = []
    for kind in kinds:
        if kind == "hybrid":
            placed = sum(isinstance(block.feed, FeedForward) for block in found)
            repeats = placed >= blocks
            found.append(Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm, repeats=repeats,
                               extra=own + hidden**2 + (0 if repeats else wider)))
        found.append(state)
    return found


def recurrent_gemma(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Two recurrent layers and one of local attention by turns; each gate and plain half is half of the stated width."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    turns = keys.names("block_types") or ["recurrent", "recurrent", "attention"]
    if set(turns) - {"recurrent", "attention"}:
        raise keys.refuse("block_types", "a list of recurrent and attention")
    feed = FeedForward(width=max(keys.size("intermediate_size") // 2, 1), activation=activation(keys), bias=True)
    mixers = {"recurrent": recurrent(keys, "rg_lru", hidden, norm),
              "attention": attention(keys, family, hidden, "sliding_attention")}
    made = {kind: Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm) for kind, mixer in mixers.items()}
    return [made[turns[index % len(turns)]] for index in range(layers)]


def rwkv(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """RWKV 4: the feed-forward part has a gate as wide as the stream."""
    feed = FeedForward(width=keys.size("intermediate_size", 4 * hidden), gated=False, activation="relu2")
    block = Block(mixer=recurrent(keys, "rwkv", hidden, norm), feed=feed, before_mixer=norm, before_feed=norm, extra=hidden**2)
    return [block] * keys.size("num_hidden_layers", maximum=MOST_LAYERS)
