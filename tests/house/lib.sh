# For the tests that prove that a script of rules can say no. Sourced; leaves $work, a folder that goes away at the end.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
proofs=0

broken() { echo "FAILED: $*" >&2; exit 1; }

# expect STATUS "WORDS" COMMAND...: the command must end with STATUS and say WORDS (a part of a line, taken literally).
expect()
{
    status=$1 words=$2
    shift 2
    actual=0
    "$@" >"$work/said" 2>&1 || actual=$?
    if [ "$actual" != "$status" ] || { [ -n "$words" ] && ! grep -qF -e "$words" "$work/said"; }; then
        cat "$work/said" >&2
        broken "expected exit $status and '$words', got exit $actual"
    fi
    proofs=$((proofs + 1))
}
