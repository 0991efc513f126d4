#include "lab/train/manifest.h"

#include "base/doc.h"
#include "base/json.h"
#include "lab/exchange/safetensors.h"
#include "lab/train/sharding.h"

#include <stdio.h>
#include <string.h>

#define MANIFEST_ARENA_MAX_BYTES ((int64_t)256 << 20)
#define FORMAT_WHOLE "trine-checkpoint-1"
#define FORMAT_SHARDS "trine-checkpoint-2"

static int32_t file_at(int32_t shards, enum tr_checkpoint_file kind, int32_t shard)
{
    switch (kind) {
    case TR_FILE_CONFIG: return 0;
    case TR_FILE_MODEL: return 1 + shard;
    case TR_FILE_OPTIMIZER: return 1 + shards + shard;
    case TR_FILE_INDEX: return 1 + 2 * shards;
    default: return 1 + 2 * shards + (shards > 1);
    }
}

struct tr_manifest_file *tr_manifest_file(const struct tr_manifest *manifest, enum tr_checkpoint_file kind, int32_t shard)
{
    TR_ASSERT(shard >= 0 && shard < manifest->shards && (kind != TR_FILE_INDEX || manifest->shards > 1));
    return &manifest->file[file_at(manifest->shards, kind, shard)];
}

static void name_tensors(struct tr_manifest_file *file, const char *what, int32_t shard, int32_t shards)
{
    if (shards == 1)
        snprintf(file->name, sizeof file->name, "%s.safetensors", what);
    else
        snprintf(file->name, sizeof file->name, "%s-%05d-of-%05d.safetensors", what, shard + 1, shards);
}

enum tr_status tr_manifest_start(struct tr_manifest *manifest, int32_t shards, struct tr_err *err)
{
    TR_ASSERT(shards >= 1 && shards <= TR_SHARDS_MAX);
    *manifest = (struct tr_manifest){.shards = shards, .files = file_at(shards, TR_FILE_STATE, 0) + 1};
    tr_arena_init(&manifest->arena, "checkpoint manifest", MANIFEST_ARENA_MAX_BYTES);
    manifest->file = tr_arena_array(&manifest->arena, manifest->files, sizeof *manifest->file, err);
    if (!manifest->file)
        return TR_FAILED;
    strcpy(tr_manifest_file(manifest, TR_FILE_CONFIG, 0)->name, "config.json");
    strcpy(tr_manifest_file(manifest, TR_FILE_STATE, 0)->name, "state.json");
    if (shards > 1)
        strcpy(tr_manifest_file(manifest, TR_FILE_INDEX, 0)->name, "model.safetensors.index.json");
    for (int32_t shard = 0; shard < shards; shard++) {
        name_tensors(tr_manifest_file(manifest, TR_FILE_MODEL, shard), "model", shard, shards);
        name_tensors(tr_manifest_file(manifest, TR_FILE_OPTIMIZER, shard), "optimizer", shard, shards);
    }
    return TR_OK;
}

void tr_manifest_free(struct tr_manifest *manifest)
{
    tr_arena_free(&manifest->arena);
    *manifest = (struct tr_manifest){0};
}

