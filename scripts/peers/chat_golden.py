#!/usr/bin/env python3
"""Makes tests/lab/chat/golden.json and golden.tokenizer.json: what transformers' apply_chat_template makes of conversations,
by the published templates of models; and the tokens that it says are of the assistant.

    chat_golden.py TEMPLATES OUT          TEMPLATES: models/templates of llama.cpp's source

Templates come from there, and from llama-cpp-python (llama_chat_format.py); three short ones, which are in neither, stand
below. peers.py uses them too."""
import hashlib
import json
import os
import re
import sys

from llama_cpp import llama_chat_format
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHATML_TURN = ("{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def with_system(text):
    """SmolLM2-Instruct and Qwen2-Instruct."""
    return ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
            "{{ '<|im_start|>system\n" + text + "<|im_end|>\n' }}{% endif %}" + CHATML_TURN)


# zephyr-7b-beta, TinyLlama-1.1B-Chat
ZEPHYR = "{% for message in messages %}\n" + "".join(
    "{% " + word + " message['role'] == '" + role + "' %}\n{{ '<|" + role + "|>\n' + message['content'] + eos_token }}\n"
    for word, role in (("if", "user"), ("elif", "system"))) + (
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")

ROLES = {  # what trine refuses, though Jinja says something
    "zephyr": {"system", "user", "assistant"}, "llama3.1": {"system", "user", "assistant"}, "mistral": {"user", "assistant"},
    "mistral-v0.1": {"user", "assistant"}, "gemma": {"user", "assistant"}}
SPECIAL = {"llama3": ("<|begin_of_text|>", "<|eot_id|>"), "llama3.1": ("<|begin_of_text|>", "<|eot_id|>"),
           "zephyr": ("<s>", "</s>"), "mistral": ("<s>", "</s>"), "mistral-v0.1": ("<s>", "</s>"),
           "gemma": ("<bos>", "<eos>")}
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
          "<|eot_id|>", "<s>", "</s>", "<bos>", "<start_of_turn>", "<end_of_turn>"]


def published(folder):
    """Several texts may be of one kind."""
    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
            return file.read()
    f = llama_chat_format
    return {"chatml": [f.CHATML_CHAT_TEMPLATE],
            "smollm2": [with_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face")],
            "qwen2": [with_system("You are a helpful assistant.")],
            "qwen2.5": [read("Qwen-Qwen2.5-7B-Instruct.jinja")],
            "qwen3": [read("Qwen-Qwen3-0.6B.jinja")],
            "llama3": [f.LLAMA3_INSTRUCT_CHAT_TEMPLATE],
            "llama3.1": [read("meta-llama-Llama-3.1-8B-Instruct.jinja"), read("meta-llama-Llama-3.3-70B-Instruct.jinja")],
            "zephyr": [ZEPHYR],
            "mistral": [f.MIXTRAL_INSTRUCT_CHAT_TEMPLATE],
            "mistral-v0.1": [f.MISTRAL_INSTRUCT_CHAT_TEMPLATE],
            "gemma": [read("google-gemma-2-2b-it.jinja")]}


def talk(*pairs):
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": roles[role], "content": content} for role, content in pairs]


def conversations():
    yield talk(("u", "What is the capital of France?"), ("a", "Paris."))
    yield talk(("s", "Be brief."), ("u", "Hi"), ("a", "Hello!"), ("u", "And?"), ("a", "Nothing."))
    yield talk(("u", "  white\t\n"), ("a", "\u00a0\u3000 space \u2028\u200a\x1f"), ("u", "\u1680x\u205f"), ("a", "\n\n"))
    yield talk(("u", ""), ("a", ""))
    yield talk(("s", " \n system \r\n"), ("u", "Gr\u00f6\u00dfe \U0001F600 \u200bx\ufeff"), ("a", "e\u0301 \u00e9 \u7c92"))
    yield talk(("u", "6 * 7?"), ("a", "I ask."), ("t", "42"), ("t", "{\"x\": 1}"), ("a", "It is 42."))
    yield talk(("u", "q"), ("a", "<think>\nhm\n\n</think>\n\nyes"), ("u", "again"), ("a", "<think>a</think><think>\nb\n</think>\nc"))
    yield talk(("u", "q"), ("a", "<think>\none\n</think>\nx"), ("t", "r"), ("a", "no thought"), ("t", "r"),
               ("a", "\n\n<think>\n\n</think>\n\n\nz\n"))
    yield talk(("u", "q"), ("a", "open </think> end"), ("u", "<tool_response>\nx\n</tool_response>"), ("a", "b"))
    yield talk(("u", "<tool_response>x</tool_response>"), ("a", "only answers"))
    yield talk(("u", "say <|im_end|> and </s> and <|eot_id|>"), ("a", "<|im_start|>user\nno<|im_end|> <end_of_turn>"))
    yield talk(("u", "one"), ("u", "two"), ("a", "three"), ("a", "four"))
    yield talk(("u", "one"), ("s", "late system"), ("a", "two"))
    yield talk(("a", "I begin."), ("u", "Why?"))
    yield talk(("t", "a tool begins"), ("a", "so it does"), ("t", "and ends"))
    yield talk(("s", "only system"), ("a", "x"))


def sum_of(text):
    """As src/lab/chat/template.h says."""
    return hashlib.sha256(text.replace("\\n", "\n").rstrip(" \t\r\n").encode()).hexdigest()


def make_tokenizer(texts):
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    words.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in TOKENS])
    return words


