#!/usr/bin/env python3
"""trine against the libraries that others use (`make peers`; scripts/peers/run.sh makes the venv and calls this).

    peers.py TRINE TRUTH_TEST VOCABULARIES TEMPLATES TEXT WORK PAGE

Prints a line a comparison, what was compared and by how much it differs, and exits with 1 when one of them does not hold;
when all do, the same lines are written to PAGE (docs/peers.md).
TRUTH_TEST is the test program lab_torch, which holds trine's logits, loss, gradients and ten optimiser steps to what
torch wrote; here it is given models that are in no repository."""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from importlib.metadata import version

import chat_golden
import gguf
import numpy
import torch
import torch_golden
import transformers
from gguf_tokenizer import metadata, tokenizer as tokenizer_of
from llama_cpp import Llama
from peft import PeftModel
from token_golden import LLAMA3, QWEN2
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

VOCAB, WORDS, PROMPT = 509, 48, "And God said unto them"
VOCABULARIES = ["gpt-2", "llama-bpe", "qwen2", "starcoder"]
MEGABYTES = 24
TRINE, TRUTH_TEST, FOLDER, TEMPLATES, TEXT, WORK, PAGE = sys.argv[1:8]
failed, sections = 0, []  # of (title, rows)


def section(title):
    print(title, flush=True)
    sections.append((title, []))


def report(what, holds, measured):
    global failed
    failed += not holds
    sections[-1][1].append((what, measured))
    print(f"{'ok  ' if holds else 'FAIL'}  {what:<62} {measured}", flush=True)


