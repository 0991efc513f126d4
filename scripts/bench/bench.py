#!/usr/bin/env python3
"""The tables of `make bench`: trine's kernels as shares of this machine's peak, then whole jobs beside the programs that
a user would take instead, on the same work in turn. scripts/bench/run.sh calls it.

    bench.py BUILD WORK TEXT WORDS [PYTHON OF THE PEERS]

TEXT is what models train on, WORDS a text of many different words for the tokenizer. Writes WORK/bench.md and
WORK/bench.html. BENCH_ROUNDS=3 pairs of runs; BENCH_SKIP=kernels,train,small,generate,tokens leaves parts out;
GEMM_PYTHON=python of another environment adds its libraries to the products; LLMC=folder is a checkout of llm.c, which
no package index has. A row has the median over the rounds, the lowest and highest, and the ratio of medians. A peer that
is not there or does not run has no rows, and the page says so. BENCH_PAGE=FILE gets the Markdown page too. Stopped, it
goes on where it was: what is measured stands in WORK/visits.jsonl until all that was asked for is on the page."""
import hashlib
import json
import os
import random
import re
import statistics
import subprocess
import sys

from page import commands, failures, goal, machine, summary, table, versions
from page import write as write_page
from visits import Visits

BUILD, WORK, TEXT, WORDS = sys.argv[1:5]
PEERS = sys.argv[5] if len(sys.argv) > 5 else None
LLMC = os.environ.get("LLMC")
HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = os.environ.get("BENCH_ROUNDS", "3")
SKIP = [part for part in os.environ.get("BENCH_SKIP", "").split(",") if part]
if not ROUNDS.isdigit() or int(ROUNDS) < 1:
    sys.exit(f"bench: BENCH_ROUNDS={ROUNDS}: expected a number from 1 on")
ROUNDS = int(ROUNDS)
THREADS = len(os.sched_getaffinity(0))
LLMC_NAME = "llm.c, 1 x 1,024 tokens"
VOCAB = 32000  # of the tokenizer
ALL, GEMM_ROWS = "all of a step", (256, 1024, 4096, 8192)
# Runs of each product in one visit, of which the median counts: one of 8,192 rows takes as long as several of fewer.
GEMM_RUNS = {rows: "1" if rows == 8192 else "3" for rows in GEMM_ROWS}
TRINE = os.path.join(BUILD, "trine")
# GPT-2 124M and a small model: layers, width, heads, vocabulary, batch, tokens, how trine is told, steps
MODELS = {
    "train": ("GPT-2 124M, 4 x 1,024 tokens", [12, 768, 12, 50257, 4, 1024], ["--model=gpt2"], 3),
    "small": ("GPT-2 shape of 10 M, 16 x 256 tokens", [6, 384, 6, 512, 16, 256], None, 10),
}
# Settings of OpenBLAS that were made for another program halve torch; threads that sleep between products cost 5 %.
UNSET = sorted(name for name in os.environ if name.startswith(("OPENBLAS_", "OMP_WAIT_")))
mkl_share = {}  # {number type: the share of peak that torch's products reach}, once it was measured


def say(text):
    print(text, file=sys.stderr, flush=True)


def shown(word):
    """A word of a command as a reader elsewhere would give it."""
    for name in ("PEERS_VENV", "GEMM_PYTHON", "LLMC"):
        value = os.environ.get(name, "").rstrip("/")
        if value and (word + "/").startswith(value + "/"):
            return "$" + name + word[len(value):]
    return os.path.relpath(word) if os.path.isabs(word) and os.path.exists(word) else word


