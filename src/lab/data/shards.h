/* Making a set of shards: a folder of files as shard.h describes them, with the tokenizer beside them.
 *
 *     struct tr_shards shards;
 *     tr_shards_open(&shards, "out", token, "tokenizer.json", 64 << 20, err)
 *     tr_shards_add(&shards, ids, count, err) ... tr_shards_end_document(&shards, text_bytes, err) ...
 *     tr_shards_commit(&shards, err)           or tr_shards_abort(&shards)
 *
 * The folder is whole or absent: it is made as OUT.tmp and renamed. Memory: one shard's tokens. */
#ifndef TR_LAB_DATA_SHARDS_H
#define TR_LAB_DATA_SHARDS_H

#include "base/os.h"
#include "lab/data/shard.h"
#include "lab/token/token.h"

struct tr_shards {
    const struct tr_token *token;
    char path[TR_PATH_BYTES], temporary[TR_PATH_BYTES];
    bool open;           /* the temporary folder is there */
    int64_t most;        /* tokens of a shard */
    void *tokens;        /* [most] of the shard that is being filled */
    struct tr_shard shard;
    int64_t count;       /* shards written */
    int64_t token_count; /* in all */
    int64_t document_count;
    int64_t text_bytes;
};

/* TR_BAD_INPUT: `path` is there already. `tokenizer` is the file that goes beside the shards. */
TR_MUST_CHECK enum tr_status tr_shards_open(struct tr_shards *shards, const char *path, const struct tr_token *token,
                                            const char *tokenizer, int64_t most_tokens, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_shards_add(struct tr_shards *shards, const int32_t *ids, int64_t count,
                                           struct tr_err *err);
/* The document whose tokens were added last, its end token too, had so many bytes. */
void tr_shards_end_document(struct tr_shards *shards, int64_t text_bytes);
/* TR_BAD_INPUT when there is not one token. On failure it has aborted. */
TR_MUST_CHECK enum tr_status tr_shards_commit(struct tr_shards *shards, struct tr_err *err);
void tr_shards_abort(struct tr_shards *shards); /* right on a zeroed struct, and after commit */

#endif
