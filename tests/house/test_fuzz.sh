#!/bin/sh
# fuzz.sh says no to a reader without a target, to a target that is not there and to one without inputs, and yes otherwise.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0

must() # YES|NO SENTENCE
{
    said=$(sh "$here/fuzz.sh" "$root" 2>&1) && got=YES || got=NO
    [ "$got" = "$1" ] && echo "$said" | grep -qF -e "$2" || {
        echo "FAILED: expected $1 and \"$2\", got $got: $said"
        failures=1
    }
}

mkdir -p "$root/src/base" "$root/fuzz/corpus/a"
echo 'enum tr_status tr_a_parse(const char *);' >"$root/src/base/a.h"
echo 'int x(void) { return tr_a_parse("x"); }' >"$root/fuzz/fuzz_a.c"
echo '| a | `tr_a_parse` | `fuzz_a` |' >"$root/fuzz/README.md"
echo 1 >"$root/fuzz/corpus/a/one"
must YES "1 readers"
echo 'enum tr_status tr_b_parse(const char *);' >"$root/src/base/b.h"
must NO "tr_b_parse: reads outside bytes"
printf '\nReaders without a target: `tr_b_parse` (a reason).\n' >>"$root/fuzz/README.md"
must YES "2 readers"
rm "$root/fuzz/corpus/a/one"
must NO "fuzz/fuzz_a.c: no input"
echo 1 >"$root/fuzz/corpus/a/one"
echo '| c | x | `fuzz_c` |' >>"$root/fuzz/README.md"
must NO "names fuzz_c, which is not there"
[ "$failures" = 0 ] && echo "all as expected"
exit "$failures"