def run(command, env=None):
    """What a command prints, or None where it could not do its work."""
    full = {k: v for k, v in os.environ.items() if k not in UNSET}
    full.update(env or {})
    line = " ".join([f"{k}={v}" for k, v in (env or {}).items()] + [shown(word) for word in command])
    if line not in commands:
        commands.append(line)
    done = subprocess.run(command, env=full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for said in done.stderr.strip().splitlines()[-1:] if done.returncode != 0 else []:
        fail(line, f"ended with {done.returncode}: {said}")
    return done.stdout if done.returncode == 0 else None


def fail(line, why):
    say(f"{line}: {why}")
    program = " ".join(word for word in line.split() if word.endswith(".py")) or line.split()[0]
    failures.setdefault(f"{program} {why}", line)  # once for all its commands that end alike


def last_json(text):
    """The object on the last line; None of anything else."""
    try:
        found = json.loads((text or "").strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def result_of(command, env=None):
    """The JSON that a command ends with, or None."""
    text = run(command, env)
    result = last_json(text)
    if text is not None and result is None:
        fail(" ".join(shown(word) for word in command), "printed no result")
    return result


def in_turn(subject, runs):
    """runs: {name: function that returns a dict or None}. Each of them once a round; {name: [dicts]}, without peers that
    never had one."""
    found = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name, work in runs.items():
            result = visits.once(f"{subject}, {name}, {number + 1}", work)
            say(f"  round {number + 1} of {ROUNDS}: {name}: {result}")
            if result:
                found[name].append(result)
    return {name: results for name, results in found.items() if results or name == "trine"}


def spread(values, digits):
    if not values:
        return "-"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def ratio(ours, theirs, digits=2):
    return f"{statistics.median(ours) / statistics.median(theirs):.{digits}f}" if ours and theirs else "-"


def compare(work, unit, ours, peers, digits=0, note=""):
    """A line of the summary: our rates beside those of the fastest of `peers`, {name: rates}; how many times as fast."""
    peers = {name: rates for name, rates in peers.items() if rates}
    if not ours or not peers:
        return None
    best = max(peers, key=lambda name: statistics.median(peers[name]))
    summary.append([work, f"{statistics.median(ours):,.{digits}f} {unit}", best + (note if best.startswith("PyTorch") else ""),
                    f"{statistics.median(peers[best]):,.{digits}f} {unit}", ratio(ours, peers[best])])
    return statistics.median(ours) / statistics.median(peers[best])


def median(values):
    return statistics.median(values) if values else None


def reaches(value, least):
    return None if value is None else value >= least


# ---- kernels --------------------------------------------------------------------------------------------------------


def best_isas():
    """{number type: the highest instruction set that our products have for it here}."""
    found = {}
    text = visits.once("instruction sets", lambda: run([f"{BUILD}/bench/bench_linear", "8", str(THREADS), "1"]))
    for line in (text or "").splitlines():
        one = re.match(r"all of a step +(\S+) +(\S+) ", line)
        if one:
            found.setdefault(one[2], one[1])  # the highest stands first
    return {dtype: found[dtype] for dtype in ("f32", "bf16") if dtype in found}


def trine_products(rows, isa, dtype):
    out = run([f"{BUILD}/bench/bench_linear", str(rows), str(THREADS), GEMM_RUNS[rows], f"{isa} {dtype}"]) or ""
    all_of_them = re.search(r"all of a step .* ([\d.]+) +([\d.]+) % +peak ([\d.]+)", out)
    shapes = [line.split() for line in out.splitlines() if f" {isa} " in line
              and not line.startswith(("all", "head", "small"))]
    if not all_of_them or not shapes:
        return None
    return {ALL: float(all_of_them[1]), "peak": float(all_of_them[3]),
            **{f"{words[0]} {words[1]}": float(words[5]) for words in shapes}}


def library_products(rows, dtype):
    """{library: {shape and pass: GFLOP/s}}"""
    found = {}
    for python in dict.fromkeys([PEERS, os.environ.get("GEMM_PYTHON")]):  # the second has libraries of its own
        result = python and result_of([python, f"{HERE}/library_gemm.py", str(rows), dtype, GEMM_RUNS[rows],
                                              str(THREADS)])
        if result:
            versions.update({k: v for k, v in result["versions"].items() if k not in versions})
            found = {**result["gflop_s"], **found}
    return found


class Products:
    """What was measured of products with one number of rows and one type."""

    def __init__(self, rows, isa, dtype):
        found = in_turn(f"products of {rows} rows, {dtype}", {"trine": lambda: trine_products(rows, isa, dtype),
                                                              "libraries": lambda: library_products(rows, dtype)})
        self.rows, self.isa, self.dtype, self.ours = rows, isa, dtype, found["trine"]
        libraries = found.get("libraries", [])
        self.peers = {name: [visit[name] for visit in libraries if name in visit]
                      for name in dict.fromkeys(name for visit in libraries for name in visit)}
        self.peaks = [visit["peak"] for visit in self.ours]

    @property
    def peak(self):
        return median(self.peaks)

    def raise_peaks(self, least):
        """A peak that was measured while something else had a core is none."""
        self.peaks = [max(peak, least) for peak in self.peaks]

    def rates(self, shape):
        return [visit[shape] for visit in self.ours]

    def share(self, shape):
        """Of the peak that the same visit measured: from one visit to the next the machine may be another."""
        return median([rate / peak for rate, peak in zip(self.rates(shape), self.peaks)])

    def shapes(self):
        return [name for name in self.ours[0] if name not in (ALL, "peak")] if self.ours else []

    def faster(self, shape):
        """Than the fastest library, how many times; None without any."""
        best = [median([visit[shape] for visit in visits]) for visits in self.peers.values()]
        return median(self.rates(shape)) / max(best) if best else None

    def lines(self):
        work = f"all products of a GPT-2 step, {self.rows:,} rows, {self.dtype}"
        ours, peers = self.rates(ALL), {name: [visit[ALL] for visit in visits] for name, visits in self.peers.items()}
        if not ours:
            return []
        compare(work, "GFLOP/s", ours, peers)
        if "torch" in peers:
            mkl_share[self.dtype] = median(peers["torch"]) / self.peak  # at the most rows, in the end
        weakest = min(self.shapes(), key=self.share)
        mine = [work, f"trine, {self.isa}", spread(ours, 0), f"{self.share(ALL):.1%} of {self.peak:,.0f}",
                f"{weakest}, {self.share(weakest):.1%}"]
        return [mine] + [[work, name, spread(rates, 0), f"{median(rates) / self.peak:.1%} of {self.peak:,.0f}", ""]
                         for name, rates in peers.items()]

    def cell(self, shape):
        faster = self.faster(shape)
        return f"{self.share(shape):.1%}" + (f" / {faster:.2f}" if faster else "")


def products(isas):
    measured = [Products(rows, isa, dtype) for dtype, isa in isas.items() for rows in GEMM_ROWS]
    measured = [one for one in measured if one.ours]
    for dtype in isas:
        alike = [one for one in measured if one.dtype == dtype]
        usual = median([peak for one in alike for peak in one.peaks])
        for one in alike:
            one.raise_peaks(usual)
    table("Matrix products", ["work", "program", "GFLOP/s", "share of peak", "weakest shape, share of peak"],
          [line for one in measured for line in one.lines()],
          "Five shapes, forward and both gradients, each as often as the model has it. Libraries as "
          "scripts/bench/library_gemm.py says: torch_packed and zentorch get weights that were packed before, trine packs them "
          "each time. Each visit of bench_linear measures the peak at its start, and one below the median of all visits of the type "
          "counts as that: trine's shares are medians of those of visits, libraries' of the median peak. PyTorch's packages multiply fp32 with MKL, which may "
          "take slower instructions on processors that are not Intel's: openblas, numpy and zentorch show what libraries reach "
          "here, and fp32 training with PyTorch has to be read with that in mind.")
    if not measured:
        return
    table("Matrix products, shape by shape", ["shape, pass"] + [f"{one.rows:,} rows, {one.dtype}" for one in measured],
          [[shape] + [one.cell(shape) for one in measured] for shape in measured[0].shapes()],
          "Share of the peak; how many times as fast as the fastest of the libraries.", folded=True)
    shares = [one.share(ALL) for one in measured]
    weakest = min((one.share(shape), f"{shape}, {one.rows:,} rows, {one.dtype}") for one in measured for shape in one.shapes())
    goal("products: 91 % of peak in the sum of a step", f"{min(shares):.1%} to {max(shares):.1%}", min(shares) >= 0.91)
    goal("no single product below 80 %", f"lowest {weakest[0]:.1%} ({weakest[1]})", weakest[0] >= 0.8)
    faster = [ours for ours in (one.faster(ALL) for one in measured) if ours]
    goal("products ahead of every library", f"{min(faster):.2f} to {max(faster):.2f} times the fastest one" if faster else "-",
         reaches(min(faster), 1) if faster else None)


def kernels():
    say("kernels: matrix products, attention, passes")
    isas = best_isas()
    products(isas)
    attention(isas)
    passes(isas)


def vector_visits(dtype, word, pattern):
    """{what the first group of `pattern` says: [the others, as numbers, of each round]} of the rows of bench_vec."""
    found = {}
    for number in range(ROUNDS):
        text = visits.once(f"{word}, {dtype}, {number + 1}",
                           lambda: run([f"{BUILD}/bench/bench_vec", str(THREADS), dtype, word]))
        for line in (text or "").splitlines():
            one = re.match(pattern, line)
            if one:
                found.setdefault(one[1], []).append([float(number) for number in one.groups()[1:]])
    return found


def both_ways(forward, backward):
    """The share of peak of forward and backward together: backward has 2.5 times as many FLOPs."""
    return 3.5 / (1 / median([visit[1] for visit in forward]) + 2.5 / median([visit[1] for visit in backward])) / 100


def attention(isas):
    rows = []
    for dtype in isas:
        found = vector_visits(dtype, "attn", r"(attn\S* \d+x\d+) h12/12 d64 +[\d.]+ ms +([\d.]+) GFLOP/s +([\d.]+) % of peak")
        shapes = [name.split()[1] for name in found if name.startswith("attn ")]
        rows += [[shape.replace("x", " x "), dtype] + [spread([visit[i] for visit in found[f"{way} {shape}"]], 1 - digits)
                                                       for way in ("attn", "attn_bwd") for i, digits in ((0, 1), (1, 0))]
                 for shape in shapes]
        wanted, share = {"f32": 0.6, "bf16": 0.45}[dtype], None
        if "1x4096" in shapes:
            share = both_ways(found["attn 1x4096"], found["attn_bwd 1x4096"])
        goal(f"attention, 4,096 tokens, forward and backward, {dtype}: {wanted:.0%} of peak", f"{share:.1%}" if share else "-",
             reaches(share, wanted))
    table("Attention: 12 heads of 64", ["sequences x tokens", "type", "forward, GFLOP/s", "% of peak", "backward, GFLOP/s",
                                        "% of peak"], rows,
          "Of each visit the best of the program's runs, counting the FLOPs that causality allows.")


def passes(isas):
    rows = []
    for dtype in isas:
        found = vector_visits(dtype, "pass", r"pass (.*?) +[\d.]+ ms +([\d.]+) GB/s +([\d.]+) % of memory")
        rows += [[name, dtype, spread([visit[0] for visit in visits], 1), spread([visit[1] for visit in visits], 0)]
                 for name, visits in found.items()]
    table("Passes: 4 x 1,024 tokens, width 768; updates of 39 M weights", ["pass", "type", "GB/s", "% of memory's rate"], rows,
          "Bytes of the operands, each once, in the best of the program's runs; memory's rate is that of reading 256 MiB. What "
          "lies in a cache from the run before comes faster than memory gives it, and memory takes writes beside reads: such shares "
          "pass 100 %. Weights, gradients and moments are fp32 in both types.")


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
    result = result_of(command)
    if not result:
        return None
    with open(f"{WORK}/run/metrics.jsonl") as f:
        lines = [line for line in map(json.loads, f) if line["kind"] == "step"][1:]  # the first warms up, as with the peers
    return {"tok_s": median([line["tok_s"] for line in lines]), "mfu": median([line["mfu"] for line in lines]) * mfu_factor(),
            "memory_gib": result["memory_peak_bytes"] / 2**30}


def mfu_factor():
    """What the last run's MFU is to be multiplied by: of the peaks that it measured before its first step and, where it took ten
    seconds, after its last, the higher one counts, for another program can only have made the other lower."""
    with open(f"{WORK}/run/profile.json") as f:
        profile = json.load(f)
    first, last = profile["peak_flop_s"], profile.get("looks", {}).get("last", {}).get("peak_flop_s", 0)
    return first / max(first, last)


def torch_step(shape, steps, dtype, mode, env):
    command = [PEERS, f"{HERE}/torch_step.py"] + [str(x) for x in shape] + [dtype, mode, str(steps), str(THREADS)]
    result = result_of(command, env)
    if result:
        versions["PyTorch"] = result["version"]
    return result


def llmc_step(shape):
    # One sequence at a time: with four its activations would take 19 GiB, and a token costs it the same.
    return result_of([PEERS, f"{HERE}/llmc_step.py", LLMC, WORK, "1", str(shape[5]), "1", str(THREADS)])


def step_programs(part, dtype):
    """{program: what runs one visit of it}"""
    _, shape, words, steps = MODELS[part]
    # What torch mallocs and frees each step costs page faults again and again unless it is told to keep the memory.
    tuned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "1073741824"}
    runs = {"trine": lambda: trine_step(shape, words, steps, dtype)}
    if PEERS:
        for mode in ("eager", "compile"):
            runs[f"PyTorch {mode}"] = lambda mode=mode: torch_step(shape, steps, dtype, mode, tuned)
        if LLMC and part == "train" and dtype == "f32":
            runs[LLMC_NAME] = lambda: llmc_step(shape)
    return runs


def step_goals(part, dtype, found, faster):
    """Against the best of PyTorch in both; of GPT-2 124M the share of peak, memory and llm.c too."""
    title, ours = MODELS[part][0], found["trine"]
    wanted = {"f32": 1.25, "bf16": 1.3}[dtype]
    goal(f"{title}, {dtype}: {wanted} times PyTorch", f"{faster:.2f}" if faster else "-", reaches(faster, wanted))
    if part != "train" or not ours:
        return
    wanted, mfu = {"f32": 0.82, "bf16": 0.77}[dtype], median([r["mfu"] for r in ours])
    goal(f"{title}, {dtype}: {wanted:.0%} of the processor's peak", f"{mfu:.1%}", mfu >= wanted)
    memory = median([r["memory_gib"] for r in ours])
    goal(f"{title}, {dtype}: at most 4 GiB", f"{memory:.2f} GiB", memory <= 4)
    shares = {name: memory / median([r["memory_gib"] for r in found[name]]) for name in found if name.startswith("PyTorch")}
    goal(f"{title}, {dtype}: at most 40 % of PyTorch's memory",
         ", ".join(f"{share:.1%} of {name}" for name, share in shares.items()) if shares else "-",
         max(shares.values()) <= 0.4 if shares else None)
    if dtype == "f32":
        times = median([r["tok_s"] for r in ours]) / median([r["tok_s"] for r in found[LLMC_NAME]]) if LLMC_NAME in found else None
        goal("6 times llm.c's trainer", f"{times:.1f}" if times else "-", reaches(times, 6))


def training(part):
    title = MODELS[part][0]
    say(f"training: {title}")
    rows = []
    for dtype in ("f32", "bf16"):
        found = in_turn(f"training {title}, {dtype}", step_programs(part, dtype))
        ours = [r["tok_s"] for r in found["trine"]]
        note = f", by MKL at {mkl_share[dtype]:.0%} of peak" if dtype == "f32" and dtype in mkl_share else ""
        faster = compare(f"training, {title}, {dtype}", "tok/s", ours,
                         {name: [r["tok_s"] for r in results] for name, results in found.items() if name != "trine"}, note=note)
        step_goals(part, dtype, found, faster)
        for name, results in found.items():
            rates, memory = [r["tok_s"] for r in results], [r["memory_gib"] for r in results]
            rows.append([f"{title}, {dtype}", name, spread(rates, 0),
                         f"{median([r['mfu'] for r in results]):.1%}" if results and name == "trine" else "",
                         f"{median(memory):.2f} GiB" if memory else "-",
                         "" if name == "trine" else ratio(ours, rates)])
    table(f"Training: {title}", ["work", "program", "tokens a second", "MFU", "memory", "trine is faster by"], rows,
          "PyTorch as its users write it (scripts/bench/torch_step.py), bf16 by autocast, with an allocator that keeps "
          "its memory. Of each visit the median of the steps after the first. MFU is of the peak that the same run measured, "
          "before its first step or after its last, whichever is higher.")


# ---- generation -----------------------------------------------------------------------------------------------------


# trine's weights, llama.cpp's file of as many bits
FORMATS = {"f32": "f32", "bf16": "bf16", "int8": "q8_0", "int4": "q4_0"}


BANDWIDTH_WANTED = {"bf16": 0.85, "int8": 0.75, "int4": 0.5}


def trine_rate(weights, prompt, new):
    out = run([f"{BUILD}/bench/bench_generate", weights, str(prompt), str(new), str(THREADS)])
    found = out and re.search(r"prompt of \d+ ([\d.]+) tok/s, then \d+ one by one ([\d.]+) tok/s, ([\d.]+) % of the [\d.]+ "
                              r"that memory allows \(([\d.]+) GB/s", out)
    return found and {"prompt_tok_s": float(found[1]), "new_tok_s": float(found[2]), "share": float(found[3]) / 100,
                      "memory_gb_s": float(found[4])}


def llama_rate(path, prompt, new):
    result = result_of([PEERS, f"{HERE}/llama_rate.py", path, str(prompt), str(new), str(THREADS)])
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
            found = in_turn(f"generation {weights} after {prompt}", runs)
            rows += generation_rows(weights, prompt, new, found)
            generation_goals(weights, prompt, found)
    table("Generation: GPT-2 124M, one text", ["weights", "prompt", "program", "prompt, tok/s", f"then {new} one by one, tok/s",
                                               "of what memory allows", "trine is faster by"], rows,
          "llama.cpp runs the file that trine exports (4 bits: that llama.cpp makes of it). What memory allows: the fastest "
          "that the same threads have read the weights, measured between the runs, over the bytes of matrices, keys and "
          "values that a token needs.")


def generation_goals(weights, prompt, found):
    if weights not in BANDWIDTH_WANTED:
        return
    ours, wanted = found["trine"], BANDWIDTH_WANTED[weights]
    theirs = [r for name, results in found.items() if name != "trine" for r in results]

    def times(key):
        return median([r[key] for r in ours]) / median([r[key] for r in theirs]) if ours and theirs else None

    share, new, read = median([r["share"] for r in ours]), times("new_tok_s"), times("prompt_tok_s")
    goal(f"tokens after a prompt of {prompt}, {weights}: {wanted:.0%} of what memory allows", f"{share:.1%}" if share else "-",
         reaches(share, wanted))
    goal(f"tokens after a prompt of {prompt}, {weights}: 1.25 times llama.cpp", f"{new:.2f}" if new else "-", reaches(new, 1.25))
    if prompt > 1 and weights == "bf16":
        goal("a prompt, bf16: 2 times llama.cpp", f"{read:.2f}" if read else "-", reaches(read, 2))


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
                     spread(rates(results, "new_tok_s"), 1), f"{median(share):.0%}" if share else "",
                     "" if name == "trine" else " / ".join(faster[0 if read_it else 1:])])
    return rows


