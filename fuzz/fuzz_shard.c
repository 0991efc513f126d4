/* Any bytes as a shard of tokens, trine's or llm.c's: refused with a sentence, or tokens that fill the file, whose ids are
 * in the vocabulary. A sum over the tokens is out of a fuzzer's reach, so the checks behind it are tried with the right
 * one. */
#include "lab/data/shard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum tr_status said(enum tr_status status, const struct tr_err *err)
{
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && strncmp(err->text, "input.", 6) == 0));
    return status;
}

static void check(const char *name, struct tr_shard *shard, const void *tokens)
{
    uint8_t digest[TR_SHA256_BYTES];
    struct tr_err err = {""};
    said(tr_shard_check(name, shard, tokens, &err), &err);
    TR_ASSERT(tr_sha256_of(tokens, (size_t)(shard->tokens * shard->width), digest, &err) == TR_OK);
    tr_sha256_hex(digest, shard->sum);
    err.text[0] = 0;
    if (said(tr_shard_check(name, shard, tokens, &err), &err) != TR_OK)
        return;
    for (int64_t i = 0; i < shard->tokens; i++) {
        int32_t id = tr_shard_token(tokens, shard->width, i);
        TR_ASSERT(id >= 0 && id < shard->vocab);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = {"input.tokens", "input.bin"};
    for (int i = 0; i < 2; i++) {
        struct tr_shard shard;
        struct tr_err err = {""};
        if (said(tr_shard_parse(names[i], data, bytes, (int64_t)bytes, &shard, &err), &err) != TR_OK)
            continue;
        size_t header = shard.kind == TR_SHARD_LLMC ? TR_SHARD_LLMC_HEADER_BYTES : TR_SHARD_HEADER_BYTES;
        size_t size = (size_t)(shard.tokens * shard.width);
        TR_ASSERT((shard.kind == TR_SHARD_LLMC) == (i == 1) && header + size == bytes);
        void *tokens = malloc(size); /* aligned, and its end is the end of what may be read */
        if (!tokens)
            continue;
        memcpy(tokens, data + header, size);
        shard.vocab = shard.kind == TR_SHARD_LLMC ? 50257 : shard.vocab;
        check(names[i], &shard, tokens);
        free(tokens);
    }
    return 0;
}
