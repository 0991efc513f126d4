#!/usr/bin/env python3
"""The table of `make bench`: trine's kernels as shares of this machine's peak, then whole jobs beside the programs that
a user would take instead, on the same work in turn. scripts/bench/run.sh calls it.

    bench.py BUILD WORK TEXT [PYTHON OF THE PEERS]

Writes WORK/bench.md and WORK/bench.html. BENCH_ROUNDS=3 pairs of runs; BENCH_SKIP=kernels,train,small,generate,tokens
leaves parts out; GEMM_PYTHON=python of another environment adds its libraries to the products; LLMC=folder is a
checkout of llm.c, which no package index has. A row has the median over the rounds, the lowest and highest, and the
ratio of medians. BENCH_PAGE=FILE gets the Markdown page too."""
import html
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys

BUILD, WORK, TEXT = sys.argv[1:4]
PEERS = sys.argv[4] if len(sys.argv) > 4 else None
LLMC = os.environ.get("LLMC")
HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = os.environ.get("BENCH_ROUNDS", "3")
SKIP = [part for part in os.environ.get("BENCH_SKIP", "").split(",") if part]
if not ROUNDS.isdigit() or int(ROUNDS) < 1:
    sys.exit(f"bench: BENCH_ROUNDS={ROUNDS}: expected a number from 1 on")
ROUNDS = int(ROUNDS)
THREADS = len(os.sched_getaffinity(0))
GEMM_RUNS = "3"  # of each product in one visit, of which the median counts
TRINE = os.path.join(BUILD, "trine")
# GPT-2 124M and a small model: layers, width, heads, vocabulary, batch, tokens, how trine is told, steps
MODELS = {
    "train": ("GPT-2 124M, 4 x 1,024 tokens", [12, 768, 12, 50257, 4, 1024], ["--model=gpt2"], 3),
    "small": ("GPT-2 shape of 10 M, 16 x 256 tokens", [6, 384, 6, 512, 16, 256], None, 10),
}
versions, commands, tables = {}, [], []
SUMMARY_HEAD = ["work", "trine", "fastest peer", "the peer", "trine is faster by"]
summary = []  # (work, ours, the best peer, theirs, how many times as fast)


def say(text):
    print(text, file=sys.stderr, flush=True)


def shown(word):
    """A word of a command as a reader elsewhere would give it."""
    for name in ("GEMM_PYTHON", "LLMC"):
        if word == os.environ.get(name):
            return "$" + name
    return os.path.relpath(word) if os.path.isabs(word) and os.path.exists(word) else word


