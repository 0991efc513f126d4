#!/bin/sh
# trine generate: weights of every type, one text whatever the threads and instructions; prompt caches; mistakes.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

i=0
while [ $i -lt 200 ]; do echo "over the night the sea and the stone of light $i"; i=$((i + 1)); done >book.txt
"$trine" train book.txt -d 1 -t 1 -s 20 --data.seq_len=64 --train.batch=8 --eval.every=0 --sample.tokens=0 -q -o run ||
    fault "the run ended with $?"
say() { "$trine" generate run -p "over the night the" -n 30 -q "$@"; }

for weights in f32 bf16 int8 int4; do
    say --weights $weights >first || fault "--weights $weights ended with $?"
    say --weights $weights -t 2 >second || fault "--weights $weights with two threads ended with $?"
    cmp -s first second || fault "threads change the text with --weights $weights"
    TRINE_ISA=ref say --weights $weights >second || fault "--weights $weights by the reference ended with $?"
    cmp -s first second || fault "the instruction set changes the text with --weights $weights"
    say --weights $weights --prompt-cache $weights.cache >second || fault "a new prompt cache ended with $?"
    cmp -s first second || fault "making a prompt cache changes the text with --weights $weights"
    say --weights $weights --prompt-cache $weights.cache >second || fault "a prompt cache ended with $?"
    cmp -s first second || fault "a prompt cache changes the text with --weights $weights"
done
say --weights int8 --dtype f32 >/dev/null || fault "int8 with activations in fp32 ended with $?"
say --weights int8 --prompt-cache int8.cache --json >json || fault "--json ended with $?"
for key in '"weights":"int8"' '"weights_error":0.0' '"prompt_tokens":18' '"prompt_tokens_reused":17' '"tok_s":' '"memory_share":' \
    '"text":"over the night the'; do
    grep -q "$key" json || fault "no $key in $(cat json)"
done
# One token is drawn from what the prompt has computed: it has no rate.
say -n 1 --json >json || fault "one token ended with $?"
grep -q '"tokens":1}' json || fault "said: $(cat json)"
# More tokens than positions, of a prompt that is too long itself: what was given up is said, and no share of memory.
long=$(head -c 200 book.txt | tr '\n' ' ')
"$trine" generate run -p "$long" -n 100 --json -q >json || fault "a long prompt ended with $?"
grep -q '"prompt_tokens":200,"prompt_tokens_kept":[1-6][0-9],' json || fault "said: $(cat json)"
"$trine" generate run -p "$long" -n 1 --prompt-cache long.cache >/dev/null 2>said || fault "a long prompt with a cache ended with $?"
grep -q "long.cache: neither read nor written, as the prompt is 200 tokens and the context 64" said || fault "said: $(cat said)"
[ ! -e long.cache ] || fault "a prompt that is too long has made a cache"
if grep -q memory_share json; then fault "a share of memory beside tokens that were read again: $(cat json)"; fi
# In normal form C one character of four bytes is three of four: more tokens than the prompt has bytes, all of which fit.
"$trine" tokenize train book.txt --vocab 280 --pre qwen2 -q -o nfc.json >/dev/null || fault "tokenize train ended with $?"
"$trine" train book.txt -d 1 -t 1 -s 1 --data.tokenizer=nfc.json --data.seq_len=512 --train.batch=1 --eval.every=0 \
    --sample.tokens=0 -q -o normal || fault "a run with a tokenizer ended with $?"
printf '\360\235\205\240%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 >note.txt
"$trine" generate normal --prompt-file note.txt -n 1 --json -q >json || fault "a prompt that grows ended with $?"
grep -q '"prompt_tokens":240,"prompt_tokens_kept":240,' json || fault "said: $(cat json)"
"$trine" generate run -p x -n 3 --weights int4 >/dev/null 2>said || fault "int4 ended with $?"
grep -q "weights in int4: rounding changes them by [0-9.]* % (root mean square)" said || fault "said: $(cat said)"
"$trine" eval run --weights int8 -q >eval || fault "trine eval --weights int8 ended with $?"
grep -q "^weights     int8: rounding changes them by" eval || fault "said: $(cat eval)"
"$trine" eval run --weights int8 -t 1 --batch 1 -q >second || fault "one thread ended with $?"
cmp -s eval second || fault "threads or batch change the loss with --weights int8"

# A run on bytes of a model whose vocabulary has room for more: what knows the run knows that it reads bytes.
cat >roomy.json <<'END'
{"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 300, "n_positions": 64, "n_ctx": 64,
 "activation_function": "gelu_new"}
END
"$trine" train book.txt --model roomy.json -t 1 -s 5 --data.seq_len=64 --train.batch=8 --eval.every=0 --sample.tokens=0 -q -o roomy ||
    fault "a run of a model with more tokens than bytes ended with $?"
expect 0 "over the" "$trine" generate roomy -p "over the" -n 3 -q
expect 0 "loss" "$trine" eval roomy -q
expect 0 "hash" "$trine" train book.txt --init roomy -s 1 --data.seq_len=64 --train.batch=8 --eval.every=0 --sample.tokens=0 -q -o further
expect 0 "Hugging Face folder" "$trine" export roomy roomy-hf
expect 0 "over the" "$trine" generate roomy-hf -p "over the" -n 3 -q
expect 2 "fp8" "$trine" generate run --weights fp8
printf 'ab\377' >bytes.txt
expect 2 "--prompt: offset 2: the byte 0xff begins no character of UTF-8" "$trine" generate run -p "$(cat bytes.txt)"
printf 'ab\303' >cut.txt
expect 2 "cut.txt: offset 2: the last character is cut off" "$trine" generate run --prompt-file cut.txt
expect 2 "bytes.txt: offset 2: the byte 0xff begins no character of UTF-8" "$trine" generate run --prompt-file bytes.txt
"$trine" train book.txt -d 1 -t 1 -s 1 --data.encoding=bytes --data.seq_len=64 --eval.every=0 --sample.tokens=0 -q -o any ||
    fault "a run on any bytes ended with $?"
"$trine" generate any -n 3 -q --prompt-file bytes.txt >any.text || fault "a model of any bytes refuses them: $?"
expect 2 "--weights bf16 goes with --dtype bf16, and --dtype f32 is given" "$trine" generate run --weights bf16 --dtype f32
expect 2 "f32.cache: was made with activations in f32 and weights as panels; here they are bf16 and int8" \
    say --weights int8 --prompt-cache f32.cache
dd if=/dev/zero of=int8.cache bs=1 seek=200 count=4 conv=notrunc 2>/dev/null
expect 2 "int8.cache: is damaged (its SHA-256 is not that of its contents); delete it" say --weights int8 --prompt-cache int8.cache
expect 2 "book.txt: is no prompt cache" say --prompt-cache book.txt
expect 3 "no-such/x.cache" say --prompt-cache no-such/x.cache
done_all
