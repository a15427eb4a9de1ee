#!/usr/bin/env bash
# transformers' LongCat-Flash makes matrices for experts that do nothing, and OLMo 3 takes rope_theta for half of its layers only.
#
# Seen 2026-11-29 with transformers 5.24.0, torch 2.13.0 (CPU), Python 3.11.
#
# Of LongCat-Flash's 768 experts 256 pass their input on ("zero experts"). One expects weights for the other 512, as down_proj has;
# gate_up_proj has 768, a third more than the published checkpoint: 741 billion parameters where the model has 561. OLMo 3's
# configuration pops rope_theta for the layers of full attention and finds it gone for the sliding ones, which keep the default.
#
# Output:
#   gate_up_proj (768, 4096, 6144)
#   down_proj (512, 6144, 2048)
#   full_attention 1234.0
#   sliding_attention 500000.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/show.py" <<'PYTHON'
"""Shapes of one layer's experts, and the bases that one configuration ends with."""
import torch
from transformers import LongcatFlashConfig, LongcatFlashForCausalLM, Olmo3Config

with torch.device("meta"):
    model = LongcatFlashForCausalLM(LongcatFlashConfig(num_layers=1))
for name, part in model.named_parameters():
    if "experts" in name:
        print(name.rsplit(".", 1)[1], tuple(part.shape))
for kind, table in sorted(Olmo3Config(rope_theta=1234.0).rope_parameters.items()):
    print(kind, table["rope_theta"])
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 torch==2.13.0 2>/dev/null
"$work/venv/bin/python" "$work/show.py" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
