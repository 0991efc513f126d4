#!/bin/sh
# Injects faults in full and writes down what came of it: scripts/faults.sh BUILD [PAGE]
#
# The tests of `make check` try a few of each kind; here they try all or hundreds (TRINE_FAULT_TABLE is set). Each test
# that held adds its rows; one that did not ends this script with 1, and the page stays as it was.
set -eu

build=$1 page=${2:-docs/faults.md}
table=$build/faults.rows
rm -f "$table"
export TRINE_FAULT_TABLE="$PWD/$table"
scripts/ctest.sh "$build" --parallel 1 --tests-regex '^(fault_.*|lab_checkpoint|lab_replay|lab_spike|lab_train|lab_train_kill|mpi_faults|mpi_hosts)$'
{
    cat <<'END'
# Faults that were injected, and what came of them

Written by `make faults`; `make check` runs the same tests with fewer tries. "Right" means: nothing that was reported as
done is missing, a good checkpoint is there at any moment, and whoever goes on arrives at the hash of the run that nothing
happened to (SHA-256 over weights and optimiser state). The numbers are those of the list of faults in the tests.

| # | fault | how it was caused | tried | right | what a user sees |
|---|---|---|---:|---:|---|
END
    sort -t '|' -k 2,2n -s "$table"
    cat <<'END'

Row 16 is with `replay.every`, which is off unless asked for; without it what a run computed is proved afterwards by running
it again: one run has one hash. Rows 10 to 13 are of runs on several ranks that mpirun started.
END
} >"$page.tmp"
mv "$page.tmp" "$page"
echo "faults: $(wc -l <"$table" | tr -d ' ') rows in $page"
