#!/bin/sh
# The kernels have another name when one of their sources is another, comes or goes, and the same one when nothing or something else changes.
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/lib.sh"
cmake=$1 script=$2 kernels=$work/tree/src/silicon/kernel

mkdir -p "$kernels/norm"
echo "int a;" >"$kernels/norm/norm.c"
echo "int b;" >"$kernels/kernel.h"

name() # of the kernels in the tree
{
    "$cmake" -D OUT="$work/id.c" -D ROOT="$work/tree" -P "$script" || broken "no name was made"
    sed -n 's/.*tr_kernels_id = "\([0-9a-f]\{8\}\)";/\1/p' "$work/id.c"
}
first=$(name)
[ -n "$first" ] || broken "there is no name in $(cat "$work/id.c")"

other() # WHAT: the kernels have a name that they have not had
{
    now=$(name)
    case " $names " in *" $now "*) broken "$1: still called $now" ;; esac
    names="$names $now"
}
names=$first
echo "int c;" >>"$kernels/norm/norm.c" && other "a source has another line"
mv "$kernels/norm/norm.c" "$kernels/norm/other.c" && other "a source has another path"
echo >"$kernels/norm/norm_avx2.c" && other "a source came"

rm "$kernels/norm/norm_avx2.c" "$kernels/norm/other.c"
echo "int a;" >"$kernels/norm/norm.c"
echo "notes" >"$kernels/norm/README.md"
echo "int d;" >"$work/tree/src/silicon/other.c"
[ "$(name)" = "$first" ] || broken "the same sources have another name"
