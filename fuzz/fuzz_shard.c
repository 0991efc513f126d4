/* Any bytes as a shard of tokens: refused with a sentence, or tokens that fill the file, whose ids are in the vocabulary.
 * A sum over the tokens is out of a fuzzer's reach, so the checks behind it are tried with the right one. */
#include "lab/data/shard.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void said(enum tr_status status, const struct tr_err *err)
{
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err->text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_shard shard;
    uint8_t digest[TR_SHA256_BYTES];
    struct tr_err err = {""};
    enum tr_status status = tr_shard_parse("input", data, bytes, (int64_t)bytes, &shard, &err);
    said(status, &err);
    if (status != TR_OK)
        return 0;
    TR_ASSERT(TR_SHARD_HEADER_BYTES + shard.tokens * shard.width == (int64_t)bytes);
    const uint8_t *tokens = data + TR_SHARD_HEADER_BYTES;
    said(tr_shard_check("input", &shard, tokens, &err), &err);
    TR_ASSERT(tr_sha256_of(tokens, bytes - TR_SHARD_HEADER_BYTES, digest, &err) == TR_OK);
    tr_sha256_hex(digest, shard.sum);
    err.text[0] = 0;
    status = tr_shard_check("input", &shard, tokens, &err);
    said(status, &err);
    for (int64_t i = 0; status == TR_OK && i < shard.tokens; i++) {
        int32_t id = tr_shard_token(tokens, shard.width, i);
        TR_ASSERT(id >= 0 && id < shard.vocab);
    }
    return 0;
}
