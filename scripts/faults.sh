#!/bin/sh
# Injects faults in full and writes down what came of it: scripts/faults.sh BUILD [PAGE]
#
# The tests of `make check` try a few of each kind; here they try all or hundreds (TRINE_FAULT_TABLE is set). Each test
# that held leaves its rows in BUILD/faults, and is not run again while the program is the same: a run that was stopped goes
# on. What cannot be tried on this machine, or in this build, leaves a row that says so. Where one did not hold, this ends
# with 1 after the others, and the page stays as it was. TESTS: a pattern of fewer.
set -eu

build=$1 page=${2:-docs/faults.md}
tests='fault_.*|lab_checkpoint|lab_replay|lab_spike|lab_train|lab_train_kill|lab_train_ranks|mpi_faults|mpi_hosts|app_slurm_ranks'
mkdir -p "$build/faults"
failed=''
ranks='mpi_faults mpi_hosts'
known=$(ctest --test-dir "$build" --show-only --tests-regex "^($tests)\$" | sed -n 's/.*Test *#[0-9]*: //p')
for test in $known; do
    rows=$PWD/$build/faults/$test
    echo "$test" | grep -qxE "${TESTS:-.*}" || continue
    [ "$rows" -nt "$build/trine" ] && ! grep -q '| not tried: ' "$rows" && continue
    rm -f "$rows.new"
    TEST_TIMEOUT_S=14400 TRINE_FAULT_TABLE=$rows.new scripts/ctest.sh "$build" --parallel 1 --tests-regex "^$test\$" ||
        { failed="$failed $test"; continue; }
    touch "$rows.new"
    mv "$rows.new" "$rows"
done
# A build without MPI has no tests of ranks.
for test in $ranks; do
    echo "$known" | grep -qx $test && continue
    [ $test = mpi_hosts ] && number=13 || number='10 to 12'
    echo "| $number | those of $test | not tried: this build has no MPI | 0 | 0 | - |" >"$build/faults/$test"
done
[ -z "$failed" ] || { echo "faults: did not hold:$failed" >&2; exit 1; }
[ -z "${TESTS:-}" ] || exit 0
table=$build/faults.rows
# By number, and then as the tests have them: "the same" is that of the row before.
for test in $(echo "$known" "$ranks" | tr ' ' '\n' | awk '!seen[$0]++'); do
    cat "$build/faults/$test"
done | sort -s -t '|' -k 2,2n >"$table"
{
    cat <<'END'
# Faults that were injected, and what came of them

Written by `make faults`; `make check` runs the same tests with fewer tries. "Right" means: nothing that was reported as
done is missing, a good checkpoint is there at any moment, and whoever goes on arrives at the hash of the run that nothing
happened to (SHA-256 over weights and optimiser state). The numbers are those of the list of faults in the tests.

| # | fault | how it was caused | tried | right | what a user sees |
|---|---|---|---:|---:|---|
END
    cat "$table"
    cat <<'END'

Row 16 is with `replay.every`, which is off unless asked for; without it what a run computed is proved afterwards by running
it again: one run has one hash. Rows 10 to 13 are of runs on several ranks that mpirun started.
In row 13 the next job is started when the daemon of the one before has ended on the other host: without that wait Open MPI
has failed to start one (bench/LOG.md, "a cut link"). Why is not known.
END
} >"$page.tmp"
mv "$page.tmp" "$page"
echo "faults: $(wc -l <"$table" | tr -d ' ') rows in $page"
