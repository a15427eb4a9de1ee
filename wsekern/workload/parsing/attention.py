"""Attention of every layer, from the keys of a ``config.json``: heads, rotary embedding, windows, latent compression."""

import math
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.decoder import Attention, Indexer, LatentAttention, Norm, Rotary
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.keys import WIDEST_HEAD, Keys

KINDS = {"attention": "full_attention", "mamba": "linear_attention", "deepseek_sparse_attention": "indexed_attention",
         "minimax_m3_sparse": "indexed_attention", "short_conv": "conv", "recurrent": "linear_attention"}
"""Earlier names of kinds of layers -> those of transformers 5."""

BASES = (1.0, 1e30)
"""Bounds of ``rope_theta``: below 1 later features turn faster than the first ones, and from there on to no number."""

ATTENDING = ("full_attention", "sliding_attention", "chunked_attention", "indexed_attention")
RECURRING = ("linear_attention", "conv", "hybrid", "moe", "mlp")


def layer_kinds(keys: Keys, family: Family, layers: int) -> list[str]:
    """The kind of every layer, as ``layer_types`` has it or its family's rule."""
    named = [KINDS.get(name, name) for name in keys.names("layer_types")]
    if named and len(named) != layers:
        raise keys.refuse("layer_types", f"one for each of {layers} layers, not for {len(named)} layers")
    if named and (family.recurrent or family.windows in ("named", "types", "late")):
        unknown = set(named) - {*ATTENDING, *RECURRING}
        if unknown:
            raise keys.refuse("layer_types", f"kinds of layers among {', '.join((*ATTENDING, *RECURRING))}")
        return named
    if family.recurrent:
        return _recurrent_kinds(keys, family, layers)
    return [_kind(keys, family, index) for index in range(layers)]


def _recurrent_kinds(keys: Keys, family: Family, layers: int) -> list[str]:
    """Of a hybrid: attention in those listed, in each n-th, or where its period and offset say."""
    other = "conv" if family.recurrent == "short_convolution" else "linear_attention"
    if keys.has("full_attn_idxs") or keys.has("attn_type_list"):
        listed = set(keys.sizes("full_attn_idxs")) or {index for index, kind in enumerate(keys.sizes("attn_type_list")) if kind}
        full = [index in listed for index in range(layers)]
    elif keys.has("attn_layer_period"):
        period, offset = keys.size("attn_layer_period"), keys.count("attn_layer_offset")
        full = [index % period == offset for index in range(layers)]
    elif "full_attn_layers" in (linear := keys.table("linear_attn_config")):
        counted = set(Keys(linear, keys.where).sizes("full_attn_layers"))  # from 1
        full = [index + 1 in counted for index in range(layers)]
    else:
        rule = {"kimi_delta": lambda index: index and index % 4 == 0, "lightning": lambda index: index % 2 == 0,
                "gated_delta": lambda index: (index + 1) % keys.size("full_attention_interval", 4) == 0,
                "short_convolution": lambda index: True}.get(family.recurrent, lambda index: False)
        full = [bool(rule(index)) for index in range(layers)]
    return ["full_attention" if attends else other for attends in full]


def _kind(keys: Keys, family: Family, index: int) -> str:
    """Of one layer of a model with windows."""
    window = bool(keys.count("sliding_window"))
    if family.windows in ("flag", "late"):
        first = keys.count("max_window_layers", 28) if family.windows == "late" else 0
        used = keys.flag("use_sliding_window", family.windows_used)
        slides = used and window and index >= first
    elif family.windows == "types" and isinstance(letters := keys.data.get(family.period_key), str):
        if set(letters) not in ({"L"}, {"G"}, {"L", "G"}):
            raise keys.refuse(family.period_key, "a whole number, or letters L for local and G for global layers such as LLLG")
        last = index == keys.size("num_hidden_layers") - 1      # global, whatever the letters say
        slides = window and letters[index % len(letters)] == "L" and not last
    elif family.windows == "types":
        period = keys.count(family.period_key, family.period) if family.period_key else family.period
        slides = window and bool((index + 1) % period if period > 0 else index % -period if period else 1)
    else:
        slides = window and family.windows == "always"
    return "sliding_attention" if slides else "full_attention"


