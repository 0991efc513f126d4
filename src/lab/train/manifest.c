#include "lab/train/manifest.h"

#include "base/doc.h"
#include "base/json.h"
#include "lab/exchange/safetensors.h"

#include <string.h>

#define MANIFEST_ARENA_MAX_BYTES ((int64_t)256 << 20)
#define FORMAT "trine-checkpoint-1"

static const char *const file_names[TR_CHECKPOINT_FILES] = {"config.json", "model.safetensors",
                                                            "optimizer.safetensors", "state.json"};

const char *tr_checkpoint_file_name(enum tr_checkpoint_file file) { return file_names[file]; }

void tr_manifest_start(struct tr_manifest *manifest)
{
    *manifest = (struct tr_manifest){0};
    tr_arena_init(&manifest->arena, "checkpoint manifest", MANIFEST_ARENA_MAX_BYTES);
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
    tr_json_string(&json, "format", FORMAT);
    tr_json_int(&json, "step", manifest->step);
    tr_json_object(&json, "files");
    for (int i = 0; i < TR_CHECKPOINT_FILES; i++) {
        const struct tr_manifest_file *file = &manifest->file[i];
        tr_json_object(&json, file_names[i]);
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

static enum tr_status parse_file(const struct tr_node *files, int index, struct tr_manifest *manifest,
                                 struct tr_err *err)
{
    struct tr_manifest_file *file = &manifest->file[index];
    const struct tr_node *node, *tensors = NULL;
    const char *sum;
    enum tr_status status = tr_doc_object(files, file_names[index], TR_REQUIRED, &node, err);
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

static enum tr_status parse_root(const struct tr_node *root, struct tr_manifest *manifest, struct tr_err *err)
{
    const char *format;
    const struct tr_node *files;
    enum tr_status status = tr_doc_string(root, "format", TR_REQUIRED, &format, err);
    if (status == TR_OK && strcmp(format, FORMAT) != 0)
        return tr_node_fail(root, err, "format \"%.40s\" is not %s", format, FORMAT);
    if (status == TR_OK)
        status = tr_doc_int(root, "step", TR_REQUIRED, 0, INT64_MAX, &manifest->step, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "files", TR_REQUIRED, &files, err);
    for (int i = 0; i < TR_CHECKPOINT_FILES && status == TR_OK; i++)
        status = parse_file(files, i, manifest, err);
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
    struct tr_manifest new;
    tr_manifest_start(&new);
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