def trine(*args):
    run = subprocess.run([TRINE, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode:
        raise SystemExit(f"trine {' '.join(map(str, args))}: {run.stderr.decode(errors='replace')}")
    return run.stdout


def inside(*names):
    return os.path.join(WORK, *names)


# ---- models ----------------------------------------------------------------------------------------------------------

def tiny_models():
    """Every architecture, large enough for a vocabulary and for whole blocks of Q8_0; sharp, so that no two tokens are
    as likely but for rounding."""
    small = dict(torch_golden.small, vocab_size=VOCAB, hidden_size=64, intermediate_size=96, max_position_embeddings=256)
    t = torch_golden
    yield "gpt2", t.GPT2LMHeadModel(t.GPT2Config(vocab_size=VOCAB, n_embd=64, n_layer=2, n_head=4, n_positions=256,
                                                 initializer_range=0.2, bos_token_id=None, eos_token_id=None))
    yield "llama", t.LlamaForCausalLM(t.LlamaConfig(**small, num_key_value_heads=2, tie_word_embeddings=False,
                                                    rope_scaling=t.llama31))
    yield "mistral", t.MistralForCausalLM(t.MistralConfig(**small, num_key_value_heads=4, tie_word_embeddings=True,
                                                          sliding_window=None))
    yield "qwen2", t.Qwen2ForCausalLM(t.Qwen2Config(**small, num_key_value_heads=1, tie_word_embeddings=True))
    yield "qwen3", t.Qwen3ForCausalLM(t.Qwen3Config(**small, num_key_value_heads=2, head_dim=32,
                                                    tie_word_embeddings=False))


def load(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def greedy(model, ids):
    with torch.no_grad():
        for _ in range(WORDS):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
    return ids[0].tolist()


def text_of_trine(path, *more):
    return trine("generate", path, *more, "--prompt", PROMPT, "--temperature", 0, "--tokens", WORDS)


def text_of_transformers(folder, model):
    words = AutoTokenizer.from_pretrained(folder)
    ids = greedy(model, torch.tensor([words(PROMPT)["input_ids"]]))
    return words.decode(ids, clean_up_tokenization_spaces=False).encode()


def llama_cpp(path):
    """With its cache in F32: in F16, its default, another token becomes the most likely one now and then."""
    return Llama(path, n_ctx=256, n_threads=2, type_k=0, type_v=0, logits_all=True, verbose=False)


def greedy_of_llama_cpp(model):
    ids, out = model.tokenize(PROMPT.encode(), add_bos=False), []
    for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
        out.append(token)
        if len(out) == WORDS:
            break
    return ids + out


def logits_of_llama_cpp(model, ids):
    model.reset()
    model.eval(ids)
    return torch.tensor(numpy.array(model.scores[:len(ids)]))


def same_text(what, a, b, words=f"{WORDS} tokens, "):
    """Trine puts U+FFFD for bytes that are no UTF-8, and a new line at the end; random models write many such bytes."""
    a, b = (t.decode("utf-8", "replace").rstrip("\n") for t in (a, b))
    begin = len(os.path.commonprefix([a, b]))
    report(what, a == b, f"{words}{len(a)} characters" if a == b else f"equal up to character {begin} of {len(a)}")


def same_gguf(name, folder, type_name, bound):
    """A GGUF file of trine, read by llama.cpp and by trine, whose weights of it transformers multiplies in fp32. llama.cpp
    rounds what it multiplies with BF16 and Q8_0 too, to BF16 or to blocks of 8 bits, and takes GPT-2's GELU from a table in
    F16: so logits differ, and where two tokens are nearly as likely, the likelier one may be the other."""
    kind, path, back = type_name.upper(), inside(f"{name}-{type_name}.gguf"), inside(f"{name}-{type_name}-back")
    trine("export", folder, path, "--type", type_name)
    trine("export", path, back)
    ours, theirs = load(back), llama_cpp(path)
    ids = greedy_of_llama_cpp(theirs)
    with torch.no_grad():
        want = ours(torch.tensor([ids])).logits[0]
    off = logits_of_llama_cpp(theirs, ids) - want
    error = (off.pow(2).mean() / want.var()).sqrt().item()
    report(f"{name}: GGUF of trine in {kind} in llama.cpp, logits", error < bound,
           f"differ by {error:.1e} of their spread (bound {bound:.0e})")
    mine = greedy(ours, torch.tensor([ids[:-WORDS]]))
    what = f"{name}: GGUF of trine in {kind}, greedy text, trine and llama.cpp"
    same_text(f"{name}: GGUF of trine in {kind}, greedy text, trine and transformers", text_of_trine(path),
              AutoTokenizer.from_pretrained(back).decode(mine, clean_up_tokenization_spaces=False).encode())
    if mine == ids:
        same_text(what, text_of_trine(path), theirs.detokenize(ids, special=True))
        return
    first = next(i for i, (a, b) in enumerate(zip(mine, ids)) if a != b)
    gap, most = (want[first - 1][mine[first]] - want[first - 1][ids[first]]).item(), off[first - 1].abs().max().item()
    report(what, gap <= 2 * most, f"{first - len(ids) + WORDS} of {WORDS} tokens; then the two likeliest are {gap:.3f} apart, "
           f"where logits differ by up to {most:.3f}")


def same_model(what, folder, model, ids):
    """What trine wrote gives transformers the same numbers, to the bit."""
    with torch.no_grad():
        worst = (load(folder, model.dtype)(ids).logits - model(ids).logits).abs().max().item()
    report(what, worst == 0, f"largest difference of {ids.numel() * VOCAB} logits: {worst:g}")


def fine_tuned(name):
    """Adapters trained by trine; the merged model says the same in transformers."""
    run, merged = inside(name + "-run"), inside(name + "-merged")
    trine("train", inside("words.txt"), "--quiet", "--out", run, "--init", inside(name), "--lora.rank=4", "--steps", 5,
          "--data.seq_len=64", "--sample.tokens=0", "--optimizer.lr=1e-2")
    trine("export", run, merged, "--merge")
    words = text_of_trine(run)
    same_text(f"{name}: LoRA merged by trine, greedy text in transformers", words,
              text_of_transformers(merged, load(merged)))
    if name == "gpt2":  # its c_attn is three matrices in trine: refused with a sentence
        return
    trine("export", run, inside(name + "-peft"), "--format", "peft")
    adapted = PeftModel.from_pretrained(load(inside(name)), inside(name + "-peft")).eval()
    same_text(f"{name}: adapters of trine in PEFT, greedy text", words, text_of_transformers(inside(name), adapted))
    adapted.save_pretrained(inside(name + "-peft-back"))
    same_text(f"{name}: adapters of PEFT in trine, greedy text", words,
              text_of_trine(inside(name), "--adapter", inside(name + "-peft-back")))


def interchange(name, model):
    torch.manual_seed(100 + len(name))
    torch_golden.randomise(model)
    folder = inside(name)
    model = model.float().eval()
    model.save_pretrained(folder)
    shutil.copy(inside("tokenizer.json"), folder)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as out:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}, out)
    ids = torch.randint(0, VOCAB, (2, 100))

    same_text(f"{name}: folder of transformers, greedy text", text_of_trine(folder), text_of_transformers(folder, model))
    trine("export", folder, inside(name + "-back"))
    same_model(f"{name}: folder of trine in transformers, logits", inside(name + "-back"), model, ids)
    trine("export", folder, inside(name + "-shards"), "--shard-size", "64KiB")
    same_model(f"{name}: the same in shards", inside(name + "-shards"), model, ids)
    trine("export", folder, inside(name + "-bf16"), "--type", "bf16")
    rounded = load(folder)
    for p in rounded.parameters():
        p.data.copy_(p.data.bfloat16())
    same_model(f"{name}: folder of trine in BF16, logits", inside(name + "-bf16"), rounded, ids)
    same_gguf(name, folder, "f32", 3e-3 if name == "gpt2" else 1e-5)
    same_gguf(name, folder, "bf16", 3e-2)
    same_gguf(name, folder, "q8_0", 5e-2)
    same_model(f"{name}: folder -> GGUF -> folder, logits", inside(name + "-f32-back"), model, ids)
    fine_tuned(name)


def copy_gguf(source, path, change):
    """`change` makes data and type of a matrix."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in source.tensors:
        data = numpy.array(tensor.data).reshape([int(n) for n in reversed(tensor.shape)])
        data, kind = change(data) if data.ndim == 2 else (data, gguf.GGMLQuantizationType.F32)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def same_types(name):
    """Matrices rounded by the gguf package, and made numbers again by it and by trine."""
    source, kinds = gguf.GGUFReader(inside(name + "-f32.gguf")), gguf.GGMLQuantizationType
    for kind in (kinds.F16, kinds.BF16, kinds.Q8_0, kinds.Q4_0, kinds.Q4_1):
        rounded, numbers = inside(f"gguf-{kind.name}.gguf"), inside(f"gguf-{kind.name}-f32.gguf")
        copy_gguf(source, rounded, lambda data: (gguf.quants.quantize(data, kind), kind))
        copy_gguf(source, numbers,
                  lambda data: (gguf.quants.dequantize(gguf.quants.quantize(data, kind), kind), kinds.F32))
        weights = []
        for path in (rounded, numbers):
            trine("export", path, path + ".hf")
            weights.append(open(os.path.join(path + ".hf", "model.safetensors"), "rb").read().partition(b"}}")[2])
        report(f"GGUF in {kind.name} by the gguf package, read by trine", weights[0] == weights[1],
               f"{len(weights[0])} bytes of weights " + ("equal" if weights[0] == weights[1] else "differ"))
    ours = {tensor.name: tensor.data for tensor in gguf.GGUFReader(inside(name + "-q8_0.gguf")).tensors}
    wrong = [t.name for t in gguf.GGUFReader(inside("gguf-Q8_0.gguf")).tensors if not numpy.array_equal(t.data, ours[t.name])]
    report("GGUF in Q8_0 by trine, and by the gguf package", not wrong, f"{len(wrong)} of {len(ours)} tensors differ")


def truth():
    """Fresh models, by the same program and test as those in tests/torch."""
    source = inside("truth")
    seed = int(time.time())
    torch.manual_seed(seed)
    torch_golden.main(os.path.join(source, "tests", "torch"), fixed=False)
    run = subprocess.run([TRUTH_TEST], env={**os.environ, "TRINE_SOURCE_DIR": source}, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    said = run.stdout.decode(errors="replace")
    for name in sorted(os.listdir(os.path.join(source, "tests", "torch"))):
        rows = [line.split(": ", 1)[1] for line in said.splitlines() if line.startswith(name + ": ")]
        report(f"{name}: logits, loss, every gradient, ten steps of AdamW", len(rows) == 2, "; ".join(reversed(rows)))
    report("all within the bounds of tests/lab/exchange/test_torch.c", run.returncode == 0, f"fresh models (seed {seed}), torch in double")
    if run.returncode:
        print(said)


# ---- tokenizers ------------------------------------------------------------------------------------------------------

def random_text(rng, count):
    """Characters of all scripts in word-like runs, marks, controls, white space of every kind."""
    blocks = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0xE7F),
              (0x1100, 0x11FF), (0x1E00, 0x206F), (0x2100, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
              (0xE000, 0xF8FF), (0xF900, 0xFFFD), (0x10000, 0x1FFFF), (0x20000, 0x2FFFF), (0xE0000, 0x10FFFF), (0, 0x20)]
    out = []
    while len(out) < count:
        low, high = rng.choice(blocks)
        out += [chr(rng.randint(low, high)) for _ in range(rng.randint(1, 8))]
        out.append(rng.choice(["", "", " ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "'s", "'LL", "123456"]))
    return "".join(out)


def mixed_text():
    """Files of about a megabyte: a book, program text in many languages' letters, random Unicode."""
    rng = random.Random(20240607)
    book = open(TEXT, encoding="utf-8").read()
    texts = [book[at:at + 1_000_000] for at in range(0, len(book), 1_000_000)]
    texts += [random_text(rng, 300_000) for _ in range(6)]
    source, size = [], 0
    for root in (os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(torch.__file__))):
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files):
                if not name.endswith((".py", ".txt", ".h", ".json", ".md")) or len(texts) >= MEGABYTES:
                    continue
                text = open(os.path.join(folder, name), "rb").read().decode("utf-8", "replace")
                source.append(text)
                size += len(text)
                if size > 1_000_000:
                    texts.append("".join(source))
                    source, size = [], 0
    return texts


