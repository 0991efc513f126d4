/* Tokens to text. */
#include "lab/token/vocab.h"

enum tr_status tr_decode(const struct tr_token *token, const int32_t *ids, int64_t count, int flags,
                         struct tr_text *out, struct tr_err *err)
{
    for (int64_t i = 0; i < count; i++)
        if (!tr_token_bytes(token, ids[i]).at)
            return tr_fail(err, TR_BAD_INPUT, "token %d at position %lld: the vocabulary has no such token (0 to %lld)",
                           ids[i], (long long)i, (long long)token->vocab - 1);
    for (int64_t i = 0; i < count; i++) {
        struct tr_string bytes = tr_token_bytes(token, ids[i]);
        if (!(flags & TR_DECODE_NO_SPECIAL) || !tr_token_is_special(token, ids[i]))
            tr_text_append_bytes(out, bytes.at, (size_t)bytes.bytes);
    }
    return tr_text_failed(out, err) ? TR_FAILED : TR_OK;
}

static void push_byte(struct tr_decoder *decoder, uint8_t byte, struct tr_text *out)
{
    char piece[TR_UTF8_OUT_BYTES];
    int count = tr_utf8_push(&decoder->stream, byte, piece);
    tr_text_append_bytes(out, piece, (size_t)count);
}

void tr_decoder_push(struct tr_decoder *decoder, int32_t id, struct tr_text *out)
{
    if (!decoder->token) {
        if (id >= 0 && id < 256)
            push_byte(decoder, (uint8_t)id, out);
        return;
    }
    struct tr_string bytes = tr_token_bytes(decoder->token, id);
    for (int64_t i = 0; bytes.at && i < bytes.bytes; i++)
        push_byte(decoder, (uint8_t)bytes.at[i], out);
}

void tr_decoder_end(struct tr_decoder *decoder, struct tr_text *out)
{
    char piece[TR_UTF8_OUT_BYTES];
    int count = tr_utf8_end(&decoder->stream, piece);
    tr_text_append_bytes(out, piece, (size_t)count);
}
