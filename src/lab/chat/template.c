#include "lab/chat/template.h"

#include "base/sha256.h"

#include <string.h>

/* ---- ours, in Jinja ---------------------------------------------------------------------------------------------- */

#define FIRST_SYSTEM(words)                                                                                            \
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\n" words "<|im_end|>\n' }}{% endif %}"
#define CHATML_TURNS                                                                                                   \
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
#define CHATML_PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define TOOL_ANSWERS                                                                                                   \
    "{% if m.role == 'tool' %}"                                                                                        \
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"               \
    "{{ '\n<tool_response>\n' ~ m.content ~ '\n</tool_response>' }}"                                                   \
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
#define LLAMA3_TURNS                                                                                                   \
    "{{ '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ m.content | trim ~ '<|eot_id|>' }}{% endfor %}"     \
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
#define QWEN25_SYSTEM "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN2_SYSTEM "You are a helpful assistant."
#define LLAMA31_DATES "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define MISTRAL(behind)                                                                                                \
    "{{ '<s>' }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' ~ m.content ~ ' [/INST]' }}"              \
    "{% else %}{{ m.content ~ '</s>" behind "' }}{% endif %}{% endfor %}"

/* The last user message that is a question and no answer of a tool, as qwen3's template finds it. */
#define QWEN3                                                                                                          \
    "{% set ns = namespace(last=messages | length - 1) %}{% for m in messages %}{% if m.role == 'user' and not "       \
    "(m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}"                          \
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"                                                           \
    "{% for m in messages %}" TOOL_ANSWERS "{% elif m.role == 'assistant' %}"                                          \
    "{% set ns.say = m.content %}{% set ns.think = '' %}{% if '</think>' in m.content %}"                              \
    "{% set ns.say = m.content.split('</think>')[-1].lstrip('\n') %}"                                                  \
    "{% set ns.think = m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{% endif %}"    \
    "{{ '<|im_start|>assistant\n' }}{% if loop.index0 > ns.last and (loop.last or ns.think) %}"                        \
    "{{ '<think>\n' ~ ns.think.strip('\n') ~ '\n</think>\n\n' ~ ns.say.lstrip('\n') }}{% else %}{{ ns.say }}"          \
    "{% endif %}{{ '<|im_end|>\n' }}"                                                                                  \
    "{% else %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endif %}{% endfor %}" CHATML_PROMPT

/* ---- the set ----------------------------------------------------------------------------------------------------- */

#define CHATML_HEADS                                                                                                   \
    {"<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_start|>tool\n"}
#define LLAMA3_HEAD(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"

static const struct tr_chat chats[] = {
    {.name = "chatml", .bos = "", .head = CHATML_HEADS, .end = "<|im_end|>", .after = "\n",
     .jinja = CHATML_TURNS CHATML_PROMPT,
     .sum = {"153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3"}},
    {.name = "smollm2", .bos = "", .system = SMOLLM2_SYSTEM, .head = CHATML_HEADS, .end = "<|im_end|>", .after = "\n",
     .jinja = FIRST_SYSTEM(SMOLLM2_SYSTEM) CHATML_TURNS CHATML_PROMPT,
     .sum = {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"}},
    {.name = "qwen2", .bos = "", .system = QWEN2_SYSTEM, .head = CHATML_HEADS, .end = "<|im_end|>", .after = "\n",
     .jinja = FIRST_SYSTEM(QWEN2_SYSTEM) CHATML_TURNS CHATML_PROMPT,
     .sum = {"793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb"}},
    {.name = "qwen2.5", .bos = "", .system = QWEN25_SYSTEM, .head = CHATML_HEADS, .end = "<|im_end|>", .after = "\n",
     .answers_tools = true,
     .jinja = FIRST_SYSTEM(QWEN25_SYSTEM) "{% for m in messages %}" TOOL_ANSWERS "{% else %}{{ '<|im_start|>' ~ m.role ~ "
              "'\n' ~ m.content ~ '<|im_end|>\n' }}{% endif %}{% endfor %}" CHATML_PROMPT,
     .sum = {"a18cc698dd45623eb707279d08e66f7bb8d76afc89ead84016b88487b395b5cc"}},
    {.name = "qwen3", .bos = "", .head = CHATML_HEADS, .end = "<|im_end|>", .after = "\n", .answers_tools = true,
     .thinks = true, .jinja = QWEN3,
     .sum = {"2df317a15cbc983d9602cc391d33be17237d47ec7eb11ead80fae277143958aa"}},
    {.name = "llama3", .bos = "<|begin_of_text|>",
     .head = {LLAMA3_HEAD("system"), LLAMA3_HEAD("user"), LLAMA3_HEAD("assistant"), LLAMA3_HEAD("tool")},
     .end = "<|eot_id|>", .after = "", .trims = true,
     .jinja = "{{ '<|begin_of_text|>' }}{% for m in messages %}" LLAMA3_TURNS,
     .sum = {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",
             "b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2"}}, /* always with the prompt */
    {.name = "llama3.1", .bos = "<|begin_of_text|>",
     .head = {LLAMA3_HEAD("system"), LLAMA3_HEAD("user"), LLAMA3_HEAD("assistant")},
     .end = "<|eot_id|>", .after = "", .trims = true, .dates = LLAMA31_DATES,
     .jinja = "{{ '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" LLAMA31_DATES "' }}"
              "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% set messages = messages[1:] %}"
              "{% endif %}{{ '<|eot_id|>' }}{% for m in messages %}" LLAMA3_TURNS,
     .sum = {"99799a835a31e1d33c4a9c7ee8a0de3923b291a95155ed6dc8efcbd0fe1d0238"}},
    {.name = "zephyr", .bos = "", .head = {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"}, .end = "</s>", .after = "\n",
     .jinja = "{% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '</s>\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
     .sum = {"66291cf0045c2425a3a667cf3cbb7af2b11f09e025c02f97245323ab79119362"}},
    {.name = "mistral", .bos = "<s>", .head = {NULL, "[INST] ", ""}, .tail = {NULL, " [/INST]", NULL}, .end = "</s>",
     .after = "", .takes_turns = true, .jinja = MISTRAL(""),
     .sum = {"26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7"}},
    {.name = "mistral-v0.1", .bos = "<s>", .head = {NULL, "[INST] ", ""}, .tail = {NULL, " [/INST]", NULL},
     .end = "</s>", .after = " ", .takes_turns = true, .jinja = MISTRAL(" "),
     .sum = {"7e995b379ec01747807246483647cd99030abf331653f1119e16d7ac041a3495"}},
    {.name = "gemma", .bos = "<bos>", .head = {NULL, "<start_of_turn>user\n", "<start_of_turn>model\n"},
     .end = "<end_of_turn>", .after = "\n", .trims = true, .takes_turns = true,
     .jinja = "{{ '<bos>' }}{% for m in messages %}{{ '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) "
              "~ '\n' ~ m.content | trim ~ '<end_of_turn>\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
     .sum = {"ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6"}},
};
enum { CHAT_COUNT = sizeof chats / sizeof *chats };

const struct tr_chat *tr_chat_at(int index) { return index >= 0 && index < CHAT_COUNT ? &chats[index] : NULL; }
const char *tr_chat_name(const struct tr_chat *chat) { return chat->name; }
const char *tr_chat_end(const struct tr_chat *chat) { return chat->end; }
const char *tr_chat_jinja(const struct tr_chat *chat) { return chat->jinja; }

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

/* In files a line end within a string stands as itself or as \n; both mean the same. White space at the end is nothing. */
static enum tr_status sum_of(const char *text, size_t bytes, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_text plain = {0};
    uint8_t digest[TR_SHA256_BYTES];
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]))
        bytes--;
    for (size_t i = 0; i < bytes; i++) {
        bool is_end = text[i] == '\\' && i + 1 < bytes && text[i + 1] == 'n';
        tr_text_char(&plain, is_end ? '\n' : text[i]);
        i += is_end;
    }
    enum tr_status status = tr_text_failed(&plain, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK)
        status = tr_sha256_of(tr_text_str(&plain), plain.len, digest, err);
    if (status == TR_OK)
        tr_sha256_hex(digest, hex);
    tr_text_free(&plain);
    return status;
}

static const struct tr_chat *by_sum(const char *hex)
{
    for (int i = 0; i < CHAT_COUNT; i++)
        for (int k = 0; k < TR_CHAT_SUMS_MAX && chats[i].sum[k]; k++)
            if (strcmp(chats[i].sum[k], hex) == 0)
                return &chats[i];
    return NULL;
}

/* What we write ourselves reads back as what it is. */
static enum tr_status recognise(const char *text, size_t bytes, const struct tr_chat **out, struct tr_err *err)
{
    char hex[TR_SHA256_HEX_BYTES], own[TR_SHA256_HEX_BYTES];
    enum tr_status status = sum_of(text, bytes, hex, err);
    *out = status == TR_OK ? by_sum(hex) : NULL;
    for (int i = 0; i < CHAT_COUNT && status == TR_OK && !*out; i++) {
        status = sum_of(chats[i].jinja, strlen(chats[i].jinja), own, err);
        if (status == TR_OK && strcmp(hex, own) == 0)
            *out = &chats[i];
    }
    return status;
}

static const char *list(struct tr_text *names)
{
    for (int i = 0; i < CHAT_COUNT; i++)
        tr_text_printf(names, "%s%s", i ? ", " : "", chats[i].name);
    return tr_text_str(names);
}

static enum tr_status by_name(const char *name, const struct tr_chat **out, struct tr_err *err)
{
    const char *names[CHAT_COUNT];
    struct tr_text all = {0};
    for (int i = 0; i < CHAT_COUNT; i++) {
        names[i] = chats[i].name;
        if (strcmp(name, names[i]) == 0) {
            *out = &chats[i];
            return TR_OK;
        }
    }
    int near = tr_nearest(name, names, CHAT_COUNT);
    (void)tr_fail(err, TR_BAD_INPUT, "no chat template is called %.40s%s%s%s: known are %s", name,
                  near >= 0 ? " (did you mean " : "", near >= 0 ? names[near] : "", near >= 0 ? "?)" : "", list(&all));
    tr_text_free(&all);
    return TR_BAD_INPUT;
}

enum tr_status tr_chat_choose(const char *name, const char *text, size_t bytes, const char *source,
                              const struct tr_chat **out, struct tr_err *err)
{
    const struct tr_chat *found = NULL;
    struct tr_text all = {0};
    if (name[0])
        return by_name(name, out, err);
    enum tr_status status = bytes > 0 ? recognise(text, bytes, &found, err) : TR_OK;
    if (status == TR_OK && !found)
        status = tr_fail(err, TR_BAD_INPUT, "%s: %s: name one that is right for it with --chat-template: %s", source,
                         bytes > 0 ? "its chat template is none of those that trine knows" : "has no chat template",
                         list(&all));
    tr_text_free(&all);
    if (status == TR_OK)
        *out = found;
    return status;
}
