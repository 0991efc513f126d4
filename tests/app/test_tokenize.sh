#!/bin/sh
# trine tokenize: a vocabulary is trained, text becomes shards and comes back; a run trains on either, to one hash.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

i=0
while [ $i -lt 300 ]; do echo "the sea and the light went over the stone $i, it's a night of $((i * 7 % 13)) lights"; i=$((i + 1)); done >book.txt
mkdir texts
cp book.txt texts/a.txt
printf 'Gr\303\266\303\237e \377\376 bytes that are no text\n' >texts/b.txt

expect 0 "tokens    280" $trine tokenize train book.txt --vocab 280 -o tok.json
expect 2 "texts/b.txt: offset 8: the byte 0xff begins no character of UTF-8" $trine tokenize count texts -t tok.json -q
expect 0 "bytes each" $trine tokenize count texts --encoding bytes -t tok.json
expect 0 '"tokens":' $trine tokenize count texts --encoding bytes -t tok.json --json -q
expect 0 "written   shards" $trine tokenize encode texts/a.txt texts/b.txt --encoding bytes -t tok.json -o shards --shard-tokens 1000
[ -f shards/shard-00001.tokens ] && [ -f shards/tokenizer.json ] || fault "no second shard, or no tokenizer beside them"
cat texts/a.txt texts/b.txt >both.txt
$trine tokenize decode shards -q >back.txt || fault "decode failed"
cmp -s both.txt back.txt || fault "what was encoded does not come back"
$trine tokenize train book.txt --vocab 280 -o again.json -q >stdout
cmp -s tok.json again.json || fault "the same text gave another vocabulary"

# One stream, one hash: text by the tokenizer, and its shards.
run() { out=$1; shift; $trine train "$@" -o "$out" -d 1 --data.seq_len=16 --train.batch=4 -s 6 --sample.tokens=8 -q --json; }
run by-text texts --data.encoding=bytes --tokenizer tok.json >text.out || fault "training on text failed"
run by-shards shards >shards.out || fault "training on shards failed"
sum() { sed 's/.*"sha256":"\([0-9a-f]*\)".*/\1/' "$1"; }
[ -n "$(sum text.out)" ] && [ "$(sum text.out)" = "$(sum shards.out)" ] || fault "text and shards give different hashes"
cmp -s by-shards/tokenizer.json tok.json || fault "the run does not keep its tokenizer"
expect 0 "the sea" $trine generate by-text --prompt "the sea" --tokens 5
expect 0 "the sea" $trine generate by-shards/step-00000006 --prompt "the sea" --tokens 5
run by-text texts --data.encoding=bytes --tokenizer tok.json >again.out || fault "a finished run cannot be given again"

# JSON Lines: each line is what a file of its text would be, in shards, in a vocabulary, and in a run.
mkdir parts
i=10
while [ $i -lt 60 ]; do
    text="line $i of the sea, \"quoted\""
    printf '%s' "$text" >parts/$i.txt
    printf '{"id": %d, "text": "line %d of the sea, \\"quoted\\""}\n' $i $i
    i=$((i + 1))
done >parts.jsonl
expect 0 "written   from-lines" $trine tokenize encode parts.jsonl -t tok.json -o from-lines
expect 0 "written   from-files" $trine tokenize encode parts -t tok.json -o from-files
cmp -s from-lines/shard-00000.tokens from-files/shard-00000.tokens || fault "lines and files give different shards"
$trine tokenize train parts.jsonl --vocab 270 -o by-lines.json -q >stdout || fault "no vocabulary from lines"
$trine tokenize train parts --vocab 270 -o by-files.json -q >stdout
cmp -s by-lines.json by-files.json || fault "lines and files give different vocabularies"
run lines parts.jsonl --tokenizer tok.json --data.documents=apart >lines.out || fault "training on lines failed"
run files from-files --data.documents=apart >files.out || fault "training on shards, documents apart, failed"
[ -n "$(sum lines.out)" ] && [ "$(sum lines.out)" = "$(sum files.out)" ] || fault "lines and shards give different hashes"
expect 0 "loss" $trine eval lines parts.jsonl
printf '{"text": "a"}\n{"txt": "b"}\n' >bad.jsonl
expect 2 'bad.jsonl:2: has no key "text"' $trine tokenize encode bad.jsonl -t tok.json -o x
expect 2 'bad.jsonl:2: has no key "text"' $trine train bad.jsonl -o x -q

