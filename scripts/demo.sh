#!/bin/sh
# The demo, in about three minutes: this machine is measured, a small GPT learns the King James Bible (or TEXT=file) on it and
# writes, prediction and measurement are compared, the same planner says what its big brothers take, and one page tells it all.
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
say() { printf '\n== %s ==\n\n' "$1"; }

# A brief calibration. Where something else is at work it says so, and intervals are as wide as that makes them; where bursts of threads
# differ too much it refuses, and the demo goes on without a prediction.
say "1. what this machine can do"
profile=$run.profile.yaml refined=
mkdir -p runs
"$trine" calibrate --scale .4 --force --out "$profile" || profile=

say "2. what a run will take, and the run"
"$trine" train "$text" --out "$run" ${profile:+--profile "$profile"} --depth $depth --steps $steps --train.batch=16 \
    --eval.every=$((steps / 5)) --eval.windows=128 --sample.tokens=500 --sample.temperature=0.7

if [ -n "$profile" ]; then
    say "3. predicted beside measured"
    "$trine" explain "$run" --profile "$profile"
    echo
    # What the run took refines a copy; the page holds both against it. A run that is too far off, or that other programs were in the way of, is
    # not learned from: here and on the page it is said why.
    refined=$run.refined.yaml
    cp "$profile" "$refined"
    "$trine" calibrate --from "$run" --out "$refined" || :
fi

# What a plan says, to a reader in a hurry: the model, the layout, the step, what it takes, what it costs.
big_brother() { # NAME ARGUMENTS...
    name=$1
    shift
    "$trine" plan "$@" -o "$run/$name.yaml" >"$run/$name.txt"
    sed -n -e 1,3p -e '/^the tightest limit/p' -e '/^step /p' -e '/^takes /p' -e '/^failures /p' -e '/^energy /p' \
        -e '/^on_demand /p' "$run/$name.txt" | sed 's/^on_demand  *\([^ ]*\).* \([^ ]* [^ ]*\)$/costs        \2 at \1 $ a chip-hour, on demand/'
    rm "$run/$name.txt"
    echo
}
say "4. the same for its big brothers"
big_brother gpt3-175b --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 300B
big_brother llama3.1-405b --model llama3.1-405b --system dgx-h100 --chips 16384 --tokens 15.6T --global-batch 2048

say "5. all of it as one page"
"$trine" report "$run" "$run/gpt3-175b.yaml" "$run/llama3.1-405b.yaml" ${profile:+--profile "$profile"} ${refined:+--refined "$refined"}

cat <<END

Read the whole story:  open $run/story.html in a browser; $run/report.html has every curve of the run
Let it write more:     $trine generate $run --prompt "And God said" --tokens 300 --seed 7
Check the result:      $trine hash $run
Train it longer:       $trine train $text --out runs/long --depth 4 --steps 2000
What else it does:     $trine help train
END