def read_shards(folder):
    ids = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".tokens"):
            data = open(os.path.join(folder, name), "rb").read()
            width, = struct.unpack_from("<I", data, 12)
            count, = struct.unpack_from("<Q", data, 16)
            end, = struct.unpack_from("<I", data, 44)
            ids += struct.unpack_from(f"<{count}{'H' if width == 2 else 'I'}", data, 128)
    return ids, end


def same_tokens(name, texts, folder):
    """The vocabulary as GGUF and as tokenizer.json has it, and the way back."""
    path, json_path, shards = os.path.join(FOLDER, f"ggml-vocab-{name}.gguf"), inside(name + ".json"), inside("shards-" + name)
    meta = metadata(path)
    with open(json_path, "w", encoding="utf-8") as out:
        json.dump(tokenizer_of(meta), out, ensure_ascii=False)
    theirs = Tokenizer.from_file(json_path)
    before = [meta["tokenizer.ggml.bos_token_id"]] if name == "llama-bpe" else []  # of the GGUF file
    for kind, source, first in (("GGUF", path, before), ("tokenizer.json", json_path, [])):
        shutil.rmtree(shards, ignore_errors=True)
        trine("tokenize", "encode", folder, "--tokenizer", source, "--out", shards, "--quiet", "--encoding", "bytes")
        ours, end = read_shards(shards)
        want = []
        for text in texts:
            want += first + theirs.encode(text, add_special_tokens=False).ids + ([] if end == 0xFFFFFFFF else [end])
        wrong = sum(a != b for a, b in zip(ours, want)) + abs(len(ours) - len(want))
        size = sum(len(text.encode()) for text in texts)
        report(f"vocabulary of {name} from {kind}", wrong == 0, f"{wrong} mismatches, {len(want)} tokens of {size} bytes")
    if theirs.normalizer is None:  # NFC does not come back
        text = "".join(texts).encode()
        back = trine("tokenize", "decode", shards, "--quiet")
        report(f"vocabulary of {name}, decoded", back == text, f"{len(back)} bytes")


