/* Generation as text: bytes in, whole characters out. */
#include "lab/data/data.h"
#include "lab/serve/serve.h"

static enum tr_status encode(const struct tr_token *token, const char *text, int64_t bytes, int flags, struct tr_ids *ids,
                             struct tr_err *err)
{
    struct tr_encoder *encoder;
    enum tr_status status = tr_encoder_make(token, &encoder, err);
    if (status != TR_OK)
        return status;
    status = tr_encode(encoder, text, (size_t)bytes, flags, ids, err);
    tr_encoder_free(encoder);
    return status;
}

static enum tr_status refuse_none(const struct tr_ids *ids, struct tr_err *err)
{
    if (ids->count > 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "the prompt is no token: the vocabulary has none of its bytes");
}

static enum tr_status add_bytes(const char *text, int64_t bytes, struct tr_ids *ids, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < bytes && status == TR_OK; i++)
        status = tr_ids_add(ids, (uint8_t)text[i], err);
    return status;
}

enum tr_status tr_prompt_text(const struct tr_token *token, const char *text, int64_t bytes, struct tr_ids *ids, struct tr_err *err)
{
    if (!token)
        return bytes == 0 ? add_bytes("\n", 1, ids, err) : add_bytes(text, bytes, ids, err);
    enum tr_status status = encode(token, text, bytes, TR_ENCODE_BEFORE, ids, err);
    if (status == TR_OK && ids->count == 0)
        status = encode(token, "\n", 1, 0, ids, err);
    return status == TR_OK ? refuse_none(ids, err) : status;
}

enum tr_status tr_prompt_chat(const struct tr_token *token, const struct tr_chat *chat, const struct tr_message *messages,
                              int64_t count, struct tr_ids *ids, struct tr_err *err)
{
    struct tr_chat_text text = {0};
    enum tr_status status = tr_chat_render(chat, messages, count, true, &text, err);
    if (status == TR_OK)
        status = encode(token, tr_text_str(&text.text), (int64_t)text.text.len, 0, ids, err);
    tr_chat_text_free(&text);
    return status == TR_OK ? refuse_none(ids, err) : status;
}

/* Without a tokenizer every id from the end of a text on ends it: bytes have no other. */
static bool is_end(const struct tr_generator *generator, int32_t token)
{
    for (int i = 0; i < generator->stops.count; i++)
        if (token == generator->stops.id[i])
            return true;
    return generator->token ? token == tr_token_end_id(generator->token) : token >= TR_TOKEN_END;
}

enum tr_status tr_generator_write_text(struct tr_generator *generator, const struct tr_sampling *sampling,
                                       int64_t tokens, tr_text_sink *sink, void *context, struct tr_err *err)
{
    struct tr_decoder decoder = {.token = generator->token};
    struct tr_text piece = {0};
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < tokens && status == TR_OK; i++) {
        int32_t token = tr_generator_draw(generator, sampling);
        if (is_end(generator, token))
            break;
        tr_text_clear(&piece);
        tr_decoder_push(&decoder, token, &piece);
        status = tr_text_failed(&piece, err) ? TR_FAILED : sink(context, tr_text_str(&piece), piece.len, err);
        if (status == TR_OK && i + 1 < tokens)
            status = tr_generator_read(generator, &token, 1, err);
    }
    tr_text_clear(&piece);
    tr_decoder_end(&decoder, &piece);
    if (status == TR_OK)
        status = tr_text_failed(&piece, err) ? TR_FAILED : sink(context, tr_text_str(&piece), piece.len, err);
    tr_text_free(&piece);
    return status == TR_NO ? TR_OK : status;
}
