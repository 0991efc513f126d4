/* Conversations: messages become the text that a model was taught to read, and the model's replies are told from the rest.
 *
 *     const struct tr_chat *chat;
 *     tr_chat_choose("", template_text, bytes, "SmolLM2", &chat, err)         (or a name, which comes before the text)
 *     struct tr_conversation talk = {0};
 *     tr_conversation_parse(tr_doc_root(doc), &talk, err)                     {"messages": [{"role": ..., "content": ...}]}
 *     struct tr_chat_text text = {0};
 *     tr_chat_render(chat, talk.message, talk.count, false, &text, err)
 *     struct tr_chat_tokens tokens = {0};
 *     tr_chat_encode(chat, encoder, token, &text, &tokens, err)
 *
 * TEMPLATES  A closed set, by name; each gives, byte for byte, what transformers' apply_chat_template gives for the
 *            published template of that kind (tests/lab/chat/golden.json, made by scripts/peers/chat_golden.py), as far as
 *            it is of system, user, assistant and tool messages whose content is text: no tools are declared, none called.
 *            No Jinja is run: a model's template is recognised by its SHA-256, or by its name.
 *
 *            chatml        <|im_start|>ROLE, content, <|im_end|>: OpenHermes and what is made by it
 *            smollm2       the same, with the system message of SmolLM2-Instruct where there is none
 *            qwen2         the same of Qwen2-Instruct
 *            qwen2.5       the same of Qwen2.5; tool messages are answers inside a user turn
 *            qwen3         as qwen2.5 without a system message; <think> ... </think> of replies before the last question
 *                          are left out, and the last reply has one, if empty
 *            llama3        <|start_header_id|>ROLE<|end_header_id|>, content without white space around it, <|eot_id|>
 *            llama3.1      the same; a system turn with the two dates is always there (26 Jul 2024, as its template says)
 *            zephyr        <|ROLE|>, content, </s>: Zephyr, TinyLlama-Chat
 *            mistral       [INST] content [/INST] reply</s>: Mistral-Instruct 0.2, Mixtral
 *            mistral-v0.1  the same with a space behind </s>
 *            gemma         <start_of_turn>ROLE, content without white space around it, <end_of_turn>: Gemma 1.1 and 2
 *
 * ROLES      mistral, gemma: user and assistant by turns. zephyr, llama3.1, mistral, gemma have no tool messages here. What a
 *            template cannot say is refused with a sentence.
 * TOKENS     Those of the text as a whole, as Hugging Face makes them (add_special_tokens=False). A reply's are learned: from
 *            the one in which its first character is to the one that ends the turn (<|im_end|>), as TRL does it
 *            (assistant_only_loss); what stands behind it (a new line) is not. */
#ifndef TR_LAB_CHAT_CHAT_H
#define TR_LAB_CHAT_CHAT_H

#include "base/doc.h"
#include "base/err.h"
#include "base/text.h"
#include "lab/token/token.h"

#include <stdbool.h>
#include <stdint.h>

enum tr_role { TR_ROLE_SYSTEM, TR_ROLE_USER, TR_ROLE_ASSISTANT, TR_ROLE_TOOL, TR_ROLE_COUNT };

enum { TR_CHAT_MESSAGES_MAX = 1 << 16, TR_CHAT_NAME_BYTES = 32 };
#define TR_CHAT_TEMPLATE_MAX_BYTES ((int64_t)1 << 20)

struct tr_message {
    enum tr_role role;
    struct tr_string content;
};

/* ---- templates --------------------------------------------------------------------------------------------------- */

struct tr_chat;

/* The template called `name`; where that is empty, the one whose text this is. `source` names the model in sentences.
 * TR_BAD_INPUT, listing the names: there is none of that name, the text is another one, or there is neither. */
TR_MUST_CHECK enum tr_status tr_chat_choose(const char *name, const char *text, size_t bytes, const char *source,
                                            const struct tr_chat **out, struct tr_err *err);

const struct tr_chat *tr_chat_at(int index); /* NULL behind the last */
const char *tr_chat_name(const struct tr_chat *chat);
const char *tr_chat_end(const struct tr_chat *chat); /* the text of the token that ends a turn */
/* A Jinja template of our own that gives the same, for those who run such. */
const char *tr_chat_jinja(const struct tr_chat *chat);

/* ---- conversations ----------------------------------------------------------------------------------------------- */

struct tr_conversation {
    struct tr_message *message; /* owned; contents belong to the document */
    int64_t count, room;
};

/* {"messages": [{"role": "system" | "user" | "assistant" | "tool", "content": "..."}, ...]}; other keys are passed over, but
 * for tools and tool_calls, which are refused unless they are empty. At least one message is of the assistant. */
TR_MUST_CHECK enum tr_status tr_conversation_parse(const struct tr_node *root, struct tr_conversation *out,
                                                   struct tr_err *err);
void tr_conversation_free(struct tr_conversation *talk);

/* ---- text -------------------------------------------------------------------------------------------------------- */

struct tr_chat_reply {
    size_t begin, end; /* bytes of the text, the token that ends the turn included */
};

struct tr_chat_text {
    struct tr_text text;
    struct tr_chat_reply *reply; /* owned; those of the assistant, in order */
    int64_t reply_count, reply_room;
};

/* Replaces what is in *out. With `prompt`, what comes before a reply of the assistant is put behind the last message.
 * TR_BAD_INPUT: the template cannot say these messages. */
TR_MUST_CHECK enum tr_status tr_chat_render(const struct tr_chat *chat, const struct tr_message *messages, int64_t count,
                                            bool prompt, struct tr_chat_text *out, struct tr_err *err);
void tr_chat_text_free(struct tr_chat_text *text);

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

struct tr_chat_tokens {
    struct tr_ids ids;
    bool *learned; /* [ids.count] owned */
    int64_t room;
};

/* The id of the token that ends a turn. TR_BAD_INPUT: the tokenizer has no such token, so it is of another model. */
TR_MUST_CHECK enum tr_status tr_chat_end_id(const struct tr_chat *chat, const struct tr_token *token, int64_t *out,
                                            struct tr_err *err);

/* Replaces what is in *out. */
TR_MUST_CHECK enum tr_status tr_chat_encode(const struct tr_chat *chat, struct tr_encoder *encoder,
                                            const struct tr_token *token, const struct tr_chat_text *text,
                                            struct tr_chat_tokens *out, struct tr_err *err);
void tr_chat_tokens_free(struct tr_chat_tokens *tokens);

#endif
