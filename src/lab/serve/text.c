/* Generation as text: bytes in, whole characters out. */
#include "base/num.h"
#include "lab/data/data.h"
#include "lab/token/utf8_stream.h"
#include "lab/serve/serve.h"

enum { BYTES_AT_ONCE = 1024 };

enum tr_status tr_generator_read_text(struct tr_generator *generator, const char *text, int64_t bytes,
                                      struct tr_err *err)
{
    int32_t tokens[BYTES_AT_ONCE] = {'\n'};
    if (bytes == 0)
        return tr_generator_read(generator, tokens, 1, err);
    enum tr_status status = TR_OK;
    for (int64_t at = 0; at < bytes && status == TR_OK; at += BYTES_AT_ONCE) {
        int64_t count = tr_min_i64(bytes - at, BYTES_AT_ONCE);
        for (int64_t i = 0; i < count; i++)
            tokens[i] = (uint8_t)text[at + i];
        status = tr_generator_read(generator, tokens, count, err);
    }
    return status;
}

enum tr_status tr_generator_write_text(struct tr_generator *generator, const struct tr_sampling *sampling,
                                       int64_t tokens, tr_text_sink *sink, void *context, struct tr_err *err)
{
    struct tr_utf8_stream stream = {0};
    char piece[TR_UTF8_OUT_BYTES];
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < tokens && status == TR_OK; i++) {
        int32_t token = tr_generator_draw(generator, sampling);
        if (token >= TR_TOKEN_END)
            break;
        status = sink(context, piece, (size_t)tr_utf8_push(&stream, (uint8_t)token, piece), err);
        if (status == TR_OK && i + 1 < tokens)
            status = tr_generator_read(generator, &token, 1, err);
    }
    if (status == TR_OK)
        status = sink(context, piece, (size_t)tr_utf8_end(&stream, piece), err);
    return status == TR_NO ? TR_OK : status;
}
