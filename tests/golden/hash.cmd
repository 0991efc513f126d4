# The promise in letters: these hashes and this text come out of every build on every machine (one arithmetic id).
# The gpt2 model has learned positions, biases and tied weights; the qwen3 one grouped queries, QK-norm and RoPE.
n=0
while [ $n -lt 60 ]; do echo "In the beginning God created the heaven and the earth, day $n."; n=$((n + 1)); done >text
run() { out=$1; shift; trine train text -q --out "$out" --steps 4 --data.seq_len=32 --train.batch=4 "$@" >/dev/null; trine hash "$out"; }
run gpt2 --model gpt2.json
run qwen3 --model qwen3.json
run depth --depth 2 --layout.lanes=2
run cut --model qwen3.json --data.seq_len=128 --layout.lanes=4 --layout.context=2 --layout.tensor=2 --layout.vocab=2
trine generate gpt2 --prompt "In the" --tokens 24 --seed 3 | od -An -c
trine hash gpt2 --equals gpt2 >/dev/null && echo equal
trine hash gpt2 --equals qwen3
