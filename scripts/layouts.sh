#!/bin/sh
# Trains two models under many layouts and writes a table of their hashes: scripts/layouts.sh PROGRAM >TABLE. Exit 1 when one differs.
set -eu

trine=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
wrong=0

awk 'BEGIN { for (i = 1; i <= 900; i++) print "verse " i ": and the waters of day " (i * 7919) % 389 " were gathered." }' >"$dir/text.txt"
cat >"$dir/gpt2.json" <<END
{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 257, "n_embd": 48, "n_layer": 8, "n_head": 6,
 "n_positions": 128, "activation_function": "gelu_new"}
END
cat >"$dir/llama.json" <<END
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 257, "hidden_size": 48, "intermediate_size": 128,
 "num_hidden_layers": 7, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
 "rope_theta": 10000.0, "tie_word_embeddings": false, "hidden_act": "silu"}
END

# train MODEL TYPE [ARGUMENTS...]: the result as JSON
train()
{
    model=$1 type=$2
    shift 2
    rm -rf "$dir/run"
    "$trine" train "$dir/text.txt" --quiet --json --model "$dir/$model.json" --train.dtype="$type" --steps 20 --threads 1 \
        --data.seq_len=128 --train.batch=16 --layout.lanes=8 --layout.context=2 --layout.tensor=2 --layout.vocab=2 --eval.every=10 --eval.windows=4 \
        --sample.tokens=8 --checkpoint.every=10 -o "$dir/run" "$@"
}
# field NAME <JSON: a string or a number; "-" where there is none
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" | grep . || echo -; }

# row LAYOUT MICROBATCH RECOMPUTE
row()
{
    printf '| %s | %s | %s |' "$1" "$2" "$3"
    for model in gpt2 llama; do
        for type in f32 bf16; do
            json=$(train $model $type ${1:+--layout "$1"} --train.micro_batch="$2" --train.recompute="$3")
            sum=$(echo "$json" | field sha256)
            eval "first=\${first_${model}_$type:=$sum}"
            [ "$sum" = "$first" ] || { wrong=1; printf '%s' ' **another**'; }
            printf ' %.8s |' "$sum"
        done
    done
    printf ' %s | %s |\n' "$(echo "$json" | field memory_planned_bytes)" "$(echo "$json" | field sent_planned_bytes)"
}

cat <<END
# One run, many layouts

Written by \`make layouts\`; \`make check\` trains under some of them. Each line is four runs of 20 steps with an evaluation and a save on the
way; their hashes (SHA-256 of weights and optimiser state, the first 8 digits) must be those of the line above. GPT-2 has 8 layers and a tied
table, Llama 7 layers, grouped heads and a head of its own; both are 48 wide. The run fixes 8 lanes, 2 context parts, 2 tensor parts and
2 vocabulary parts.
Memory and bytes sent are of rank 0 in the bf16 run of Llama, as its step program says; tests hold them to what is touched and counted
(tests/lab/model/test_ranks.c).

| layout | microbatch | recompute | GPT-2 fp32 | GPT-2 bf16 | Llama fp32 | Llama bf16 | memory, bytes | sent a step, bytes |
|---|---:|---|---|---|---|---|---:|---:|
END
row dp=1 2 none
row dp=1 1 full
row dp=2 2 none
row dp=3 1 auto
row dp=8 2 full
row dp=2,zero=1 1 none
row dp=5,zero=1 2 auto
row dp=8,zero=1 1 full
row dp=4,zero=2 1 none
row dp=3,zero=2 2 auto
row dp=8,zero=3 2 none
row dp=4,zero=3 1 full
row pp=2 2 none
row pp=2 1 full
row pp=3 1 auto
row pp=4 2 none
row pp=7 1 full
row pp=2,vpp=2 1 none
row pp=2,vpp=3 2 auto
row pp=3,vpp=2 1 full
row dp=2,pp=2 1 none
row dp=2,pp=4 2 full
row dp=4,pp=2 1 auto
row dp=2,pp=2,vpp=2 1 none
row dp=2,pp=2,zero=1 1 full
row dp=3,pp=2,zero=1 2 none
row dp=2,pp=3,vpp=2,zero=1 1 auto
row dp=4,pp=2,vpp=2,zero=1 1 full
row dp=2,pp=2,zero=2 1 full
row dp=4,pp=2,zero=2 2 none
row dp=3,pp=2,vpp=2,zero=2 1 auto
row dp=2,pp=2,zero=3 2 none
row dp=3,pp=2,zero=3 1 auto
row dp=2,pp=2,vpp=2,zero=3 1 full
row tp=2,dp=2,pp=2,zero=2 1 none
row tp=2,sp,dp=2,pp=2,zero=3 2 auto
row cp=2,dp=2,pp=2,zero=3 1 full
row tp=2 2 none
row tp=2 1 full
row tp=2,dp=2 1 auto
row tp=2,dp=3,zero=1 2 none
row tp=2,dp=4,zero=2 1 full
row tp=2,dp=2,zero=3 2 auto
row tp=2,pp=2 1 none
row tp=2,pp=2,vpp=2 2 full
row tp=2,dp=2,pp=2,zero=1 1 auto
row cp=2 2 none
row cp=2 1 full
row cp=2,dp=2 1 auto
row cp=2,dp=3,zero=1 2 none
row cp=2,dp=4,zero=2 1 full
row cp=2,dp=2,zero=3 2 auto
row cp=2,pp=2 1 none
row cp=2,pp=2,vpp=2 2 full
row tp=2,cp=2 1 auto
row tp=2,cp=2,dp=2,zero=1 2 none
row tp=2,sp 2 none
row tp=2,sp,dp=4,zero=2 1 full
row tp=2,sp,dp=2,zero=3 2 auto
row tp=2,sp,pp=2,vpp=2 1 none
row tp=2,sp,cp=2,pp=2 1 full
row tp=2,sp,cp=2,dp=2,zero=1 2 auto
exit $wrong
