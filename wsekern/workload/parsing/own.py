"""Architectures laid out in a way of their own: what to make of their keys before, instead of or after the common reading."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Indexer, LatentAttention, Mixture, Norm
from wsekern.workload.parsing.attention import attention, latent_attention, layer_kinds, rotary_of
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.feed import dense_feed, mixture
from wsekern.workload.parsing.hybrid import falcon_h1, nemotron_h, recurrent_gemma, rwkv, states_only, zamba2
from wsekern.workload.parsing.keys import MOST_LAYERS, Keys

Prepare = Callable[[Family, Keys], tuple[Family, Keys]]
Blocks = Callable[[Keys, Family, int, Norm], list[Block]]
Change = Callable[[Keys, Family, int, Norm, list[Block]], list[Block]]
Outer = Callable[[Keys, ModelConfig], ModelConfig]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """``prepare`` changes family and keys first; ``blocks`` reads the layers; ``change`` changes them; ``outer`` the rest."""

    prepare: Prepare | None = None
    blocks: Blocks | None = None
    change: Change | None = None
    outer: Outer | None = None


def before_reading(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """The family and the keys as the common reading takes them."""
    reader = READERS.get(family.reader)
    if family.recurrent == "mamba2" and keys.names("position_embedding_type") == ["rope"]:
        family = replace(family, rotates=True)
    return reader.prepare(family, keys) if reader and reader.prepare else (family, keys)


def with_keys(keys: Keys, **values: Any) -> Keys:
    """The keys with some ``values`` of others."""
    return Keys({**keys.data, **values}, keys.where, keys.stored)


def _parallel_by_key(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """GPT-NeoX and StableLM: both parts read the start of the layer if ``use_parallel_residual`` is set."""
    if not keys.flag("use_parallel_residual"):
        return replace(family, norms="before"), keys
    return replace(family, norms="parallel_two" if family.norms == "parallel_two" else "parallel"), keys


def _falcon(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """ALiBi, divided as scores are, instead of rotary embedding if stated; parallel with one norm (7B), two (40B, 180B), or one
    after the other."""
    alibi, new = keys.flag("alibi"), keys.flag("new_decoder_architecture")
    two = new and keys.size("num_ln_in_parallel_attn", 2) == 2
    norms = "parallel_two" if two else "parallel" if new or keys.flag("parallel_attn", True) else "before"
    heads = keys.size("num_attention_heads")
    kv_heads = keys.size("num_key_value_heads", heads) if new else heads
    family = replace(family, rotates=not alibi, alibi=-1.0 if alibi else 0.0, norms=norms)
    return family, with_keys(keys, num_key_value_heads=kv_heads)


def _mpt(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """MPT keeps attention's keys in a table, and biases only without ``no_bias``."""
    table = keys.inner("attn_config")
    alibi = table.flag("alibi", True)
    values = {"clip_qkv": table.data.get("clip_qkv"), "num_key_value_heads": table.data.get("kv_n_heads")}
    width = int(keys.number("expansion_ratio", 4) * keys.size("hidden_size"))
    return replace(family, alibi=float(alibi), positions=-1 if alibi else 0), with_keys(keys, intermediate_size=width, **values)


