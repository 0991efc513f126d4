#include "lab/data/read.h"

#include "base/num.h"
#include "base/quantity.h"
#include "lab/data/document.h"
#include "lab/data/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tr_data_sum_file(struct tr_sha256 *sum, const void *bytes, int64_t count)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)count >> (8 * i));
    tr_sha256_update(sum, length, sizeof length);
    tr_sha256_update(sum, bytes, (size_t)count);
}

void tr_data_finish_sum(struct tr_data *data, struct tr_sha256 *sum, const struct tr_token *token)
{
    uint8_t digest[TR_SHA256_BYTES];
    tr_sha256_update(sum, tr_token_sha256(token), TR_SHA256_HEX_BYTES - 1);
    tr_sha256_finish(sum, digest);
    tr_sha256_hex(digest, data->sha256);
}

enum tr_status tr_data_describe(struct tr_data *data, const struct tr_token *token, struct tr_err *err)
{
    int64_t vocab = tr_token_vocab(token);
    struct tr_data_token *about = tr_arena_array(&data->arena, vocab, sizeof *about, err);
    if (!about)
        return TR_FAILED;
    for (int64_t id = 0; id < vocab; id++) {
        struct tr_string bytes = tr_token_bytes(token, id);
        if (!bytes.at || tr_token_is_special(token, id))
            continue;
        about[id] = (struct tr_data_token){.bytes = (uint16_t)tr_min_i64(bytes.bytes, UINT16_MAX),
                                           .ends_line = bytes.at[bytes.bytes - 1] == '\n'};
    }
    data->about = about;
    data->width = tr_shard_width(vocab);
    return TR_OK;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Tokens as they come, in a block that grows. */
struct gather {
    int width;
    void *at;
    int64_t count, room;
};

static enum tr_status take(void *context, const struct tr_ids *ids, struct tr_err *err)
{
    struct gather *g = context;
    int64_t room = tr_max_i64(g->room, 1 << 16);
    while (room < g->count + ids->count)
        room += room / 2;
    if (room > g->room) {
        void *at = realloc(g->at, (size_t)(room * g->width));
        if (!at)
            return tr_fail(err, TR_FAILED, "out of memory for %lld tokens", (long long)room);
        g->at = at;
        g->room = room;
    }
    for (int64_t i = 0; i < ids->count; i++, g->count++) {
        if (g->width == 2)
            ((uint16_t *)g->at)[g->count] = (uint16_t)ids->at[i];
        else
            ((uint32_t *)g->at)[g->count] = (uint32_t)ids->at[i];
    }
    return TR_OK;
}

static enum tr_status encode_files(struct tr_data *data, const struct tr_token *token, const struct tr_source *source,
                                   enum tr_encoding encoding, struct gather *gather, struct tr_sha256 *sum,
                                   struct tr_err *err)
{
    struct tr_document document;
    enum tr_status status = tr_document_open(&document, token, true, err);
    document.encoding = encoding;
    for (int64_t i = 0; i < source->count && status == TR_OK; i++) {
        status = tr_document_start(&document, &source->file[i], err);
        while (status == TR_OK && (status = tr_document_next(&document, err)) == TR_OK) {
            tr_data_sum_file(sum, document.text, document.bytes);
            data->byte_count += document.bytes;
            status = tr_document_encode(&document, true, take, gather, err);
        }
        status = status == TR_NO ? TR_OK : status;
    }
    data->end = document.end;
    data->document_count = document.count;
    if (data->end >= 0 && gather->count > 0)
        gather->count--; /* ends stand between documents */
    tr_document_close(&document);
    return status;
}

enum tr_status tr_data_read_text(struct tr_data *data, const struct tr_token *token, const struct tr_source *source,
                                 enum tr_encoding encoding, struct tr_err *err)
{
    struct tr_sha256 sum;
    enum tr_status status = tr_data_describe(data, token, err);
    struct gather gather = {.width = data->width};
    if (status != TR_OK || (status = tr_sha256_start(&sum, err)) != TR_OK)
        return status;
    status = encode_files(data, token, source, encoding, &gather, &sum, err);
    if (status == TR_OK)
        status = tr_slab_map(tr_max_i64(1, gather.count * gather.width), &data->slab, err);
    if (status == TR_OK) {
        if (gather.count)
            memcpy(data->slab.at, gather.at, (size_t)(gather.count * gather.width));
        data->tokens = data->slab.at;
        data->token_count = gather.count;
        tr_data_finish_sum(data, &sum, token);
    }
    tr_sha256_drop(&sum);
    free(gather.at);
    return status;
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

static enum tr_status check_shard(const char *path, struct tr_shard *shard, const struct tr_shard *first,
                                  const struct tr_token *token, struct tr_err *err)
{
    enum tr_status status = tr_shard_match(path, shard, token, err);
    if (status == TR_OK && shard->end != first->end)
        return tr_fail(err, TR_BAD_INPUT, "%s: ends documents with token %lld, the first shard with %lld", path,
                       (long long)shard->end, (long long)first->end);
    return status;
}

static enum tr_status read_headers(struct tr_data *data, const struct tr_token *token, const struct tr_source *source,
                                   struct tr_shard *shards, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < source->count && status == TR_OK; i++) {
        status = tr_shard_read_header(source->file[i].path, &shards[i], err);
        if (status == TR_OK)
            status = check_shard(source->file[i].path, &shards[i], &shards[0], token, err);
        if (status != TR_OK)
            return status;
        data->document_count += shards[i].documents;
        if (!tr_add_i64(data->token_count, shards[i].tokens, &data->token_count) ||
            !tr_add_i64(data->byte_count, shards[i].text_bytes, &data->byte_count) ||
            data->token_count > TR_DATA_MAX_BYTES)
            return tr_fail(err, TR_BAD_INPUT, "%s: the shards hold more tokens than can be counted",
                           source->file[i].path);
    }
    data->end = shards[0].end;
    return TR_OK;
}

/* What a shard of others does not say. */
static void count_tokens(struct tr_data *data, const struct tr_shard *shard, const void *tokens)
{
    for (int64_t i = 0; i < shard->tokens; i++) {
        int32_t id = tr_shard_token(tokens, shard->width, i);
        data->document_count += id == shard->end;
        data->byte_count += data->about[id].bytes;
    }
}

enum tr_status tr_data_read_shards(struct tr_data *data, const struct tr_token *token, const struct tr_source *source,
                                   struct tr_err *err)
{
    struct tr_sha256 sum;
    struct tr_shard *shards = tr_arena_array(&data->arena, source->count, sizeof *shards, err);
    enum tr_status status = shards ? tr_data_describe(data, token, err) : TR_FAILED;
    if (status == TR_OK)
        status = read_headers(data, token, source, shards, err);
    if (status == TR_OK)
        status = tr_slab_map(data->token_count * data->width, &data->slab, err);
    if (status != TR_OK || (status = tr_sha256_start(&sum, err)) != TR_OK)
        return status;
    uint8_t *to = data->slab.at;
    data->token_count = 0;
    for (int64_t i = 0; i < source->count && status == TR_OK; i++) {
        if ((status = tr_shard_read(source->file[i].path, &shards[i], to, err)) != TR_OK)
            break;
        int64_t bytes = shards[i].tokens * shards[i].width;
        tr_data_sum_file(&sum, to, bytes);
        if (shards[i].kind != TR_SHARD_OWN)
            count_tokens(data, &shards[i], to);
        data->token_count += shards[i].tokens;
        to += bytes;
    }
    if (status == TR_OK) {
        data->tokens = data->slab.at;
        /* Between documents, as with text: nothing comes behind the last one's end. */
        if (data->end >= 0 && data->token_count > 0 &&
            tr_shard_token(data->tokens, data->width, data->token_count - 1) == data->end)
            data->token_count--;
        tr_data_finish_sum(data, &sum, token);
    }
    tr_sha256_drop(&sum);
    return status;
}

enum tr_status tr_data_find_tokenizer(const char *path, const char *given, char out[TR_PATH_BYTES], struct tr_err *err)
{
    struct tr_source source;
    char folder[TR_PATH_BYTES];
    out[0] = 0;
    if (given[0]) {
        TR_ASSERT(strlen(given) < TR_PATH_BYTES);
        strcpy(out, given);
        return TR_OK;
    }
    enum tr_status status = tr_source_find(&source, path, err);
    if (status == TR_OK && source.shards) {
        const char *slash = strrchr(source.file[0].path, '/');
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - source.file[0].path) : 1,
                 slash ? source.file[0].path : ".");
        status = tr_path_join(out, folder, "tokenizer.json", err);
        if (status == TR_OK && !tr_file_exists(out))
            status = tr_fail(err, TR_BAD_INPUT, "%s: there is no tokenizer.json beside the shards: name it with "
                             "data.tokenizer", folder);
    }
    tr_source_free(&source);
    return status;
}
