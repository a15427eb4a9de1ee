"""Class defaults of decoders as the installed ``transformers`` has them.

``python tests/workload/parsing/class_defaults.py`` prints wsekern/workload/parsing/class_defaults.json, one model type a line.
"""

import dataclasses
import json
import logging
import sys
import warnings
from typing import Any

ALSO = ("qwen3_vl_text", "qwen3_vl_moe_text", "mimo_v2_flash", "step3p5", "mistral4", "minimax_m3_vl_text", "exaone",
        "qwen2_vl_text", "qwen2_5_vl_text", "granite_swa", "internlm3", "sarvam_mla", "sarvam_moe", "minicpm3",
        "glm4v_text", "glm4v_moe_text", "jais2", "iquestcoder")
UNREAD = (
    "dropout", "pdrop", "_token_id", "router_aux", "output_router", "jitter", "initializer", "init_", "use_cache", "summary_",
    "pretraining_tp", "reorder_and", "scale_attention_softmax", "attention_softmax_in", "slow_but", "use_mamba", "use_mambapy",
    "use_associative", "time_step_", "rescale_", "residual_in", "chunk_size", "num_logits", "is_decoder", "ssm_cache", "mtp_",
    "hc_sinkhorn", "z_loss", "layerdrop", "block_size", "lambda_std", "use_mem_eff", "vision_config", "audio_config", "std_dev",
    "linear_a_log", "linear_dt", "moe_shared_expert_overlap", "w_init", "patch", "encoder_", "global_config", "decoder_config",
    "cross_attn", "local_attention_window")
"""Parts of the names of keys that wsekern does not read."""


def _unread(key: str) -> bool:
    return key != "attention_chunk_size" and any(part in key for part in UNREAD)


def raw(model_type: str) -> dict[str, Any] | None:
    """What a key means that is missing, of one model type; ``None`` where this ``transformers`` does not know it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        kind = CONFIG_MAPPING[model_type]
        made = kind()
    except (KeyError, TypeError, ValueError):
        return None
    fields = {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    found = {key: value for key, value in fields.items() if isinstance(value, bool | int | float | str | list | tuple)}
    for key in [key for key, value in found.items() if value in (False, "") or key[0] == "_" or _unread(key)]:
        del found[key]
    rope = getattr(made, "rope_parameters", None) or {}
    if any(isinstance(value, dict) for value in rope.values()):
        found["rope_parameters"] = rope
    elif rope.get("rope_type", "default") != "default":
        found["rope_parameters"] = {key: value for key, value in rope.items() if key != "type"}
    elif rope:
        found |= {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if rope.get(key) not in (None, 1.0)}
    if getattr(made, "tie_word_embeddings", False):
        found["tie_word_embeddings"] = True
    for key in ("transformers_version", "model_type", "return_dict", "dtype"):
        found.pop(key, None)
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    if not isinstance(name, str):
        name = name[0] if name else None
    renamed = {stored: name for name, stored in (kind.attribute_map or {}).items() if not name.endswith("_token_id")}
    return {"class": name, "renamed": renamed, "keys": dict(sorted(found.items()))}


def main(types: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = {model_type: row for model_type in types if (row := raw(model_type))}
    lines = [f" {json.dumps(model_type)}: {json.dumps(row)}" for model_type, row in rows.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1:])
