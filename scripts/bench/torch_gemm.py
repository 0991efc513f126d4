#!/usr/bin/env python3
"""The matrix products of GPT-2 124M by the libraries that can be installed, as bench_linear measures ours: five shapes,
forward, gradient of the input, gradient of the weight, operands in memory, results into memory that is there already.

    torch_gemm.py ROWS f32|bf16 RUNS THREADS

Prints one JSON line: versions, and for each library GFLOP/s by "shape pass" (the median of RUNS), and of all products of
a step ("all of a step"), each as often as the model has it. The libraries, where they are there and know the type:

    torch           torch.mm and addmm: MKL in fp32, oneDNN in bf16
    torch_packed    oneDNN with weights packed once beforehand; it packs no gradient, so dW is that of torch
    numpy           its OpenBLAS, fp32
    openblas        the package scipy-openblas64, fp32
    zentorch        AMD's ZenDNN as an extension of torch, weights packed once beforehand
"""
import ctypes
import importlib.metadata
import json
import os
import statistics
import sys
import time

rows, dtype, runs, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
# Settings of OpenBLAS that were made for another program halve it; threads that sleep between two products
# (OMP_WAIT_POLICY) cost up to 6 %. Memory that a library mallocs and frees each time would cost page faults again.
WANTED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "1073741824",
          "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
alien = [k for k in os.environ if k.startswith(("OPENBLAS_", "OMP_WAIT_")) and k not in WANTED]
if alien or any(os.environ.get(k) != v for k, v in WANTED.items()):
    clean = {k: v for k, v in os.environ.items() if k not in alien}
    os.execve(sys.executable, [sys.executable] + sys.argv, {**clean, **WANTED})

import numpy  # noqa: E402
import torch  # noqa: E402

SHAPES = [("qkv", 768, 2304, 12), ("attn_proj", 768, 768, 12), ("fc", 768, 3072, 12), ("fc_proj", 3072, 768, 12),
          ("logits", 768, 50257, 1)]
PASSES = ("linear", "linear_dx", "linear_dw")
TYPE = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def median_s(work):
    work()
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def torch_plain(x, w, bias, dy, y, dx, dw):
    return [lambda: torch.addmm(bias, x, w.t(), out=y), lambda: torch.mm(dy, w, out=dx),
            lambda: torch.mm(dy.t(), x, out=dw)]


def torch_packed(x, w, bias, dy, y, dx, dw):
    pack = torch.ops.mkldnn._reorder_linear_weight
    forward, backward = (pack(m.contiguous(), rows) for m in (w, w.t()))
    product = torch.ops.mkldnn._linear_pointwise
    return [lambda: product(x, forward, bias, "none", [], ""), lambda: product(dy, backward, None, "none", [], ""),
            lambda: torch.mm(dy.t(), x, out=dw)]


def by_numpy(x, w, bias, dy, y, dx, dw):
    x, w, dy, y, dx, dw = (t.numpy() for t in (x, w, dy, y, dx, dw))
    return [lambda: numpy.matmul(x, w.T, out=y), lambda: numpy.matmul(dy, w, out=dx),
            lambda: numpy.matmul(dy.T, x, out=dw)]


def by_openblas(x, w, bias, dy, y, dx, dw):
    import scipy_openblas64
    file = "lib" + scipy_openblas64.get_library() + ".so"
    library = ctypes.CDLL(os.path.join(scipy_openblas64.get_lib_dir(), file))
    library.scipy_openblas_set_num_threads64_(threads)
    gemm, n, one = library.scipy_cblas_sgemm64_, ctypes.c_int64, ctypes.c_float(1)
    n_in, n_out = x.shape[1], w.shape[0]

    def at(t):
        return ctypes.c_void_p(t.data_ptr())

    def product(turn_a, turn_b, m, k, width, a, b, c):  # c = a b, each of them turned or not, by rows
        return lambda: gemm(101, 112 if turn_a else 111, 112 if turn_b else 111, n(m), n(width), n(k), one, at(a),
                            n(a.shape[1]), at(b), n(b.shape[1]), ctypes.c_float(0), at(c), n(c.shape[1]))
    return [product(False, True, rows, n_in, n_out, x, w, y), product(False, False, rows, n_out, n_in, dy, w, dx),
            product(True, False, n_out, rows, n_in, dy, x, dw)]


def by_zentorch(x, w, bias, dy, y, dx, dw):
    import zentorch  # noqa: F401
    zen = torch.ops.zentorch
    forward, backward = (zen.zentorch_weight_prepack_for_linear(m.contiguous()) for m in (w, w.t()))
    return [lambda: zen.zentorch_linear_unary.out(x, forward, bias, is_weight_prepacked=True, out=y),
            lambda: zen.zentorch_linear_unary.out(dy, backward, is_weight_prepacked=True, out=dx),
            lambda: zen.zentorch_mm(dy.t(), x)]


def measure(make):
    rates, step_flop, step_s = {}, 0.0, 0.0
    for name, n_in, n_out, count in SHAPES:
        torch.manual_seed(1)
        x, w, bias, dy = (torch.randn(s, dtype=torch.float32).to(TYPE)
                          for s in ((rows, n_in), (n_out, n_in), (n_out,), (rows, n_out)))
        y, dx, dw = (torch.zeros(s, dtype=TYPE) for s in ((rows, n_out), (rows, n_in), (n_out, n_in)))
        flop = 2.0 * rows * n_in * n_out
        for kind, work in zip(PASSES, make(x, w, bias, dy, y, dx, dw)):
            taken = median_s(work)
            rates[f"{name} {kind}"] = round(flop / taken * 1e-9, 1)
            step_flop += count * flop
            step_s += count * taken
    rates["all of a step"] = round(step_flop / step_s * 1e-9, 1)
    return rates


torch.set_num_threads(threads)
libraries = {"torch": torch_plain, "torch_packed": torch_packed}
if dtype == "f32":
    libraries["numpy"] = by_numpy
    if version("scipy-openblas64"):
        libraries["openblas"] = by_openblas
if version("zentorch"):
    libraries["zentorch"] = by_zentorch
found = {}
with torch.no_grad():
    for library, make in libraries.items():
        try:
            found[library] = measure(make)
        except (AttributeError, ImportError, OSError, RuntimeError) as error:
            print(f"torch_gemm.py: {library}: {str(error).splitlines()[0]}", file=sys.stderr)
versions = {p: version(p) for p in ("torch", "numpy", "scipy-openblas64", "zentorch") if version(p)}
print(json.dumps({"rows": rows, "type": dtype, "threads": threads, "gflop_s": found, "versions": versions}))
