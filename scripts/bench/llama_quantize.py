#!/usr/bin/env python3
"""A GGUF file in fewer bits, by llama.cpp through its Python package, every matrix in the same format (as `llama-quantize
--pure`).

    llama_quantize.py FROM.gguf TO.gguf Q8_0|Q4_0"""
import ctypes
import sys

import llama_cpp

source, target, name = sys.argv[1:4]
params = llama_cpp.llama_model_quantize_default_params()
params.ftype = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[name]
params.pure = True
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))
