/* A prompt's keys and values in a file: what has been read once need not be computed again.
 *
 *     offset  bytes
 *          0      8  "trine kv"
 *          8      4  version, 1
 *         12     12  number type of keys and values (enum tr_dtype), form of the weights (enum tr_weight_form), layers
 *         24     16  columns (kv heads x head_dim), tokens
 *         40     32  fingerprint of the model
 *         72  4 x n  the tokens
 *                    for each layer the keys of all tokens, then the values: [tokens, columns]
 *       last     32  SHA-256 of all before
 *
 * Whole numbers are little-endian. Keys and values depend on the model, its weights, their form and the arithmetic, and on
 * nothing else: not on threads, instruction set or how the prompt was cut. The fingerprint is of all these, so a file of
 * another model is refused; a damaged one too. What is read comes out as it went in, so a text that begins with a cache is
 * the text that begins without. */
#ifndef TR_LAB_SERVE_PROMPT_CACHE_H
#define TR_LAB_SERVE_PROMPT_CACHE_H

#include "base/sha256.h"
#include "lab/serve/serve.h"

enum { TR_PROMPT_CACHE_HEADER_BYTES = 72, TR_PROMPT_CACHE_VERSION = 1 };

/* A file of more is not read. */
#define TR_PROMPT_CACHE_BYTES_MAX ((int64_t)1 << 38)

/* Points into the bytes that were parsed. */
struct tr_prompt_cache {
    enum tr_dtype dtype;
    enum tr_weight_form form;
    int32_t layers;
    int64_t columns, tokens;
    const uint8_t *fingerprint;  /* [TR_SHA256_BYTES] */
    const uint8_t *ids, *rows;   /* unaligned: tokens x int32; layers x 2 x tokens x columns numbers */
};

/* TR_BAD_INPUT: not such a file, or cut off, or damaged. `name` is what the sentence calls it. */
TR_MUST_CHECK enum tr_status tr_prompt_cache_parse(const char *name, const void *bytes, size_t size,
                                                   struct tr_prompt_cache *out, struct tr_err *err);

/* Of the generator's model, weights (those of all tensors as products read them), their form and the arithmetic. Reads all
 * weights once. They must have been written. */
TR_MUST_CHECK enum tr_status tr_generator_fingerprint(const struct tr_generator *generator,
                                                      uint8_t digest[TR_SHA256_BYTES], struct tr_err *err);

/* Puts the text that the generator holds into a file, whole or not at all. `digest` is the generator's fingerprint, here and
 * below. */
TR_MUST_CHECK enum tr_status tr_prompt_cache_save(const struct tr_generator *generator, const char *path,
                                                  const uint8_t digest[TR_SHA256_BYTES], struct tr_err *err);

/* Takes out of the file what it has in common with the beginning of `tokens` (at least 1), but the last of them, whose logits
 * have to be computed: the generator holds that much text then, and no logits. Where that is no more than the text that it
 * holds, nothing changes. TR_BAD_INPUT: damaged, or of another model. */
TR_MUST_CHECK enum tr_status tr_prompt_cache_load(struct tr_generator *generator, const char *path,
                                                  const uint8_t digest[TR_SHA256_BYTES], const int32_t *tokens,
                                                  int64_t count, struct tr_err *err);

#endif
