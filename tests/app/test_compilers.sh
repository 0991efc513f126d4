#!/bin/sh
# The program that another compiler built makes the same run: one hash.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
if [ ! -x "${TRINE_OTHER_BUILD:-}" ]; then
    echo "not compared: no build by another compiler is named (TRINE_OTHER_BUILD); \`make check\` names one"
    exit 0
fi

i=0
while [ $i -lt 400 ]; do echo "what one compiler makes of line $i the other one makes too"; i=$((i + 1)); done >book.txt
printf '%s' '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_head": 4, "n_layer": 2,
    "n_positions": 64, "vocab_size": 257, "n_inner": null, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02, "tie_word_embeddings": true}' >config.json
for model in "-d 2" "-m config.json"; do
    rm -rf one other
    options="$model -s 6 --data.seq_len=48 --train.batch=8 --layout.lanes=2 --layout.vocab=3 --layout.tensor=2 -q"
    # shellcheck disable=SC2086 # the options are words
    "$TRINE_BIN" train book.txt $options -o one >/dev/null || fault "$TRINE_BIN ended with $?"
    # shellcheck disable=SC2086
    "$TRINE_OTHER_BUILD" train book.txt $options -o other >/dev/null || fault "$TRINE_OTHER_BUILD ended with $?"
    "$TRINE_BIN" hash one --equals other || fault "$model: the hashes differ"
done
done_all
