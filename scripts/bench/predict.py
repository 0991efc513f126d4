#!/usr/bin/env python3
"""How well steps are predicted on this machine: configurations that no calibration has seen, each predicted, then run.

    trine calibrate -o profile.yaml
    scripts/bench/predict.py run build/trine profile.yaml book.txt rows.jsonl [--seconds 100]    again until it says "all"
    scripts/bench/predict.py table rows.jsonl

`run` goes on where the rows end. A row is what `trine train --json` says; nothing is fitted here, and nothing is left out.
One rank each: what several ranks say to each other is not predicted yet.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

STEPS_S = 2.5  # of each configuration, about


def model(family, width, layers, positions):
    heads = max(2, width // 64)
    if family == "gpt2":
        return {"model_type": "gpt2", "n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": positions,
                "vocab_size": 320, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    return {"model_type": "llama", "hidden_size": width, "intermediate_size": width * 8 // 3 // 64 * 64 or 64,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads if heads % 2 else heads // 2,
            "max_position_embeddings": positions, "vocab_size": 320, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "tie_word_embeddings": False}


def configurations():
    """family, width, layers, tokens of a sequence, sequences, recompute, type, threads"""
    shapes = [(128, 6, 64, 32, "auto"), (192, 5, 1024, 2, "none"), (256, 4, 4096, 1, "auto"), (320, 3, 384, 8, "full"),
              (384, 6, 512, 4, "auto"), (512, 3, 1024, 2, "full"), (640, 2, 256, 8, "none"), (768, 4, 512, 2, "auto"),
              (1024, 2, 128, 8, "auto"), (1536, 1, 256, 4, "auto"), (2048, 1, 128, 4, "none")]
    number = 0
    for family in ("gpt2", "llama"):
        for dtype in ("f32", "bf16"):
            for shape in shapes:
                number += 1
                yield (family, *shape, dtype, 1 if number % 3 == 0 else 2)


def train(args, config, steps, folder):
    family, width, layers, seq, batch, recompute, dtype, threads = config
    path = os.path.join(folder, "config.json")
    with open(path, "w") as f:
        json.dump(model(family, width, layers, seq), f)
    command = [args.trine, "train", args.text, "-q", "--json", "--profile", args.profile, "--model", path, "--threads", str(threads),
               "--out", os.path.join(folder, "run"), "--resume", "never", "--steps", str(steps or 1), f"--data.seq_len={seq}",
               f"--train.batch={batch}", f"--train.dtype={dtype}", f"--train.recompute={recompute}", "--eval.every=0",
               "--sample.tokens=0"] + ([] if steps else ["--dry-run"])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def run(args):
    rows = [json.loads(line) for line in open(args.rows)] if os.path.exists(args.rows) else []
    seen, until, every = {tuple(r["config"]) for r in rows}, time.time() + args.seconds, list(configurations())
    for config in every:
        if config in seen:
            continue
        if time.time() > until:
            break
        with tempfile.TemporaryDirectory() as folder:
            said = train(args, config, 0, folder).get("predicted_step_s")
            if not said:
                sys.exit(f"{args.profile} predicts nothing here: is it of this machine and program?")
            got = train(args, config, max(4, min(400, int(STEPS_S / said))), folder)
        took = config[3] * config[4] / got["tok_s"]
        row = {"config": config, "predicted_s": got["predicted_step_s"], "error": got["predicted_error"], "took_s": took,
               "peak_flop_s": got["peak_flop_s"]}
        with open(args.rows, "a") as f:
            f.write(json.dumps(row) + "\n")
        seen.add(config)
    print("all" if len(seen) >= len(every) else f"{len(seen)} of {len(every)}")


def table(args):
    rows = [json.loads(line) for line in open(args.rows)]
    for r in rows:
        r["off"] = r["predicted_s"] / r["took_s"] - 1
    off = [abs(r["off"]) for r in rows]
    inside = sum(abs(r["took_s"] / r["predicted_s"] - 1) <= r["error"] for r in rows)
    print(f"{len(rows)} configurations: MAPE {100 * statistics.mean(off):.1f} %, median {100 * statistics.median(off):.1f} %, worst "
          f"{100 * max(off):.1f} %; {inside} within their 80 % interval ({100 * inside / len(rows):.0f} %)\n")
    print("| family | width | layers | sequence | batch | recompute | type | threads | predicted | took | off |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for r in sorted(rows, key=lambda r: -abs(r["off"])):
        print("| " + " | ".join(str(x) for x in r["config"]) + f" | {1e3 * r['predicted_s']:.1f} ms | {1e3 * r['took_s']:.1f} ms | "
              f"{100 * r['off']:+.1f} % |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(required=True)
one = commands.add_parser("run")
for name in ("trine", "profile", "text", "rows"):
    one.add_argument(name)
one.add_argument("--seconds", type=float, default=1e9)
one.set_defaults(do=run)
two = commands.add_parser("table")
two.add_argument("rows")
two.set_defaults(do=table)
args = parser.parse_args()
args.do(args)
