# For the tests of jobs: a Slurm of $NODES nodes of its own, the text and the config of a run that takes about $RUN_MS ms on one rank,
# so that it can be caught at work and is not long under a sanitizer, and its hash in whole/. Jobs are looked after by these:
#
#     submit RUN [ARGUMENTS...]    $run and $job are the one that was submitted
#     once CONDITION...            waits until it holds, at most a minute and a half
#     is STATE, ended, started N, training N    conditions: the N-th attempt has begun, and does steps
#     idle N                       condition: so many nodes have nothing to do
#     the_hash WORDS               fails the test unless $run has the hash of whole/
for program in sbatch slurmctld slurmd munged; do
    command -v $program >/dev/null || not_tried "2, 10" "a node of a job of Slurm dies" "$program is not installed"
done
cluster=$TRINE_SOURCE_DIR/tests/slurm/cluster.sh
trap 'sh "$cluster" down "$work/slurm"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP # else the daemons would outlive this script
sh "$cluster" up "$work/slurm" "$NODES" || { fault "no cluster"; done_all; }
export SLURM_CONF="$work/slurm/slurm.conf"

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
cat >run.yaml <<CONFIG
data: {path: book.txt, seq_len: 16}
model: {depth: 1}
train: {steps: 300, batch: 8}
layout: {lanes: 4}
optimizer: {lr: 0.001}
schedule: {warmup: 10}
eval: {every: 1000, windows: 2}
checkpoint: {every: 1000}
sample: {tokens: 0}
run: {threads: 1}
CONFIG

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
idle() { [ "$(sinfo --noheader --Node --states=idle --format=%N | wc -l)" = "$1" ]; }
training() { started "$1" && tail -n 1 "$run/metrics.jsonl" 2>/dev/null | grep -q "\"kind\":\"step\""; }
submit()
{
    run=$1
    shift
    "$TRINE_BIN" submit run.yaml --run.out="$run" --json "$@" >submitted.txt 2>said || fault "submit: $(cat said)"
    job=$(sed -n 's/.*"job":"\([0-9]*\)".*/\1/p' submitted.txt)
}
the_hash() { "$TRINE_BIN" hash "$run" --equals whole >hashes.txt 2>&1 || fault "$1: $(cat hashes.txt)"; }

begin=$(date +%s%N)
"$TRINE_BIN" train --config run.yaml --run.out=probe -q >/dev/null || fault "the first run ended with $?"
steps=$((300 * RUN_MS / (($(date +%s%N) - begin) / 1000000 + 1) + 300))
sed -i "s/steps: 300/steps: $steps/" run.yaml
"$TRINE_BIN" train --config run.yaml --run.out=whole -q >/dev/null || fault "the undisturbed run ended with $?"
