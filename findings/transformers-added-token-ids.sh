#!/usr/bin/env bash
# transformers 5 gives tokens of added_tokens_decoder other ids than those that they have there.
#
# Seen 2026-11-29 with transformers 5.24.0, tokenizers 0.23.3, Python 3.11.
#
# tokenizer_config.json names two tokens that its tokenizer.json does not have, with the ids 400 and 401: added_tokens_decoder is a
# table from ids to tokens. One expects those ids, or a refusal. The tokens are added behind the vocabulary instead, in the order of
# the ids: as 256 and 257 here. A model whose embedding has rows 400 and 401 for them reads two others, without a word.
#
# Output:
#   ['<tool>', '<end>'] asked for [400, 401], got [256, 257]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 2>/dev/null

cat >"$work/load.py" <<'PYTHON'
"""A tokenizer of 256 tokens, and two more in tokenizer_config.json."""
import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

vocab = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
folder = Path(sys.argv[1])
Tokenizer(models.BPE(vocab, [])).save(str(folder / "tokenizer.json"))
asked = {400: "<tool>", 401: "<end>"}
(folder / "tokenizer_config.json").write_text(json.dumps({
    "tokenizer_class": "PreTrainedTokenizerFast",
    "added_tokens_decoder": {index: {"content": token, "special": True} for index, token in asked.items()}}))
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
names = list(asked.values())
print(f"{names} asked for {list(asked)}, got {tokenizer.convert_tokens_to_ids(names)}")
PYTHON
mkdir "$work/folder"
"$work/venv/bin/python" "$work/load.py" "$work/folder" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
