#!/bin/sh
# Writes catalog/stacks/fits.yaml and docs/validation/stacks.md from the table of training runs in a folder: scripts/fit_stacks.sh DIR
# Runs that docs/published.md predicts are left out.
set -eu

table=${1:-}/train_runs.csv
[ -f "$table" ] || { echo "make fit-stacks TABLES=DIR: a folder with train_runs.csv" >&2; exit 2; }
out=catalog/stacks/fits.yaml page=docs/validation/stacks.md
build/release/tools/fit_stacks --without tests/validate/published.csv --date "$(date +%F)" --page "$page.tmp" "$table" >"$out.tmp"
mv "$out.tmp" "$out"
mv "$page.tmp" "$page"
