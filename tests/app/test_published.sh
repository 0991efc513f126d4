#!/bin/sh
# What docs/published.md, docs/plan.md and README.md show of the planner is what the program says today.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
pages="README.md docs/plan.md docs/published.md"
mkdir -p tree/docs tree/tests/validate
cp "$TRINE_SOURCE_DIR/tests/validate/published.csv" tree/tests/validate
for page in $pages; do cp "$TRINE_SOURCE_DIR/$page" "tree/$page"; done
(cd tree && sh "$TRINE_SOURCE_DIR/scripts/published.sh" "$TRINE_BIN") || fault "scripts/published.sh fails"
for page in $pages; do
    diff -u "$TRINE_SOURCE_DIR/$page" "tree/$page" || fault "$page is not what the program says: make published"
    grep -q "made by make published" "tree/$page" || [ "$page" = docs/published.md ] || fault "$page has lost what stands around it"
done
expect 0 "| GPT-3-175B" "$TRINE_BIN" validate "$TRINE_SOURCE_DIR/tests/validate/published.csv" --page
cp stdout today
[ "$(wc -l <today)" -gt 20 ] || fault "runs are missing"
if grep -q 'not priced' today; then fault "a run cannot be priced"; fi
printf 'chip,engine,dtype,m,n,k,latency_us\nH100,e,fp8,1,1,1,1\n' >operations.csv
expect 2 "--page is of training runs, and these are rows of op_gemm" "$TRINE_BIN" validate operations.csv --page
expect 2 "--json and --page: one of them" "$TRINE_BIN" validate operations.csv --page --json
done_all
