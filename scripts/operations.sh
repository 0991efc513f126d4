#!/bin/sh
# How wrong predictions of single operations are, a chip a line of Markdown, out of the comments of catalog/fits/measured.yaml: means over
# rows in sample, and on groups held out. scripts/operations.sh MEASURED
set -eu

echo '| mean error in sample, on groups held out | matrix products | attention | collectives of the vendor | all-reduce of engines |'
echo '|---|---|---|---|---|'
awk '
    function cell(kind,    at) {
        at = chip SUBSEP kind
        return rows[at] ? sprintf(" %.1f, %.1f %% |", sample[at] / rows[at], held[at] / rows[at]) : " |"
    }
    function put() { if (chip != "") print "| " chip " |" cell("gemm") cell("attention") cell("collective") cell("engine") }
    /^  [a-z].*:$/ { put(); chip = $1; sub(/:/, "", chip) }
    /^    [a-z]+:$/ { kind = $1; sub(/:/, "", kind) }
    $3 == "rows" && $10 == "sample," { count = $2; in_sample = $7; held_out = $11; next }
    count {
        at = chip SUBSEP ($1 ~ /^(trtllm|vllm|sglang)/ ? "engine" : kind)
        rows[at] += count; sample[at] += count * in_sample; held[at] += count * held_out
        count = 0
    }
    END { put() }' "$1"
