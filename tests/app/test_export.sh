# trine export: a model goes to other formats and comes back; every copy writes the same text, and nothing is half-written.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

i=0
while [ $i -lt 200 ]; do echo "In the beginning, line $i, was the word, and the word was $((i * 7))."; i=$((i + 1)); done >text
words() { "$trine" generate "$1" --prompt "In the" --tokens 30 --temperature 0 2>&1; }
same() { [ "$(words "$1")" = "$(words run)" ] || fault "$1 writes another text than the run"; }

"$trine" train text --quiet --out run --depth 1 --steps 20 --data.seq_len=32 --sample.tokens=0 >/dev/null || fault "no run"
expect 0 "a Hugging Face folder" "$trine" export run folder
expect 0 "a GGUF file" "$trine" export run model.gguf
expect 0 "a Hugging Face folder" "$trine" export run shards --shard-size 100KiB
[ -e shards/model.safetensors.index.json ] || fault "no index beside the shards"
expect 0 "a Hugging Face folder" "$trine" export model.gguf again
cmp -s folder/model.safetensors again/model.safetensors || fault "the weights changed on the way through GGUF"
for copy in folder model.gguf shards again; do same "$copy"; done
for file in config.json generation_config.json tokenizer.json tokenizer_config.json; do
    [ -s "folder/$file" ] || fault "the folder has no $file"
done
expect 0 "q8_0" "$trine" export run small.gguf --type q8_0
expect 0 "bf16" "$trine" export run half --type bf16
expect 0 "loss" "$trine" eval small.gguf text --quiet

# Adapters are merged, or refused.
"$trine" train text --quiet --out tuned --init folder --lora.rank=2 --steps 5 --data.seq_len=32 --sample.tokens=0 \
    >/dev/null || fault "no tuned run"
expect 2 "--merge adds them to their matrices" "$trine" export tuned tuned-folder
expect 0 "a Hugging Face folder" "$trine" export tuned tuned-folder --merge
expect 2 "has no adapters to merge" "$trine" export run nothing --merge
[ "$(words tuned-folder)" = "$(words tuned)" ] || fault "the merged model writes another text"

expect 2 "is not empty; nothing there is overwritten" "$trine" export run folder
expect 2 "q8_0 is for GGUF files" "$trine" export run other --type q8_0
expect 2 "--shard-size is for folders" "$trine" export run other.gguf --shard-size 1MB
expect 2 "there is no such folder or file" "$trine" export nowhere other
head -c 5000 model.gguf >cut.gguf
expect 2 "cut.gguf: " "$trine" generate cut.gguf
printf 'GGUFxxxxxxxxxxxxxxxxxxxxxxxxx' >no.gguf
expect 2 "no.gguf: GGUF version" "$trine" export no.gguf other
[ ! -e other ] && [ ! -e other.gguf ] && [ ! -e other.tmp ] || fault "something was left behind"
done_all
