"""Mixtures of experts laid out in a way of their own: what is made of their keys, their layers and the rest."""

from dataclasses import replace
from typing import Any

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Indexer, LatentAttention, Mixture, Norm
from wsekern.workload.parsing.attention import attention, latent_attention, layer_kinds, rotary_of
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.feed import dense_feed, needed_mixture
from wsekern.workload.parsing.keys import MOST_LAYERS, Keys, with_keys


def dbrx(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """DBRX keeps attention's and the experts' keys in tables."""
    attn, feed = keys.inner("attn_config"), keys.inner("ffn_config")
    values = {"num_key_value_heads": attn.size("kv_n_heads", 1), "rope_theta": attn.number("rope_theta", 10_000.0),
              "clip_qkv": attn.data.get("clip_qkv"), "intermediate_size": feed.size("ffn_hidden_size", 3584),
              "num_experts": feed.size("moe_num_experts", 4), "num_experts_per_tok": feed.size("moe_top_k", 1)}
    return family, with_keys(keys, **values)


def afmoe(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """AFMoE: embeddings are scaled if stated."""
    return replace(family, embedding_scale="root" if keys.flag("mup_enabled") else 1.0), keys


def llama_4_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
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


def minimax_m3(family: Family, keys: Keys) -> tuple[Family, Keys]:
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


def minimax_m3_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """The indexer of the layers that have one."""
    kinds = layer_kinds(keys, family, len(blocks))
    indexer = Indexer(heads=keys.size("index_n_heads"), head_dim=keys.size("index_head_dim"),
                      chosen=keys.size("blocks_chosen") * keys.size("block_of"))
    return [replace(block, mixer=replace(block.mixer, indexer=indexer))
            if kind == "indexed_attention" and isinstance(block.mixer, Attention) else block
            for kind, block in zip(kinds, blocks, strict=True)]


def mimo_v2(family: Family, keys: Keys) -> tuple[Family, Keys]:
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


def mimo_v2_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
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


def step_3(family: Family, keys: Keys) -> tuple[Family, Keys]:
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


def step_3_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Sliding layers may have more query heads; outputs of each head are multiplied by a gate of one number."""
    other = keys.inner("attention_other_setting")
    heads = other.size("num_attention_heads", keys.size("num_sliding_attention_heads", keys.size("num_attention_heads")))
    return _gated_heads([replace(block, mixer=replace(block.mixer, heads=heads))
                         if isinstance(block.mixer, Attention) and block.mixer.window else block for block in blocks], hidden)


def laguna_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Each layer has query heads of its own number, and a gate of one number for each."""
    heads = keys.sizes("num_attention_heads_per_layer", len(blocks)) or [keys.size("num_attention_heads")] * len(blocks)
    return _gated_heads([replace(block, mixer=replace(block.mixer, heads=max(count, 1))) if isinstance(block.mixer,
                                                                                                       Attention) else block
                         for count, block in zip(heads, blocks, strict=False)], hidden)


def _gated_heads(blocks: list[Block], hidden: int) -> list[Block]:
    """Weights of a gate of one number a head."""
    return [replace(block, extra=hidden * block.mixer.heads, multipliers=(("head_gate", True),))
            if isinstance(block.mixer, Attention) else block for block in blocks]


def jetmoe_heads(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """JetMoE has as many query heads as key-value heads for each chosen expert."""
    return family, with_keys(keys, num_attention_heads=keys.size("num_key_value_heads", 16))


def jetmoe_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Queries and outputs are a mixture too: each token takes those of the chosen experts, with all key-value heads each."""
    experts, chosen = keys.size("num_experts", 8), keys.size("num_experts_per_tok", 2)

    def changed(block: Block) -> Block:
        assert isinstance(block.mixer, Attention)
        mixer = replace(block.mixer, heads=block.mixer.kv_heads * chosen)
        unused = max(experts - chosen, 0) * 2 * hidden * block.mixer.kv_size
        return replace(block, mixer=mixer, extra=unused + hidden * experts, multipliers=(("attention_experts", experts),))
    return [changed(block) for block in blocks]


def kimi_3_blocks(keys: Keys, family: Family, hidden: int, norm: Norm, blocks: list[Block]) -> list[Block]:
    """Latent attention may have a gate as wide as its output."""
    if not keys.flag("mla_use_output_gate"):
        return blocks
    return [replace(block, extra=hidden * block.mixer.heads * block.mixer.value_dim, multipliers=(("output_gate", True),))
            if isinstance(block.mixer, LatentAttention) else block for block in blocks]


def longcat_blocks(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """Each layer is two of latent attention and a dense part; its experts, of which some do nothing, run beside the first."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS // 2)
    dense, experts = dense_feed(keys, family, hidden), needed_mixture(keys, family)
    mixer = latent_attention(keys, family, norm)
    first: FeedForward | Mixture = replace(experts, dense=dense)
    halves = [Block(mixer=mixer, feed=first, before_mixer=norm, before_feed=norm, extra=hidden * keys.count("zero_expert_num")),
              Block(mixer=mixer, feed=dense, before_mixer=norm, before_feed=norm)]
    return halves * layers


def deepseek_v4_blocks(keys: Keys, family: Family, hidden: int, norm: Norm) -> list[Block]:
    """One key, which is the value too, in a window; beyond, each ``rate`` tokens are compressed into one, all of which are read
    (128 into one) or those that an indexer chooses (4 into one). Several residual streams are mixed around each part."""
    layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    rates = keys.sizes("compress_ratios", layers) or _rates(keys, layers)
    experts = needed_mixture(keys, family)
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


def deepseek_v4_outer(keys: Keys, config: ModelConfig) -> ModelConfig:
    """The streams are mixed into one at the end."""
    return replace(config, extra=keys.size("hc_mult", 4) ** 2 * config.hidden)