def same_vocabulary(pre, size, path, what):
    theirs = Tokenizer(models.BPE())
    byte_level, digits = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("gpt-2", "smollm")), []
    if pre == "smollm":
        digits = [pre_tokenizers.Digits(individual_digits=True)]
    elif pre != "gpt-2":
        digits = [pre_tokenizers.Split(Regex(LLAMA3 if pre == "llama-bpe" else QWEN2), "isolated")]
    theirs.pre_tokenizer = pre_tokenizers.Sequence(digits + [byte_level])
    if pre == "qwen2":
        theirs.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<|endoftext|>"], show_progress=False, min_frequency=2,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    theirs.train_from_iterator([open(path, encoding="utf-8", newline="").read()], trainer)
    trine("tokenize", "train", path, "--vocab", size, "--pre", pre, "--quiet", "-o", inside("learned.json"))
    a, b = json.loads(theirs.to_str())["model"], json.load(open(inside("learned.json"), encoding="utf-8"))["model"]
    merges = [[m if isinstance(m, list) else m.split(" ") for m in model["merges"]] for model in (a, b)]
    wrong = sum(x != y for x, y in zip(*merges)) + abs(len(merges[0]) - len(merges[1]))
    report(f"a vocabulary of {size} trained on {what}, pieces of {pre}", wrong == 0 and a["vocab"] == b["vocab"],
           f"{wrong} of {len(merges[0])} merges differ")


