/* Generation as text: bytes in, whole characters out. */
#include "lab/data/data.h"
#include "lab/serve/serve.h"

#include <stdlib.h>

static enum tr_status no_token(struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT, "the prompt is no token: the vocabulary has none of its bytes");
}

static enum tr_status read_tokens(struct tr_generator *generator, const char *text, int64_t bytes, struct tr_err *err)
{
    struct tr_encoder *encoder;
    struct tr_ids ids = {0};
    enum tr_status status = tr_encoder_make(generator->token, &encoder, err);
    if (status != TR_OK)
        return status;
    status = tr_encode(encoder, text, (size_t)bytes, TR_ENCODE_BEFORE, &ids, err);
    if (status == TR_OK && ids.count == 0)
        status = tr_encode(encoder, "\n", 1, 0, &ids, err);
    if (status == TR_OK && ids.count == 0)
        status = no_token(err);
    if (status == TR_OK)
        status = tr_generator_read_prompt(generator, ids.at, ids.count, err);
    tr_ids_free(&ids);
    tr_encoder_free(encoder);
    return status;
}

static enum tr_status read_bytes(struct tr_generator *generator, const char *text, int64_t bytes, struct tr_err *err)
{
    int32_t *tokens = calloc((size_t)bytes, sizeof *tokens);
    if (!tokens)
        return tr_fail(err, TR_FAILED, "out of memory for a prompt of %lld bytes", (long long)bytes);
    for (int64_t i = 0; i < bytes; i++)
        tokens[i] = (uint8_t)text[i];
    enum tr_status status = tr_generator_read_prompt(generator, tokens, bytes, err);
    free(tokens);
    return status;
}

enum tr_status tr_generator_read_text(struct tr_generator *generator, const char *text, int64_t bytes,
                                      struct tr_err *err)
{
    if (generator->token)
        return read_tokens(generator, text, bytes, err);
    return bytes == 0 ? read_bytes(generator, "\n", 1, err) : read_bytes(generator, text, bytes, err);
}

enum tr_status tr_generator_read_chat(struct tr_generator *generator, const struct tr_chat *chat,
                                      const struct tr_message *messages, int64_t count, struct tr_err *err)
{
    struct tr_encoder *encoder = NULL;
    struct tr_ids ids = {0};
    struct tr_chat_text text = {0};
    enum tr_status status = tr_chat_render(chat, messages, count, true, &text, err);
    if (status == TR_OK)
        status = tr_encoder_make(generator->token, &encoder, err);
    if (status == TR_OK)
        status = tr_encode(encoder, tr_text_str(&text.text), text.text.len, 0, &ids, err);
    if (status == TR_OK && ids.count == 0)
        status = no_token(err);
    if (status == TR_OK)
        status = tr_generator_read_prompt(generator, ids.at, ids.count, err);
    tr_ids_free(&ids);
    tr_encoder_free(encoder);
    tr_chat_text_free(&text);
    return status;
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
