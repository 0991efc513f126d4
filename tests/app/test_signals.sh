#!/bin/sh
# SIGTERM, SIGINT and SIGUSR1 finish the step, save it and end with 3; the same command then arrives at the same hash.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
options="-d 1 -t 1 -s 400 --data.seq_len=16 --train.batch=8 --eval.every=50 --eval.windows=2 --checkpoint.every=100
    --sample.tokens=0 -q"

# shellcheck disable=SC2086 # the options are words
"$TRINE_BIN" train book.txt $options -o whole >whole.txt || fault "the undisturbed run ended with $?"
for signal in TERM INT USR1; do
    rm -rf run
    # A script's background jobs ignore SIGINT; the program asks for it all the same.
    "$TRINE_BIN" train book.txt $options -o run >/dev/null 2>said &
    child=$!
    while [ ! -s run/metrics.jsonl ]; do
        kill -0 $child 2>/dev/null || break
        sleep 0.05
    done
    kill -$signal $child
    kill -$signal $child 2>/dev/null # a second one changes nothing
    status=0
    wait $child || status=$?
    [ $status = 3 ] || fault "SIG$signal: ended with $status, not 3: $(cat said)"
    grep -q "interrupted by SIG$signal after step [0-9]* of 400, which is saved in run" said || fault "said: $(cat said)"
    "$TRINE_BIN" train book.txt $options -o run >again.txt || fault "the resumed run ended with $?"
    "$TRINE_BIN" hash run --equals whole >hashes.txt || fault "SIG$signal: another hash: $(cat hashes.txt)"
done
"$TRINE_BIN" hash run --equals whole/step-00000300 >/dev/null
[ $? = 1 ] || fault "hash --equals of another step does not answer no"
done_all