def tokenizers():
    texts = mixed_text()
    os.makedirs(inside("texts"))
    for i, text in enumerate(texts):
        with open(inside("texts", f"{i:03}.txt"), "w", encoding="utf-8", newline="") as out:
            out.write(text)
    with open(inside("some.txt"), "w", encoding="utf-8", newline="") as out:
        out.write("".join(texts[-8:] + texts[2:8]).replace("\0", ""))
    for name in VOCABULARIES:
        same_tokens(name, texts, inside("texts"))
    same_vocabulary("gpt-2", 8000, TEXT, "the Bible")
    for pre in ("gpt-2", "llama-bpe", "qwen2", "smollm"):
        same_vocabulary(pre, 4000, inside("some.txt"), f"{os.path.getsize(inside('some.txt'))} bytes of mixed text")


# ---- data ------------------------------------------------------------------------------------------------------------

def same_indexed(words):
    """A data set that Megatron-LM wrote, decoded by trine: every document, with the end token behind it."""
    try:
        from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    except ImportError as why:
        print(f"      Megatron's indexed data sets were not compared: {why}")
        return
    rng = random.Random(7)
    documents = [random_text(rng, rng.randint(1, 400)).replace("\0", "") for _ in range(200)]
    for dtype in (numpy.uint16, numpy.int16, numpy.int32, numpy.int64):
        folder = inside("megatron-" + dtype.__name__)
        os.makedirs(folder)
        shutil.copy(inside("tokenizer.json"), folder)
        builder = IndexedDatasetBuilder(os.path.join(folder, "talk_text_document.bin"), dtype=dtype)
        end, expected = words.token_to_id("<|endoftext|>"), ""
        for i, text in enumerate(documents):
            ids = words.encode(text, add_special_tokens=False).ids
            expected += words.decode(ids, skip_special_tokens=False)
            ids += [end] * (i % 2)  # --append-eod, or not
            cut = rng.randint(0, len(ids))
            builder.add_document(torch.tensor(ids), [cut, len(ids) - cut])
        builder.finalize(os.path.join(folder, "talk_text_document.idx"))
        back = trine("tokenize", "decode", folder, "--quiet").decode("utf-8", "replace")
        report(f"indexed data set of {dtype.__name__}, decoded", back == expected,
               f"{len(documents)} documents, {len(back)} characters")


# ---- conversations ---------------------------------------------------------------------------------------------------

def random_talks(name, count):
    rng = random.Random(name)
    roles = sorted(chat_golden.ROLES.get(name, {"system", "user", "assistant", "tool"}))
    for _ in range(count):
        turns = ["user", "assistant"] * rng.randint(1, 3)
        if "system" in roles:  # the others take turns
            turns = rng.choice([[], ["system"]]) + [rng.choice(roles) for _ in range(rng.randint(1, 6))] + ["assistant"]
        yield [{"role": role, "content": random_text(rng, rng.randint(0, 60)).replace("\0", "")} for role in turns]


def same_chat(name, texts, words, folder):
    """By a model's own template, and by the one that trine writes for it."""
    talks = list(random_talks(name, 200))
    path = inside("talks.jsonl")
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"messages": talk}) + "\n" for talk in talks)
    words.bos_token, words.eos_token = chat_golden.SPECIAL.get(name, ("<|endoftext|>", "<|im_end|>"))
    for text in texts:
        with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8", newline="") as out:
            out.write(text)
        ours = [json.loads(line) for line in
                trine("tokenize", "chat", path, "--tokenizer", os.path.join(folder, "tokenizer.json"), "-q").splitlines()]
        theirs = [words.apply_chat_template(talk, chat_template=text, tokenize=False) for talk in talks]
        wrong = sum(a["text"] != b for a, b in zip(ours, theirs)) + abs(len(ours) - len(theirs))
        wrong_ids = sum(a["ids"] != words.apply_chat_template(talk, chat_template=text, return_dict=True)["input_ids"]
                        for a, talk in zip(ours, talks))
        report(f"{name} by its published template", wrong == 0 and wrong_ids == 0,
               f"{wrong} of {len(talks)} texts, {wrong_ids} of their tokens differ")
    out = inside("chat-" + name)
    trine("export", folder, out, "--chat-template", name)
    own = AutoTokenizer.from_pretrained(out)
    wrong = sum(own.apply_chat_template(talk, tokenize=False, add_generation_prompt=prompt) !=
                words.apply_chat_template(talk, chat_template=texts[0], tokenize=False, add_generation_prompt=prompt)
                for talk in talks for prompt in (False, True))
    report(f"{name} as trine writes it, in transformers", wrong == 0, f"{wrong} of {2 * len(talks)} texts differ")