def run(command, env=None):
    # Settings of OpenBLAS that were made for another program halve torch; threads that sleep between products cost 5 %.
    # What torch mallocs and frees each step costs page faults again and again unless it is told to keep the memory.
    full = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_WAIT_"))}
    full.update(env or {})
    line = " ".join([f"{k}={v}" for k, v in (env or {}).items()] + [shown(word) for word in command])
    if line not in commands:
        commands.append(line)
    done = subprocess.run(command, env=full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        say(f"{line}: ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return None
    return done.stdout


def last_json(text):
    return json.loads(text.strip().splitlines()[-1]) if text and text.strip() else None


def in_turn(runs):
    """runs: {name: function that returns a dict or None}. Each of them once a round; {name: [dicts]}."""
    found = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name, work in runs.items():
            result = work()
            say(f"  round {number + 1} of {ROUNDS}: {name}: {result}")
            if result:
                found[name].append(result)
    return found


def spread(values, digits):
    if not values:
        return "-"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def ratio(ours, theirs, digits=2):
    return f"{statistics.median(ours) / statistics.median(theirs):.{digits}f}" if ours and theirs else "-"


def compare(work, unit, ours, peers, digits=0):
    """A line of the summary: our rates beside those of the fastest of `peers`, {name: rates}."""
    peers = {name: rates for name, rates in peers.items() if rates}
    if not ours or not peers:
        return
    best = max(peers, key=lambda name: statistics.median(peers[name]))
    summary.append([work, f"{statistics.median(ours):,.{digits}f} {unit}", best,
                    f"{statistics.median(peers[best]):,.{digits}f} {unit}", ratio(ours, peers[best])])


def table(title, head, rows, note=""):
    tables.append((title, head, rows, note))


# ---- kernels --------------------------------------------------------------------------------------------------------


def best_isas():
    """{number type: the highest instruction set that our products have for it here}."""
    found = {}
    for line in (run([f"{BUILD}/bench/bench_linear", "8", str(THREADS), "1"]) or "").splitlines():
        one = re.match(r"all of a step +(\S+) +(\S+) ", line)
        if one:
            found.setdefault(one[2], one[1])  # the highest stands first
    return {dtype: found[dtype] for dtype in ("f32", "bf16") if dtype in found}


def trine_products(rows, isa, dtype):
    out = run([f"{BUILD}/bench/bench_linear", str(rows), str(THREADS), GEMM_RUNS, f"{isa} {dtype}"]) or ""
    all_of_them = re.search(r"all of a step .* ([\d.]+) +([\d.]+) % +peak ([\d.]+)", out)
    shapes = [line.split() for line in out.splitlines() if f" {isa} " in line
              and not line.startswith(("all", "head", "small"))]
    if not all_of_them or not shapes:
        return None
    return {"gflop_s": float(all_of_them[1]), "peak": float(all_of_them[3]),
            "shapes": {f"{words[0]} {words[1]}": float(words[7]) for words in shapes}}


def library_products(rows, dtype):
    found = {}
    for python in dict.fromkeys([PEERS, os.environ.get("GEMM_PYTHON")]):  # the second has libraries of its own
        result = python and last_json(run([python, f"{HERE}/torch_gemm.py", str(rows), dtype, GEMM_RUNS, str(THREADS)]))
        if result:
            versions.update({k: v for k, v in result["versions"].items() if k not in versions})
            found = {**{name: rates["all of a step"] for name, rates in result["gflop_s"].items()}, **found}
    return found


def weakest_shape(ours):
    """Of the shapes that every visit has the one whose median is the lowest."""
    shares = {shape: [visit["shapes"][shape] for visit in ours] for shape in ours[0]["shapes"]}
    shape = min(shares, key=lambda name: statistics.median(shares[name]))
    return f"{shape}, {spread(shares[shape], 1)} %"


def products_of(rows, isa, dtype):
    """The lines of the table for one number of rows and type."""
    found = in_turn({"trine": lambda: trine_products(rows, isa, dtype), "libraries": lambda: library_products(rows, dtype)})
    if not found["trine"]:
        return []
    work = f"all products of a GPT-2 step, {rows:,} rows, {dtype}"
    ours, peak = [visit["gflop_s"] for visit in found["trine"]], statistics.median(v["peak"] for v in found["trine"])
    names = dict.fromkeys(name for visit in found["libraries"] for name in visit)
    peers = {name: [visit[name] for visit in found["libraries"] if name in visit] for name in names}
    compare(work, "GFLOP/s", ours, peers)
    return [[work, name, spread(rates, 0), f"{statistics.median(rates) / peak:.1%} of {peak:,.0f}",
             weakest_shape(found["trine"]) if rates is ours else ""]
            for name, rates in {f"trine, {isa}": ours, **peers}.items()]


def products(isas):
    table_rows = [line for dtype, isa in isas.items() for rows in (256, 1024, 4096, 8192)
                  for line in products_of(rows, isa, dtype)]
    table("Matrix products", ["work", "program", "GFLOP/s", "share of peak", "weakest shape, share of peak"], table_rows,
          "Five shapes, forward and both gradients, each as often as the model has it. Libraries as "
          "scripts/bench/torch_gemm.py says: torch_packed and zentorch get weights that were packed before, trine packs them "
          "each time. The peak is measured by bench_linear at its start. PyTorch's packages multiply fp32 with MKL, which may "
          "take slower instructions on processors that are not Intel's: openblas, numpy and zentorch show what libraries reach "
          "here, and fp32 training with PyTorch has to be read with that in mind.")


def kernels():
    say("kernels: matrix products and attention")
    isas = best_isas()
    products(isas)
    attention(isas)


def attention_visit(dtype, shapes):
    """Adds the rates of one visit to `shapes`, {sequences x tokens: {"attn" | "attn_bwd": [(GFLOP/s, share in %)]}}."""
    for line in (run([f"{BUILD}/bench/bench_vec", str(THREADS), dtype, "attn"]) or "").splitlines():
        found = re.match(r"(attn\S*) (\d+x\d+) h12/12 d64 +[\d.]+ ms +([\d.]+) GFLOP/s +([\d.]+) % of peak", line)
        if found:
            of_shape = shapes.setdefault(found[2], {"attn": [], "attn_bwd": []})
            of_shape[found[1]].append((float(found[3]), float(found[4])))


def attention(isas):
    rows = []
    for dtype in isas:
        shapes = {}
        for _ in range(ROUNDS):
            attention_visit(dtype, shapes)
        rows += [[shape.replace("x", " x "), dtype] + [spread([visit[i] for visit in rates[way]], 1 - digits)
                                                       for way in ("attn", "attn_bwd") for i, digits in ((0, 1), (1, 0))]
                 for shape, rates in shapes.items()]
    table("Attention: 12 heads of 64", ["sequences x tokens", "type", "forward, GFLOP/s", "% of peak", "backward, GFLOP/s",
                                        "% of peak"], rows,
          "Of each visit the best of the program's runs, counting the FLOPs that causality allows.")


# ---- a training step ------------------------------------------------------------------------------------------------


def config_file(shape):
    path = os.path.join(WORK, "small.json")
    layers, width, heads, vocab, _, seq_len = shape
    with open(path, "w") as f:
        json.dump({"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads, "vocab_size": vocab,
                   "n_positions": seq_len, "n_ctx": seq_len, "activation_function": "gelu_new"}, f)
    return path


def trine_step(shape, words, steps, dtype):
    run(["rm", "-rf", f"{WORK}/run"])
    command = [TRINE, "train", TEXT, "--json", "--quiet", f"--out={WORK}/run", f"--steps={steps + 1}",
               f"--train.batch={shape[4]}", f"--data.seq_len={shape[5]}", f"--train.dtype={dtype}", "--eval.every=0",
               "--sample.tokens=0", f"--threads={THREADS}"] + (words or [f"--model={config_file(shape)}"])
    result = last_json(run(command))
    if not result:
        return None
    return {"tok_s": result["tok_s"], "memory_gib": result["memory_peak_bytes"] / 2**30, "mfu": result["mfu"]}


def torch_step(shape, steps, dtype, mode, env):
    command = [PEERS, f"{HERE}/torch_step.py"] + [str(x) for x in shape] + [dtype, mode, str(steps), str(THREADS)]
    result = last_json(run(command, env))
    if result:
        versions["PyTorch"] = result["version"]
    return result


def llmc_step(shape):
    # One sequence at a time: with four its activations would take 19 GiB, and a token costs it the same.
    return last_json(run([PEERS, f"{HERE}/llmc_step.py", LLMC, WORK, "1", str(shape[5]), "1", str(THREADS)]))


def training(part):
    title, shape, words, steps = MODELS[part]
    say(f"training: {title}")
    tuned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "1073741824"}
    rows = []
    for dtype in ("f32", "bf16"):
        runs = {"trine": lambda: trine_step(shape, words, steps, dtype)}
        if PEERS:
            for mode in ("eager", "compile"):
                runs[f"PyTorch {mode}"] = lambda mode=mode: torch_step(shape, steps, dtype, mode, tuned)
            if LLMC and part == "train" and dtype == "f32":
                runs["llm.c, 1 x 1,024 tokens"] = lambda: llmc_step(shape)
        found = in_turn(runs)
        ours = [r["tok_s"] for r in found["trine"]]
        compare(f"training, {title}, {dtype}", "tok/s", ours,
                {name: [r["tok_s"] for r in results] for name, results in found.items() if name != "trine"})
        for name, results in found.items():
            rates, memory = [r["tok_s"] for r in results], [r["memory_gib"] for r in results]
            rows.append([f"{title}, {dtype}", name, spread(rates, 0),
                         f"{statistics.median(r['mfu'] for r in results):.1%}" if results and name == "trine" else "",
                         f"{statistics.median(memory):.2f} GiB" if memory else "-",
                         "" if name == "trine" else ratio(ours, rates)])
    table(f"Training: {title}", ["work", "program", "tokens a second", "MFU", "memory", "trine is faster by"], rows,
          "PyTorch as its users write it (scripts/bench/torch_step.py), bf16 by autocast, with an allocator that keeps "
          "its memory. Medians of the steps after the first.")


# ---- generation -----------------------------------------------------------------------------------------------------


# trine's weights, llama.cpp's file of as many bits
FORMATS = {"f32": "f32", "bf16": "bf16", "int8": "q8_0", "int4": "q4_0"}


def trine_rate(weights, prompt, new):
    out = run([f"{BUILD}/bench/bench_generate", weights, str(prompt), str(new), str(THREADS)])
    found = out and re.search(r"prompt of \d+ ([\d.]+) tok/s, then \d+ one by one ([\d.]+) tok/s, ([\d.]+) % of the [\d.]+ "
                              r"that memory allows \(([\d.]+) GB/s", out)
    return found and {"prompt_tok_s": float(found[1]), "new_tok_s": float(found[2]), "share": float(found[3]) / 100,
                      "memory_gb_s": float(found[4])}


def llama_rate(path, prompt, new):
    result = last_json(run([PEERS, f"{HERE}/llama_rate.py", path, str(prompt), str(new), str(THREADS)]))
    if result:
        versions["llama.cpp (llama-cpp-python)"] = result["version"]
    return result


def llama_file(kind):
    """GPT-2 124M of random weights as a file for llama.cpp: trine writes it, but for 4 bits."""
    path, tokenizer = f"{WORK}/gpt2-{kind}.gguf", f"{WORK}/some.json"
    if os.path.exists(path):
        return path
    if not os.path.exists(tokenizer):
        run(["rm", "-rf", f"{WORK}/gpt2"])
        run([TRINE, "train", TEXT, "--quiet", f"--out={WORK}/gpt2", "--steps=1", "--train.batch=1", "--model=gpt2",
             "--data.seq_len=64", "--eval.every=0", "--sample.tokens=0"])
        run([TRINE, "tokenize", "train", TEXT, "--vocab=2000", "--pre=gpt-2", "-o", tokenizer, "-q"])
    if kind == "q4_0":
        if run([PEERS, f"{HERE}/llama_quantize.py", llama_file("f32"), path + ".tmp", "Q4_0"]) is not None:
            os.rename(path + ".tmp", path)
    else:
        run([TRINE, "export", f"{WORK}/gpt2", path, f"--type={kind}", f"--tokenizer={tokenizer}"])
    return path if os.path.exists(path) else None


def generation():
    say("generation: GPT-2 124M")
    rows, new = [], 128
    for weights, kind in FORMATS.items():
        path = llama_file(kind) if PEERS else None
        for prompt in (512, 1):
            runs = {"trine": lambda: trine_rate(weights, prompt, new)}
            if path:
                runs[f"llama.cpp, {kind.upper()}"] = lambda: llama_rate(path, prompt, new)
            rows += generation_rows(weights, prompt, new, in_turn(runs))
    table("Generation: GPT-2 124M, one text", ["weights", "prompt", "program", "prompt, tok/s", f"then {new} one by one, tok/s",
                                               "of what memory allows", "trine is faster by"], rows,
          "llama.cpp runs the file that trine exports (4 bits: that llama.cpp makes of it). What memory allows: the fastest "
          "that the same threads have read the weights, measured between the runs, over the bytes of matrices, keys and "
          "values that a token needs.")


def generation_rows(weights, prompt, new, found):
    def rates(results, key):
        return [r[key] for r in results]

    peers = {name: results for name, results in found.items() if name != "trine"}
    read_it = prompt > 1  # one token is no prompt worth timing
    for what, key, digits in ([(f"a prompt of {prompt} tokens", "prompt_tok_s", 0)] if read_it else []) + [
            (f"{new} tokens after a prompt of {prompt}", "new_tok_s", 1)]:
        compare(f"GPT-2 124M, {weights}: {what}", "tok/s", rates(found["trine"], key),
                {name: rates(results, key) for name, results in peers.items()}, digits)
    rows = []
    for name, results in found.items():
        faster = [ratio(rates(found["trine"], key), rates(results, key)) for key in ("prompt_tok_s", "new_tok_s")]
        share = [r["share"] for r in results if "share" in r]
        rows.append([weights, f"{prompt:,}", name, spread(rates(results, "prompt_tok_s"), 0) if read_it else "",
                     spread(rates(results, "new_tok_s"), 1), f"{statistics.median(share):.0%}" if share else "",
                     "" if name == "trine" else " / ".join(faster[0 if read_it else 1:])])
    return rows


# ---- tokenizer ------------------------------------------------------------------------------------------------------


def tokenizer():
    say("tokenizer")
    big, vocab, file = f"{WORK}/text.txt", 32000, f"{WORK}/tokenizer.json"
    with open(TEXT, "rb") as f:
        text = f.read()
    with open(big, "wb") as f:
        f.write(text * max(1, round(12e6 / len(text))))

    def ours():
        train = last_json(run([TRINE, "tokenize", "train", big, f"--vocab={vocab}", "--pre=gpt-2", "-o", file, "--json",
                               "-q"]))
        count = last_json(run([TRINE, "tokenize", "count", big, "-t", file, "--json", "-q"]))
        return train and count and {"train_mb_s": train["mb_s"], "encode_mb_s": count["mb_s"]}

    def theirs():
        result = last_json(run([PEERS, f"{HERE}/hf_tokens.py", file, big, str(vocab)]))
        if result:
            versions["Hugging Face tokenizers"] = result["version"]
        return result

    found = in_turn({"trine": ours, **({"Hugging Face tokenizers": theirs} if PEERS else {})})
    rows = []
    for what, keys in (("encode, one thread", ("encode_mb_s",)), ("encode, their threads", ("encode_all_mb_s", "encode_mb_s")),
                       ("train", ("train_mb_s",))):
        compare(f"tokenizer, {what}", "MB/s", [r[keys[-1]] for r in found["trine"]],
                {name: [r[keys[0]] for r in results if keys[0] in r] for name, results in found.items() if name != "trine"}, 1)
    for name, results in found.items():
        encode, train = [r["encode_mb_s"] for r in results], [r["train_mb_s"] for r in results]
        every = [r["encode_all_mb_s"] for r in results if "encode_all_mb_s" in r]
        rows.append([name, spread(encode, 1), spread(every, 1) if every else "", spread(train, 1),
                     "" if name == "trine" else ratio([r["encode_mb_s"] for r in found["trine"]], encode) + " / " +
                     ratio([r["train_mb_s"] for r in found["trine"]], train)])
    table(f"Tokenizer: byte-level BPE, {vocab:,} tokens wanted, {os.path.getsize(big) / 1e6:.1f} MB of text",
          ["program", "encode, one thread, MB/s", "encode, all threads", "train, MB/s", "trine is faster by"], rows,
          "GPT-2's pattern; the text is the demo's, repeated: every word is one that has been seen. trine counts the tokens, Hugging "
          "Face's library hands out their ids.")
    hard_texts(file)


def hard_text(kind, size):
    """`size` letters and spaces that no cache of words helps with."""
    dice = random.Random(size)
    if kind == "new words":
        text = "".join(" " if dice.random() < 0.16 else chr(97 + dice.randrange(26)) for _ in range(size))
    elif kind == "letters at random, one word":
        text = "".join(chr(97 + dice.randrange(26)) for _ in range(size))
    else:
        text = {"one letter, one word": "a", "spaces": " "}[kind] * size
    path = f"{WORK}/hard.txt"
    with open(path, "w") as f:
        f.write(text)
    return path


def hard_texts(file):
    """Whether the time of encoding goes on being linear where words are new, or a word never ends."""
    sizes, rows = (1, 4, 16), []
    for kind in ("new words", "letters at random, one word", "one letter, one word", "spaces"):
        rates, theirs = {}, None
        for megabytes in sizes:
            path = hard_text(kind, megabytes * 1000000)
            visits = [last_json(run([TRINE, "tokenize", "count", path, "-t", file, "--json", "-q"])) for _ in range(ROUNDS)]
            rates[megabytes] = [visit["mb_s"] for visit in visits if visit]
            if PEERS and megabytes == sizes[0]:
                theirs = last_json(run([PEERS, f"{HERE}/hf_tokens.py", file, path, "0"]))
        say(f"  {kind}: {rates}; {theirs}")
        rows.append([kind] + [spread(rates[megabytes], 1) for megabytes in sizes] +
                    [ratio(rates[sizes[-1]], rates[sizes[0]]), f"{theirs['encode_mb_s']:.1f}" if theirs else "-"])
    table("Tokenizer: encode, MB/s, of texts that are hard", ["text"] + [f"{megabytes} MB" for megabytes in sizes] +
          [f"{sizes[-1]} MB / {sizes[0]} MB", f"Hugging Face tokenizers, {sizes[0]} MB, one visit"], rows,
          "trine, one thread, the tokenizer of above. Time that is linear in the size has the same rate at every size.")


# ---- pages ----------------------------------------------------------------------------------------------------------


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {THREADS} cores used, {platform.system()} {platform.release()}"


def bar(row, head):
    """The ratio of a line of the summary as a bar, 3 em each time as fast."""
    return f' <i style="width:{3 * float(row[-1]):.1f}em"></i>' if head is SUMMARY_HEAD and row[-1] != "-" else ""


def write_pages():
    facts = [machine(), f"rounds, the programs in turn: {ROUNDS}; a rate is the median (lowest to highest) of them; "
             "of products each of the rounds has the median of three runs",
             "versions: " + ", ".join(f"{k} {v}" for k, v in sorted(versions.items())) if versions else "no peers"]
    md = ["# Benchmarks", ""] + [f"- {fact}" for fact in facts] + [""]
    page = ["<!doctype html><meta charset=utf-8><title>trine: benchmarks</title><style>body{font:15px sans-serif;"
            "margin:2em auto;max-width:70em}table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3em .6em;"
            "text-align:left}i{display:inline-block;height:.7em;background:#2a6}</style><h1>Benchmarks</h1><ul>"]
    page += [f"<li>{html.escape(fact)}" for fact in facts] + ["</ul>"]
    beside = ("Beside the fastest peer", SUMMARY_HEAD, summary,
              "Medians of the tables below.")
    for title, head, rows, note in ([beside] if summary else []) + tables:
        md += [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        md += ["| " + " | ".join(row) + " |" for row in rows] + ["", note, ""]
        page += [f"<h2>{html.escape(title)}</h2><table><tr>" + "".join(f"<th>{html.escape(h)}" for h in head)]
        page += ["<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) + bar(row, head) for row in rows]
        page += [f"</table><p>{html.escape(note)}"]
    md += ["## Commands", "", "```"] + commands + ["```", ""]
    page += ["<h2>Commands</h2><pre>" + html.escape("\n".join(commands)) + "</pre>"]
    for path, lines in ((f"{WORK}/bench.md", md), (f"{WORK}/bench.html", page), (os.environ.get("BENCH_PAGE"), md)):
        if path:
            with open(path, "w") as f:
                f.write("\n".join(lines) + "\n")
    return "\n".join(md)


PARTS = {"kernels": kernels, "train": lambda: training("train"), "small": lambda: training("small"),
         "generate": generation, "tokens": tokenizer}
for part in SKIP:
    if part not in PARTS:
        sys.exit(f"bench: BENCH_SKIP={part}: expected some of {', '.join(PARTS)}")
for part, work in PARTS.items():
    if part not in SKIP:
        work()
        write_pages()  # what is there, also when a later part takes too long
print(write_pages())