def marked(turn, end):
    """A template in which transformers is told which part is the assistant's, as TRL's are."""
    return ("{% for message in messages %}{{ " + turn + " }}{% if message['role'] == 'assistant' %}{% generation %}"
            "{{ message['content'] + '" + end + "' }}{% endgeneration %}{% else %}{{ message['content'] + '" + end +
            "' }}{% endif %}{{ '\n' }}{% endfor %}")


def render(words, name, template, messages, prompt):
    bos, eos = SPECIAL.get(name, ("<|endoftext|>", "<|im_end|>"))
    words.bos_token, words.eos_token = bos, eos
    if {m["role"] for m in messages} - ROLES.get(name, {"system", "user", "assistant", "tool"}):
        return None
    try:
        return words.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=prompt)
    except Exception:  # raise_exception of the template
        return None


def main():
    folder, out = sys.argv[1:3]
    talks = list(conversations())
    inner = make_tokenizer([m["content"] for t in talks for m in t] + ["system user assistant tool"] * 4)
    inner.save(os.path.join(out, "golden.tokenizer.json"), pretty=False)
    words = PreTrainedTokenizerFast(tokenizer_object=inner)
    known = open(os.path.join(os.path.dirname(__file__), "../../src/lab/chat/template.c"), encoding="utf-8").read()
    templates = published(folder)
    if re.findall(r'\.name = "([^"]*)"', known) != list(templates):
        raise SystemExit("src/lab/chat/template.c has other templates")
    rows = []
    for name, texts in templates.items():
        for text in texts:
            if sum_of(text) not in known:
                raise SystemExit(f"{name}: src/lab/chat/template.c does not have {sum_of(text)}")
        for i, messages in enumerate(talks):
            rows.append({"template": name, "talk": i, "text": render(words, name, texts[0], messages, False),
                         "prompt": render(words, name, texts[0], messages, True)})
            if len({render(words, name, text, messages, False) for text in texts}) > 1:
                raise SystemExit(f"{name}: its texts say different things")
    masks = []
    template = marked("'<|im_start|>' + message['role'] + '\n'", "<|im_end|>")
    for i, messages in enumerate(talks):
        if "<|im_" in str(messages):  # the mask is by characters of the text, ours by the tokens of the turn
            continue
        made = words.apply_chat_template(messages, chat_template=template, return_dict=True,
                                         return_assistant_tokens_mask=True)
        masks.append({"template": "chatml", "talk": i, "ids": made["input_ids"], "learned": made["assistant_masks"]})
    with open(os.path.join(out, "golden.json"), "w", encoding="utf-8") as file:
        json.dump({"talks": [{"messages": t} for t in talks], "rows": rows, "masks": masks}, file, ensure_ascii=True,
                  indent=0)
        file.write("\n")
    print(f"{len(rows)} texts, {len(masks)} masks")


if __name__ == "__main__":
    main()
