#!/usr/bin/env python3
"""What a model says by another program, always taking the likeliest token:

    say.py transformers|peft|llama.cpp PATH PROMPT TOKENS [ADAPTER]
    say.py transformers|llama.cpp PATH PROMPT TOKENS chat           the reply to PROMPT, by the model's own chat template"""
import os
import sys

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def by_transformers(path, prompt, tokens, chat, adapter):
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    if adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapter).eval()
    words = transformers.AutoTokenizer.from_pretrained(path)
    if chat:
        ids = words.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True,
                                        return_tensors="pt", return_dict=True)["input_ids"]
    else:
        ids = torch.tensor([words(prompt)["input_ids"]])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None,
                         top_p=None, max_new_tokens=tokens)
    return words.decode(out[0][ids.shape[1]:], skip_special_tokens=True) if chat else words.decode(out[0])


def by_llama_cpp(path, prompt, tokens, chat):
    from llama_cpp import Llama
    model = Llama(path, n_ctx=512, type_k=0, type_v=0, verbose=False)
    if chat:
        reply = model.create_chat_completion([{"role": "user", "content": prompt}], temperature=0.0, top_k=1,
                                             repeat_penalty=1.0, max_tokens=tokens)
        return reply["choices"][0]["message"]["content"]
    ids, out = model.tokenize(prompt.encode(), add_bos=False), []
    for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
        out.append(token)
        if len(out) == tokens or token == model.token_eos():
            break
    return model.detokenize(ids + out, special=True).decode("utf-8", "replace")


if __name__ == "__main__":
    program, path, prompt, tokens = sys.argv[1:5]
    last = sys.argv[5] if len(sys.argv) > 5 else None
    if program == "llama.cpp":
        print(by_llama_cpp(path, prompt, int(tokens), last == "chat"))
    else:
        print(by_transformers(path, prompt, int(tokens), last == "chat", last if program == "peft" else None))
