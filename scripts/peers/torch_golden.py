#!/usr/bin/env python3
"""Makes tests/torch: tiny models of Hugging Face's transformers, and what PyTorch computes with them in double.

    python3 -m venv peers && peers/bin/pip install torch transformers safetensors
    peers/bin/python scripts/peers/torch_golden.py tests/torch

For each model a folder as save_pretrained writes it, and truth.safetensors with
    tokens [2, 21] (I32)       inputs are tokens[:, :-1], targets tokens[:, 1:]
    logits [2, 20, vocab]      in double, rounded to F32
    loss [1]                   mean cross-entropy
    grad.NAME                  of that loss, for each parameter
    losses [10], after.NAME    ten steps of AdamW on this one batch: the loss before each, the parameters at the end
    norms [10]                 of the whole gradient, before clipping
"""
import copy
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

STEPS, LR, BETAS, EPS, DECAY, CLIP = 10, 1e-2, (0.9, 0.95), 1e-4, 0.1, 1.0

small = dict(vocab_size=61, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, initializer_range=0.2, bos_token_id=None, eos_token_id=None)
llama31 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=32)


def models():
    yield "gpt2", GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=24, n_layer=2, n_head=4, n_positions=64,
                                             initializer_range=0.2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                                             bos_token_id=None, eos_token_id=None))
    yield "llama", LlamaForCausalLM(LlamaConfig(**small, num_key_value_heads=2, tie_word_embeddings=False,
                                                rope_scaling=llama31))
    yield "mistral", MistralForCausalLM(MistralConfig(**small, num_key_value_heads=4, tie_word_embeddings=True,
                                                      sliding_window=None))
    yield "qwen2", Qwen2ForCausalLM(Qwen2Config(**small, num_key_value_heads=1, tie_word_embeddings=True))
    yield "qwen3", Qwen3ForCausalLM(Qwen3Config(**small, num_key_value_heads=2, head_dim=8, tie_word_embeddings=False))


def randomise(model):
    """Gains that are not 1 and biases that are not 0, so that every parameter matters."""
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.data.copy_(torch.randn_like(p) * 0.3 + (1.0 if "norm" in name or "ln_" in name else 0.0)
                         * ("bias" not in name))


def loss_of(model, tokens):
    logits = model(tokens[:, :-1]).logits
    return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train(model, tokens, truth):
    decay = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW([dict(params=decay, weight_decay=DECAY), dict(params=rest, weight_decay=0.0)],
                                  lr=LR, betas=BETAS, eps=EPS)
    losses, norms = [], []
    for _ in range(STEPS):
        optimiser.zero_grad()
        _, loss = loss_of(model, tokens)
        loss.backward()
        losses.append(loss.detach())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP))
        optimiser.step()
    truth["losses"] = torch.stack(losses).float()
    truth["norms"] = torch.stack([n.detach() for n in norms]).float()
    for name, p in model.named_parameters():
        truth["after." + name] = p.detach().float()


def move(model, tokens, truth):
    """Ten steps from weights that are off by half of fp32's last place: what the model itself makes of rounding."""
    moved = {}
    for p in model.parameters():
        p.data.mul_(1 + 2.0 ** -24 * torch.randn_like(p))
    train(model, tokens, moved)
    for name in ("losses", "norms"):
        truth["moved." + name] = (moved[name] - truth[name]).abs()
    after = [(moved[name] - truth[name]).abs().max() for name in truth if name.startswith("after.")]
    truth["moved.after"] = max(after).reshape(1)


def main(folder, fixed=True):
    """Seeds of the models: fixed ones, or whatever torch is at, and then the file also says how much rounding grows in ten
    steps of that model."""
    for name, model in models():
        if fixed:
            torch.manual_seed(len(name))
        randomise(model)
        out = os.path.join(folder, name)
        model = model.float().eval()
        model.save_pretrained(out)
        model = model.double()
        tokens = torch.randint(0, model.config.vocab_size, (2, 21))
        logits, loss = loss_of(model, tokens)
        loss.backward()
        truth = {"tokens": tokens.int(), "logits": logits.detach().float(), "loss": loss.detach().float().reshape(1)}
        for parameter, p in model.named_parameters():
            truth["grad." + parameter] = p.grad.float().contiguous()
        begin = copy.deepcopy(model)
        train(model, tokens, truth)
        if not fixed:
            move(begin, tokens, truth)
        save_file({k: v.contiguous() for k, v in truth.items()}, os.path.join(out, "truth.safetensors"))
        os.remove(os.path.join(out, "generation_config.json"))
        print(name, float(loss.detach()), "after", float(truth["losses"][-1]))


if __name__ == "__main__":
    main(sys.argv[1])