def same_reply(folder):
    """A question, asked by trine and by transformers."""
    words, model = AutoTokenizer.from_pretrained(folder), load(folder)
    ids = words.apply_chat_template([{"role": "user", "content": PROMPT}], add_generation_prompt=True, return_tensors="pt",
                                    return_dict=True)["input_ids"]
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None, top_p=None,
                         max_new_tokens=WORDS)
    reply = words.decode(out[0][ids.shape[1]:], skip_special_tokens=True, clean_up_tokenization_spaces=False).encode()
    same_text("a reply after fine-tuning, greedy, in transformers",
              trine("generate", folder, "--chat", "--prompt", PROMPT, "--temperature", 0, "--tokens", WORDS), reply, "")


def conversations():
    torch.manual_seed(11)
    t, folder = torch_golden, inside("chat-base")
    inner = chat_golden.make_tokenizer([open(TEXT, encoding="utf-8").read(100_000)])
    model = t.LlamaForCausalLM(t.LlamaConfig(**dict(torch_golden.small, vocab_size=inner.get_vocab_size(), hidden_size=64,
                                                    intermediate_size=96, max_position_embeddings=256),
                                             num_key_value_heads=2, tie_word_embeddings=True))
    model.save_pretrained(folder)
    inner.save(os.path.join(folder, "tokenizer.json"))
    words = PreTrainedTokenizerFast(tokenizer_object=inner)
    templates = chat_golden.published(TEMPLATES)
    for name, texts in templates.items():
        same_chat(name, texts, words, folder)
    with open(inside("lessons.jsonl"), "w", encoding="utf-8") as out:
        for i, line in enumerate(open(TEXT, encoding="utf-8").read(60_000).splitlines()):
            out.write(json.dumps({"messages": [{"role": "user", "content": PROMPT + " " * (i % 2)},
                                               {"role": "assistant", "content": line[:60]}]}) + "\n")
    trine("train", inside("lessons.jsonl"), "--quiet", "--init", folder, "--chat-template", "chatml", "--out",
          inside("chat-run"), "--steps", 100, "--data.seq_len=128", "--sample.tokens=0", "--optimizer.lr=3e-3")
    trine("export", inside("chat-run"), inside("chat-tuned"))
    same_reply(inside("chat-tuned"))


def write_page():
    page = f"""# Held against other programs

Written by `make peers` (scripts/peers/peers.py), which ends with an error when one of these does not hold. torch
{version("torch")}, transformers {version("transformers")}, PEFT {version("peft")}, tokenizers {version("tokenizers")}, \
llama-cpp-python {version("llama_cpp_python")}, gguf {version("gguf")}, megatron-core {version("megatron-core")}.

Models are made anew: two layers, a vocabulary of {VOCAB}, large random weights. Texts are the likeliest token, {WORDS} times.
llama.cpp keeps its cache in F32; with BF16 and Q8_0 it rounds both sides of a product, where trine rounds weights alone, and its
GELU is a table in F16. Its logits then differ by what the table says, and where the two likeliest tokens are closer
than that, the texts part: such rows say where, and by how much.
"""
    for title, rows in sections:
        page += f"\n## {title}\n\n| what | measured |\n|---|---|\n"
        page += "".join(f"| {what} | {measured} |\n".replace("<|", "<\\|").replace("|>", "\\|>") for what, measured in rows)
    with open(PAGE, "w", encoding="utf-8") as out:
        out.write(page)


def main():
    torch.set_num_threads(2)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.makedirs(WORK, exist_ok=True)
    with open(inside("words.txt"), "w", encoding="utf-8") as out:
        out.write(open(TEXT, encoding="utf-8").read(200_000))
    trine("tokenize", "train", inside("words.txt"), "--vocab", VOCAB, "--quiet", "-o", inside("tokenizer.json"))
    section("Arithmetic: torch")
    truth()
    section("Models: transformers, PEFT, llama.cpp, gguf")
    torch.manual_seed(5)
    for name, model in tiny_models():
        interchange(name, model)
    same_types("llama")
    section("Data: Megatron-Core")
    same_indexed(Tokenizer.from_file(inside("tokenizer.json")))
    section("Conversations: transformers")
    conversations()
    section("Tokenizers: Hugging Face tokenizers")
    tokenizers()
    print("all equal" if not failed else f"{failed} comparisons do not hold")
    if not failed:
        write_page()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
