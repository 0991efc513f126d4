# For the tests of the program on ranks that mpirun starts: what tests/app/lib.sh has, the text and the config of a run, and mpi.
#
#     mpi RANKS [ARGUMENTS...]       trine train run.yaml ARGUMENTS on so many ranks
#     start_mpi RANKS ARGUMENTS...   trine train ARGUMENTS in the background: $child is mpirun, what it says is in $work/said
#     rank_process N                 the process of rank N of $child
#     the_hash RUN                   of its newest checkpoint
. "${TRINE_SOURCE_DIR:?}/tests/app/lib.sh"

trine=$TRINE_BIN
# As root, with more ranks than cores, none bound to a core; who waits naps by itself. Open MPI keeps memory that LeakSanitizer
# takes for lost.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=0
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
many="mpirun --oversubscribe --bind-to none -n"

awk 'BEGIN { for (i = 1; i <= 900; i++) print "verse " i ": and the waters of day " (i * 7919) % 389 " were gathered." }' >text.txt
# Small, so that a step takes a millisecond: what is proved here is not the model's.
echo '{"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 16, "vocab_size": 257}' >model.json
cat >run.yaml <<'END'
data: {path: text.txt, seq_len: 16}
model: {name: model.json}
train: {steps: 24, batch: 8, micro_batch: 1}
layout: {lanes: 4}
eval: {every: 8, windows: 3}
sample: {tokens: 0}
checkpoint: {every: 4}
run: {log_every: 8, threads: 1}
END

mpi()
{
    count=$1
    shift
    timeout 300 $many "$count" "$trine" train run.yaml "$@"
}

start_mpi()
{
    count=$1
    shift
    $many "$count" "$trine" train "$@" >"$work/said" 2>&1 &
    child=$!
}

rank_process() { pgrep -P "$child" | sort -n | sed -n "$(($1 + 1))p"; }
the_hash() { "$trine" hash "$1" | cut -d' ' -f1; }

# once_said SENTENCE [FILE]: it is said once, whoever speaks
once_said() { [ "$(grep -cF -e "$1" "${2:-stderr}")" = 1 ] || { fault "not once: $1"; cat "${2:-stderr}"; }; }

# A child that has ended and was not waited for is there still, as Z.
alive() { case $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) in '' | Z) return 1 ;; esac; }
last_line() { tail -n 1 "$1/metrics.jsonl" 2>/dev/null; }

# until_more RUN LINE: waits until metrics.jsonl ends with another line, or $child has ended
until_more()
{
    for _ in $(seq 6000); do
        [ "$(last_line "$1")" != "$2" ] || ! alive "$child" && return
        sleep 0.01
    done
    fault "$1 does not go on"
}

# end_of CHILD: its exit status in $status, after a minute at most, and in $took how many tenths of a second that were
end_of()
{
    begin=$(date +%s%N) status=0
    (sleep 60 && kill -9 "$1") >/dev/null 2>&1 &
    guard=$!
    wait "$1" 2>/dev/null || status=$?
    took=$((($(date +%s%N) - begin) / 100000000))
    kill "$guard" 2>/dev/null
    wait "$guard" 2>/dev/null
}
