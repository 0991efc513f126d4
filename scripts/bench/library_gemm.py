#!/usr/bin/env python3
"""The matrix products of GPT-2 124M by the libraries that can be installed, as bench_linear measures ours: five shapes,
forward, gradient of the input, gradient of the weight, operands in memory, results into memory that is there already.

    library_gemm.py ROWS f32|bf16 RUNS THREADS

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
import math
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

try:
    import torch
except (ImportError, OSError) as error:  # numpy and OpenBLAS do without
    print(f"library_gemm.py: torch: {str(error).splitlines()[0]}", file=sys.stderr)
    torch = None

SHAPES = [("qkv", 768, 2304, 12), ("attn_proj", 768, 768, 12), ("fc", 768, 3072, 12), ("fc_proj", 3072, 768, 12),
          ("logits", 768, 50257, 1)]
PASSES = ("linear", "linear_dx", "linear_dw")
LINE = 64


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


def array(shape, values):
    """An fp32 array that begins at a line of the cache, as torch's tensors do."""
    bytes_of_it = 4 * math.prod(shape)
    memory = numpy.empty(bytes_of_it + LINE, numpy.uint8)
    first = -memory.ctypes.data % LINE
    made = memory[first:first + bytes_of_it].view(numpy.float32).reshape(shape)
    made[...] = values
    return made


class Operands:
    """Of one shape: arrays of numpy, or tensors of torch."""

    def __init__(self, n_in, n_out, convert):
        draw = numpy.random.default_rng(1)
        self.x, self.w, self.bias, self.dy = (convert(array(shape, draw.standard_normal(shape, numpy.float32)))
                                              for shape in ((rows, n_in), (n_out, n_in), (n_out,), (rows, n_out)))
        self.y, self.dx, self.dw = (convert(array(shape, 0))
                                    for shape in ((rows, n_out), (rows, n_in), (n_out, n_in)))


def tensor(values):
    return torch.from_numpy(values).to({"f32": torch.float32, "bf16": torch.bfloat16}[dtype])


def as_it_is(values):
    return values


def torch_plain(o):
    return [lambda: torch.addmm(o.bias, o.x, o.w.t(), out=o.y), lambda: torch.mm(o.dy, o.w, out=o.dx),
            lambda: torch.mm(o.dy.t(), o.x, out=o.dw)]


def torch_packed(o):
    pack = torch.ops.mkldnn._reorder_linear_weight
    forward, backward = (pack(m.contiguous(), rows) for m in (o.w, o.w.t()))
    product = torch.ops.mkldnn._linear_pointwise
    return [lambda: product(o.x, forward, o.bias, "none", [], ""), lambda: product(o.dy, backward, None, "none", [], ""),
            lambda: torch.mm(o.dy.t(), o.x, out=o.dw)]


def by_zentorch(o):
    import zentorch  # noqa: F401
    zen = torch.ops.zentorch
    forward, backward = (zen.zentorch_weight_prepack_for_linear(m.contiguous()) for m in (o.w, o.w.t()))
    return [lambda: zen.zentorch_linear_unary.out(o.x, forward, o.bias, is_weight_prepacked=True, out=o.y),
            lambda: zen.zentorch_linear_unary.out(o.dy, backward, is_weight_prepacked=True, out=o.dx),
            lambda: zen.zentorch_mm(o.dy.t(), o.x)]


def by_numpy(o):
    return [lambda: numpy.matmul(o.x, o.w.T, out=o.y), lambda: numpy.matmul(o.dy, o.w, out=o.dx),
            lambda: numpy.matmul(o.dy.T, o.x, out=o.dw)]


def by_openblas(o):
    import scipy_openblas64
    file = "lib" + scipy_openblas64.get_library() + ".so"
    library = ctypes.CDLL(os.path.join(scipy_openblas64.get_lib_dir(), file))
    library.scipy_openblas_set_num_threads64_(threads)
    gemm, n, one = library.scipy_cblas_sgemm64_, ctypes.c_int64, ctypes.c_float(1)
    n_out, n_in = o.w.shape

    def at(array):
        return ctypes.c_void_p(array.ctypes.data)

    def product(turn_a, turn_b, m, k, width, a, b, c):  # c = a b, each of them turned or not, by rows
        return lambda: gemm(101, 112 if turn_a else 111, 112 if turn_b else 111, n(m), n(width), n(k), one, at(a),
                            n(a.shape[1]), at(b), n(b.shape[1]), ctypes.c_float(0), at(c), n(c.shape[1]))
    return [product(False, True, rows, n_in, n_out, o.x, o.w, o.y), product(False, False, rows, n_out, n_in, o.dy, o.w, o.dx),
            product(True, False, n_out, rows, n_in, o.dy, o.x, o.dw)]


def measure(make, convert):
    rates, step_flop, step_s = {}, 0.0, 0.0
    for name, n_in, n_out, count in SHAPES:
        flop = 2.0 * rows * n_in * n_out
        for kind, work in zip(PASSES, make(Operands(n_in, n_out, convert))):
            taken = median_s(work)
            rates[f"{name} {kind}"] = round(flop / taken * 1e-9, 1)
            step_flop += count * flop
            step_s += count * taken
    rates["all of a step"] = round(step_flop / step_s * 1e-9, 1)
    return rates


def libraries():
    """{name: (what makes its three products of operands, what its operands are)}"""
    found = {}
    if torch:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        found = {"torch": (torch_plain, tensor), "torch_packed": (torch_packed, tensor)}
        if version("zentorch"):
            found["zentorch"] = (by_zentorch, tensor)
    if dtype == "f32":
        found["numpy"] = (by_numpy, as_it_is)
        if version("scipy-openblas64"):
            found["openblas"] = (by_openblas, as_it_is)
    return found


rates_of = {}
for name, (make, convert) in libraries().items():
    try:
        rates_of[name] = measure(make, convert)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        print(f"library_gemm.py: {name}: {str(error).splitlines()[0]}", file=sys.stderr)
versions = {p: version(p) for p in ("torch", "numpy", "scipy-openblas64", "zentorch") if version(p)}
print(json.dumps({"rows": rows, "type": dtype, "threads": threads, "gflop_s": rates_of, "versions": versions}))
