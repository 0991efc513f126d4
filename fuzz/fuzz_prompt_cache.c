/* Any bytes as a prompt cache: refused with a sentence, or tokens, keys and values that fill the file. The sum at its end is
 * out of a fuzzer's reach, so what is before it is tried with the right one too. */
#include "lab/serve/prompt_cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const uint8_t *data, size_t bytes)
{
    struct tr_prompt_cache c;
    struct tr_err err = {""};
    enum tr_status status = tr_prompt_cache_parse("input", data, bytes, &c, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && strncmp(err.text, "input: ", 7) == 0));
    if (status != TR_OK)
        return;
    uint64_t sum = 0; /* all of it may be read */
    const int64_t row_bytes = c.tokens * c.columns * tr_dtype_bytes(c.dtype) * 2 * c.layers;
    for (int64_t i = 0; i < 4 * c.tokens; i++)
        sum += c.ids[i];
    for (int64_t i = 0; i < row_bytes; i++)
        sum += c.rows[i];
    for (int i = 0; i < TR_SHA256_BYTES; i++)
        sum += c.fingerprint[i];
    TR_ASSERT(sum < UINT64_MAX && c.rows + row_bytes + TR_SHA256_BYTES == data + bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_err err;
    check(data, bytes);
    uint8_t *copy = bytes ? malloc(bytes) : NULL; /* its end is the end of what may be read */
    if (!copy)
        return 0;
    memcpy(copy, data, bytes);
    if (bytes >= TR_SHA256_BYTES) {
        uint8_t digest[TR_SHA256_BYTES];
        TR_ASSERT(tr_sha256_of(copy, bytes - TR_SHA256_BYTES, digest, &err) == TR_OK);
        memcpy(copy + bytes - TR_SHA256_BYTES, digest, sizeof digest);
        check(copy, bytes);
    }
    free(copy);
    return 0;
}
