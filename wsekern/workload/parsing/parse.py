"""From the keys of a Hugging Face ``config.json`` to a :class:`ModelConfig`; every key is checked before it is used."""

import math
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, FeedForward, Mixer, Mixture, Norm
from wsekern.workload.parsing.attention import RECURRING, attention, latent_attention, layer_kinds, norm_of
from wsekern.workload.parsing.families import FAMILIES, Family
from wsekern.workload.parsing.feed import dense_feed, mixture, sparse_layers
from wsekern.workload.parsing.keys import MOST_LAYERS, Keys
from wsekern.workload.parsing.layouts import read_layout
from wsekern.workload.parsing.own import READERS, before_reading
from wsekern.workload.parsing.recurrent import recurrent
from wsekern.workload.parsing.stored import MODELOPT, quantization, weight_format
from wsekern.workload.parsing.stored_parts import kept_parts


def parse_config(data: Any, name: str, where: str) -> ModelConfig:
    """Turn the keys of a Hugging Face ``config.json`` into a :class:`ModelConfig`; ``where`` names it in errors.

    What a file does not say is what the class of its architecture in transformers 5.24 takes it for.
    """
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a JSON object")
    architecture, model_type, keys = read_layout(data, where)
    family, keys = before_reading(FAMILIES[model_type], keys)
    hidden, norm = keys.size("hidden_size"), norm_of(keys, family)
    blocks, form, stored = _blocks(keys, family, hidden, norm), weight_format(keys), keys.table("quantization_config")
    config = ModelConfig(
        name=name, architecture=architecture, hidden=hidden, vocab=keys.size("vocab_size"),
        max_context=keys.size("max_position_embeddings", 4096), blocks=blocks, final_norm=_final_norm(keys, norm),
        tied_embeddings=keys.flag("tie_word_embeddings"), embedding_norm=norm if family.embedding_norm else None,
        embedding_scale=_embedding_scale(keys, family, hidden), embedding_size=_embedding_size(keys, hidden),
        learned_positions=_positions(keys, family), head_bias=family.head_bias or keys.flag("lm_head_bias"),
        logits_scale=_logits_scale(keys, family),
        logits_softcap=keys.number("final_logit_softcapping", 1.0) if keys.has("final_logit_softcapping") else 0.0,
        draft_layers=keys.count("num_nextn_predict_layers"), sorted_sampling=_sorted_sampling(data.get("generation_config")),
        quantization=quantization(keys), weight_format=form, kept=kept_parts(stored, blocks, form, MODELOPT) if stored else ())
    reader = READERS.get(family.reader)
    return reader.outer(keys, config) if reader and reader.outer else config


def _blocks(keys: Keys, family: Family, hidden: int, norm: Norm) -> tuple[Block, ...]:
    """The layers, one by one; equal ones are one object."""
    reader = READERS.get(family.reader)
    if reader and reader.blocks:
        blocks = reader.blocks(keys, family, hidden, norm)
    else:
        layers = keys.size("num_hidden_layers", maximum=MOST_LAYERS)
        kinds = layer_kinds(keys, family, layers)
        parts = zip(_mixers(keys, family, hidden, norm, kinds), _feeds(keys, family, hidden, layers), strict=True)
        blocks = [_block(keys, family, mixer, feed, norm) for mixer, feed in parts]
    if reader and reader.change:
        blocks = reader.change(keys, family, hidden, norm, blocks)
    made: dict[Block, Block] = {}
    return tuple(made.setdefault(block, block) for block in blocks)


