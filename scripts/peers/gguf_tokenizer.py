#!/usr/bin/env python3
"""Writes a tokenizer.json with the vocabulary of a GGUF file, as Hugging Face has it for the same model:

    scripts/peers/gguf_tokenizer.py ggml-vocab-gpt-2.gguf out.json [a b]

With a third argument merges are spelled "a b" instead of ["a", "b"]. Only the byte-level BPE of gpt-2, llama-bpe,
qwen2, smollm and starcoder."""
import json
import struct
import sys

from token_golden import LLAMA3, QWEN2

FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY, CONTROL, USER = 8, 9, 3, 4


def metadata(path):
    data = open(path, "rb").read()
    at = 0

    def take(form):
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))[0]

    def value(kind):
        nonlocal at
        if kind == STRING:
            count = take("<Q")
            at += count
            return data[at - count:at].decode("utf-8", "replace")
        if kind == ARRAY:
            inner, count = take("<I"), take("<Q")
            return [value(inner) for _ in range(count)]
        return take(FORMATS[kind])

    assert data[:4] == b"GGUF"
    at = 4
    take("<I"), take("<Q")
    return {value(STRING): value(take("<I")) for _ in range(take("<Q"))}


def tokenizer(meta, old_merges=False):
    pre = meta.get("tokenizer.ggml.pre", "gpt-2")
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    special = [i for i, kind in enumerate(types) if kind in (CONTROL, USER)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = {"type": "Split", "behavior": "Isolated", "invert": False,
             "pattern": {"Regex": LLAMA3 if pre == "llama-bpe" else QWEN2}}
    digits = {"type": "Digits", "individual_digits": True}
    steps = {"gpt-2": [byte_level], "smollm": [digits, byte_level], "starcoder": [digits, byte_level]}
    pre_tokenizers = steps.get(pre, [split, {**byte_level, "use_regex": False}])
    merges = meta["tokenizer.ggml.merges"]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": types[i] == CONTROL} for i in special],
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers},
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": pre == "llama-bpe",
                  "vocab": {token: i for i, token in enumerate(tokens) if pre != "qwen2" or i not in special},
                  "merges": merges if old_merges else [merge.split(" ") for merge in merges]}}


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(tokenizer(metadata(sys.argv[1]), len(sys.argv) > 3), out, ensure_ascii=False, indent=2)