# What does not fit together.
expect 0 "tokens    310" $trine tokenize train both.txt --encoding bytes --vocab 310 -o big.json --min-count 1
expect 2 "big.json: has 310 tokens, and the vocabulary of the model" $trine generate by-text --tokenizer big.json
expect 2 "was made with another tokenizer" $trine train shards --tokenizer big.json -o x -d 1 --data.seq_len=16 -q
expect 2 "it is another run" $trine train texts --data.encoding=bytes --tokenizer again.json -o by-text -d 1 --data.seq_len=16 --train.batch=8 -q
expect 2 "training on the tokens of this tokenizer needs at least 280" $trine train texts --tokenizer tok.json -m tiny-llama -o x -q
seq -f 'Rows of numbers, %g of them, whatever they mean.' 500 900 >rows.txt
expect 0 "tokens    280" $trine tokenize train rows.txt --vocab 280 -o other.json
foreign="whose ids it was trained on: leave --tokenizer away"
expect 0 "a GGUF file" $trine export by-text model.gguf --tokenizer again.json
for model in by-text by-text/step-00000006 model.gguf; do
    expect 2 "$foreign" $trine generate $model --prompt "the sea" --tokens 5 --tokenizer other.json
    expect 2 "$foreign" $trine eval $model book.txt -q --tokenizer other.json
    expect 2 "$foreign" $trine export $model foreign --tokenizer other.json
    expect 0 "the sea" $trine generate $model --prompt "the sea" --tokens 5 --tokenizer again.json
    expect 0 "loss" $trine eval $model book.txt -q --tokenizer again.json
done
[ ! -e foreign ] || fault "an export with a foreign tokenizer left something behind"
mv by-text/tokenizer.json hidden.json
expect 2 "has a vocabulary of 280 tokens, and there is no tokenizer.json beside it" $trine generate by-text
expect 0 "the sea" $trine generate by-text --prompt "the sea" --tokens 5 --tokenizer hidden.json
expect 2 "nowhere.json" $trine train texts --tokenizer nowhere.json -o x -q
printf '{"model": 5}' >broken.json
expect 2 "broken.json: model" $trine train texts --tokenizer broken.json -o x -q
head -c 1500 shards/shard-00000.tokens >cut.tokens
cp tok.json tokenizer.json
expect 2 "cut.tokens: 1500 bytes; its header says 1000 tokens" $trine train cut.tokens -o x -q

# The command line.
expect 2 "ACTION encod: expected train, encode, decode, count or chat; did you mean encode?" $trine tokenize encod book.txt
expect 2 "tokenize encode needs --tokenizer" $trine tokenize encode book.txt -o x
expect 2 "tokenize encode needs --out" $trine tokenize encode book.txt -t tok.json
expect 2 "tokenize train needs --out" $trine tokenize train book.txt
expect 2 "shards: is there already" $trine tokenize encode book.txt -t tok.json -o shards
expect 2 "book.txt: holds no shards" $trine tokenize decode book.txt
expect 2 "shards: holds shards of tokens" $trine tokenize count shards -t tok.json
expect 2 "was made with another tokenizer" $trine tokenize decode shards -t big.json -o x
expect 2 "missing.txt" $trine tokenize count book.txt missing.txt -t tok.json
expect 2 "expected 258" $trine tokenize train book.txt --vocab 257 --special 'a1,b2' -o x
expect 0 "tokens    280" $trine tokenize train book.txt --vocab 280 --special '<s>' -o endless.json
expect 2 "no token to put between documents" $trine tokenize encode book.txt both.txt --encoding bytes -t endless.json -o x
[ ! -e x ] && [ ! -e x.tmp ] || fault "a refused command left something behind"

# Interrupted, it removes what it wrote aside.
yes "over the night the sea and the stone of light" | head -c 100000000 >large.txt
"$TRINE_BIN" tokenize encode large.txt -t tok.json -o y -q >/dev/null 2>said &
child=$!
while [ ! -e y.tmp ] && kill -0 $child 2>/dev/null; do sleep 0.02; done
kill -INT $child
status=0
wait $child || status=$?
[ $status = 3 ] && grep -q "interrupted by SIGINT: nothing was written" said || fault "ended with $status: $(cat said)"
[ ! -e y ] && [ ! -e y.tmp ] || fault "an interrupted command left something behind"
done_all
