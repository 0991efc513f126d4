#!/bin/sh
# Ranks that mpirun starts give the results of ranks that are threads, to the bit, on one host and on several; who
# hangs, fails or dies is named, and all end: test_coll.sh COLL_RANKS
set -u
ranks=${1:?usage: test_coll.sh COLL_RANKS}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# As root, with more ranks than cores, none bound to a core. Who waits naps by itself: Open MPI is not to yield in each look
# for a message, which takes a time slice where other programs want the cores (five ranks: minutes instead of seconds).
# Open MPI keeps memory that LeakSanitizer takes for lost.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=0
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
failed=0
fault() { echo "$1" >&2 && failed=1; }
job() # COUNT WORDS...: what it says goes to $work/said
{
    count=$1
    shift
    timeout 300 mpirun --oversubscribe --bind-to none -n "$count" "$ranks" "$@" >"$work/said" 2>&1
}

# COUNT RANKS_PER_HOST: 0 is one host; the others send by messages of MPI, all of them or some
while read -r count hosts; do
    threads=$("$ranks" threads="$count" all 2>&1)
    job "$count" hosts="$hosts" all || fault "$count ranks, hosts=$hosts, end with $?: $(cat "$work/said")"
    grep -qxF "$threads" "$work/said" || fault "$count ranks, hosts=$hosts: not '$threads': $(cat "$work/said")"
done <<END
1 0
2 0
2 1
3 0
3 2
5 2
END

# status WORD STATUS TEXT: how three ranks end of which the second does not behave
ends()
{
    # Where nobody is heard at all, mpirun may have ended the job before it passed on the last words of the rank: seen once, under load.
    for try in 1 2 3; do
        job 3 timeout=2 hosts="$4" "$1"
        status=$?
        [ "$5" -gt 0 ] && [ "$try" -lt 3 ] && ! grep -q 'coll_ranks: ' "$work/said" || break
    done
    [ "$status" = "$2" ] || fault "$1: status $status, not $2"
    grep -qF "$3" "$work/said" || fault "$1: does not say '$3': $(cat "$work/said")"
    [ "$(grep -c 'coll_ranks: ' "$work/said")" -le "$5" ] || fault "$1: more than $5 speak: $(cat "$work/said")"
}
ends hang 3 'barrier of group world, step 12: nothing for 2 s from rank 1, which last ended barrier of group world' 0 1
ends hang 3 'barrier of group world, step 12: nothing for 2 s from rank 1' 1 2
ends fail 2 'coll_ranks: rank 1 does not like it' 0 1
ends refuse 2 'coll_ranks: rank 1: it cannot be' 0 1
ends refuse 2 'coll_ranks: rank 1: it cannot be' 1 1
ends die 134 'barrier of group world, step 12: rank 1 has died, which last ended barrier of group world' 0 1
ends die 134 'signal 6' 1 0

# Without the module: a sentence, and no MPI is started.
TRINE_MPI="$work/none.so" "$ranks" all >"$work/said" 2>&1
status=$?
[ "$status" = 2 ] && grep -q "no MPI: trine_mpi.so is not at $work/none.so.*openmpi-bin" "$work/said" ||
    fault "without the module: status $status, $(cat "$work/said")"
echo nothing >"$work/bad.so"
TRINE_MPI="$work/bad.so" "$ranks" all >"$work/said" 2>&1
status=$?
[ "$status" = 2 ] && grep -q 'no MPI: ' "$work/said" || fault "with a bad module: status $status, $(cat "$work/said")"
exit "$failed"
