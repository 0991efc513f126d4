#!/bin/sh
# Writes catalog/fits/measured.yaml from the tables of measurements in a folder: scripts/fit.sh DIR
set -eu

dir=${1:-}
[ -d "$dir" ] || { echo "make fit TABLES=DIR: a folder with op_gemm.csv, op_attention.csv and op_collective.csv" >&2; exit 2; }
out=catalog/fits/measured.yaml
mkdir -p "${out%/*}"
build/release/tools/fit --date "$(date +%F)" "$dir/op_gemm.csv" "$dir/op_attention.csv" "$dir/op_collective.csv" >"$out.tmp"
mv "$out.tmp" "$out"
