#!/bin/sh
# The runs in docs/published.md and README.md are predicted there as they are by the program today.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
expect 0 "| GPT-3-175B" "$TRINE_BIN" validate "$TRINE_SOURCE_DIR/tests/validate/published.csv" --page
cp stdout today
grep '^|' "$TRINE_SOURCE_DIR/docs/published.md" >page
diff -u page today || fault "docs/published.md is not what the program says: make published"
cut -d '|' -f 1-6 today | sed 's/$/|/' >short
sed -n '/^<!-- made by make published -->$/,/^<!-- end -->$/p' "$TRINE_SOURCE_DIR/README.md" | grep '^|' >readme
diff -u readme short || fault "the table in README.md is not what the program says: make published"
[ "$(wc -l <today)" -gt 20 ] || fault "runs are missing"
if grep -q 'not priced' today; then fault "a run cannot be priced"; fi
printf 'chip,engine,dtype,m,n,k,latency_us\nH100,e,fp8,1,1,1,1\n' >operations.csv
expect 2 "--page is of training runs, and these are rows of op_gemm" "$TRINE_BIN" validate operations.csv --page
expect 2 "--json and --page: one of them" "$TRINE_BIN" validate operations.csv --page --json
done_all