# ---- tokenizer ------------------------------------------------------------------------------------------------------


def trine_tokens(file, path):
    train = result_of([TRINE, "tokenize", "train", path, f"--vocab={VOCAB}", "--pre=gpt-2", "-o", file, "--json", "-q"])
    count = train and result_of([TRINE, "tokenize", "count", path, "-t", file, "--json", "-q"])
    return count and {"train_mb_s": train["mb_s"], "encode_mb_s": count["mb_s"], "vocab": train["vocab"], "pieces": train["pieces"]}


def library_tokens(file, path, vocab):
    result = result_of([PEERS, f"{HERE}/hf_tokens.py", file, path, str(vocab)])
    if result:
        versions["Hugging Face tokenizers"] = result["version"]
    return result


def tokenizer():
    say("tokenizer")
    file = f"{WORK}/tokenizer.json"
    found = in_turn("tokenizer", {"trine": lambda: trine_tokens(file, WORDS),
                                  **({"Hugging Face tokenizers": lambda: library_tokens(file, WORDS, VOCAB)} if PEERS else {})})
    if not found["trine"]:
        return
    rows, faster = [], {}
    for what, keys in (("encode, one thread", ("encode_mb_s",)), ("encode, their threads", ("encode_all_mb_s", "encode_mb_s")),
                       ("train", ("train_mb_s",))):
        faster[what] = compare(f"tokenizer, {what}", "MB/s", [r[keys[-1]] for r in found["trine"]],
                               {name: [r[keys[0]] for r in results if keys[0] in r] for name, results in found.items()
                                if name != "trine"}, 1)
    for name, results in found.items():
        encode, train = [r["encode_mb_s"] for r in results], [r["train_mb_s"] for r in results]
        every = [r["encode_all_mb_s"] for r in results if "encode_all_mb_s" in r]
        rows.append([name, f"{results[0]['vocab']:,}", spread(encode, 1), spread(every, 1) if every else "", spread(train, 1),
                     "" if name == "trine" else ratio([r["encode_mb_s"] for r in found["trine"]], encode) + " / " +
                     ratio([r["train_mb_s"] for r in found["trine"]], train)])
    pieces = found["trine"][0]["pieces"]
    table(f"Tokenizer: byte-level BPE, {VOCAB:,} tokens wanted, {os.path.getsize(WORDS) / 1e6:.1f} MB of text",
          ["program", "tokens made", "encode, one thread, MB/s", "encode, all threads", "train, MB/s", "trine is faster by"], rows,
          f"GPT-2's pattern; the text is the King James Bible and a part of the dictionary WordNet (scripts/bench/run.sh), "
          f"{pieces:,} different pieces. trine counts the tokens, Hugging Face's library hands out their ids.")
    made, rate = found["trine"][0]["vocab"], median([r["encode_mb_s"] for r in found["trine"]])
    goal(f"tokenizer: {VOCAB:,} tokens of 10 MB made faster than by Hugging Face",
         f"{made:,} tokens, {faster['train']:.1f} times as fast" if faster["train"] else f"{made:,} tokens",
         made == VOCAB and faster["train"] > 1 if faster["train"] else None)
    goal("encode, one core: 60 MB/s", f"{rate:.1f} MB/s", rate >= 60)
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
    sizes, rows, medians = (1, 4, 16), [], {}
    for kind in ("new words", "letters at random, one word", "one letter, one word", "spaces"):
        rates, theirs = {}, None
        for megabytes in sizes:
            path = hard_text(kind, megabytes * 1000000)
            found = in_turn(f"{kind} of {megabytes} MB", {
                "trine": lambda: result_of([TRINE, "tokenize", "count", path, "-t", file, "--json", "-q"])})
            rates[megabytes] = [visit["mb_s"] for visit in found["trine"]]
            if PEERS and megabytes == sizes[0]:
                theirs = visits.once(f"{kind}, Hugging Face tokenizers", lambda: library_tokens(file, path, 0))
        say(f"  {kind}: {rates}; {theirs}")
        medians[kind] = [median(rates[megabytes]) for megabytes in sizes]
        rows.append([kind] + [spread(rates[megabytes], 1) for megabytes in sizes] +
                    [ratio(rates[sizes[-1]], rates[sizes[0]]), f"{theirs['encode_mb_s']:.1f}" if theirs else "-"])
    table("Tokenizer: encode, MB/s, of texts that are hard", ["text"] + [f"{megabytes} MB" for megabytes in sizes] +
          [f"{sizes[-1]} MB / {sizes[0]} MB", f"Hugging Face tokenizers, {sizes[0]} MB, one visit"], rows,
          "trine, one thread, the tokenizer of above. Time that is linear in the size has the same rate at every size.")
    if any(rate is None for rates in medians.values() for rate in rates):
        return
    slowest = min(medians, key=lambda kind: min(medians[kind]))
    steepest = min(medians, key=lambda kind: medians[kind][-1] / medians[kind][0])
    goal("encode of any input: 60 MB/s", f"{min(medians[slowest]):.1f} MB/s ({slowest})", min(medians[slowest]) >= 60)
    linear = medians[steepest][-1] / medians[steepest][0]
    goal("encode of any input: linear", f"{sizes[-1]} MB at {linear:.2f} of the rate of {sizes[0]} MB ({steepest})", linear >= 0.9)


