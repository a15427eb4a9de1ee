#!/usr/bin/env bash
# The ByteFallback decoder of tokenizers turns whole characters into replacement characters while the next one is incomplete.
#
# Seen 2026-11-29 with tokenizers 0.23.3, Python 3.11.
#
# Two characters are encoded as five byte tokens, and ever more of them decoded, as a program does that shows a text while it is
# written. One expects the first character to stay once it is complete. But bytes in a row are decoded together or not at all: with a
# part of the second character behind it, each byte of the first becomes a U+FFFD again. What was shown must not be taken back, and a
# text that is cut in the middle of a character loses the characters in front of it.
#
# Output (number of tokens, text):
#   1 '\ufffd'
#   2 '\xe4'
#   3 '\ufffd\ufffd\ufffd'
#   4 '\ufffd\ufffd\ufffd\ufffd'
#   5 '\xe4\u72fc'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check tokenizers==0.23.3 2>/dev/null

cat >"$work/decode.py" <<'PYTHON'
"""Decode ever more byte tokens of two characters."""
from tokenizers import Tokenizer, decoders, models

names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>", byte_fallback=True))
tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
ids = tokenizer.encode("\u00e4\u72fc").ids
for count in range(1, len(ids) + 1):
    print(count, ascii(tokenizer.decode(ids[:count])))
PYTHON
"$work/venv/bin/python" "$work/decode.py" | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
