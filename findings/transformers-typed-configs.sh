#!/usr/bin/env bash
# transformers 5 refuses configurations that are published, or that its own documentation describes: Llama 4 and EXAONE 4.
#
# Seen 2026-11-30 with transformers 5.24.0, Python 3.11.
#
# The config.json of the base checkpoints of Llama 4 says "attn_temperature_tuning": 4, which transformers 4 took for true: 5
# checks types and raises. EXAONE 4's documentation offers letters such as LLLG for layers with a window and without, and no
# window at all: both raise where layer_types is not there too.
#
# Output:
#   Llama 4, attn_temperature_tuning 4: StrictDataclassFieldValidationError
#   EXAONE 4, sliding_window_pattern LLLG: TypeError
#   EXAONE 4, sliding_window None: ZeroDivisionError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/show.py" <<'PYTHON'
"""What each of three configurations becomes."""
from transformers import Exaone4Config, Llama4TextConfig

for name, kind, key, value in [("Llama 4", Llama4TextConfig, "attn_temperature_tuning", 4),
                               ("EXAONE 4", Exaone4Config, "sliding_window_pattern", "LLLG"),
                               ("EXAONE 4", Exaone4Config, "sliding_window", None)]:
    try:
        found = type(kind(**{key: value})).__name__
    except Exception as error:
        found = type(error).__name__
    print(f"{name}, {key} {value}: {found}")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 2>/dev/null
"$work/venv/bin/python" "$work/show.py" 2>/dev/null | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
