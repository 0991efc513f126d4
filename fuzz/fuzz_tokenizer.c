/* Any bytes as a tokenizer.json: refused with a sentence, or a tokenizer whose ids are in range, that encodes and decodes
 * any text, and that is written and read back as the same one. */
#include "lab/token/token.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char sample[] = "It's  <|endoftext|>\t1234 h\xc3\xa9llo <mask>\n\n \xff\xe2\x82 \xe6\x97\xa5\xe6\x9c\xac!";

enum { TEXT_BYTES = 1024 }; /* of the file itself, which has pieces longer than a window of merges */

static void use(const struct tr_token *token, const uint8_t *data, size_t bytes)
{
    struct tr_encoder *encoder;
    struct tr_err err = {""};
    struct tr_ids ids = {0};
    struct tr_text text = {0};
    TR_ASSERT(tr_encoder_make(token, &encoder, &err) == TR_OK);
    TR_ASSERT(tr_encode(encoder, sample, sizeof sample - 1, TR_ENCODE_AROUND, &ids, &err) == TR_OK);
    TR_ASSERT(tr_encode(encoder, (const char *)data, bytes < TEXT_BYTES ? bytes : TEXT_BYTES, TR_ENCODE_PLAIN, &ids, &err) == TR_OK);
    for (int64_t i = 0; i < ids.count; i++)
        TR_ASSERT(ids.at[i] >= 0 && ids.at[i] < tr_token_vocab(token));
    TR_ASSERT(tr_decode(token, ids.at, ids.count, 0, &text, &err) == TR_OK);
    tr_text_free(&text);
    tr_ids_free(&ids);
    tr_encoder_free(encoder);
}

static void write_and_read(const struct tr_token *token)
{
    struct tr_text text = {0};
    struct tr_token *again;
    struct tr_err err = {""};
    TR_ASSERT(tr_token_json(token, &text, &err) == TR_OK);
    TR_ASSERT(tr_token_parse("again", tr_text_str(&text), text.len, &again, &err) == TR_OK);
    TR_ASSERT(strcmp(tr_token_sha256(token), tr_token_sha256(again)) == 0);
    tr_token_free(again);
    tr_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_token *token;
    struct tr_err err = {""};
    enum tr_status status = tr_token_parse("input", (const char *)data, bytes, &token, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return 0;
    use(token, data, bytes);
    write_and_read(token);
    tr_token_free(token);
    return 0;
}
