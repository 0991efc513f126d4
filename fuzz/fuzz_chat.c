/* Any bytes as a line of conversations, as what tokenizer_config.json and generation_config.json say, and as the text of a
 * chat template: refused with a sentence; or a conversation that every template says or refuses, with replies that lie in
 * the text in order. */
#include "lab/chat/chat.h"
#include "lab/data/jsonl.h"
#include "lab/exchange/exchange.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum tr_status said(enum tr_status status, const struct tr_err *err)
{
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err->text[0]));
    return status;
}

static void render_all(const struct tr_conversation *talk)
{
    const struct tr_chat *chat;
    struct tr_chat_text text = {0};
    for (int i = 0; (chat = tr_chat_at(i)) != NULL; i++) {
        struct tr_err err = {""};
        if (said(tr_chat_render(chat, talk->message, talk->count, i % 2, &text, &err), &err) != TR_OK)
            continue;
        size_t end = 0, end_bytes = strlen(tr_chat_end(chat));
        for (int64_t k = 0; k < text.reply_count; k++) {
            TR_ASSERT(text.reply[k].begin >= end && text.reply[k].end >= text.reply[k].begin + end_bytes);
            end = text.reply[k].end;
            TR_ASSERT(end <= text.text.len && memcmp(text.text.at + end - end_bytes, tr_chat_end(chat), end_bytes) == 0);
        }
    }
    tr_chat_text_free(&text);
}

static void as_config(const char *at, size_t bytes)
{
    struct tr_doc *doc;
    struct tr_text text = {0};
    struct tr_stops stops = {0};
    struct tr_conversation talk = {0};
    struct tr_err err = {""};
    if (tr_doc_parse("input", TR_DOC_JSON, at, bytes, &doc, &err) != TR_OK)
        return;
    said(tr_import_chat_from_node(tr_doc_root(doc), &text, &err), &err);
    said(tr_import_stops_from_node(tr_doc_root(doc), &stops, &err), &err);
    said(tr_conversation_parse(tr_doc_root(doc), &talk, &err), &err);
    tr_conversation_free(&talk);
    TR_ASSERT(stops.count >= 0 && stops.count <= TR_STOPS_MAX);
    tr_text_free(&text);
    tr_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *at = bytes ? (const char *)data : "";
    struct tr_conversation talk = {0};
    struct tr_doc *doc = NULL;
    struct tr_err err = {""};
    const struct tr_chat *chat;
    if (said(tr_jsonl_parse_talk("input", 1, at, bytes, &doc, &talk, &err), &err) == TR_OK) {
        TR_ASSERT(talk.count >= 1 && tr_jsonl_is_talk(at, bytes));
        render_all(&talk);
    }
    tr_conversation_free(&talk);
    tr_doc_free(doc);
    as_config(at, bytes);
    said(tr_chat_choose("", at, bytes, "input", &chat, &err), &err);
    return 0;
}
