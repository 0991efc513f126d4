# Conversations from end to end: a model learns them, all weights or adapters, goes on from the weights of another, is
# evaluated, answers, is exported with its chat template, and bad ones are refused with nothing half-written.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

mkdir tok
cp "$TRINE_SOURCE_DIR/tests/lab/chat/golden.tokenizer.json" tok/tokenizer.json
i=0
while [ $i -lt 60 ]; do
    echo '{"messages": [{"role": "user", "content": "a '$((i % 5))'?"}, {"role": "assistant", "content": "the"}]}'
    i=$((i + 1))
done >talks.jsonl
train() { # NAME ARGUMENTS...
    name=$1
    shift
    "$trine" train talks.jsonl --out "$name" --data.seq_len=64 --train.batch=8 --sample.tokens=8 --eval.windows=2 "$@" \
        >"$name.said" 2>"$name.log" || { cat "$name.log"; fault "no run $name"; }
}

expect 2 "tokenizer.json: has no chat template: name one that is right for it with --chat-template: chatml, smollm2" \
    "$trine" train talks.jsonl --tokenizer tok/tokenizer.json -o x -d 1
expect 2 "no chat template is called chatlm (did you mean chatml?)" \
    "$trine" train talks.jsonl --tokenizer tok/tokenizer.json -o x -d 1 --chat-template chatlm
expect 2 "talks.jsonl: is of conversations, which need a tokenizer" "$trine" train talks.jsonl -o x -d 1
printf '{"chat_template": "{{ messages }}"}' >tok/tokenizer_config.json
expect 2 "its chat template is none of those that trine knows" \
    "$trine" train talks.jsonl --tokenizer tok/tokenizer.json -o x -d 1
printf '{"chat_template": [1' >tok/tokenizer_config.json
expect 2 "tok/tokenizer_config.json:" "$trine" train talks.jsonl --tokenizer tok/tokenizer.json -o x -d 1
rm tok/tokenizer_config.json
[ ! -e x ] || fault "something was left behind"

# A model of its own, by a template that is named; the run keeps it.
train base --tokenizer tok/tokenizer.json --chat-template chatml -d 1 --steps 60 --optimizer.lr=1e-2 --sample.prompt="a 1?"
grep -q "conversations 60 by the template chatml: .* of their .* tokens are learned" base.log || fault "said: $(cat base.log)"
[ -s base/chat_template.jinja ] || fault "the run does not keep its chat template"
answer=$("$trine" generate base --chat --prompt "a 3?" --temperature 0 --tokens 20)
[ "$answer" = "the" ] || fault "after 60 steps the reply is: $answer"
expect 0 "bits/byte" "$trine" eval base -q
expect 0 "loss" "$trine" eval base talks.jsonl -q
expect 2 "--stride is for text" "$trine" eval base talks.jsonl --stride 8
expect 2 "--system is for conversations: give --chat too" "$trine" generate base --prompt x --system y

# Another tokenizer than the model's own is told.
yes "the sea and the stone" | head -c 20000 >plain.txt
"$trine" tokenize train plain.txt --vocab 260 -o other.json -q >/dev/null || fault "no tokenizer"
expect 0 "tokenizer: it is not the one of base" "$trine" train plain.txt --init base --tokenizer other.json -o z -s 1 \
    --data.seq_len=64 --train.batch=2 --eval.windows=2 --sample.tokens=0

# One that trine cannot read is none, to train as to generate; one that differs in what GGUF leaves out is the same.
expect 0 "a Hugging Face folder" "$trine" export base unread
printf '{"model": {"type": "Unigram"}}' >unread/tokenizer.json
expect 0 "hash" "$trine" train talks.jsonl --init unread --tokenizer tok/tokenizer.json --chat-template chatml -o u -s 1 \
    --data.seq_len=64 --train.batch=2 --eval.windows=2 --sample.tokens=0
