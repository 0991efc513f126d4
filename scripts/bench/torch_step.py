#!/usr/bin/env python3
"""A training step of a GPT-2 in torch, as a user of it would write it: scaled_dot_product_attention, fused AdamW, and
bf16 by autocast. Prints one JSON line: the median step, tokens a second, peak resident memory, versions.

    torch_step.py LAYERS WIDTH HEADS VOCAB BATCH SEQ_LEN f32|bf16 eager|compile STEPS THREADS"""
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

layers, width, heads, vocab, batch, seq_len = map(int, sys.argv[1:7])
dtype, mode, steps, threads = sys.argv[7], sys.argv[8], int(sys.argv[9]), int(sys.argv[10])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, heads, c // heads).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.out(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(seq_len, width)
        self.blocks, self.ln_f = nn.ModuleList(Block() for _ in range(layers)), nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.ln_f(x)).view(-1, vocab), targets.view(-1))


torch.set_num_threads(threads)
torch.manual_seed(1)
model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
step = torch.compile(model) if mode == "compile" else model
times = []
for i in range(steps + 1):  # the first warms up (and compiles)
    text = torch.randint(0, vocab, (batch, seq_len + 1))
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
        loss = step(text[:, :-1].contiguous(), text[:, 1:].contiguous())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    times.append(time.perf_counter() - begin)
median = statistics.median(times[1:])
print(json.dumps({"tok_s": batch * seq_len / median, "step_s": median, "loss": float(loss),
                  "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                  "version": torch.__version__}))
