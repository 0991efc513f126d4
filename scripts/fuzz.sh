#!/bin/sh
# Runs every fuzz target of a folder: scripts/fuzz.sh FOLDER
#
#     FUZZ_SECONDS   how long each one looks for new inputs (20)
#     FUZZ_SAVE      not empty: inputs that reach new code, and the one that made a target fall, are kept in
#                    fuzz/corpus/X, where ordinary tests replay them. Without it, git's files stay as they are.
#     FUZZ_PAGE      a file (docs/fuzz.md) to write down how many inputs each target was given, when none fell
#
# New inputs stand in FOLDER/found/X and go into the next run; the input of a fall in FOLDER/falls/X.
set -eu

folder=$1 rows=$1/fuzz.rows
seconds=${FUZZ_SECONDS:-20}
failed=''
count=0
: >"$rows"
for target in "$folder"/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    corpus=fuzz/corpus/$name found=$folder/found/$name falls=$folder/falls/$name log=$folder/$name.log
    mkdir -p "$found" "$falls"
    [ -d "$corpus" ] || { echo "fuzz: $corpus is missing: begin with one valid and one broken input" >&2; exit 2; }
    dictionary=''
    [ -f "fuzz/fuzz_$name.dict" ] && dictionary="-dict=fuzz/fuzz_$name.dict"
    count=$((count + 1))
    printf 'fuzz_%-20s ' "$name"
    if "$target" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
        $dictionary -artifact_prefix="$falls/" "$found" "$corpus" >"$log" 2>&1 </dev/null; then
        awk '/number_of_executed_units/ { runs = $2 } /new_units_added/ { new = $2 } / cov: / { cov = $4 }
            END { printf "%d runs, %d new inputs, %d edges reached\n", runs, new, cov }' "$log"
        awk -v name="fuzz_$name" '/number_of_executed_units/ { runs = $2 } / cov: / { cov = $4 }
            END { printf "| `%s` | %d | %d |\n", name, runs, cov }' "$log" >>"$rows"
    else
        failed="$failed $name"
        echo "FELL:"
        awk '/ERROR: |runtime error: |Assert|assert/ { shown = 30 } shown-- > 0' "$log" | head -n 40
        echo "the whole report: $log; the input: $falls/$(ls -t "$falls" | head -n 1)"
    fi
    if [ -n "${FUZZ_SAVE:-}" ]; then
        "$target" -merge=1 -artifact_prefix="$falls/" "$corpus" "$found" >>"$log" 2>&1 </dev/null || true
        for fall in "$falls"/*; do
            [ ! -f "$fall" ] || mv "$fall" "$corpus/"
        done
    fi
done
[ "$count" -gt 0 ] || echo "fuzz: there is no target yet"
if [ -z "$failed" ] && [ -n "${FUZZ_PAGE:-}" ]; then
    {
        echo "# What the fuzz targets were given"
        echo
        echo "Written by \`FUZZ_PAGE=docs/fuzz.md FUZZ_SECONDS=$seconds make fuzz\`: every target for $seconds seconds under libFuzzer with"
        echo "AddressSanitizer and UndefinedBehaviorSanitizer, from the inputs of fuzz/corpus. None fell. What each of them reads, and"
        echo "which faults of others are among the inputs: fuzz/README.md."
        echo
        echo "| target | inputs tried | edges of the program reached |"
        echo "|---|---:|---:|"
        cat "$rows"
        awk -F '|' '{ sum += $3 } END { printf "| all | %d | |\n", sum }' "$rows"
    } >"$FUZZ_PAGE"
fi
[ -z "$failed" ] || { echo "fuzz: faults found by:$failed" >&2; exit 1; }
