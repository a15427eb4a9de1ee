#!/usr/bin/env bash
# transformers 5 replaces rules of a tokenizer.json by those of the class that tokenizer_config.json names.
#
# Seen 2026-11-29 with transformers 5.24.0, tokenizers 0.23.3, Python 3.11.
#
# A tokenizer.json says how a text is split before its merges: here, digits stay together. With a tokenizer_class that has rules of its
# own (Qwen2Tokenizer, LlamaTokenizer, GPT2Tokenizer, ...), transformers takes vocabulary and merges out of the file and builds the
# rest anew: Qwen's rules split digits. One expects the file, which is complete, to decide, as it does for
# PreTrainedTokenizerFast, or a warning. Every other reader of tokenizer.json gives other tokens.
#
# Output:
#   tokenizers: ['123']
#   PreTrainedTokenizerFast: ['123']
#   Qwen2Tokenizer: ['1', '2', '3']
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 2>/dev/null

cat >"$work/encode.py" <<'PYTHON'
"""One tokenizer.json under two classes."""
import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

vocab = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
vocab |= {"12": len(vocab), "123": len(vocab) + 1}
tokenizer = Tokenizer(models.BPE(vocab, [("1", "2"), ("12", "3")]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
folder = Path(sys.argv[1])
tokenizer.save(str(folder / "tokenizer.json"))
print("tokenizers:", tokenizer.encode("123").tokens)
for name in ("PreTrainedTokenizerFast", "Qwen2Tokenizer"):
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    print(f"{name}:", transformers.AutoTokenizer.from_pretrained(folder).tokenize("123"))
PYTHON
mkdir "$work/folder"
"$work/venv/bin/python" "$work/encode.py" "$work/folder" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
