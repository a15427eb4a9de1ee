#!/usr/bin/env bash
# mkdocs build --strict --quiet accepts a site that mkdocs build --strict refuses.
#
# Seen 2026-11-29 with mkdocs 1.6.1, Python 3.11.
#
# --strict is said to abort the build on any warning, --quiet to silence them. Together one expects a silent build that fails. But strict
# counts the warnings that reach the log, and quiet keeps them from it: none is counted, and the exit code is 0. A check in CI that asks
# for both checks nothing.
#
# Output (exit codes of a site with one broken link):
#   --strict: 1
#   --strict --quiet: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check mkdocs==1.6.1 2>/dev/null

mkdir -p "$work/site/docs"
cd "$work/site"
echo "site_name: one broken link" >mkdocs.yml
echo "[nowhere](nowhere.md)" >docs/index.md
for options in "--strict" "--strict --quiet"; do
    code=0
    # shellcheck disable=SC2086
    "$work/venv/bin/mkdocs" build $options >/dev/null 2>&1 || code=$?
    echo "$options: $code"
done | tee "$work/seen"

cd "$OLDPWD"
diff <(sed -n 's/^#   //p' "$0") "$work/seen" && echo "as seen before" || { echo "the behavior has changed"; exit 1; }
