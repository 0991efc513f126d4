#!/bin/sh
# A run on several ranks, by the program itself: the hash of one rank, also when it is killed and goes on under another layout;
# export from any layout is the same files; layouts that cannot be are refused in one sentence.
. "${TRINE_SOURCE_DIR:?}/tests/app/lib.sh"

trine=$TRINE_BIN
awk 'BEGIN { for (i = 1; i <= 900; i++) print "verse " i ": and the waters of day " (i * 7919) % 389 " were gathered." }' >text.txt

echo '{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 257, "n_embd": 32, "n_layer": 2, "n_head": 4,
 "n_positions": 128, "activation_function": "gelu_new"}' >model.json

# start OUT [ARGUMENTS...] becomes the program; train waits for it.
start()
{
    out=$1
    shift
    exec "$trine" train text.txt --quiet --model model.json --steps 24 --data.seq_len=128 --train.batch=4 --train.micro_batch=1 \
        --layout.lanes=4 --layout.tensor=2 --layout.context=2 --eval.every=8 --eval.windows=3 --sample.tokens=0 --checkpoint.every=4 -o "$out" "$@"
}
train() { (start "$@"); }

expect 0 "hash" train one
hash=$("$trine" hash one | cut -d' ' -f1)
[ ${#hash} = 64 ] || fault "no hash of one rank"
for layout in dp=3 dp=4,zero=1 dp=3,zero=2 dp=4,zero=3 pp=2 dp=2,pp=2,zero=3 tp=2 tp=2,sp,dp=2,zero=1 cp=2 cp=2,tp=2,sp; do
    expect 0 "$hash" train "run-$layout" --layout "$layout"
    expect 0 "" "$trine" export "run-$layout" "model-$layout"
done
expect 0 "" "$trine" export one model-one
for layout in dp=3 dp=4,zero=1 dp=3,zero=2 dp=4,zero=3 pp=2 dp=2,pp=2,zero=3 tp=2 tp=2,sp,dp=2,zero=1 cp=2 cp=2,tp=2,sp; do
    diff -r model-one "model-$layout" >/dev/null || fault "the export of $layout is another"
done

# What ranks did when, as one timeline; without a profile nothing is predicted of it.
expect 0 "$hash" train traced --layout pp=2,dp=2,zero=1 --trace-steps 2
expect 0 "timeline.json: steps 2 to 3 of 4 ranks" "$trine" explain traced --trace timeline.json
expect 0 '"unpredicted": "there is no profile of this machine"' "$trine" explain traced --trace timeline.json --json
expect 2 "run-dp=3/trace/rank-0.json: no such file; \`trine train --trace-steps N\` writes one of each rank" "$trine" explain run-dp=3 --trace not.json
head -c 10000 traced/trace/rank-3.json >cut && mv cut traced/trace/rank-3.json
expect 2 "not valid JSON: it ends in the middle: the file is cut short; " "$trine" explain traced --trace not.json
[ ! -e not.json ] || fault "a refused timeline left a file"
expect 2 "a trace at most 200000" train no --trace-steps 10k
expect 2 "of a plan, \`trine plan --trace\`" "$trine" explain plan.yaml --trace not.json

# Killed as soon as there is something to go on from, each time under another layout.
for layout in dp=4,zero=1 pp=2 tp=2,dp=2 cp=2,zero=1,dp=2 dp=3,pp=2,zero=1 tp=2,sp,pp=2 cp=2,pp=2; do
    start killed --layout "$layout" >killed.out 2>&1 &
    child=$!
    for _ in $(seq 600); do
        now=$(ls killed 2>/dev/null | grep '^step-[0-9]*$' | tail -n 1)
        [ "$now" != "${last:-}" ] && [ -n "$now" ] && break
        kill -0 "$child" 2>/dev/null || break
        sleep 0.02
    done
    last=$now
    kill -9 "$child" 2>/dev/null
    wait "$child" 2>/dev/null
done
expect 0 "$hash" train killed --layout dp=1

# SIGTERM is seen by all ranks together.
start stopped --steps 100k --layout dp=4,zero=3 2>stopped.err >/dev/null &
child=$!
for _ in $(seq 600); do [ -s stopped/metrics.jsonl ] && break; sleep 0.02; done
kill -TERM "$child"
status=0
wait "$child" || status=$?
[ "$status" = 3 ] || fault "stopped by SIGTERM with status $status"
[ "$(grep -c 'goes on from there' stopped.err)" = 1 ] || { fault "not one sentence"; cat stopped.err; }

expect 2 "which 1 to 4 ranks can share" train no --layout dp=5
expect 2 "there is no other rank" train no --layout zero=1
expect 2 "2 context parts (layout.context), which 1 to 2 ranks can share" train no --layout cp=3
expect 2 "context=ring is planned" train no --layout cp=2,context=ring
expect 2 "2 tensor parts (layout.tensor), which 1 to 2 ranks can share" train no --layout tp=3
expect 2 "schedule=gpipe is planned" train no --layout pp=2,schedule=gpipe
expect 2 "which 1 to 2 stages can share" train no --layout pp=3
expect 2 "such as dp=8" train no --layout dp=x
[ "$(wc -l <stderr)" = 1 ] || fault "more than one sentence"
[ ! -e no ] || fault "a refused run left a folder"
done_all
