#!/bin/sh
# Signals at random instants (while it loads, trains, evaluates, samples, saves), each followed by another one: the run ends
# with 3 and a sentence, or was not far enough to catch them, and whoever goes on arrives at the same hash.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
options="-d 1 -t 1 -s 300 --data.seq_len=16 --train.batch=8 --eval.every=5 --eval.windows=2 --checkpoint.every=3
    --sample.tokens=3 --sample.every=10 -q"
wanted=$(tries 4 300)

# shellcheck disable=SC2086 # the options are words
{
    "$TRINE_BIN" train book.txt $options -o whole >/dev/null || fault "the undisturbed run ended with $?"
    sent=0 caught=0 right=0
    while [ $caught -lt $wanted ] && [ $sent -lt $((20 * wanted)) ]; do
        set -- TERM INT
        [ $((sent % 3)) != 1 ] || set -- INT USR1
        [ $((sent % 3)) != 2 ] || set -- USR1 TERM
        "$TRINE_BIN" train book.txt $options -o run >/dev/null 2>said &
        child=$!
        sleep "$(awk -v n=$sent 'BEGIN { srand(n); print 0.01 + 0.6 * rand() * rand() }')"
        kill -"$1" $child 2>/dev/null
        kill -"$2" $child 2>/dev/null
        status=0
        wait $child || status=$?
        sent=$((sent + 1))
        case $status in
        0) # it had arrived: on to another one
            "$TRINE_BIN" hash run --equals whole >hashes.txt || fault "another hash: $(cat hashes.txt)"
            rm -rf run ;;
        3)
            caught=$((caught + 1))
            grep -q "interrupted by SIG" said && right=$((right + 1)) || fault "$1, $2: said: $(cat said)" ;;
        130 | 138 | 143) ;; # before the program had asked for it: nothing was begun
        *) fault "$1, $2: ended with $status: $(cat said)" ;;
        esac
    done
    "$TRINE_BIN" train book.txt $options -o run >/dev/null 2>said || fault "the last attempt: $(cat said)"
    "$TRINE_BIN" hash run --equals whole >hashes.txt || fault "another hash: $(cat hashes.txt)"
}
[ $caught -ge $wanted ] || fault "of $sent pairs of signals only $caught came while a run lasted"
row 14 "SIGTERM, SIGINT, SIGUSR1 at random times, a second signal behind each" "a timer; of $sent pairs those that came while a run lasted" \
    "$caught" "$right" "\`interrupted by SIGTERM after step 9 of 300, which is saved in run/step-00000009\`, exit status 3"
echo "$sent signals, $caught caught"
done_all
