#!/usr/bin/env bash
# Cython 3.3 adds the whole number 0 to -0.0 and keeps the sign, where Python drops it.
#
# Seen 2026-12-01 with Cython 3.3.1, Python 3.11.
#
# A function without any types is compiled and asked for 0 + -0.0 and -0.0 + 0. Python, and IEEE 754 rounded to the nearest, say 0.0; one
# expects a compiled function to say so too. Cython's addition of two objects hands back the other operand as it is where one is
# the whole number 0. Differences are right, and sums of two floats. Who divides by such a sum, takes its sign, or compares
# bits with the same code in Python meets another number; nothing warns.
#
# Output (as they stand in Python, and compiled):
#   0 + -0.0: 0.0, -0.0
#   -0.0 + 0: 0.0, -0.0
#   0.0 + -0.0: 0.0, 0.0
set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

printf 'def add(one, other):\n    return one + other\n' >"$work/compiled.py"
cp "$work/compiled.py" "$work/plain.py"
cat >"$work/show.py" <<'PYTHON'
"""Sums of zeros, by the same function plain and compiled."""
import compiled
import plain

assert compiled.__file__.endswith(".so") and plain.__file__.endswith(".py")
for one, other in ((0, -0.0), (-0.0, 0), (0.0, -0.0)):
    print(f"{one} + {other}: {plain.add(one, other)}, {compiled.add(one, other)}")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check cython==3.3.1 setuptools==80.9.0 2>/dev/null
cd "$work"
"$work/venv/bin/cythonize" -3 -i -q compiled.py >/dev/null 2>&1
"$work/venv/bin/python" show.py | tee seen

diff <(sed -n 's/^#   //p' "$here") seen && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
