#!/bin/sh
# Every reader of outside bytes has a fuzz target: fuzz.sh ROOT
#
#   1  a header of src that declares tr_..._parse, _from_node, _add_text or _override is followed by a fuzz/fuzz_*.c that
#      calls it, or by a word in fuzz/README.md, under "Readers without a target", why not
#   2  each target that fuzz/README.md names is there
#   3  each target has a corpus that is not empty
#
# One line a fault, and exit 1.
set -u
export LC_ALL=C

cd "${1:?usage: fuzz.sh ROOT}" || exit 2
page=fuzz/README.md
[ -f "$page" ] || { echo "house: no $page" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find src -name '*.h' -exec grep -hoE 'tr_[a-z0-9_]*_(parse|from_node|add_text|override)[a-z0-9_]*\(' {} + |
    tr -d '(' | sort -u >"$work/readers"
[ -s "$work/readers" ] || { echo "house: no reader below src, so nothing was proved" >&2; exit 2; }
sed -n '/^Readers without a target/,/^$/p' "$page" >"$work/excused"
while read -r reader; do
    grep -qE "(^|[^a-z0-9_])$reader\(" fuzz/fuzz_*.c || grep -q "\`$reader\`" "$work/excused" ||
        echo "$reader: reads outside bytes, and no fuzz/fuzz_*.c calls it"
done <"$work/readers" >"$work/faults"
grep -oE '`fuzz_[a-z0-9_]+`' "$page" | tr -d '`' | sort -u | while read -r target; do
    [ -f "fuzz/$target.c" ] || echo "$page: names $target, which is not there"
done >>"$work/faults"
for target in fuzz/fuzz_*.c; do
    name=${target#fuzz/fuzz_}
    [ -n "$(ls "fuzz/corpus/${name%.c}" 2>/dev/null)" ] || echo "$target: no input in fuzz/corpus/${name%.c}"
done >>"$work/faults"

if [ -s "$work/faults" ]; then
    cat "$work/faults"
    exit 1
fi
echo "house: $(wc -l <"$work/readers" | tr -d ' ') readers of outside bytes have a target or a reason"