def _dbrx(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """DBRX keeps attention's and the experts' keys in tables."""
    attn, feed = keys.inner("attn_config"), keys.inner("ffn_config")
    values = {"num_key_value_heads": attn.size("kv_n_heads", 1), "rope_theta": attn.number("rope_theta", 10_000.0),
              "clip_qkv": attn.data.get("clip_qkv"), "intermediate_size": feed.size("ffn_hidden_size", 3584),
              "num_experts": feed.size("moe_num_experts", 4), "num_experts_per_tok": feed.size("moe_top_k", 1)}
    return family, with_keys(keys, **values)


def _hyperclovax(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Norms behind each part too, if stated; scores scaled by a key, if it is there."""
    return replace(family, norms="around" if keys.flag("use_post_norm") else "before",
                   scale=family.scale if keys.has("attention_multiplier") else 0.0), keys


def _mup(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """AFMoE: embeddings are scaled if stated."""
    return replace(family, embedding_scale="root" if keys.flag("mup_enabled") else 1.0), keys


def _lfm_2(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """LFM2 takes two thirds of the stated width, times a factor, rounded up, unless told not to."""
    if not keys.flag("block_auto_adjust_ff_dim", True):
        return family, keys
    width = int(keys.number("block_ffn_dim_multiplier", 1.0) * int(2 * keys.size("intermediate_size") / 3))
    multiple = keys.size("block_multiple_of", 256)
    return family, with_keys(keys, intermediate_size=-(-width // multiple) * multiple)


def _jetmoe_heads(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """JetMoE has as many query heads as key-value heads for each chosen expert."""
    return family, with_keys(keys, num_attention_heads=keys.size("num_key_value_heads", 16))


def _olmo_hybrid_sizes(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Linear heads: as many as others, of three quarters of their width for keys and twice that for values."""
    heads = keys.size("num_attention_heads")
    width = int(0.75 * keys.size("hidden_size") / heads)
    derived = {"linear_num_key_heads": heads, "linear_num_value_heads": heads, "linear_key_head_dim": width,
               "linear_value_head_dim": 2 * width}
    return family, with_keys(keys, **{key: value for key, value in derived.items() if not keys.has(key)})


def _gpt_2(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Scores unscaled, or divided by the number of the layer too, if stated."""
    def changed(index: int, block: Block) -> Block:
        assert isinstance(block.mixer, Attention)
        scale = block.mixer.head_dim**-0.5 if keys.flag("scale_attn_weights", True) else 1.0
        scale /= index + 1 if keys.flag("scale_attn_by_inverse_layer_idx") else 1
        return replace(block, mixer=replace(block.mixer, scale=0.0 if scale == block.mixer.head_dim**-0.5 else scale))
    return [changed(index, block) for index, block in enumerate(blocks)]


def _gpt_neo(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
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


def _llama_4(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Rotated layers look at their chunk only; the others have no norm of queries, which grow with the position."""
    chunk = keys.size("attention_chunk_size") if keys.has("attention_chunk_size") else 0
    tuned = keys.flag("attn_temperature_tuning", True)
    warm = (keys.number("attn_scale", 0.1), keys.size("floor_scale", 8192), 1) if tuned else None

    def changed(block: Block) -> Block:
        mixer = block.mixer
        assert isinstance(mixer, Attention)
        if mixer.rotary is None:
            return replace(block, mixer=replace(mixer, norm=None, norm_late=False, temperature=warm))
        return replace(block, mixer=mixer if keys.names("layer_types") else replace(mixer, chunk=chunk))
    return [changed(block) for block in blocks]


def _gemma_3n(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """The width may be stated for each layer; the greatest stands for all until the layers are there."""
    widths = keys.data.get("intermediate_size")
    if not isinstance(widths, list | tuple):
        return family, keys
    return family, with_keys(keys, intermediate_size=max(keys.sizes("intermediate_size"), default=None),
                             feed_widths=list(widths))


def _gemma_3n_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
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


def _gemma_3n_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """Projections of the streams, and the table of the layers' own inputs."""
    streams, own = keys.size("altup_num_inputs", 4), keys.count("hidden_size_per_layer_input") * config.layers
    return replace(config, extra=2 * (streams - 1) * config.hidden**2 + own * config.hidden,
                   extra_tables=own * keys.size("vocab_size_per_layer_input", config.vocab))


def _gemma_4(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Layers that see all have wider heads, fewer of them for keys, and may read their keys as values."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    kinds = layer_kinds(keys, family, layers)
    kinds[-1] = "full_attention"
    same = keys.flag("attention_k_eq_v")
    few = keys.size("num_global_key_value_heads", keys.size("num_key_value_heads", keys.size("num_attention_heads")))
    wide = with_keys(keys, head_dim=keys.size("global_head_dim", 512), **({"num_key_value_heads": few} if same else {}))
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
                     after_mixer=norm, before_feed=norm, after_feed=norm, extra=2 * hidden * own)
    return _share_caches(keys, kinds, [made(index, kind) for index, kind in enumerate(kinds)])


def _gemma_4_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """The table of the layers' own inputs and its projection."""
    own = keys.count("hidden_size_per_layer_input") * config.layers
    return replace(config, extra=own * config.hidden, extra_tables=own * keys.size("vocab_size_per_layer_input", config.vocab))


def _minimax_m3(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Block-sparse attention: an indexer chooses blocks of tokens in the layers listed."""
    table = keys.inner("sparse_attention_config")
    kinds = keys.names("layer_types")
    if not kinds and table.has("sparse_attention_freq"):
        kinds = ["indexed_attention" if flag else "full_attention" for flag in table.sizes("sparse_attention_freq")]
    values = {"layer_types": kinds or None,
              "index_n_heads": table.size("sparse_num_index_heads", keys.size("index_n_heads", 4)),
              "index_head_dim": table.size("sparse_index_dim", keys.size("index_head_dim", 128)),
              "blocks_chosen": table.size("sparse_topk_blocks", keys.size("index_topk_blocks", 16)),
              "block_of": table.size("sparse_block_size", keys.size("index_block_size", 128))}
    return family, with_keys(keys, **values)


def _minimax_m3_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """The indexer of the layers that have one."""
    kinds = layer_kinds(keys, family, len(blocks))
    indexer = Indexer(heads=keys.size("index_n_heads"), head_dim=keys.size("index_head_dim"),
                      chosen=keys.size("blocks_chosen") * keys.size("block_of"))
    return [replace(block, mixer=replace(block.mixer, indexer=indexer))
            if kind == "indexed_attention" and isinstance(block.mixer, Attention) else block
            for kind, block in zip(kinds, blocks, strict=True)]


def _mimo_v2(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Which layers slide stands in a list of flags, and their rotary base apart. Windows do not count the token itself."""
    values: dict[str, Any] = {}
    if keys.has("hybrid_layer_pattern"):
        values["layer_types"] = ["sliding_attention"
                                 if flag else "full_attention" for flag in keys.sizes("hybrid_layer_pattern")]
    if keys.has("swa_rope_theta") or keys.has("partial_rotary_factor"):
        shared = {"rope_type": "default", "partial_rotary_factor": keys.number("partial_rotary_factor", 0.334)}
        values["rope_parameters"] = {
            "full_attention": {**shared, "rope_theta": keys.number("rope_theta", 5e6)},
            "sliding_attention": {**shared, "rope_theta": keys.number("swa_rope_theta", 1e4)}}
    if keys.has("sliding_window_size"):
        values["sliding_window"] = keys.size("sliding_window_size") + 1
    return family, with_keys(keys, **values)


def _mimo_v2_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Sliding layers have twice the key-value heads and attention sinks; first layer and each sixth see all."""
    layers = len(blocks)
    kinds = layer_kinds(keys, family, layers) if keys.names("layer_types") else [
        "full_attention" if index == 0 or not (index + 1) % 6 else "sliding_attention" for index in range(layers)]
    kv_heads = keys.size("num_key_value_heads", 4)
    local = with_keys(keys, num_key_value_heads=keys.size("swa_num_key_value_heads", 2 * kv_heads),
                      num_attention_heads=keys.size("swa_num_attention_heads", keys.size("num_attention_heads")),
                      head_dim=keys.size("swa_head_dim", keys.size("head_dim")))
    value = keys.size("v_head_dim", keys.size("head_dim"))
    mixers = {"full_attention": replace(attention(keys, family, hidden), value_dim=value,
                                        sinks=keys.flag("add_full_attention_sink_bias")),
              "sliding_attention": replace(attention(local, family, hidden, "sliding_attention"),
                                           value_dim=keys.size("swa_v_head_dim", value),
                                           sinks=keys.flag("add_swa_attention_sink_bias", True))}
    scale = (("attention_value_scale", keys.number("attention_value_scale", 1.0)),)
    return [replace(block, mixer=mixers[kind], multipliers=scale) for kind, block in zip(kinds, blocks, strict=True)]


def _step_3(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """Shared experts are as wide as stated; lists of rotary bases and shares, one for each layer, become one for each kind."""
    values: dict[str, Any] = {}
    if isinstance(keys.data.get("moe_layers_enum"), str):
        numbers = [number.strip() for number in keys.data["moe_layers_enum"].split(",")]
        if not all(number.isdecimal() and len(number) < 6 for number in numbers):
            raise keys.refuse("moe_layers_enum", "numbers of layers with commas between")
        values["moe_layers"] = [int(number) for number in numbers]
    thetas, kinds = keys.data.get("rope_theta"), keys.names("layer_types")
    shares = keys.data.get("partial_rotary_factors")
    if isinstance(thetas, list) or isinstance(shares, list):
        tables: dict[str, dict[str, Any]] = {}
        for index, kind in enumerate(kinds):
            table = tables.setdefault(kind, {"rope_type": "default"})
            for name, listed in (("rope_theta", thetas), ("partial_rotary_factor", shares)):
                if isinstance(listed, list) and index < len(listed):
                    table.setdefault(name, listed[index])
        scaling = keys.table("rope_scaling")
        if "full_attention" in tables:
            tables["full_attention"] |= scaling
        values |= {"rope_parameters": tables, "rope_scaling": None, "rope_theta": 10_000.0}
    return family, with_keys(keys, **values)


def _step_3_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Sliding layers may have more query heads; outputs of each head are multiplied by a gate of one number."""
    other = keys.inner("attention_other_setting")
    heads = other.size("num_attention_heads", keys.size("num_sliding_attention_heads", keys.size("num_attention_heads")))
    return _gated_heads([replace(block, mixer=replace(block.mixer, heads=heads))
                         if isinstance(block.mixer, Attention) and block.mixer.window else block for block in blocks], hidden)


def _laguna(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Each layer has query heads of its own number, and a gate of one number for each."""
    heads = keys.sizes("num_attention_heads_per_layer", len(blocks)) or [keys.size("num_attention_heads")] * len(blocks)
    return _gated_heads([replace(block, mixer=replace(block.mixer, heads=max(count, 1))) if isinstance(block.mixer,
                                                                                                       Attention) else block
                         for count, block in zip(heads, blocks, strict=False)], hidden)


def _gated_heads(blocks: list[Block], hidden: int) -> list[Block]:
    """Weights of a gate of one number a head."""
    return [replace(block, extra=hidden * block.mixer.heads, multipliers=(("head_gate", True),))
            if isinstance(block.mixer, Attention) else block for block in blocks]


def _jetmoe(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Queries and outputs are a mixture too: each token takes those of the chosen experts, with all key-value heads each."""
    experts, chosen = keys.size("num_experts", 8), keys.size("num_experts_per_tok", 2)

    def changed(block: Block) -> Block:
        assert isinstance(block.mixer, Attention)
        mixer = replace(block.mixer, heads=block.mixer.kv_heads * chosen)
        unused = max(experts - chosen, 0) * 2 * hidden * block.mixer.kv_size
        return replace(block, mixer=mixer, extra=unused + hidden * experts, multipliers=(("attention_experts", experts),))
    return [changed(block) for block in blocks]


def _olmo_hybrid(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Linear layers have their norms before, the others behind."""
    return [block if isinstance(block.mixer, Attention) else
            replace(block, before_mixer=norm, before_feed=norm, after_mixer=None, after_feed=None) for block in blocks]


def _minicpm(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """What is added to the residual stream is scaled by the depth."""
    scale = keys.number("scale_depth", 1.0) / len(blocks) ** 0.5
    return [replace(block, residual=scale) for block in blocks]


def _minicpm_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    return replace(config, logits_scale=keys.number("dim_model_base", config.hidden) / config.hidden)


def _kimi_3(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Latent attention may have a gate as wide as its output."""
    if not keys.flag("mla_use_output_gate"):
        return blocks
    return [replace(block, extra=hidden * block.mixer.heads * block.mixer.value_dim, multipliers=(("output_gate", True),))
            if isinstance(block.mixer, LatentAttention) else block for block in blocks]


def _longcat(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Each layer is two of latent attention and a dense part; its experts, of which some do nothing, run beside the first."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS // 2)
    dense, experts = dense_feed(keys, family, hidden), mixture(keys, family)
    assert experts is not None
    mixer = latent_attention(keys, family, norm)
    first: FeedForward | Mixture = replace(experts, dense=dense)
    halves = [Block(mixer=mixer, feed=first, before_mixer=norm, before_feed=norm, extra=hidden * keys.count("zero_expert_num")),
              Block(mixer=mixer, feed=dense, before_mixer=norm, before_feed=norm)]
    return halves * layers


def _deepseek_v4(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """One key, which is the value too, in a window; beyond, each ``rate`` tokens are compressed into one, all of which are read
    (128 into one) or those that an indexer chooses (4 into one). Several residual streams are mixed around each part."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    rates = keys.sizes("compress_ratios", layers) or _rates(keys, layers)
    experts = mixture(keys, family)
    streams = keys.size("hc_mult", 4)
    mixing = 2 * (2 + streams) * streams * streams * hidden

    def made(rate: int) -> Block:
        size = keys.size("head_dim", 512)
        stated = keys.table("rope_scaling") or Keys(keys.table("rope_parameters"), keys.where).table("compress")
        table = {**stated, "rope_theta": keys.number("compress_rope_theta", 160_000.0),
                 "attention_factor": 1.0}
        turned = with_keys(keys, rotary_dim=keys.size("qk_rope_head_dim", size // 8),
                           **({"rope_scaling": table} if rate else {"rope_scaling": None, "rope_parameters": None}))
        indexer = Indexer(heads=keys.size("index_n_heads", 64), head_dim=keys.size("index_head_dim", 128),
                          chosen=keys.size("index_topk", 512), query_rank=keys.size("q_lora_rank")) if 0 < rate < 128 else None
        mixer = Attention(heads=keys.size("num_attention_heads"), kv_heads=1, head_dim=size, values_are_keys=True, norm=norm,
                          sinks=True, window=keys.size("sliding_window", 128), q_rank=keys.size("q_lora_rank"),
                          o_rank=keys.size("o_lora_rank", 1024), o_groups=keys.size("o_groups", 8), compression=max(rate, 1),
                          indexer=indexer, rotary=rotary_of(turned, family, size))
        wide = 2 * size if indexer else size
        own = (2 * hidden + rate) * wide if rate else 0
        own += 3 * hidden * indexer.head_dim + 2 * rate * indexer.head_dim if indexer else 0
        return Block(mixer=mixer, feed=experts, before_mixer=norm, before_feed=norm, extra=own + mixing)
    return [made(rate) for rate in rates[:layers]]


def _rates(keys: Keys, layers: int) -> list[int]:
    """Tokens that become one, of each layer, as ``layer_types`` say, or two of 128 and then 4 and 128 by turns."""
    named = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
    if kinds := keys.names("layer_types"):
        if len(kinds) < layers or set(kinds) - named.keys():
            raise keys.refuse("layer_types", f"{', '.join(named)} for each of {layers} layers")
        return [named[kind] for kind in kinds]
    return [128 if index < 2 or index % 2 == 0 else 4 for index in range(layers)]


def _deepseek_v4_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """The streams are mixed into one at the end."""
    return replace(config, extra=keys.size("hc_mult", 4) ** 2 * config.hidden)


def _nemotron_nas(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
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


READERS: dict[str, Reader] = {
    "parallel_key": Reader(prepare=_parallel_by_key), "falcon": Reader(prepare=_falcon), "mpt": Reader(prepare=_mpt),
    "dbrx": Reader(prepare=_dbrx), "hyperclovax": Reader(prepare=_hyperclovax), "afmoe": Reader(prepare=_mup),
    "gpt2": Reader(change=_gpt_2), "gpt_neo": Reader(change=_gpt_neo), "llama4": Reader(change=_llama_4),
    "gemma3n": Reader(prepare=_gemma_3n, change=_gemma_3n_blocks, outer=_gemma_3n_outer),
    "gemma4": Reader(blocks=_gemma_4, outer=_gemma_4_outer),
    "minimax_m3": Reader(prepare=_minimax_m3, change=_minimax_m3_blocks),
    "mimo_v2": Reader(prepare=_mimo_v2, change=_mimo_v2_blocks), "step3": Reader(prepare=_step_3, change=_step_3_blocks),
    "laguna": Reader(change=_laguna), "lfm2": Reader(prepare=_lfm_2),
    "jetmoe": Reader(prepare=_jetmoe_heads, change=_jetmoe),
    "olmo_hybrid": Reader(prepare=_olmo_hybrid_sizes, change=_olmo_hybrid),
    "minicpm3": Reader(change=_minicpm,
                       outer=_minicpm_outer), "kimi_k3": Reader(change=_kimi_3), "longcat": Reader(blocks=_longcat),
    "deepseek_v4": Reader(blocks=_deepseek_v4, outer=_deepseek_v4_outer), "nemotron_nas": Reader(blocks=_nemotron_nas),
    "nemotron_h": Reader(blocks=nemotron_h), "zamba2": Reader(blocks=zamba2), "falcon_h1": Reader(change=falcon_h1),
    "states_only": Reader(blocks=states_only), "recurrent_gemma": Reader(blocks=recurrent_gemma), "rwkv": Reader(blocks=rwkv),
}
