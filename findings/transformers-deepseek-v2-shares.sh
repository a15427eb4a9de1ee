#!/usr/bin/env bash
# transformers takes norm_topk_prob of a DeepSeek-V2 configuration and does not use it.
#
# Seen 2026-11-29 with transformers 5.24.0, torch 2.13.0 (CPU), Python 3.11.
#
# norm_topk_prob says that the shares of the chosen experts are divided by their sum. DeepseekV2Config has the field, as DeepseekV3Config
# has; one expects true and false to give different outputs. Those of DeepSeek-V3 differ, those of DeepSeek-V2 are the same. (DeepSeek's
# own files say false for V2, so that none of them is affected.)
#
# Output:
#   DeepseekV2 norm_topk_prob true and false: the same
#   DeepseekV3 norm_topk_prob true and false: different
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/shares.py" <<'PYTHON'
"""Outputs of tiny models with the same weights, shares of experts normalised or not."""
import torch
import transformers

SIZES = dict(vocab_size=32, hidden_size=32, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
             num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=12,
             first_k_dense_replace=0, n_group=1, topk_group=1, q_lora_rank=None, kv_lora_rank=8, qk_nope_head_dim=8,
             qk_rope_head_dim=8, v_head_dim=8)
for family in ("DeepseekV2", "DeepseekV3"):
    logits = []
    for normalized in (True, False):
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**SIZES, norm_topk_prob=normalized)
        model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if tensor.ndim > 1:
                    tensor.normal_(std=0.5)
            logits.append(model(torch.arange(6)[None]).logits)
    print(f"{family} norm_topk_prob true and false: {'the same' if torch.equal(*logits) else 'different'}")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check --extra-index-url https://download.pytorch.org/whl/cpu \
    transformers==5.24.0 torch==2.13.0+cpu 2>/dev/null
"$work/venv/bin/python" "$work/shares.py" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
