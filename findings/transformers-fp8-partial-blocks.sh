#!/usr/bin/env bash
# transformers 5 cannot dequantise FP8 weights whose rows are no multiple of the block, such as DeepSeek-V3's own.
#
# Seen 2026-11-29 with transformers 5.24.0, torch 2.13.0 (CPU), accelerate 1.15.0, Python 3.11.
#
# FP8 weights by blocks of 128 x 128 have ceil(rows / 128) scales: the last block may be smaller. DeepSeek-V3 has such a matrix in every
# layer (kv_a_proj_with_mqa, 576 rows, 5 scales). With FineGrainedFP8Config(dequantize=True) transformers infers the block from the shape
# of the scales and refuses rows that they do not divide (576 / 5); where they divide by chance, the blocks are other ones (300 rows, 3
# scales: 100 instead of 128). One expects weight_block_size of the configuration to be used.
#
# Output:
#   384 rows: read
#   576 rows: refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/load.py" <<'PYTHON'
"""Save a tiny Llama with FP8 weights by blocks, and load it dequantised."""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
config = transformers.LlamaConfig(vocab_size=64, hidden_size=256, intermediate_size=rows, num_hidden_layers=1,
                                  num_attention_heads=2, num_key_value_heads=2)
transformers.LlamaForCausalLM(config).save_pretrained(folder)
tensors = load_file(folder / "model.safetensors")
for name in [name for name in tensors if "proj" in name]:
    high, wide = tensors[name].shape
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    tensors[f"{name}_scale_inv"] = torch.ones(-(-high // 128), -(-wide // 128))
save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
settings = json.loads((folder / "config.json").read_text())
settings["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
(folder / "config.json").write_text(json.dumps(settings))
try:
    transformers.AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=transformers.FineGrainedFP8Config(dequantize=True))
    print(f"{rows} rows: read")
except RuntimeError:
    print(f"{rows} rows: refused")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
    transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 2>/dev/null
for rows in 384 576; do
    "$work/venv/bin/python" "$work/load.py" "$work/$rows" "$rows" 2>/dev/null
done | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
