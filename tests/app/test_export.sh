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

# A run is named after its model, and lies below runs/ whatever a model says that it is called.
cp small.gguf tiny.Q8_0.gguf
expect 0 'out: "runs/tiny.Q8_0"' "$trine" train text --init tiny.Q8_0.gguf --dry-run --data.seq_len=32
cp -r folder strange
sed 's/"trine_name": "[^"]*"/"trine_name": ".."/' folder/config.json >strange/config.json
expect 0 'out: "runs/model"' "$trine" train text --init strange --dry-run --data.seq_len=32

# Adapters are merged, or refused.
"$trine" train text --quiet --out tuned --init folder --lora.rank=2 --steps 5 --data.seq_len=32 --sample.tokens=0 \
    >/dev/null || fault "no tuned run"
expect 2 "--merge adds them to their matrices" "$trine" export tuned tuned-folder
expect 0 "a Hugging Face folder" "$trine" export tuned tuned-folder --merge

# Adapters alone, as PEFT has them.
expect 0 "adapters in PEFT's format" "$trine" export tuned adapter --format peft
[ -s adapter/adapter_config.json ] && [ -s adapter/adapter_model.safetensors ] || fault "the adapter is not whole"
[ "$("$trine" generate folder --adapter adapter --prompt "In the" --tokens 30 --temperature 0)" = "$(words tuned)" ] ||
    fault "the model with its adapter writes another text"
expect 0 "a Hugging Face folder" "$trine" export folder onto --adapter adapter --merge
cmp -s onto/model.safetensors tuned-folder/model.safetensors || fault "merged from the adapter the weights differ"
expect 0 "adapters in PEFT's format" "$trine" export tuned adapter-half --format peft --type bf16
expect 2 "adapter: holds adapters alone: name the model that they belong to" "$trine" generate adapter
"$trine" tokenize train text --vocab 270 -o other.json -q >/dev/null || fault "no tokenizer"
expect 2 "training on the tokens of this tokenizer needs at least 270" "$trine" train text --init folder --tokenizer other.json -q
expect 2 "has no adapters, which are all" "$trine" export run nothing --format peft
expect 2 "without --merge" "$trine" export tuned nothing --format peft --merge
expect 2 "has adapters already" "$trine" generate tuned --adapter adapter
expect 2 "is no folder with an adapter_config.json" "$trine" generate folder --adapter run
bad() { # SED SENTENCE: what a changed adapter_config.json is told
    rm -rf bad && cp -r adapter bad && sed "$1" adapter/adapter_config.json >bad/adapter_config.json
    expect 2 "$2" "$trine" generate folder --adapter bad
}
bad 's/"LORA"/"LOHA"/' 'peft_type: expected one of LORA'
bad 's/"r": 2/"r": 3/' 'the model has it with 2, 3 x 64'
bad 's/"r": 2/"r": -1/' 'r: expected a whole number from 1'
bad 's/"r": 2/"r": 2, "use_dora": true/' 'only plain LoRA is'
bad 's/"r": 2/"r": 2, "alpha_pattern": {"q_proj": 3}/' 'only plain LoRA is'
bad 's/"lora_alpha"/"alpha"/' 'lora_alpha'
bad 's/"bias": "none"/"bias": "all"/' 'bias: expected one of none'
bad 's/"q_proj"/"lm_head"/' 'expected names of the matrices of a layer'
bad 's/"q_proj",*//' 'has no place in the model'
head -c 300 adapter/adapter_model.safetensors >bad/adapter_model.safetensors
cp adapter/adapter_config.json bad
expect 2 "bad/adapter_model.safetensors: " "$trine" generate folder --adapter bad
"$trine" train text --quiet --out two --model tiny-gpt2 --steps 1 --lora.rank=2 --data.seq_len=32 --sample.tokens=0 \
    >/dev/null || fault "no run of a GPT-2"
expect 2 "adapters of a GPT-2 have no form in PEFT" "$trine" export two nothing --format peft
expect 0 "a Hugging Face folder" "$trine" export two gpt2-folder --merge
expect 2 "adapters of PEFT for a GPT-2 are not supported" "$trine" generate gpt2-folder --adapter adapter
expect 2 "has no adapters to merge" "$trine" export run nothing --merge
[ "$(words tuned-folder)" = "$(words tuned)" ] || fault "the merged model writes another text"

expect 2 "is not empty; nothing there is overwritten" "$trine" export run folder
expect 2 "text: the folder cannot be made: File exists" "$trine" export run text/inside
expect 2 "q8_0 is for GGUF files" "$trine" export run other --type q8_0
expect 2 "--shard-size is for folders" "$trine" export run other.gguf --shard-size 1MB
expect 2 "there is no such folder or file" "$trine" export nowhere other
head -c 5000 model.gguf >cut.gguf
expect 2 "cut.gguf: " "$trine" generate cut.gguf
printf 'GGUFxxxxxxxxxxxxxxxxxxxxxxxxx' >no.gguf
expect 2 "no.gguf: GGUF version" "$trine" export no.gguf other
[ ! -e other ] && [ ! -e other.gguf ] && [ ! -e other.tmp ] || fault "something was left behind"
done_all
