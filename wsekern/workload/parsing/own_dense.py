"""Dense architectures laid out in a way of their own: what is made of their keys, their layers and the rest."""

from dataclasses import replace
from typing import Any

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Norm
from wsekern.workload.parsing.attention import attention, layer_kinds
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.feed import dense_feed, mixture
from wsekern.workload.parsing.keys import MOST_LAYERS, Keys, with_keys


def parallel_by_key(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """GPT-NeoX and StableLM: both parts read the start of the layer if ``use_parallel_residual`` is set."""
    if not keys.flag("use_parallel_residual"):
        return replace(family, norms="before"), keys
    return replace(family, norms="parallel_two" if family.norms == "parallel_two" else "parallel"), keys


def falcon(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """ALiBi, divided as scores are, instead of rotary embedding if stated; parallel with one norm (7B), two (40B, 180B), or one
    after the other."""
    alibi, new = keys.flag("alibi"), keys.flag("new_decoder_architecture")
    two = new and keys.size("num_ln_in_parallel_attn", 2) == 2
    norms = "parallel_two" if two else "parallel" if new or keys.flag("parallel_attn", True) else "before"
    heads = keys.size("num_attention_heads")
    kv_heads = keys.size("num_key_value_heads", heads) if new else heads
    family = replace(family, rotates=not alibi, alibi=-1.0 if alibi else 0.0, norms=norms)
    return family, with_keys(keys, num_key_value_heads=kv_heads)


def mpt(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """MPT keeps attention's keys in a table, and biases only without ``no_bias``."""
    table = keys.inner("attn_config")
    alibi = table.flag("alibi", True)
    values = {"clip_qkv": table.data.get("clip_qkv"), "num_key_value_heads": table.data.get("kv_n_heads")}
    width = int(keys.number("expansion_ratio", 4) * keys.size("hidden_size"))
    return replace(family, alibi=float(alibi), positions=-1 if alibi else 0), with_keys(keys, intermediate_size=width, **values)


def hyperclovax(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Norms behind each part too, if stated; scores scaled by a key, if it is there."""
    return replace(family, norms="around" if keys.flag("use_post_norm") else "before",
                   scale=family.scale if keys.has("attention_multiplier") else 0.0), keys


def lfm_2(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """LFM2 takes two thirds of the stated width, times a factor, rounded up, unless told not to."""
    if not keys.flag("block_auto_adjust_ff_dim", True):
        return family, keys
    width = int(keys.number("block_ffn_dim_multiplier", 1.0) * int(2 * keys.size("intermediate_size") / 3))
    multiple = keys.size("block_multiple_of", 256)
    return family, with_keys(keys, intermediate_size=-(-width // multiple) * multiple)


def gpt_2_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Scores unscaled, or divided by the number of the layer too, if stated."""
    def changed(index: int, block: Block) -> Block:
        assert isinstance(block.mixer, Attention)
        scale = block.mixer.head_dim**-0.5 if keys.flag("scale_attn_weights", True) else 1.0
        scale /= index + 1 if keys.flag("scale_attn_by_inverse_layer_idx") else 1
        return replace(block, mixer=replace(block.mixer, scale=0.0 if scale == block.mixer.head_dim**-0.5 else scale))
    return [changed(index, block) for index, block in enumerate(blocks)]


def gpt_neo_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Global and local attention by turns, as ``attention_layers`` or ``attention_types`` list them."""
    kinds = keys.names("attention_layers")
    listed = keys.data.get("attention_types")
    if not kinds and isinstance(listed, list):
        try:
            kinds = [str(kind) for part, times in listed for _ in range(min(int(times), MOST_LAYERS)) for kind in part]
        except (TypeError, ValueError):
            raise keys.refuse("attention_types", "a list of [kinds, times]") from None
    kinds = kinds or ["global", "local"] * len(blocks)
    if len(kinds) < len(blocks):
        raise keys.refuse("attention_types", f"kinds of {len(blocks)} layers")
    window = keys.size("sliding_window", 256)
    return [block if kind == "global" or not isinstance(block.mixer, Attention) else
            replace(block, mixer=replace(block.mixer, window=window)) for kind, block in zip(kinds, blocks, strict=False)]


def olmo_hybrid_sizes(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Linear heads: as many as others, of three quarters of their width for keys and twice that for values."""
    heads = keys.size("num_attention_heads")
    width = int(0.75 * keys.size("hidden_size") / heads)
    derived = {"linear_num_key_heads": heads, "linear_num_value_heads": heads, "linear_key_head_dim": width,
               "linear_value_head_dim": 2 * width}
    return family, with_keys(keys, **{key: value for key, value in derived.items() if not keys.has(key)})


def olmo_hybrid_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Linear layers have their norms before, the others behind."""
    return [block if isinstance(block.mixer, Attention) else
            replace(block, before_mixer=norm, before_feed=norm, after_mixer=None, after_feed=None) for block in blocks]


def minicpm_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """What is added to the residual stream is scaled by the depth."""
    scale = keys.number("scale_depth", 1.0) / len(blocks) ** 0.5
    return [replace(block, residual=scale) for block in blocks]


def minicpm_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    return replace(config, logits_scale=keys.number("dim_model_base", config.hidden) / config.hidden)


def gemma_3n(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """The width may be stated for each layer; the greatest stands for all until the layers are there."""
    widths = keys.data.get("intermediate_size")
    if not isinstance(widths, list | tuple):
        return family, keys
    return family, with_keys(keys, intermediate_size=max(keys.sizes("intermediate_size"), default=None),
                             feed_widths=list(widths))


def gemma_3n_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Alternating updates of several streams, a low-rank detour (LAuReL), and inputs for each layer, as extra weights."""
    streams, rank, own = keys.size("altup_num_inputs", 4), keys.size("laurel_rank",
                                                                     64), keys.count("hidden_size_per_layer_input")
    extra = streams**2 * (streams + 1) + streams * hidden + 2 * hidden * rank + 2 * hidden * own
    widths = keys.sizes("feed_widths", len(blocks))
    kinds = layer_kinds(keys, family, len(blocks))

    def changed(index: int, block: Block) -> Block:
        feed = block.feed
        if widths and isinstance(feed, FeedForward):
            feed = replace(feed, width=widths[index])
        return replace(block, feed=feed, extra=extra)
    return _share_caches(keys, kinds, [changed(index, block) for index, block in enumerate(blocks)])


def gemma_3n_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """Projections of the streams, and the table of the layers' own inputs."""
    streams, own = keys.size("altup_num_inputs", 4), keys.count("hidden_size_per_layer_input") * config.layers
    return replace(config, extra=2 * (streams - 1) * config.hidden**2 + own * config.hidden,
                   extra_tables=own * keys.size("vocab_size_per_layer_input", config.vocab))


def gemma_4_blocks(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Layers that see all have wider heads, fewer of them for keys, and may read their keys as values."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    kinds = layer_kinds(keys, family, layers)
    kinds[-1] = "full_attention"
    same = keys.flag("attention_k_eq_v")
    stated = keys.inner("per_layer_config").inner(str(layers - 1))  # how transformers 5.24 writes it
    usual = keys.size("num_key_value_heads", keys.size("num_attention_heads"))
    few = keys.size("num_global_key_value_heads", stated.size("num_key_value_heads", usual))
    wide = with_keys(keys, head_dim=keys.size("global_head_dim", stated.size("head_dim", 512)),
                     **({"num_key_value_heads": few} if same else {}))
    mixers = {"sliding_attention": attention(keys, family, hidden, "sliding_attention"),
              "full_attention": replace(attention(wide, family, hidden), values_are_keys=same)}
    feed = dense_feed(keys, family, hidden)
    experts = mixture(keys, family) if keys.flag("enable_moe_block") else None
    first = layers - keys.size("num_kv_shared_layers", 0, 0, layers)
    own = keys.count("hidden_size_per_layer_input")

    def made(index: int, kind: str) -> Block:
        if kind not in mixers:
            raise keys.refuse("layer_types", "sliding_attention or full_attention")
        width = 2 if keys.flag("use_double_wide_mlp") and index >= first else 1
        dense = replace(feed, width=width * feed.width)
        return Block(mixer=mixers[kind], feed=replace(experts, dense=dense) if experts else dense, before_mixer=norm,
                     after_mixer=norm, before_feed=norm, after_feed=norm, extra=2 * hidden * own, scaled=True,
                     multipliers=(("per_expert_scale", True),) if experts else ())
    return _share_caches(keys, kinds, [made(index, kind) for index, kind in enumerate(kinds)])


def gemma_4_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """The table of the layers' own inputs and its projection."""
    own = keys.count("hidden_size_per_layer_input") * config.layers
    return replace(config, extra=own * config.hidden, extra_tables=own * keys.size("vocab_size_per_layer_input", config.vocab))


def _share_caches(keys: Keys, kinds: list[str], blocks: list[Block]) -> list[Block]:
    """The last ``num_kv_shared_layers`` read keys and values of the last layer before them that is of the same kind."""
    first = len(blocks) - keys.size("num_kv_shared_layers", 0, 0, len(blocks))
    found = list(blocks)
    for index in range(first, len(blocks)):
        source = next((earlier for earlier in reversed(range(first)) if kinds[earlier] == kinds[index]), None)
        mixer = blocks[index].mixer
        if source is None or not isinstance(mixer, Attention):
            raise keys.refuse("num_kv_shared_layers", "fewer, so that a layer of each kind has keys and values of its own")
        found[index] = replace(blocks[index], mixer=replace(mixer, cache_of=index - source))
    return found


def nemotron_nas_blocks(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Each layer is what a search has left of it: with attention or not, and a feed-forward part of its own width."""
    listed = keys.data.get("block_configs")
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    if not isinstance(listed, list) or len(listed) < layers or not all(isinstance(entry, dict) for entry in listed):
        raise keys.refuse("block_configs", f"a list of {layers} objects")

    def made(entry: dict[str, Any]) -> Block:
        one = Keys(entry, f"{keys.where}: block_configs")
        attn, feed = one.inner("attention"), one.inner("ffn")
        mixer, extra = None, 0
        heads = keys.size("num_attention_heads")
        if attn.flag("replace_with_linear"):
            extra += hidden**2
        elif not attn.flag("no_op"):
            mixer = attention(with_keys(keys, num_key_value_heads=max(heads // attn.size("n_heads_in_group", 1), 1)), family,
                              hidden)
        part = None
        if feed.flag("replace_with_linear"):
            extra += hidden**2
        elif not feed.flag("no_op"):
            width = -(-int(2 * feed.number("ffn_mult", 1.0) * hidden / 3) // 256) * 256
            part = dense_feed(with_keys(keys, intermediate_size=width), family, hidden)
        return Block(mixer=mixer, feed=part, before_mixer=norm if mixer else None, before_feed=norm if part else None,
                     extra=extra)
    return [made(entry) for entry in listed[:layers]]
