#!/usr/bin/env bash
# Five families of transformers go wrong without a word where several tokens follow a cache: Mamba, Falcon-Mamba, Jamba, Bamba, MiniMax.
#
# Seen 2026-12-01 with transformers 5.24.0, torch 2.13.0 (CPU), Python 3.11.
#
# Ten tokens are read and their cache is kept (a system prompt, the turns of a chat), then six at once follow it. One expects the logits
# of all sixteen read at once, up to rounding: Mamba-2, Zamba-2, Falcon-H1, Granite 4, Qwen3-Next and LFM2 have them. Mamba,
# Falcon-Mamba and Jamba use the kept state for a single token alone, and start from an empty one where more follow. Bamba
# counts positions from 0 again unless it is given them. MiniMax asks its first layer how much the cache holds, which is a linear one
# and says nothing: positions start at 0 too, and generate() reads the kept tokens a second time. Token by token, only
# the last two differ; whoever splits prompts into chunks, or keeps prefixes, meets all five.
#
# Output (six tokens at once, six one by one, behind ten that are kept):
#   mamba: different, the same
#   falcon_mamba: different, the same
#   jamba: different, the same
#   bamba: different, different
#   minimax: different, different
#   mamba2: the same, the same
#   zamba2: the same, the same
#   falcon_h1: the same, the same
#   granitemoehybrid: the same, the same
#   qwen3_next: the same, the same
#   lfm2: the same, the same
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/prefix.py" <<'PYTHON'
"""Logits of sixteen tokens, read at once and behind a cache of the first ten."""
import torch
from transformers import AutoConfig, AutoModelForCausalLM

shared = dict(vocab_size=97, hidden_size=64, num_hidden_layers=4, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2,
              head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2)
ssm = dict(mamba_d_state=8, mamba_n_heads=8, mamba_d_head=16, mamba_n_groups=1, mamba_chunk_size=8)
mixed = ["linear_attention", "full_attention"] * 2
families = {
    "mamba": dict(state_size=8),
    "falcon_mamba": dict(state_size=8),
    "jamba": dict(attn_layer_period=2, attn_layer_offset=1, num_experts=4, mamba_d_state=8, mamba_dt_rank=8),
    "bamba": dict(attn_layer_indices=[1, 3], **ssm),
    "minimax": dict(layer_types=mixed, num_local_experts=4),
    "mamba2": dict(state_size=8, num_heads=8, head_dim=16, n_groups=2, chunk_size=8),
    "zamba2": dict(layers_block_type=["mamba", "hybrid"] * 2, mamba_d_state=8, mamba_ngroups=1, n_mamba_heads=8, mamba_headdim=16,
                   chunk_size=8, num_mem_blocks=1, attention_head_dim=32),
    "falcon_h1": dict(mamba_d_ssm=128, **ssm),
    "granitemoehybrid": dict(layer_types=["mamba", "attention"] * 2, num_local_experts=4, num_experts_per_tok=2,
                             shared_intermediate_size=64, **ssm),
    "qwen3_next": dict(layer_types=mixed, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, linear_num_key_heads=2,
                       shared_expert_intermediate_size=32, linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16),
    "lfm2": dict(layer_types=["conv", "full_attention"] * 2),
}
ids = torch.randint(3, 97, (1, 16), generator=torch.Generator().manual_seed(2))


def behind(model, cuts):
    """Logits of the parts, each behind the cache of those before it."""
    out = model(ids[:, :10], use_cache=True)
    logits, at = [out.logits], 10
    for tokens in cuts:
        out = model(ids[:, at:at + tokens], cache=out.cache, use_cache=True)
        logits.append(out.logits)
        at += tokens
    return torch.cat(logits, 1)


for name, fields in families.items():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**shared, **fields})).eval().float()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim == 2:
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * 0.8 / tensor.shape[-1] ** 0.5)
        whole = model(ids, use_cache=False).logits
        found = (torch.allclose(whole, behind(model, cuts), atol=1e-3) for cuts in ([6], [1] * 6))
        print(f"{name}: {', '.join('the same' if same else 'different' for same in found)}")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check --extra-index-url https://download.pytorch.org/whl/cpu \
    transformers==5.24.0 torch==2.13.0+cpu 2>/dev/null
"$work/venv/bin/python" "$work/prefix.py" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
