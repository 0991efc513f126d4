#include "base/sha256.h"

#include <openssl/evp.h>

enum tr_status tr_sha256_start(struct tr_sha256 *sum, struct tr_err *err)
{
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    if (!state || EVP_DigestInit_ex(state, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(state);
        return tr_fail(err, TR_FAILED, "libcrypto cannot start SHA-256 (out of memory, or the algorithm is disabled)");
    }
    sum->state = state;
    return TR_OK;
}

void tr_sha256_update(struct tr_sha256 *sum, const void *data, size_t bytes)
{
    int done = EVP_DigestUpdate(sum->state, data, bytes);
    TR_ASSERT(done == 1);
}

void tr_sha256_finish(struct tr_sha256 *sum, uint8_t digest[TR_SHA256_BYTES])
{
    unsigned bytes = 0;
    int done = EVP_DigestFinal_ex(sum->state, digest, &bytes);
    TR_ASSERT(done == 1 && bytes == TR_SHA256_BYTES);
    tr_sha256_drop(sum);
}

void tr_sha256_drop(struct tr_sha256 *sum)
{
    EVP_MD_CTX_free(sum->state);
    sum->state = NULL;
}

const char *tr_sha256_hex(const uint8_t digest[TR_SHA256_BYTES], char hex[TR_SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < TR_SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * TR_SHA256_BYTES] = 0;
    return hex;
}

enum tr_status tr_sha256_of(const void *data, size_t bytes, uint8_t digest[TR_SHA256_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum;
    enum tr_status status = tr_sha256_start(&sum, err);
    if (status)
        return status;
    tr_sha256_update(&sum, data, bytes);
    tr_sha256_finish(&sum, digest);
    return TR_OK;
}
