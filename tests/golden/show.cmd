# What a model is. The memory of training has kernels' workspaces in it, which differ by instruction set.
export TRINE_ISA=ref
trine show smollm2-135m --seq-len 2048
trine show tiny-gpt2 --json
trine show gtp2
