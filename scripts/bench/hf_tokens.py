#!/usr/bin/env python3
"""Hugging Face tokenizers on a text: MB/s of encoding with a tokenizer.json (one batch of some lines each, by one thread and by
all), and of training a byte-level BPE, unless VOCAB is 0. Prints one JSON line.

    hf_tokens.py TOKENIZER.json TEXT VOCAB"""
import json
import os
import sys
import time

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

file, path, vocab = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(path, encoding="utf-8") as f:
    text = f.read()
megabytes = len(text.encode()) / 1e6


def rate(work):
    begin = time.perf_counter()
    result = work()
    return megabytes / (time.perf_counter() - begin), result


tokenizer = Tokenizer.from_file(file)
lines = text.splitlines(keepends=True)
pieces = ["".join(lines[i:i + 200]) for i in range(0, len(lines), 200)]
encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)  # the fast one finds no offsets
os.environ["TOKENIZERS_PARALLELISM"] = "false"
one, ids = rate(lambda: [encoding.ids for encoding in encode(pieces)])
os.environ["TOKENIZERS_PARALLELISM"] = "true"
many, _ = rate(lambda: [encoding.ids for encoding in encode(pieces)])

result = {"encode_mb_s": one, "encode_all_mb_s": many, "tokens": sum(len(x) for x in ids), "version": tokenizers.__version__}
if vocab > 0:
    new = Tokenizer(models.BPE())
    new.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    new.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    result["train_mb_s"], _ = rate(lambda: new.train_from_iterator(pieces, trainer))
    result["vocab"] = new.get_vocab_size()
print(json.dumps(result))
