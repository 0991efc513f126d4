#!/bin/sh
# The demo: a small GPT learns the King James Bible (or TEXT=file) in about two minutes, then writes.
# The size of the model follows the measured peak of this machine; for each size the steps are fixed, so its hash at the
# end is the same on every machine: compare yours with the README's. SIZE=small|medium|large|huge chooses another.
set -eu

trine=build/trine
text=${TEXT:-}
if [ -z "$text" ]; then
    command -v bible >/dev/null || { echo "bible-kjv is missing: run 'make setup', or give TEXT=file" >&2; exit 2; }
    text=build/kjv.txt
    # A verse a line, its number ("Ge1:1 ") taken off.
    bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' >"$text.tmp"
    mv "$text.tmp" "$text"
fi

run=runs/demo
n=1
while [ -e "$run" ]; do n=$((n + 1)); run=runs/demo-$n; done

size=${SIZE:-}
if [ -z "$size" ]; then
    peak=$("$trine" train "$text" --depth 2 --steps 1 --dry-run --quiet --json |
        sed -n 's/.*"peak_flop_s": *\([0-9]*\).*/\1/p')
    size=small # work in 2 minutes at half the peak, in units of 10^9 flop/s: 5 k, 11 k, 32 k, 74 k
    [ "${#peak}" -gt 11 ] && size=medium                                    # 100 GFLOP/s
    [ "${#peak}" -gt 11 ] && [ "$peak" -ge 400000000000 ] && size=large     # 400 GFLOP/s
    [ "${#peak}" -gt 12 ] && size=huge                                      # 1 TFLOP/s
fi
case $size in
small) depth=2 steps=400 ;;
medium) depth=2 steps=850 ;;
large) depth=3 steps=850 ;;
huge) depth=4 steps=850 ;;
*) echo "SIZE=$size is none of small, medium, large, huge" >&2; exit 2 ;;
esac
"$trine" train "$text" --out "$run" --depth $depth --steps $steps --train.batch=16 --eval.every=$((steps / 5)) \
    --eval.windows=128 --sample.tokens=500 --sample.temperature=0.7

cat <<END

Open the report:    $run/report.html
Let it write more:  $trine generate $run --prompt "And God said" --tokens 300 --seed 7
Check the result:   $trine hash $run
Train it longer:    $trine train $text --out runs/long --depth 4 --steps 2000
What else it does:  $trine help train
END
