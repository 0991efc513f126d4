#!/bin/sh
# A real Slurm of two nodes: a submitted run is done; a turn that is over saves and goes on in the next one; a job whose
# node dies goes on on the other one; a process that is killed is started again. Always the hash of the run that nothing
# happened to.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"

for program in sbatch slurmctld slurmd munged; do
    command -v $program >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
cluster=$TRINE_SOURCE_DIR/tests/slurm/cluster.sh
trap 'sh "$cluster" down "$work/slurm"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP # else the daemons would outlive this script
sh "$cluster" up "$work/slurm" 2 || { fault "no cluster"; done_all; }
export SLURM_CONF="$work/slurm/slurm.conf"

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
cat >run.yaml <<CONFIG
data: {path: book.txt, seq_len: 16}
model: {depth: 1}
train: {steps: 300, batch: 8}
optimizer: {lr: 0.001}
schedule: {warmup: 10}
eval: {every: 1000, windows: 2}
checkpoint: {every: 1000}
sample: {tokens: 0}
run: {threads: 1}
CONFIG

# once CONDITION...: waits until it holds, at most a minute and a half
once()
{
    for _ in $(seq 900); do
        "$@" && return
        sleep 0.1
    done
    fault "never: $*"
    "$TRINE_BIN" status "$run"
    cat "$run"/job-*.log
    return 1
}
state() { squeue --noheader --states=all --jobs="$job" --format=%T; }
is() { [ "$(state)" = "$1" ]; }
ended() { case $(state) in PENDING | RUNNING | COMPLETING | CONFIGURING) return 1 ;; esac; }
started() { [ "$(cat "$run/events.jsonl" 2>/dev/null | grep -c "\"event\":\"\(start\|resume\)\"")" -ge "$1" ]; }
training() { started "$1" && tail -n 1 "$run/metrics.jsonl" 2>/dev/null | grep -q "\"kind\":\"step\""; }
submit()
{
    run=$1
    shift
    "$TRINE_BIN" submit run.yaml --run.out="$run" --json "$@" >submitted.txt 2>said || fault "submit: $(cat said)"
    job=$(sed -n 's/.*"job":"\([0-9]*\)".*/\1/p' submitted.txt)
}
the_hash() { "$TRINE_BIN" hash "$run" --equals whole >hashes.txt 2>&1 || fault "$1: $(cat hashes.txt)"; }

# As many steps as take about 4 s here, so that a run can be caught at work and none is long under a sanitizer.
begin=$(date +%s%N)
"$TRINE_BIN" train --config run.yaml --run.out=probe -q >/dev/null || fault "the first run ended with $?"
steps=$((300 * 4000 / (($(date +%s%N) - begin) / 1000000 + 1) + 300))
sed -i "s/steps: 300/steps: $steps/" run.yaml
"$TRINE_BIN" train --config run.yaml --run.out=whole -q >/dev/null || fault "the undisturbed run ended with $?"

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

# The node dies.
submit lost
once training 1
node=$(squeue --noheader --jobs="$job" --format=%N)
pkill -KILL -f "slurmd -N $node "
pkill -KILL -f "slurmstepd: \[$job" || true
pkill -KILL -f "$work/lost/job.yaml"
once started 2 && once ended
is COMPLETED || fault "after its node died: $(state)"
[ "$(squeue --noheader --states=all --jobs="$job" --format=%N)" != "$node" ] || fault "it ran on the dead node $node"
the_hash "node lost"

# What Slurm refuses, it refuses in its own words, and nothing is left.
expect 2 "Slurm refused (sbatch ended with status 1): sbatch: error: invalid partition specified: nowhere" \
    "$TRINE_BIN" submit run.yaml --run.out=refused --partition nowhere
[ ! -e refused ] || fault "a refused job left a folder"
expect 2 "Slurm is not on this machine" env PATH=/nowhere "$TRINE_BIN" submit run.yaml --run.out=refused
mkdir gone && echo "{\"job\":\"999\",\"submitted\":\"x\"}" >gone/job.json
expect 3 "job 999 is no longer in the queue: Slurm refused (sacct ended with status 1): Slurm accounting storage is disabled" \
    "$TRINE_BIN" status gone --follow
done_all
