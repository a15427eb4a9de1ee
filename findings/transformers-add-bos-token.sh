#!/usr/bin/env bash
# transformers 5 no longer obeys add_bos_token of tokenizer_config.json where a tokenizer.json stands beside it.
#
# Seen 2026-11-29 with transformers 4.57.6 and 5.24.0, tokenizers 0.22.2 and 0.23.3, Python 3.11.
#
# One folder says "add_bos_token": true and its tokenizer.json has no template; the other says false and its tokenizer.json has the
# template "<s> $A". One expects one answer from the same folder, and the setting to be obeyed or refused. 4.57.6 obeys it; 5.24.0 takes
# whatever tokenizer.json does, says nothing, and reports add_bos_token False for both. So prompts of a Llama folder may gain or lose
# their first token with an upgrade, and an engine that follows one of the two differs from the other from the first logit on.
#
# Output:
#   4.57.6 true: True ['<s>', '▁ab', '▁ab']
#   4.57.6 false: False ['▁ab', '▁ab']
#   5.24.0 true: False ['▁ab', '▁ab']
#   5.24.0 false: False ['<s>', '▁ab', '▁ab']
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/folders.py" <<'PYTHON'
"""Two tiny Llama tokenizers, as a tokenizer.json and a tokenizer_config.json each."""
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, processors

for setting in (True, False):
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "▁ab"]
    merges = [("▁", "a"), ("▁a", "b")]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges, unk_token="<unk>", byte_fallback=True,
                                     fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(names[:3])
    if not setting:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder = Path(sys.argv[1]) / str(setting).lower()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "add_bos_token": setting, "add_eos_token": False}))
PYTHON

cat >"$work/encode.py" <<'PYTHON'
"""How transformers encodes a text with either folder."""
import sys

import transformers

for setting in ("true", "false"):
    tokenizer = transformers.AutoTokenizer.from_pretrained(f"{sys.argv[1]}/{setting}")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("ab ab")["input_ids"])
    print(f"{transformers.__version__} {setting}: {tokenizer.add_bos_token} {tokens}")
PYTHON

for pins in "transformers==4.57.6 tokenizers==0.22.2" "transformers==5.24.0 tokenizers==0.23.3"; do
    python3 -m venv --clear "$work/venv"
    # shellcheck disable=SC2086
    "$work/venv/bin/pip" install -q --disable-pip-version-check $pins 2>/dev/null
    [ -d "$work/folders" ] || "$work/venv/bin/python" "$work/folders.py" "$work/folders"
    "$work/venv/bin/python" "$work/encode.py" "$work/folders" 2>/dev/null
done | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
