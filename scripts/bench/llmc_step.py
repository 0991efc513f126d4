#!/usr/bin/env python3
"""A training step of GPT-2 124M by llm.c's CPU trainer: FOLDER is its source (it is in no package index). Its train_gpt2.c
is compiled with its own flags, with the batch of this run put in place of its own, and reads weights and tokens drawn at
random. Prints one JSON line: the median step after the first, tokens a second, peak resident memory.

    llmc_step.py FOLDER WORK BATCH SEQ_LEN STEPS THREADS"""
import json
import os
import re
import resource
import statistics
import subprocess
import sys

import numpy

folder, work = os.path.abspath(sys.argv[1]), os.path.join(os.path.abspath(sys.argv[2]), "llmc")
batch, seq_len, steps, threads = map(int, sys.argv[3:7])
LAYERS, WIDTH, HEADS, VOCAB, VOCAB_PADDED, POSITIONS = 12, 768, 12, 50257, 50304, 1024
draw = numpy.random.default_rng(1)


def header(*numbers):
    return numpy.array(numbers + (0,) * (256 - len(numbers)), numpy.int32)


def weights(path):
    shapes = [VOCAB_PADDED * WIDTH, POSITIONS * WIDTH]
    for size in (1, 1, 3 * WIDTH, 3, WIDTH, 1, 1, 1, 4 * WIDTH, 4, 4 * WIDTH, 1):  # of each layer, as llm.c orders them
        shapes.append(LAYERS * size * WIDTH)
    with open(path, "wb") as f:
        header(20240326, 3, POSITIONS, VOCAB, LAYERS, HEADS, WIDTH, VOCAB_PADDED).tofile(f)
        for count in shapes + [WIDTH, WIDTH]:
            (draw.standard_normal(count, numpy.float32) * numpy.float32(0.02)).tofile(f)


def tokens(path):
    with open(path, "wb") as f:
        count = (steps + 2) * batch * seq_len + 1
        header(20240520, 1, count).tofile(f)
        draw.integers(0, VOCAB, count, numpy.uint16).tofile(f)


def program():
    with open(os.path.join(folder, "train_gpt2.c")) as f:
        source = f.read()
    for name, old, new in (("B", 4, batch), ("T", 64, seq_len), ("val_num_batches", 5, 1)):
        source, found = re.subn(rf"int {name} = {old};", f"int {name} = {new};", source)
        if found != 1:
            sys.exit(f"llmc_step: {folder}/train_gpt2.c does not say 'int {name} = {old};'")
    with open("train_gpt2.c", "w") as f:
        f.write(source)
    subprocess.run(["cc", "-Ofast", "-Wno-unused-result", "-Wno-unknown-attributes", "-march=native", "-fopenmp", "-DOMP",
                    f"-I{folder}", "train_gpt2.c", "-lm", "-lgomp", "-o", "train_gpt2"], check=True)


os.makedirs(os.path.join(work, "dev/data/tinyshakespeare"), exist_ok=True)
os.chdir(work)
program()
weights("gpt2_124M.bin")
for part in ("train", "val"):
    tokens(f"dev/data/tinyshakespeare/tiny_shakespeare_{part}.bin")
run = subprocess.Popen(["stdbuf", "-oL", "./train_gpt2"], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
times = []
for line in run.stdout:  # it would go on to write text: no part of this
    found = re.search(r"^step \d+: train loss [\d.]+ \(took ([\d.]+) ms\)", line)
    if found:
        times.append(float(found[1]) / 1e3)
        if len(times) == steps + 1:
            break
run.kill()
run.wait()
if len(times) < steps + 1:
    sys.exit("llmc_step: train_gpt2 ended before its steps were done")
median = statistics.median(times[1:])
print(json.dumps({"tok_s": batch * seq_len / median, "step_s": median, "times": times,
                  "memory_gib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20}))
