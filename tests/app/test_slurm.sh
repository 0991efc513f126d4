#!/bin/sh
# A real Slurm: a submitted run is done; a turn that is over saves and goes on in the next one; a process that is killed is
# started again. Always the hash of the run that nothing happened to. Nodes that die are test_slurm_ranks.sh's.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
NODES=1 RUN_MS=1500
. "$TRINE_SOURCE_DIR/tests/slurm/jobs.sh"

# Done in one turn; a second job for the same run is refused meanwhile.
submit one
expect 2 "is in Slurm's hands already: job $job is" "$TRINE_BIN" submit run.yaml --run.out=one
"$TRINE_BIN" status one --follow --every 1s >followed.txt || fault "status --follow ended with $?: $(cat followed.txt)"
grep -q "job  *$job COMPLETED" followed.txt || fault "status says: $(cat followed.txt)"
grep -q "steps  *$steps of $steps" followed.txt || fault "status says: $(cat followed.txt)"
"$TRINE_BIN" status one --json | grep -q '"state":"COMPLETED".*"run":{.*"step":'"$steps" || fault "status --json"
the_hash "one turn"

# SIGUSR1 before the time is over: saved, requeued, resumed.
submit turns
once training 1 && scancel --batch --signal=USR1 "$job"
once started 2 && once ended
is COMPLETED || fault "the second turn: $(state)"
grep -q "waits for its next turn" turns/job-*.log || fault "the log says: $(cat turns/job-*.log)"
the_hash "two turns"

# The trainer itself is killed: the same turn starts it again.
submit killed
once training 1 && pkill -KILL -f "train --config $work/killed/job.yaml"
once started 2 && once ended
is COMPLETED || fault "after a kill: $(state)"
the_hash "killed"

# What Slurm refuses, it refuses in its own words, and nothing is left.
expect 2 "Slurm refused (sbatch ended with status 1): sbatch: error: invalid partition specified: nowhere" \
    "$TRINE_BIN" submit run.yaml --run.out=refused --partition nowhere
[ ! -e refused ] || fault "a refused job left a folder"
expect 2 "Slurm is not on this machine" env PATH=/nowhere "$TRINE_BIN" submit run.yaml --run.out=refused
mkdir gone && echo "{\"job\":\"999\",\"submitted\":\"x\"}" >gone/job.json
expect 3 "job 999 is no longer in the queue: Slurm refused (sacct ended with status 1): Slurm accounting storage is disabled" \
    "$TRINE_BIN" status gone --follow
done_all
