#!/bin/sh
# One run, one hash, by the program itself: the same config trained with every instruction set that runs here, 1, 2 and
# 4 threads, another compiler, another grouping of the work, recompute, and a run that is killed again and again must
# end with one hash; another seed, or another logical width, with another.
set -eu

trine=${TRINE_BIN:?} other=${TRINE_OTHER_BUILD:-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

awk 'BEGIN { for (i = 1; i <= 900; i++) print "verse " i ": and the waters of day " (i * 7919) % 389 " were gathered." }' \
    >"$dir/text.txt"

# train NAME PROGRAM [ENVIRONMENT...] -- [ARGUMENTS...]
train() {
    name=$1 program=$2
    shift 2
    environment=
    while [ "$1" != -- ]; do environment="$environment $1"; shift; done
    shift
    # shellcheck disable=SC2086
    env $environment "$program" train "$dir/text.txt" --quiet --depth 1 --steps 12 --data.seq_len=130 --train.batch=8 \
        --layout.lanes=4 --layout.context=2 --eval.every=6 --eval.windows=4 --sample.tokens=20 --out "$dir/$name" "$@" \
        >"$dir/$name.out" 2>"$dir/$name.err" || { cat "$dir/$name.err" >&2; fail "run $name ended with status $?"; }
}

same() {
    "$trine" hash "$dir/base" --equals "$dir/$1" >/dev/null || fail "$1 has another hash than the first run"
    echo "same hash: $1"
}

train base "$trine" -- --threads 2
sum=$("$trine" hash "$dir/base" | cut -d' ' -f1)
[ ${#sum} -eq 64 ] || fail "no hash: $sum"
grep -q "$sum" "$dir/base.out" || fail "the trainer printed another hash than trine hash"

for isa in ref avx2 avx512 avx512bf16; do
    if TRINE_ISA=$isa "$trine" train "$dir/text.txt" --dry-run --quiet --depth 1 --steps 1 --data.seq_len=130 >/dev/null 2>&1
    then train "isa-$isa" "$trine" TRINE_ISA=$isa -- --threads 2; same "isa-$isa"
    else echo "not run: TRINE_ISA=$isa, which this processor does not have"
    fi
done
for threads in 1 4; do train "threads-$threads" "$trine" -- --threads $threads; same "threads-$threads"; done
train micro "$trine" -- --threads 1 --train.micro_batch=1; same micro
for what in none full; do # else it is elementwise
    train "recompute-$what" "$trine" -- --threads 2 --train.recompute=$what; same "recompute-$what"
done
if [ -n "$other" ]; then
    for isa in ref ''; do train "compiler$isa" "$other" TRINE_ISA=$isa -- --threads 2; same "compiler$isa"; done
else
    echo "not run: another compiler's build (TRINE_OTHER_BUILD is not set; make check sets it)"
fi

# Killed at many instants: each attempt gets a little longer, and each goes on from what was saved.
attempt=0
while :; do
    attempt=$((attempt + 1))
    [ $attempt -le 60 ] || fail "60 attempts were not enough"
    "$trine" train "$dir/text.txt" --quiet --depth 1 --steps 12 --data.seq_len=130 --train.batch=8 --layout.lanes=4 \
        --layout.context=2 --eval.every=6 --eval.windows=4 --sample.tokens=20 --out "$dir/killed" --checkpoint.every=1 \
        >/dev/null 2>"$dir/killed.err" &
    pid=$!
    # A prime number of hundredths keeps the instants apart from the steps.
    sleep "$(awk -v n=$attempt 'BEGIN { print 0.03 + (n * 37 % 101) / 100 * (1 + n / 10) }')"
    kill -9 $pid 2>/dev/null || :
    wait $pid && break
done
echo "killed $((attempt - 1)) times"
same killed

# In bf16 with other instructions, threads and grouping, and by emulation. `base` becomes the first run of these.
mv "$dir/base" "$dir/base-f32"
train base "$trine" -- --threads 2 --train.dtype=bf16
"$trine" hash "$dir/base" | grep -q "trine-1/bf16" || fail "the hash of a bf16 run does not name its arithmetic"
for isa in avx2 avx512; do
    if TRINE_ISA=$isa "$trine" train "$dir/text.txt" --dry-run --quiet --depth 1 --steps 1 --data.seq_len=130 >/dev/null 2>&1
    then train "bf16-$isa" "$trine" TRINE_ISA=$isa -- --threads 1 --train.dtype=bf16; same "bf16-$isa"; fi
done
train bf16-micro "$trine" -- --threads 4 --train.dtype=bf16 --train.micro_batch=1 --train.recompute=full; same bf16-micro
if [ -n "$other" ]; then train bf16-compiler "$other" -- --threads 2 --train.dtype=bf16; same bf16-compiler; fi
rm -r "$dir/base"
mv "$dir/base-f32" "$dir/base"

train seed "$trine" -- --threads 2 --seed 2
"$trine" hash "$dir/base" --equals "$dir/seed" >/dev/null && fail "another seed has the same hash"
train width "$trine" -- --threads 2 --layout.tensor=1 --layout.vocab=2
"$trine" hash "$dir/base" --equals "$dir/width" >/dev/null && fail "another logical width has the same hash"
echo "another seed and another width: another hash"
