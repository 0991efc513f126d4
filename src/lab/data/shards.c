#include "lab/data/shards.h"

#include "base/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tr_status copy_tokenizer(const struct tr_shards *s, const char *from, struct tr_err *err)
{
    char to[TR_PATH_BYTES];
    struct tr_bytes file;
    enum tr_status status = tr_path_join(to, s->temporary, "tokenizer.json", err);
    if (status == TR_OK)
        status = tr_file_read(from, TR_DOC_JSON_MAX_BYTES, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_file_write(to, file.at, file.len, err);
    tr_bytes_free(&file);
    return status;
}

enum tr_status tr_shards_open(struct tr_shards *s, const char *path, const struct tr_token *token,
                              const char *tokenizer, int64_t most_tokens, struct tr_err *err)
{
    *s = (struct tr_shards){.token = token, .most = most_tokens};
    TR_ASSERT(most_tokens > 0 && most_tokens <= TR_SHARD_MAX_TOKENS);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length + sizeof ".tmp" > TR_PATH_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "the folder for the shards has no name, or one that is too long");
    snprintf(s->path, sizeof s->path, "%.*s", (int)length, path);
    snprintf(s->temporary, sizeof s->temporary, "%.*s.tmp", (int)length, path);
    if (tr_file_exists(s->path))
        return tr_fail(err, TR_BAD_INPUT, "%s: is there already: give another folder, or remove it", s->path);
    s->shard = (struct tr_shard){.vocab = tr_token_vocab(token), .end = tr_token_end_id(token)};
    s->shard.width = tr_shard_width(s->shard.vocab);
    memcpy(s->shard.tokenizer, tr_token_sha256(token), sizeof s->shard.tokenizer);
    s->tokens = malloc((size_t)(most_tokens * s->shard.width));
    if (!s->tokens)
        return tr_fail(err, TR_FAILED, "out of memory for a shard of %lld tokens", (long long)most_tokens);
    enum tr_status status = tr_folder_remove(s->temporary, err); /* what an interrupted run left */
    if (status == TR_OK)
        status = tr_folder_make(s->temporary, err);
    s->open = status == TR_OK;
    if (status == TR_OK)
        status = copy_tokenizer(s, tokenizer, err);
    if (status != TR_OK)
        tr_shards_abort(s);
    return status;
}

static enum tr_status write_shard(struct tr_shards *s, struct tr_err *err)
{
    char name[64], path[TR_PATH_BYTES];
    snprintf(name, sizeof name, "shard-%05lld" TR_SHARD_ENDING, (long long)s->count);
    enum tr_status status = tr_path_join(path, s->temporary, name, err);
    if (status == TR_OK)
        status = tr_shard_write(path, &s->shard, s->tokens, err);
    s->count++;
    s->shard.tokens = s->shard.documents = s->shard.text_bytes = 0;
    return status;
}

enum tr_status tr_shards_add(struct tr_shards *s, const int32_t *ids, int64_t count, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < count && status == TR_OK; i++) {
        if (s->shard.tokens == s->most)
            status = write_shard(s, err);
        if (s->shard.width == 2)
            ((uint16_t *)s->tokens)[s->shard.tokens++] = (uint16_t)ids[i];
        else
            ((uint32_t *)s->tokens)[s->shard.tokens++] = (uint32_t)ids[i];
        s->token_count++;
    }
    return status;
}

void tr_shards_end_document(struct tr_shards *s, int64_t text_bytes)
{
    s->document_count++;
    s->text_bytes += text_bytes;
    /* A document that began in an earlier shard is counted in the one where it ends. */
    s->shard.documents++;
    s->shard.text_bytes += text_bytes;
}

enum tr_status tr_shards_commit(struct tr_shards *s, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    if (s->token_count == 0)
        status = tr_fail(err, TR_BAD_INPUT, "the text gives no token: there is nothing to write");
    if (status == TR_OK && s->shard.tokens > 0)
        status = write_shard(s, err);
    if (status == TR_OK)
        status = tr_rename(s->temporary, s->path, err);
    s->open = s->open && status != TR_OK;
    tr_shards_abort(s);
    return status;
}

void tr_shards_abort(struct tr_shards *s)
{
    struct tr_err ignored;
    if (s->open && tr_folder_remove(s->temporary, &ignored) != TR_OK)
        fprintf(stderr, "trine: %s is left behind: %s\n", s->temporary, ignored.text);
    s->open = false;
    free(s->tokens);
    s->tokens = NULL;
}