def rotary_of(keys: Keys, family: Family, head_dim: int, kind: str = "") -> Rotary:
    """Rotary embedding of layers of a ``kind``. As in transformers 5, a table named ``rope_scaling`` stands before
    ``rope_parameters``, and what is in the table before what is beside it."""
    table = dict(keys.table("rope_scaling") or keys.table("rope_parameters"))
    nested = [value for value in table.values() if isinstance(value, dict)]
    if nested:
        tables = Keys(table, f"{keys.where}: rope_parameters")
        table = dict(tables.table(kind) or tables.table("full_attention") or tables.table("main") or nested[0])
    given = Keys(table, f"{keys.where}: rope_parameters")
    theta = given.number("rope_theta", keys.number("rope_theta", 10_000.0, *BASES), *BASES)
    context = keys.size("max_position_embeddings", 2048)
    if keys.has("rotary_dim"):
        size = keys.count("rotary_dim")
    else:
        share = given.number("partial_rotary_factor", keys.number("partial_rotary_factor", 1.0))
        if share > 1:
            raise InputError(f"{keys.where}: partial_rotary_factor is {share:g}, expected a share of at most 1")
        size = head_dim if kind_of(table) == "proportional" else int(head_dim * share)
        if kind_of(table) == "proportional":
            table["partial_rotary_factor"] = share
    if size > head_dim:
        raise keys.refuse("rotary_dim", f"at most the {head_dim} features of a head")
    return Rotary(size=size, theta=theta, scaling=_scaling(keys, table, context),
                  neighbors=keys.flag("rope_interleave", family.neighbors),
                  backwards=family.backwards, context=context)


def kind_of(table: dict[str, Any]) -> str:
    """The kind of scaling that a table names."""
    return str(table.get("rope_type") or table.get("type") or "default")


def _scaling(keys: Keys, table: dict[str, Any], context: int) -> tuple[tuple[str, Any], ...]:
    """Items of the table; the original context stands in it, beside it (which decides), or is the whole one."""
    kind = kind_of(table)
    unused = ("rope_theta", "type", "mrope_section",
              "mrope_interleaved") + (() if kind == "proportional" else ("partial_rotary_factor",))
    items = {key: value for key, value in table.items() if key not in unused}
    items["rope_type"] = kind
    if kind in ("llama3", "yarn", "longrope", "su"):
        if keys.has("original_max_position_embeddings"):
            items["original_max_position_embeddings"] = keys.size("original_max_position_embeddings")
        elif items.get("original_max_position_embeddings") is None:
            items["original_max_position_embeddings"] = context
    if kind in ("default", "mrope"):
        return ()
    for key, value in items.items():
        inside = value if isinstance(value, list) else [value]
        if any(isinstance(item, list | dict) for item in inside):
            raise Keys(table, f"{keys.where}: rope_parameters").refuse(key, "a number, a name or a list of numbers")
    return tuple(sorted((key, tuple(value) if isinstance(value, list) else value) for key, value in items.items()))