def _mixers(keys: Keys, family: Family, hidden: int, norm: Norm, kinds: list[str]) -> list[Mixer]:
    """The mixer of every layer."""
    turned = _rotated(keys, family, kinds)
    known: dict[tuple[str, bool, int], Mixer] = {}
    latent = bool(keys.count("kv_lora_rank"))
    mixers = []
    for index, (kind, rotates) in enumerate(zip(kinds, turned, strict=True)):
        key = (kind, rotates, index if latent and keys.count("index_topk") else 0)
        if key not in known:
            if kind in RECURRING:
                if not family.recurrent:
                    raise keys.refuse("layer_types", "layers of attention only in this architecture")
                known[key] = recurrent(keys, family.recurrent, hidden, norm)
            else:
                known[key] = latent_attention(keys, family, norm, index) if latent else \
                    attention(keys, family, hidden, kind, rotates)
        mixers.append(known[key])
    return mixers


def _rotated(keys: Keys, family: Family, kinds: list[str]) -> list[bool]:
    """Which layers have rotary embedding."""
    if family.unrotated == "listed":
        listed = keys.sizes("no_rope_layers", len(kinds))  # 1: it has
        every = keys.size("no_rope_layer_interval", 4)
        return [bool(listed[index]) if listed else bool((index + 1) % every) for index in range(len(kinds))]
    if family.unrotated == "full" and keys.count("sliding_window"):
        return [kind != "full_attention" for kind in kinds]
    return [True] * len(kinds)


def _feeds(keys: Keys, family: Family, hidden: int, layers: int) -> list[FeedForward | Mixture]:
    """The feed-forward part of every layer."""
    experts = mixture(keys, family)
    if experts is None:
        return [dense_feed(keys, family, hidden)] * layers
    sparse = sparse_layers(keys, layers)
    wider = next((key for key in ("dense_intermediate_size", "intermediate_size_mlp") if keys.has(key)), "intermediate_size")
    dense = experts if all(sparse) else dense_feed(keys, family, hidden, wider)
    return [experts if has else dense for has in sparse]


def _block(keys: Keys, family: Family, mixer: Mixer, feed: FeedForward | Mixture | None, norm: Norm) -> Block:
    """A layer with its norms where the family has them; those of OPT-350m stand behind the sums."""
    behind = not keys.flag("do_layer_norm_before", True)
    before, after = family.norms != "after" and not behind, behind or family.norms in ("after", "around")
    return Block(mixer=mixer, feed=feed, before_mixer=norm if before else None, after_mixer=norm if after else None,
                 before_feed=norm if before and family.norms != "parallel" else None, after_feed=norm if after else None,
                 behind_sum=behind, parallel=family.norms.startswith("parallel"),
                 residual=keys.number("residual_multiplier", 1.0))


def _final_norm(keys: Keys, norm: Norm) -> Norm | None:
    """OPT-350m has its norms behind and none at the end."""
    return norm if keys.flag("do_layer_norm_before", True) and not keys.flag("_remove_final_layer_norm") else None


def _embedding_scale(keys: Keys, family: Family, hidden: int) -> float:
    if family.embedding_scale == "root":
        return math.sqrt(hidden) if keys.flag("scale_embedding", True) else 1.0
    scale = family.embedding_scale
    return keys.number(scale, 1.0) if isinstance(scale, str) else scale


def _embedding_size(keys: Keys, hidden: int) -> int:
    """Width of an embedding that is projected (OPT-350m); 0: it has the width of the residual stream."""
    size = keys.size("word_embed_proj_dim", hidden)
    return size if size != hidden else 0


def _positions(keys: Keys, family: Family) -> int:
    return keys.size("max_position_embeddings", 1024) + family.positions if family.positions >= 0 else 0


def _logits_scale(keys: Keys, family: Family) -> float:
    if not family.logits_scale:
        return keys.number("lm_head_multiplier", 1.0)
    value = keys.number(family.logits_scale.removeprefix("/"), 1.0)
    return 1 / value if family.logits_scale.startswith("/") else value


def _sorted_sampling(generation: Any) -> bool:
    """Whether the model's own sampling sorts logits; assumed where nothing is said."""
    if not isinstance(generation, dict):
        return True
    top_p = generation.get("top_p")
    return (isinstance(top_p, int | float) and top_p < 1.0) or bool(generation.get("top_k", 50))
