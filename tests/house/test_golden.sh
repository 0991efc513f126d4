#!/bin/sh
# The runner of golden tests can fail: on each stream, on the exit code, on a missing file and on a missing last newline.
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/lib.sh"
run=$folder/../golden/run.sh

printf '#!/bin/sh\necho "answer $*"\necho "in $PWD" >&2\n[ "$1" != bad ] || exit 2\n' >"$work/program"
chmod +x "$work/program"
TRINE_BIN=$work/program
export TRINE_BIN
unset GOLDEN_UPDATE

printf 'trine bad && echo fine\n' >"$work/a.cmd"
cp "$work/a.cmd" "$work/good.cmd"
printf 'answer bad\n--- stderr\nin @TMP@\n--- exit 2\n' >"$work/good.out"
expect 0 '' sh "$run" "$work/good.cmd"

change() # SED-COMMAND: the expected words, changed in one place
{
    sed "$1" "$work/good.out" >"$work/a.out"
    expect 1 'does not say what a.out holds' sh "$run" "$work/a.cmd"
}
change 's/answer bad/answer good/'
change 's/in @TMP@/in @TMP@\/x/'
change 's/exit 2/exit 3/'
change '$d'
rm "$work/a.out"
expect 1 'a.out is missing' sh "$run" "$work/a.cmd"
expect 0 'golden: wrote a.out' env GOLDEN_UPDATE=1 sh "$run" "$work/a.cmd"
cmp -s "$work/a.out" "$work/good.out" || broken 'GOLDEN_UPDATE wrote something else'
expect 0 '' sh "$run" "$work/a.cmd"

printf 'printf cut\n' >"$work/a.cmd"
printf 'cut\n--- stderr\n--- exit 0\n' >"$work/a.out"
expect 1 'the last line has no end' sh "$run" "$work/a.cmd"

mkdir "$work/b.d" && echo 'a file' >"$work/b.d/x.txt"
printf 'cat x.txt\nls\n' >"$work/b.cmd"
printf 'a file\nx.txt\n--- stderr\n--- exit 0\n' >"$work/b.out"
expect 0 '' sh "$run" "$work/b.cmd"

TRINE_BIN=$work/none expect 2 'which is no program' sh "$run" "$work/b.cmd"
echo "$proofs proofs"