/* The sums of files vouch for the files; this one vouches for all that stands above it. */
static void add_own_sum(struct tr_text *out, struct tr_json *json)
{
    uint8_t digest[TR_SHA256_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
    struct tr_err ignored;
    if (out->failed || tr_sha256_of(tr_text_str(out), out->len, digest, &ignored) != TR_OK)
        out->failed = true; /* out of memory: the caller sees it in the text */
    else
        tr_json_string(json, "manifest_sha256", tr_sha256_hex(digest, hex));
}

void tr_manifest_text(const struct tr_manifest *manifest, struct tr_text *out)
{
    TR_ASSERT(out->len == 0);
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "format", manifest->shards > 1 ? FORMAT_SHARDS : FORMAT_WHOLE);
    tr_json_int(&json, "step", manifest->step);
    if (manifest->shards > 1)
        tr_json_int(&json, "shards", manifest->shards);
    tr_json_object(&json, "files");
    for (int32_t i = 0; i < manifest->files; i++) {
        const struct tr_manifest_file *file = &manifest->file[i];
        tr_json_object(&json, file->name);
        tr_json_int(&json, "bytes", file->bytes);
        tr_json_string(&json, "sha256", file->sha256);
        if (file->tensor_count) {
            tr_json_object(&json, "tensors");
            for (int64_t t = 0; t < file->tensor_count; t++)
                tr_json_string(&json, file->tensor[t].name, file->tensor[t].sha256);
            tr_json_end(&json);
        }
        tr_json_end(&json);
    }
    tr_json_end(&json);
    add_own_sum(out, &json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static enum tr_status copy_sum(const struct tr_node *node, const char *sum, char out[TR_SHA256_HEX_BYTES],
                               struct tr_err *err)
{
    if (strlen(sum) != TR_SHA256_HEX_BYTES - 1 || strspn(sum, "0123456789abcdef") != TR_SHA256_HEX_BYTES - 1)
        return tr_node_fail(node, err, "expected a SHA-256 as 64 digits of base 16");
    memcpy(out, sum, TR_SHA256_HEX_BYTES);
    return TR_OK;
}

static enum tr_status parse_tensors(const struct tr_node *node, struct tr_manifest *manifest,
                                    struct tr_manifest_file *file, struct tr_err *err)
{
    if (node->count > TR_SAFETENSORS_MAX_TENSORS)
        return tr_node_fail(node, err, "more than %d tensors", TR_SAFETENSORS_MAX_TENSORS);
    file->tensor = tr_arena_array(&manifest->arena, node->count, sizeof *file->tensor, err);
    if (!file->tensor)
        return TR_FAILED;
    for (int64_t i = 0; i < node->count; i++) {
        const char *sum;
        enum tr_status status = tr_node_string(&node->children[i], &sum, err);
        if (status == TR_OK)
            status = copy_sum(&node->children[i], sum, file->tensor[i].sha256, err);
        if (status != TR_OK)
            return status;
        file->tensor[i].name = tr_arena_strdup(&manifest->arena, node->children[i].key, err);
        if (!file->tensor[i].name)
            return TR_FAILED;
    }
    file->tensor_count = node->count;
    return TR_OK;
}

static enum tr_status parse_file(const struct tr_node *files, struct tr_manifest_file *file, struct tr_manifest *manifest,
                                 struct tr_err *err)
{
    const struct tr_node *node, *tensors = NULL;
    const char *sum;
    enum tr_status status = tr_doc_object(files, file->name, TR_REQUIRED, &node, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "bytes", TR_REQUIRED, 0, INT64_MAX, &file->bytes, err);
    if (status == TR_OK)
        status = tr_doc_string(node, "sha256", TR_REQUIRED, &sum, err);
    if (status == TR_OK)
        status = copy_sum(node, sum, file->sha256, err);
    if (status == TR_OK)
        status = tr_doc_object(node, "tensors", TR_OPTIONAL, &tensors, err);
    if (status == TR_OK && tensors)
        status = parse_tensors(tensors, manifest, file, err);
    return status;
}

static enum tr_status parse_shards(const struct tr_node *root, int32_t *shards, struct tr_err *err)
{
    const char *format;
    int64_t count = 1;
    enum tr_status status = tr_doc_string(root, "format", TR_REQUIRED, &format, err);
    if (status == TR_OK && strcmp(format, FORMAT_SHARDS) == 0)
        status = tr_doc_int(root, "shards", TR_REQUIRED, 2, TR_SHARDS_MAX, &count, err);
    else if (status == TR_OK && strcmp(format, FORMAT_WHOLE) != 0)
        status = tr_node_fail(root, err, "format \"%.40s\" is neither " FORMAT_WHOLE " nor " FORMAT_SHARDS, format);
    *shards = (int32_t)count;
    return status;
}

/* Free what it starts, also where it fails. */
static enum tr_status parse_root(const struct tr_node *root, struct tr_manifest *manifest, struct tr_err *err)
{
    int32_t shards;
    const struct tr_node *files;
    enum tr_status status = parse_shards(root, &shards, err);
    if (status == TR_OK)
        status = tr_manifest_start(manifest, shards, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "step", TR_REQUIRED, 0, INT64_MAX, &manifest->step, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "files", TR_REQUIRED, &files, err);
    for (int32_t i = 0; status == TR_OK && i < manifest->files; i++)
        status = parse_file(files, &manifest->file[i], manifest, err);
    return status;
}

static enum tr_status check_exact(const char *source, const char *data, size_t bytes,
                                  const struct tr_manifest *manifest, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = TR_OK;
    tr_manifest_text(manifest, &text);
    if (tr_text_failed(&text, err))
        status = TR_FAILED;
    else if (text.len != bytes || memcmp(tr_text_str(&text), data, bytes) != 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: is not as it was written", source);
    tr_text_free(&text);
    return status;
}

enum tr_status tr_manifest_parse(const char *source, const char *data, size_t bytes, struct tr_manifest *out,
                                 struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse_limited(source, TR_DOC_JSON, data, bytes, TR_MANIFEST_MAX_BYTES,
                                                 3 * (int64_t)TR_SAFETENSORS_MAX_TENSORS, &doc, err);
    if (status != TR_OK)
        return status;
    struct tr_manifest new = {0};
    status = parse_root(tr_doc_root(doc), &new, err);
    tr_doc_free(doc);
    if (status == TR_OK)
        status = check_exact(source, data, bytes, &new, err);
    if (status != TR_OK) {
        tr_manifest_free(&new);
        return status;
    }
    *out = new;
    return TR_OK;
}

enum tr_status tr_manifest_read(const char *checkpoint, struct tr_manifest *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_bytes bytes;
    enum tr_status status = tr_path_join(path, checkpoint, "manifest.json", err);
    if (status != TR_OK)
        return status;
    if ((status = tr_file_read(path, TR_MANIFEST_MAX_BYTES, &bytes, err)) != TR_OK)
        return status;
    status = tr_manifest_parse(path, bytes.at, bytes.len, out, err);
    tr_bytes_free(&bytes);
    return status;
}
