#!/usr/bin/env python3
"""What a model says by another program: say.py transformers|peft|llama.cpp PATH PROMPT TOKENS [ADAPTER]"""
import os
import sys

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def by_transformers(path, prompt, tokens, adapter):
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    if adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapter).eval()
    words = transformers.AutoTokenizer.from_pretrained(path)
    ids = torch.tensor([words(prompt)["input_ids"]])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None,
                         top_p=None, max_new_tokens=tokens)
    return words.decode(out[0])


def by_llama_cpp(path, prompt, tokens):
    from llama_cpp import Llama
    model = Llama(path, n_ctx=256, type_k=0, type_v=0, verbose=False)
    ids, out = model.tokenize(prompt.encode(), add_bos=False), []
    for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
        out.append(token)
        if len(out) == tokens or token == model.token_eos():
            break
    return model.detokenize(ids + out, special=True).decode("utf-8", "replace")


if __name__ == "__main__":
    program, path, prompt, tokens = sys.argv[1:5]
    if program == "llama.cpp":
        print(by_llama_cpp(path, prompt, int(tokens)))
    else:
        print(by_transformers(path, prompt, int(tokens), sys.argv[5] if len(sys.argv) > 5 else None))
