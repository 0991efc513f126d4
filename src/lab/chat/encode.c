#include "lab/chat/template.h"

#include <stdlib.h>
#include <string.h>

enum tr_status tr_chat_end_id(const struct tr_chat *chat, const struct tr_token *token, int64_t *out, struct tr_err *err)
{
    int64_t id = tr_token_find(token, chat->end, strlen(chat->end));
    if (id < 0 || !tr_token_is_added(token, id))
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer has no token %s, which ends a turn in the chat template %s: they are "
                       "not of one model", chat->end, chat->name);
    *out = id;
    return TR_OK;
}

static enum tr_status make_room(struct tr_chat_tokens *out, struct tr_err *err)
{
    if (out->ids.count <= out->room)
        return TR_OK;
    int64_t room = out->ids.room;
    bool *more = realloc(out->learned, (size_t)room * sizeof *more);
    if (!more)
        return tr_fail(err, TR_FAILED, "out of memory for %lld tokens", (long long)room);
    out->learned = more;
    out->room = room;
    return TR_OK;
}

static int64_t bytes_of(const struct tr_token *token, const int32_t *ids, int64_t count)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; i++)
        bytes += tr_token_bytes(token, ids[i]).bytes;
    return bytes;
}

/* Text from `begin` to a reply's end. An added token is always a token of its own, so what stands behind the one that ends
 * a turn is encoded as if it stood alone. The bytes before the reply are counted in tokens, since a normaliser changes
 * them: those of the same text by itself. */
static enum tr_status encode_reply(const struct tr_chat *chat, struct tr_encoder *encoder, const struct tr_token *token,
                                   const char *text, size_t begin, const struct tr_chat_reply *reply, int64_t end_id,
                                   struct tr_chat_tokens *out, struct tr_err *err)
{
    int64_t first = out->ids.count;
    enum tr_status status = tr_encode(encoder, text + begin, reply->begin - begin, 0, &out->ids, err);
    int64_t before = bytes_of(token, out->ids.at + first, out->ids.count - first);
    out->ids.count = first;
    if (status == TR_OK)
        status = tr_encode(encoder, text + begin, reply->end - begin, 0, &out->ids, err);
    if (status == TR_OK)
        status = make_room(out, err);
    if (status != TR_OK)
        return status;
    if (out->ids.count == first || out->ids.at[out->ids.count - 1] != end_id)
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer does not make a token of the %s behind a reply", chat->end);
    for (int64_t i = first; i < out->ids.count; i++) {
        before -= tr_token_bytes(token, out->ids.at[i]).bytes;
        out->learned[i] = before < 0;
    }
    out->learned[out->ids.count - 1] = true;
    return TR_OK;
}

enum tr_status tr_chat_encode(const struct tr_chat *chat, struct tr_encoder *encoder, const struct tr_token *token,
                              const struct tr_chat_text *text, struct tr_chat_tokens *out, struct tr_err *err)
{
    const char *at = tr_text_str(&text->text);
    size_t begin = 0;
    int64_t end_id;
    out->ids.count = 0;
    enum tr_status status = tr_chat_end_id(chat, token, &end_id, err);
    for (int64_t i = 0; i < text->reply_count && status == TR_OK; begin = text->reply[i++].end)
        status = encode_reply(chat, encoder, token, at, begin, &text->reply[i], end_id, out, err);
    int64_t first = out->ids.count;
    if (status == TR_OK)
        status = tr_encode(encoder, at + begin, text->text.len - begin, 0, &out->ids, err);
    if (status == TR_OK)
        status = make_room(out, err);
    for (int64_t i = first; i < out->ids.count && status == TR_OK; i++)
        out->learned[i] = false;
    return status;
}

void tr_chat_tokens_free(struct tr_chat_tokens *tokens)
{
    tr_ids_free(&tokens->ids);
    free(tokens->learned);
    *tokens = (struct tr_chat_tokens){0};
}