expect 0 "a GGUF file" "$trine" export base own.gguf
expect 0 "hash" "$trine" train talks.jsonl --init own.gguf --tokenizer tok/tokenizer.json --chat-template chatml -o v -s 1 \
    --data.seq_len=64 --train.batch=2 --eval.windows=2 --sample.tokens=0
if grep -q "it is not the one of" stdout stderr; then fault "the same tokenizer by way of GGUF is taken for another"; fi
rm -r unread own.gguf u v

# To others and back: the template goes along, and the answer stays.
expect 0 "a Hugging Face folder" "$trine" export base folder
expect 0 "a GGUF file" "$trine" export base model.gguf
expect 0 "a Hugging Face folder" "$trine" export model.gguf again
cmp -s base/chat_template.jinja folder/chat_template.jinja || fault "the folder has another chat template"
cmp -s base/chat_template.jinja again/chat_template.jinja || fault "the chat template changed on the way through GGUF"
grep -q '"eos_token_id": \[' folder/generation_config.json || fault "the end of a turn ends no text in the folder"
grep -q '"eos_token": "<|im_end|>"' folder/tokenizer_config.json || fault "the end of a turn is no eos_token"
for model in folder model.gguf again; do
    [ "$("$trine" generate $model --chat --prompt "a 3?" --temperature 0 --tokens 20)" = the ] || fault "$model answers otherwise"
done
expect 0 "a Hugging Face folder" "$trine" export base named --chat-template smollm2
grep -q "named SmolLM" named/chat_template.jinja || fault "the named chat template was not written"

# What ends a text is what the files say, also where nobody chats.
asked='<|im_start|>user
a 3?<|im_end|>
<|im_start|>assistant
'
said=$("$trine" generate folder --prompt "$asked" --temperature 0 --tokens 20)
[ "$said" = "${asked}the" ] || fault "eos_token_id of generation_config.json does not end the text: $said"
said=$("$trine" generate model.gguf --prompt "$asked" --temperature 0 --tokens 20)
[ "$said" = "${asked}the" ] || fault "eos_token_id of the GGUF file does not end the text: $said"
tr -d '\n' <folder/generation_config.json | sed 's/"eos_token_id": \[[^]]*\]/"eos_token_id": 0/' >changed.json
cp changed.json folder/generation_config.json
said=$("$trine" generate folder --prompt "$asked" --temperature 0 --tokens 20)
[ "$said" != "${asked}the" ] || fault "a text ends where nothing says so"
seq -s , 20 35 | sed 's/.*/{"eos_token_id": [&]}/' >folder/generation_config.json # as many as there may be, of letters
[ "$("$trine" generate folder --chat --prompt "a 3?" --temperature 0 --tokens 20)" = the ] ||
    fault "with sixteen tokens that end a text the end of a turn is none"
printf '{"eos_token_id": "x"}' >again/generation_config.json
expect 2 "again/generation_config.json" "$trine" generate again --prompt x

# Fine-tuning by the template of the model's own files: all weights, and adapters.
train full --init model.gguf --steps 2
grep -q "by the template chatml" full.log || fault "the model's own template was not found: $(cat full.log)"
train lora --init model.gguf --steps 2 --lora.rank=2
expect 0 "a Hugging Face folder" "$trine" export lora merged --merge
[ "$("$trine" generate merged --chat --prompt "a 3?" --temperature 0)" = \
    "$("$trine" generate lora --chat --prompt "a 3?" --temperature 0)" ] || fault "merged, the model answers otherwise"

# What is learned can be looked at.
expect 0 '"learned":[0,' "$trine" tokenize chat talks.jsonl -t model.gguf -q
printf '{"messages": [{"role": "robot", "content": "x"}]}\n' >bad.jsonl
expect 2 "bad.jsonl:1: messages[0].role" "$trine" train bad.jsonl --init model.gguf -o x --data.seq_len=64 -q
expect 2 "bad.jsonl:1: messages[0].role" "$trine" tokenize chat bad.jsonl -t model.gguf -q
[ ! -e x ] || fault "something was left behind"
done_all