# ---- the page -------------------------------------------------------------------------------------------------------


def first_line(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def own_versions():
    """The commit that was measured, and by what it was compiled."""
    versions["trine"] = first_line(["git", "describe", "--always", "--dirty"])
    with open(f"{BUILD}/CMakeCache.txt") as f:
        compiler = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", f.read(), re.MULTILINE)
    versions["compiler"] = first_line([compiler[1], "--version"]) if compiler else "unknown"


def measured_subject():
    """What a visit depends on: programs, texts, peers, this machine."""
    files = [TRINE] + sorted(entry.path for entry in os.scandir(f"{BUILD}/bench") if os.access(entry.path, os.X_OK) and entry.is_file())
    digest = hashlib.sha256()
    for path in files + [TEXT, WORDS]:
        with open(path, "rb") as f:
            digest.update(f.read())
    return {"programs and texts": digest.hexdigest(), "peers": [PEERS, os.environ.get("GEMM_PYTHON"), LLMC],
            "machine": machine(THREADS)}


def write_pages():
    facts = [machine(THREADS), "measured on " + ", ".join(visits.days),
             f"rounds, the programs in turn: {ROUNDS}; a rate is the median (lowest to highest) of them; "
             "of products each of the rounds has the median of three runs, of 8,192 rows one run"]
    if not PEERS:
        facts.append("no peers")
    return write_page(facts, UNSET, [f"{WORK}/bench.md", f"{WORK}/bench.html"] +
                      [path for path in [os.environ.get("BENCH_PAGE")] if path])


PARTS = {"kernels": kernels, "train": lambda: training("train"), "small": lambda: training("small"),
         "generate": generation, "tokens": tokenizer}
for part in SKIP:
    if part not in PARTS:
        sys.exit(f"bench: BENCH_SKIP={part}: expected some of {', '.join(PARTS)}")
own_versions()
visits = Visits(f"{WORK}/visits.jsonl", measured_subject())
for part, work in PARTS.items():
    if part not in SKIP:
        work()
        write_pages()  # what is there, also when a later part takes too long
print(write_pages())
visits.done()
