#!/bin/sh
# The demo: a small GPT learns the King James Bible (or TEXT=file) in about two minutes, then writes.
# The steps are fixed, so the hash at the end is the same on every machine: compare yours with the README's.
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

"$trine" train "$text" --out "$run" --depth 2 --steps 850 --train.batch=16 --eval.every=170 --eval.windows=128 \
    --sample.tokens=500 --sample.temperature=0.7

cat <<END

Open the report:    $run/report.html
Let it write more:  $trine generate $run --prompt "And God said" --tokens 300 --seed 7
Check the result:   $trine hash $run
Train it longer:    $trine train $text --out runs/long --depth 4 --steps 2000
What else it does:  $trine help train
END
