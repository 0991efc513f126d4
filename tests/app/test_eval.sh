#!/bin/sh
# trine eval: the number that the trainer gave, whatever the threads and the batch; choices; mistakes; signals.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

i=0
while [ $i -lt 300 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
"$trine" train book.txt -d 1 -t 1 -s 30 --data.seq_len=16 --train.batch=8 --eval.every=30 --sample.tokens=0 -q -o run \
    --json >train.json || fault "the run ended with $?"
value() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1"; }

"$trine" eval run --json -q >eval.json || fault "trine eval ended with $?"
[ "$(value eval.json loss)" = "$(value train.json val_loss)" ] ||
    fault "loss $(value eval.json loss) is not the trainer's $(value train.json val_loss)"
[ "$(value eval.json bits_per_byte)" = "$(value train.json val_bpb)" ] || fault "bits per byte are not the trainer's"

# A run that its evaluations stop says so.
expect 0 "of 60, stopped early" "$trine" train book.txt -d 1 -t 1 -s 60 --data.seq_len=16 --train.batch=8 --eval.every=5 \
    --eval.windows=2 --eval.patience=2 --optimizer.lr=1 --sample.tokens=0 -q -o early
grep -q "; the lowest was [0-9.]*, of step [0-9]" stdout || fault "the lowest loss is not told: $(cat stdout)"

"$trine" eval run book.txt -q >first || fault "trine eval with a text ended with $?"
"$trine" eval run/step-00000030 book.txt -t 1 --batch 3 -q >second || fault "one thread, batch 3 ended with $?"
TRINE_ISA=ref "$trine" eval run book.txt --batch 1 -q >third || fault "reference kernels ended with $?"
diff first second || fault "threads or batch change the numbers"
diff first third || fault "the instruction set changes the numbers"
tokens=$(wc -c <book.txt)
"$trine" eval run book.txt --stride 5 --json -q >stride.json || fault "a stride ended with $?"
[ "$(value stride.json tokens)" = $((tokens - 1)) ] || fault "with a stride not every token is predicted once"

# A run in bf16 is evaluated, and written, in bf16: whatever the instruction set, and exported to fp32 and back.
"$trine" train book.txt -d 1 -t 1 -s 30 --data.seq_len=16 --train.batch=8 --eval.every=30 --sample.tokens=0 -q -o run16 \
    --train.dtype=bf16 --json >train16.json || fault "the run in bf16 ended with $?"
"$trine" eval run16 --json -q >eval16.json || fault "trine eval in bf16 ended with $?"
[ "$(value eval16.json loss)" = "$(value train16.json val_loss)" ] || fault "in bf16 the loss is not the trainer's"
grep -q '"arithmetic":"trine-1/bf16' eval16.json || fault "said: $(cat eval16.json)"
"$trine" eval run16 book.txt -q | tail -3 >first || fault "trine eval in bf16 with a text ended with $?"
TRINE_ISA=ref "$trine" eval run16 book.txt -q | tail -3 >second || fault "in bf16 by the reference: ended with $?"
diff first second || fault "in bf16 the instruction set changes the numbers"
"$trine" export run16 out16 >/dev/null || fault "trine export of a run in bf16 ended with $?"
"$trine" eval out16 book.txt --seq-len 16 --dtype bf16 -q | tail -3 >second || fault "--dtype bf16 ended with $?"
diff first second || fault "exported, a run in bf16 has other numbers"
"$trine" generate run16 -p "the sea" -n 40 --temperature 0 >first || fault "trine generate in bf16 ended with $?"
TRINE_ISA=ref "$trine" generate run16 -p "the sea" -n 40 --temperature 0 >second || fault "by the reference: ended with $?"
diff first second || fault "in bf16 the instruction set changes the text"
expect 2 "fp16" "$trine" eval run16 --dtype fp16

printf '%s\n' '{"ctx": "over the night", "endings": ["the sea", "QZX QZ"], "label": 0}' \
    '{"ctx": "the stone", "endings": ["%%%%", "of light"], "label": "1"}' >choices.jsonl
"$trine" eval run --choices choices.jsonl --scores scores.jsonl -q >choices || fault "choices ended with $?"
grep -q "^acc         1.0000 +- 0.0000  (2 of 2)$" choices || fault "said: $(cat choices)"
[ "$(wc -l <scores.jsonl)" = 2 ] || fault "scores: $(cat scores.jsonl)"
grep -q '"question":2,"label":1,"picked":1,"picked_norm":1,"log_prob":\[-' scores.jsonl || fault "$(cat scores.jsonl)"

expect 2 "PATH" "$trine" eval
expect 2 "nowhere: there is no such folder or file" "$trine" eval nowhere book.txt
expect 2 "missing.txt: cannot be read: No such file or directory" "$trine" eval run missing.txt
: >empty.txt
expect 2 "empty.txt: the file is empty" "$trine" eval run empty.txt
printf x >one.txt
expect 2 "one.txt: too small: one token has to follow another" "$trine" eval run one.txt
expect 2 "seq_len 1000: model depth-1 has positions for 1 to 16 tokens" "$trine" eval run book.txt --seq-len 1000
expect 2 "--stride 17 would leave out tokens: a window has 16" "$trine" eval run book.txt --stride 17
expect 2 "there are none without --choices" "$trine" eval run book.txt --scores s.jsonl
expect 2 "--windows is for a text" "$trine" eval run --choices choices.jsonl --windows 3
printf '{"ctx": "a", "endings": ["b"], "label": 0}\n' >bad.jsonl
expect 2 "bad.jsonl:1: endings: expected a list of 2 to 64 endings" "$trine" eval run --choices bad.jsonl
printf '{"ctx": "a", "endings": ["b", "a much longer ending than that"], "label": 0}\n' >long.jsonl
expect 2 "long.jsonl: question 1: ending 1 has 31 tokens, the model has positions for 16" "$trine" eval run -c long.jsonl
expect 3 "nowhere/s.jsonl.tmp: cannot be created" "$trine" eval run -c choices.jsonl --scores nowhere/s.jsonl
cp -r run moved && printf 'more\n' >>book.txt
expect 2 "is not what moved/step-00000030 was trained on" "$trine" eval moved
"$trine" train book.txt -d 1 -t 1 -s 1 --data.seq_len=16 --data.val_fraction=0 -q -o none >/dev/null || fault "ended with $?"
expect 2 "its run has no validation text" "$trine" eval none
printf x | dd of=run/step-00000030/model.safetensors bs=1 seek=5000 conv=notrunc 2>/dev/null
expect 2 "damaged in tensor" "$trine" eval run book.txt

for signal in INT TERM USR1; do
    : >said
    "$trine" eval moved book.txt --stride 1 --batch 1 >said 2>&1 &
    child=$!
    while ! grep -q window said; do
        kill -0 $child 2>/dev/null || break
        sleep 0.05
    done
    kill -$signal $child
    kill -$signal $child 2>/dev/null # a second one changes nothing
    status=0
    wait $child || status=$?
    [ $status = 3 ] || fault "SIG$signal: ended with $status, not 3: $(cat said)"
    grep -q "interrupted by SIG$signal: there is no result" said || fault "said: $(cat said)"
done
done_all
