# For the tests of the program as a whole: a scratch folder as $work (the current folder), and expect.
#
#     expect STATUS SENTENCE COMMAND...     the command ends with STATUS and its standard error says SENTENCE
#     tries QUICK FULL                      how often a fault is tried: FULL with TRINE_FAULT_TABLE, where docs/faults.md is made
#     row NUMBER FAULT HOW TRIED RIGHT SEES fails the test unless all were right; a row of docs/faults.md
#     not_tried NUMBER FAULT WHY            ends the test as skipped; a row of docs/faults.md that says so
#
# Each failure prints what was said; `done_all` ends the test.
set -u
export LC_ALL=C OMP_WAIT_POLICY=passive OMP_DYNAMIC=false
[ -x "${TRINE_BIN:-}" ] || { echo "TRINE_BIN is '${TRINE_BIN:-}', which is no program" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
failures=0

fault()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

expect()
{
    expected=$1 sentence=$2
    shift 2
    status=0
    "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    [ "$status" = "$expected" ] || { fault "$* ended with $status, not $expected"; cat "$work/stderr"; }
    grep -qF -e "$sentence" "$work/stderr" "$work/stdout" || {
        fault "$* does not say: $sentence"
        cat "$work/stdout" "$work/stderr"
    }
}

tries() { if [ -n "${TRINE_FAULT_TABLE:-}" ]; then echo "$2"; else echo "$1"; fi; }
row()
{
    echo "$1 $2: tried $4 times, right $5 times"
    [ "$4" = "$5" ] || fault "$2: $5 of $4 were right"
    [ -z "${TRINE_FAULT_TABLE:-}" ] || echo "| $1 | $2 | $3 | $4 | $5 | $6 |" >>"$TRINE_FAULT_TABLE"
}

not_tried()
{
    echo "skipped: $3"
    [ -z "${TRINE_FAULT_TABLE:-}" ] || echo "| $1 | $2 | not tried: $3 | 0 | 0 | - |" >>"$TRINE_FAULT_TABLE"
    exit 77
}

done_all()
{
    [ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
    echo "all as expected"
}
