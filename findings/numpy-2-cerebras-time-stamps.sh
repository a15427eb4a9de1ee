#!/usr/bin/env bash
# The way in which public host scripts for Cerebras wafers join a 48-bit time stamp loses its upper half under numpy 2.
#
# Seen 2026-11-30 with numpy 1.26.4 and 2.3.5, Python 3.11.
#
# A PE's time stamp comes to the host as three 16-bit words, and the scripts of Cerebras/csl-examples, Cerebras/sdk-examples (topic-02,
# conjugate-gradient, spmv-hypersparse, ...) and MeshInfra/WaferLLM join them as word 0 + (word 1 << 16) + (word 2 << 32) on elements of a
# uint16 array. Up to numpy 1 a Python number beside such a scalar made the result 64 bits wide. Since numpy 2 (NEP 50) it takes the type of
# the scalar: shifted by 16 nothing is left, and differences of stamps are differences of their lowest words, negative ones too. Nothing warns.
# Cycles that these scripts print are right only with numpy below 2, or where both stamps lie within 65,536 cycles of each other.
#
# Output (a start and an end 100,000 cycles apart, joined in that way):
#   numpy 1.26.4: 100000 cycles
#   numpy 2.3.5: 34464 cycles
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.26.4 2.3.5; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install -q --disable-pip-version-check "numpy==$version" 2>/dev/null
    "$work/$version/bin/python" - <<'PYTHON'
import numpy as np


def words(stamp):
    return np.array([stamp & 0xFFFF, stamp >> 16 & 0xFFFF, stamp >> 32], np.uint16)


def joined(three):
    return int(three[0] + (three[1] << 16) + (three[2] << 32))


start = 5_000
print(f"numpy {np.__version__}: {joined(words(start + 100_000)) - joined(words(start))} cycles")
PYTHON
done | tee "$work/seen"

diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
