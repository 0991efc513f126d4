#!/bin/sh
# One golden test of the command line: run.sh NAME.cmd
#
# NAME.cmd is a few lines of shell, run by `sh` in an empty folder, with `trine` on the PATH and no terminal. When there
# is a folder NAME.d its files are copied there first. What was said must be NAME.out, byte by byte:
#
#     the standard output
#     --- stderr
#     the standard error
#     --- exit 2
#
# The one thing that is rewritten is the name of that empty folder: it reads @TMP@. Nothing else may vary, so a command
# whose words hold a time or a speed has no place here. GOLDEN_UPDATE=1 writes NAME.out instead (`make golden`).
set -eu

cmd=$(cd "$(dirname "$1")" && pwd)/${1##*/}
name=${cmd%.cmd}
[ "$name" != "$cmd" ] && [ -f "$cmd" ] || { echo "golden: $1 is not a file NAME.cmd" >&2; exit 2; }
[ -x "${TRINE_BIN:-}" ] || { echo "golden: TRINE_BIN is '${TRINE_BIN:-}', which is no program" >&2; exit 2; }

top=$(mktemp -d)
top=$(cd "$top" && pwd -P)
trap 'rm -rf "$top"' EXIT
mkdir "$top/bin" "$top/work"
ln -s "$TRINE_BIN" "$top/bin/trine"
[ ! -d "$name.d" ] || cp -R "$name.d/." "$top/work/"

status=0
(
    cd "$top/work"
    unset GOLDEN_UPDATE
    PATH="$top/bin:$PATH" HOME="$top/work" LC_ALL=C COLUMNS=80 TERM=dumb sh "$cmd"
) >"$top/stdout" 2>"$top/stderr" </dev/null || status=$?

section() # a stream that does not end its last line says so, and the next line starts afresh
{
    sed "s|$top/work|@TMP@|g" "$1"
    [ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ] || printf '\n--- the last line has no end\n'
}
{
    section "$top/stdout"
    echo "--- stderr"
    section "$top/stderr"
    echo "--- exit $status"
} >"$top/said"

if [ -n "${GOLDEN_UPDATE:-}" ]; then
    cmp -s "$top/said" "$name.out" || { cp "$top/said" "$name.out" && echo "golden: wrote ${name##*/}.out"; }
    exit 0
fi
[ -f "$name.out" ] || { echo "golden: ${name##*/}.out is missing: make golden, and read it" >&2; cat "$top/said"; exit 1; }
diff -u "$name.out" "$top/said" && exit 0
echo "golden: ${name##*/}.cmd does not say what ${name##*/}.out holds; if the change is meant: make golden" >&2
exit 1
