#!/bin/sh
# A run on the ranks that mpirun starts: the hash of one rank, one answer, one folder; it goes on under any other number of ranks
# and under threads; ranks that do not mean the same run, and layouts that cannot be, are refused in one sentence.
. "${TRINE_SOURCE_DIR:?}/tests/mpi/lib.sh"

expect 0 "hash" "$trine" train run.yaml -o one -q
hash=$(the_hash one)
[ ${#hash} = 64 ] || fault "no hash of one rank"

expect 0 "$hash" mpi 2 -o two
[ "$(grep -c '^hash ' stdout)" = 1 ] || { fault "not one answer"; cat stdout; }
once_said "step 24/24 "
once_said "2 ranks, processes of this host: dp=2 zero=0; 4 lanes"
once_said " threads a rank, "
[ "$(grep -c '"kind":"step"' two/metrics.jsonl)" = 24 ] || fault "two/metrics.jsonl does not have each step once"
expect 0 "$hash" mpi 4 -o four --layout dp=4,zero=1 -q
expect 0 "$hash" mpi 3 -o three --layout dp=3,zero=2 -q
expect 0 "$hash" mpi 2 -o shared --layout dp=2,zero=3 -q
grep -q '"exposed_s":' shared/metrics.jsonl || fault "shared/metrics.jsonl does not say what collectives took"
expect 0 "$hash" mpi 4 -o stages --layout dp=2,pp=2,zero=1 -q
expect 0 "$hash" mpi 4 -o slices --layout dp=2,pp=2,zero=3 -q
expect 0 "$hash" mpi 1 -o alone --layout dp=2 -q # one process: its ranks are threads

# Ranks that share heads, tokens and sequences.
sed 's/seq_len: 16/seq_len: 128/; s/lanes: 4/lanes: 2, tensor: 2, context: 2/; s/model.json/wide.json/' run.yaml >wide.yaml
sed 's/"n_positions": 16/"n_positions": 128/' model.json >wide.json
expect 0 "hash" "$trine" train wide.yaml -o wide -q
wide() { timeout 300 $many "$1" "$trine" train wide.yaml -q -o "wide-$2" --layout "$2"; }
for layout in "2 tp=2,sp" "2 cp=2" "4 tp=2,cp=2" "4 cp=2,dp=2,zero=2"; do
    expect 0 "$(the_hash wide)" wide $layout
done

# Asked to save and end while it trains, each time under another number of ranks.
sed 's/steps: 24/steps: 1500/; s/every: 8,/every: 1000,/; s/checkpoint: {every: 4}/checkpoint: {every: 100}/' run.yaml >long.yaml
expect 0 "hash" "$trine" train long.yaml -o long -q
stop() # RANKS [ARGUMENTS...]
{
    before=$(last_line turns)
    start_mpi "$@" --config long.yaml -o turns -q
    until_more turns "$before"
    kill -USR1 "$child" 2>/dev/null
    end_of "$child"
    [ "$status" = 3 ] || { fault "asked to end by SIGUSR1: status $status"; cat said; }
    once_said "goes on from there" said
}
stop 4
stop 2 --layout dp=2,zero=3
stop 3
expect 0 "$(the_hash long)" "$trine" train long.yaml -o turns -q --layout dp=2

# A run folder that a trainer works in.
"$trine" train long.yaml -o taken -q --train.steps=100k >/dev/null 2>&1 &
child=$!
until_more taken ""
expect 2 "another trainer works in" mpi 2 -o taken
once_said "another trainer works in"
kill -9 "$child"
wait "$child" 2>/dev/null

# What cannot be: one sentence, and nothing is written.
refuse() # SENTENCE COMMAND...
{
    expect 2 "$@"
    once_said "trine: "
}
refuse "mpirun starts 3: start as many as it has, or dp=3 in the layout" mpi 3 -o no --layout dp=2
refuse "no --layout says what they share" mpi 2 -o no --layout.lanes=1
refuse "--layuot" mpi 2 -o no --layuot dp=2
refuse "no MPI: trine_mpi.so is not at $work/none.so" env TRINE_MPI="$work/none.so" timeout 60 $many 2 "$trine" train run.yaml -o no

# Ranks that are not of one mind: the second is started with other words, in another folder, from another file.
apart() # SENTENCE WORDS-OF-THE-SECOND...
{
    sentence=$1
    shift
    refuse "$sentence" timeout 300 $many 1 "$trine" train run.yaml -o "$work/no" : -n 1 "$@"
}
mkdir elsewhere && cp model.json elsewhere
sed 's/waters/winds/' text.txt >elsewhere/text.txt
cp "$trine" other
printf x >>other
export TRINE_MPI="${TRINE_MPI:-$(dirname "$trine")/trine_mpi.so}"
apart "rank 1: train.steps is 20 here and 24 on rank 0: all ranks must have one config" "$trine" train run.yaml -o "$work/no" --train.steps=20
apart "rank 1: no.txt" "$trine" train run.yaml -o "$work/no" --data no.txt
apart "unknown option --layuot" "$trine" train run.yaml -o "$work/no" --layuot dp=2
apart "no MPI: trine_mpi.so is not at $work/none.so" env TRINE_MPI="$work/none.so" "$trine" train run.yaml -o "$work/no"
apart "rank 1 has another text than rank 0" -wdir "$work/elsewhere" "$trine" train "$work/run.yaml" -o "$work/no"
apart "rank 1 has another program (the file of trine) than rank 0" "$work/other" train run.yaml -o "$work/no"
apart "rank 1 has another --layout than rank 0" "$trine" train run.yaml -o "$work/no" --layout dp=2,zero=1
[ ! -e no ] || fault "a refused run left a folder"
done_all
