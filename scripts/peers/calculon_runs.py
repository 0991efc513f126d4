"""calculon beside trine on the same measured runs:

    scripts/peers/calculon_runs.py CHECKOUT TABLE TRINE [own]

CHECKOUT: a copy of github.com/calculon-ai/calculon (caa4b11 was used; python3 with numpy, pandas and psutil runs it). TABLE: train_runs.csv in the
format of docs/formats/measurements.md. TRINE: the program. Each run whose layout is said and that calculon can express is
priced by both: dense GPTs in 16 bits on A100, attention heads without groups, its system a100_80g with the row's network, or with
that of the file when the last word is `own`. Prints the errors by source, as a table in Markdown.
"""
import csv
import json
import logging
import subprocess
import sys
import tempfile


SHAPE = ("n_layers", "d_model", "n_heads", "d_ff", "seq_len", "global_batch_seqs")


def layout_of(row):
    """calculon's execution for a row, or why there is none."""
    whole = lambda name, unless: int(row[name] or unless)
    tp, pp, dp = whole("tp", 0), whole("pp", 0), whole("dp", 0)
    chips, node = whole("n_chips", 0), whole("chips_per_node", 8)
    if not row["chip"].startswith("A100") or row["precision"] != "fp16":
        return None, "another chip or number format"
    if row["gated_mlp"] not in ("", "0") or row["n_experts"] not in ("", "0") or row["cp"] not in ("", "1"):
        return None, "gated or mixed feed-forward, or context parallel"
    if not (tp and pp and dp and row["micro_batch"] and row["recompute"]) or tp * pp * dp != chips:
        return None, "a layout that is not said"
    if row["n_kv_heads"] not in ("", row["n_heads"]) or not all(row[name] for name in SHAPE):
        return None, "grouped heads, or a model that is not said"
    if int(row["n_layers"]) % pp:
        return None, "layers that stages do not divide"
    rerun = {"full": "full", "selective": "attn_only", "none": "none"}.get(row["recompute"].split()[0])
    if rerun is None:
        return None, "a recomputation that it does not have"
    sp = row["sp"] == "1" and tp > 1 and rerun != "full"
    zero = "1" in row["zero_stage_or_fsdp"] and dp > 1
    return {
        "num_procs": chips, "tensor_par": tp, "pipeline_par": pp, "data_par": dp,
        "tensor_par_net": 0 if tp <= node else 1, "pipeline_par_net": 0 if tp * pp <= node and chips <= node else 1,
        "data_par_net": 0 if chips <= node else 1,
        "batch_size": int(row["global_batch_seqs"]), "microbatch_size": int(row["micro_batch"]), "datatype": "float16",
        "fused_activation": False, "attention_type": "multihead", "activation_recompute": rerun,
        "pipeline_interleaving": max(1, whole("vpp", 1)) if pp > 1 else 1, "optimizer_sharding": zero,
        "tensor_par_comm_type": "rs_ag" if sp else "ar", "tensor_par_overlap": "none", "seq_par_ag_redo": sp,
        "data_par_overlap": False, "weight_offload": False, "activations_offload": False, "optimizer_offload": False,
        "training": True}, None


def price(calculon, llm, system, row, execution, log):
    application = llm.Application({
        "hidden": int(row["d_model"]), "feedforward": int(row["d_ff"]), "seq_size": int(row["seq_len"]),
        "attn_heads": int(row["n_heads"]), "attn_size": int(row["d_model"]) // int(row["n_heads"]),
        "num_blocks": int(row["n_layers"])})
    model = llm(application, log)
    model.compile(system, llm.Execution.from_json(execution))
    model.run(system)
    return model.get_total_time()


def mean(values):
    return 100 * sum(values) / len(values)


def main(checkout, table, trine, network="row"):
    sys.path.insert(0, checkout)
    import calculon
    from calculon.llm import Llm
    log = logging.getLogger("calculon")
    log.setLevel(logging.CRITICAL)
    with open(f"{checkout}/systems/a100_80g.json") as file:
        config = json.load(file)
    with tempfile.NamedTemporaryFile(suffix=".csv") as out:
        subprocess.run([trine, "validate", table, "--csv", out.name], check=True, stdout=subprocess.DEVNULL)
        ours = list(csv.DictReader(open(out.name)))
    rows = list(csv.DictReader(open(table)))
    errors, refused = {}, {}
    for row, our in zip(rows, ours):
        source = row["source"].split(" (")[0] if not row["source"].startswith("arXiv:2205") else "Korthikanti et al."
        execution, why = layout_of(row)
        if why is None and our["reason"]:
            why = "not priced by trine"
        if why is None:
            if network == "row":
                config["networks"][1]["bandwidth"] = float(row["internode_gbps_per_chip"] or 200) / 8
            try:
                seconds = price(calculon, Llm, calculon.System(config), row, execution, log)
            except (Llm.Error, AssertionError, ZeroDivisionError) as error:
                why = "calculon: " + ("its memory" if "Mem" in str(error) else (str(error) or type(error).__name__)[:60])
        if why is not None:
            refused[why] = refused.get(why, 0) + 1
            continue
        measured = float(our["measured_us"]) / 1e6
        many = int(row["n_chips"]) > int(row["chips_per_node"] or 8)
        key = source + (", many nodes" if many else ", one node") if "vTrain" in source else source
        errors.setdefault(key, []).append((seconds / measured - 1, float(our["error"])))
    print("| runs | rows | calculon | bias | worst | trine | bias | worst |\n|---|---|---|---|---|---|---|---|")
    for key, pairs in sorted(errors.items()):
        cells = [key, str(len(pairs))]
        for i in (0, 1):
            values = [pair[i] for pair in pairs]
            cells += [f"{mean([abs(v) for v in values]):.1f} %", f"{mean(values):+.1f} %", f"{100 * max(map(abs, values)):.1f} %"]
        print("| " + " | ".join(cells) + " |")
    for why, count in sorted(refused.items(), key=lambda item: -item[1]):
        print(f"\nleft out: {count} rows: {why}", end="")
    print()


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
