#!/bin/sh
# Runs of several ranks on a real Slurm of four nodes, one task a rank: done; asked to save before its time is over, and on in the
# next turn; a rank that is killed, and a node that dies, are followed by a turn that arrives. Always the hash of one process.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
export TRINE_SLURM_PORT=17200
NODES=4 RUN_MS=1000
. "$TRINE_SOURCE_DIR/tests/slurm/jobs.sh"

srun --mpi=list 2>&1 | grep -q pmix || not_tried "2, 10" "a node of a job of Slurm dies" "Slurm has no PMIx here"
# Open MPI names its own shared memory by the machine's name, which is that of all nodes here, so it gets none; trine's is not named so.
export OMPI_MCA_mpi_yield_when_idle=0 OMPI_MCA_btl=self,tcp
ranks() { grep -q "$1" "$run"/job-*.log || fault "the log does not say $1: $(cat "$run"/job-*.log)"; }

# The second of a job's nodes dies, which Slurm takes half a minute to see; another takes its place.
lose_node()
{
    rm -rf lost
    submit lost --nodes 2 --ntasks-per-node 1
    once training 1
    lost=$job node=$(scontrol show hostnames "$(squeue --noheader --jobs="$job" --format=%N)" | tail -n 1)
    pkill -KILL -f "slurmd -N $node -f $work"
    pkill -KILL -f "slurmstepd: \[$job" || true
    pkill -KILL -f "$work/lost/job.yaml"
}
goes_on_elsewhere()
{
    run=lost job=$lost
    once started 2 && once ended
    is COMPLETED || fault "after a node died: $(state): $(cat lost/job-*.log)"
    squeue --noheader --states=all --jobs="$job" --format=%N | grep -q "$node" && fault "it ran on the dead node $node"
    the_hash "a node lost"
}
lose_node

submit spread --nodes 2 --ntasks-per-node 2 --cpus 1
once ended
is COMPLETED || fault "two nodes: $(state): $(cat spread/job-*.log)"
ranks "4 ranks, processes of 2 hosts: dp=4 zero=0"
the_hash "two nodes"

submit turns --nodes 2 --ntasks-per-node 1 --layout dp=2,zero=1
once training 1 && scancel --batch --signal=USR1 "$job"
once started 2 && once ended
is COMPLETED || fault "the second turn: $(state)"
[ "$(grep -c "goes on from there" turns/job-*.log)" = 1 ] || fault "not one sentence: $(cat turns/job-*.log)"
the_hash "two turns"

# A rank is killed: srun ends the others, and the same turn starts them again.
submit killed --nodes 2 --ntasks-per-node 2
once training 1 && pkill -KILL -n -f "train --config $work/killed/job.yaml"
once started 2 && once ended
is COMPLETED || fault "after a kill: $(state): $(cat killed/job-*.log)"
the_hash "a rank killed"

# On the job whose node died at the beginning; in full, more of them one by one, the dead node being back each time.
tried=0 right=0 wanted=$(tries 1 10)
while :; do
    goes_on_elsewhere
    tried=$((tried + 1))
    [ "$failures" = 0 ] && right=$((right + 1))
    [ "$tried" -lt "$wanted" ] || break
    slurmd -N "$node" -f "$work/slurm/conf/$node/slurm.conf"
    once idle "$NODES" && lose_node
done
row "2, 10" "a node of a job of Slurm dies" "kill -9 of one of its two slurmd and all of its processes" "$tried" "$right" \
    "nothing: Slurm requeues the job, and it goes on on another node, \`resumed from RUN/step-N\`"

expect 2 "the job starts 4: start as many as it has, or dp=4 in the layout" \
    "$TRINE_BIN" submit run.yaml --run.out=refused --nodes 2 --ntasks-per-node 2 --layout dp=2
expect 2 "no --layout says what they share" "$TRINE_BIN" submit run.yaml --run.out=refused --nodes 8
[ ! -e refused ] || fault "a refused job left a folder"
done_all
