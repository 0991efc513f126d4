#!/bin/sh
# `make bench`: builds, brings PyTorch, llama.cpp and Hugging Face tokenizers out of PyPI into build/bench/venv (the
# first time: minutes; PEERS_VENV=folder names another, NO_PEERS=1 does without), measures, writes build/bench/bench.md
# and build/bench/bench.html.
# AMD's zentorch wants a torch of its own: GEMM_PYTHON=python of an environment that has both takes it along.
# On a machine that does other work put `chrt -r 10` in front.
set -eu
here=$(dirname "$0")
work=build/bench
mkdir -p "$work"
scripts/build.sh release trine benches

python=
if [ -z "${NO_PEERS:-}" ]; then
    venv=${PEERS_VENV:-$work/venv}
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || venv=
    # One by one: what cannot be had leaves its rows out, and no others.
    for peer in numpy:numpy torch:torch tokenizers:tokenizers llama-cpp-python:llama_cpp scipy-openblas64:scipy_openblas64; do
        [ -z "$venv" ] || "$venv/bin/python" -c "import ${peer#*:}" 2>/dev/null ||
            "$venv/bin/pip" install --quiet "${peer%:*}" || echo "bench: ${peer%:*} could not be installed" >&2
    done
    [ -z "$venv" ] || python=$venv/bin/python
fi

text=$work/kjv.txt
if [ ! -e "$text" ]; then
    bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' >"$text.tmp"
    mv "$text.tmp" "$text"
fi
# 12 MB in which 92,000 different pieces stand, so that 32,000 tokens can be made of them: the Bible alone has 14,000.
words=$work/words.txt
if [ ! -e "$words" ]; then
    gzip -dc </usr/share/dictd/wn.dict.dz | head -n 175000 | cat "$text" - >"$words.tmp"
    mv "$words.tmp" "$words"
fi
# shellcheck disable=SC2086
exec python3 -B "$here/bench.py" build/release "$work" "$text" "$words" $python
