#!/usr/bin/env python3
"""llama.cpp by its Python package on a GGUF file: tokens a second of a prompt at once and of tokens one by one. Prints
one JSON line.

    llama_rate.py MODEL.gguf PROMPT NEW THREADS"""
import json
import statistics
import sys
import time

import llama_cpp

path, prompt, new, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
model = llama_cpp.Llama(path, n_ctx=prompt + new, n_batch=prompt, n_ubatch=prompt, n_threads=threads,
                        n_threads_batch=threads, verbose=False)
tokens = [i * 7919 % model.n_vocab() for i in range(prompt + new)]
read, write = [], []
for run in range(6):  # the first warms up
    model.reset()
    begin = time.perf_counter()
    model.eval(tokens[:prompt])
    middle = time.perf_counter()
    for token in tokens[prompt:]:
        model.eval([token])
    read.append(prompt / (middle - begin))
    write.append(new / (time.perf_counter() - middle))
print(json.dumps({"prompt_tok_s": statistics.median(read[1:]), "new_tok_s": statistics.median(write[1:]),
                  "version": llama_cpp.__version__}))
