#!/usr/bin/env python3
"""llama.cpp by its Python package on a GGUF file: tokens a second of a prompt at once and of tokens one by one. Its C
functions are called one by one, so that Python takes no part of the time worth naming. Prints one JSON line.

    llama_rate.py MODEL.gguf PROMPT NEW THREADS"""
import json
import statistics
import sys
import time

import llama_cpp

path, prompt, new, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
llama = llama_cpp.Llama(path, n_ctx=prompt + new, n_batch=prompt, n_ubatch=prompt, n_threads=threads,
                        n_threads_batch=threads, verbose=False)
context = llama.ctx if isinstance(llama.ctx, int) else llama._ctx.ctx
tokens = [i * 7919 % llama.n_vocab() for i in range(prompt + new)]
array = llama_cpp.llama_token * len(tokens)
all_of_them = array(*tokens)
one = (llama_cpp.llama_token * 1)()


def decode(at, count):
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(at, count)) != 0:
        sys.exit("llama_decode failed")
    llama_cpp.llama_get_logits(context)  # waits for them


read, write = [], []
for run in range(6):  # the first warms up
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    begin = time.perf_counter()
    decode(all_of_them, prompt)
    middle = time.perf_counter()
    for token in tokens[prompt:]:
        one[0] = token
        decode(one, 1)
    read.append(prompt / (middle - begin))
    write.append(new / (time.perf_counter() - middle))
print(json.dumps({"prompt_tok_s": statistics.median(read[1:]), "new_tok_s": statistics.median(write[1:]),
                  "version": llama_cpp.__version__}))
