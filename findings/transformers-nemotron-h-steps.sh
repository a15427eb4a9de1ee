#!/usr/bin/env bash
# transformers limits Mamba-2 step sizes of Nemotron-H from below in prompts, and not in the tokens that follow.
#
# Seen 2026-11-29 with transformers 5.24.0, torch 2.13.0 (CPU), Python 3.11.
#
# NemotronHMamba2Mixer takes (time_step_min, infinity) as the limits of softplus(dt + dt_bias) instead of time_step_limit of the
# configuration, which is (0, infinity), and only the scan over several tokens applies them: the update for one token has no limits.
# So a sequence read at once and the same one read token by token give different logits where steps are below 0.001. One expects
# the same. Bamba and Mamba-2, which take time_step_limit, have no such difference.
#
# Output:
#   dt_bias -9: different
#   dt_bias 1: the same
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/steps.py" <<'PYTHON'
"""Logits of the last of eight tokens, read at once and one after the other."""
import torch
import transformers

torch.manual_seed(0)
config = transformers.NemotronHConfig(vocab_size=32, hidden_size=16, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
                                      layers_block_type=["mamba", "attention"], mamba_num_heads=4, mamba_head_dim=8, n_groups=1,
                                      ssm_state_size=8, intermediate_size=16)
model = transformers.NemotronHForCausalLM(config).eval()
ids = torch.arange(8)[None]
for bias in (-9, 1):
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1:
                tensor.normal_()
            if name.endswith("dt_bias"):
                tensor.fill_(bias)
        whole = model(ids).logits[0, -1]
        out = model(ids[:, :1], use_cache=True)
        for token in range(1, 8):
            out = model(ids[:, token:token + 1], past_key_values=out.past_key_values, use_cache=True)
    close = torch.allclose(whole, out.logits[0, -1], atol=1e-3)
    print(f"dt_bias {bias}: {'the same' if close else 'different'}")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check --extra-index-url https://download.pytorch.org/whl/cpu \
    transformers==5.24.0 torch==2.13.0+cpu 2>/dev/null
"$work/venv/bin/python" "$work/steps.py" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
