#!/bin/sh
# `make peers`: trine against torch, transformers, tokenizers, PEFT, llama.cpp and Megatron-Core, out of PyPI; writes
# docs/peers.md. The first run brings them (about 3 GB, and llama.cpp is compiled) into build/peers/venv; PEERS_VENV=folder
# names another.
set -eu
here=$(dirname "$0")
work=build/peers
venv=${PEERS_VENV:-$work/venv}
llama=llama-cpp-python==0.3.36
mkdir -p "$work"

if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/python" -c 'import torch, transformers, tokenizers, safetensors, peft, llama_cpp, gguf' 2>/dev/null ||
    "$venv/bin/pip" install --quiet torch transformers==5.24.0 tokenizers==0.23.3 safetensors==0.8.0 peft==0.21.2 \
        gguf==0.19.0 "$llama"
"$venv/bin/python" -c 'import megatron.core' 2>/dev/null ||
    "$venv/bin/pip" install --quiet --no-deps megatron-core==0.16.1 # its data sets need torch alone

# Vocabularies and chat templates of real models come with llama.cpp's source.
vocabularies=${PEERS_VOCABULARIES:-$work/vocabularies}
if [ ! -e "$vocabularies/ggml-vocab-qwen2.gguf" ] || [ ! -e "$vocabularies/templates" ]; then
    "$venv/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$work" "$llama"
    mkdir -p "$vocabularies"
    tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$vocabularies" --wildcards --strip-components=4 \
        '*/vendor/llama.cpp/models/ggml-vocab-*.gguf' '*/vendor/llama.cpp/models/templates/*.jinja'
fi

text=$work/kjv.txt
if [ ! -e "$text" ]; then
    bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' >"$text.tmp"
    mv "$text.tmp" "$text"
fi

scripts/build.sh gcc trine lab_torch
rm -rf "$work/run"
# Settings of OpenBLAS that were made for another program would slow down torch's, or change its sums.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export PYTHONWARNINGS=ignore
exec "$venv/bin/python" "$here/peers.py" build/gcc/trine build/gcc/tests/lab_torch "$vocabularies" \
    "$vocabularies/templates" "$text" "$work/run" docs/peers.md
