/* Shards: text as tokens, in files that say what they hold.
 *
 * NAME.tokens is, little-endian, a header of TR_SHARD_HEADER_BYTES and the tokens:
 *
 *       0  "TRTOKENS"
 *       8  u32  version, 1
 *      12  u32  bytes of a token: 2 when the vocabulary has at most 65,536 tokens, else 4
 *      16  u64  tokens
 *      24  u64  documents that end in this shard
 *      32  u64  bytes of raw text that the tokens stand for
 *      40  u32  vocabulary: ids are less than this
 *      44  u32  id of the token that ends a document, 0xFFFFFFFF: none
 *      48  32 bytes  SHA-256 of the tokenizer (tr_token_sha256)
 *      80  32 bytes  SHA-256 of the tokens as they stand in the file
 *     112  16 bytes  0
 *
 * A set of shards is a folder of such files, in the order of their names, beside the tokenizer.json that made them. Each
 * document is followed by the end token; a document may go over from one shard to the next.
 *
 * NAME.bin is a shard of llm.c (Karpathy 2024, dev/data/data_common.py): a header of 256 int32, which are a magic, a
 * version, the number of tokens and zeros, then the tokens. 20240520 and 1: tokens of 2 bytes (GPT-2); 20240801 and 7: of 4
 * bytes (Llama 3). It does not say what made it: the tokenizer is the one that is given with it (tr_shard_match).
 *
 * NAME.idx beside NAME.bin is an indexed data set of Megatron-LM (megatron.h): documents, with or without the end token
 * behind each; it is put where it is not. The tokenizer is the one that is given, as with llm.c.
 *
 * Reading checks all of it: magic, version, that width, counts and the file's size agree, the sum, each id. */
#ifndef TR_LAB_DATA_SHARD_H
#define TR_LAB_DATA_SHARD_H

#include "base/err.h"
#include "base/sha256.h"
#include "lab/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TR_SHARD_HEADER_BYTES = 128, TR_SHARD_VERSION = 1, TR_SHARD_LLMC_HEADER_BYTES = 1024 };
enum tr_shard_kind { TR_SHARD_OWN, TR_SHARD_LLMC, TR_SHARD_MEGATRON };
#define TR_SHARD_MAX_TOKENS ((int64_t)1 << 32)
#define TR_SHARD_ENDING ".tokens"
#define TR_SHARD_BIN_ENDING ".bin"
#define TR_SHARD_IDX_ENDING ".idx"

struct tr_shard {
    enum tr_shard_kind kind;
    int64_t tokens;     /* of Megatron's, before it is read: as many as it may give */
    int64_t documents, text_bytes; /* of own ones; else 0 */
    int64_t vocab, end; /* end -1: none; of others 0 and -1 until they are matched */
    int width;          /* 2 or 4; of Megatron's 0 until it is matched */
    char tokenizer[TR_SHA256_HEX_BYTES]; /* of own ones */
    char sum[TR_SHA256_HEX_BYTES];
};

bool tr_shard_is_name(const char *path); /* ends in one of the three endings */

static inline int tr_shard_width(int64_t vocab) { return vocab <= 65536 ? 2 : 4; }

/* Token `index` of an array of that width. */
static inline int32_t tr_shard_token(const void *tokens, int width, int64_t index)
{
    return width == 2 ? ((const uint16_t *)tokens)[index] : (int32_t)((const uint32_t *)tokens)[index];
}

/* Header of a file of `file_bytes` bytes, of which the first ones are given; the name says of which kind. TR_BAD_INPUT,
 * with `path` in the sentence: shorter than a header, wrong magic or version, fields that cannot be, a size that does not
 * agree. */
TR_MUST_CHECK enum tr_status tr_shard_parse(const char *path, const void *bytes, size_t count, int64_t file_bytes,
                                            struct tr_shard *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_shard_read_header(const char *path, struct tr_shard *out, struct tr_err *err);

/* TR_BAD_INPUT unless `token` made the shard. Those of others take vocabulary and end token from it; one of llm.c is refused
 * when its tokens have another width than a vocabulary of that size. */
TR_MUST_CHECK enum tr_status tr_shard_match(const char *path, struct tr_shard *shard, const struct tr_token *token,
                                            struct tr_err *err);

/* Tokens of a shard whose header was read and that was matched, [shard->tokens] of its width, into `to`; sets
 * shard->tokens to how many those are. TR_BAD_INPUT also: the sum is another, an id is not below the vocabulary (file,
 * place and id are named). */
TR_MUST_CHECK enum tr_status tr_shard_read(const char *path, struct tr_shard *shard, void *to,
                                           struct tr_err *err);

/* The same checks on tokens in memory. */
TR_MUST_CHECK enum tr_status tr_shard_check(const char *path, const struct tr_shard *shard, const void *tokens,
                                            struct tr_err *err);

/* Writes one; `sum` and `width` are filled in here. The file is whole or absent. */
TR_MUST_CHECK enum tr_status tr_shard_write(const char *path, struct tr_shard *shard, const void *tokens,
                                            struct tr_err *err);

#endif
