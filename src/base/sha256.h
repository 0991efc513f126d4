/* SHA-256, streaming (libcrypto's, which uses the CPU's SHA instructions).
 *
 *     struct tr_sha256 sum;
 *     tr_sha256_start(&sum, err) ... tr_sha256_update(&sum, data, bytes) ... tr_sha256_finish(&sum, digest);
 *     tr_sha256_hex(digest, hex);
 */
#ifndef TR_BASE_SHA256_H
#define TR_BASE_SHA256_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { TR_SHA256_BYTES = 32, TR_SHA256_HEX_BYTES = 65 };

struct tr_sha256 {
    void *state; /* owned until finish or drop */
};

/* TR_FAILED when out of memory; the only one that can fail. */
TR_MUST_CHECK enum tr_status tr_sha256_start(struct tr_sha256 *sum, struct tr_err *err);
void tr_sha256_update(struct tr_sha256 *sum, const void *data, size_t bytes);
void tr_sha256_finish(struct tr_sha256 *sum, uint8_t digest[TR_SHA256_BYTES]); /* and frees the state */
void tr_sha256_drop(struct tr_sha256 *sum); /* frees without a result; right on a zeroed struct and after finish */

/* Lower-case, 64 digits and a 0. Returns hex. */
const char *tr_sha256_hex(const uint8_t digest[TR_SHA256_BYTES], char hex[TR_SHA256_HEX_BYTES]);

/* All at once. */
TR_MUST_CHECK enum tr_status tr_sha256_of(const void *data, size_t bytes, uint8_t digest[TR_SHA256_BYTES],
                                          struct tr_err *err);

#endif
