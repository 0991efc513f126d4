#!/bin/sh
# Checkpoints that an earlier version wrote (tests/fault/old, from the day before the first release) are read, verified and
# gone on from, to the hash that the earlier version reached. They are never written anew: an arithmetic that changes gets
# another id (docs/contract.md), and then another folder here.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

for old in "$TRINE_SOURCE_DIR"/tests/fault/old/*/; do
    name=$(basename "$old")
    cp -r "$old" "$name"
    cd "$name" || exit 2
    expect 0 "step 6" "$TRINE_BIN" hash run
    expect 0 "bits/byte" "$TRINE_BIN" eval run -q
    "$TRINE_BIN" train -c run.yaml >/dev/null 2>said || fault "$name: ended with $?: $(cat said)"
    grep -q "resumed from run/step-00000006" said || fault "$name: was not resumed: $(cat said)"
    [ "$("$TRINE_BIN" hash run | cut -d' ' -f1)" = "$(cat hash.txt)" ] ||
        fault "$name: hash $("$TRINE_BIN" hash run), the earlier version reached $(cat hash.txt)"
    cd ..
done
count=$(ls "$TRINE_SOURCE_DIR/tests/fault/old" | wc -l | tr -d ' ')
[ -z "${TRINE_FAULT_TABLE:-}" ] || [ "$failures" != 0 ] || echo "| 22 | a checkpoint of an older version" \
    "| kept files: AdamW, Muon, LoRA | $count | $count | nothing; the same hash |" >>"$TRINE_FAULT_TABLE"
[ -n "${name:-}" ] || fault "there is no old checkpoint"
done_all