def attention(keys: Keys, family: Family, hidden: int, kind: str = "full_attention", rotates: bool = True) -> Attention:
    """Grouped-query attention of one ``kind`` of layer."""
    heads = keys.size("num_attention_heads")
    kv_heads = _kv_heads(keys, heads)
    head_dim = keys.size("head_dim", hidden // heads or None, maximum=WIDEST_HEAD)
    window = keys.size("sliding_window") if kind == "sliding_attention" else 0
    chunk = keys.size("attention_chunk_size", 8192) if kind == "chunked_attention" else 0
    norm = _head_norm(keys, family)
    return Attention(
        heads=heads, kv_heads=kv_heads, head_dim=head_dim, window=window, chunk=chunk, biases=biases_of(keys, family),
        rotary=rotary_of(keys, family, head_dim, kind) if rotates and family.rotates else None, norm=norm,
        norm_whole=family.head_norm == "whole", norm_late=family.head_norm_late and norm is not None,
        norm_apart=family.head_norm_apart and norm is not None,
        value_norm=Norm(eps=norm.eps, gain=False) if family.value_norm and norm else None, scale=scale_of(keys, family),
        softcap=keys.number("attn_logit_softcapping", 1.0) if family.softcap and keys.has("attn_logit_softcapping") else 0.0,
        sinks=family.sinks, gate=family.gate, alibi=family.alibi if family.alibi >= 0 else head_dim**-0.5,
        temperature=_temperature(keys),
        clip=keys.number("clip_qkv", 1.0) if keys.has("clip_qkv") else 0.0)


def _kv_heads(keys: Keys, heads: int) -> int:
    """Key-value heads: one with ``multi_query``, as many as query heads where nothing is said."""
    if keys.flag("multi_query") and not keys.flag("new_decoder_architecture"):
        return 1
    kv_heads = keys.size("num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(f"{keys.where}: {heads} attention heads are not a multiple of {kv_heads} key-value heads")
    return kv_heads


def biases_of(keys: Keys, family: Family) -> str:
    """Which projections have a bias."""
    found = family.biases + "".join(which for flag, which in family.biased if keys.flag(flag))
    return "".join(letter for letter in "qkvo" if letter in found)


def norm_of(keys: Keys, family: Family) -> Norm:
    """The norm of the family, with its epsilon."""
    return Norm(kind=family.norm.kind, eps=keys.number("norm_eps", family.norm.eps, most=1.0), gain=family.norm.gain,
                bias=family.norm.bias,
                offset=family.norm.offset)


def _head_norm(keys: Keys, family: Family) -> Norm | None:
    """Norm of queries and keys."""
    if not family.head_norm or (family.head_norm_key and not keys.flag(family.head_norm_key)):
        return None
    kind = family.head_norm_kind
    return norm_of(keys, family) if kind is None else Norm(kind=kind.kind, eps=keys.number("norm_eps", kind.eps, most=1.0),
                                                           gain=kind.gain,
                                                           bias=kind.bias, offset=kind.offset)


def scale_of(keys: Keys, family: Family) -> float:
    """Factor of scores, 0 for one over the root of the head's width."""
    if not isinstance(family.scale, str):
        return family.scale
    value = keys.number(family.scale.removeprefix("/"), 1.0)
    return value**-0.5 if family.scale.startswith("/") else value


def _temperature(keys: Keys) -> tuple[float, int, int] | None:
    """Of Ministral 3: strength and positions stand in the rope table."""
    table = keys.table("rope_scaling") or keys.table("rope_parameters")
    given = Keys(table, f"{keys.where}: rope_parameters")
    if not given.has("llama_4_scaling_beta"):
        return None
    return given.number("llama_4_scaling_beta", 0.1), given.size("original_max_position_embeddings", 8192), 0


def latent_attention(keys: Keys, family: Family, norm: Norm, index: int = 0) -> LatentAttention:
    """Multi-head latent attention of layer ``index``."""
    rope, nope = keys.count("qk_rope_head_dim"), keys.count("qk_nope_head_dim")
    width = max(keys.size("hidden_size") // keys.size("num_attention_heads"), 1)
    rotary = rotary_of(keys, family, rope) if rope and family.rotates and not keys.flag("mla_use_nope") else None
    if rotary and rotary.size != rope:  # the whole rotated part turns, whatever share of a head that is
        rotary = Rotary(size=rope, theta=rotary.theta, scaling=rotary.scaling, neighbors=rotary.neighbors,
                        context=rotary.context)
    return LatentAttention(
        heads=keys.size("num_attention_heads"), q_rank=keys.count("q_lora_rank"), kv_rank=keys.size("kv_lora_rank"),
        rope_dim=rope, nope_dim=nope, value_dim=keys.size("v_head_dim", width), norm=norm, rotary=rotary,
        scale=_latent_scale(rotary, nope + rope),
        biases="qko" if keys.flag("attention_bias") else "", indexer=_indexer(keys, index))


def _latent_scale(rotary: Rotary | None, width: int) -> float:
    """Scaled YaRN multiplies scores by the square of its ``mscale`` (DeepSeek)."""
    table = dict(rotary.scaling) if rotary else {}
    scale, factor = table.get("mscale_all_dim"), table.get("factor")
    if not isinstance(scale, int | float) or not isinstance(factor, int | float) or not scale or factor <= 1 or not width:
        return 0.0
    return (0.1 * scale * math.log(factor) + 1) ** 2 / math.sqrt(width)


def _indexer(keys: Keys, index: int) -> Indexer | None:
    """Of DeepSeek sparse attention; some layers of GLM-5.2 share the choice of one before."""
    if not keys.count("index_topk"):
        return None
    kinds = keys.names("indexer_types") or [{"F": "full", "S": "shared"}.get(letter, letter)
                                            for letter in "".join(keys.names("index_topk_pattern"))]
    if kinds and len(kinds) > index:
        shared = kinds[index] == "shared"
    else:
        shared = bool(max(index - keys.count("index_skip_topk_offset", 2) + 1, 0) % keys.size("index_topk_freq", 1))
    return Indexer(heads=keys.size("index_n_heads"), head_dim=keys.size("index_head_dim"), chosen=keys.size("index_topk"),
                   query_rank=keys.count("q_lora_rank"), shared=shared)
